//! A conversation as a provider takes it: roles alternate, so neighbours are merged; system text has a
//! place of its own; and signatures must stand where the model put them.
//!
//! The model's proof of its thinking comes on a part: from Gemini 3 on, the first call of a turn must
//! have one, or the request is refused. Where that call is of another origin, it gets the placeholder
//! that the vendor documents for the case.

use std::borrow::Cow;

use serde::Serialize;

use super::parts::{FunctionResponse, Outcome, Part};
use crate::{
    Dialect,
    chat::{self, Media, Role},
    seal::Seal,
};

/// The documented signature that is taken for any.
const UNCHECKED: &str = "skip_thought_signature_validator";

#[derive(Debug, Serialize)]
pub struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    pub parts: Vec<Part<'a>>,
}

#[derive(Debug, Default)]
pub struct Turns<'a> {
    pub contents: Vec<Content<'a>>,
    pub system: Vec<Part<'a>>,
}

/// A model's name without the collections that it may be in, such as `models/`.
pub fn last_name(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

/// Whether the model is of Gemini 3 or later: it thinks by levels, wants signatures and takes media
/// inside of function results. Names without a number, such as `gemini-flash-latest`, are aliases of
/// the newest.
pub fn third_generation(model: &str) -> bool {
    let Some(version) = last_name(model).strip_prefix("gemini-") else { return false };
    let digits = version.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse::<u32>().map_or(version.ends_with("-latest"), |generation| generation >= 3)
}

pub fn turns<'a>(request: &'a chat::Request, model: &str) -> Turns<'a> {
    let third = third_generation(model);
    let mut turns = Turns::default();
    let mut merged: Vec<(Role, Vec<&'a chat::Part>)> = Vec::new();
    for message in &request.messages {
        match merged.last_mut() {
            _ if message.role == Role::System => turns.system.extend(message.parts.iter().filter_map(plain)),
            Some((role, parts)) if *role == message.role => parts.extend(&message.parts),
            _ => merged.push((message.role, message.parts.iter().collect())),
        }
    }
    for (role, parts) in merged {
        let (role, parts) = match role {
            Role::Assistant => ("model", model_parts(&parts, third)),
            Role::User | Role::System => ("user", user_parts(request, &parts, third)),
        };
        if !parts.is_empty() {
            turns.contents.push(Content { role: Some(role), parts });
        }
    }
    // The API wants a turn, and OpenAI takes calls of nothing but system messages.
    if turns.contents.is_empty() && !turns.system.is_empty() {
        turns.contents.push(Content { role: Some("user"), parts: std::mem::take(&mut turns.system) });
    }
    turns
}

/// A part that says the same in every role; the API refuses empty text.
fn plain(part: &chat::Part) -> Option<Part<'_>> {
    match part {
        chat::Part::Text(text) | chat::Part::Refusal(text) => {
            (!text.is_empty()).then(|| Part::text(text.as_str()))
        }
        chat::Part::Image(media) | chat::Part::Audio(media) | chat::Part::Video(media) => {
            Some(Part::media(media))
        }
        chat::Part::Document { media: Media::Text(text), name: Some(name) } => {
            Some(Part::text(format!("{name}:\n{text}")))
        }
        chat::Part::Document { media, .. } => Some(Part::media(media)),
        chat::Part::Reasoning { .. } | chat::Part::ToolCall(_) | chat::Part::ToolResult(_) => None,
    }
}

fn own(seal: Option<&Seal>) -> Option<&str> {
    seal.and_then(|seal| seal.value_for(Dialect::Gemini))
}

fn model_parts<'a>(parts: &[&'a chat::Part], third: bool) -> Vec<Part<'a>> {
    let mut written: Vec<Part<'a>> = Vec::new();
    let mut for_call: Option<&'a str> = None;
    let mut called = false;
    for (i, part) in parts.iter().enumerate() {
        match part {
            // Thinking that nobody vouches for may be another model's, and is not sent.
            chat::Part::Reasoning { text, seal } => {
                let Some(proof) = own(seal.as_ref()) else { continue };
                let unsealed_call = matches!(parts.get(i + 1), Some(chat::Part::ToolCall(call))
                    if own(call.seal.as_ref()).is_none());
                if third && !called && unsealed_call {
                    // A caller whose dialect has no seals on calls has kept it in front of the call.
                    for_call = Some(proof);
                    if !text.is_empty() {
                        written.push(Part::thought(text.as_str()));
                    }
                } else if !text.is_empty() {
                    written.push(Part::thought(text.as_str()).signed(Some(proof.into())));
                } else if let Some(said) = written.last_mut().filter(|part| unsigned_text(part)) {
                    said.thought_signature = Some(proof.into());
                } else {
                    written.push(Part::text("").signed(Some(proof.into())));
                }
            }
            chat::Part::ToolCall(call) => {
                let unchecked = (third && !called).then_some(UNCHECKED);
                let proof = own(call.seal.as_ref()).or(for_call.take()).or(unchecked);
                called = true;
                let call = Part::call(&call.id, &call.name, &call.arguments);
                written.push(call.signed(proof.map(Cow::Borrowed)));
            }
            other => written.extend(plain(other)),
        }
    }
    written
}

fn unsigned_text(part: &Part<'_>) -> bool {
    part.text.is_some() && part.thought.is_none() && part.thought_signature.is_none()
}

/// Results of parallel calls must stand together, so that what could not go into them follows after
/// the last.
fn user_parts<'a>(request: &'a chat::Request, parts: &[&'a chat::Part], third: bool) -> Vec<Part<'a>> {
    let mut written = Vec::new();
    let mut following = Vec::new();
    for part in parts {
        if let chat::Part::ToolResult(result) = part {
            written.push(function_response(request, result, third, &mut following));
        } else {
            written.append(&mut following);
            written.extend(plain(part));
        }
    }
    written.append(&mut following);
    written
}

fn function_response<'a>(
    request: &'a chat::Request,
    result: &'a chat::ToolResult,
    third: bool,
    following: &mut Vec<Part<'a>>,
) -> Part<'a> {
    let name = Some(result.name.as_str())
        .filter(|name| !name.is_empty())
        .or_else(|| request.tool_of_call(&result.id))
        .unwrap_or(&result.id);
    let mut text = String::new();
    let mut inside = Vec::new();
    let mut outside = Vec::new();
    for part in &result.content {
        let Some(part) = plain(part) else { continue };
        if let Some(more) = &part.text {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(more);
        } else if third && goes_inside(&part) {
            inside.push(part);
        } else {
            outside.push(part);
        }
    }
    if !outside.is_empty() {
        let id = &result.id;
        following.push(Part::text(format!("Files in the result of the function call {id} ({name}):")));
        following.append(&mut outside);
    }
    let response = Outcome::new(text, result.is_error);
    let response = FunctionResponse { id: &result.id, name, response, parts: inside };
    Part { function_response: Some(response), ..Part::default() }
}

/// The media types that the vendor documents for function results.
fn goes_inside(part: &Part<'_>) -> bool {
    const TAKEN: [&str; 5] = ["image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"];
    part.inline_data.as_ref().is_some_and(|blob| TAKEN.contains(&blob.mime_type))
}
