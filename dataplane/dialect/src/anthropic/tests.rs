//! The API from both ends, by cases from the vendor's documentation.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::Value;

use crate::{CallerApi, Invalid, ProviderApi, ProviderModel, chat::Request};

use super::Messages;

mod error;
mod provider;
mod reply;
mod request;
mod stream;
mod stream_caller;

fn try_read(body: &Value) -> Result<Request, Invalid> {
    CallerApi::read_request(&Messages, body.to_string().as_bytes())
}

/// The request of a body that lacks only `max_tokens`.
fn read(mut body: Value) -> Request {
    body.as_object_mut().unwrap().entry("max_tokens").or_insert(100.into());
    try_read(&body).unwrap()
}

/// What is sent for a request to a model that knows efforts.
fn sent(request: &Request) -> Value {
    sent_to("claude-opus-5", request)
}

fn sent_to(name: &str, request: &Request) -> Value {
    let model = ProviderModel { name, max_output_tokens: None };
    serde_json::from_slice(&Messages.write_request(request, model)).unwrap()
}

fn leftovers(request: &Request) -> Vec<(&str, bool)> {
    request.leftovers.iter().map(|leftover| (leftover.field.as_str(), leftover.hint)).collect()
}
