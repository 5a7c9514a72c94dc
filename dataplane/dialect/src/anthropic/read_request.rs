//! A caller's request, but for its content blocks.

use serde_json::value::RawValue;

use crate::{
    Invalid,
    chat::{
        Effort, Leftover, Message, Output, OutputSchema, Reasoning, ReasoningAmount, Request, Role, Tool,
        ToolChoice,
    },
    json::{Node, Object},
};

use super::read_block;

/// Fields of the body that change cost, speed or bookkeeping at most.
const HINTS: [&str; 5] = ["cache_control", "diagnostics", "service_tier", "speed", "user_profile_id"];

/// # Errors
/// When a field has a value that the API does not know, or `max_tokens` is missing.
pub fn read(body: &[u8]) -> Result<Request, Invalid> {
    let request = read_count_request(body)?;
    if request.max_tokens.is_none() {
        return Err(Invalid::missing("max_tokens"));
    }
    Ok(request)
}

/// Reads a request for a count of tokens: a request for a message, but that `max_tokens` may miss.
///
/// # Errors
/// When a field has a value that the API does not know.
pub fn read_count_request(body: &[u8]) -> Result<Request, Invalid> {
    let mut root = Object::root(body)?;
    let mut request = Request {
        max_tokens: root.opt("max_tokens", Node::u64)?,
        temperature: root.opt("temperature", Node::f64)?,
        top_p: root.opt("top_p", Node::f64)?,
        top_k: root.opt("top_k", Node::u64)?,
        stop: root
            .opt("stop_sequences", |node| node.list("it must be an array of strings"))?
            .unwrap_or_default(),
        stream: root.opt("stream", Node::bool)?.unwrap_or_default(),
        ..Request::default()
    };
    if let Some(system) = root.take("system") {
        let parts = read_block::texts(&system, &mut request)?;
        request.messages.push(Message { role: Role::System, parts });
    }
    for node in root.require("messages")?.array()? {
        message(&node, &mut request)?;
    }
    if let Some(tools) = root.take("tools") {
        for node in tools.array()? {
            tool(&node, &mut request)?;
        }
    }
    if let Some(node) = root.take("tool_choice") {
        tool_choice(&node, &mut request)?;
    }
    thinking(&mut root, &mut request)?;
    if let Some(node) = root.take("metadata") {
        let mut metadata = node.object()?;
        request.user = metadata.opt("user_id", Node::string)?;
        metadata.leave(&[], &mut request.leftovers);
    }
    if let Some(node) = root.take("context_management") {
        let hint = only_clears_thinking(&node)?;
        request.leftovers.push(Leftover { field: node.path(), hint });
    }
    root.ignore(&["model"]);
    root.leave(&HINTS, &mut request.leftovers);
    Ok(request)
}

fn message(node: &Node<'_>, request: &mut Request) -> Result<(), Invalid> {
    let mut message = node.object()?;
    let role = message.require("role")?;
    let content = message.require("content")?;
    message.leave(&[], &mut request.leftovers);
    let (role, parts) = match role.str()?.as_ref() {
        "user" => (Role::User, read_block::content(&content, request)?),
        "assistant" => (Role::Assistant, read_block::content(&content, request)?),
        "system" => (Role::System, read_block::texts(&content, request)?),
        _ => return Err(role.invalid("it must be user, assistant or system")),
    };
    request.messages.push(Message { role, parts });
    Ok(())
}

/// Tools of the caller are of type `custom`; those of other types run at the vendor's, or are known
/// to its models only.
fn tool(node: &Node<'_>, request: &mut Request) -> Result<(), Invalid> {
    let mut tool = node.object()?;
    if let Some(kind) = tool.take("type")
        && kind.str()? != "custom"
    {
        request.left_over(kind.path());
        return Ok(());
    }
    let read = Tool {
        name: tool.require("name")?.string()?,
        description: tool.opt("description", Node::string)?,
        parameters: Some(schema(&tool.require("input_schema")?)?),
        strict: tool.opt("strict", Node::bool)?,
    };
    if tool.opt("defer_loading", Node::bool)? == Some(true) {
        request.left_over(tool.path_of("defer_loading"));
    }
    if let Some(callers) = tool.take("allowed_callers")
        && callers.list::<String>("it must be an array of strings")? != ["direct"]
    {
        request.left_over(callers.path());
    }
    tool.leave(&["cache_control", "eager_input_streaming"], &mut request.leftovers);
    request.tools.push(read);
    Ok(())
}

