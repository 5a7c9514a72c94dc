//! The content blocks of a caller's messages.

use crate::{
    Dialect, Invalid,
    chat::{Media, Part, Request, ToolCall, ToolResult},
    json::{Node, Object, Shape},
    seal::Seal,
};

/// Content that may be text only: system prompts.
pub fn texts(content: &Node<'_>, request: &mut Request) -> Result<Vec<Part>, Invalid> {
    if content.shape() == Shape::String {
        return Ok(vec![Part::Text(content.string()?)]);
    }
    let mut parts = Vec::new();
    for node in content.array()? {
        let mut block = node.object()?;
        let kind = block.require("type")?;
        if kind.str()? != "text" {
            return Err(kind.invalid("it must be text"));
        }
        parts.push(text(block, request)?);
    }
    Ok(parts)
}

/// The content of a turn.
pub fn content(content: &Node<'_>, request: &mut Request) -> Result<Vec<Part>, Invalid> {
    if content.shape() == Shape::String {
        return Ok(vec![Part::Text(content.string()?)]);
    }
    let mut parts = Vec::new();
    // The seal of the call that comes next.
    let mut of_call: Option<Seal> = None;
    for node in content.array()? {
        let mut block = node.object()?;
        let kind = block.require("type")?;
        let kind_name = kind.str()?;
        if kind_name == "tool_use" {
            parts.push(tool_use(block, of_call.take(), request)?);
            continue;
        }
        parts.extend(of_call.take().map(sealed));
        match kind_name.as_ref() {
            "text" => parts.push(text(block, request)?),
            "image" => parts.extend(image(block, request)?),
            "document" => parts.extend(document(block, request)?),
            "tool_result" => parts.push(tool_result(block, request)?),
            "thinking" => parts.push(thinking(block, request)?),
            "redacted_thinking" => {
                let seal = redacted(block, request)?;
                if seal.redacted { parts.push(sealed(seal)) } else { of_call = Some(seal) }
            }
            // What the vendor's own tools said and found, and what came after this was written.
            _ => request.left_over(kind.path()),
        }
    }
    parts.extend(of_call.map(sealed));
    Ok(parts)
}

fn sealed(seal: Seal) -> Part {
    Part::Reasoning { text: String::new(), seal: Some(seal) }
}

fn text(mut block: Object<'_>, request: &mut Request) -> Result<Part, Invalid> {
    let text = block.require("text")?.string()?;
    if let Some(citations) = block.take("citations")
        && !citations.array()?.is_empty()
    {
        request.left_over(citations.path());
    }
    block.leave(&["cache_control"], &mut request.leftovers);
    Ok(Part::Text(text))
}

fn image(mut block: Object<'_>, request: &mut Request) -> Result<Option<Part>, Invalid> {
    let source = block.require("source")?;
    block.leave(&["cache_control"], &mut request.leftovers);
    let mut fields = source.object()?;
    let kind = fields.require("type")?;
    Ok(media(source.path(), &kind.str()?, fields, request)?.map(Part::Image))
}

fn document(mut block: Object<'_>, request: &mut Request) -> Result<Vec<Part>, Invalid> {
    let source = block.require("source")?;
    let name = block.opt("title", Node::string)?.filter(|title| !title.is_empty());
    if let Some(node) = block.take("citations")
        && node.object()?.opt("enabled", Node::bool)? == Some(true)
    {
        request.left_over(node.path());
    }
    block.leave(&["cache_control"], &mut request.leftovers);
    let mut fields = source.object()?;
    let kind = fields.require("type")?;
    let media = match kind.str()?.as_ref() {
        "text" => {
            let text = fields.require("data")?.string()?;
            fields.ignore(&["media_type"]);
            fields.leave(&[], &mut request.leftovers);
            Some(Media::Text(text))
        }
        "content" => {
            let parts = content(&fields.require("content")?, request)?;
            fields.leave(&[], &mut request.leftovers);
            return Ok(of_content(parts, name.as_ref()));
        }
        kind => media(source.path(), kind, fields, request)?,
    };
    Ok(media.map(|media| Part::Document { media, name }).into_iter().collect())
}

