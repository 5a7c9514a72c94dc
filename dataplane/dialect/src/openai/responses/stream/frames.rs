//! The frames of a stream: their fields in the order and under the names of the API. A frame is
//! written a token, so that all of it is borrowed.

use serde::Serialize;

use super::super::output::{Content, Item, Logprob, Response, Summary};

/// Counts the frames of a stream.
#[derive(Default)]
pub struct Sequence(u64);

#[derive(Serialize)]
struct Frame<'a, T> {
    r#type: &'a str,
    sequence_number: u64,
    #[serde(flatten)]
    body: &'a T,
}

impl Sequence {
    pub fn frame(&mut self, out: &mut Vec<u8>, kind: &str, body: &impl Serialize) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        let frame = Frame { r#type: kind, sequence_number: self.0, body };
        // Strings and numbers into memory: nothing in it can fail.
        let _ = serde_json::to_writer(&mut *out, &frame);
        out.extend_from_slice(b"\n\n");
        self.0 += 1;
    }
}

/// The response begins or ends.
#[derive(Serialize)]
pub struct Lifecycle<'a> {
    pub response: Response<'a>,
}

/// An item begins or ends.
#[derive(Serialize)]
pub struct Whole<'a> {
    pub output_index: usize,
    pub item: &'a Item,
}

/// An item grows.
#[derive(Serialize)]
pub struct Growth<'a> {
    #[serde(flatten)]
    pub place: Place<'a>,
    #[serde(flatten)]
    pub what: What<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<&'a [Logprob]>,
}

/// Where it grows.
#[derive(Clone, Copy, Serialize)]
pub struct Place<'a> {
    item_id: &'a str,
    output_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary_index: Option<usize>,
}

/// By what: a fragment, or what is whole now.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What<'a> {
    Delta(&'a str),
    Text(&'a str),
    Refusal(&'a str),
    Arguments(&'a str),
    Part(&'a Content),
    #[serde(rename = "part")]
    Summary(&'a Summary),
}

impl<'a> Place<'a> {
    pub fn item(item_id: &'a str, output_index: usize) -> Self {
        Self { item_id, output_index, content_index: None, summary_index: None }
    }

    pub fn content(item_id: &'a str, output_index: usize, content_index: usize) -> Self {
        Self { content_index: Some(content_index), ..Self::item(item_id, output_index) }
    }

    /// Summaries are written in one part.
    pub fn summary(item_id: &'a str, output_index: usize) -> Self {
        Self { summary_index: Some(0), ..Self::item(item_id, output_index) }
    }

    pub fn grows(self, what: What<'a>) -> Growth<'a> {
        Growth { place: self, what, logprobs: None }
    }

    pub fn grows_with(self, what: What<'a>, logprobs: &'a [Logprob]) -> Growth<'a> {
        Growth { place: self, what, logprobs: Some(logprobs) }
    }
}
