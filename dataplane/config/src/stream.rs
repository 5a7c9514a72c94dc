//! The messages between operator and proxy: one JSON object a line, both ways, over one HTTP/2
//! request that the proxy opens and keeps.
//!
//! The proxy says [`FromProxy::Hello`]; the operator answers with an [`Update`](crate::section::Update)
//! at once (an empty one where nothing differs) and one for each later change. The proxy answers each
//! with `Ack` or `Refuse`; the operator sends the next only then, computed against what was last
//! acknowledged. So a refused update leaves both sides with the last good state.
//!
//! Whenever breakers change, the proxy says so with [`FromProxy::Health`], between updates or while one
//! waits for its answer. Messages that an operator does not know are of newer proxies and mean no harm.
//!
//! A proxy that ends on purpose says [`FromProxy::Bye`] last, likewise at any time: the operator ends the stream
//! when it has taken that in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::section::{Digest, Key};

/// The path of the stream.
pub const PATH: &str = "/v1alpha1/config";
/// The audience that a proxy's ServiceAccount token must be made for. It is another than that of callers
/// ([`caller::AUDIENCE`](crate::caller::AUDIENCE)): who may call must not thereby hold the providers' keys.
pub const AUDIENCE: &str = "llmgateway.dev/config";
/// The header of the operator's reply that says for how many seconds it keeps the stream: for so long it takes
/// the proxy's word for who it is. The proxy opens another before that, with the token that it has then.
pub const LIFETIME: &str = "llm-stream-lifetime";
/// Breakers that a message lists, at most: by provider and model, the first.
pub const MOST_OPEN: usize = 256;
/// Characters of an error that a message carries, at most.
const LONGEST_ERROR: usize = 200;

/// What a proxy says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FromProxy {
    /// First, once: who it is, which gateway it is part of, what it holds already, and its breakers as
    /// `Health` tells them: an operator must at no time take a proxy that is new to it for a healthy one.
    /// A sidecar is part of no gateway: it is part of its pod, and its token says which that is.
    Hello {
        proxy: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gateway: Option<String>,
        version: String,
        holds: BTreeMap<Key, Digest>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        open: Vec<Open>,
    },
    /// It runs on the update now.
    Ack { generation: u64 },
    /// It goes on without the update.
    Refuse { generation: u64, problems: Vec<String> },
    /// These breakers are not closed; all others are.
    Health { open: Vec<Open> },
    /// It ends for good, and asks nobody anything any more: what it had of limits is free.
    Bye,
    /// What a newer proxy says.
    #[serde(other)]
    Unknown,
}

/// A model of a provider that is left alone because it fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// `namespace/pool/provider`.
    pub provider: String,
    /// The pool's name of the model.
    pub model: String,
    /// The last failure's text.
    pub error: String,
}

/// The same within the bounds of a message, and sorted.
#[must_use]
pub fn bounded(mut open: Vec<Open>) -> Vec<Open> {
    open.sort_by(|a, b| (&a.provider, &a.model).cmp(&(&b.provider, &b.model)));
    open.truncate(MOST_OPEN);
    for open in &mut open {
        if let Some((end, _)) = open.error.char_indices().nth(LONGEST_ERROR) {
            open.error.truncate(end);
        }
    }
    open
}

/// A line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// All of it, without its end.
    Whole(Vec<u8>),
    /// It passed the limit: how it began.
    TooLong(Vec<u8>),
}

/// How much of a line that is too long is kept: enough to tell which it was.
const BEGINNING: usize = 64;

/// Cuts a byte stream into lines, holding hardly more than `limit` bytes.
#[derive(Debug)]
pub struct Lines {
    buffer: Vec<u8>,
    /// How far the buffer is known to hold no line end.
    searched: usize,
    limit: usize,
    /// The beginning of a line that is too long and whose end has not come.
    skipping: Option<Vec<u8>>,
}

impl Lines {
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), searched: 0, limit, skipping: None }
    }

    /// Takes more bytes; all lines are to be taken out before the next push.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line, where its end has come.
    pub fn next_line(&mut self) -> Option<Line> {
        let Some(end) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') else {
            self.searched = self.buffer.len();
            if self.skipping.is_some() || self.buffer.len() > self.limit {
                let buffer = std::mem::take(&mut self.buffer);
                self.searched = 0;
                self.skipping.get_or_insert_with(|| beginning(&buffer));
            }
            return None;
        };
        let rest = self.buffer.split_off(self.searched + end + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.pop();
        self.searched = 0;
        if let Some(begun) = self.skipping.take() {
            return Some(Line::TooLong(begun));
        }
        Some(if line.len() > self.limit { Line::TooLong(beginning(&line)) } else { Line::Whole(line) })
    }
}

fn beginning(line: &[u8]) -> Vec<u8> {
    line[..line.len().min(BEGINNING)].to_vec()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn cut(text: &[u8], every: usize, limit: usize) -> Vec<Line> {
        let mut lines = Lines::new(limit);
        let mut seen = Vec::new();
        for piece in text.chunks(every) {
            lines.push(piece);
            seen.extend(std::iter::from_fn(|| lines.next_line()));
            assert!(lines.buffer.len() <= limit, "holds {} bytes", lines.buffer.len());
        }
        seen
    }

    #[test]
    fn lines_are_the_same_wherever_the_bytes_are_cut() {
        let text = b"one\n\nthree is longer\nrest";
        for every in 1..text.len() {
            let whole = |line: &str| Line::Whole(line.into());
            assert_eq!(
                cut(text, every, 64),
                [whole("one"), whole(""), whole("three is longer")],
                "cut every {every}"
            );
        }
    }

    #[test]
    fn a_message_of_another_version_is_read() {
        let read = |text: &str| serde_json::from_str::<FromProxy>(text).unwrap();
        assert_eq!(read(r#"{"type":"greeting","of":["a",{"newer":1}]}"#), FromProxy::Unknown);
        assert_eq!(read(r#"{"type":"bye","newer":1}"#), FromProxy::Bye);
        let hello = read(r#"{"type":"hello","proxy":"a","gateway":"g","version":"1","holds":{}}"#);
        assert!(matches!(hello, FromProxy::Hello { open, .. } if open.is_empty()));
    }

    #[test]
    fn breakers_are_told_within_bounds() {
        let open = |i: usize| Open {
            provider: format!("ai/pool/{i:03}"),
            model: "m".to_owned(),
            error: "\u{e9}".repeat(LONGEST_ERROR + 1),
        };
        let told = bounded((0..MOST_OPEN + 9).rev().map(open).collect());
        assert_eq!((told.len(), told[0].provider.as_str()), (MOST_OPEN, "ai/pool/000"));
        assert_eq!(told[0].error.chars().count(), LONGEST_ERROR);
        assert_eq!(bounded(told.clone()), told);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_named_and_the_next_one_read() {
        let text = [b"{\"generation\":7,".as_slice(), &[b'x'; 500], b"\nnext\n"].concat();
        for every in 1..text.len() {
            let seen = cut(&text, every, 100);
            assert!(
                matches!(&seen[0], Line::TooLong(begun) if begun.starts_with(b"{\"generation\":7,")),
                "{seen:?}"
            );
            assert_eq!(seen[1..], [Line::Whole(b"next".to_vec())]);
        }
    }
}
