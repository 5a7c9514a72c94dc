//! A whole reply: read from providers, written for callers.

use bytes::Bytes;
use serde::Serialize;

use super::{
    finish,
    logprobs::WrittenLogprobs,
    reasoning::{self, ExtraContent, WrittenDetail},
    usage::WrittenUsage,
    wire::{self, Answer, text},
};
use crate::{
    Context, Dialect, Garbled,
    chat::{Part, ToolCall},
    json,
    reply::{Choice, Reply},
};

/// # Errors
/// When the body is no chat completion.
pub fn read(body: &[u8]) -> Result<Reply, Garbled> {
    let mut answer: Answer<'_> = serde_json::from_slice(body)?;
    if let Some(error) = answer.error {
        let fault = crate::openai::error::read_success_error(error.get());
        return Err(Garbled::new(format!("it is an error in spite of its status: {}", fault.message)));
    }
    let mut choices = answer.choices.unwrap_or_default();
    if choices.is_empty() {
        return Err(Garbled::new("it has no choices"));
    }
    choices.sort_by_key(|choice| choice.index);
    Ok(Reply {
        id: text(&mut answer.id).into_owned(),
        model: text(&mut answer.model).into_owned(),
        choices: choices.into_iter().map(choice).collect::<Result<_, _>>()?,
        usage: answer.usage.map(Into::into),
    })
}

fn choice(mut read: wire::Choice<'_>) -> Result<Choice, Garbled> {
    let mut message = read.message.ok_or_else(|| Garbled::new("a choice has no message"))?;
    let thinking = message.take_reasoning().into_owned();
    let mut parts = reasoning::of_details(message.reasoning_details.unwrap_or_default(), thinking);
    if !message.content.text.is_empty() {
        parts.push(Part::Text(message.content.text.into_owned()));
    }
    let refusal = text(&mut message.refusal);
    let refused = !refusal.is_empty();
    if refused {
        parts.push(Part::Refusal(refusal.into_owned()));
    }
    let calls = message.tool_calls.unwrap_or_default();
    let reason = text(&mut read.finish_reason);
    let finish = finish::read(&reason, !calls.is_empty(), refused);
    for (index, call) in calls.into_iter().enumerate() {
        parts.push(Part::ToolCall(tool_call(index, call)?));
    }
    Ok(Choice { parts, finish, logprobs: read.logprobs.map(Into::into).unwrap_or_default() })
}

fn tool_call(index: usize, mut call: wire::Call<'_>) -> Result<ToolCall, Garbled> {
    let mut function = call.function.unwrap_or_default();
    let name = text(&mut function.name).into_owned();
    if name.is_empty() {
        return Err(Garbled::new("a tool call names no function"));
    }
    let mut id = text(&mut call.id).into_owned();
    if id.is_empty() {
        id = ToolCall::made_up_id(index);
    }
    let mut arguments = text(&mut function.arguments).into_owned();
    if arguments.trim().is_empty() {
        "{}".clone_into(&mut arguments);
    }
    Ok(ToolCall { id, name, arguments, seal: call.extra_content.and_then(ExtraContent::into_seal) })
}

#[derive(Serialize)]
struct WrittenReply<'a> {
    id: String,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<WrittenChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WrittenUsage>,
}

#[derive(Serialize)]
struct WrittenChoice<'a> {
    index: usize,
    message: WrittenMessage<'a>,
    logprobs: Option<WrittenLogprobs<'a>>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct WrittenMessage<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<WrittenDetail<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WrittenCall<'a>>,
}

/// A tool call, as replies and requests hold it.
#[derive(Serialize)]
pub struct WrittenCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: WrittenFunction<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent>,
}

#[derive(Serialize)]
struct WrittenFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> WrittenCall<'a> {
    /// `signature`: the call's seal as whoever reads it is to keep it.
    pub fn new(call: &'a ToolCall, signature: Option<String>) -> Self {
        Self {
            id: &call.id,
            r#type: "function",
            function: WrittenFunction { name: &call.name, arguments: &call.arguments },
            extra_content: signature.map(ExtraContent::new),
        }
    }
}

/// The id of a reply: the provider's own, by which its support finds it, or one in OpenAI's manner.
pub fn id_of(id: &str, context: &Context) -> String {
    if id.is_empty() { format!("chatcmpl-{}", context.id) } else { id.to_owned() }
}

pub fn write(reply: &Reply, context: &Context) -> Bytes {
    let choices = reply.choices.iter().enumerate().map(|(index, choice)| {
        let message = written_message(choice);
        let finish_reason = finish::write(&choice.finish, message.refusal.is_some());
        WrittenChoice { index, message, logprobs: WrittenLogprobs::of(&choice.logprobs), finish_reason }
    });
    json::to_bytes(&WrittenReply {
        id: id_of(&reply.id, context),
        object: "chat.completion",
        created: context.created,
        model: if reply.model.is_empty() { &context.model } else { &reply.model },
        choices: choices.collect(),
        usage: reply.usage.map(WrittenUsage::from),
    })
}

fn written_message(choice: &Choice) -> WrittenMessage<'_> {
    let mut message = WrittenMessage {
        role: "assistant",
        content: None,
        refusal: None,
        reasoning_content: None,
        reasoning_details: reasoning::write_details(&choice.parts),
        tool_calls: Vec::new(),
    };
    for part in &choice.parts {
        let (field, text) = match part {
            Part::Text(text) => (&mut message.content, text),
            Part::Refusal(text) => (&mut message.refusal, text),
            Part::Reasoning { text, .. } if !text.is_empty() => (&mut message.reasoning_content, text),
            Part::ToolCall(call) => {
                let signature = call.seal.as_ref().map(|seal| seal.to_text(Dialect::OpenAI));
                message.tool_calls.push(WrittenCall::new(call, signature));
                continue;
            }
            _ => continue,
        };
        field.get_or_insert_default().push_str(text);
    }
    // Null content is for messages that say something else instead.
    if message.tool_calls.is_empty() && message.refusal.is_none() {
        message.content.get_or_insert_default();
    }
    message
}
