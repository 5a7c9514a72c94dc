//! A caller's request, but for its messages.

use super::messages;
use crate::{
    Invalid,
    chat::{Effort, Leftover, Output, OutputSchema, Reasoning, ReasoningAmount, Request, Tool, ToolChoice},
    json::{Node, Object, Shape},
};

/// Fields that say how the call is to be paid, kept and sped up, and not what is to be answered.
const HINTS: &[&str] = &[
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
    "store",
    "user",
];

/// The most alternatives to a token that OpenAI gives.
const MAX_TOP_LOGPROBS: u64 = 20;

pub fn read(body: &[u8]) -> Result<Request, Invalid> {
    let mut root = Object::root(body)?;
    let mut request = Request::default();
    for message in root.require("messages")?.array()? {
        messages::read(&message, &mut request)?;
    }
    sampling(&mut root, &mut request)?;
    tools(&mut root, &mut request)?;
    if let Some(format) = root.take("response_format") {
        request.output = output(&format, &mut request.leftovers)?;
    }
    request.reasoning = root.opt("reasoning_effort", reasoning)?;
    request.logprobs = logprobs(&mut root)?;
    request.user = match root.opt("safety_identifier", Node::string)? {
        // `user` stays as a hint.
        Some(user) => Some(user),
        None => root.opt("user", Node::string)?,
    };
    for (name, value) in root.opt("metadata", Node::entries)?.unwrap_or_default() {
        request.metadata.push((name, value.string()?));
    }
    request.stream = root.opt("stream", Node::bool)?.unwrap_or(false);
    if let Some(options) = root.take("stream_options") {
        let mut options = options.object()?;
        // The envelope has read it.
        options.ignore(&["include_usage"]);
        options.leave(&["include_obfuscation"], &mut request.leftovers);
    }
    defaults(&mut root, &mut request.leftovers);
    root.ignore(&["model"]);
    root.leave(HINTS, &mut request.leftovers);
    Ok(request)
}

fn sampling(root: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    request.max_tokens = root.opt("max_completion_tokens", Node::u64)?;
    if let Some(old) = root.take("max_tokens") {
        let limit = old.u64()?;
        if request.max_tokens.is_some_and(|new| new != limit) {
            return Err(old.invalid("it contradicts 'max_completion_tokens'"));
        }
        request.max_tokens = Some(limit);
    }
    request.temperature = root.opt("temperature", Node::f64)?;
    request.top_p = root.opt("top_p", Node::f64)?;
    // Not OpenAI's, but understood by nearly all others.
    request.top_k = root.opt("top_k", Node::u64)?;
    request.presence_penalty = root.opt("presence_penalty", Node::f64)?;
    request.frequency_penalty = root.opt("frequency_penalty", Node::f64)?;
    request.seed = root.opt("seed", Node::i64)?;
    if let Some(stop) = root.take("stop") {
        request.stop = match stop.shape() {
            Shape::String => vec![stop.string()?],
            _ => stop.list("it must be a string or a list of strings")?,
        };
    }
    if let Some(n) = root.take("n") {
        let choices = n.u64()?.try_into().ok().filter(|choices| *choices > 0);
        request.choices = Some(choices.ok_or_else(|| n.invalid("it must be at least 1"))?);
    }
    Ok(())
}

fn tools(root: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    for node in root.opt("tools", Node::array)?.unwrap_or_default() {
        let mut tool = node.object()?;
        if tool.require("type")?.str()? != "function" {
            request.left_over(node.path());
            continue;
        }
        let mut function = tool.require("function")?.object()?;
        request.tools.push(Tool {
            name: function.require("name")?.string()?,
            description: function.opt("description", Node::string)?,
            parameters: function.opt("parameters", |schema| schema.object().and_then(|_| schema.raw()))?,
            strict: function.opt("strict", Node::bool)?,
        });
        function.leave(&[], &mut request.leftovers);
        tool.leave(&["cache_control"], &mut request.leftovers);
    }
    if let Some(choice) = root.take("tool_choice") {
        request.tool_choice = tool_choice(&choice, &mut request.leftovers)?;
    }
    request.parallel_tool_calls = root.opt("parallel_tool_calls", Node::bool)?;
    Ok(())
}

