//! A request, field by field. The items of `input` are in a module of their own.

use crate::{
    Invalid,
    chat::{
        Effort, Message, Output, OutputSchema, Part, Reasoning, ReasoningAmount, Request, Role, Tool,
        ToolChoice,
    },
    json::{Node, Object, Shape},
};

use super::input;

pub fn read(body: &[u8]) -> Result<Request, Invalid> {
    let mut root = Object::root(body)?;
    let mut request = Request::default();
    // The model was read with the envelope; the limit is on calls of tools that are refused below.
    root.ignore(&["model", "max_tool_calls"]);
    if let Some(text) = root.opt("instructions", Node::string)?
        && !text.is_empty()
    {
        request.messages.push(Message { role: Role::System, parts: vec![Part::Text(text)] });
    }
    let asked = root.take("input");
    if let Some(asked) = &asked {
        input::read(asked, &mut request)?;
    }
    request.stream = root.opt("stream", Node::bool)?.unwrap_or_default();
    request.max_tokens = root.opt("max_output_tokens", Node::u64)?;
    request.temperature = root.opt("temperature", Node::f64)?;
    request.top_p = root.opt("top_p", Node::f64)?;
    tools(&mut root, &mut request)?;
    text(&mut root, &mut request)?;
    reasoning(&mut root, &mut request)?;
    included(&mut root, &mut request)?;
    whose(&mut root, &mut request)?;
    running(&mut root, &mut request)?;
    root.leave(
        &["prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"],
        &mut request.leftovers,
    );
    // Without it something else must say what is asked, and is left over.
    if asked.is_none() && request.leftovers.iter().all(|leftover| leftover.hint) {
        return Err(Invalid::missing("input"));
    }
    Ok(request)
}

/// Takes a field that may say what is so anyhow: `default`, as JSON. Anything else is a wish.
fn only(object: &mut Object<'_>, name: &str, default: &str, request: &mut Request) {
    if let Some(node) = object.take(name)
        && node.text() != default
    {
        request.left_over(node.path());
    }
}

fn tools(root: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    request.parallel_tool_calls = root.opt("parallel_tool_calls", Node::bool)?;
    request.tool_choice = match root.take("tool_choice") {
        Some(choice) => tool_choice(&choice, request)?,
        None => None,
    };
    let Some(tools) = root.take("tools") else { return Ok(()) };
    for node in tools.array()? {
        let mut tool = node.object()?;
        let kind = tool.require("type")?;
        if kind.str()? == "function" {
            function(tool, request)?;
        } else {
            request.left_over(kind.path());
        }
    }
    Ok(())
}

fn function(mut tool: Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    let read = Tool {
        name: tool.require("name")?.string()?,
        description: tool.opt("description", Node::string)?,
        parameters: tool.opt("parameters", |node| node.object().and_then(|_| node.raw()))?,
        strict: tool.opt("strict", Node::bool)?,
    };
    only(&mut tool, "defer_loading", "false", request);
    only(&mut tool, "async", "false", request);
    if let Some(callers) = tool.take("allowed_callers")
        && callers.list::<String>("it must be an array of strings")? != ["direct"]
    {
        request.left_over(callers.path());
    }
    request.tools.push(read);
    tool.leave(&[], &mut request.leftovers);
    Ok(())
}

fn tool_choice(choice: &Node<'_>, request: &mut Request) -> Result<Option<ToolChoice>, Invalid> {
    if choice.shape() == Shape::String {
        return match choice.str()?.as_ref() {
            "auto" => Ok(Some(ToolChoice::Auto)),
            "none" => Ok(Some(ToolChoice::None)),
            "required" => Ok(Some(ToolChoice::Required)),
            _ => Err(choice.invalid("it must be auto, none, required or an object")),
        };
    }
    let mut object = choice.object()?;
    let kind = object.require("type")?;
    if kind.str()? != "function" {
        request.left_over(kind.path());
        return Ok(None);
    }
    let name = object.require("name")?.string()?;
    object.leave(&[], &mut request.leftovers);
    Ok(Some(ToolChoice::Named(name)))
}