/// What images and documents may come from alike; none where it lies at the vendor's, as a file.
fn media(
    path: String,
    kind: &str,
    mut source: Object<'_>,
    request: &mut Request,
) -> Result<Option<Media>, Invalid> {
    let media = match kind {
        "base64" => Media::Inline {
            media_type: source.require("media_type")?.string()?,
            data: source.require("data")?.string()?,
        },
        "url" => Media::Url { url: source.require("url")?.string()?, media_type: None },
        _ => {
            request.left_over(path);
            return Ok(None);
        }
    };
    source.leave(&[], &mut request.leftovers);
    Ok(Some(media))
}

/// A document that is given as blocks: its texts are documents, its images stand between them.
fn of_content(parts: Vec<Part>, name: Option<&String>) -> Vec<Part> {
    let mut document: Vec<Part> = Vec::new();
    for part in parts {
        match (part, document.last_mut()) {
            (Part::Text(text), Some(Part::Document { media: Media::Text(whole), .. })) => {
                whole.push_str("\n\n");
                whole.push_str(&text);
            }
            (Part::Text(text), _) => {
                document.push(Part::Document { media: Media::Text(text), name: name.cloned() });
            }
            (other, _) => document.push(other),
        }
    }
    document
}

fn tool_use(mut block: Object<'_>, seal: Option<Seal>, request: &mut Request) -> Result<Part, Invalid> {
    let id = non_empty(&block.require("id")?)?;
    let name = block.require("name")?.string()?;
    let input = block.require("input")?;
    if input.shape() != Shape::Object {
        return Err(input.invalid("it must be an object"));
    }
    if let Some(caller) = block.take("caller")
        && caller.object()?.require("type")?.str()? != "direct"
    {
        request.left_over(caller.path());
    }
    block.leave(&["cache_control"], &mut request.leftovers);
    Ok(Part::ToolCall(ToolCall { id, name, arguments: input.text().to_owned(), seal }))
}

fn tool_result(mut block: Object<'_>, request: &mut Request) -> Result<Part, Invalid> {
    let id = non_empty(&block.require("tool_use_id")?)?;
    let is_error = block.opt("is_error", Node::bool)?.unwrap_or_default();
    let parts = block.take("content").map(|node| content(&node, request)).transpose()?;
    block.leave(&["cache_control"], &mut request.leftovers);
    let name = request.tool_of_call(&id).unwrap_or_default().to_owned();
    Ok(Part::ToolResult(ToolResult { id, name, content: parts.unwrap_or_default(), is_error }))
}

fn non_empty(node: &Node<'_>) -> Result<String, Invalid> {
    let text = node.string()?;
    if text.is_empty() { Err(node.invalid("it must not be empty")) } else { Ok(text) }
}

fn thinking(mut block: Object<'_>, request: &mut Request) -> Result<Part, Invalid> {
    let text = block.require("thinking")?.string()?;
    let signature = block.opt("signature", Node::string)?.filter(|signature| !signature.is_empty());
    block.leave(&[], &mut request.leftovers);
    Ok(Part::Reasoning { text, seal: signature.map(|kept| Seal::from_text(Dialect::Anthropic, &kept)) })
}

/// The seal of thinking that is not shown. One of another kind that is not so marked is that of a
/// tool call.
fn redacted(mut block: Object<'_>, request: &mut Request) -> Result<Seal, Invalid> {
    let mut seal = Seal::from_text(Dialect::Anthropic, &block.require("data")?.str()?);
    block.leave(&[], &mut request.leftovers);
    seal.redacted |= seal.origin == Dialect::Anthropic;
    Ok(seal)
}
