//! A stream of chat completion chunks on its way through: bytes pass as they are; what is looked for
//! is the usage, the end, and event borders.
//!
//! Only whole events are passed on. An SSE client can do nothing with half an event, and so an error
//! event can follow at any time, and the usage event that the gateway itself asked for can be hidden.

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde::{Deserialize, de::IgnoredAny};

use super::{Usage, UsageObject};

/// An event that never ends is refused at this size.
const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// An event over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTooLarge;

/// Reads along.
#[derive(Debug)]
pub struct StreamTap {
    hide_usage: bool,
    /// The beginning of an event whose end has not come.
    held: BytesMut,
    /// How far `held` is known to hold no event border.
    searched: usize,
    usage: Option<Usage>,
    ended: bool,
    events: u64,
}

impl StreamTap {
    pub fn new(hide_usage: bool) -> Self {
        Self { hide_usage, held: BytesMut::new(), searched: 0, usage: None, ended: false, events: 0 }
    }

    /// Takes bytes as they came and gives those to pass on.
    pub fn push(&mut self, bytes: Bytes, out: &mut Gather) -> Result<(), EventTooLarge> {
        if self.held.is_empty() {
            let border = last_border(&bytes);
            if border > 0 {
                self.pass(bytes.slice(..border), out);
            }
            self.held.extend_from_slice(&bytes[border..]);
        } else {
            self.held.extend_from_slice(&bytes);
            let border = last_border(&self.held[self.searched..]);
            if border > 0 {
                let whole = self.held.split_to(self.searched + border).freeze();
                self.pass(whole, out);
            }
        }
        // A border is at most four bytes long, so the last three may be part of one.
        self.searched = self.held.len().saturating_sub(3);
        if self.held.len() > MAX_EVENT_BYTES { Err(EventTooLarge) } else { Ok(()) }
    }

    /// The provider has closed in good order: gives what was held, and says whether the stream had
    /// come to its end.
    pub fn end(&mut self, out: &mut Gather) -> bool {
        let held = std::mem::take(&mut self.held).freeze();
        if memmem::find(&held, b"[DONE]").is_some() || (self.ended && !held.trim_ascii().is_empty()) {
            self.pass(held, out);
            out.push(Bytes::from_static(b"\n\n"));
        }
        self.ended
    }

    /// The last usage that the provider named.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Events passed on: about one a token.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Passes whole events.
    fn pass(&mut self, events: Bytes, out: &mut Gather) {
        self.ended |= says_end(&events);
        if !names_value(&events, b"\"usage\"", b'{') {
            self.events += count_events(&events);
            out.push(events);
            return;
        }
        let mut rest = events;
        while !rest.is_empty() {
            let event = rest.split_to(first_border(&rest).unwrap_or(rest.len()));
            if self.is_hidden(&event) {
                continue;
            }
            self.events += 1;
            out.push(event);
        }
    }

    /// Takes the usage of an event, and says whether the caller must not see that event.
    fn is_hidden(&mut self, event: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Chunk {
            #[serde(default)]
            choices: Vec<IgnoredAny>,
            usage: Option<UsageObject>,
        }
        let Some(data) = memmem::find(event, b"{").map(|at| event[at..].trim_ascii_end()) else {
            return false;
        };
        match serde_json::from_slice::<Chunk>(data) {
            Ok(Chunk { choices, usage: Some(usage) }) => {
                self.usage = Some(usage.into());
                self.hide_usage && choices.is_empty()
            }
            _ => false,
        }
    }
}

/// Behind the last event border, 0 where there is none.
fn last_border(bytes: &[u8]) -> usize {
    let behind = |border: &[u8]| memmem::rfind(bytes, border).map_or(0, |at| at + border.len());
    behind(b"\n\n").max(behind(b"\n\r\n"))
}

/// Behind the first event border.
fn first_border(bytes: &[u8]) -> Option<usize> {
    let behind = |border: &[u8]| memmem::find(bytes, border).map(|at| at + border.len());
    match (behind(b"\n\n"), behind(b"\n\r\n")) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn count_events(events: &[u8]) -> u64 {
    memmem::find_iter(events, b"data:").count() as u64
}

/// Whether the events hold the mark of the end, or a choice that has finished: some servers leave
/// the mark out.
fn says_end(events: &[u8]) -> bool {
    let tail = &events[events.len().saturating_sub(32)..];
    memmem::find(tail, b"[DONE]").is_some() || names_value(events, b"\"finish_reason\"", b'"')
}

/// Whether `key` stands anywhere with a value that begins with `first`.
fn names_value(bytes: &[u8], key: &[u8], first: u8) -> bool {
    memmem::find_iter(bytes, key).any(|at| {
        let value = bytes[at + key.len()..].iter().find(|b| !matches!(**b, b' ' | b':' | b'\t'));
        value == Some(&first)
    })
}

/// Bytes that are ready together, to be written together: one frame is passed as it is, more are
/// copied into one.
#[derive(Debug, Default)]
pub struct Gather {
    first: Bytes,
    joined: BytesMut,
}

impl Gather {
    pub fn push(&mut self, bytes: Bytes) {
        if self.is_empty() {
            self.first = bytes;
        } else {
            if self.joined.is_empty() {
                self.joined.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.joined.extend_from_slice(&bytes);
        }
    }

    pub fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn take(&mut self) -> Bytes {
        if self.joined.is_empty() { std::mem::take(&mut self.first) } else { self.joined.split().freeze() }
    }
}

#[cfg(test)]
mod tests;
