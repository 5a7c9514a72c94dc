//! A stream whose provider speaks the caller's API, on its way through: bytes pass as they are; what
//! is looked for is the usage, the end, and the borders of frames.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::{self, Finder};
use serde::de::IgnoredAny;

use crate::{
    Garbled,
    answers::Answers,
    frame::{self, Frame, FrameTooLarge, Frames, Framing},
    gather::Gather,
    reply::Usage,
    skim,
    stop::MostOutput,
};

/// Of an API whose last event tells everything once more, so much of a stream is kept to end it. Hundreds of
/// streams may run at once, and hardly ever is one cut: what is longer ends without saying it all again.
const MOST_KEPT: usize = 256 * 1024;

/// Where an API's streams say what matters.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    pub framing: Framing,
    /// What frames that name usage hold, and nearly no other: only these are parsed.
    pub names_usage: fn(&[u8]) -> bool,
    /// Adds a frame's usage to what earlier ones said, and says whether the frame is there for that
    /// alone.
    pub read_usage: fn(&[u8], &mut Option<Usage>) -> bool,
    /// Whether whole frames hold the end, or that of one answer.
    pub says_end: fn(&[u8]) -> bool,
    /// Notes the answers in the data of a frame, and their ends; `None` where a call has but one.
    pub read_answers: Option<fn(&[u8], &mut Answers)>,
    /// How many bytes of a model's own text frames show: no more than there are.
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
    /// Of a call for several: the end of one is not that of the stream.
    answers: Option<Box<Answers>>,
    count: u64,
    limit: Option<Box<Limit>>,
}

/// What is watched of a stream that has a most of its output.
#[derive(Debug)]
struct Limit {
    most: MostOutput,
    /// Bytes that came, whatever they are.
    came: u64,
    /// Bytes of text, counted once more has come than the most can be.
    shown: u64,
    /// What is needed to end the stream in the model's place.
    kept: Vec<Bytes>,
    kept_bytes: usize,
}

impl Tap {
    #[must_use]
    pub fn new(marks: &'static Marks, hide_usage: bool) -> Self {
        let frames = Frames::new(marks.framing);
        Self { marks, hide_usage, frames, usage: None, ended: false, answers: None, count: 0, limit: None }
    }

    /// Of a call for so many answers.
    pub fn expect(&mut self, answers: u64) {
        let several = answers > 1 && self.marks.read_answers.is_some();
        self.answers = several.then(|| Box::new(Answers::of(answers)));
    }

    /// Watches for more than so much, and keeps what is needed to end the stream in the model's place.
    pub fn limit(&mut self, most: MostOutput) {
        self.limit = Some(Box::new(Limit { most, came: 0, shown: 0, kept: Vec::new(), kept_bytes: 0 }));
    }

