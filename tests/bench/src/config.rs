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
