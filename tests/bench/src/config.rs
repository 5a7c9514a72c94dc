//! The compiled document that the proxy under test runs on: one model, one pool, one provider.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// The model that requests name.
pub const MODEL: &str = "bench-model";

/// The document. `upstream_url` is the base URL without a path, such as `http://127.0.0.1:9000`.
pub fn proxy_config(upstream_url: &str) -> Value {
    json!({
        "routes": {"bench/chat": {"rules": [{
            "models": [MODEL],
            "backends": [{"pool": "bench/pool", "models": [MODEL], "weight": 1}],
            "timeouts": {"requestMs": 30_000, "idleMs": 30_000},
        }]}},
        "pools": {"bench/pool": {"providers": [{
            "name": "fixed",
            "priority": 0,
            "weight": 1,
            "upstream": {"kind": "OpenAI", "endpoint": format!("{upstream_url}/v1"), "apiKey": "bench-key"},
            // With prices, so that the cost of a call is worked out too.
            "models": [{
                "name": MODEL,
                "upstreamName": MODEL,
                "price": {"input": 2_500_000_000_u64, "cachedInput": 1_250_000_000_u64, "cacheWrite": 2_500_000_000_u64, "output": 10_000_000_000_u64},
            }],
        }]}},
    })
}

/// The same with all that routing can do: the model is an alias of six candidates, scored for each call by its
/// difficulty, cost, latency and quality; callers may override all of it; a late answer is hedged; providers are limited,
/// queued for, tried again and checked.
pub fn with_routing(upstream_url: &str) -> Value {
    let mut document = proxy_config(upstream_url);
    let model = |(name, tier, quality): (&str, &str, u32)| {
        let price = u64::from(quality) * 5_000;
        json!({
            "name": name, "upstreamName": MODEL, "tier": tier, "qualityPpm": quality, "contextWindow": 128_000,
            "maxOutputTokens": 16_000, "capabilities": ["Tools", "Coding"],
            "price": {"input": price, "cachedInput": price / 2, "cacheWrite": price, "output": 4 * price},
        })
    };
    let pool = &mut document["pools"]["bench/pool"];
    let mut provider = pool["providers"][0].take();
    provider["models"] = TIERS.map(model).into();
    provider["limits"] = json!({
        "concurrent": 1_000, "requestsPerMinute": PLENTY, "tokensPerMinute": PLENTY,
        "queue": {"size": 100, "timeoutMs": 10_000},
    });
    let mut second = provider.clone();
    second["name"] = "second".into();
    *pool = json!({
        "providers": [provider, second],
        "circuitBreaker": {"failures": 5, "failurePercent": 50, "recoveryMs": 30_000},
        "retry": {"attempts": 3, "backoffMs": 1_000},
        "healthCheck": {"intervalMs": 5_000},
    });
    let rule = &mut document["routes"]["bench/chat"]["rules"][0];
    rule["backends"] = json!([{"pool": "bench/pool", "models": TIERS.map(|(name, ..)| name), "standsIn": true, "weight": 1}]);
    rule["strategy"] = "Balanced".into();
    rule["complexity"] = json!({"simplePpm": 300_000, "mediumPpm": 600_000});
    rule["clientOverrides"] =
        json!(["Strategy", "Providers", "Capabilities", "Cost", "Latency", "Fallback", "Cache"]);
    rule["hedging"] = json!({});
    rule["sticky"] = "User".into();
    document
}

/// Models, their tiers, and their quality in parts per million.
const TIERS: [(&str, &str, u32); 3] = [
    ("bench-economy", "Economy", 400_000),
    ("bench-standard", "Standard", 600_000),
    ("bench-premium", "Premium", 900_000),
];

/// The same with three budgets that count each call, none of which is ever spent; their ledger is at that address.
pub fn with_budgets(upstream_url: &str, ledger: SocketAddr) -> Value {
    let mut document = proxy_config(upstream_url);
    document["ledger"] = json!({"redis": {"endpoints": [ledger.to_string()]}});
    for (uid, unit) in BUDGETS {
        let limit = json!({"window": "total", "unit": unit, "amount": PLENTY});
        document["budgets"][format!("bench/{uid}")] =
            json!({"uid": uid, "timeZone": "UTC", "limits": [limit]});
    }
    document
}

/// Their uids, and what each counts.
pub const BUDGETS: [(&str, &str); 3] = [("money", "usd"), ("tokens", "tokens"), ("calls", "requests")];
/// In nano-USD, tokens or requests.
pub const PLENTY: u64 = 1 << 52;
