//! Events to a caller's stream: a message of blocks that come one after the other.
//!
//! Arguments of several calls may come mixed, and the API's clients take a block as done when the next
//! begins. So a call waits, with what comes for it, until the arguments of the one before it are a
//! whole object; in the usual order nothing ever waits.
//!
//! `message_delta` has the reason of the end and the usage. Both are known together at the end only,
//! since providers give them in either order, and it says all counts: what `message_start` says of
//! them, before anybody has counted, is 0.

use std::{borrow::Cow, collections::VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Context, Dialect, LengthStop,
    event::{Event, StreamWriter},
    frame::{self, Frame, Framing},
    json,
    reply::{Finish, Usage},
    seal::Seal,
};

use super::{
    block::Block,
    reply::{Contents, Message},
    usage::Said,
    whole::Whole,
};

#[derive(Debug)]
pub struct Writer {
    context: Context,
    started: bool,
    /// How many blocks have begun: the open one is the last.
    blocks: u32,
    open: Open,
    waiting: VecDeque<Waiting>,
    /// Calls whose blocks are closed, with the blocks' places.
    closed: Vec<(u32, u32)>,
    said: Contents,
    finish: Finish,
    usage: Option<Usage>,
}

#[derive(Clone, Copy, Debug)]
enum Open {
    Nothing,
    Text,
    Thinking,
    Call { call: u32, arguments: Whole },
}

/// A call whose turn has not come.
#[derive(Debug)]
struct Waiting {
    call: u32,
    id: String,
    name: String,
    seal: Option<Seal>,
    arguments: String,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Data<'a> {
    MessageStart { message: Message<'a> },
    ContentBlockStart { index: u32, content_block: Block<'a> },
    ContentBlockDelta { index: u32, delta: Delta<'a> },
    ContentBlockStop { index: u32 },
    MessageDelta { delta: End<'a>, usage: Said },
    MessageStop,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    Input { partial_json: &'a str },
}

#[derive(Serialize)]
struct End<'a> {
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
}

impl Data<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(self.name().as_bytes());
        out.extend_from_slice(b"\ndata: ");
        // A Vec takes all that is written, and such data have a JSON.
        let _ = serde_json::to_writer(&mut *out, self);
        out.extend_from_slice(b"\n\n");
    }
}

/// Closes the block that is open in a stream that has passed by, and ends the message. Blocks are
/// counted as their provider does, so that no reader is asked.
pub fn length_stop(mut passed: Bytes, stop: &LengthStop<'_>) -> Vec<u8> {
    #[derive(Deserialize)]
    struct Passed {
        r#type: String,
        #[serde(default)]
        index: u32,
    }
    let (mut writer, mut out) = (Writer::new(stop.context.clone()), Vec::new());
    let mut told = false;
    while let Some(bytes) = frame::next(Framing::Sse, &mut passed) {
        let Some(frame) = Frame::parse(Framing::Sse, &bytes) else { continue };
        let Ok(Passed { r#type, index }) = serde_json::from_slice(&frame.data) else { continue };
        writer.started = true;
        match r#type.as_str() {
            "content_block_start" | "content_block_delta" => {
                writer.open = Open::Text;
                writer.blocks = index.saturating_add(1);
            }
            "content_block_stop" => writer.open = Open::Nothing,
            "message_delta" => told = true,
            _ => {}
        }
    }
    if told {
        Data::MessageStop.write(&mut out);
    } else {
        stop.end(&mut writer, &mut out);
    }
    out
}

impl StreamWriter for Writer {
    fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model } => self.start(id, model, out),
            Event::Text { choice: 0, text } => self.text(text, out),
            Event::Refusal { choice: 0, text } => {
                self.said.refuses = true;
                self.text(text, out);
            }
            Event::Reasoning { choice: 0, text } => self.thinking(text, out),
            Event::Sealed { choice: 0, seal } => self.sealed(seal, out),
            Event::ToolCall { choice: 0, index, id, name, seal } => {
                self.start("", "", out);
                self.said.calls = true;
                if matches!(&self.open, Open::Call { arguments, .. } if !arguments.is_whole()) {
                    self.waiting.push_back(Waiting {
                        call: *index,
                        id: id.to_string(),
                        name: name.to_string(),
                        seal: seal.clone(),
                        arguments: String::new(),
                    });
                } else {
                    self.call(*index, id, name, seal.as_ref(), out);
                }
            }
            Event::Arguments { choice: 0, index, fragment } => self.arguments(*index, fragment, out),
            Event::Finish { choice: 0, finish } => {
                self.finish = finish.clone();
                self.close_all(out);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            // There is one answer, without log probabilities; a failure is the gateway's to tell.
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.start("", "", out);
        self.close_all(out);
        let (stop_reason, stop_sequence) = self.said.stop_reason(&self.finish);
        let usage = Said::new(self.usage);
        Data::MessageDelta { delta: End { stop_reason, stop_sequence }, usage }.write(out);
        Data::MessageStop.write(out);
    }
}

impl Writer {
    pub fn new(context: Context) -> Self {
        Self {
            context,
            started: false,
            blocks: 0,
            open: Open::Nothing,
            waiting: VecDeque::new(),
            closed: Vec::new(),
            said: Contents::default(),
            finish: Finish::Stop,
            usage: None,
        }
    }

    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            Data::MessageStart { message: Message::new(id, model, &self.context) }.write(out);
        }
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        if !matches!(self.open, Open::Text) {
            self.close_all(out);
            self.begin(Block::text(""), Open::Text, out);
        }
        self.delta(Delta::Text { text }, out);
    }