fn schema(node: &Node<'_>) -> Result<Box<RawValue>, Invalid> {
    node.object()?;
    node.raw()
}

fn tool_choice(node: &Node<'_>, request: &mut Request) -> Result<(), Invalid> {
    let mut choice = node.object()?;
    let kind = choice.require("type")?;
    request.tool_choice = Some(match kind.str()?.as_ref() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Named(choice.require("name")?.string()?),
        _ => return Err(kind.invalid("it must be auto, any, tool or none")),
    });
    request.parallel_tool_calls =
        choice.opt("disable_parallel_tool_use", Node::bool)?.map(|disabled| !disabled);
    choice.leave(&[], &mut request.leftovers);
    Ok(())
}

/// `thinking` and `output_config`, which speak of the same: an effort is how much a model thinks that
/// decides by itself.
fn thinking(root: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    let mut effort = None;
    if let Some(node) = root.take("output_config") {
        let mut config = node.object()?;
        if let Some(node) = config.take("effort") {
            let level = Effort::parse(&node.str()?).filter(|level| *level != Effort::Minimal);
            let level = level.ok_or_else(|| node.invalid("it must be low, medium, high, xhigh or max"))?;
            effort = Some((level, node.path()));
        }
        if let Some(node) = config.take("format") {
            request.output = format(&node, request)?;
        }
        config.leave(&[], &mut request.leftovers);
    }
    let Some(node) = root.take("thinking") else {
        request.reasoning =
            effort.map(|(level, _)| Reasoning { amount: ReasoningAmount::Effort(level), shown: None });
        return Ok(());
    };
    let mut config = node.object()?;
    let kind = config.require("type")?;
    let amount = match kind.str()?.as_ref() {
        "adaptive" => {
            effort.take().map_or(ReasoningAmount::Auto, |(level, _)| ReasoningAmount::Effort(level))
        }
        "enabled" => ReasoningAmount::Budget(config.require("budget_tokens")?.u64()?),
        "disabled" => ReasoningAmount::Off,
        _ => {
            request.left_over(kind.path());
            return Ok(());
        }
    };
    if let Some((_, field)) = effort {
        // Beside a budget it says the same again; without thinking it asks for a shorter answer.
        request.leftovers.push(Leftover { field, hint: amount != ReasoningAmount::Off });
    }
    let display = config.take("display");
    let shown = match display.as_ref().map(Node::str).transpose()?.as_deref() {
        None => None,
        Some("summarized") => Some(true),
        Some("omitted") => Some(false),
        Some(_) => {
            request.leftovers.extend(display.map(|node| Leftover { field: node.path(), hint: false }));
            None
        }
    };
    config.leave(&[], &mut request.leftovers);
    request.reasoning = Some(Reasoning { amount, shown });
    Ok(())
}

fn format(node: &Node<'_>, request: &mut Request) -> Result<Output, Invalid> {
    let mut format = node.object()?;
    let kind = format.require("type")?;
    if kind.str()? != "json_schema" {
        return Err(kind.invalid("it must be json_schema"));
    }
    let schema = schema(&format.require("schema")?)?;
    format.leave(&[], &mut request.leftovers);
    Ok(Output::JsonSchema(OutputSchema {
        name: String::new(),
        description: None,
        schema,
        strict: Some(true),
    }))
}

/// Such edits take away thinking of earlier turns, of which another kind of provider gets none that
/// is not its own.
fn only_clears_thinking(node: &Node<'_>) -> Result<bool, Invalid> {
    let Some(edits) = node.object()?.take("edits") else { return Ok(true) };
    for edit in edits.array()? {
        if !edit.object()?.require("type")?.str()?.starts_with("clear_thinking_") {
            return Ok(false);
        }
    }
    Ok(true)
}
