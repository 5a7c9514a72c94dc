//! A caller's request, but for its conversation: what the API has of its own is left over by name.

use super::{
    caller_contents::Conversation,
    fields::{elements, opt, take, whole},
    schema::to_json_schema,
};
use crate::{
    Invalid, chat,
    chat::{Effort, Leftover, Output, OutputSchema, Reasoning, ReasoningAmount, Tool, ToolChoice},
    json::{Node, Object},
};

/// Speed and bookkeeping.
const HINTS: [&str; 3] = ["serviceTier", "service_tier", "store"];

/// What a function's result looks like. It only describes, no other kind has a place for it, and the
/// vendor's SDK says it of every Python function.
const RESULT_HINTS: [&str; 3] = ["response", "responseJsonSchema", "response_json_schema"];

/// Reads the body of `generateContent`, or that of `countTokens`, which may hold the other whole.
pub fn read(body: &[u8]) -> Result<chat::Request, Invalid> {
    let mut root = Object::root(body)?;
    let mut request = chat::Request::default();
    if let Some(inner) = take(&mut root, "generateContentRequest") {
        root.ignore(&["model"]);
        root.leave(&[], &mut request.leftovers);
        root = inner.object()?;
    }
    // The path names it.
    root.ignore(&["model"]);
    let mut conversation = Conversation::new(&mut request);
    if let Some(system) = take(&mut root, "systemInstruction") {
        conversation.system(&system)?;
    }
    let contents = elements(&root.require("contents")?)?;
    if contents.is_empty() {
        return Err(Invalid::field("contents", "it must have at least one element"));
    }
    for content in contents {
        conversation.turn(&content)?;
    }
    if let Some(tools) = take(&mut root, "tools") {
        for tool in elements(&tools)? {
            read_tools(&tool, &mut request)?;
        }
    }
    if let Some(config) = take(&mut root, "toolConfig") {
        read_tool_config(&config, &mut request)?;
    }
    if let Some(config) = take(&mut root, "generationConfig") {
        read_generation_config(&config, &mut request)?;
    }
    if let Some(settings) = take(&mut root, "safetySettings") {
        read_safety_settings(&settings, &mut request)?;
    }
    if let Some(labels) = root.take("labels") {
        for (name, value) in labels.entries()? {
            request.metadata.push((name, value.string()?));
        }
    }
    root.leave(&HINTS, &mut request.leftovers);
    Ok(request)
}

fn read_tools(node: &Node<'_>, request: &mut chat::Request) -> Result<(), Invalid> {
    let mut tools = node.object()?;
    if let Some(declarations) = take(&mut tools, "functionDeclarations") {
        for declaration in elements(&declarations)? {
            let mut object = declaration.object()?;
            let own = opt(&mut object, "parameters", to_json_schema)?;
            let standard =
                opt(&mut object, "parametersJsonSchema", |node| node.object().and_then(|_| node.raw()))?;
            request.tools.push(Tool {
                name: object.require("name")?.string()?,
                description: object.opt("description", Node::string)?,
                parameters: standard.or(own),
                strict: None,
            });
            object.leave(&RESULT_HINTS, &mut request.leftovers);
        }
    }
    tools.leave(&[], &mut request.leftovers);
    Ok(())
}

fn read_tool_config(node: &Node<'_>, request: &mut chat::Request) -> Result<(), Invalid> {
    let mut object = node.object()?;
    if let Some(calling) = take(&mut object, "functionCallingConfig") {
        let mut calling = calling.object()?;
        let allowed = take(&mut calling, "allowedFunctionNames");
        let names: Vec<String> =
            allowed.as_ref().map_or(Ok(Vec::new()), |node| node.list("it must be names"))?;
        let mode = calling.take("mode");
        let word = mode.as_ref().map(Node::string).transpose()?.unwrap_or_default().to_ascii_uppercase();
        request.tool_choice = match (word.as_str(), mode, names.as_slice()) {
            ("ANY", _, [only]) => Some(ToolChoice::Named(only.clone())),
            ("ANY", ..) => Some(ToolChoice::Required),
            ("NONE", ..) => Some(ToolChoice::None),
            ("VALIDATED", ..) => {
                request.tools.iter_mut().for_each(|tool| tool.strict = Some(true));
                Some(ToolChoice::Auto)
            }
            ("AUTO", ..) => Some(ToolChoice::Auto),
            ("" | "MODE_UNSPECIFIED", ..) | (_, None, _) => None,
            (_, Some(mode), _) => return Err(mode.invalid("it must be AUTO, ANY, NONE or VALIDATED")),
        };
        let named = matches!(request.tool_choice, Some(ToolChoice::Named(_)));
        if let Some(allowed) = allowed.filter(|_| !names.is_empty() && !named) {
            request.left_over(allowed.path());
        }
        calling.leave(&[], &mut request.leftovers);
    }
    object.leave(&[], &mut request.leftovers);
    Ok(())
}

