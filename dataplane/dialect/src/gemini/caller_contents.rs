//! A caller's conversation. Calls and their results may lack ids: then calls are numbered as they
//! appear, and a result belongs to the first call of its name that has none yet.

use std::collections::VecDeque;

use super::{
    fields::{elements, opt, standard_base64, take},
    parts::mime_type_of,
    signature,
};
use crate::{
    Invalid, chat,
    chat::{Media, Message, Role, ToolCall, ToolResult},
    json::{Node, Object, Shape},
};

/// An application's own notes on a part.
const HINTS: [&str; 2] = ["partMetadata", "part_metadata"];

pub struct Conversation<'r> {
    request: &'r mut chat::Request,
    calls: usize,
    /// Calls that have no result yet.
    open: VecDeque<Call>,
}

struct Call {
    id: String,
    name: String,
}

impl<'r> Conversation<'r> {
    pub fn new(request: &'r mut chat::Request) -> Self {
        Self { request, calls: 0, open: VecDeque::new() }
    }

    /// The role of a system instruction says nothing.
    pub fn system(&mut self, node: &Node<'_>) -> Result<(), Invalid> {
        let mut object = node.object()?;
        object.ignore(&["role"]);
        self.message(Role::System, object)
    }

    pub fn turn(&mut self, node: &Node<'_>) -> Result<(), Invalid> {
        let mut object = node.object()?;
        let role = match object.take("role") {
            None => Role::User,
            Some(role) => match role.str()?.to_ascii_lowercase().as_str() {
                // Older SDKs have a role for results.
                "user" | "function" | "tool" => Role::User,
                "model" => Role::Assistant,
                _ => return Err(role.invalid("it must be user or model")),
            },
        };
        self.message(role, object)
    }

    /// A turn of the model that was streamed comes back from the vendor's SDK as a content for each
    /// frame, and is one again.
    fn message(&mut self, role: Role, mut object: Object<'_>) -> Result<(), Invalid> {
        let goes_on = |last: &mut Message| role == Role::Assistant && last.role == role;
        let mut parts = self.request.messages.pop_if(goes_on).map(|last| last.parts).unwrap_or_default();
        if let Some(nodes) = object.take("parts") {
            for node in elements(&nodes)? {
                self.part(role, &node, &mut parts)?;
            }
        }
        object.leave(&[], &mut self.request.leftovers);
        if !parts.is_empty() {
            self.request.messages.push(Message { role, parts });
        }
        Ok(())
    }

    fn part(&mut self, role: Role, node: &Node<'_>, parts: &mut Vec<chat::Part>) -> Result<(), Invalid> {
        let mut object = node.object()?;
        let thought = opt(&mut object, "thought", Node::bool)?.unwrap_or(false);
        let mut seal = opt(&mut object, "thoughtSignature", |node| Ok(signature::read(&node.str()?)))?
            .filter(|seal| role == Role::Assistant && !seal.value.is_empty());
        if let Some(text) = object.opt("text", Node::string)?.filter(|text| !text.is_empty()) {
            match parts.last_mut() {
                Some(chat::Part::Reasoning { text: begun, seal: None }) if thought => begun.push_str(&text),
                Some(chat::Part::Text(begun)) if !thought && role == Role::Assistant => begun.push_str(&text),
                _ if thought => parts.push(chat::Part::Reasoning { text, seal: None }),
                _ => parts.push(chat::Part::Text(text)),
            }
        }
        if let Some(blob) = take(&mut object, "inlineData") {
            parts.push(self.inline(&blob)?);
        }
        if let Some(file) = take(&mut object, "fileData") {
            parts.extend(self.file(&file)?);
        }
        if let Some(call) = take(&mut object, "functionCall") {
            let call = self.call(&call)?;
            parts.push(chat::Part::ToolCall(ToolCall { seal: seal.take(), ..call }));
        }
        if let Some(response) = take(&mut object, "functionResponse") {
            parts.push(self.response(&response)?);
        }
        match (seal, parts.last_mut()) {
            (Some(seal), Some(chat::Part::Reasoning { seal: place @ None, .. }))
                if thought && !seal.redacted =>
            {
                *place = Some(seal);
            }
            (Some(seal), _) => {
                parts.push(chat::Part::Reasoning { text: String::new(), seal: Some(seal) });
            }
            (None, _) => {}
        }
        object.leave(&HINTS, &mut self.request.leftovers);
        Ok(())
    }

