//! Errors: a `google.rpc.Status` in `error`, with details by type. In the array form of a stream it is
//! the only element of an array.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::{Fault, FaultKind, json::to_bytes, tap::names_value};

const PREFIX: &str = "type.googleapis.com/google.rpc.";
/// A body that is no error of the API is shown so far.
const SHOWN_CHARS: usize = 500;

#[derive(Serialize)]
struct Body<'a> {
    error: Status<'a>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    message: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Detail<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "@type")]
enum Detail<'a> {
    #[serde(rename = "type.googleapis.com/google.rpc.ErrorInfo")]
    ErrorInfo { reason: &'a str },
    #[serde(rename = "type.googleapis.com/google.rpc.BadRequest", rename_all = "camelCase")]
    BadRequest { field_violations: [FieldViolation<'a>; 1] },
    #[serde(rename = "type.googleapis.com/google.rpc.RetryInfo", rename_all = "camelCase")]
    RetryInfo { retry_delay: String },
}

#[derive(Serialize)]
struct FieldViolation<'a> {
    field: &'a str,
    description: &'a str,
}

/// The vendor's words for kinds.
const WORDS: [(FaultKind, &str); 10] = [
    (FaultKind::InvalidRequest, "INVALID_ARGUMENT"),
    (FaultKind::Authentication, "UNAUTHENTICATED"),
    (FaultKind::Billing, "FAILED_PRECONDITION"),
    (FaultKind::Permission, "PERMISSION_DENIED"),
    (FaultKind::NotFound, "NOT_FOUND"),
    (FaultKind::TooLarge, "INVALID_ARGUMENT"),
    (FaultKind::RateLimit, "RESOURCE_EXHAUSTED"),
    (FaultKind::Timeout, "DEADLINE_EXCEEDED"),
    (FaultKind::Overloaded, "UNAVAILABLE"),
    (FaultKind::Server, "INTERNAL"),
];

fn word(kind: FaultKind) -> &'static str {
    WORDS.iter().find(|(known, _)| *known == kind).map_or("UNKNOWN", |(_, word)| word)
}

/// The body of an error reply.
#[must_use]
pub fn error_body(fault: &Fault) -> Bytes {
    let status = word(fault.kind);
    let reason = fault.code.as_deref().filter(|code| *code != status);
    let violation = |field| Detail::BadRequest {
        field_violations: [FieldViolation { field, description: &fault.message }],
    };
    let details = reason
        .map(|reason| Detail::ErrorInfo { reason })
        .into_iter()
        .chain(fault.param.as_deref().map(violation))
        .chain(fault.retry_after.map(|seconds| Detail::RetryInfo { retry_delay: format!("{seconds}s") }))
        .collect();
    to_bytes(&Body {
        error: Status { code: fault.common_status(), message: &fault.message, status, details },
    })
}

/// The event that makes the vendor's SDKs raise in the middle of a stream.
#[must_use]
pub fn error_event(fault: &Fault) -> Bytes {
    [b"data: ", error_body(fault).as_ref(), b"\n\n"].concat().into()
}

/// Whether a body is an error that the vendor's SDKs can read.
#[must_use]
pub fn is_error_body(body: &[u8]) -> bool {
    status(body).is_some_and(|status| status.get("message").is_some_and(Value::is_string))
}

/// Reads the body of an error reply; anything at all gives a fault.
#[must_use]
pub fn read_error(status_code: u16, body: &[u8]) -> Fault {
    let Some(status) = status(body) else {
        let text: String = String::from_utf8_lossy(body).trim().chars().take(SHOWN_CHARS).collect();
        let message = if text.is_empty() { format!("The provider answered {status_code}.") } else { text };
        return Fault::of_status(status_code, message);
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let word = text(status.get("status"));
    let detail = |name: &str| {
        let details = status.get("details").and_then(Value::as_array);
        let of_type = |detail: &&Value| {
            let kind = detail.get("@type").and_then(Value::as_str);
            kind.and_then(|kind| kind.strip_prefix(PREFIX)) == Some(name)
        };
        details.and_then(|details| details.iter().find(of_type))
    };
    let reason = detail("ErrorInfo").and_then(|info| text(info.get("reason")));
    let violation = detail("BadRequest").and_then(|bad| bad.pointer("/fieldViolations/0/field"));
    let delay = detail("RetryInfo").and_then(|info| text(info.get("retryDelay")));
    let message = text(status.get("message")).or_else(|| status.as_str().map(str::to_owned));
    let kind = kind(status_code, word.as_deref(), reason.as_deref());
    // A word that the API has for the kind says no more than the kind: as a code it would stand where
    // callers of other dialects look for their own vendor's.
    let more = word.filter(|word| word != self::word(kind));
    Fault {
        kind,
        status: status_code,
        message: message.unwrap_or_else(|| format!("The provider answered {status_code}.")),
        code: reason.or(more),
        param: text(violation).filter(|field| !field.is_empty()),
        retry_after: delay.and_then(|delay| seconds(&delay)),
    }
}

/// Reads the error inside of a stream or of a reply that came as a success; its status is the one that
/// it names.
pub fn read_inner(data: &[u8]) -> Fault {
    let code = status(data).and_then(|status| status.get("code").and_then(Value::as_u64));
    let code = code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
    read_error(code.unwrap_or(500), data)
}

/// What stands in place of an answer, in a body or a frame of status 200.
#[must_use]
pub fn read_failure(said: &[u8]) -> Option<Fault> {
    (is_error_body(said) && !names_value(said, br#""candidates""#, b'[')).then(|| read_inner(said))
}

/// What stands in `error`, in an object or in the only one of an array.
fn status(body: &[u8]) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    if let Some(elements) = value.as_array_mut() {
        value = if elements.len() == 1 { elements.remove(0) } else { Value::Null };
    }
    value.get_mut("error").map(Value::take)
}

fn kind(status: u16, word: Option<&str>, reason: Option<&str>) -> FaultKind {
    match (word, reason) {
        // The vendor has it as a mistake in the request.
        (_, Some("API_KEY_INVALID")) => FaultKind::Authentication,
        (Some("INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE"), _) | (None, _) => {
            FaultKind::of_status(status)
        }
        (Some(word), _) => WORDS
            .iter()
            .find(|(_, known)| *known == word)
            .map_or_else(|| FaultKind::of_status(status), |(kind, _)| *kind),
    }
}

/// `34.5s`, rounded up.
fn seconds(delay: &str) -> Option<u64> {
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    // A float above what the integer holds becomes its most.
    (seconds >= 0.0).then(|| seconds.ceil() as u64)
}
