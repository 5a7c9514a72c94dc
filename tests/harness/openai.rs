//! What a provider that has OpenAI's API answers.

use serde_json::{Value, json};

/// The model that most tests ask for.
pub const MODEL: &str = "large";

/// A whole answer of a provider: 100 tokens in, 40 of them cached, 7 out.
pub fn completion(text: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": usage(),
    })
}

fn usage() -> Value {
    json!({
        "prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107,
        "prompt_tokens_details": {"cached_tokens": 40},
    })
}

/// An event of a stream.
pub fn chunk(text: &str) -> String {
    event(&json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}]), &Value::Null)
}

pub fn last_chunk() -> String {
    event(&json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), &Value::Null)
}

pub fn usage_chunk() -> String {
    event(&json!([]), &usage())
}

fn event(choices: &Value, usage: &Value) -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL,
        "choices": choices, "usage": usage,
    })
    .to_string()
}