    /// Whether there is certainly more than that, and no end.
    #[must_use]
    pub fn runs_past(&self) -> bool {
        let past = |limit: &Limit| limit.most.is_passed(self.usage, limit.shown);
        !self.ended && self.limit.as_deref().is_some_and(past)
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
        // Some servers give fewer than are asked for.
        self.ended |= self.answers.as_deref().is_some_and(Answers::those_begun_have_ended);
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

    /// The answers that have not ended, of a stream that has not.
    pub(crate) fn open(&self) -> Vec<u32> {
        self.answers.as_deref().map_or_else(|| vec![0], Answers::open)
    }

    /// What has been kept of the stream.
    pub(crate) fn take_kept(&mut self) -> Bytes {
        self.limit.take().map(|limit| limit.kept.concat().into()).unwrap_or_default()
    }

    /// Passes whole frames.
    fn pass(&mut self, mut whole: Bytes, out: &mut Gather) {
        if let Some(limit) = &mut self.limit {
            limit.note(self.marks, whole.clone());
        }
        self.look_for_end(&whole);
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

    fn look_for_end(&mut self, whole: &Bytes) {
        let (Some(answers), Some(read)) = (&mut self.answers, self.marks.read_answers) else {
            self.ended |= (self.marks.says_end)(whole);
            return;
        };
        let mut rest = whole.clone();
        while let Some(bytes) = frame::next(self.marks.framing, &mut rest) {
            if let Some(frame) = Frame::parse(self.marks.framing, &bytes) {
                read(&frame.data, answers);
            }
        }
        self.ended |= answers.have_ended();
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

impl Limit {
    fn note(&mut self, marks: &Marks, whole: Bytes) {
        self.came += whole.len() as u64;
        // Text is no longer than all that came: until then there is no need to look for it.
        if self.most.is_passed(None, self.came) {
            self.shown += (marks.shows)(&whole);
        }
        self.keep(marks, whole);
    }

    fn keep(&mut self, marks: &Marks, mut whole: Bytes) {
        // Signs of life tell nothing.
        while whole.starts_with(b":") || whole.starts_with(b"event: ping") {
            if frame::next(marks.framing, &mut whole).is_none() {
                return;
            }
        }
        if whole.is_empty() {
            return;
        }
        if !marks.keeps_all {
            self.kept.clear();
        } else if self.kept_bytes + whole.len() > MOST_KEPT {
            return;
        }
        self.kept_bytes += whole.len();
        self.kept.push(whole);
    }
}

/// Whether bytes that came without a border behind them are a frame all the same.
fn is_whole(framing: Framing, bytes: &[u8]) -> bool {
    Frame::parse(framing, bytes).is_some_and(|frame| {
        frame.data.trim_ascii() == b"[DONE]" || serde_json::from_slice::<IgnoredAny>(&frame.data).is_ok()
    })
}

/// The bytes of the texts that stand in the values of `field` under one of `names`, without their escapes. What is no
/// sound value counts nothing.
#[must_use]
pub fn texts_within<const N: usize>(frames: &[u8], field: &Finder<'_>, names: &[Finder<'_>; N]) -> [u64; N] {
    let mut bytes = [0; N];
    for at in field.find_iter(frames) {
        let Some(value) = value_at(frames, field, at) else { continue };
        for (bytes, name) in bytes.iter_mut().zip(names) {
            *bytes += texts(value, name);
        }
    }
    bytes
}

/// The same of the values that are texts themselves.
#[must_use]
pub fn texts(frames: &[u8], field: &Finder<'_>) -> u64 {
    field.find_iter(frames).filter_map(|at| value_at(frames, field, at)).map(text_len).sum()
}

fn value_at<'a>(frames: &'a [u8], field: &Finder<'_>, at: usize) -> Option<&'a [u8]> {
    skim::value_behind(frames.get(at + field.needle().len()..)?)
}

/// The bytes of a JSON string, at least; of another value none.
fn text_len(value: &[u8]) -> u64 {
    let Some(mut rest) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return 0;
    };
    let mut len = rest.len();
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let unicode = rest.get(at + 1) == Some(&b'u');
        // An escape stands for one byte at least.
        let escape = if unicode { 6 } else { 2 };
        len = len.saturating_sub(escape - 1);
        rest = rest.get(at + escape..).unwrap_or_default();
    }
    len as u64
}

/// The field in which all of OpenAI's streams and Anthropic's show output. To make a finder takes longer
/// than to look through a frame.
pub static DELTA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"delta\""));

/// Whether `key` stands anywhere with a value that begins with `first`.
#[must_use]
pub fn names_value(bytes: &[u8], key: &[u8], first: u8) -> bool {
    values(bytes, key).any(|value| value.first() == Some(&first))
}

/// Whether it stands anywhere with a text that is not empty.
#[must_use]
pub fn names_text(bytes: &[u8], key: &[u8]) -> bool {
    values(bytes, key).any(|value| value.first() == Some(&b'"') && value.get(1) != Some(&b'"'))
}

fn values<'a>(bytes: &'a [u8], key: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    memmem::find_iter(bytes, key).map(|at| {
        let rest = &bytes[at + key.len()..];
        let value = rest.iter().position(|b| !matches!(*b, b' ' | b':' | b'\t'));
        &rest[value.unwrap_or(rest.len())..]
    })
}
