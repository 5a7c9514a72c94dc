//! A caller's messages and their parts.

use super::{media, reasoning};
use crate::{
    Dialect, Invalid,
    chat::{Leftover, Media, Message, Part, Request, Role, ToolCall, ToolResult},
    json::{Node, Object, Shape},
    seal::Seal,
};

/// Marks for the provider's cache, wherever they stand.
const HINTS: &[&str] = &["cache_control", "prompt_cache_breakpoint"];

// The types of parts that each role may have.
const SYSTEM: &[&str] = &["text"];
const USER: &[&str] = &["text", "image_url", "input_audio", "file", "video_url"];
const ASSISTANT: &[&str] = &["text", "refusal"];
/// OpenAI takes text alone; compatible servers and other vendors take more.
const TOOL: &[&str] = &["text", "image_url", "file"];

pub fn read(node: &Node<'_>, request: &mut Request) -> Result<(), Invalid> {
    let mut message = node.object()?;
    let role = message.require("role")?;
    let (role, parts) = match role.str()?.as_ref() {
        "system" | "developer" => {
            (Role::System, content(&message.require("content")?, SYSTEM, &mut request.leftovers)?)
        }
        "user" => (Role::User, content(&message.require("content")?, USER, &mut request.leftovers)?),
        "assistant" => (Role::Assistant, assistant(&mut message, request)?),
        "tool" => (Role::User, vec![Part::ToolResult(tool(&mut message, request)?)]),
        // Deprecated with the calls that it answers.
        "function" => {
            request.left_over(node.path());
            return Ok(());
        }
        _ => return Err(role.invalid("it must be 'system', 'developer', 'user', 'assistant' or 'tool'")),
    };
    request.messages.push(Message { role, parts });
    message.leave(HINTS, &mut request.leftovers);
    Ok(())
}

fn assistant(message: &mut Object<'_>, request: &mut Request) -> Result<Vec<Part>, Invalid> {
    let text = message.opt("reasoning_content", Node::string)?;
    // OpenRouter's and vLLM's name for the same.
    let text = message.opt("reasoning", Node::string)?.filter(|_| text.is_none()).or(text);
    let mut parts = reasoning::read_details(message.take("reasoning_details"), text, &mut request.leftovers)?;
    if let Some(node) = message.take("content") {
        parts.extend(content(&node, ASSISTANT, &mut request.leftovers)?);
    }
    if let Some(refusal) = message.opt("refusal", Node::string)? {
        parts.push(Part::Refusal(refusal));
    }
    for node in message.opt("tool_calls", Node::array)?.unwrap_or_default() {
        parts.extend(tool_call(&node, &mut request.leftovers)?.map(Part::ToolCall));
    }
    // Clients keep "" beside tool calls, where no API wants an empty text.
    if parts.len() > 1 {
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    }
    // What OpenAI itself adds to its answers and clients send back.
    message.ignore(&["annotations"]);
    Ok(parts)
}

fn tool_call(node: &Node<'_>, leftovers: &mut Vec<Leftover>) -> Result<Option<ToolCall>, Invalid> {
    let mut call = node.object()?;
    if call.require("type")?.str()? != "function" {
        leftovers.push(Leftover { field: node.path(), hint: false });
        return Ok(None);
    }
    let mut function = call.require("function")?.object()?;
    let mut arguments = function.require("arguments")?.string()?;
    if arguments.trim().is_empty() {
        "{}".clone_into(&mut arguments);
    }
    let id = filled(&call.require("id")?)?;
    let name = filled(&function.require("name")?)?;
    let mut seal = None;
    if let Some(extra) = call.take("extra_content") {
        let mut extra = extra.object()?;
        if let Some(google) = extra.take("google") {
            let mut google = google.object()?;
            let signature = google.opt("thought_signature", Node::str)?;
            seal = signature.map(|signature| Seal::from_text(Dialect::OpenAI, &signature));
            google.leave(&[], leftovers);
        }
        extra.leave(&[], leftovers);
    }
    // The place in the stream that the call came in.
    call.ignore(&["index"]);
    function.leave(&[], leftovers);
    call.leave(HINTS, leftovers);
    Ok(Some(ToolCall { id, name, arguments, seal }))
}

