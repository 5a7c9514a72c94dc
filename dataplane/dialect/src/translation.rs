//! A stream whose provider speaks another API than its caller, on its way through: frames to events,
//! events to frames.

use bytes::Bytes;

use crate::{
    CallerApi, Context, Fault, Garbled, LengthStop,
    answers::Answers,
    chat::ToolCall,
    event::{Event, StreamReader, StreamWriter},
    frame::{self, Frame, FrameTooLarge, Frames, Framing},
    gather::Gather,
    gemini::ArrayWriter,
    reply::Usage,
    stop::MostOutput,
    tap::Tap,
};

/// Why a stream can't go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    FrameTooLarge,
    Garbled(Garbled),
    /// The provider said so.
    Failed(Fault),
}

impl From<FrameTooLarge> for Broken {
    fn from(FrameTooLarge: FrameTooLarge) -> Self {
        Self::FrameTooLarge
    }
}

/// One stream.
pub struct Translation {
    frames: Frames,
    reader: Box<dyn StreamReader>,
    writer: Box<dyn StreamWriter>,
    /// What makes the ids unique that the reader made up.
    tag: String,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    usage: Option<Usage>,
    answers: Answers,
    failed: Option<Fault>,
    count: u64,
    /// Bytes of text, thinking and arguments: no more than the model has made.
    shown: u64,
    most: Option<MostOutput>,
    started: bool,
}

impl std::fmt::Debug for Translation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Translation").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Translation {
    /// `framing` is that of the provider's stream.
    #[must_use]
    pub fn new(framing: Framing, reader: Box<dyn StreamReader>, writer: Box<dyn StreamWriter>) -> Self {
        Self { frames: Frames::new(framing), reader, writer, tag: String::new(), seen: Seen::default() }
    }

    /// Makes the ids unique that the reader makes up; `tag` is this reply's own.
    #[must_use]
    pub fn with_renewed_ids(mut self, tag: impl Into<String>) -> Self {
        self.tag = tag.into();
        self
    }

    fn push(&mut self, bytes: Bytes, out: &mut Gather) -> Result<(), Broken> {
        let whole = self.frames.push(bytes)?;
        self.read(whole, out)
    }

    fn read(&mut self, mut whole: Bytes, out: &mut Gather) -> Result<(), Broken> {
        let Self { frames, reader, writer, tag, seen } = self;
        let mut written = Vec::new();
        let mut read = Ok(());
        while let Some(bytes) = frame::next(frames.framing(), &mut whole) {
            let Some(frame) = Frame::parse(frames.framing(), &bytes) else { continue };
            read = reader.read(&frame, &mut |mut event| {
                if let Event::ToolCall { id, .. } = &mut event
                    && !tag.is_empty()
                    && let Some(renewed) = ToolCall::renewed_id(id, tag)
                {
                    *id = renewed.into();
                }
                seen.note(&event);
                writer.write(&event, &mut written);
            });
            if read.is_err() || seen.failed.is_some() {
                break;
            }
        }
        if !written.is_empty() {
            out.push(written.into());
        }
        match seen.failed.take() {
            Some(fault) => Err(Broken::Failed(fault)),
            None => read.map_err(Broken::Garbled),
        }
    }

    fn end(&mut self, out: &mut Gather) -> Result<bool, Broken> {
        let rest = self.frames.rest();
        // Half a frame at the end is a stream that broke; a whole one may lack its border.
        let read = self.read(rest, out);
        // Some servers give fewer answers than are asked for.
        if self.seen.answers.those_begun_have_ended() {
            self.seen.answers.end();
            let mut written = Vec::new();
            self.writer.end(&mut written);
            out.push(written.into());
            return Ok(true);
        }
        match read {
            Err(Broken::Failed(fault)) => Err(Broken::Failed(fault)),
            _ => Ok(false),
        }
    }
}

impl Translation {
    fn stop_by_length(&mut self, usage: Usage, context: &Context, out: &mut Gather) {
        let Self { writer, seen, .. } = self;
        let mut written = Vec::new();
        if !seen.started {
            writer.write(&Event::Start { id: "".into(), model: "".into() }, &mut written);
        }
        let open = &seen.answers.open();
        LengthStop { usage, open, context }.end(&mut **writer, &mut written);
        out.push(written.into());
    }
}

impl Seen {
    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failed(fault) => self.failed = Some(fault.clone()),
            Event::Start { .. } => self.started = true,
            Event::Finish { choice, .. } => self.answers.note(*choice, true),
            Event::Text { choice, .. }
            | Event::Refusal { choice, .. }
            | Event::Reasoning { choice, .. }
            | Event::Sealed { choice, .. }
            | Event::ToolCall { choice, .. }
            | Event::Arguments { choice, .. }
            | Event::Logprobs { choice, .. } => {
                self.count += 1;
                self.shown += shown(event);
                self.answers.note(*choice, false);
            }
        }
    }

    fn runs_past(&self) -> bool {
        self.most.is_some_and(|most| most.is_passed(self.usage, self.shown)) && !self.answers.have_ended()
    }
}

