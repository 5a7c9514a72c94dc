//! Messages, to the items of a provider's `input`.
//!
//! System messages are items too and not `instructions`: so all of them stand where they stood. An item
//! has no id: the vendor would look for it among what it has stored, which is nothing. Sealed thinking
//! carries all that the vendor needs of it; OpenAI's own clients leave its id out as well.

use std::borrow::Cow;

use serde::Serialize;

use crate::{
    Dialect,
    chat::{Media, Message, Part, Role, ToolResult},
    openai::{chat::media, said},
    seal::Seal,
};

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item<'a> {
    Message { role: &'static str, content: Content<'a> },
    Reasoning { summary: Vec<Summary<'a>>, encrypted_content: &'a str },
    FunctionCall { call_id: &'a str, name: &'a str, arguments: &'a str },
    FunctionCallOutput { call_id: &'a str, output: Content<'a> },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "summary_text")]
pub struct Summary<'a> {
    text: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Content<'a> {
    Text(Cow<'a, str>),
    Pieces(Vec<Piece<'a>>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Piece<'a> {
    InputText {
        text: Cow<'a, str>,
    },
    OutputText {
        text: Cow<'a, str>,
    },
    Refusal {
        refusal: &'a str,
    },
    InputImage {
        detail: &'static str,
        image_url: Cow<'a, str>,
    },
    InputFile {
        #[serde(skip_serializing_if = "Option::is_none")]
        filename: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_data: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_url: Option<&'a str>,
    },
}

impl<'a> Content<'a> {
    /// One text is a string: as a piece of the model's own it would need an id with servers that take
    /// the API's types to the letter.
    fn of(mut pieces: Vec<Piece<'a>>) -> Self {
        match pieces.as_mut_slice() {
            [] => Self::Text("".into()),
            [Piece::InputText { text } | Piece::OutputText { text }] => Self::Text(std::mem::take(text)),
            _ => Self::Pieces(pieces),
        }
    }
}

/// `reasons`: the model takes thinking back.
pub fn write(messages: &[Message], reasons: bool) -> Vec<Item<'_>> {
    let mut items = Vec::with_capacity(messages.len());
    for message in messages {
        let mut pieces = Vec::new();
        for part in &message.parts {
            let item = match part {
                Part::ToolCall(call) => {
                    Item::FunctionCall { call_id: &call.id, name: &call.name, arguments: &call.arguments }
                }
                Part::ToolResult(result) => tool_result(result),
                Part::Reasoning { text, seal } => match thinking(text, seal.as_ref()) {
                    Some(item) if reasons => item,
                    _ => continue,
                },
                _ => {
                    pieces.extend(piece(part, message.role));
                    continue;
                }
            };
            say(message.role, &mut pieces, &mut items);
            items.push(item);
        }
        say(message.role, &mut pieces, &mut items);
    }
    items
}

/// Makes what was said up to here an item.
fn say<'a>(role: Role, pieces: &mut Vec<Piece<'a>>, items: &mut Vec<Item<'a>>) {
    if pieces.is_empty() {
        return;
    }
    let role = match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    items.push(Item::Message { role, content: Content::of(std::mem::take(pieces)) });
}

/// Thinking with a seal of the API's own; `None` for any other. Those of chat completions are JSON, and
/// another server's.
fn thinking<'a>(text: &'a str, seal: Option<&'a Seal>) -> Option<Item<'a>> {
    let proof = seal?.value_for(Dialect::OpenAI).filter(|proof| !proof.starts_with('{'))?;
    let summary = if text.is_empty() { Vec::new() } else { vec![Summary { text }] };
    Some(Item::Reasoning { summary, encrypted_content: proof })
}

fn tool_result(result: &ToolResult) -> Item<'_> {
    let mut pieces: Vec<_> = result.content.iter().filter_map(|part| piece(part, Role::User)).collect();
    if result.is_error {
        let text = pieces.iter_mut().find_map(|piece| match piece {
            Piece::InputText { text } => Some(text),
            _ => None,
        });
        match text {
            Some(text) => said::error(text),
            None => pieces.insert(0, Piece::InputText { text: said::ERROR.into() }),
        }
    }
    Item::FunctionCallOutput { call_id: &result.id, output: Content::of(pieces) }
}

/// A text or a medium in a message of `role`; `None` for parts that are items of their own.
fn piece(part: &Part, role: Role) -> Option<Piece<'_>> {
    let text = |text| match role {
        Role::Assistant => Piece::OutputText { text },
        Role::System | Role::User => Piece::InputText { text },
    };
    Some(match part {
        Part::Text(said)
        | Part::Image(Media::Text(said))
        | Part::Audio(Media::Text(said))
        | Part::Video(Media::Text(said)) => text(said.into()),
        Part::Document { media: Media::Text(said), name } => text(said::document(name.as_deref(), said)),
        Part::Refusal(refusal) => Piece::Refusal { refusal },
        Part::Image(media) => Piece::InputImage { detail: "auto", image_url: media::write_url(media) },
        // OpenAI refuses a name beside a URL.
        Part::Document { media: Media::Url { url, .. }, .. } => {
            Piece::InputFile { filename: None, file_data: None, file_url: Some(url) }
        }
        Part::Document { media: media @ Media::Inline { media_type, .. }, name } => Piece::InputFile {
            filename: Some(match name {
                Some(name) => name.into(),
                None => media::name_of_type(media_type).into(),
            }),
            file_data: Some(media::write_url(media)),
            file_url: None,
        },
        // Beyond the API's limits, or items.
        Part::Audio(_)
        | Part::Video(_)
        | Part::Reasoning { .. }
        | Part::ToolCall(_)
        | Part::ToolResult(_) => return None,
    })
}
