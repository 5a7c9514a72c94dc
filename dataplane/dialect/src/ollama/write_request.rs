//! What is asked, as providers get it: the body of `/api/chat`.
//!
//! `num_ctx` is not set: how much memory a model may take is its server's business. Ollama keeps to a
//! schema by grammar, so `strict` is what it does anyway, and its name and description go nowhere. The
//! user and the notes of the caller have no place.

mod messages;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    ProviderModel,
    api::empty_schema,
    chat::{Effort, Output, ReasoningAmount, Request, Tool, ToolChoice},
    json,
};
use messages::Message;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolOut<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    think: Option<Think>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Options::is_empty")]
    options: Options<'a>,
}

#[derive(Serialize)]
struct ToolOut<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a RawValue,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Format<'a> {
    Named(&'static str),
    Schema(&'a RawValue),
}

#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Think {
    Said(bool),
    Level(&'static str),
}

#[derive(PartialEq, Serialize)]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    num_predict: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [String],
}

impl<'a> Options<'a> {
    fn of(request: &'a Request) -> Self {
        Self {
            num_predict: request.max_tokens,
            temperature: request.temperature,
            top_p: request.top_p,
            top_k: request.top_k,
            presence_penalty: request.presence_penalty,
            frequency_penalty: request.frequency_penalty,
            seed: request.seed,
            stop: &request.stop,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Options::of(&Request::default())
    }
}

pub fn chat(request: &Request, model: ProviderModel<'_>) -> Bytes {
    let tools: &[Tool] = if request.tool_choice == Some(ToolChoice::None) { &[] } else { &request.tools };
    json::to_bytes(&Body {
        model: model.name,
        messages: messages::write(request),
        tools: tools.iter().map(tool).collect(),
        stream: request.stream,
        format: match &request.output {
            Output::Text => None,
            Output::JsonObject => Some(Format::Named("json")),
            Output::JsonSchema(output) => Some(Format::Schema(&output.schema)),
        },
        think: request.reasoning.map(|reasoning| think(reasoning.amount)),
        logprobs: request.logprobs.map(|_| true),
        top_logprobs: request.logprobs.filter(|top| *top > 0),
        options: Options::of(request),
    })
}

fn tool(tool: &Tool) -> ToolOut<'_> {
    ToolOut {
        r#type: "function",
        function: Function {
            name: &tool.name,
            description: tool.description.as_deref(),
            parameters: tool.parameters.as_deref().unwrap_or(empty_schema()),
        },
    }
}

/// A model that knows no levels takes each for `true`. Older servers refuse `max`, so it is said only
/// to who asks for the most.
fn think(amount: ReasoningAmount) -> Think {
    let effort = match amount {
        ReasoningAmount::Off | ReasoningAmount::Budget(0) => return Think::Said(false),
        ReasoningAmount::Auto => return Think::Said(true),
        ReasoningAmount::Effort(effort) => effort,
        ReasoningAmount::Budget(tokens) => Effort::of_budget(tokens),
    };
    Think::Level(match effort {
        Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High | Effort::XHigh => "high",
        Effort::Max => "max",
    })
}
