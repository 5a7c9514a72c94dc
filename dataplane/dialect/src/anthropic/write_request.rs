//! A request to a provider, but for its turns.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    ProviderModel,
    api::empty_schema,
    chat::{Output, OutputSchema, Request, Tool, ToolChoice},
    json,
};

use super::{
    block::Block,
    schema,
    thinking::{Plan, Thinking},
    write_turns::{self, Turn},
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(flatten)]
    generation: Option<Generation<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Function<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "OutputConfig::is_empty")]
    output_config: OutputConfig,
}

/// What a count of tokens does not take.
#[derive(Serialize)]
struct Generation<'a> {
    max_tokens: u64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
struct Choice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_parallel_tool_use: bool,
}

#[derive(Serialize)]
struct OutputConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
}

#[derive(Serialize)]
struct Format {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: Box<RawValue>,
}

pub fn write(request: &Request, model: ProviderModel<'_>) -> Bytes {
    let plan = Plan::new(request, model);
    let generation = Generation {
        max_tokens: plan.max_tokens,
        stop_sequences: &request.stop,
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        metadata: request.user.as_deref().map(|user_id| Metadata { user_id }),
        stream: request.stream,
    };
    json::to_bytes(&body(request, model, plan, Some(generation)))
}

pub fn write_count(request: &Request, model: ProviderModel<'_>) -> Bytes {
    json::to_bytes(&body(request, model, Plan::new(request, model), None))
}

fn body<'a>(
    request: &'a Request,
    model: ProviderModel<'a>,
    plan: Plan,
    generation: Option<Generation<'a>>,
) -> Body<'a> {
    let (system, messages) = write_turns::write(&request.messages);
    let format = match &request.output {
        Output::JsonSchema(schema) => Some(format(schema)),
        Output::Text | Output::JsonObject => None,
    };
    Body {
        model: model.name,
        generation,
        system,
        messages,
        tools: request.tools.iter().map(function).collect(),
        tool_choice: choice(request),
        thinking: plan.thinking,
        output_config: OutputConfig { effort: plan.effort, format },
    }
}

impl OutputConfig {
    fn is_empty(&self) -> bool {
        self.effort.is_none() && self.format.is_none()
    }
}

/// The API has no place for a schema's name, and holds every answer to the schema, strict or not.
fn format(output: &OutputSchema) -> Format {
    let schema = schema::strict(&output.schema);
    let schema = match &output.description {
        Some(description) => schema::described(&schema, description),
        None => schema,
    };
    Format { kind: "json_schema", schema }
}

fn function(tool: &Tool) -> Function<'_> {
    let object = schema::of_object(tool.parameters.as_deref().unwrap_or(empty_schema()));
    let input_schema = if tool.strict == Some(true) { schema::strict(&object) } else { object };
    Function { name: &tool.name, description: tool.description.as_deref(), input_schema, strict: tool.strict }
}

/// Without tools the API takes no choice among them; none is needed where none is forced.
fn choice(request: &Request) -> Option<Choice<'_>> {
    let serial = request.parallel_tool_calls == Some(false);
    let choice =
        |kind, name| Some(Choice { kind, name, disable_parallel_tool_use: serial && kind != "none" });
    match &request.tool_choice {
        Some(ToolChoice::Required) => choice("any", None),
        Some(ToolChoice::Named(name)) => choice("tool", Some(name.as_str())),
        _ if request.tools.is_empty() => None,
        Some(ToolChoice::Auto) => choice("auto", None),
        Some(ToolChoice::None) => choice("none", None),
        None if serial => choice("auto", None),
        None => None,
    }
}
