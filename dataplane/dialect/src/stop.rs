//! The end of a stream that the gateway makes in the model's place, where a budget is used up: what the
//! dialect's SDKs read as the model's own end at its limit of tokens. Apart from the writers, which it
//! makes go on where a stream that only passed by has been left.

use bytes::Bytes;

use crate::{
    Context,
    event::{Event, StreamReader, StreamWriter},
    frame::{self, Frame, Framing},
    reply::{Finish, Usage},
};

/// The longest token of each of OpenAI's vocabularies: a run of blanks.
const LONGEST_TOKEN: u64 = 128;
/// What is given beyond: some say at the start of a stream that there were a few tokens so far, count the mark at its
/// end, or say a sentence of their own where the model says nothing.
const BEYOND: u64 = 32;

/// The most output that a call may have, and when it has certainly more.
///
/// A stream shows text, not tokens. Neither its bytes nor its pieces are a count of them: a token may have one byte or
/// many, and a provider may send letter by letter. What proves more is the provider's own count, where it tells it on the
/// way, or more text than so many tokens can say. What passes neither mark is never called too much.
#[derive(Clone, Copy, Debug)]
pub struct MostOutput {
    tokens: u64,
    bytes: u64,
}

impl MostOutput {
    /// `tokens`: of all answers together.
    #[must_use]
    pub fn of(tokens: u64) -> Self {
        let tokens = tokens.saturating_add(BEYOND);
        Self { tokens, bytes: tokens.saturating_mul(LONGEST_TOKEN) }
    }

    /// Whether a provider's own count, or so many bytes of its model's text, are more than that.
    #[must_use]
    pub fn is_passed(&self, usage: Option<Usage>, bytes: u64) -> bool {
        bytes > self.bytes || usage.is_some_and(|usage| usage.output > self.tokens)
    }
}

/// What the end says.
#[derive(Clone, Copy, Debug)]
pub struct LengthStop<'a> {
    /// What the call took, as far as that is known.
    pub usage: Usage,
    /// The answers that have not ended.
    pub open: &'a [u32],
    /// That of the stream's writer.
    pub context: &'a Context,
}

/// How much of what has passed a writer must know to end the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Whose answer it is.
    Start,
    /// Everything: the end tells it once more.
    All,
}

impl LengthStop<'_> {
    /// Ends a stream that has passed by. What the writer would have written of it, it has been told.
    pub fn behind(
        &self,
        mut passed: Bytes,
        (framing, known): (Framing, Known),
        reader: &mut dyn StreamReader,
        writer: &mut dyn StreamWriter,
    ) -> Vec<u8> {
        let (mut out, mut started) = (Vec::new(), false);
        while let Some(bytes) = frame::next(framing, &mut passed) {
            let Some(frame) = Frame::parse(framing, &bytes) else { continue };
            let read = reader.read(&frame, &mut |event| {
                let start = matches!(event, Event::Start { .. });
                started |= start;
                if start || known == Known::All {
                    writer.write(&event, &mut out);
                }
            });
            // What can't be read has passed all the same.
            if read.is_err() {
                break;
            }
        }
        if started {
            for choice in self.open {
                writer.write(&Event::Text { choice: *choice, text: "".into() }, &mut out);
            }
            out.clear();
        } else {
            writer.write(&Event::Start { id: "".into(), model: "".into() }, &mut out);
        }
        self.end(writer, &mut out);
        out
    }

    /// Ends what is open, and the stream.
    pub fn end(&self, writer: &mut dyn StreamWriter, out: &mut Vec<u8>) {
        writer.write(&Event::Usage(self.usage), out);
        for choice in self.open {
            writer.write(&Event::Finish { choice: *choice, finish: Finish::Length }, out);
        }
        writer.end(out);
    }
}

#[cfg(test)]
mod tests;