fn text(root: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    let Some(text) = root.take("text") else { return Ok(()) };
    let mut text = text.object()?;
    if let Some(format) = text.take("format") {
        request.output = output(format.object()?, request)?;
    }
    only(&mut text, "verbosity", r#""medium""#, request);
    text.leave(&[], &mut request.leftovers);
    Ok(())
}

fn output(mut format: Object<'_>, request: &mut Request) -> Result<Output, Invalid> {
    let kind = format.require("type")?;
    let output = match kind.str()?.as_ref() {
        "text" => Output::Text,
        "json_object" => Output::JsonObject,
        "json_schema" => {
            let schema = format.require("schema")?;
            schema.object()?;
            Output::JsonSchema(OutputSchema {
                name: format.require("name")?.string()?,
                description: format.opt("description", Node::string)?,
                schema: schema.raw()?,
                strict: format.opt("strict", Node::bool)?,
            })
        }
        _ => {
            request.left_over(kind.path());
            return Ok(Output::Text);
        }
    };
    format.leave(&[], &mut request.leftovers);
    Ok(output)
}

fn reasoning(root: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    let Some(node) = root.take("reasoning") else { return Ok(()) };
    let mut object = node.object()?;
    let amount = object.opt("effort", |node| match node.str()?.as_ref() {
        "none" => Ok(ReasoningAmount::Off),
        effort => Effort::parse(effort)
            .map(ReasoningAmount::Effort)
            .ok_or_else(|| node.invalid("it must be none, minimal, low, medium, high, xhigh or max")),
    })?;
    let summary = object.take_any(&["summary", "generate_summary"]);
    if let Some(summary) = &summary {
        match summary.str()?.as_ref() {
            "auto" => {}
            // How long the summary is, is up to the provider.
            "concise" | "detailed" => request.left_over_hint(summary.path()),
            _ => return Err(summary.invalid("it must be auto, concise or detailed")),
        }
    }
    if amount.is_some() || summary.is_some() {
        request.reasoning =
            Some(Reasoning { amount: amount.unwrap_or(ReasoningAmount::Auto), shown: summary.map(|_| true) });
    }
    only(&mut object, "context", r#""auto""#, request);
    only(&mut object, "mode", r#""standard""#, request);
    object.leave(&["generate_summary"], &mut request.leftovers);
    Ok(())
}

/// What the reply shall hold besides. Sealed thinking it holds anyhow.
fn included(root: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    let mut logprobs = false;
    if let Some(include) = root.take("include") {
        for value in include.array()? {
            match value.str()?.as_ref() {
                "reasoning.encrypted_content" => {}
                "message.output_text.logprobs" => logprobs = true,
                // These show more of tools and files that are refused where they are asked for.
                _ => request.left_over_hint(value.path()),
            }
        }
    }
    let top = root.opt("top_logprobs", |node| {
        u32::try_from(node.u64()?).map_err(|_| node.invalid("it must be at most 20"))
    })?;
    // Zero is what the API itself says of a call that asked for none.
    request.logprobs = if logprobs { Some(top.unwrap_or(0)) } else { top.filter(|top| *top > 0) };
    Ok(())
}

fn whose(root: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    let user = root.take("user");
    request.user = root.opt("safety_identifier", Node::string)?;
    if let Some(user) = user {
        let name = user.string()?;
        if request.user.is_none() {
            request.user = Some(name);
        } else {
            request.left_over_hint(user.path());
        }
    }
    if let Some(metadata) = root.take("metadata") {
        for (name, value) in metadata.entries()? {
            request.metadata.push((name, value.string()?));
        }
    }
    Ok(())
}

/// How the vendor runs the call and keeps it.
fn running(root: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    only(root, "background", "false", request);
    only(root, "truncation", r#""disabled""#, request);
    // Nothing is kept here in any case.
    if let Some(store) = root.take("store")
        && store.bool()?
    {
        request.left_over_hint(store.path());
    }
    if let Some(tier) = root.take("service_tier") {
        let hint = matches!(tier.str()?.as_ref(), "auto" | "default");
        if hint { request.left_over_hint(tier.path()) } else { request.left_over(tier.path()) }
    }
    if let Some(options) = root.take("stream_options") {
        options.object()?.leave(&["include_obfuscation"], &mut request.leftovers);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
