//! The OpenAI API: chat completions and models.
//!
//! A request passes through as the bytes that it came in, but for what must change: the model's name
//! and the wish for usage in a stream. Both are cut in by position, so that unknown fields, their
//! order and their numbers survive untouched.
//!
//! Source: the API reference of OpenAI, chat completions.

mod request;
mod stream;

pub use request::ChatRequest;
pub use stream::{EventTooLarge, Gather, StreamTap};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Tokens that a provider says a call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input, `cached_input` among it.
    pub input: u64,
    pub cached_input: u64,
    pub output: u64,
}

#[derive(Deserialize)]
struct UsageObject {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

impl From<UsageObject> for Usage {
    fn from(usage: UsageObject) -> Self {
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
        Self {
            input: usage.prompt_tokens,
            cached_input: cached.unwrap_or(0).min(usage.prompt_tokens),
            output: usage.completion_tokens,
        }
    }
}

/// The usage in a whole reply; `Err` when the body is no JSON object.
pub fn usage_of_reply(body: &[u8]) -> Result<Option<Usage>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Reply {
        usage: Option<UsageObject>,
    }
    serde_json::from_slice::<Reply>(body).map(|reply| reply.usage.map(Usage::from))
}

/// Whether a body is an error as OpenAI's SDKs read it.
pub fn is_error_body(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Reply {
        #[serde(rename = "error")]
        _error: serde::de::IgnoredAny,
    }
    serde_json::from_slice::<Reply>(body).is_ok()
}

#[derive(Serialize)]
struct ErrorReply<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    message: String,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

/// The body of an error reply.
pub fn error_body(error: &Error) -> Bytes {
    let kind = if error.status().is_client_error() { "invalid_request_error" } else { "server_error" };
    let reply = ErrorReply {
        error: ErrorObject {
            message: error.to_string(),
            r#type: kind,
            param: error.param(),
            code: error.code(),
        },
    };
    to_json(&reply)
}

/// The last event of a stream that broke: the SDKs raise on it, so that nobody takes silence for an
/// end.
pub fn error_event(error: &Error) -> Bytes {
    let body = error_body(error);
    [b"data: ".as_slice(), &body, b"\n\n"].concat().into()
}

#[derive(Serialize)]
struct ModelList<'a> {
    object: &'static str,
    data: Vec<ModelObject<'a>>,
}

#[derive(Serialize)]
struct ModelObject<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
}

/// The reply of `GET /v1/models`: names, each with the route that serves it.
pub fn model_list<'a>(models: impl Iterator<Item = (&'a str, &'a str)>) -> Bytes {
    let data =
        models.map(|(id, owned_by)| ModelObject { id, object: "model", created: 0, owned_by }).collect();
    to_json(&ModelList { object: "list", data })
}

fn to_json(value: &impl Serialize) -> Bytes {
    // Strings, numbers and structs: there is nothing here that serde_json could refuse.
    serde_json::to_vec(value).unwrap_or_default().into()
}