    fn thinking(&mut self, thinking: &str, out: &mut Vec<u8>) {
        if thinking.is_empty() {
            return;
        }
        if !matches!(self.open, Open::Thinking) {
            self.close_all(out);
            self.begin(Block::thinking("", None), Open::Thinking, out);
        }
        self.delta(Delta::Thinking { thinking }, out);
    }

    /// A proof ends the thinking that it is of. One without any is a block of its own.
    fn sealed(&mut self, seal: &Seal, out: &mut Vec<u8>) {
        if !matches!(self.open, Open::Thinking) {
            self.close_all(out);
            if seal.redacted {
                self.single(Block::thinking("", Some(seal)), out);
                return;
            }
            self.begin(Block::thinking("", None), Open::Thinking, out);
        }
        let signature = seal.to_text(Dialect::Anthropic);
        self.delta(Delta::Signature { signature: &signature }, out);
        self.close(out);
    }

    /// A call's turn has come.
    fn call(&mut self, call: u32, id: &str, name: &str, seal: Option<&Seal>, out: &mut Vec<u8>) {
        self.close(out);
        if let Some(seal) = seal {
            self.single(Block::seal_of_call(seal), out);
        }
        let input = Cow::Borrowed(json::arguments("{}").unwrap_or(RawValue::NULL));
        let block = Block::ToolUse { id: Cow::Borrowed(id), name, input };
        self.begin(block, Open::Call { call, arguments: Whole::default() }, out);
    }

    fn arguments(&mut self, of: u32, fragment: &str, out: &mut Vec<u8>) {
        if fragment.is_empty() {
            return;
        }
        if let Open::Call { call, arguments } = &mut self.open
            && *call == of
        {
            arguments.push(fragment);
            self.delta(Delta::Input { partial_json: fragment }, out);
            while matches!(&self.open, Open::Call { arguments, .. } if arguments.is_whole())
                && self.next_call(out)
            {}
        } else if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.call == of) {
            waiting.arguments.push_str(fragment);
        } else if let Some((_, index)) = self.closed.iter().find(|(call, _)| *call == of) {
            // Something came between its arguments. Clients add it to the block that it names.
            let delta = Delta::Input { partial_json: fragment };
            Data::ContentBlockDelta { index: *index, delta }.write(out);
        }
    }

    /// Begins the call that waits longest, with what has come for it; false where none waits.
    fn next_call(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(Waiting { call, id, name, seal, arguments: held }) = self.waiting.pop_front() else {
            return false;
        };
        self.call(call, &id, &name, seal.as_ref(), out);
        self.arguments(call, &held, out);
        true
    }

    fn begin(&mut self, content_block: Block<'_>, open: Open, out: &mut Vec<u8>) {
        Data::ContentBlockStart { index: self.blocks, content_block }.write(out);
        self.blocks += 1;
        self.open = open;
    }

    /// A block that is whole as it begins.
    fn single(&mut self, content_block: Block<'_>, out: &mut Vec<u8>) {
        let index = self.blocks;
        Data::ContentBlockStart { index, content_block }.write(out);
        Data::ContentBlockStop { index }.write(out);
        self.blocks += 1;
    }

    fn delta(&self, delta: Delta<'_>, out: &mut Vec<u8>) {
        Data::ContentBlockDelta { index: self.blocks - 1, delta }.write(out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => return,
            Open::Text | Open::Thinking => {}
            Open::Call { call, .. } => self.closed.push((call, self.blocks - 1)),
        }
        Data::ContentBlockStop { index: self.blocks - 1 }.write(out);
    }

    /// Closes what is open, with the calls that waited for it.
    fn close_all(&mut self, out: &mut Vec<u8>) {
        self.start("", "", out);
        while self.next_call(out) {}
        self.close(out);
    }
}
