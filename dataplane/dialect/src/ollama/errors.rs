//! Errors: `{"error": "…"}`, as a body and as a line of a stream.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Fault, json};

/// How much of a body that is no error of the API's form is told on, in characters.
const MAX_TOLD: usize = 500;

#[must_use]
pub fn error_body(fault: &Fault) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'a str,
    }
    // SDKs pass over an empty error in a stream.
    let error = if fault.message.is_empty() { "the call failed" } else { &fault.message };
    json::to_bytes(&Body { error })
}

/// The error as the last line of a stream.
pub fn error_line(fault: &Fault) -> Bytes {
    let mut line = error_body(fault).to_vec();
    line.push(b'\n');
    line.into()
}

#[must_use]
pub fn is_error_body(body: &[u8]) -> bool {
    matches!(parse(body), Some(Message::Text(text)) if !text.is_empty())
}

#[must_use]
pub fn read_error(status: u16, body: &[u8]) -> Fault {
    let mut fault = Fault::of_status(status, "");
    match parse(body) {
        Some(Message::Text(text)) => fault.message = text,
        Some(Message::Object { message, code }) => (fault.message, fault.code) = (message, code),
        None => fault.message = String::from_utf8_lossy(body).trim().chars().take(MAX_TOLD).collect(),
    }
    if fault.message.is_empty() {
        fault.message = format!("the provider answered with status {status}");
    }
    fault
}

/// What stands in place of an answer, in a body or a line of status 200.
#[must_use]
pub fn read_failure(said: &[u8]) -> Option<Fault> {
    is_error_body(said).then(|| read_error(500, said))
}

/// The fault that a line of a stream tells of: it has no status of its own.
pub fn of_line(error: &RawValue) -> Fault {
    let message = match serde_json::from_str(error.get()) {
        Ok(Message::Text(message) | Message::Object { message, .. }) => message,
        Err(_) => error.get().to_owned(),
    };
    Fault::of_status(500, message)
}

/// What is behind `error`: a text, or, of a gateway between, an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Text(String),
    Object {
        message: String,
        #[serde(default)]
        code: Option<String>,
    },
}

fn parse(body: &[u8]) -> Option<Message> {
    #[derive(Deserialize)]
    struct Body {
        error: Message,
    }
    if !body.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_slice::<Body>(body).ok().map(|body| body.error)
}
