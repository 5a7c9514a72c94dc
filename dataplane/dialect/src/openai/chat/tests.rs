//! The two ends of chat completions, each alone and one against the other.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod plain;
mod replies;
mod requests;
mod streams;
mod tapped;

use serde_json::{Value, json};

use super::*;
use crate::Dialect;
use crate::{
    chat::{Media, Message, Part, Request, Role, ToolCall, ToolResult},
    seal::Seal,
};

const MODEL: ProviderModel<'_> = ProviderModel { name: "gpt-4o", max_output_tokens: None };

fn context() -> Context {
    Context { id: "abc".to_owned(), created: 7, model: "mine".to_owned(), include_usage: true }
}

fn read(body: &Value) -> Request {
    Chat.read_request(body.to_string().as_bytes()).unwrap()
}

fn written(request: &Request) -> Value {
    assert_eq!(CHAT_LIMITS.check(request, &Chat), Ok(()));
    serde_json::from_slice(&Chat.write_request(request, MODEL)).unwrap()
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned(), seal: None }
}
