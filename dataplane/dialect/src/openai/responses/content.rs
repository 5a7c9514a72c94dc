//! The content of messages and of tool results: a text, or a list of texts, images and files. Apart
//! from the items, since both kinds of item hold it.

use crate::{
    Invalid,
    chat::{Media, Part, Request, Role},
    json::{Node, Object, Shape},
};

/// Reads content for a message of `role`. What the API's types allow there and no other API does is
/// left over: images beyond user messages.
pub fn read(node: &Node<'_>, role: Role, request: &mut Request) -> Result<Vec<Part>, Invalid> {
    match node.shape() {
        Shape::String => Ok(vec![Part::Text(node.string()?)]),
        Shape::Array => {
            let mut parts = Vec::new();
            for node in node.array()? {
                parts.extend(part(&node, role, request)?);
            }
            Ok(parts)
        }
        _ => Err(node.invalid("it must be a string or an array")),
    }
}

fn part(node: &Node<'_>, role: Role, request: &mut Request) -> Result<Option<Part>, Invalid> {
    let mut object = node.object()?;
    let kind = object.require("type")?;
    let part = match (kind.str()?.as_ref(), role) {
        ("input_text" | "output_text", _) => Some(Part::Text(text(&mut object, request)?)),
        ("refusal", Role::Assistant) => Some(Part::Refusal(object.require("refusal")?.string()?)),
        ("input_image", Role::User) => image(&mut object, request)?,
        ("input_file", Role::User) => file(&mut object, request)?,
        _ => {
            request.left_over(kind.path());
            return Ok(None);
        }
    };
    object.leave(&["prompt_cache_breakpoint"], &mut request.leftovers);
    Ok(part)
}

fn text(object: &mut Object<'_>, request: &mut Request) -> Result<String, Invalid> {
    // What the API told the caller of its own text; citations are for readers, and the rest is
    // nothing to a model.
    object.ignore(&["logprobs"]);
    if let Some(annotations) = object.take("annotations")
        && !annotations.array()?.is_empty()
    {
        request.left_over_hint(annotations.path());
    }
    object.require("text")?.string()
}

fn image(object: &mut Object<'_>, request: &mut Request) -> Result<Option<Part>, Invalid> {
    detail(object, request)?;
    if let Some(url) = object.take("image_url") {
        let text = url.str()?;
        let media =
            inline(&url, &text)?.unwrap_or_else(|| Media::Url { url: text.into_owned(), media_type: None });
        return Ok(Some(Part::Image(media)));
    }
    stored(object, "image_url", request)
}

fn file(object: &mut Object<'_>, request: &mut Request) -> Result<Option<Part>, Invalid> {
    detail(object, request)?;
    let name = object.opt("filename", Node::string)?;
    let media = if let Some(data) = object.take("file_data") {
        let text = data.str()?;
        inline(&data, &text)?.unwrap_or_else(|| Media::Inline {
            media_type: media_type(&text, name.as_deref()).to_owned(),
            data: text.into_owned(),
        })
    } else if let Some(url) = object.opt("file_url", Node::string)? {
        Media::Url { url, media_type: None }
    } else {
        return stored(object, "file_data", request);
    };
    Ok(Some(Part::Document { media, name }))
}

/// What is at the vendor only, under an id, is left over; what is nowhere is a mistake.
fn stored(object: &mut Object<'_>, wanted: &str, request: &mut Request) -> Result<Option<Part>, Invalid> {
    match object.take("file_id") {
        Some(id) => {
            request.left_over(id.path());
            Ok(None)
        }
        None => Err(Invalid::missing(object.path_of(wanted))),
    }
}

/// How finely the provider looks: a matter of cost.
fn detail(object: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    if let Some(detail) = object.take("detail")
        && detail.str()? != "auto"
    {
        request.left_over_hint(detail.path());
    }
    Ok(())
}

/// What `data:image/png;base64,…` holds; `None` for any other URL.
fn inline(node: &Node<'_>, url: &str) -> Result<Option<Media>, Invalid> {
    let Some(rest) = url.strip_prefix("data:") else { return Ok(None) };
    rest.split_once(";base64,")
        .map(|(media_type, data)| (media_type.split(';').next().unwrap_or_default(), data))
        .filter(|(media_type, _)| !media_type.is_empty())
        .map(|(media_type, data)| {
            Some(Media::Inline { media_type: media_type.to_owned(), data: data.to_owned() })
        })
        .ok_or_else(|| node.invalid("a data URL must have a media type and be in base64"))
}

/// Of base64 without a data URL around it. A PDF is known by its first bytes, `%PDF-`, which most
/// files are; others by their names.
fn media_type(data: &str, name: Option<&str>) -> &'static str {
    let extension = name.and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
    match extension.map(str::to_ascii_lowercase).as_deref() {
        _ if data.starts_with("JVBERi") => "application/pdf",
        Some("pdf") => "application/pdf",
        Some("txt") => "text/plain",
        Some("md") => "text/markdown",
        Some("csv") => "text/csv",
        Some("html") => "text/html",
        Some("json") => "application/json",
        Some("xml") => "text/xml",
        _ => "application/octet-stream",
    }
}
