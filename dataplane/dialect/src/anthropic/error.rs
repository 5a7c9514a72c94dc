//! Errors, read and written.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Fault, FaultKind, json};

use super::received::{Str, text};

/// How the message begins for who has no money left.
const OUT_OF_CREDIT: &str = "Your credit balance is too low";

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Str<'a>>,
    #[serde(borrow)]
    error: Option<Inner<'a>>,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Str<'a>>,
    #[serde(borrow)]
    message: Option<Str<'a>>,
    #[serde(borrow)]
    details: Option<Details<'a>>,
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(borrow)]
    error_code: Option<Str<'a>>,
}

/// What a provider's error means, whatever its body is.
#[must_use]
pub fn read_error(status: u16, body: &[u8]) -> Fault {
    read(Some(status), body)
}

/// What stands in place of an answer, in a body or a frame of status 200.
#[must_use]
pub fn read_failure(said: &[u8]) -> Option<Fault> {
    is_error_body(said).then(|| of_stream(said))
}

/// The error of a stream, which has no status: that of its type.
pub fn of_stream(data: &[u8]) -> Fault {
    read(None, data)
}

fn read(status: Option<u16>, body: &[u8]) -> Fault {
    let inner = json::object::<Body<'_>>(body).ok().and_then(|body| body.error);
    let Some(Inner { kind, message, details }) = inner else {
        // What is not the vendor's own, such as the page of a proxy before it: enough to know it by.
        let text: String = String::from_utf8_lossy(body.trim_ascii()).chars().take(500).collect();
        let message = if text.is_empty() { "The provider gave no reason.".to_owned() } else { text };
        return Fault::of_status(status.unwrap_or(500), message);
    };
    let word = text(kind);
    let known = kind_of(&word);
    let message = text(message);
    let kind = match (known, status) {
        // The vendor has it as a mistake in the request.
        (Some(FaultKind::InvalidRequest), _) if message.starts_with(OUT_OF_CREDIT) => FaultKind::Billing,
        (Some(kind), _) => kind,
        (None, Some(status)) => FaultKind::of_status(status),
        (None, None) => FaultKind::Server,
    };
    let own = if kind == FaultKind::Overloaded { 529 } else { kind.status() };
    // A type that the API has for the kind says no more than the kind: as a code it would stand where
    // callers of other dialects look for their own vendor's.
    let code = details.and_then(|details| details.error_code).map(|code| code.0);
    let code = code.unwrap_or_else(|| if known.is_some() { Cow::Borrowed("") } else { word });
    Fault {
        kind,
        status: status.unwrap_or(own),
        message: message.into_owned(),
        code: (!code.is_empty()).then(|| code.into_owned()),
        param: None,
        retry_after: None,
    }
}

fn kind_of(word: &str) -> Option<FaultKind> {
    Some(match word {
        "invalid_request_error" => FaultKind::InvalidRequest,
        "authentication_error" => FaultKind::Authentication,
        "billing_error" => FaultKind::Billing,
        "permission_error" => FaultKind::Permission,
        "not_found_error" => FaultKind::NotFound,
        "request_too_large" => FaultKind::TooLarge,
        "rate_limit_error" => FaultKind::RateLimit,
        "timeout_error" => FaultKind::Timeout,
        "overloaded_error" => FaultKind::Overloaded,
        "api_error" => FaultKind::Server,
        _ => return None,
    })
}

fn word_of(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::InvalidRequest => "invalid_request_error",
        FaultKind::Authentication => "authentication_error",
        FaultKind::Billing => "billing_error",
        FaultKind::Permission => "permission_error",
        FaultKind::NotFound => "not_found_error",
        FaultKind::TooLarge => "request_too_large",
        FaultKind::RateLimit => "rate_limit_error",
        FaultKind::Timeout => "timeout_error",
        FaultKind::Overloaded => "overloaded_error",
        FaultKind::Server => "api_error",
    }
}

/// The body of an error reply. `request_id` is in the reply's headers, where it has one; a code that
/// is no type of this API's stands where the API's own codes do.
#[must_use]
pub fn error_body(fault: &Fault) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        error: Inner<'a>,
        request_id: Option<&'static str>,
    }
    #[derive(Serialize)]
    struct Inner<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        details: Option<Details<'a>>,
    }
    #[derive(Serialize)]
    struct Details<'a> {
        error_code: &'a str,
    }
    let code = fault.code.as_deref().filter(|code| kind_of(code).is_none());
    let error = Inner {
        kind: word_of(fault.kind),
        message: &fault.message,
        details: code.map(|error_code| Details { error_code }),
    };
    json::to_bytes(&Body { kind: "error", error, request_id: None })
}

/// Whether a body is an error as the vendor writes it.
#[must_use]
pub fn is_error_body(body: &[u8]) -> bool {
    json::object::<Body<'_>>(body).is_ok_and(|body| {
        let inner = body.error.is_some_and(|error| error.kind.is_some() && error.message.is_some());
        inner && text(body.kind) == "error"
    })
}

/// The last frame of a stream that broke.
pub fn event(fault: &Fault) -> Bytes {
    [b"event: error\ndata: ", error_body(fault).as_ref(), b"\n\n"].concat().into()
}
