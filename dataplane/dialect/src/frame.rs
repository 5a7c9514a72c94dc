//! Streams cut into frames: server-sent events, or lines of JSON. Only whole frames are passed on: a
//! client can do nothing with half of one, and so an error can follow at any time.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memmem, memrchr};

/// A frame that never ends is refused at this size.
const MAX_FRAME_BYTES: usize = 4 * 1024 * 1024;

/// What frames are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events, as the WHATWG HTML standard defines them.
    Sse,
    /// A JSON value a line.
    Lines,
    /// The elements of one JSON array, each written whole. Only the gateway writes it.
    Array,
}

impl Framing {
    /// The content type of such a stream.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream; charset=utf-8",
            Self::Lines => "application/x-ndjson",
            Self::Array => "application/json; charset=utf-8",
        }
    }
}

/// A frame over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLarge;

/// Bytes as they come, to whole frames.
#[derive(Debug)]
pub struct Frames {
    framing: Framing,
    /// The beginning of a frame whose end has not come.
    held: BytesMut,
    /// How far `held` is known to hold no border.
    searched: usize,
}

impl Frames {
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self { framing, held: BytesMut::new(), searched: 0 }
    }

    /// Takes bytes as they came and gives the frames that are whole now, together; often none.
    ///
    /// # Errors
    /// When a frame has grown over 4 MiB.
    #[expect(clippy::needless_pass_by_value, reason = "a slice of it is given back")]
    pub fn push(&mut self, bytes: Bytes) -> Result<Bytes, FrameTooLarge> {
        let whole = if self.held.is_empty() {
            let border = self.last_border(&bytes);
            self.held.extend_from_slice(&bytes[border..]);
            bytes.slice(..border)
        } else {
            self.held.extend_from_slice(&bytes);
            match self.last_border(&self.held[self.searched..]) {
                0 => Bytes::new(),
                border => self.held.split_to(self.searched + border).freeze(),
            }
        };
        // A border is at most four bytes long, so the last three may be part of one.
        self.searched = self.held.len().saturating_sub(3);
        if self.held.len() > MAX_FRAME_BYTES { Err(FrameTooLarge) } else { Ok(whole) }
    }

    /// What has come of a frame without an end, at the end of the stream.
    pub fn rest(&mut self) -> Bytes {
        self.searched = 0;
        self.held.split().freeze()
    }

    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Behind the last border, 0 where there is none.
    fn last_border(&self, bytes: &[u8]) -> usize {
        match self.framing {
            Framing::Sse => {
                let behind = |border: &[u8]| memmem::rfind(bytes, border).map_or(0, |at| at + border.len());
                behind(b"\n\n").max(behind(b"\n\r\n"))
            }
            Framing::Lines | Framing::Array => memrchr(b'\n', bytes).map_or(0, |at| at + 1),
        }
    }
}

/// A stream until it says something: comments are signs of life, and no more.
#[derive(Debug)]
pub struct Beginning {
    frames: Frames,
    alive: bool,
}

impl Beginning {
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self { frames: Frames::new(framing), alive: false }
    }

    /// Takes what came next; whether a frame with data is there now, or will never be.
    pub fn says(&mut self, bytes: &Bytes) -> bool {
        let Ok(mut whole) = self.frames.push(bytes.clone()) else { return true };
        let framing = self.frames.framing;
        while let Some(frame) = next(framing, &mut whole) {
            if Frame::parse(framing, &frame).is_some() {
                return true;
            }
            self.alive = true;
        }
        false
    }

    /// Whether a frame without data has come.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.alive
    }
}

/// Cuts the first frame, its border included, off whole ones; `None` when there is no more.
pub fn next(framing: Framing, whole: &mut Bytes) -> Option<Bytes> {
    if whole.is_empty() {
        return None;
    }
    let end = match framing {
        Framing::Sse => first_event_end(whole),
        Framing::Lines | Framing::Array => memchr(b'\n', whole).map(|at| at + 1),
    };
    Some(whole.split_to(end.unwrap_or(whole.len())))
}

