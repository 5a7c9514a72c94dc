//! Models, and the backends that answer for them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One LLMRoute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    pub rules: Vec<Rule>,
}

/// Models by the names that callers use. A name stands in one rule of the whole document only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    pub models: Vec<String>,
    pub backends: Vec<Backend>,
    pub timeouts: Timeouts,
}

/// A pool that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backend {
    /// `namespace/name` of a pool of the same document.
    pub pool: String,
    /// Models of the pool that may answer. A call for one of them gets it; a call by an alias gets
    /// the first.
    pub models: Vec<String>,
    /// The share of calls among the backends of the rule; 0 takes none.
    pub weight: u32,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// From the arrival of the call to its last byte, in milliseconds.
    pub request_ms: u64,
    /// The longest silence in the middle of a stream, in milliseconds.
    pub idle_ms: u64,
}

impl Timeouts {
    #[must_use]
    pub fn request(&self) -> Duration {
        Duration::from_millis(self.request_ms)
    }

    #[must_use]
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { request_ms: 300_000, idle_ms: 60_000 }
    }
}
