//! Documents for one proxy, and what their providers answer.

use harness::{RawUpstream, Step, answer, sse_end, sse_event, sse_head};
use serde_json::{Value, json};
use std::time::Duration;

pub use harness::openai::{MODEL, chunk, completion, last_chunk, usage_chunk};

/// Deadlines that a test can wait for. The first is apart from the others, so that it is seen which one ended a call.
pub const REQUEST: Duration = Duration::from_millis(2_500);
pub const FIRST_TOKEN: Duration = Duration::from_millis(500);
pub const IDLE: Duration = Duration::from_millis(500);

/// A provider of kind OpenAI with one model.
pub fn provider(name: &str, url: &str, priority: u32, model: &str) -> Value {
    json!({
        "name": name, "priority": priority, "weight": 1,
        "upstream": {"kind": "OpenAI", "endpoint": format!("{url}/v1"), "apiKey": "sk-of-the-gateway"},
        "models": [{
            "name": model, "upstreamName": model,
            "price": {"input": 1_000_000_u64, "cachedInput": 0, "cacheWrite": 0, "output": 2_000_000_u64},
        }],
    })
}

/// A pool whose breakers open for no number of failures in a row.
pub fn pool(providers: &[Value]) -> Value {
    json!({
        "providers": providers,
        "retry": {"attempts": 2, "backoffMs": 20},
        "circuitBreaker": {"failures": 1_000, "recoveryMs": 1_000},
    })
}

/// A route from one model to the pool of a name.
pub fn route(model: &str, pool: &str) -> Value {
    json!({"rules": [{
        "models": [model],
        "backends": [{"pool": pool, "models": [model], "weight": 1}],
        "timeouts": {
            "requestMs": millis(REQUEST), "firstTokenMs": millis(FIRST_TOKEN), "idleMs": millis(IDLE),
        },
    }]})
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap()
}

/// One route, one pool, these providers.
pub fn document(providers: &[Value]) -> Value {
    json!({"routes": {"ai/chat": route(MODEL, "ai/pool")}, "pools": {"ai/pool": pool(providers)}})
}

pub fn with_breaker(mut document: Value, failures: u32, recovery: Duration) -> Value {
    document["pools"]["ai/pool"]["circuitBreaker"] =
        json!({"failures": failures, "recoveryMs": millis(recovery)});
    document
}

pub fn with_attempts(mut document: Value, attempts: u32) -> Value {
    document["pools"]["ai/pool"]["retry"]["attempts"] = json!(attempts);
    document
}

pub fn with_request_timeout(mut document: Value, allowed: Duration) -> Value {
    document["routes"]["ai/chat"]["rules"][0]["timeouts"]["requestMs"] = json!(millis(allowed));
    document
}

/// A whole reply with this text, or a stream of it word by word, as the request wants it.
pub fn says(text: &str, request: &str) -> Vec<Step> {
    if is_streamed(request) {
        return vec![Step::Send([events(text), sse_end()].concat())];
    }
    vec![Step::Send(answer(200, &completion(text)))]
}

/// A provider that always answers, with a text that tells which provider it was.
pub async fn good(name: &'static str) -> RawUpstream {
    RawUpstream::answering(move |request| says(name, request)).await
}

/// A provider that always answers with this.
pub async fn always(reply: Vec<u8>) -> RawUpstream {
    RawUpstream::start([vec![Step::Send(reply)]]).await
}

/// What the request asks for is a stream. The proxy passes the tests' bodies as they are.
pub fn is_streamed(request: &str) -> bool {
    request.contains("\"stream\":true")
}

/// A whole stream but for the end of its transfer.
fn events(text: &str) -> Vec<u8> {
    let words = text.split_inclusive(' ').flat_map(|word| sse_event(&chunk(word)));
    let end = [last_chunk(), usage_chunk(), "[DONE]".to_owned()];
    [sse_head(), words.collect(), end.iter().flat_map(|event| sse_event(event)).collect()].concat()
}

/// An error as OpenAI writes it.
pub fn failure(status: u16, code: &str) -> Vec<u8> {
    let message = format!("the provider says {code}");
    answer(status, &json!({"error": {"message": message, "type": "error", "param": null, "code": code}}))
}

/// A 429 that may say when to come back.
pub fn limited(retry_after: Option<u32>) -> Vec<u8> {
    let reply = String::from_utf8(failure(429, "rate_limit_exceeded")).unwrap();
    let header = retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
    reply.replacen("\r\n", &format!("\r\n{header}"), 1).into_bytes()
}
