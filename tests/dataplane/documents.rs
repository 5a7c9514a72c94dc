//! Compiled documents for the tests, and what providers answer in them.

use serde_json::{Value, json};

pub use harness::openai::{MODEL, chunk, completion, last_chunk, usage_chunk};

/// One model, one pool, one provider for each base URL, all of the same weight; in USD for a million tokens, 2 for
/// input, 1 for cached input, 10 for output.
pub fn document(providers: &[&str]) -> Value {
    let providers: Vec<Value> =
        providers.iter().enumerate().map(|(i, url)| provider(&format!("p{i}"), url, 0, 1)).collect();
    with_providers(&providers)
}

pub fn with_providers(providers: &[Value]) -> Value {
    json!({
        "routes": {"ai/chat": {"rules": [{
            "models": [MODEL],
            "backends": [{"pool": "ai/pool", "models": [MODEL], "weight": 1}],
            "timeouts": {"requestMs": 20_000, "idleMs": 20_000},
        }]}},
        // Tests don't wait for what a person would.
        "pools": {"ai/pool": {"providers": providers, "retry": {"attempts": 2, "backoffMs": 20}}},
    })
}

pub fn provider(name: &str, url: &str, priority: u32, weight: u32) -> Value {
    json!({
        "name": name,
        "priority": priority,
        "weight": weight,
        "upstream": {"kind": "OpenAI", "endpoint": format!("{url}/v1"), "apiKey": format!("sk-of-{name}")},
        "models": [{
            "name": MODEL,
            "upstreamName": MODEL,
            "price": {"input": 2_000_000_000_u64, "cachedInput": 1_000_000_000_u64, "cacheWrite": 2_000_000_000_u64, "output": 10_000_000_000_u64},
        }],
    })
}

/// The same document with other timeouts of its one rule.
pub fn with_timeouts(mut document: Value, request_ms: u64, idle_ms: u64) -> Value {
    document["routes"]["ai/chat"]["rules"][0]["timeouts"] =
        json!({"requestMs": request_ms, "idleMs": idle_ms});
    document
}

/// What a caller sends.
pub fn call() -> Value {
    json!({"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]})
}

pub fn streamed_call() -> Value {
    json!({"model": MODEL, "stream": true, "messages": [{"role": "user", "content": "Hello"}]})
}

/// What that costs by the prices of `document`, as the log writes it.
pub const COST: &str = "0.000230000";

/// The text of a stream's events.
pub fn text_of(events: &[String]) -> String {
    let deltas = events.iter().filter(|event| *event != "[DONE]").map(|event| {
        let event: Value = serde_json::from_str(event).unwrap();
        event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    });
    deltas.collect()
}
