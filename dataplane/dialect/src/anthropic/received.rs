//! What a provider sends, as it is read: bodies, blocks, and why an answer ended. What is not known is
//! passed over, and what is null or missing is as if it were not there.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Dialect, Garbled, json, reply::Finish, seal::Seal};

use super::usage::Counts;

/// A string that borrows where it holds no escape, also inside an `Option`.
#[derive(Debug, Deserialize)]
pub struct Str<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// The text, or an empty one.
pub fn text(of: Option<Str<'_>>) -> Cow<'_, str> {
    of.map(|text| text.0).unwrap_or_default()
}

/// A message: the body of a reply, or the beginning of a stream.
#[derive(Debug, Deserialize)]
pub struct Body<'a> {
    #[serde(borrow)]
    pub id: Option<Str<'a>>,
    #[serde(borrow)]
    pub model: Option<Str<'a>>,
    #[serde(borrow)]
    pub content: Option<Vec<Block<'a>>>,
    #[serde(borrow)]
    pub stop_reason: Option<Str<'a>>,
    #[serde(borrow)]
    pub stop_sequence: Option<Str<'a>>,
    #[serde(borrow)]
    pub stop_details: Option<StopDetails<'a>>,
    pub usage: Option<Counts>,
}

/// A content block, of whatever type.
#[derive(Debug, Deserialize)]
pub struct Block<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Option<Str<'a>>,
    #[serde(borrow)]
    pub text: Option<Str<'a>>,
    #[serde(borrow)]
    pub thinking: Option<Str<'a>>,
    #[serde(borrow)]
    pub signature: Option<Str<'a>>,
    #[serde(borrow)]
    pub data: Option<Str<'a>>,
    #[serde(borrow)]
    pub id: Option<Str<'a>>,
    #[serde(borrow)]
    pub name: Option<Str<'a>>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
}

/// More about a refusal.
#[derive(Debug, Deserialize)]
pub struct StopDetails<'a> {
    #[serde(borrow)]
    pub explanation: Option<Str<'a>>,
}

impl StopDetails<'_> {
    /// What the vendor tells a person, where it tells anything.
    pub fn explanation(of: Option<StopDetails<'_>>) -> Option<Cow<'_, str>> {
        of.and_then(|details| details.explanation).map(|text| text.0).filter(|text| !text.is_empty())
    }
}

impl<'a> Body<'a> {
    /// # Errors
    /// When the body is no message.
    pub fn read(body: &'a [u8]) -> Result<Self, Garbled> {
        let read: Self = json::object(body)?;
        if read.content.is_none() {
            return Err(Garbled::new("it has no content"));
        }
        Ok(read)
    }
}

pub fn finish(reason: &str, sequence: Option<Str<'_>>) -> Finish {
    match reason {
        "stop_sequence" => Finish::StopSequence(sequence.map(|text| text.0.into_owned())),
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::Refusal,
        "pause_turn" => Finish::Pause,
        _ => Finish::Stop,
    }
}

/// The seal of thinking that is shown; an empty signature is none.
pub fn signature(of: Option<Str<'_>>) -> Option<Seal> {
    let value = text(of);
    (!value.is_empty()).then(|| Seal::new(Dialect::Anthropic, value))
}

/// The seal of thinking that is not shown.
pub fn redacted(data: Option<Str<'_>>) -> Seal {
    Seal { origin: Dialect::Anthropic, redacted: true, value: text(data).into_owned() }
}

/// A call's id; made up where there is none.
pub fn call_id(of: Option<Str<'_>>, index: usize) -> Cow<'_, str> {
    let id = text(of);
    if id.is_empty() { Cow::Owned(crate::chat::ToolCall::made_up_id(index)) } else { id }
}
