//! Providers with their endpoints, keys, models and prices.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Credential, Scope, route::is_default};

/// One ProviderPool: the providers of it that can be called. Empty when none can.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pool {
    pub providers: Vec<Provider>,
    /// The names of its others: callers may speak of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub circuit_breaker: CircuitBreaker,
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: Retry,
    /// Checks beside the calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
}

/// Requests that cost nothing, to see whether a provider answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthCheck {
    /// The time between two, in milliseconds.
    pub interval_ms: u64,
}

/// When a model of a provider is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CircuitBreaker {
    /// After so many failures in a row.
    pub failures: u32,
    /// When so many of 100 fail, of at least 20 within ten seconds; over 100 never.
    #[serde(default = "half")]
    pub failure_percent: u32,
    /// How long, in milliseconds, until one call tries it again.
    pub recovery_ms: u64,
}

fn half() -> u32 {
    50
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { failures: 5, failure_percent: half(), recovery_ms: 30_000 }
    }
}

/// How often a call that failed is sent again, where its first choice is of this pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    /// At most, the first time included; each candidate may have its one attempt besides.
    pub attempts: u32,
    /// Before a candidate is tried again; twice as long each further time, in milliseconds.
    pub backoff_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, backoff_ms: 1_000 }
    }
}

/// One provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provider {
    pub name: String,
    /// The failover tier, lowest first.
    pub priority: u32,
    /// The share of calls within the tier, at least 1.
    pub weight: u32,
    pub upstream: Upstream,
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: Limits,
    pub models: Vec<Model>,
}

/// What is asked of a provider at most; what is `None` has no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    #[serde(default, skip_serializing_if = "is_default")]
    pub scope: Scope,
    /// Attempts at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Input and output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// What waits for room where no other candidate has any.
    #[serde(default)]
    pub queue: Queue,
}

/// Calls that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Queue {
    /// At most; 0 lets none wait.
    pub size: u32,
    /// How long, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { size: 100, timeout_ms: 10_000 }
    }
}

/// What answers a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Upstream {
    /// A server that speaks the OpenAI API.
    OpenAI(Remote),
    Anthropic(Remote),
    Gemini(Remote),
    Ollama(Remote),
    /// The proxy itself, with made-up answers.
    Simulated(Simulated),
}

/// A server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Remote {
    /// Base URL without a trailing slash; `/chat/completions` and the like are appended.
    pub endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Credential>,
    /// PEM certificates of the only authorities to trust; the system's roots where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Headers that each call carries besides. Their values may be keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Credential>,
    /// Kind OpenAI: the server has the Responses API.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub responses: bool,
}

/// How made-up answers come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Simulated {
    pub latency_ms: u64,
    pub time_to_first_token_ms: u64,
    pub tokens_per_second: u32,
    /// The share of calls that fail, in parts per million.
    pub error_ppm: u32,
    /// The status of those.
    pub error_status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Upstream {
    /// The server, where there is one.
    #[must_use]
    pub fn remote(&self) -> Option<&Remote> {
        match self {
            Self::OpenAI(remote) | Self::Anthropic(remote) | Self::Gemini(remote) | Self::Ollama(remote) => {
                Some(remote)
            }
            Self::Simulated(_) => None,
        }
    }
}

/// One model of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    /// The name by which backends know it.
    pub name: String,
    /// The name by which the provider knows it.
    pub upstream_name: String,
    /// What it can be called for; not empty.
    #[serde(default = "chat", skip_serializing_if = "is_chat")]
    pub operations: Vec<Operation>,
    /// The most output tokens that it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// Tokens that it reads and writes in one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// How good its answers are, from 0 to 1,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_ppm: Option<u32>,
    pub price: Price,
}

/// How much a model is fit for, and costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tier {
    Economy,
    Standard,
    Premium,
}

/// What a model is good at, as its pool says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Capability {
    Reasoning,
    Coding,
    Vision,
    Tools,
    LongContext,
}

fn chat() -> Vec<Operation> {
    vec![Operation::Chat]
}

fn is_chat(operations: &[Operation]) -> bool {
    operations == [Operation::Chat]
}

/// What a model can be called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    Chat,
    Embeddings,
}

/// What tokens cost, in nano-USD (10⁻⁹ USD) for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Price {
    pub input: u64,
    pub cached_input: u64,
    /// Input that the provider caches for later calls.
    pub cache_write: u64,
    pub output: u64,
}
