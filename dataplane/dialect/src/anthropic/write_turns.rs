//! The messages of a call as the API takes them: turns of user and assistant by turns, and the system
//! prompt apart.
//!
//! The API refuses texts without a letter, thinking at the end of a turn, and white space at the end
//! of an answer that it is to go on with. None of it says anything, so it is left out.

use std::borrow::Cow;

use serde::Serialize;

use crate::{
    Dialect,
    chat::{Media, Message, Part, Role, ToolResult},
    seal::Seal,
};

use super::block::{Block, Source};

const USER: &str = "user";
const ASSISTANT: &str = "assistant";

#[derive(Debug, Serialize)]
pub struct Turn<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

/// The system prompt and the turns.
pub fn write(messages: &[Message]) -> (Vec<Block<'_>>, Vec<Turn<'_>>) {
    let mut system = Vec::new();
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for message in messages {
        let mut content: Vec<Block<'_>> = message.parts.iter().filter_map(block).collect();
        let role = match message.role {
            Role::System => {
                system.append(&mut content);
                continue;
            }
            Role::User => USER,
            Role::Assistant => ASSISTANT,
        };
        if content.is_empty() {
            continue;
        }
        if turns.last().is_some_and(|turn| turn.role != role) {
            finish(&mut turns);
        }
        match turns.last_mut() {
            Some(turn) if turn.role == role => turn.content.append(&mut content),
            _ => turns.push(Turn { role, content }),
        }
    }
    finish(&mut turns);
    if let Some(Turn { role: ASSISTANT, content }) = turns.last_mut()
        && let Some(Block::Text { text: Cow::Borrowed(text) }) = content.last_mut()
    {
        *text = text.trim_end();
    }
    if turns.is_empty() && !system.is_empty() {
        turns.push(Turn { role: USER, content: std::mem::take(&mut system) });
    }
    (system, turns)
}

/// The last turn has all of its messages: results first in one of the user's, no thinking last in one
/// of the assistant's.
fn finish(turns: &mut Vec<Turn<'_>>) {
    let Some(turn) = turns.last_mut() else { return };
    if turn.role == USER {
        // The sort is stable: what is no result keeps its order, too.
        turn.content.sort_by_key(|block| !matches!(block, Block::ToolResult { .. }));
        return;
    }
    while turn.content.last().is_some_and(Block::is_thinking) {
        turn.content.pop();
    }
    if turn.content.is_empty() {
        turns.pop();
    }
}

/// The block of a part; none for what the API would refuse or does not have.
fn block(part: &Part) -> Option<Block<'_>> {
    match part {
        Part::Text(text) | Part::Refusal(text) => said(text),
        Part::Image(media) => image(media),
        Part::Document { media, name } => document(media, name.as_deref()),
        Part::Reasoning { text, seal } => seal.as_ref().and_then(|seal| own_thinking(text, seal)),
        Part::ToolCall(call) => Some(Block::tool_use(id(&call.id), call)),
        Part::ToolResult(result) => Some(tool_result(result)),
        // Refused before: the limits take none.
        Part::Audio(_) | Part::Video(_) => None,
    }
}

fn said(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then(|| Block::text(text))
}

/// Thinking goes back to its own kind only: the API refuses what it did not sign.
fn own_thinking<'a>(text: &'a str, seal: &'a Seal) -> Option<Block<'a>> {
    let value = Cow::Borrowed(seal.value_for(Dialect::Anthropic)?);
    Some(if seal.redacted {
        Block::RedactedThinking { data: value }
    } else {
        Block::Thinking { thinking: text, signature: value }
    })
}

fn tool_result(result: &ToolResult) -> Block<'_> {
    Block::ToolResult {
        tool_use_id: id(&result.id),
        content: result.content.iter().filter_map(block).collect(),
        is_error: result.is_error,
    }
}

/// Ids are of letters, digits, `_` and `-`. Another character becomes its bytes in hexadecimal, in the
/// call as in its result.
fn id(id: &str) -> Cow<'_, str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if id.bytes().all(fits) {
        return Cow::Borrowed(id);
    }
    let mut fitting = String::with_capacity(id.len() + 8);
    for byte in id.bytes() {
        if fits(byte) {
            fitting.push(char::from(byte));
        } else {
            fitting.push_str(&format!("_{byte:02x}"));
        }
    }
    Cow::Owned(fitting)
}

fn image(media: &Media) -> Option<Block<'_>> {
    let source = match media {
        Media::Inline { media_type, data } => {
            // A name that clients use and the API does not know.
            let media_type = if media_type == "image/jpg" { "image/jpeg" } else { media_type };
            Source::Base64 { media_type, data }
        }
        Media::Url { url, .. } => Source::Url { url },
        Media::Text(text) => return said(text),
    };
    Some(Block::Image { source })
}

fn document<'a>(media: &'a Media, title: Option<&'a str>) -> Option<Block<'a>> {
    let source = match media {
        Media::Inline { media_type, data } => inline_text(media_type, data)
            .map_or(Source::Base64 { media_type, data }, |text| plain(Cow::Owned(text))),
        Media::Url { url, .. } => Source::Url { url },
        Media::Text(text) => plain(Cow::Borrowed(text)),
    };
    if matches!(&source, Source::Text { data, .. } if data.trim().is_empty()) {
        return None;
    }
    Some(Block::Document { source, title: title.filter(|title| !title.is_empty()) })
}

fn plain(data: Cow<'_, str>) -> Source<'_> {
    Source::Text { media_type: "text/plain", data }
}

/// A document of text that came as base64: the API takes it as text only.
fn inline_text(media_type: &str, data: &str) -> Option<String> {
    if !media_type.starts_with("text/") {
        return None;
    }
    let mut bytes = Vec::with_capacity(data.len() / 4 * 3);
    let (mut held, mut bits) = (0_u32, 0);
    for byte in data.trim_end().trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    String::from_utf8(bytes).ok()
}