fn tool_choice(node: &Node<'_>, leftovers: &mut Vec<Leftover>) -> Result<Option<ToolChoice>, Invalid> {
    if node.shape() == Shape::String {
        return match node.str()?.as_ref() {
            "auto" => Ok(Some(ToolChoice::Auto)),
            "none" => Ok(Some(ToolChoice::None)),
            "required" => Ok(Some(ToolChoice::Required)),
            _ => Err(node.invalid("it must be 'none', 'auto', 'required' or an object")),
        };
    }
    let mut choice = node.object()?;
    if choice.require("type")?.str()? != "function" {
        // A custom tool, or a choice among some of the tools.
        leftovers.push(Leftover { field: node.path(), hint: false });
        return Ok(None);
    }
    let mut function = choice.require("function")?.object()?;
    let name = function.require("name")?.string()?;
    function.leave(&[], leftovers);
    choice.leave(&[], leftovers);
    Ok(Some(ToolChoice::Named(name)))
}

fn output(node: &Node<'_>, leftovers: &mut Vec<Leftover>) -> Result<Output, Invalid> {
    let mut format = node.object()?;
    let kind = format.require("type")?;
    let output = match kind.str()?.as_ref() {
        "text" => Output::Text,
        "json_object" => Output::JsonObject,
        "json_schema" => {
            let mut json_schema = format.require("json_schema")?.object()?;
            let schema = json_schema.require("schema")?;
            schema.object()?;
            let output = OutputSchema {
                name: json_schema.require("name")?.string()?,
                description: json_schema.opt("description", Node::string)?,
                schema: schema.raw()?,
                strict: json_schema.opt("strict", Node::bool)?,
            };
            json_schema.leave(&[], leftovers);
            Output::JsonSchema(output)
        }
        _ => return Err(kind.invalid("it must be 'text', 'json_object' or 'json_schema'")),
    };
    format.leave(&[], leftovers);
    Ok(output)
}

fn reasoning(node: &Node<'_>) -> Result<Reasoning, Invalid> {
    let effort = node.str()?;
    let amount = match Effort::parse(&effort) {
        Some(effort) => ReasoningAmount::Effort(effort),
        None if effort == "none" => ReasoningAmount::Off,
        None => return Err(node.invalid("it must be none, minimal, low, medium, high, xhigh or max")),
    };
    Ok(Reasoning { amount, shown: None })
}

fn logprobs(root: &mut Object<'_>) -> Result<Option<u32>, Invalid> {
    let wanted = root.opt("logprobs", Node::bool)?.unwrap_or(false);
    let Some(node) = root.take("top_logprobs") else { return Ok(wanted.then_some(0)) };
    let top = node.u64()?;
    match u32::try_from(top) {
        Ok(top) if wanted && u64::from(top) <= MAX_TOP_LOGPROBS => Ok(Some(top)),
        Ok(0) => Ok(None),
        Ok(_) if !wanted => Err(node.invalid("it is for requests with 'logprobs' only")),
        _ => Err(node.invalid(format!("it must be at most {MAX_TOP_LOGPROBS}"))),
    }
}

/// Takes fields that are wishes unless they say what is so without them.
fn defaults(root: &mut Object<'_>, leftovers: &mut Vec<Leftover>) {
    const SAYS_NOTHING: [(&str, &[&str]); 5] = [
        ("logit_bias", &["{}"]),
        ("modalities", &[r#"["text"]"#]),
        ("verbosity", &[r#""medium""#]),
        ("functions", &["[]"]),
        ("function_call", &[r#""auto""#, r#""none""#]),
    ];
    for (name, values) in SAYS_NOTHING {
        let Some(node) = root.take(name) else { continue };
        let compact: String = node.text().split_ascii_whitespace().collect();
        if !values.contains(&compact.as_str()) {
            leftovers.push(Leftover { field: node.path(), hint: false });
        }
    }
}
