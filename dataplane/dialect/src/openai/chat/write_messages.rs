//! A provider's messages.
//!
//! OpenAI wants the results of all of a turn's calls right behind it, one message each, and takes text
//! alone there. So the turns of the neutral model are sorted: results first, then what they hold
//! besides text, then whatever else the user said.

use std::borrow::Cow;

use serde::Serialize;

use super::{media, reasoning::Detail, reply::WrittenCall};
use crate::{
    Dialect,
    chat::{Media, Message, Part, Role, ToolResult},
    openai::said,
};

#[derive(Default, Serialize)]
pub struct WrittenMessage<'a> {
    role: &'static str,
    /// Null beside tool calls and refusals.
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<Detail>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WrittenCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Pieces(Vec<Piece<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece<'a> {
    Text {
        text: Cow<'a, str>,
    },
    ImageUrl {
        image_url: Url<'a>,
    },
    InputAudio {
        input_audio: Audio<'a>,
    },
    /// vLLM's, as `video_url` is; OpenAI has neither.
    AudioUrl {
        audio_url: Url<'a>,
    },
    VideoUrl {
        video_url: Url<'a>,
    },
    File {
        file: File<'a>,
    },
}

#[derive(Serialize)]
struct Url<'a> {
    url: Cow<'a, str>,
}

#[derive(Serialize)]
struct Audio<'a> {
    data: &'a str,
    format: &'a str,
}

#[derive(Serialize)]
struct File<'a> {
    filename: Cow<'a, str>,
    file_data: Cow<'a, str>,
}

impl<'a> Content<'a> {
    /// One text is a string, as every server takes it.
    fn of(mut pieces: Vec<Piece<'a>>) -> Self {
        match pieces.as_mut_slice() {
            [] => Self::Text("".into()),
            [Piece::Text { text }] => Self::Text(std::mem::take(text)),
            _ => Self::Pieces(pieces),
        }
    }
}

pub fn write(messages: &[Message]) -> Vec<WrittenMessage<'_>> {
    let mut written = Vec::with_capacity(messages.len());
    for turn in messages.chunk_by(|a, b| a.role == b.role) {
        match turn.first().map(|message| message.role) {
            Some(Role::System) => written.extend(turn.iter().filter_map(|message| plain("system", message))),
            Some(Role::User) => user(turn, &mut written),
            Some(Role::Assistant) => assistant(turn, &mut written),
            None => {}
        }
    }
    written
}

/// A message of texts and media; `None` where it has none of them.
fn plain<'a>(role: &'static str, message: &'a Message) -> Option<WrittenMessage<'a>> {
    let pieces: Vec<_> = message.parts.iter().filter_map(piece).collect();
    (!pieces.is_empty()).then(|| WrittenMessage {
        role,
        content: Some(Content::of(pieces)),
        ..Default::default()
    })
}

fn user<'a>(turn: &'a [Message], written: &mut Vec<WrittenMessage<'a>>) {
    let mut media = Vec::new();
    for part in turn.iter().flat_map(|message| &message.parts) {
        if let Part::ToolResult(result) = part {
            written.push(tool_result(result, &mut media));
        }
    }
    if !media.is_empty() {
        written.push(WrittenMessage {
            role: "user",
            content: Some(Content::of(media)),
            ..Default::default()
        });
    }
    written.extend(turn.iter().filter_map(|message| plain("user", message)));
}

/// The message of a result; what of it is no text is put behind `media`, with the call that it is of.
fn tool_result<'a>(result: &'a ToolResult, media: &mut Vec<Piece<'a>>) -> WrittenMessage<'a> {
    let pieces = result.content.iter().filter_map(piece);
    let (mut texts, rest): (Vec<_>, Vec<_>) = pieces.partition(|piece| matches!(piece, Piece::Text { .. }));
    if !rest.is_empty() {
        let ToolResult { id, name, .. } = result;
        media.push(Piece::Text { text: format!("From the result of tool call {id} ({name}):").into() });
        media.extend(rest);
        if texts.is_empty() {
            texts.push(Piece::Text { text: "The result is in the next message of the user.".into() });
        }
    }
    if result.is_error {
        match texts.first_mut() {
            Some(Piece::Text { text }) => said::error(text),
            _ => texts.push(Piece::Text { text: said::ERROR.into() }),
        }
    }
    WrittenMessage {
        role: "tool",
        content: Some(Content::of(texts)),
        tool_call_id: Some(&result.id),
        ..Default::default()
    }
}

/// Calls must be in one message, or the first of them would stand without its results.
fn assistant<'a>(turn: &'a [Message], written: &mut Vec<WrittenMessage<'a>>) {
    let calls = turn.iter().flat_map(|message| &message.parts).any(|part| matches!(part, Part::ToolCall(_)));
    let size = if calls { turn.len() } else { 1 };
    let said =
        turn.chunks(size).filter_map(|messages| said(messages.iter().flat_map(|message| &message.parts)));
    written.extend(said);
}

/// What the assistant said; `None` where all of it is thinking of another kind of provider.
fn said<'a>(parts: impl Iterator<Item = &'a Part>) -> Option<WrittenMessage<'a>> {
    let mut message = WrittenMessage { role: "assistant", ..Default::default() };
    let mut pieces = Vec::new();
    for part in parts {
        match part {
            Part::Refusal(text) => message.refusal.get_or_insert_default().push_str(text),
            Part::Reasoning { text, seal } => {
                message.reasoning_details.extend(Detail::of(text, seal.as_ref()));
            }
            Part::ToolCall(call) => {
                let signature = call.seal.as_ref().and_then(|seal| seal.value_for(Dialect::OpenAI));
                message.tool_calls.push(WrittenCall::new(call, signature.map(str::to_owned)));
            }
            _ => pieces.extend(piece(part)),
        }
    }
    let other = !message.tool_calls.is_empty() || message.refusal.is_some();
    if pieces.is_empty() && message.reasoning_details.is_empty() && !other {
        return None;
    }
    message.content = (!pieces.is_empty() || !other).then(|| Content::of(pieces));
    Some(message)
}

/// A text, or the media of a part; `None` for parts that have places of their own.
fn piece(part: &Part) -> Option<Piece<'_>> {
    let url = |media| Url { url: media::write_url(media) };
    Some(match part {
        Part::Text(text)
        | Part::Image(Media::Text(text))
        | Part::Audio(Media::Text(text))
        | Part::Video(Media::Text(text)) => Piece::Text { text: text.into() },
        Part::Document { media: Media::Text(text), name } => {
            Piece::Text { text: said::document(name.as_deref(), text) }
        }
        Part::Image(media) => Piece::ImageUrl { image_url: url(media) },
        Part::Video(media) => Piece::VideoUrl { video_url: url(media) },
        Part::Audio(Media::Inline { media_type, data }) => {
            Piece::InputAudio { input_audio: Audio { data, format: media::write_audio_format(media_type) } }
        }
        Part::Audio(media) => Piece::AudioUrl { audio_url: url(media) },
        Part::Document { media, name } => {
            let filename = match (name, media) {
                (Some(name), _) => name.into(),
                (None, Media::Inline { media_type, .. }) => media::name_of_type(media_type).into(),
                (None, _) => media::name_of_type("").into(),
            };
            Piece::File { file: File { filename, file_data: media::write_url(media) } }
        }
        Part::Reasoning { .. } | Part::Refusal(_) | Part::ToolCall(_) | Part::ToolResult(_) => return None,
    })
}
