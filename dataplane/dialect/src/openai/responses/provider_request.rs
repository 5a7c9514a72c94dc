//! A provider's request, but for its input.
//!
//! Nothing is stored at the vendor: a conversation is its caller's, and its next turn may go elsewhere.
//! What the model thought therefore comes sealed and goes back so.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::provider_input::{self, Item};
use crate::{
    ProviderModel,
    api::empty_schema,
    chat::{Output, OutputSchema, Reasoning, ReasoningAmount, Request, Tool, ToolChoice},
    json,
    openai::chat::write_request::effort,
};

/// OpenAI refuses less. A caller's lower limit is raised to it: refused, it would fail all those who
/// ask for one token to learn whether a model answers.
pub const MIN_OUTPUT_TOKENS: u64 = 16;

/// OpenAI refuses longer names of users, which are a hint only.
const MAX_USER_CHARS: usize = 128;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WrittenTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WrittenChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<WrittenReasoning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    include: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_identifier: Option<&'a str>,
    store: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "function")]
struct WrittenTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a RawValue,
    strict: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenChoice<'a> {
    Mode(&'static str),
    Named { r#type: &'static str, name: &'a str },
}

#[derive(Serialize)]
struct WrittenReasoning {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'static str>,
}

#[derive(Serialize)]
struct Text<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format<'a> {
    JsonObject,
    JsonSchema {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        schema: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
    },
}

/// The caller's metadata is not sent: OpenAI keeps it with answers that it stores.
pub fn write(request: &Request, model: ProviderModel<'_>) -> Bytes {
    let has_tools = !request.tools.is_empty();
    let reasons = may_reason(model.name);
    json::to_bytes(&Body {
        model: model.name,
        input: provider_input::write(&request.messages, reasons),
        tools: request.tools.iter().map(tool).collect(),
        // Without tools OpenAI refuses both; a call that is demanded all the same is for it to refuse.
        tool_choice: request.tool_choice.as_ref().and_then(|choice| tool_choice(choice, has_tools)),
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| has_tools),
        max_output_tokens: request.max_tokens.map(|tokens| tokens.max(MIN_OUTPUT_TOKENS)),
        temperature: request.temperature,
        top_p: request.top_p,
        reasoning: request.reasoning.and_then(reasoning),
        text: format(&request.output).map(|format| Text { format }),
        top_logprobs: request.logprobs.filter(|top| *top > 0),
        include: [
            ("reasoning.encrypted_content", reasons),
            ("message.output_text.logprobs", request.logprobs.is_some()),
        ]
        .into_iter()
        .filter_map(|(what, wanted)| wanted.then_some(what))
        .collect(),
        safety_identifier: request.user.as_deref().filter(|user| user.chars().count() <= MAX_USER_CHARS),
        store: false,
        stream: request.stream.then_some(true),
    })
}

/// Whether a model may think, by its name: OpenAI refuses the wish for sealed thinking, and sealed
/// thinking, to those of its models that do not. Azure's customers name models as they like, and mostly
/// by what they are. Of any other name it is not known, and other servers pass over the wish.
fn may_reason(model: &str) -> bool {
    !["gpt-3", "gpt-4", "gpt3", "gpt4", "chat"].iter().any(|name| model.contains(name))
}

fn tool(tool: &Tool) -> WrittenTool<'_> {
    WrittenTool {
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters: tool.parameters.as_deref().unwrap_or_else(|| empty_schema()),
        // What is not said is true to the API, which then refuses most schemas.
        strict: tool.strict.unwrap_or(false),
    }
}

fn tool_choice(choice: &ToolChoice, has_tools: bool) -> Option<WrittenChoice<'_>> {
    match choice {
        ToolChoice::Auto => has_tools.then_some(WrittenChoice::Mode("auto")),
        ToolChoice::None => has_tools.then_some(WrittenChoice::Mode("none")),
        ToolChoice::Required => Some(WrittenChoice::Mode("required")),
        ToolChoice::Named(name) => Some(WrittenChoice::Named { r#type: "function", name }),
    }
}

fn format(output: &Output) -> Option<Format<'_>> {
    match output {
        Output::Text => None,
        Output::JsonObject => Some(Format::JsonObject),
        Output::JsonSchema(OutputSchema { name, description, schema, strict }) => Some(Format::JsonSchema {
            name: if name.is_empty() { "answer" } else { name },
            description: description.as_deref(),
            schema,
            strict: *strict,
        }),
    }
}

/// A summary must be asked for, and OpenAI gives none to who has not proved an identity: it is asked for
/// where the caller did.
fn reasoning(Reasoning { amount, shown }: Reasoning) -> Option<WrittenReasoning> {
    let effort = effort(amount);
    let shown = shown == Some(true) && amount != ReasoningAmount::Off;
    (effort.is_some() || shown).then_some(WrittenReasoning { effort, summary: shown.then_some("auto") })
}

#[cfg(test)]
mod tests;
