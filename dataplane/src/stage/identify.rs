//! Who calls, and what they ask for: everything that can be refused before the body is read.
//!
//! Four vendors' SDKs share one port. Their paths differ, but for `/v1/models`: Anthropic's SDK is
//! told by its `anthropic-version`, Gemini's by its key, both told from OpenAI's by having neither.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, Method, header, request::Parts};
use llm_dialect::{Dialect, surface::Api};
use percent_encoding::percent_decode_str;

use crate::{error::Error, shared::Limits, snapshot::callers::presented::Presented};

/// Paths that are OpenAI's alone, whatever the headers say.
const OPENAI_PATHS: [&str; 3] = ["/v1/chat/completions", "/v1/responses", "/v1/embeddings"];

/// Who calls, as far as the connection tells.
#[derive(Clone, Debug)]
pub struct Caller {
    pub address: IpAddr,
    /// What it has presented in TLS.
    pub certificate: Option<Arc<Presented>>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A call of a model; `model` where the path names it.
    Call {
        api: Api,
        model: Option<Box<str>>,
    },
    Models,
    Model(Box<str>),
    OllamaShow,
    OllamaVersion,
}

/// The words in which to answer, whatever comes of the call.
pub fn dialect(parts: &Parts) -> Dialect {
    let path = parts.uri.path();
    if path.starts_with("/api/") {
        Dialect::Ollama
    } else if path.starts_with("/v1/messages") {
        Dialect::Anthropic
    } else if path.starts_with("/v1beta/") || path_call(path).is_some() {
        Dialect::Gemini
    } else if OPENAI_PATHS.contains(&path) {
        Dialect::OpenAI
    } else if parts.headers.contains_key("anthropic-version") {
        Dialect::Anthropic
    } else if gemini_key(parts) {
        Dialect::Gemini
    } else {
        Dialect::OpenAI
    }
}

/// Gemini's SDKs send their key by a header or a query of their own.
fn gemini_key(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    parts.headers.contains_key("x-goog-api-key") || query.split('&').any(|part| part.starts_with("key="))
}

/// Tells the endpoint, or refuses.
pub fn identify(parts: &Parts, dialect: Dialect, limits: &Limits) -> Result<Endpoint, Error> {
    let path = parts.uri.path();
    let (endpoint, allowed) = match path {
        "/v1/chat/completions" => (call(Api::ChatCompletions), Method::POST),
        "/v1/responses" => (call(Api::Responses), Method::POST),
        "/v1/embeddings" => (call(Api::Embeddings), Method::POST),
        "/v1/messages" => (call(Api::Messages), Method::POST),
        "/v1/messages/count_tokens" => (call(Api::MessagesCountTokens), Method::POST),
        "/api/chat" => (call(Api::OllamaChat), Method::POST),
        "/api/generate" => (call(Api::OllamaGenerate), Method::POST),
        "/api/embed" => (call(Api::OllamaEmbed), Method::POST),
        "/api/show" => (Endpoint::OllamaShow, Method::POST),
        "/api/version" => (Endpoint::OllamaVersion, Method::GET),
        "/v1/models" | "/v1beta/models" | "/api/tags" => (Endpoint::Models, Method::GET),
        _ => match (path_call(path), models_path(path)) {
            (Some((model, method)), _) => {
                let api = gemini_method(method, parts.uri.query()).ok_or_else(|| unknown(parts))?;
                (Endpoint::Call { api, model: Some(decoded(model)) }, Method::POST)
            }
            (None, Some(model)) if !model.is_empty() => (Endpoint::Model(decoded(model)), Method::GET),
            _ => return Err(unknown(parts)),
        },
    };
    if parts.method != allowed {
        let allowed = if allowed == Method::POST { "POST" } else { "GET" };
        return Err(Error::MethodNotAllowed {
            method: parts.method.to_string(),
            path: excerpt(path),
            allowed,
        });
    }
    if allowed == Method::POST {
        // Ollama's own server never asks what a body is, and its users' curl sends a form.
        if dialect != Dialect::Ollama {
            content_type(&parts.headers)?;
        }
        content_length(&parts.headers, limits.max_body_bytes)?;
    }
    Ok(endpoint)
}