fn read_generation_config(node: &Node<'_>, request: &mut chat::Request) -> Result<(), Invalid> {
    let mut object = node.object()?;
    let config = &mut object;
    request.temperature = opt(config, "temperature", Node::f64)?;
    request.top_p = opt(config, "topP", Node::f64)?;
    request.top_k = opt(config, "topK", whole)?;
    request.max_tokens = opt(config, "maxOutputTokens", whole)?;
    request.presence_penalty = opt(config, "presencePenalty", Node::f64)?;
    request.frequency_penalty = opt(config, "frequencyPenalty", Node::f64)?;
    request.seed = opt(config, "seed", Node::i64)?;
    request.choices = opt(config, "candidateCount", small)?;
    request.stop =
        opt(config, "stopSequences", |node| node.list("it must be a list of strings"))?.unwrap_or_default();
    request.output = read_output(config)?;
    let alternatives = take(config, "logprobs");
    if opt(config, "responseLogprobs", Node::bool)? == Some(true) {
        request.logprobs = Some(alternatives.as_ref().map_or(Ok(0), small)?);
    } else if let Some(alternatives) = alternatives {
        return Err(alternatives.invalid("it needs responseLogprobs to be true"));
    }
    if let Some(thinking) = take(config, "thinkingConfig") {
        request.reasoning = read_thinking(&thinking, &mut request.leftovers)?;
    }
    if let Some(modalities) = take(config, "responseModalities") {
        let wanted: Vec<String> = modalities.list("it must be a list of strings")?;
        // Text is what every model gives.
        if wanted.iter().any(|modality| !modality.eq_ignore_ascii_case("TEXT")) {
            request.left_over(modalities.path());
        }
    }
    object.leave(&[], &mut request.leftovers);
    Ok(())
}

fn small(node: &Node<'_>) -> Result<u32, Invalid> {
    u32::try_from(whole(node)?).map_err(|_| node.invalid("it is too large"))
}

fn read_output(config: &mut Object<'_>) -> Result<Output, Invalid> {
    let own = opt(config, "responseSchema", to_json_schema)?;
    let standard = opt(config, "responseJsonSchema", |node| node.object().and_then(|_| node.raw()))?;
    let schema = standard.or(own);
    let kind = take(config, "responseMimeType");
    let word = kind.as_ref().map(Node::str).transpose()?;
    match (word.as_deref(), kind, schema) {
        (None | Some("application/json"), _, Some(schema)) => {
            let name = String::new();
            Ok(Output::JsonSchema(OutputSchema { name, description: None, schema, strict: None }))
        }
        (Some("application/json"), _, None) => Ok(Output::JsonObject),
        (None | Some("text/plain"), _, None) | (Some(_), None, _) => Ok(Output::Text),
        (Some(_), Some(kind), _) => {
            Err(kind.invalid("it must be text/plain, or application/json, with which alone a schema goes"))
        }
    }
}

fn read_thinking(node: &Node<'_>, leftovers: &mut Vec<Leftover>) -> Result<Option<Reasoning>, Invalid> {
    let mut object = node.object()?;
    let shown = opt(&mut object, "includeThoughts", Node::bool)?;
    let budget = opt(&mut object, "thinkingBudget", |node| match node.i64()? {
        0 => Ok(ReasoningAmount::Off),
        -1 => Ok(ReasoningAmount::Auto),
        tokens => u64::try_from(tokens).map(ReasoningAmount::Budget).map_err(|_| {
            node.invalid(
                "it must be a number of tokens, 0 to turn thinking off or -1 to leave it to the model",
            )
        }),
    })?;
    let level = match take(&mut object, "thinkingLevel") {
        Some(level) => {
            let word = level.string()?.to_ascii_lowercase();
            if budget.is_some() {
                return Err(level.invalid("it can't go with thinkingBudget"));
            }
            match Effort::parse(&word) {
                Some(effort) => Some(ReasoningAmount::Effort(effort)),
                None if word == "thinking_level_unspecified" => None,
                None => return Err(level.invalid("it must be MINIMAL, LOW, MEDIUM, HIGH or XHIGH")),
            }
        }
        None => None,
    };
    object.leave(&[], leftovers);
    // Models that think do so unasked; who wants to read along wants it.
    let unasked = (shown == Some(true)).then_some(ReasoningAmount::Auto);
    Ok(budget.or(level).or(unasked).map(|amount| Reasoning { amount, shown }))
}

/// Filters that are turned off are nothing that other kinds have to express.
fn read_safety_settings(node: &Node<'_>, request: &mut chat::Request) -> Result<(), Invalid> {
    for setting in elements(node)? {
        let threshold = setting.object()?.take("threshold");
        let word = threshold.as_ref().map(Node::str).transpose()?;
        let hint = matches!(word.as_deref(), Some("OFF" | "BLOCK_NONE"));
        request.leftovers.push(Leftover { field: setting.path(), hint });
    }
    Ok(())
}