fn shown(event: &Event<'_>) -> u64 {
    let len = match event {
        Event::Text { text, .. } | Event::Refusal { text, .. } | Event::Reasoning { text, .. } => text.len(),
        Event::ToolCall { name, .. } => name.len(),
        Event::Arguments { fragment, .. } => fragment.len(),
        _ => 0,
    };
    len as u64
}

/// One stream's way from its provider to its caller.
#[derive(Debug)]
pub struct Through {
    way: Way,
    /// Something has gone to the caller.
    begun: bool,
}

#[derive(Debug)]
enum Way {
    /// The provider speaks the caller's API.
    Same(Tap),
    /// Gemini's events, for a caller who wants an array of them.
    Array(Tap, ArrayWriter),
    /// The provider speaks another.
    Other(Box<Translation>),
}

impl Through {
    #[must_use]
    pub fn same(tap: Tap) -> Self {
        Self { way: Way::Same(tap), begun: false }
    }

    #[must_use]
    pub fn array(tap: Tap) -> Self {
        Self { way: Way::Array(tap, ArrayWriter::default()), begun: false }
    }

    #[must_use]
    pub fn other(translation: Translation) -> Self {
        Self { way: Way::Other(Box::new(translation)), begun: false }
    }

    /// Takes bytes as they came and gives what goes to the caller.
    ///
    /// # Errors
    /// When the stream can't go on; what was whole before is given all the same.
    pub fn push(&mut self, bytes: Bytes, out: &mut Gather) -> Result<(), Broken> {
        let pushed = match &mut self.way {
            Way::Same(tap) => tap.push(bytes, out).map_err(Broken::from),
            Way::Array(tap, array) => {
                let mut frames = Gather::default();
                let pushed = tap.push(bytes, &mut frames);
                array.push(frames.take(), out);
                pushed.map_err(Broken::from)
            }
            Way::Other(translation) => translation.push(bytes, out),
        };
        self.begun |= !out.is_empty();
        pushed
    }

    /// The provider has closed in good order: gives what was held, and says whether the stream had
    /// come to its end.
    ///
    /// # Errors
    /// When the last frame says that the provider failed.
    pub fn end(&mut self, out: &mut Gather) -> Result<bool, Broken> {
        match &mut self.way {
            Way::Same(tap) => Ok(tap.end(out)),
            Way::Array(tap, array) => {
                let mut frames = Gather::default();
                let ended = tap.end(&mut frames);
                array.push(frames.take(), out);
                self.begun |= !out.is_empty();
                if ended {
                    array.end(out);
                }
                Ok(ended)
            }
            Way::Other(translation) => {
                let ended = translation.end(out);
                self.begun |= !out.is_empty();
                ended
            }
        }
    }

    /// The last thing that the caller gets of a stream that broke.
    pub fn fail(&self, api: &dyn CallerApi, fault: &Fault, out: &mut Gather) {
        let mut event = api.error_event(fault).to_vec();
        if api.framing() == Framing::Array
            && !self.begun
            && let Some(comma) = event.first_mut()
        {
            *comma = b'[';
        }
        out.push(event.into());
    }

    /// Says how many answers the call asks for, before any has come; by itself one.
    pub fn expect(&mut self, answers: u64) {
        match &mut self.way {
            Way::Same(tap) | Way::Array(tap, _) => tap.expect(answers),
            Way::Other(translation) => translation.seen.answers = Answers::of(answers),
        }
    }

    /// Says how much output there may be, before any has come.
    pub fn limit(&mut self, most: MostOutput) {
        match &mut self.way {
            Way::Same(tap) | Way::Array(tap, _) => tap.limit(most),
            Way::Other(translation) => translation.seen.most = Some(most),
        }
    }

    /// Whether the provider has certainly given more than that, and goes on.
    #[must_use]
    pub fn runs_past(&self) -> bool {
        match &self.way {
            Way::Same(tap) | Way::Array(tap, _) => tap.runs_past(),
            Way::Other(translation) => translation.seen.runs_past(),
        }
    }

    /// Ends a stream whose end has not come, as if the model had come to its limit of tokens. A stream
    /// that passes has to have a [`limit`](Self::limit).
    pub fn stop_by_length(&mut self, api: &dyn CallerApi, usage: Usage, context: &Context, out: &mut Gather) {
        let behind = |tap: &mut Tap| -> Bytes {
            let open = &tap.open();
            api.length_stop(tap.take_kept(), &LengthStop { usage, open, context }).into()
        };
        match &mut self.way {
            Way::Same(tap) => out.push(behind(tap)),
            Way::Array(tap, array) => {
                array.push(behind(tap), out);
                array.end(out);
            }
            Way::Other(translation) => translation.stop_by_length(usage, context, out),
        }
        self.begun = true;
    }

    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        match &self.way {
            Way::Same(tap) | Way::Array(tap, _) => tap.usage(),
            Way::Other(translation) => translation.seen.usage,
        }
    }

    /// Whether the end has come.
    #[must_use]
    pub fn ended(&self) -> bool {
        match &self.way {
            Way::Same(tap) | Way::Array(tap, _) => tap.ended(),
            Way::Other(translation) => translation.seen.answers.have_ended(),
        }
    }

    /// Pieces that came: about one a token.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.way {
            Way::Same(tap) | Way::Array(tap, _) => tap.count(),
            Way::Other(translation) => translation.seen.count,
        }
    }
}
