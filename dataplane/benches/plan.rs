//! How long it takes to plan a call for a rule with twelve candidates: the rule found, each candidate weighed and
//! all of them put in order. It is paid by every call.
#![expect(clippy::panic, reason = "what can't be planned must not look like a measurement")]

use divan::{Bencher, black_box};
use llm_proxy::explain::{Planner, Request};
use serde_json::{Value, json};

const STRATEGIES: [&str; 4] = ["Weighted", "Ordered", "Balanced", "CostOptimized"];

fn main() {
    divan::main();
}

/// Three pools, each of two providers, each of two models.
fn document(strategy: &str, complexity: bool) -> Value {
    let models: Vec<Value> = [("large", "Premium", 10_000), ("small", "Economy", 600)]
        .map(|(name, tier, price)| {
            json!({
                "name": name, "upstreamName": name, "tier": tier, "contextWindow": 128_000,
                "price": {"input": price, "cachedInput": price / 2, "cacheWrite": price, "output": price * 4},
            })
        })
        .into();
    let provider = |name: &str| {
        json!({
            "name": name, "priority": 0, "weight": 1, "models": models,
            "upstream": {"kind": "OpenAI", "endpoint": "http://127.0.0.1:1/v1"},
        })
    };
    let pool = json!({"providers": [provider("first"), provider("second")]});
    let backend = |name: &str| json!({"pool": name, "models": ["large", "small"], "weight": 1});
    let mut rule = json!({
        "models": ["assist"], "strategy": strategy, "timeouts": {"requestMs": 1000, "idleMs": 1000},
        "backends": [backend("ai/a"), backend("ai/b"), backend("ai/c")],
    });
    if complexity {
        rule["complexity"] = json!({"simplePpm": 300_000, "mediumPpm": 600_000});
    }
    json!({"routes": {"ai/chat": {"rules": [rule]}}, "pools": {"ai/a": pool, "ai/b": pool, "ai/c": pool}})
}

fn planner(strategy: &str, complexity: bool) -> Planner {
    let prompt = "Explain in two sentences what a circuit breaker does and when it opens. ".repeat(14);
    let body = json!({"model": "assist", "messages": [{"role": "user", "content": prompt}]});
    let request = Request {
        path: "/v1/chat/completions".to_owned(),
        body: body.to_string().into_bytes(),
        ..Request::default()
    };
    let document = serde_json::from_value(document(strategy, complexity))
        .unwrap_or_else(|error| panic!("no document: {error}"));
    let planner = Planner::new(document, &request).unwrap_or_else(|error| panic!("no call: {error}"));
    let candidates = planner.plan(0).map(|plan| plan.candidates().len());
    assert!(matches!(candidates, Ok(12)), "twelve candidates are to be planned, and not {candidates:?}");
    planner
}

fn bench(bencher: Bencher<'_, '_>, planner: &Planner) {
    let mut draw = 0;
    bencher.bench_local(|| {
        draw += 1;
        black_box(planner.plan(draw).map(drop))
    });
}

#[divan::bench(args = STRATEGIES)]
fn twelve(bencher: Bencher<'_, '_>, strategy: &str) {
    bench(bencher, &planner(strategy, false));
}

/// With the estimate of how hard the call is, which reads the whole prompt.
#[divan::bench]
fn twelve_by_complexity(bencher: Bencher<'_, '_>) {
    bench(bencher, &planner("Balanced", true));
}
