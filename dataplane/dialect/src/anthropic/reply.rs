//! Replies that come whole.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    Context, Garbled,
    chat::{Part, ToolCall},
    json,
    reply::{Choice, Finish, Reply},
};

use super::{
    block::{self, Block},
    received::{self, Body, StopDetails, text},
    usage::{Counts, Said},
};

pub fn read(body: &[u8]) -> Result<Reply, Garbled> {
    let body = Body::read(body)?;
    let mut parts = Vec::new();
    for block in body.content.into_iter().flatten() {
        let calls = parts.iter().filter(|part| matches!(part, Part::ToolCall(_))).count();
        parts.extend(part(block, calls));
    }
    parts.extend(StopDetails::explanation(body.stop_details).map(|said| Part::Refusal(said.into_owned())));
    let finish = received::finish(&text(body.stop_reason), body.stop_sequence);
    Ok(Reply {
        id: text(body.id).into_owned(),
        model: text(body.model).into_owned(),
        choices: vec![Choice { parts, finish, logprobs: Vec::new() }],
        usage: body.usage.map(Counts::usage),
    })
}

/// The part of a block, the `calls`th call where it is one. Blocks of the vendor's own tools are
/// passed over: no request of the gateway's asks for such.
fn part(block: received::Block<'_>, calls: usize) -> Option<Part> {
    Some(match text(block.kind).as_ref() {
        "text" => Part::Text(text(block.text).into_owned()),
        "thinking" => Part::Reasoning {
            text: text(block.thinking).into_owned(),
            seal: received::signature(block.signature),
        },
        "redacted_thinking" => {
            Part::Reasoning { text: String::new(), seal: Some(received::redacted(block.data)) }
        }
        "tool_use" => Part::ToolCall(ToolCall {
            id: received::call_id(block.id, calls).into_owned(),
            name: text(block.name).into_owned(),
            arguments: block.input.map_or("{}", RawValue::get).to_owned(),
            seal: None,
        }),
        _ => return None,
    })
}

/// A message, as a reply and as a stream's beginning.
#[derive(Serialize)]
pub struct Message<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    pub content: Vec<Block<'a>>,
    pub stop_reason: Option<&'static str>,
    pub stop_sequence: Option<&'a str>,
    pub usage: Said,
}

impl<'a> Message<'a> {
    /// One that says nothing yet. `id` and `model` as the provider gave them.
    pub fn new(id: &'a str, model: &'a str, context: &'a Context) -> Self {
        Self {
            id: if id.is_empty() { Cow::Owned(format!("msg_{}", context.id)) } else { Cow::Borrowed(id) },
            kind: "message",
            role: "assistant",
            model: if model.is_empty() { &context.model } else { model },
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage: Said::new(None),
        }
    }
}

pub fn write(reply: &Reply, context: &Context) -> Bytes {
    let mut message = Message::new(&reply.id, &reply.model, context);
    let mut said = Contents::default();
    if let Some(choice) = reply.choices.first() {
        message.content = choice.parts.iter().flat_map(block::of_reply).collect();
        for part in &choice.parts {
            said.calls |= matches!(part, Part::ToolCall(_));
            said.refuses |= matches!(part, Part::Refusal(_));
        }
        let (reason, sequence) = said.stop_reason(&choice.finish);
        message.stop_reason = Some(reason);
        message.stop_sequence = sequence;
    }
    message.usage = Said::new(reply.usage);
    json::to_bytes(&message)
}

/// What an answer held that its end has to agree with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contents {
    pub calls: bool,
    pub refuses: bool,
}

impl Contents {
    /// `stop_reason` and `stop_sequence`. Providers that say no more than that the answer has ended
    /// end so after calls and refusals, too; the API's callers go by the reason.
    pub fn stop_reason(self, finish: &Finish) -> (&'static str, Option<&str>) {
        let reason = match finish {
            Finish::Stop if self.calls => "tool_use",
            Finish::Stop if self.refuses => "refusal",
            Finish::Stop => "end_turn",
            Finish::StopSequence(sequence) => return ("stop_sequence", sequence.as_deref()),
            Finish::Length => "max_tokens",
            Finish::ToolCalls => "tool_use",
            Finish::ContentFilter | Finish::Refusal => "refusal",
            Finish::Pause => "pause_turn",
        };
        (reason, None)
    }
}
