//! A provider's stream of chunks to events.

use serde::Deserialize;

use super::{
    finish,
    reasoning::{Detail, ExtraContent},
    wire::{Answer, Call, Choice, Message, Str, text},
};
use crate::{
    Garbled,
    answers::Answers,
    event::{Emit, Event, StreamReader},
    frame::Frame,
};

/// Of a stream that passes.
pub fn read_answers(data: &[u8], answers: &mut Answers) {
    #[derive(Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow)]
        choices: Option<Vec<Piece<'a>>>,
    }
    #[derive(Deserialize)]
    struct Piece<'a> {
        #[serde(default)]
        index: u32,
        #[serde(borrow)]
        finish_reason: Option<Str<'a>>,
    }
    if data.starts_with(b"[DONE]") {
        return answers.end();
    }
    let Ok(Chunk { choices }) = serde_json::from_slice(data) else { return };
    for Piece { index, finish_reason } in choices.unwrap_or_default() {
        answers.note(index, finish_reason.is_some_and(|reason| !reason.0.is_empty()));
    }
}

#[derive(Default)]
pub struct Reader {
    started: bool,
    choices: Vec<State>,
}

/// What is known of a choice.
struct State {
    choice: u32,
    calls: Vec<Known>,
    refused: bool,
    finished: bool,
}

/// A call that has begun.
struct Known {
    /// The provider's index.
    index: u32,
    /// The provider's id; empty where it gave none.
    id: String,
}

impl StreamReader for Reader {
    fn read(&mut self, frame: &Frame<'_>, emit: &mut Emit<'_>) -> Result<(), Garbled> {
        if frame.data.starts_with(b"[DONE]") {
            return Ok(());
        }
        let mut answer: Answer<'_> = serde_json::from_slice(&frame.data)?;
        if let Some(error) = answer.error {
            emit(Event::Failed(crate::openai::error::read_success_error(error.get())));
            return Ok(());
        }
        let choices = answer.choices.unwrap_or_default();
        // Azure opens with a frame about the prompt that has neither id nor model.
        if choices.is_empty() && answer.usage.is_none() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.started, true) {
            emit(Event::Start { id: text(&mut answer.id), model: text(&mut answer.model) });
        }
        for choice in choices {
            self.state(choice.index).read(choice, emit)?;
        }
        if let Some(usage) = answer.usage {
            emit(Event::Usage(usage.into()));
        }
        Ok(())
    }
}

impl Reader {
    fn state(&mut self, choice: u32) -> &mut State {
        let known = self.choices.iter().position(|state| state.choice == choice);
        let at = known.unwrap_or_else(|| {
            self.choices.push(State { choice, calls: Vec::new(), refused: false, finished: false });
            self.choices.len() - 1
        });
        &mut self.choices[at]
    }
}

impl State {
    fn read(&mut self, mut read: Choice<'_>, emit: &mut Emit<'_>) -> Result<(), Garbled> {
        let choice = self.choice;
        let mut delta = read.delta.unwrap_or_default();
        reasoning(choice, &mut delta, emit);
        if !delta.content.text.is_empty() {
            emit(Event::Text { choice, text: delta.content.text });
        }
        let refusal = text(&mut delta.refusal);
        if !refusal.is_empty() {
            self.refused = true;
            emit(Event::Refusal { choice, text: refusal });
        }
        for call in delta.tool_calls.unwrap_or_default() {
            self.call(call, emit)?;
        }
        let tokens: Vec<_> = read.logprobs.map(Into::into).unwrap_or_default();
        if !tokens.is_empty() {
            emit(Event::Logprobs { choice, tokens });
        }
        let reason = text(&mut read.finish_reason);
        // Some servers say it again in the frame with the usage.
        if !reason.is_empty() && !std::mem::replace(&mut self.finished, true) {
            let finish = finish::read(&reason, !self.calls.is_empty(), self.refused);
            emit(Event::Finish { choice, finish });
        }
        Ok(())
    }

    fn call(&mut self, mut call: Call<'_>, emit: &mut Emit<'_>) -> Result<(), Garbled> {
        let choice = self.choice;
        let mut function = call.function.unwrap_or_default();
        let (id, name) = (text(&mut call.id), text(&mut function.name));
        // Without an index a fragment belongs to the call before it.
        let known = match call.index {
            Some(index) => self.calls.iter().rposition(|known| known.index == index),
            None => self.calls.len().checked_sub(1),
        };
        // Some servers repeat id and name with every fragment, and some give every call the index 0.
        let other = |at: &usize| !name.is_empty() && !id.is_empty() && self.calls[*at].id != id;
        let at = match known.filter(|at| !other(at)) {
            Some(at) => at,
            None if name.is_empty() => return Err(Garbled::new("a tool call names no function")),
            None => {
                let at = self.calls.len();
                self.calls.push(Known { index: call.index.unwrap_or(position(at)), id: id.to_string() });
                let id = if id.is_empty() { crate::chat::ToolCall::made_up_id(at).into() } else { id };
                let seal = call.extra_content.and_then(ExtraContent::into_seal);
                emit(Event::ToolCall { choice, index: position(at), id, name, seal });
                at
            }
        };
        let fragment = text(&mut function.arguments);
        if !fragment.is_empty() {
            emit(Event::Arguments { choice, index: position(at), fragment });
        }
        Ok(())
    }
}

/// The thinking of a delta; its entries have the text again.
fn reasoning(choice: u32, delta: &mut Message<'_>, emit: &mut Emit<'_>) {
    let thinking = delta.take_reasoning();
    let told = !thinking.is_empty();
    if told {
        emit(Event::Reasoning { choice, text: thinking });
    }
    for (text, seal) in delta.reasoning_details.take().unwrap_or_default().into_iter().map(Detail::into_parts)
    {
        if !told && !text.is_empty() {
            emit(Event::Reasoning { choice, text: text.into() });
        }
        if let Some(seal) = seal {
            emit(Event::Sealed { choice, seal });
        }
    }
}

fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
