//! What the API's translators promise, each test by the behaviour that it states; cases are after the
//! vendor's public documentation.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::Dialect;
use crate::chat::Request;

mod callers;
mod embeddings;
mod errors;
mod providers;
mod replies;
mod schemas;
mod streams;

fn read(body: &Value) -> Request {
    try_read(body).unwrap()
}

fn try_read(body: &Value) -> Result<Request, Invalid> {
    SSE.read_request(body.to_string().as_bytes())
}

fn write(request: &Request, model: &str) -> Value {
    let model = ProviderModel { name: model, max_output_tokens: None };
    value(&SSE.write_request(request, model))
}

fn value(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn context() -> Context {
    Context { id: "made-up".to_owned(), created: 1, model: "alias".to_owned(), include_usage: false }
}

fn text(role: &str, text: &str) -> Value {
    json!({"role": role, "parts": [{"text": text}]})
}