/// Behind the first border of events.
fn first_event_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr(b'\n', &bytes[from..])? + 1;
        match &bytes[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => from = at,
        }
    }
}

/// A frame, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The event's name, where it has one.
    pub event: &'a [u8],
    /// The data: JSON, or an API's end mark.
    pub data: Cow<'a, [u8]>,
}

impl<'a> Frame<'a> {
    /// Takes a whole frame apart; `None` for one without data, such as a comment.
    #[must_use]
    pub fn parse(framing: Framing, bytes: &'a [u8]) -> Option<Self> {
        if framing != Framing::Sse {
            let data = bytes.trim_ascii();
            return (!data.is_empty()).then_some(Self { event: b"", data: Cow::Borrowed(data) });
        }
        let mut event: &[u8] = b"";
        let mut data: Option<Cow<'a, [u8]>> = None;
        for line in bytes.split(|b| *b == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Some(value) = field(line, b"data:") {
                match &mut data {
                    None => data = Some(Cow::Borrowed(value)),
                    Some(lines) => {
                        let lines = lines.to_mut();
                        lines.push(b'\n');
                        lines.extend_from_slice(value);
                    }
                }
            } else if let Some(value) = field(line, b"event:") {
                event = value;
            }
        }
        data.map(|data| Self { event, data })
    }
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn through(framing: Framing, text: &[u8], cut: usize) -> Vec<Vec<u8>> {
        let mut frames = Frames::new(framing);
        let mut seen = Vec::new();
        let mut take = |mut whole: Bytes| {
            while let Some(frame) = next(framing, &mut whole) {
                seen.push(frame.to_vec());
            }
        };
        for piece in text.chunks(cut) {
            take(frames.push(Bytes::copy_from_slice(piece)).unwrap());
        }
        take(frames.rest());
        seen
    }

    #[test]
    fn any_cut_gives_the_same_frames() {
        let sse = b"data: a\n\n: comment\r\n\r\nevent: x\ndata: b\ndata: c\n\ndata: open";
        let lines = b"{\"a\":1}\n{\"b\":2}\r\n{\"c\":3}";
        for (framing, text, count) in [(Framing::Sse, &sse[..], 4), (Framing::Lines, &lines[..], 3)] {
            let whole = through(framing, text, text.len());
            assert_eq!(whole.len(), count);
            for cut in 1..text.len() {
                assert_eq!(through(framing, text, cut), whole, "cut every {cut}");
            }
        }
    }

    #[test]
    fn a_frame_is_taken_apart() {
        let frame = Frame::parse(Framing::Sse, b"event: x\r\ndata:b\r\ndata: c\r\n\r\n").unwrap();
        assert_eq!((frame.event, frame.data.as_ref()), (&b"x"[..], &b"b\nc"[..]));
        assert_eq!(Frame::parse(Framing::Sse, b": ping\n\n"), None);
        assert_eq!(Frame::parse(Framing::Lines, b" \n"), None);
        assert_eq!(Frame::parse(Framing::Lines, b"{}\r\n").unwrap().data.as_ref(), b"{}");
    }

    #[test]
    fn a_stream_says_something_by_its_first_frame_with_data() {
        let mut beginning = Beginning::new(Framing::Sse);
        let pieces = [": wait\n", "\ndata:", " {}\n", "\n"];
        let said = pieces.map(|piece| (beginning.says(&Bytes::from(piece)), beginning.is_alive()));
        assert_eq!(said, [(false, false), (false, true), (false, true), (true, true)]);
        assert!(Beginning::new(Framing::Lines).says(&Bytes::from("{}\n{")));
        assert!(Beginning::new(Framing::Sse).says(&vec![b'y'; MAX_FRAME_BYTES + 1].into()));
    }

    #[test]
    fn an_endless_frame_is_refused() {
        let mut frames = Frames::new(Framing::Sse);
        let piece = Bytes::from(vec![b'y'; 1 << 20]);
        assert!((0..4).all(|_| frames.push(piece.clone()).is_ok()));
        assert_eq!(frames.push(piece), Err(FrameTooLarge));
    }
}