fn call(api: Api) -> Endpoint {
    Endpoint::Call { api, model: None }
}

fn unknown(parts: &Parts) -> Error {
    Error::UnknownPath { method: parts.method.to_string(), path: excerpt(parts.uri.path()) }
}

fn models_path(path: &str) -> Option<&str> {
    path.strip_prefix("/v1beta/models/").or_else(|| path.strip_prefix("/v1/models/"))
}

/// Gemini's way to call: `models/NAME:METHOD`. Names may hold colons too.
fn path_call(path: &str) -> Option<(&str, &str)> {
    let (model, method) = models_path(path)?.rsplit_once(':')?;
    let is_method = method.ends_with("Content") || method.ends_with("Contents") || method == "countTokens";
    is_method.then_some((model, method))
}

fn gemini_method(method: &str, query: Option<&str>) -> Option<Api> {
    let sse = query.unwrap_or_default().split('&').any(|part| part == "alt=sse");
    match method {
        "generateContent" => Some(Api::GenerateContent),
        "streamGenerateContent" if sse => Some(Api::StreamGenerateContent),
        "streamGenerateContent" => Some(Api::StreamGenerateArray),
        "countTokens" => Some(Api::GeminiCountTokens),
        "embedContent" => Some(Api::EmbedContent),
        "batchEmbedContents" => Some(Api::BatchEmbedContents),
        _ => None,
    }
}

fn decoded(model: &str) -> Box<str> {
    percent_decode_str(model).decode_utf8_lossy().into()
}

fn content_type(headers: &HeaderMap) -> Result<(), Error> {
    let found = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let media_type = found.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if media_type.eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    let found = if found.is_empty() { "absent".to_owned() } else { excerpt(&String::from_utf8_lossy(found)) };
    Err(Error::ContentType { found })
}

fn content_length(headers: &HeaderMap, limit: usize) -> Result<(), Error> {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(Error::BodyTooLarge { limit });
    }
    Ok(())
}

/// Letters of what is repeated, at most.
const LONGEST: usize = 128;

