//! Parts as they are written: in requests to providers and in replies to callers.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{chat, json::arguments};

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thought: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline_data: Option<Blob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_data: Option<FileData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_response: Option<FunctionResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thought_signature: Option<Cow<'a, str>>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob<'a> {
    pub mime_type: &'a str,
    pub data: &'a str,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<&'a str>,
    pub file_uri: &'a str,
}

#[derive(Clone, Debug, Serialize)]
pub struct FunctionCall<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub args: Args<'a>,
}

/// The API wants an object; a model's arguments that are none are kept as the text they are.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Args<'a> {
    Object(&'a RawValue),
    Broken { arguments: &'a str },
}

#[derive(Clone, Debug, Serialize)]
pub struct FunctionResponse<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub response: Outcome,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part<'a>>,
}

/// What a function gave; the API wants an object.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    Error { error: String },
    Object(Box<RawValue>),
    Text { result: String },
}

impl<'a> Part<'a> {
    pub const BLANK: Self = Self {
        text: Some(Cow::Borrowed("")),
        thought: None,
        inline_data: None,
        file_data: None,
        function_call: None,
        function_response: None,
        thought_signature: None,
    };

    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    pub fn thought(text: impl Into<Cow<'a, str>>) -> Self {
        Self { thought: Some(true), ..Self::text(text) }
    }

    pub fn signed(self, signature: Option<Cow<'a, str>>) -> Self {
        Self { thought_signature: signature, ..self }
    }

    pub fn call(id: &'a str, name: &'a str, text: &'a str) -> Self {
        let args = arguments(text).map_or(Args::Broken { arguments: text }, Args::Object);
        Self { function_call: Some(FunctionCall { id, name, args }), ..Self::default() }
    }

    pub fn media(media: &'a chat::Media) -> Self {
        match media {
            chat::Media::Inline { media_type, data } => {
                Self { inline_data: Some(Blob { mime_type: media_type, data }), ..Self::default() }
            }
            chat::Media::Url { url, media_type } => {
                let mime_type = media_type.as_deref().or_else(|| mime_type_of(url));
                Self { file_data: Some(FileData { mime_type, file_uri: url }), ..Self::default() }
            }
            chat::Media::Text(text) => Self::text(text),
        }
    }
}

impl Outcome {
    pub fn new(text: String, is_error: bool) -> Self {
        if is_error {
            return Self::Error { error: text };
        }
        match serde_json::from_str::<&RawValue>(&text) {
            Ok(raw) if raw.get().starts_with('{') => Self::Object(raw.to_owned()),
            _ => Self::Text { result: text },
        }
    }
}

/// What a URL's path ends with says what is there, of all that the API reads.
pub fn mime_type_of(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let (_, file) = path.rsplit_once('/')?;
    let (_, extension) = file.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "wav" => "audio/wav",
        "mp3" => "audio/mp3",
        "aiff" => "audio/aiff",
        "aac" => "audio/aac",
        "ogg" => "audio/ogg",
        "flac" => "audio/flac",
        "mp4" => "video/mp4",
        "mpeg" | "mpg" => "video/mpeg",
        "mov" => "video/quicktime",
        "avi" => "video/avi",
        "webm" => "video/webm",
        "wmv" => "video/wmv",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "csv" => "text/csv",
        "md" => "text/markdown",
        "xml" => "text/xml",
        "json" => "application/json",
        _ => return None,
    })
}
