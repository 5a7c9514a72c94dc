//! A provider's request, but for its messages.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::write_messages::{self, WrittenMessage};
use crate::{
    ProviderModel,
    chat::{Effort, Output, OutputSchema, ReasoningAmount, Request, Tool, ToolChoice},
    json,
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<WrittenMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<WrittenTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<WrittenChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct WrittenTool<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenChoice<'a> {
    Mode(&'static str),
    Named { r#type: &'static str, function: Name<'a> },
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format<'a> {
    JsonObject,
    JsonSchema { json_schema: Schema<'a> },
}

#[derive(Serialize)]
struct Schema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// The caller's metadata is not sent: OpenAI refuses it for answers that it does not store.
pub fn write(request: &Request, model: ProviderModel<'_>) -> Bytes {
    let own = is_openais(model.name);
    let has_tools = !request.tools.is_empty();
    json::to_bytes(&Body {
        model: model.name,
        messages: write_messages::write(&request.messages),
        tools: request.tools.iter().map(tool).collect(),
        // OpenAI refuses both where there are no tools; a call that is demanded all the same is for
        // it to refuse.
        tool_choice: request
            .tool_choice
            .as_ref()
            .filter(|choice| has_tools || demands(choice))
            .map(tool_choice),
        parallel_tool_calls: request.parallel_tool_calls.filter(|_| has_tools),
        max_completion_tokens: request.max_tokens.filter(|_| own),
        max_tokens: request.max_tokens.filter(|_| !own),
        temperature: request.temperature,
        top_p: request.top_p,
        presence_penalty: request.presence_penalty,
        frequency_penalty: request.frequency_penalty,
        stop: &request.stop,
        seed: request.seed,
        n: request.choices,
        response_format: format(&request.output),
        // Whether the thinking is shown is not for the caller of this API to say.
        reasoning_effort: request.reasoning.and_then(|reasoning| effort(reasoning.amount)),
        logprobs: request.logprobs.map(|_| true),
        top_logprobs: request.logprobs.filter(|top| *top > 0),
        user: request.user.as_deref(),
        stream: request.stream.then_some(true),
        stream_options: request.stream.then_some(StreamOptions { include_usage: true }),
    })
}

/// Whether a model is one of OpenAI's own, by its name. These take `max_completion_tokens`, and those
/// that reason refuse `max_tokens`; with compatible servers it is the other way about: all know
/// `max_tokens`, and some pass over the newer name, which would lift the limit unnoticed. Both at once
/// are refused by OpenAI.
pub fn is_openais(model: &str) -> bool {
    let name = bare_name(model);
    let numbered = name.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    // The gpt-oss models run on everybody's servers but OpenAI's.
    let gpt = ["gpt-", "chatgpt-", "codex-"].iter().any(|start| name.starts_with(start));
    numbered || (gpt && !name.starts_with("gpt-oss"))
}

/// A model's name without what routers and fine-tuning put before it: the vendor, and a mark.
pub fn bare_name(model: &str) -> &str {
    let name = model.rsplit('/').next().unwrap_or(model);
    name.strip_prefix("ft:").unwrap_or(name)
}

fn tool(tool: &Tool) -> WrittenTool<'_> {
    WrittenTool {
        r#type: "function",
        function: Function {
            name: &tool.name,
            description: tool.description.as_deref(),
            parameters: tool.parameters.as_deref(),
            strict: tool.strict,
        },
    }
}

fn demands(choice: &ToolChoice) -> bool {
    matches!(choice, ToolChoice::Required | ToolChoice::Named(_))
}

fn tool_choice(choice: &ToolChoice) -> WrittenChoice<'_> {
    match choice {
        ToolChoice::Auto => WrittenChoice::Mode("auto"),
        ToolChoice::None => WrittenChoice::Mode("none"),
        ToolChoice::Required => WrittenChoice::Mode("required"),
        ToolChoice::Named(name) => WrittenChoice::Named { r#type: "function", function: Name { name } },
    }
}

fn format(output: &Output) -> Option<Format<'_>> {
    match output {
        Output::Text => None,
        Output::JsonObject => Some(Format::JsonObject),
        Output::JsonSchema(OutputSchema { name, description, schema, strict }) => {
            let json_schema = Schema {
                name: if name.is_empty() { "answer" } else { name },
                description: description.as_deref(),
                schema,
                strict: *strict,
            };
            Some(Format::JsonSchema { json_schema })
        }
    }
}

/// OpenAI's word for an amount; `None` where the model decides.
pub fn effort(amount: ReasoningAmount) -> Option<&'static str> {
    match amount {
        ReasoningAmount::Off => Some("none"),
        ReasoningAmount::Auto => None,
        ReasoningAmount::Effort(effort) => Some(effort.as_str()),
        ReasoningAmount::Budget(tokens) => Some(Effort::of_budget(tokens).as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openais_own_models_are_told_by_their_names() {
        for own in [
            "gpt-4o",
            "gpt-5.4-nano",
            "o3-mini",
            "o1",
            "openai/gpt-5",
            "chatgpt-4o-latest",
            "ft:gpt-4o:me::1",
        ] {
            assert!(is_openais(own), "{own}");
        }
        for other in ["gpt-oss-120b", "openai/gpt-oss-20b", "olmo-2", "mistral-large", "llama3.1", "o", ""] {
            assert!(!is_openais(other), "{other}");
        }
    }
}
