//! What callers ask, of `/api/chat` and of `/api/generate`.
//!
//! Ollama passes over fields that it does not know; here they are left over, so that a wish is not
//! lost in silence. What stands for "not said" in its own clients (`""`, `[]`, `false`) wishes nothing.

mod media;
mod thread;

use crate::{
    Invalid,
    chat::{
        Effort, Leftover, Message, Output, OutputSchema, Part, Reasoning, ReasoningAmount, Request, Role,
        Tool,
    },
    json::{Node, Object, Shape},
};
use media::media;
use thread::Thread;

/// How long a model stays loaded; and what to do when the conversation outgrows the window, where
/// other APIs refuse: to cut is what Ollama does unasked, so to ask for it changes nothing.
const HINTS: [&str; 3] = ["keep_alive", "truncate", "shift"];

/// How the model is loaded and run; and what belongs to an option that is off by itself.
const OPTION_HINTS: [&str; 17] = [
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "num_keep",
    "draft_num_predict",
    "numa",
    "low_vram",
    "f16_kv",
    "logits_all",
    "vocab_only",
    "use_mmap",
    "use_mlock",
    "embedding_only",
    "mirostat_tau",
    "mirostat_eta",
];

/// Samplers that only Ollama has, each with the value that turns it off: then it wishes nothing.
const SAMPLERS: [(&str, f64); 5] =
    [("min_p", 0.0), ("typical_p", 1.0), ("tfs_z", 1.0), ("repeat_penalty", 1.0), ("mirostat", 0.0)];

pub fn chat(body: &[u8]) -> Result<Request, Invalid> {
    let mut root = Object::root(body)?;
    let mut request = Request::default();
    let messages = root.require("messages")?;
    let mut thread = Thread::default();
    for message in messages.array()? {
        thread.read(&message, &mut request)?;
    }
    if request.messages.is_empty() {
        return Err(messages.invalid("it must have a message that says something"));
    }
    if let Some(tools) = root.take("tools") {
        for node in tools.array()? {
            let tool = tool(&node, &mut request.leftovers)?;
            request.tools.push(tool);
        }
    }
    settings(root, &mut request)?;
    Ok(request)
}

pub fn generate(body: &[u8]) -> Result<Request, Invalid> {
    let mut root = Object::root(body)?;
    let mut request = Request::default();
    if let Some(system) = root.opt("system", Node::string)?.filter(|system| !system.is_empty()) {
        request.messages.push(Message { role: Role::System, parts: vec![Part::Text(system)] });
    }
    let prompt = root.require("prompt")?;
    let text = prompt.string()?;
    // To Ollama, an order to load the model or to unload it.
    if text.is_empty() {
        return Err(prompt.invalid("it must not be empty"));
    }
    let mut parts = media(&mut root)?;
    parts.push(Part::Text(text));
    request.messages.push(Message { role: Role::User, parts });
    leave_unless_empty(&mut root, &["suffix", "template", "context", "raw"], &mut request.leftovers);
    settings(root, &mut request)?;
    Ok(request)
}

/// What both have beside what is asked.
fn settings(mut root: Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    root.ignore(&["model"]);
    request.stream = root.opt("stream", Node::bool)?.unwrap_or(true);
    request.output = root.opt("format", output)?.unwrap_or_default();
    request.reasoning = root.opt("think", reasoning)?;
    let wanted = root.opt("logprobs", Node::bool)?.unwrap_or(false);
    let top = root.opt("top_logprobs", |node| {
        let top = node.u64()?;
        u32::try_from(top).ok().filter(|top| *top <= 20).ok_or_else(|| node.invalid("it must be 0 to 20"))
    })?;
    request.logprobs = wanted.then(|| top.unwrap_or(0));
    if let Some(node) = root.take("options") {
        options(node.object()?, request)?;
    }
    leave_unless_empty(&mut root, &["_debug_render_only"], &mut request.leftovers);
    root.leave(&HINTS, &mut request.leftovers);
    Ok(())
}

