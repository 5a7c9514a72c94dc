//! A model of a provider: what it is called, what it can do, and what it costs. Apart from the pool
//! because most of a pool that has grown is models.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One model of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// The name by which routes and callers know it.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$"))]
    pub name: String,
    /// The name by which the provider knows it. Default: `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub upstream_name: Option<String>,
    /// What it can be called for. A call for anything else is refused. Default: `Chat`.
    #[serde(default = "default_operations")]
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub operations: Vec<Operation>,
    /// The most output tokens that it gives. Said to providers whose API wants a limit when the
    /// caller named none, and shown in model lists. Default: 4096 where an API wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_output_tokens: Option<i64>,
    /// What it is fit for, and costs: rules with `complexity` choose by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// What it is good at: callers may require it, by `x-llm-require-capabilities`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5), extend("x-kubernetes-list-type" = "set"))]
    pub capabilities: Vec<Capability>,
    /// How many tokens it reads and writes in one call. A call that is too long for one model goes to
    /// one with a larger window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub context_window: Option<i64>,
    /// How good its answers are against those of others, "0" to "1", for the strategies
    /// `QualityOptimized` and `Balanced`. Default: "0.5".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), regex(pattern = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"))]
    pub quality: Option<String>,
    /// What it costs. Without it, its calls are metered at no cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing: Option<Pricing>,
}

fn default_operations() -> Vec<Operation> {
    vec![Operation::Chat]
}

/// What a model can be called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Operation {
    /// Text from messages, by any of the chat APIs; counting tokens too.
    Chat,
    /// Vectors from texts.
    Embeddings,
}

/// What a model is fit for, and costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Tier {
    Economy,
    Standard,
    Premium,
}

/// What a model is good at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Capability {
    Reasoning,
    Coding,
    Vision,
    Tools,
    LongContext,
}

/// Prices in USD for a million tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pricing {
    /// Input, such as "2.50".
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]{1,7}(\.[0-9]{1,9})?$"))]
    pub input_per_million: String,
    /// Input that the provider had cached. Default: as input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]{1,7}(\.[0-9]{1,9})?$"))]
    pub cached_input_per_million: Option<String>,
    /// Input that the provider caches for later calls, where that costs extra. Default: as input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]{1,7}(\.[0-9]{1,9})?$"))]
    pub cache_write_input_per_million: Option<String>,
    /// Output, such as "10.00". Reasoning is output.
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]{1,7}(\.[0-9]{1,9})?$"))]
    pub output_per_million: String,
}
