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

/// What a caller sent, fit to repeat to them, to a log and to a terminal: short, and without the
/// characters that move a cursor or begin a line.
pub fn excerpt(text: &str) -> String {
    const LONGEST: usize = 128;
    let (shown, more) = match text.char_indices().nth(LONGEST) {
        Some((end, _)) => (&text[..end], "…"),
        None => (text, ""),
    };
    if shown.contains(char::is_control) {
        shown.replace(char::is_control, "\u{fffd}") + more
    } else {
        [shown, more].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn an_excerpt_is_short_and_moves_no_cursor() {
        assert_eq!(excerpt("gpt-4o"), "gpt-4o");
        assert_eq!(excerpt("a\n\u{1b}[2Jb"), "a\u{fffd}\u{fffd}[2Jb");
        assert_eq!(excerpt(&"ü".repeat(1 << 20)), "ü".repeat(128) + "…");
    }
}
