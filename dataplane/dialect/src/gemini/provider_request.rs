//! A request as a provider takes it. The model and whether it streams are in the path.
//!
//! What is not sent, since the API has no place for it and it changes no answer: the application's
//! user, the caller's own notes (`labels` are for billing and refuse most texts), the names of a
//! schema and of a document.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::provider_turns::{Content, last_name, third_generation, turns};
use crate::{
    ProviderModel,
    chat::{Effort, Output, Reasoning, ReasoningAmount, Request, Tool, ToolChoice},
    json::to_bytes,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    /// Only where the body is inside of another.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tools<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    generation_config: GenerationConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<FunctionDeclaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FunctionDeclaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: FunctionCallingConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FunctionCallingConfig<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<ThinkingConfig>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ThinkingConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_budget: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    include_thoughts: Option<bool>,
}

pub fn write(request: &Request, model: ProviderModel<'_>) -> Bytes {
    to_bytes(&body(request, model.name, None))
}

pub fn write_count(request: &Request, model: ProviderModel<'_>) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Count<'a> {
        generate_content_request: Body<'a>,
    }
    let named = format!("models/{}", model.name);
    to_bytes(&Count { generate_content_request: body(request, model.name, Some(named)) })
}

fn body<'a>(request: &'a Request, model: &str, named: Option<String>) -> Body<'a> {
    let turns = turns(request, model);
    let system = (!turns.system.is_empty()).then_some(Content { role: None, parts: turns.system });
    let function_declarations: Vec<_> = request.tools.iter().map(declaration).collect();
    Body {
        model: named,
        contents: turns.contents,
        system_instruction: system,
        tools: (!function_declarations.is_empty()).then_some([Tools { function_declarations }]),
        tool_config: tool_config(request),
        generation_config: generation_config(request, model),
    }
}

fn declaration(tool: &Tool) -> FunctionDeclaration<'_> {
    FunctionDeclaration {
        name: &tool.name,
        description: tool.description.as_deref(),
        // An object without properties says the same as no parameters, and is refused by some models.
        parameters_json_schema: tool.parameters.as_deref().filter(|schema| !any_object(schema)),
    }
}

/// Whether a schema says nothing of what is in the object.
fn any_object(schema: &RawValue) -> bool {
    let compact: String = schema.get().split_ascii_whitespace().collect();
    matches!(compact.as_str(), "{}" | r#"{"type":"object"}"# | r#"{"type":"object","properties":{}}"#)
}

fn tool_config(request: &Request) -> Option<ToolConfig<'_>> {
    let strict = request.tools.iter().any(|tool| tool.strict == Some(true));
    let (mode, name) = match &request.tool_choice {
        // Calls that must follow their schemas; demanded ones do anyway.
        None | Some(ToolChoice::Auto) if strict => ("VALIDATED", None),
        None => return None,
        Some(ToolChoice::Auto) => ("AUTO", None),
        Some(ToolChoice::None) => ("NONE", None),
        Some(ToolChoice::Required) => ("ANY", None),
        Some(ToolChoice::Named(name)) => ("ANY", Some([name.as_str()])),
    };
    let function_calling_config = FunctionCallingConfig { mode, allowed_function_names: name };
    Some(ToolConfig { function_calling_config })
}

fn generation_config<'a>(request: &'a Request, model: &str) -> GenerationConfig<'a> {
    let (response_mime_type, response_json_schema) = match &request.output {
        Output::Text => (None, None),
        Output::JsonObject => (Some("application/json"), None),
        Output::JsonSchema(output) => (Some("application/json"), Some(&*output.schema)),
    };
    GenerationConfig {
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        max_output_tokens: request.max_tokens,
        stop_sequences: &request.stop,
        candidate_count: request.choices,
        seed: request.seed,
        presence_penalty: request.presence_penalty,
        frequency_penalty: request.frequency_penalty,
        response_mime_type,
        response_json_schema,
        response_logprobs: request.logprobs.is_some().then_some(true),
        logprobs: request.logprobs.filter(|alternatives| *alternatives > 0),
        thinking_config: request.reasoning.map(|reasoning| thinking(reasoning, model)),
    }
}

/// Models of Gemini 3 and later think by levels, and a budget is taken as it is; they can't be told not
/// to think, only to do it least. Earlier ones have budgets alone, with a most that depends on the model.
fn thinking(Reasoning { amount, shown }: Reasoning, model: &str) -> ThinkingConfig {
    let pro = last_name(model).contains("pro");
    let mut config = ThinkingConfig { include_thoughts: shown, ..ThinkingConfig::default() };
    let budget = |tokens: u64| Some(i64::try_from(tokens).unwrap_or(i64::MAX));
    match amount {
        ReasoningAmount::Budget(tokens) => config.thinking_budget = budget(tokens),
        ReasoningAmount::Auto if third_generation(model) => {}
        ReasoningAmount::Off if third_generation(model) => {
            config.thinking_level = Some(level(Effort::Minimal, pro));
        }
        ReasoningAmount::Effort(effort) if third_generation(model) => {
            config.thinking_level = Some(level(effort, pro));
        }
        ReasoningAmount::Auto => config.thinking_budget = Some(-1),
        ReasoningAmount::Off => config.thinking_budget = Some(0),
        ReasoningAmount::Effort(effort) => {
            config.thinking_budget = budget(effort.budget().min(if pro { 32768 } else { 24576 }));
        }
    }
    config
}

/// By the table of the vendor's OpenAI-compatible endpoint; the Pro models have no `MINIMAL`.
fn level(effort: Effort, pro: bool) -> &'static str {
    match effort {
        Effort::Minimal if !pro => "MINIMAL",
        Effort::Minimal | Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High | Effort::XHigh | Effort::Max => "HIGH",
    }
}
