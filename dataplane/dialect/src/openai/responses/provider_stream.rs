//! A provider's stream to events. The API tells everything twice, as it grows and when it is done: the
//! first counts, and the second where a server has left the first out.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::provider_reply::{APART, Call, Content, Item, Response, Thinking, nameless};
use crate::{
    Garbled,
    chat::Part,
    event::{Emit, Event, StreamReader},
    frame::Frame,
    openai::{
        chat::{
            logprobs::ReadToken,
            wire::{Str, text},
        },
        error::read_success_error,
    },
    reply::TokenLogprob,
};

/// The API has one answer to a call.
const CHOICE: u32 = 0;

/// One stream.
#[derive(Default)]
pub struct Reader {
    started: bool,
    items: Vec<Known>,
    calls: u32,
    refused: bool,
    finished: bool,
}

/// An item that has begun.
#[derive(Default)]
struct Known {
    output_index: u64,
    /// Something of what it holds has been told.
    told: bool,
    /// The number among the calls, where it is one.
    call: Option<u32>,
    /// Which part of which kind of text was told last, where it is thinking.
    thinking: Option<(Shown, u64)>,
}

/// The kinds of text that thinking has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Summary,
    Whole,
}

/// A frame. Other events than those that are read have fields of these names too, and other values in
/// them.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    r#type: Option<Str<'a>>,
    output_index: Option<u64>,
    summary_index: Option<u64>,
    content_index: Option<u64>,
    delta: Option<&'a RawValue>,
    logprobs: Option<&'a RawValue>,
    item: Option<&'a RawValue>,
    response: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
}

impl<'a> Read<'a> {
    fn delta(&self) -> Result<Cow<'a, str>, Garbled> {
        let Some(raw) = self.delta else { return Ok(Cow::default()) };
        Ok(serde_json::from_str::<Str<'a>>(raw.get())?.0)
    }

    fn logprobs(&self) -> Result<Vec<TokenLogprob>, Garbled> {
        let Some(raw) = self.logprobs else { return Ok(Vec::new()) };
        let tokens: Option<Vec<ReadToken>> = serde_json::from_str(raw.get())?;
        Ok(tokens.into_iter().flatten().map(TokenLogprob::from).collect())
    }

    fn response(&self) -> Result<Response<'a>, Garbled> {
        self.response.map_or(Ok(Response::default()), |raw| Ok(serde_json::from_str(raw.get())?))
    }
}

impl StreamReader for Reader {
    fn read(&mut self, frame: &Frame<'_>, emit: &mut Emit<'_>) -> Result<(), Garbled> {
        if frame.data.starts_with(b"[DONE]") {
            return Ok(());
        }
        let mut read: Read<'_> = serde_json::from_slice(&frame.data)?;
        let kind = text(&mut read.r#type);
        match kind.as_ref() {
            // The API's own event has its fields at the top; OpenAI and others have an object in it.
            "error" => {
                let whole: &RawValue = serde_json::from_slice(&frame.data)?;
                emit(Event::Failed(read_success_error(read.error.unwrap_or(whole).get())));
            }
            "response.failed" | "response.cancelled" => emit(Event::Failed(read.response()?.fault())),
            kind if kind.starts_with("response.") => self.grow(kind, &read, emit)?,
            _ => {
                if let Some(error) = read.error {
                    emit(Event::Failed(read_success_error(error.get())));
                }
            }
        }
        Ok(())
    }
}

impl Reader {
    fn grow(&mut self, kind: &str, read: &Read<'_>, emit: &mut Emit<'_>) -> Result<(), Garbled> {
        if !std::mem::replace(&mut self.started, true) {
            let mut response = read.response()?;
            emit(Event::Start { id: text(&mut response.id), model: text(&mut response.model) });
        }
        match kind {
            "response.output_text.delta" => {
                let text = read.delta()?;
                self.item(read.output_index).told |= !text.is_empty();
                tell(text, |text| Event::Text { choice: CHOICE, text }, emit);
                logprobs(read.logprobs()?, emit);
            }
            "response.refusal.delta" => {
                let text = read.delta()?;
                self.item(read.output_index).told |= !text.is_empty();
                self.refused |= !text.is_empty();
                tell(text, |text| Event::Refusal { choice: CHOICE, text }, emit);
            }
            "response.reasoning_summary_text.delta" => {
                self.think(Shown::Summary, read.summary_index, read, emit)?;
            }
            "response.reasoning_text.delta" => self.think(Shown::Whole, read.content_index, read, emit)?,
            "response.function_call_arguments.delta" => {
                let item = self.item(read.output_index);
                // A call that has not begun is told when it is done.
                if let Some(index) = item.call {
                    let fragment = read.delta()?;
                    item.told |= !fragment.is_empty();
                    tell(fragment, |fragment| Event::Arguments { choice: CHOICE, index, fragment }, emit);
                }
            }
            "response.output_item.added" => {
                let item = read.item.map(Item::read).transpose()?;
                self.add(read.output_index);
                if let Some(Item::FunctionCall(call)) = item {
                    self.call(call, false, read.output_index, emit)?;
                }
            }
            "response.output_item.done" => {
                if let Some(item) = read.item.map(Item::read).transpose()? {
                    self.done(item, read.output_index, emit)?;
                }
            }
            "response.completed" | "response.incomplete" => {
                self.finish(kind == "response.incomplete", read.response()?, emit);
            }
            _ => {}
        }
        Ok(())
    }

