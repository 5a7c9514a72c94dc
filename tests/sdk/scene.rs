//! One proxy, a pool of each kind, and what their providers answer.

use crate::{
    subjects::{CUT, model},
    witness::Witness,
};
use harness::{Aimock, Proxy};
use llm_dialect::surface::Kind;
use serde_json::{Value, json};

pub const STATUSES: [u16; 5] = [400, 401, 404, 429, 500];

/// What runs, for as long as it is held.
pub struct Scene {
    pub proxy: Proxy,
    pub witness: Witness,
    _aimock: Aimock,
}

impl Scene {
    pub async fn start() -> Self {
        let aimock = Aimock::start(fixtures()).await;
        let witness = Witness::start(aimock.url()).await;
        let proxy = Proxy::start(&document(witness.url()), &[]).await;
        Self { proxy, witness, _aimock: aimock }
    }
}

/// The model that makes the provider of a kind answer with a status.
pub fn failing_model(kind: Kind, status: &str) -> String {
    format!("{}-fails-{status}", model(kind))
}

/// The model whose streams break off.
pub fn cut_model(kind: Kind) -> String {
    format!("{}-{CUT}", model(kind))
}

/// The model whose streams are slow and whole.
pub fn slow_model(kind: Kind) -> String {
    format!("{}-slow", model(kind))
}

fn document(upstream: &str) -> Value {
    let mut routes = serde_json::Map::new();
    let mut pools = serde_json::Map::new();
    for kind in Kind::ALL {
        let pool = format!("ai/{}", kind.as_str().to_lowercase());
        let providers = match kind {
            Kind::Simulated => simulated(),
            kind => vec![remote(kind, upstream)],
        };
        let backend = |models: &[String]| json!([{"pool": pool, "models": models, "weight": 1}]);
        let mut models = vec![model(kind), slow_model(kind)];
        models.extend(STATUSES.map(|status| failing_model(kind, &status.to_string())));
        let cut = vec![cut_model(kind)];
        // A simulated provider never breaks off: its route does.
        let allowed = if kind == Kind::Simulated { 2_000 } else { 20_000 };
        let rules = json!([
            {"models": models, "backends": backend(&models), "timeouts": {"requestMs": 20_000, "idleMs": 20_000}},
            {"models": cut, "backends": backend(&cut), "timeouts": {"requestMs": allowed, "idleMs": 20_000}},
        ]);
        routes.insert(pool.clone(), json!({"rules": rules}));
        // Some of them fail at every call: each cell is to see that, and none a provider that is left alone.
        pools.insert(
            pool,
            json!({
                "providers": providers,
                "circuitBreaker": {"failures": 1000, "failurePercent": 101, "recoveryMs": 1},
                "retry": {"attempts": 1, "backoffMs": 1},
            }),
        );
    }
    json!({"routes": routes, "pools": pools})
}

fn served(name: &str, upstream: &str, operations: &[&str]) -> Value {
    let price =
        json!({"input": 1_000_000_000_u64, "cachedInput": 0, "cacheWrite": 0, "output": 2_000_000_000_u64});
    json!({"name": name, "upstreamName": upstream, "operations": operations, "price": price})
}

fn remote(kind: Kind, upstream: &str) -> Value {
    let endpoint = match kind {
        Kind::Gemini => format!("{upstream}/v1beta"),
        Kind::Ollama => upstream.to_owned(),
        _ => format!("{upstream}/v1"),
    };
    let main: &[&str] = if kind == Kind::Anthropic { &["Chat"] } else { &["Chat", "Embeddings"] };
    let mut models = vec![
        served(&model(kind), "main", main),
        served(&slow_model(kind), "slow", &["Chat"]),
        served(&cut_model(kind), CUT, &["Chat"]),
    ];
    models.extend(STATUSES.map(|status| {
        served(&failing_model(kind, &status.to_string()), &format!("fails-{status}"), &["Chat"])
    }));
    json!({
        "name": "mock", "priority": 0, "weight": 1, "models": models,
        "upstream": {"kind": kind.as_str(), "endpoint": endpoint, "apiKey": "key-of-the-gateway"},
    })
}

/// Providers of their own for what a simulated one does always or never.
fn simulated() -> Vec<Value> {
    let kind = Kind::Simulated;
    let provider = |name: String, models: Vec<Value>, pace: u32, fails: Option<u16>| {
        json!({
            "name": name, "priority": 0, "weight": 1, "models": models,
            "upstream": {
                "kind": kind.as_str(), "latencyMs": 0, "timeToFirstTokenMs": 0, "tokensPerSecond": pace,
                "errorPpm": if fails.is_some() { 1_000_000 } else { 0 }, "errorStatus": fails.unwrap_or(500),
            },
        })
    };
    let mut providers = vec![
        provider(
            "fast".to_owned(),
            vec![served(&model(kind), "main", &["Chat", "Embeddings"])],
            10_000,
            None,
        ),
        provider(
            "slow".to_owned(),
            vec![served(&cut_model(kind), CUT, &["Chat"]), served(&slow_model(kind), "slow", &["Chat"])],
            8,
            None,
        ),
    ];
    providers.extend(STATUSES.map(|status| {
        let models = vec![served(&failing_model(kind, &status.to_string()), "fails", &["Chat"])];
        provider(format!("fails-{status}"), models, 10_000, Some(status))
    }));
    providers
}

/// What the mock answers, in every dialect; the first that fits counts.
fn fixtures() -> Value {
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16});
    let says = |text: &str| json!({"content": text, "usage": usage});
    let calls =
        json!({"toolCalls": [{"name": "get_weather", "arguments": r#"{"city":"Paris"}"#}], "usage": usage});
    let long = "many words of a text that is not heard to its end ".repeat(20);
    let mut fixtures: Vec<Value> = STATUSES
        .iter()
        .map(|status| {
            let error = json!({"message": format!("the mock fails with {status}"), "type": "mock_error"});
            json!({"match": {"model": format!("fails-{status}")}, "response": {"error": error, "status": status}})
        })
        .collect();
    fixtures.extend([
        json!({"match": {"model": CUT}, "chunkSize": 5, "latency": 20, "truncateAfterChunks": 6, "response": says(&long)}),
        json!({"match": {"model": "slow"}, "chunkSize": 5, "latency": 50, "response": says(&long)}),
        json!({"match": {"userMessage": "Say hello"}, "chunkSize": 4, "response": says("Good day to you")}),
        json!({"match": {"userMessage": "weather in Paris", "hasToolResult": false}, "chunkSize": 4, "response": calls}),
        json!({"match": {"userMessage": "weather in Paris", "hasToolResult": true}, "response": says("It is 18 degrees")}),
        json!({"match": {"userMessage": "Call what you must"}, "response": calls}),
        json!({"match": {"userMessage": "in the picture"}, "response": says("A single red dot")}),
        json!({"match": {"userMessage": "Describe the city"}, "response": says(r#"{"city":"Paris","population":2100000}"#)}),
    ]);
    json!(fixtures)
}