fn filled(node: &Node<'_>) -> Result<String, Invalid> {
    let text = node.string()?;
    if text.is_empty() { Err(node.invalid("it must not be empty")) } else { Ok(text) }
}

fn tool(message: &mut Object<'_>, request: &mut Request) -> Result<ToolResult, Invalid> {
    let id = filled(&message.require("tool_call_id")?)?;
    let content = content(&message.require("content")?, TOOL, &mut request.leftovers)?;
    // OpenAI has no name here; older examples, and Mistral, have.
    let name = message.opt("name", Node::string)?;
    let name = name.or_else(|| request.tool_of_call(&id).map(str::to_owned)).unwrap_or_default();
    Ok(ToolResult { id, name, content, is_error: false })
}

fn content(node: &Node<'_>, types: &[&str], leftovers: &mut Vec<Leftover>) -> Result<Vec<Part>, Invalid> {
    match node.shape() {
        Shape::String => Ok(vec![Part::Text(node.string()?)]),
        Shape::Array => {
            let parts = node.array()?;
            parts.iter().filter_map(|node| part(node, types, leftovers).transpose()).collect()
        }
        _ => Err(node.invalid("it must be a string or an array of parts")),
    }
}

/// `None` for a part that is left over.
fn part(node: &Node<'_>, types: &[&str], leftovers: &mut Vec<Leftover>) -> Result<Option<Part>, Invalid> {
    let mut part = node.object()?;
    let kind = part.require("type")?;
    let name = kind.str()?;
    if !types.contains(&name.as_ref()) {
        return Err(kind.invalid(format!("it must be one of: {}", types.join(", "))));
    }
    let read = match name.as_ref() {
        "text" => Some(Part::Text(part.require("text")?.string()?)),
        "refusal" => Some(Part::Refusal(part.require("refusal")?.string()?)),
        "image_url" => Some(Part::Image(url(&part.require("image_url")?, leftovers)?)),
        "video_url" => Some(Part::Video(url(&part.require("video_url")?, leftovers)?)),
        "input_audio" => {
            let mut audio = part.require("input_audio")?.object()?;
            let data = audio.require("data")?.string()?;
            let media_type = media::read_audio_format(&audio.require("format")?.str()?);
            audio.leave(&[], leftovers);
            Some(Part::Audio(Media::Inline { media_type, data }))
        }
        _ => file(part.require("file")?.object()?, leftovers)?,
    };
    part.leave(HINTS, leftovers);
    Ok(read)
}

fn url(node: &Node<'_>, leftovers: &mut Vec<Leftover>) -> Result<Media, Invalid> {
    let mut object = node.object()?;
    let url = object.require("url")?;
    let media = media::read_url(&url.str()?)
        .ok_or_else(|| url.invalid("it must be an http(s) URL, or a data URL in base64"))?;
    // How many tokens a picture may take.
    object.leave(&["detail"], leftovers);
    Ok(media)
}

/// A file in the request; one that was uploaded before is nobody else's.
fn file(mut file: Object<'_>, leftovers: &mut Vec<Leftover>) -> Result<Option<Part>, Invalid> {
    let name = file.opt("filename", Node::string)?;
    let Some(data) = file.take("file_data") else {
        let id = file.take("file_id");
        let id = id.ok_or_else(|| Invalid::missing(file.path_of("file_data")))?;
        leftovers.push(Leftover { field: id.path(), hint: false });
        return Ok(None);
    };
    file.leave(&[], leftovers);
    let text = data.str()?;
    // OpenAI's reference speaks of bare base64, its guide of a data URL.
    let media = media::read_url(&text).unwrap_or_else(|| Media::Inline {
        media_type: media::type_of_name(name.as_deref().unwrap_or_default()).to_owned(),
        data: text.into_owned(),
    });
    Ok(Some(Part::Document { media, name }))
}
