//! Which calls a rule takes, and the backends that answer them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::CallerMatch;

/// One LLMRoute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    pub rules: Vec<Rule>,
}

/// The calls that it takes, and who answers them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Models by the names that callers use; a `*` in one stands for any text. A name stands in one
    /// route of the whole document only, and there once for the same conditions.
    pub models: Vec<String>,
    /// What a call must be besides.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub when: Conditions,
    pub backends: Vec<Backend>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub strategy: Strategy,
    /// Whether a call whose first choice fails goes to the others.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub fallback: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// Calls by an alias go to models of the tier that they are hard enough for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complexity: Option<Complexity>,
    /// What callers may choose for themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_overrides: Vec<Override>,
    /// Whether another candidate is asked too when the first is late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedging: Option<Hedging>,
    /// Whose calls wait first for a provider that has no room.
    #[serde(default, skip_serializing_if = "is_default")]
    pub queue_priority: QueuePriority,
    pub timeouts: Timeouts,
}

/// From which estimate on, in parts per million, a call is no simple one any more, and no medium one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Complexity {
    pub simple_ppm: u32,
    pub medium_ppm: u32,
}

/// When another candidate is asked too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hedging {
    /// After so long, in milliseconds. Where absent: when the first is later than 95 of 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
}

/// A place among calls that wait; the greater goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum QueuePriority {
    Low,
    #[default]
    Normal,
    High,
}

/// What a caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Override {
    Strategy,
    Providers,
    Capabilities,
    Cost,
    Latency,
    Fallback,
    Cache,
}

/// How the first choice is made among those that can answer, and the order of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// A backend by weight, its first model, the providers of the lowest priority by weight.
    #[default]
    Weighted,
    /// As the rule lists them.
    Ordered,
    /// By expected cost, expected latency and quality, each of the same weight.
    Balanced,
    CostOptimized,
    LatencyOptimized,
    QualityOptimized,
}

/// Which calls make the same choice among weights each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sticky {
    /// Those of one user, where the call names one.
    User,
}

/// What a call must be; all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Conditions {
    /// Made by one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<CallerMatch>,
    /// Each of these headers with its value; names in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
    /// One of these APIs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dialects: Vec<Dialect>,
    /// A path that is one of these or below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

impl Conditions {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { callers, headers, dialects, paths } = self;
        callers.is_empty() && headers.is_empty() && dialects.is_empty() && paths.is_empty()
    }
}

/// A header that a call must carry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderMatch {
    pub name: String,
    /// The whole of it; any value where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Whose API a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Dialect {
    OpenAI,
    Anthropic,
    Gemini,
    Ollama,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_yes(said: &bool) -> bool {
    *said
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A pool that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backend {
    /// `namespace/name` of a pool of the same document.
    pub pool: String,
    /// Models of the pool that may answer. A call for one of them gets it.
    pub models: Vec<String>,
    /// It stands in for a name that others of the rule serve and it does not. For a name that none
    /// serves, an alias, all do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stands_in: bool,
    /// The share of calls among the backends of the rule; 0 takes none.
    pub weight: u32,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// From the arrival of the call to its last byte, in milliseconds.
    pub request_ms: u64,
    /// From the start of an attempt to the first byte of its stream, in milliseconds.
    #[serde(default = "first_token", skip_serializing_if = "is_first_token")]
    pub first_token_ms: u64,
    /// From the start of an attempt to the end of a reply that is not streamed, in milliseconds; where
    /// absent, only the call's own time bounds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_ms: Option<u64>,
    /// The longest silence in the middle of a stream, in milliseconds.
    pub idle_ms: u64,
}

fn first_token() -> u64 {
    Timeouts::default().first_token_ms
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_first_token(ms: &u64) -> bool {
    *ms == first_token()
}

impl Timeouts {
    #[must_use]
    pub fn request(&self) -> Duration {
        Duration::from_millis(self.request_ms)
    }

    #[must_use]
    pub fn first_token(&self) -> Duration {
        Duration::from_millis(self.first_token_ms)
    }

    #[must_use]
    pub fn attempt(&self) -> Option<Duration> {
        self.attempt_ms.map(Duration::from_millis)
    }

    #[must_use]
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { request_ms: 300_000, first_token_ms: 60_000, attempt_ms: None, idle_ms: 60_000 }
    }
}
