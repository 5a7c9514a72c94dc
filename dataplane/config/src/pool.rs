//! Providers with their endpoints, keys, models and prices.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One ProviderPool: the providers of it that can be called. Empty when none can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pool {
    pub providers: Vec<Provider>,
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
    pub models: Vec<Model>,
}

/// What answers a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Upstream {
    /// A server that speaks the OpenAI API.
    OpenAI {
        /// Base URL without a trailing slash; `/chat/completions` is appended.
        endpoint: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        api_key: Option<Credential>,
        /// PEM certificates of the only authorities to trust; the system's roots where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca: Option<String>,
    },
    /// The proxy itself, with made-up answers.
    Simulated {
        latency_ms: u64,
        time_to_first_token_ms: u64,
        tokens_per_second: u32,
        /// The share of calls that fail, in parts per million.
        error_ppm: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
}

/// One model of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    /// The name by which backends know it.
    pub name: String,
    /// The name by which the provider knows it.
    pub upstream_name: String,
    pub price: Price,
}

/// What tokens cost, in nano-USD (10⁻⁹ USD) for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Price {
    pub input: u64,
    pub cached_input: u64,
    pub output: u64,
}

/// A secret of a provider: it can be sent, and never be printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Credential(String);

impl Credential {
    const REDACTED: &'static str = "[redacted]";

    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    pub(crate) fn redacted() -> Self {
        Self(Self::REDACTED.to_owned())
    }

    /// The secret itself, to put into a request.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::REDACTED)
    }
}