    /// A fragment of thinking. Where a server tells both kinds, the first that comes is told.
    fn think(
        &mut self,
        shown: Shown,
        part: Option<u64>,
        read: &Read<'_>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Garbled> {
        let part = part.unwrap_or_default();
        let item = self.item(read.output_index);
        if item.thinking.is_some_and(|(first, _)| first != shown) {
            return Ok(());
        }
        let delta = read.delta()?;
        if delta.is_empty() {
            return Ok(());
        }
        item.told = true;
        let next = item.thinking.replace((shown, part)).is_some_and(|(_, last)| last != part);
        let text = if next { format!("{APART}{delta}").into() } else { delta };
        emit(Event::Reasoning { choice: CHOICE, text });
        Ok(())
    }

    /// A call, as far as it is known: with its arguments when it is done.
    fn call(
        &mut self,
        call: Call,
        done: bool,
        output_index: Option<u64>,
        emit: &mut Emit<'_>,
    ) -> Result<(), Garbled> {
        let next = self.calls;
        let item = self.item(output_index);
        let begun = item.call;
        let told = item.told;
        let index = begun.unwrap_or(next);
        let Some(call) = call.into_call(index as usize) else {
            return if done && begun.is_none() { Err(nameless()) } else { Ok(()) };
        };
        if begun.is_none() {
            item.call = Some(index);
            self.calls += 1;
            let (id, name) = (call.id.into(), call.name.into());
            emit(Event::ToolCall { choice: CHOICE, index, id, name, seal: None });
        }
        if done && !told {
            let fragment = call.arguments.into();
            tell(fragment, |fragment| Event::Arguments { choice: CHOICE, index, fragment }, emit);
        }
        Ok(())
    }

    fn done(&mut self, item: Item, output_index: Option<u64>, emit: &mut Emit<'_>) -> Result<(), Garbled> {
        let told = self.item(output_index).told;
        match item {
            Item::Reasoning(thinking) => thought(thinking, told, emit),
            Item::Message { content } if !told => self.said(content.into_iter().flatten(), emit),
            Item::FunctionCall(call) => self.call(call, true, output_index, emit)?,
            Item::Message { .. } | Item::Other => {}
        }
        Ok(())
    }

    /// A message that was told only when it was done.
    fn said(&mut self, content: impl Iterator<Item = Content>, emit: &mut Emit<'_>) {
        for content in content {
            let (part, tokens) = content.into_parts();
            match part {
                Some(Part::Text(text)) => emit(Event::Text { choice: CHOICE, text: text.into() }),
                Some(Part::Refusal(text)) => {
                    self.refused = true;
                    emit(Event::Refusal { choice: CHOICE, text: text.into() });
                }
                _ => {}
            }
            logprobs(tokens, emit);
        }
    }

    fn finish(&mut self, incomplete: bool, response: Response<'_>, emit: &mut Emit<'_>) {
        if !std::mem::replace(&mut self.finished, true) {
            let finish = response.finish(incomplete, self.calls > 0, self.refused);
            emit(Event::Finish { choice: CHOICE, finish });
        }
        if let Some(usage) = response.usage {
            emit(Event::Usage(usage.into()));
        }
    }

    /// The item that a frame is about; without an index, that before it.
    fn item(&mut self, output_index: Option<u64>) -> &mut Known {
        let known = match output_index {
            Some(index) => self.items.iter().rposition(|item| item.output_index == index),
            None => self.items.len().checked_sub(1),
        };
        match known {
            Some(at) => &mut self.items[at],
            None => self.add(output_index),
        }
    }

    fn add(&mut self, output_index: Option<u64>) -> &mut Known {
        let at = self.items.len();
        let output_index = output_index.unwrap_or(at as u64);
        self.items.push(Known { output_index, ..Known::default() });
        &mut self.items[at]
    }
}

/// Thinking is done, and its proof is whole.
fn thought(thinking: Thinking, told: bool, emit: &mut Emit<'_>) {
    let (text, seal) = thinking.into_parts();
    if !told {
        tell(text.into(), |text| Event::Reasoning { choice: CHOICE, text }, emit);
    }
    if let Some(seal) = seal {
        emit(Event::Sealed { choice: CHOICE, seal });
    }
}

fn logprobs(tokens: Vec<TokenLogprob>, emit: &mut Emit<'_>) {
    if !tokens.is_empty() {
        emit(Event::Logprobs { choice: CHOICE, tokens });
    }
}

fn tell<'a>(text: Cow<'a, str>, event: impl FnOnce(Cow<'a, str>) -> Event<'a>, emit: &mut Emit<'_>) {
    if !text.is_empty() {
        emit(event(text));
    }
}

#[cfg(test)]
mod tests;
