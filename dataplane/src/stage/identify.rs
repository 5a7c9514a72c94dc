//! Who calls, and what they ask for: everything that can be refused before the body is read.

use std::net::IpAddr;

use http::{Method, header, request::Parts};

use crate::{error::Error, shared::Limits};

const CHAT_COMPLETIONS: &str = "/v1/chat/completions";
const MODELS: &str = "/v1/models";

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub address: IpAddr,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    ChatCompletions,
    Models,
}

/// Tells the endpoint, or refuses.
pub fn identify(parts: &Parts, limits: &Limits) -> Result<Endpoint, Error> {
    let (endpoint, path, allowed) = match parts.uri.path() {
        CHAT_COMPLETIONS => (Endpoint::ChatCompletions, CHAT_COMPLETIONS, Method::POST),
        MODELS => (Endpoint::Models, MODELS, Method::GET),
        other => {
            return Err(Error::UnknownPath { method: parts.method.to_string(), path: excerpt(other) });
        }
    };
    if parts.method != allowed {
        let allowed = if allowed == Method::POST { "POST" } else { "GET" };
        return Err(Error::MethodNotAllowed { method: parts.method.to_string(), path, allowed });
    }
    if endpoint == Endpoint::ChatCompletions {
        content_type(parts)?;
        content_length(parts, limits.max_body_bytes)?;
    }
    Ok(endpoint)
}

fn content_type(parts: &Parts) -> Result<(), Error> {
    let found = parts.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let media_type = found.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if media_type.eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    let found = if found.is_empty() { "absent".to_owned() } else { excerpt(&String::from_utf8_lossy(found)) };
    Err(Error::ContentType { found })
}

fn content_length(parts: &Parts, limit: usize) -> Result<(), Error> {
    let length =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(Error::BodyTooLarge { limit });
    }
    Ok(())
}

/// What a caller sent, short enough to repeat to them and to a log.
pub fn excerpt(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
