//! What the cluster holds: pools of several providers, and routes of several rules, as teams write them.

use serde_json::{Value, json};

/// Where the pools are.
pub const POOLS: &str = "ai";
/// Of the models of each provider.
const TIERS: [&str; 4] = ["Economy", "Standard", "Premium", "Premium"];
/// Routes of each of their namespaces that select its pods.
const FOR_SIDECARS: usize = 5;

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub routes: usize,
    pub pools: usize,
    /// Namespaces with routes.
    pub teams: usize,
    /// Those of them that have pods with sidecars.
    pub with_sidecars: usize,
}

impl Scale {
    /// Namespace and name of a route.
    pub fn route_name(self, number: usize) -> (String, String) {
        (team(number % self.teams), format!("route-{:04}", number / self.teams))
    }

    /// A route that the gateway's proxies hold: all but the first of each namespace with sidecars.
    pub fn of_gateway(self, number: usize) -> bool {
        number % self.teams >= self.with_sidecars || number / self.teams >= FOR_SIDECARS
    }

    /// A route; `revision` makes it another.
    pub fn route(self, number: usize, revision: u64) -> Value {
        let (namespace, name) = self.route_name(number);
        let pool =
            |offset: usize| json!({"name": pool_name((number + offset) % self.pools), "namespace": POOLS});
        let prefix = format!("{namespace}-{name}");
        let attach_to = if self.of_gateway(number) {
            json!({"gateways": ["default"]})
        } else {
            json!({"gateways": [], "podSelector": {"matchLabels": {"tier": "web"}}})
        };
        json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "LLMRoute",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"attachTo": attach_to, "rules": [
                {
                    "matches": [{"models": [format!("{prefix}-smart")]}],
                    "backends": [
                        {"pool": pool(0), "models": ["model-0", "model-2"], "weight": 90},
                        {"pool": pool(1), "models": ["model-1"], "weight": 10},
                    ],
                    "strategy": "Balanced",
                    "complexity": {"simple": "0.3", "medium": "0.6"},
                    "clientOverrides": ["Strategy", "Providers", "Cost"],
                    "timeouts": {"request": format!("{}ms", 60_000 + revision), "firstToken": "10s", "idle": "30s"},
                },
                {
                    "matches": [
                        {"models": [format!("{prefix}-fast"), format!("{prefix}-cheap")],
                         "headers": [{"name": "x-team", "value": namespace}]},
                        {"models": [format!("{prefix}-fast")], "callers": [{"namespaces": [namespace], "serviceAccounts": ["web", "batch"]}]},
                    ],
                    "backends": [{"pool": pool(2), "models": ["model-1"]}],
                    "strategy": "CostOptimized",
                },
                {
                    "matches": [{"models": [format!("{prefix}-embed-*")], "paths": ["/v1/embeddings"]}],
                    "backends": [{"pool": pool(3), "models": ["model-3"]}],
                },
            ]},
        })
    }
}

pub fn team(number: usize) -> String {
    format!("team-{number:02}")
}

fn pool_name(number: usize) -> String {
    format!("pool-{number:02}")
}

/// A pool of three providers, with the Secret of its keys.
pub fn pool(number: usize) -> (Value, Value) {
    let name = pool_name(number);
    let models: Vec<Value> = (0..TIERS.len())
        .map(|model| {
            json!({
                "name": format!("model-{model}"),
                "upstreamName": format!("vendor-model-{model}-2026-01-01"),
                "tier": TIERS[model],
                "capabilities": ["Coding", "Tools"],
                "contextWindow": 128_000, "maxOutputTokens": 16_384, "quality": "0.90",
                "pricing": {"inputPerMillion": "2.50", "cachedInputPerMillion": "1.25", "outputPerMillion": "10.00"},
            })
        })
        .collect();
    let providers: Vec<Value> = ["first", "second", "third"]
        .iter()
        .enumerate()
        .map(|(priority, provider)| {
            json!({
                "name": provider, "kind": "OpenAI", "priority": priority, "models": models,
                "endpoint": format!("https://{provider}.{name}.example.com/v1"),
                "credentials": {"secretRef": {"name": name, "key": provider}},
            })
        })
        .collect();
    let pool = json!({
        "apiVersion": "llmgateway.dev/v1alpha1", "kind": "ProviderPool",
        "metadata": {"name": name, "namespace": POOLS},
        "spec": {
            "allowedNamespaces": {"from": "All"}, "providers": providers,
            "circuitBreaker": {"failureThreshold": 5, "recoveryTime": "30s"},
        },
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": POOLS},
        "stringData": {"first": format!("sk-{name}-1"), "second": format!("sk-{name}-2"), "third": format!("sk-{name}-3")},
    });
    (pool, secret)
}

/// A pod with a sidecar, that runs nowhere.
pub fn pod(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": namespace,
            "labels": {"llmgateway.dev/sidecar": "true", "app": "web", "tier": "web"},
        },
        "spec": {"serviceAccountName": "web", "containers": [{"name": "app", "image": "none"}]},
    })
}