fn options(mut options: Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    // Below 0: until the model stops.
    request.max_tokens = options.opt("num_predict", whole)?.and_then(|most| u64::try_from(most).ok());
    request.temperature = options.opt("temperature", Node::f64)?;
    request.top_p = options.opt("top_p", Node::f64)?;
    // Below 0: off, as with 0.
    request.top_k = options.opt("top_k", whole)?.map(|most| u64::try_from(most).unwrap_or(0));
    request.presence_penalty = options.opt("presence_penalty", Node::f64)?;
    request.frequency_penalty = options.opt("frequency_penalty", Node::f64)?;
    // -1: by chance.
    request.seed = options.opt("seed", whole)?.filter(|seed| *seed != -1);
    request.stop = options
        .opt("stop", |node| match node.shape() {
            Shape::String => Ok(vec![node.string()?]),
            _ => node.list("it must be a list of strings"),
        })?
        .unwrap_or_default();
    for (name, off) in SAMPLERS {
        if let Some(node) = options.take(name)
            && node.f64()? != off
        {
            request.left_over(node.path());
        }
    }
    options.leave(&OPTION_HINTS, &mut request.leftovers);
    Ok(())
}

/// Ollama takes any number where it wants a whole one, and cuts it.
fn whole(node: &Node<'_>) -> Result<i64, Invalid> {
    node.i64().or_else(|invalid| node.f64().map(|number| number as i64).map_err(|_| invalid))
}

fn output(node: &Node<'_>) -> Result<Output, Invalid> {
    if node.shape() == Shape::Object {
        node.object()?;
        let schema =
            OutputSchema { name: String::new(), description: None, schema: node.raw()?, strict: None };
        return Ok(Output::JsonSchema(schema));
    }
    match node.str().as_deref() {
        Ok("") => Ok(Output::Text),
        Ok("json") => Ok(Output::JsonObject),
        _ => Err(node.invalid("it must be \"json\" or a JSON schema")),
    }
}

fn reasoning(node: &Node<'_>) -> Result<Reasoning, Invalid> {
    let amount = match node.text() {
        "false" => return Ok(Reasoning { amount: ReasoningAmount::Off, shown: None }),
        "true" => ReasoningAmount::Auto,
        _ => match node.str().as_deref() {
            Ok("low") => ReasoningAmount::Effort(Effort::Low),
            Ok("medium") => ReasoningAmount::Effort(Effort::Medium),
            Ok("high") => ReasoningAmount::Effort(Effort::High),
            Ok("max") => ReasoningAmount::Effort(Effort::Max),
            _ => return Err(node.invalid("it must be true, false, \"low\", \"medium\", \"high\" or \"max\"")),
        },
    };
    Ok(Reasoning { amount, shown: Some(true) })
}

fn tool(node: &Node<'_>, leftovers: &mut Vec<Leftover>) -> Result<Tool, Invalid> {
    let mut fields = node.object()?;
    if let Some(kind) = fields.take("type")
        && kind.str()? != "function"
    {
        return Err(kind.invalid("it must be \"function\""));
    }
    let mut function = fields.require("function")?.object()?;
    fields.leave(&[], leftovers);
    let tool = Tool {
        name: function.require("name")?.string()?,
        description: function.opt("description", Node::string)?,
        parameters: function.opt("parameters", |node| node.object().and_then(|_| node.raw()))?,
        strict: function.opt("strict", Node::bool)?,
    };
    function.leave(&[], leftovers);
    Ok(tool)
}

/// Leaves fields that wish something; Ollama's own clients send some of them always, and empty.
fn leave_unless_empty(object: &mut Object<'_>, names: &[&str], leftovers: &mut Vec<Leftover>) {
    for name in names {
        if let Some(node) = object.take(name)
            && !matches!(node.text(), "\"\"" | "[]" | "false")
        {
            leftovers.push(Leftover { field: node.path(), hint: false });
        }
    }
}
