//! A stream whose provider speaks the caller's API, on its way through: bytes pass as they are; what
//! is looked for is the usage, the end, and the borders of frames.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::{self, Finder};
use serde::de::IgnoredAny;

use crate::{
    Garbled,
    frame::{self, Frame, FrameTooLarge, Frames, Framing},
    gather::Gather,
    reply::Usage,
    skim,
};

/// Where an API's streams say what matters.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    pub framing: Framing,
    /// What frames that name usage hold, and nearly no other: only these are parsed.
    pub names_usage: fn(&[u8]) -> bool,
    /// Adds a frame's usage to what earlier ones said, and says whether the frame is there for that
    /// alone.
    pub read_usage: fn(&[u8], &mut Option<Usage>) -> bool,
    /// Whether whole frames hold the end.
    pub says_end: fn(&[u8]) -> bool,
    /// How many bytes of output frames show: no fewer than there are.
    pub shows: fn(&[u8]) -> u64,
    /// Where in its stream an API is, all that has passed tells, and not just the last of it.
    pub keeps_all: bool,
    /// The usage in a whole reply, where it names one; an error when the body is no reply at all.
    pub usage_of_reply: fn(&[u8]) -> Result<Option<Usage>, Garbled>,
}

/// Reads along.
#[derive(Debug)]
pub struct Tap {
    marks: &'static Marks,
    /// The usage frame is the gateway's own wish and not the caller's.
    hide_usage: bool,
    frames: Frames,
    usage: Option<Usage>,
    ended: bool,
    count: u64,
    shown: u64,
    kept: Option<Vec<Bytes>>,
}

impl Tap {
    #[must_use]
    pub fn new(marks: &'static Marks, hide_usage: bool) -> Self {
        let frames = Frames::new(marks.framing);
        Self { marks, hide_usage, frames, usage: None, ended: false, count: 0, shown: 0, kept: None }
    }

    /// Keeps what is needed to end the stream in the model's place.
    #[must_use]
    pub fn stoppable(self) -> Self {
        Self { kept: Some(Vec::new()), ..self }
    }

    /// Takes bytes as they came and gives those to pass on.
    ///
    /// # Errors
    /// When a frame has grown over its limit.
    pub fn push(&mut self, bytes: Bytes, out: &mut Gather) -> Result<(), FrameTooLarge> {
        let whole = self.frames.push(bytes)?;
        if !whole.is_empty() {
            self.pass(whole, out);
        }
        Ok(())
    }

    /// The provider has closed in good order: gives what was held, and says whether the stream had
    /// come to its end.
    pub fn end(&mut self, out: &mut Gather) -> bool {
        let held = self.frames.rest();
        // Half a frame is no end, whatever it says.
        if is_whole(self.marks.framing, &held) && (self.ended || (self.marks.says_end)(&held)) {
            self.pass(held, out);
            out.push(Bytes::from_static(if self.marks.framing == Framing::Sse { b"\n\n" } else { b"\n" }));
        }
        self.ended
    }

    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Whether the end has come.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Frames passed on: about one a token.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of output that the frames have shown, in JSON, with some around them: no fewer than their
    /// text has.
    #[must_use]
    pub fn shown(&self) -> u64 {
        self.shown
    }

    /// What has been kept of the stream.
    pub(crate) fn take_kept(&mut self) -> Bytes {
        self.kept.take().map(|kept| kept.concat().into()).unwrap_or_default()
    }

    fn keep(&mut self, mut whole: Bytes) {
        let Some(kept) = &mut self.kept else { return };
        // Signs of life tell nothing.
        while whole.starts_with(b":") || whole.starts_with(b"event: ping") {
            if frame::next(self.marks.framing, &mut whole).is_none() {
                return;
            }
        }
        if whole.is_empty() {
            return;
        }
        if !self.marks.keeps_all {
            kept.clear();
        }
        kept.push(whole);
    }

    /// Passes whole frames.
    fn pass(&mut self, mut whole: Bytes, out: &mut Gather) {
        self.keep(whole.clone());
        self.shown += (self.marks.shows)(&whole);
        self.ended |= (self.marks.says_end)(&whole);
        if !(self.marks.names_usage)(&whole) {
            self.count += self.count_frames(&whole);
            out.push(whole);
            return;
        }
        while let Some(bytes) = frame::next(self.marks.framing, &mut whole) {
            let alone = Frame::parse(self.marks.framing, &bytes)
                .is_some_and(|frame| (self.marks.read_usage)(&frame.data, &mut self.usage));
            if alone && self.hide_usage {
                continue;
            }
            self.count += 1;
            out.push(bytes);
        }
    }

    fn count_frames(&self, whole: &[u8]) -> u64 {
        match self.marks.framing {
            Framing::Sse => {
                static DATA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("data:"));
                DATA.find_iter(whole).count() as u64
            }
            Framing::Lines | Framing::Array => memchr::memchr_iter(b'\n', whole).count() as u64,
        }
    }
}

/// Whether bytes that came without a border behind them are a frame all the same.
fn is_whole(framing: Framing, bytes: &[u8]) -> bool {
    Frame::parse(framing, bytes).is_some_and(|frame| {
        frame.data.trim_ascii() == b"[DONE]" || serde_json::from_slice::<IgnoredAny>(&frame.data).is_ok()
    })
}

/// How many bytes stand in the values of a field, without those that each has `beside` the output at
/// least. What is no sound value counts to the end.
#[must_use]
pub fn shown(frames: &[u8], field: &Finder<'_>, beside: &str) -> u64 {
    let values = field.find_iter(frames).map(|at| {
        let rest = frames.get(at + field.needle().len()..).unwrap_or_default();
        skim::value_behind(rest).unwrap_or(rest).len().saturating_sub(beside.len()) as u64
    });
    values.sum()
}

/// The field in which all of OpenAI's streams and Anthropic's show output. To make a finder takes longer
/// than to look through a frame.
pub static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"delta\""));

/// Whether `key` stands anywhere with a value that begins with `first`.
#[must_use]
pub fn names_value(bytes: &[u8], key: &[u8], first: u8) -> bool {
    memmem::find_iter(bytes, key).any(|at| {
        let value = bytes[at + key.len()..].iter().find(|b| !matches!(**b, b' ' | b':' | b'\t'));
        value == Some(&first)
    })
}