/// What a caller sent, fit to repeat to them, to a log and to a terminal: short, and without the
/// characters that move a cursor or begin a line.
pub fn excerpt(text: &str) -> String {
    if is_fit(text) {
        return text.to_owned();
    }
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

/// The same of a name that is kept: of most there is nothing to cut, and they need no copy.
pub fn kept(name: &Arc<str>) -> Arc<str> {
    if is_fit(name) { name.clone() } else { excerpt(name).into() }
}

fn is_fit(text: &str) -> bool {
    text.len() <= LONGEST && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn asked(method: &str, uri: &str, headers: &[(&str, &str)]) -> (Dialect, Result<Endpoint, Error>) {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let dialect = dialect(&parts);
        (dialect, identify(&parts, dialect, &Limits::default()))
    }

    #[test]
    fn each_path_is_told_with_its_dialect_and_its_model() {
        let of = |api, model: &str| Endpoint::Call { api, model: Some(model.into()) };
        let cases = [
            ("/v1/chat/completions", Dialect::OpenAI, call(Api::ChatCompletions)),
            ("/v1/responses", Dialect::OpenAI, call(Api::Responses)),
            ("/v1/messages?beta=true", Dialect::Anthropic, call(Api::Messages)),
            ("/v1/messages/count_tokens", Dialect::Anthropic, call(Api::MessagesCountTokens)),
            ("/v1beta/models/a:generateContent", Dialect::Gemini, of(Api::GenerateContent, "a")),
            ("/v1/models/a/b:7b:countTokens", Dialect::Gemini, of(Api::GeminiCountTokens, "a/b:7b")),
            ("/v1/models/a%2Fb:embedContent", Dialect::Gemini, of(Api::EmbedContent, "a/b")),
            ("/v1beta/models/a:batchEmbedContents", Dialect::Gemini, of(Api::BatchEmbedContents, "a")),
            ("/v1beta/models/a:streamGenerateContent", Dialect::Gemini, of(Api::StreamGenerateArray, "a")),
            (
                "/v1beta/models/a:streamGenerateContent?x=1&alt=sse",
                Dialect::Gemini,
                of(Api::StreamGenerateContent, "a"),
            ),
            ("/api/chat", Dialect::Ollama, call(Api::OllamaChat)),
            ("/api/show", Dialect::Ollama, Endpoint::OllamaShow),
        ];
        for (uri, dialect, endpoint) in cases {
            let (told, found) = asked("POST", uri, &[("content-type", "application/json; charset=utf-8")]);
            assert_eq!((told, found.unwrap()), (dialect, endpoint), "{uri}");
        }
    }

    #[test]
    fn model_lists_are_told_by_what_the_sdks_send() {
        let anthropic = ("anthropic-version", "2023-06-01");
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Dialect);
        let cases: [Case<'_>; 6] = [
            ("/v1/models", &[], Dialect::OpenAI),
            ("/v1/models", &[anthropic], Dialect::Anthropic),
            ("/v1/models", &[("x-goog-api-key", "k")], Dialect::Gemini),
            ("/v1/models?key=k", &[], Dialect::Gemini),
            ("/v1beta/models", &[], Dialect::Gemini),
            ("/api/tags", &[], Dialect::Ollama),
        ];
        for (uri, headers, dialect) in cases {
            let (told, found) = asked("GET", uri, headers);
            assert_eq!((told, found.unwrap()), (dialect, Endpoint::Models), "{uri}");
        }
        let (told, found) = asked("GET", "/v1/models/ft:gpt-4o:x", &[]);
        assert_eq!((told, found.unwrap()), (Dialect::OpenAI, Endpoint::Model("ft:gpt-4o:x".into())));
    }

    #[test]
    fn a_path_of_one_vendor_is_answered_in_its_words_whatever_the_headers_say() {
        for header in [("anthropic-version", "2023-06-01"), ("x-goog-api-key", "k")] {
            assert_eq!(asked("POST", "/v1/chat/completions?key=k", &[header]).0, Dialect::OpenAI);
        }
    }

    #[test]
    fn what_is_not_served_is_refused_in_the_dialect_that_it_looks_like() {
        let (told, found) = asked("POST", "/v1beta/models/a:predictContent", &[]);
        assert_eq!((told, found.unwrap_err().code()), (Dialect::Gemini, "unknown_url"));
        let (told, found) = asked("POST", "/api/pull", &[]);
        assert_eq!((told, found.unwrap_err().code()), (Dialect::Ollama, "unknown_url"));
        let (_, found) = asked("GET", "/v1/responses", &[]);
        assert_eq!(found.unwrap_err().code(), "method_not_allowed");
        let (_, found) = asked("POST", "/v1/chat/completions", &[("content-type", "text/plain")]);
        assert_eq!(found.unwrap_err().code(), "unsupported_content_type");
    }

    #[test]
    fn an_excerpt_is_short_and_moves_no_cursor() {
        assert_eq!(excerpt("gpt-4o"), "gpt-4o");
        assert_eq!(excerpt("a\n\u{1b}[2Jb"), "a\u{fffd}\u{fffd}[2Jb");
        assert_eq!(excerpt(&"ü".repeat(1 << 20)), "ü".repeat(128) + "…");
        for name in ["gpt-4o", "a\n\u{1b}[2Jb", &"ü".repeat(200)] {
            let name = name.into();
            assert_eq!(*kept(&name), excerpt(&name));
        }
    }
}
