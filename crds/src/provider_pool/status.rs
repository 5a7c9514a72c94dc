//! The status of a `ProviderPool`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;

/// What the operator and the proxies made of the pool.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderPoolStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`, `ResolvedRefs` and `Programmed`, and `Healthy` while proxies are attached that should
    /// run the pool.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Providers that some proxies leave alone because they fail. Those that take all calls are not
    /// listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub providers: Vec<ProviderHealth>,
    /// What `kubectl get` prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<ProviderPoolSummary>,
}

/// A provider that some proxies leave alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderHealth {
    /// The provider's name in the pool.
    pub name: String,
    /// The models that it fails at.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub models: Vec<ModelHealth>,
}

/// A model that some proxies leave alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelHealth {
    /// The model's name in the pool.
    pub name: String,
    /// Proxies whose circuit breaker for it is open, or half open: it closes with the next call that
    /// goes well.
    pub open: i32,
    /// Proxies in all that are attached and should run the pool.
    pub proxies: i32,
    /// What its last failure was on one of these proxies.
    pub last_error: String,
}

/// What `kubectl get providerpools` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderPoolSummary {
    /// The providers, joined by commas.
    pub providers: String,
    /// The models, joined by commas.
    pub models: String,
    /// Providers that can be called, of all, as `2/2`.
    pub ready: String,
    /// Proxies that run the pool, of those that should, as `2/2`.
    pub programmed: String,
}
