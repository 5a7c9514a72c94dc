//! Streams, both ways. Frames are replies in pieces; a call comes whole in one of them, and the last
//! frame tells the end and the usage together.

use std::{borrow::Cow, mem};

use super::{
    answer::{Answer, Piece, UsageMetadata, object},
    array::ArrayWriter,
    error::read_inner,
    parts::Part,
    reply::{Written, WrittenCandidate, WrittenContent, WrittenLogprobs, finish_reason, or},
    signature,
};
use crate::{
    Context, Garbled,
    event::{Emit, Event, StreamReader, StreamWriter},
    frame::{Frame, Framing},
    reply::{Finish, TokenLogprob, Usage},
    seal::Seal,
};

/// What is kept for each choice; there are few.
#[derive(Debug)]
struct Choices<T>(Vec<(u32, T)>);

impl<T> Default for Choices<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> Choices<T> {
    fn of(&mut self, choice: u32) -> &mut T {
        let known = self.0.iter().position(|(known, _)| *known == choice);
        let at = known.unwrap_or_else(|| {
            self.0.push((choice, T::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

#[derive(Debug, Default)]
pub struct Reader {
    started: bool,
    usage: Option<Usage>,
    choices: Choices<ReadChoice>,
}

#[derive(Debug, Default)]
struct ReadChoice {
    calls: u32,
    finished: bool,
}

impl StreamReader for Reader {
    fn read(&mut self, frame: &Frame<'_>, emit: &mut Emit<'_>) -> Result<(), Garbled> {
        let mut answer: Answer<'_> = object(&frame.data)?;
        if answer.error.is_some() {
            emit(Event::Failed(read_inner(&frame.data)));
            return Ok(());
        }
        if !mem::replace(&mut self.started, true) {
            let id = answer.response_id.take().map(|id| id.0).unwrap_or_default();
            let model = answer.model_version.take().map(|model| model.0).unwrap_or_default();
            emit(Event::Start { id, model });
        }
        let blocked = answer.blocked();
        let candidates = answer.candidates.unwrap_or_default();
        if blocked && candidates.is_empty() {
            self.choices.of(0).finish(0, Finish::ContentFilter, emit);
        }
        for (mut candidate, place) in candidates.into_iter().zip(0..) {
            let choice = candidate.index.unwrap_or(place);
            let state = self.choices.of(choice);
            for part in candidate.parts() {
                part.pieces(&mut |piece| state.piece(choice, piece, emit));
            }
            let tokens = candidate.logprobs();
            if !tokens.is_empty() {
                emit(Event::Logprobs { choice, tokens });
            }
            if let Some(finish) = candidate.finish(state.calls > 0) {
                state.finish(choice, finish, emit);
            }
        }
        // Nearly every frame has one, and most repeat it.
        if let Some(usage) = answer.usage_metadata.map(Usage::from)
            && self.usage.replace(usage) != Some(usage)
        {
            emit(Event::Usage(usage));
        }
        Ok(())
    }
}

impl ReadChoice {
    fn piece(&mut self, choice: u32, piece: Piece<'_>, emit: &mut Emit<'_>) {
        match piece {
            Piece::Text(text) => emit(Event::Text { choice, text }),
            Piece::Reasoning(text) => emit(Event::Reasoning { choice, text }),
            Piece::Sealed { seal, .. } => emit(Event::Sealed { choice, seal }),
            Piece::Call { id, name, arguments, seal } => {
                let index = self.calls;
                self.calls += 1;
                let id = id.unwrap_or_else(|| Cow::Owned(crate::chat::ToolCall::made_up_id(index)));
                emit(Event::ToolCall { choice, index, id, name, seal });
                emit(Event::Arguments { choice, index, fragment: Cow::Borrowed(arguments) });
            }
        }
    }

    fn finish(&mut self, choice: u32, finish: Finish, emit: &mut Emit<'_>) {
        if !mem::replace(&mut self.finished, true) {
            emit(Event::Finish { choice, finish });
        }
    }
}

/// Writes a frame for each event, but for calls, which are held until they are whole, and for the end
/// and the usage, which are held until no more can come.
#[derive(Debug)]
pub struct Writer {
    frames: Frames,
    choices: Choices<WriteChoice>,
    usage: Option<Usage>,
}

/// What frames are written with.
#[derive(Debug)]
struct Frames {
    /// None for events.
    array: Option<ArrayWriter>,
    id: String,
    model: String,
}

#[derive(Debug, Default)]
struct WriteChoice {
    calls: Vec<HeldCall>,
    finish: Option<&'static str>,
}

#[derive(Debug)]
struct HeldCall {
    index: u32,
    id: String,
    name: String,
    arguments: String,
    seal: Option<Seal>,
}

impl Writer {
    pub fn new(framing: Framing, context: Context) -> Self {
        let array = (framing == Framing::Array).then(ArrayWriter::default);
        let frames = Frames { array, id: context.id, model: context.model };
        Self { frames, choices: Choices::default(), usage: None }
    }
}

impl Frames {
    fn frame(
        &mut self,
        out: &mut Vec<u8>,
        candidates: &[WrittenCandidate<'_>],
        usage_metadata: Option<UsageMetadata>,
    ) {
        let Self { array, id, model } = self;
        let frame = Written { candidates, usage_metadata, model_version: model, response_id: id };
        // Writing to memory can't fail.
        let write = |out: &mut Vec<u8>| drop(serde_json::to_writer(out, &frame));
        if let Some(array) = array {
            array.element(out, write);
        } else {
            out.extend_from_slice(b"data: ");
            write(out);
            out.extend_from_slice(b"\n\n");
        }
    }

    fn piece(&mut self, out: &mut Vec<u8>, index: u32, parts: &[Part<'_>], logprobs: &[TokenLogprob]) {
        let logprobs_result = WrittenLogprobs::new(logprobs);
        let content = WrittenContent::new(parts);
        self.frame(out, &[WrittenCandidate { content, finish_reason: None, index, logprobs_result }], None);
    }

    /// The calls of a choice, whole now.
    fn calls(&mut self, out: &mut Vec<u8>, index: u32, choice: &mut WriteChoice) {
        let calls = mem::take(&mut choice.calls);
        let mut parts = Vec::with_capacity(calls.len());
        for HeldCall { id, name, arguments, seal, .. } in &calls {
            parts.push(Part::call(id, name, arguments).signed(seal.as_ref().map(signature::write)));
        }
        if !parts.is_empty() {
            self.piece(out, index, &parts, &[]);
        }
    }
}

impl StreamWriter for Writer {
    fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model } => {
                self.frames.id = or(id, &self.frames.id).to_owned();
                self.frames.model = or(model, &self.frames.model).to_owned();
            }
            Event::Text { choice, text } | Event::Refusal { choice, text } => {
                self.frames.piece(out, *choice, &[Part::text(text.as_ref())], &[]);
            }
            Event::Reasoning { choice, text } => {
                self.frames.piece(out, *choice, &[Part::thought(text.as_ref())], &[]);
            }
            Event::Sealed { choice, seal } => {
                let part = Part::thought("").signed(Some(signature::write(seal)));
                self.frames.piece(out, *choice, &[part], &[]);
            }
            Event::ToolCall { choice, index, id, name, seal } => {
                let (id, name) = (id.to_string(), name.to_string());
                let call = HeldCall { index: *index, id, name, arguments: String::new(), seal: seal.clone() };
                self.choices.of(*choice).calls.push(call);
            }
            Event::Arguments { choice, index, fragment } => {
                let calls = &mut self.choices.of(*choice).calls;
                if let Some(call) = calls.iter_mut().find(|call| call.index == *index) {
                    call.arguments.push_str(fragment);
                }
            }
            Event::Logprobs { choice, tokens } => self.frames.piece(out, *choice, &[], tokens),
            Event::Finish { choice, finish } => {
                let known = self.choices.of(*choice);
                known.finish = Some(finish_reason(finish));
                self.frames.calls(out, *choice, known);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            // Whoever drives the stream writes the error.
            Event::Failed(_) => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let Self { frames, choices: Choices(choices), usage } = self;
        for (index, choice) in choices.iter_mut() {
            frames.calls(out, *index, choice);
        }
        let last = |(index, choice): &(u32, WriteChoice)| WrittenCandidate {
            content: WrittenContent::new(&[]),
            finish_reason: choice.finish,
            index: *index,
            logprobs_result: None,
        };
        let candidates: Vec<_> = choices.iter().map(last).collect();
        frames.frame(out, &candidates, usage.map(UsageMetadata::from));
        if let Some(array) = &mut frames.array {
            array.close(out);
        }
    }
}