    fn inline(&mut self, node: &Node<'_>) -> Result<chat::Part, Invalid> {
        let mut object = node.object()?;
        let media_type =
            take(&mut object, "mimeType").ok_or_else(|| missing(&object, "mimeType"))?.string()?;
        let data = standard_base64(object.require("data")?.string()?);
        let name = opt(&mut object, "displayName", Node::string)?;
        object.leave(&[], &mut self.request.leftovers);
        let kind = media_type.clone();
        Ok(media_part(&kind, Media::Inline { media_type, data }, name))
    }

    fn file(&mut self, node: &Node<'_>) -> Result<Option<chat::Part>, Invalid> {
        let mut object = node.object()?;
        let uri = take(&mut object, "fileUri").ok_or_else(|| missing(&object, "fileUri"))?;
        let media_type = opt(&mut object, "mimeType", Node::string)?;
        let name = opt(&mut object, "displayName", Node::string)?;
        object.leave(&[], &mut self.request.leftovers);
        let url = uri.string()?;
        // Only the vendor itself can read what was stored with it.
        if url.starts_with("gs://") || url.starts_with("https://generativelanguage.googleapis.com/") {
            self.request.left_over(uri.path());
            return Ok(None);
        }
        let film = url.contains("youtube.com/") || url.contains("youtu.be/");
        let kind = match &media_type {
            Some(kind) => kind.clone(),
            None if film => "video/*".to_owned(),
            None => mime_type_of(&url).unwrap_or_default().to_owned(),
        };
        Ok(Some(media_part(&kind, Media::Url { url, media_type }, name)))
    }

    fn call(&mut self, node: &Node<'_>) -> Result<ToolCall, Invalid> {
        let mut object = node.object()?;
        let made_up = ToolCall::made_up_id(self.calls);
        self.calls += 1;
        let id = object.opt("id", Node::string)?.filter(|id| !id.is_empty()).unwrap_or(made_up);
        let name = object.require("name")?.string()?;
        let arguments = object.opt("args", |args| match args.shape() {
            Shape::Object => Ok(args.text().to_owned()),
            _ => Err(args.invalid("it must be an object")),
        })?;
        object.leave(&[], &mut self.request.leftovers);
        self.open.push_back(Call { id: id.clone(), name: name.clone() });
        Ok(ToolCall { id, name, arguments: arguments.unwrap_or_else(|| "{}".to_owned()), seal: None })
    }

    fn response(&mut self, node: &Node<'_>) -> Result<chat::Part, Invalid> {
        let mut object = node.object()?;
        let name = object.require("name")?;
        let said = object.opt("id", Node::string)?.filter(|id| !id.is_empty());
        let text = name.str()?;
        let at = self.open.iter().position(|call| match &said {
            Some(id) => call.id == *id,
            None => call.name == text,
        });
        let answered = at.and_then(|at| self.open.remove(at)).map(|call| call.id);
        let id = said.or(answered).ok_or_else(|| name.invalid("no functionCall before it has this name"))?;
        let mut content = Vec::new();
        let mut is_error = false;
        if let Some(response) = object.take("response") {
            let (text, failed) = outcome(&response)?;
            is_error = failed;
            content.push(chat::Part::Text(text));
        }
        if let Some(nodes) = object.take("parts") {
            for node in elements(&nodes)? {
                self.part(Role::User, &node, &mut content)?;
            }
        }
        object.leave(&[], &mut self.request.leftovers);
        Ok(chat::Part::ToolResult(ToolResult { id, name: text.into_owned(), content, is_error }))
    }
}

fn media_part(kind: &str, media: Media, name: Option<String>) -> chat::Part {
    match kind.split_once('/') {
        Some(("image", _)) => chat::Part::Image(media),
        Some(("audio", _)) => chat::Part::Audio(media),
        Some(("video", _)) => chat::Part::Video(media),
        _ => chat::Part::Document { media, name },
    }
}

/// A function's outcome as text, and whether it is an error: the words in which it is wrapped are the
/// API's own.
fn outcome(node: &Node<'_>) -> Result<(String, bool), Invalid> {
    if let [(name, value)] = node.entries()?.as_slice() {
        match (name.as_str(), value.shape()) {
            ("result" | "output", Shape::String) => return Ok((value.string()?, false)),
            ("error", Shape::String) => return Ok((value.string()?, true)),
            ("error", _) => return Ok((value.text().to_owned(), true)),
            _ => {}
        }
    }
    Ok((node.text().to_owned(), false))
}

fn missing(object: &Object<'_>, name: &str) -> Invalid {
    Invalid::missing(object.path_of(name))
}
