//! A provider's stream to events.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    Garbled,
    event::{Emit, Event, StreamReader},
    frame::Frame,
    json,
    reply::{Finish, Usage},
};

use super::{
    error,
    received::{self, Block, Body, StopDetails, Str, text},
    usage::Counts,
};

/// What is kept between frames.
#[derive(Debug, Default)]
pub struct Reader {
    started: bool,
    finished: bool,
    usage: Usage,
    /// The blocks that are calls, in order: a call is told by its place here. Fragments of other
    /// blocks' JSON, of the vendor's own tools, are no arguments.
    calls: Vec<u32>,
}

/// Any frame's data.
#[derive(Deserialize)]
struct Data<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Str<'a>>,
    index: Option<u32>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    content_block: Option<Block<'a>>,
    #[serde(borrow)]
    message: Option<Body<'a>>,
    usage: Option<Counts>,
}

/// Of a block, or of the message.
#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Str<'a>>,
    #[serde(borrow)]
    text: Option<Str<'a>>,
    #[serde(borrow)]
    thinking: Option<Str<'a>>,
    #[serde(borrow)]
    signature: Option<Str<'a>>,
    #[serde(borrow)]
    partial_json: Option<Str<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Str<'a>>,
    #[serde(borrow)]
    stop_sequence: Option<Str<'a>>,
    #[serde(borrow)]
    stop_details: Option<StopDetails<'a>>,
}

impl StreamReader for Reader {
    fn read(&mut self, frame: &Frame<'_>, emit: &mut Emit<'_>) -> Result<(), Garbled> {
        let data: Data<'_> = json::object(&frame.data)?;
        let kind = text(data.kind);
        match kind.as_ref() {
            "ping" => return Ok(()),
            "error" => {
                emit(Event::Failed(error::of_stream(&frame.data)));
                return Ok(());
            }
            "message_start" => self.start(data.message, emit),
            _ => self.start(None, emit),
        }
        match (kind.as_ref(), data.content_block, data.delta) {
            ("content_block_start", Some(block), _) => self.block(data.index.unwrap_or(0), block, emit),
            ("content_block_delta", _, Some(delta)) => self.delta(data.index.unwrap_or(0), delta, emit),
            ("message_delta", _, delta) => {
                self.count(data.usage, emit);
                if let Some(delta) = delta {
                    self.end(delta, emit);
                }
            }
            ("message_stop", ..) => self.finish(Finish::Stop, emit),
            _ => {}
        }
        Ok(())
    }
}

impl Reader {
    fn start(&mut self, message: Option<Body<'_>>, emit: &mut Emit<'_>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let (id, model, usage) = message.map(|m| (m.id, m.model, m.usage)).unwrap_or_default();
        emit(Event::Start { id: text(id), model: text(model) });
        self.count(usage, emit);
    }

    fn count(&mut self, counts: Option<Counts>, emit: &mut Emit<'_>) {
        if let Some(counts) = counts {
            counts.add_to(&mut self.usage);
            emit(Event::Usage(self.usage));
        }
    }

    /// A block begins; most are empty then.
    fn block(&mut self, at: u32, block: Block<'_>, emit: &mut Emit<'_>) {
        match text(block.kind).as_ref() {
            "text" => say(text(block.text), emit, |text| Event::Text { choice: 0, text }),
            "thinking" => {
                say(text(block.thinking), emit, |text| Event::Reasoning { choice: 0, text });
                seal(block.signature, emit);
            }
            "redacted_thinking" => {
                emit(Event::Sealed { choice: 0, seal: received::redacted(block.data) });
            }
            "tool_use" => {
                let index = self.calls.len();
                let id = received::call_id(block.id, index);
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                self.calls.push(at);
                emit(Event::ToolCall { choice: 0, index, id, name: text(block.name), seal: None });
                // Empty where the fragments are still to come; some who speak the API send it whole.
                let input = block.input.map_or("{}", RawValue::get);
                if input.starts_with('{') && input[1..].trim_start() != "}" {
                    emit(Event::Arguments { choice: 0, index, fragment: Cow::Borrowed(input) });
                }
            }
            _ => {}
        }
    }

    fn delta(&mut self, at: u32, delta: Delta<'_>, emit: &mut Emit<'_>) {
        match text(delta.kind).as_ref() {
            "text_delta" => say(text(delta.text), emit, |text| Event::Text { choice: 0, text }),
            "thinking_delta" => {
                say(text(delta.thinking), emit, |text| Event::Reasoning { choice: 0, text });
            }
            "signature_delta" => seal(delta.signature, emit),
            "input_json_delta" => {
                if let Some(index) = self.calls.iter().position(|call| *call == at) {
                    let index = u32::try_from(index).unwrap_or(u32::MAX);
                    say(text(delta.partial_json), emit, |fragment| Event::Arguments {
                        choice: 0,
                        index,
                        fragment,
                    });
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, delta: Delta<'_>, emit: &mut Emit<'_>) {
        let Some(reason) = delta.stop_reason else { return };
        if let Some(text) = StopDetails::explanation(delta.stop_details) {
            emit(Event::Refusal { choice: 0, text });
        }
        self.finish(received::finish(&reason.0, delta.stop_sequence), emit);
    }

    fn finish(&mut self, finish: Finish, emit: &mut Emit<'_>) {
        if !std::mem::replace(&mut self.finished, true) {
            emit(Event::Finish { choice: 0, finish });
        }
    }
}

fn say<'a>(text: Cow<'a, str>, emit: &mut Emit<'_>, event: impl FnOnce(Cow<'a, str>) -> Event<'a>) {
    if !text.is_empty() {
        emit(event(text));
    }
}

fn seal(signature: Option<Str<'_>>, emit: &mut Emit<'_>) {
    if let Some(seal) = received::signature(signature) {
        emit(Event::Sealed { choice: 0, seal });
    }
}
