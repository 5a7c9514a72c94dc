//! What is answered in pieces, in no vendor's words; and the two ends of a stream.

use std::borrow::Cow;

use crate::{
    Fault, Garbled,
    frame::Frame,
    reply::{Finish, TokenLogprob, Usage},
    seal::Seal,
};

/// A piece of an answer. `choice` counts the answers that were asked for, from 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The answer begins: the first event, once. Either may be empty.
    Start {
        id: Cow<'a, str>,
        model: Cow<'a, str>,
    },
    Text {
        choice: u32,
        text: Cow<'a, str>,
    },
    Refusal {
        choice: u32,
        text: Cow<'a, str>,
    },
    Reasoning {
        choice: u32,
        text: Cow<'a, str>,
    },
    /// The proof of the thinking that came before it, or, redacted, of thinking that is not shown.
    Sealed {
        choice: u32,
        seal: Seal,
    },
    /// A tool call begins. `index` counts the calls of the choice, from 0; arguments of several
    /// calls may come mixed.
    ToolCall {
        choice: u32,
        index: u32,
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        seal: Option<Seal>,
    },
    /// A fragment of the JSON text of a call's arguments. A call without any has the arguments `{}`.
    Arguments {
        choice: u32,
        index: u32,
        fragment: Cow<'a, str>,
    },
    Logprobs {
        choice: u32,
        tokens: Vec<TokenLogprob>,
    },
    /// The choice has ended.
    Finish {
        choice: u32,
        finish: Finish,
    },
    /// So far; the last one counts. It may come after `Finish`.
    Usage(Usage),
    /// The provider says, in the middle of the stream, that it failed.
    Failed(Fault),
}

/// Where a reader puts what it reads.
pub type Emit<'e> = dyn FnMut(Event<'_>) + 'e;

/// A provider's stream to events. One for each stream: it keeps what has to be kept between frames.
pub trait StreamReader: Send {
    /// Reads one whole frame. An API's end mark gives no event; a frame that is none of the API's
    /// own kind is passed over, since APIs grow.
    ///
    /// # Errors
    /// When the frame can't be read at all.
    fn read(&mut self, frame: &Frame<'_>, emit: &mut Emit<'_>) -> Result<(), Garbled>;
}

/// Events to a caller's stream. One for each stream. Everything that it is given is written at once:
/// a client must not wait for an event that the gateway has.
pub trait StreamWriter: Send {
    /// Writes whole frames for the event, or none.
    fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>);

    /// The stream has come to its end: whatever is still open is closed, and the end mark written.
    fn end(&mut self, out: &mut Vec<u8>);
}
