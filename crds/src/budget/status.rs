//! The status of a `Budget`. The operator writes it in two hands, which share no field: one tells what came of the
//! spec, the other keeps the figures, and what the ledger must be told when it has lost its memory.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;

/// What the operator and the proxies made of the Budget, and what is spent of it. Figures follow the
/// proxies within seconds; the limits themselves are held call by call.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetStatus {
    /// The generation that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`, `ResolvedRefs`, `Programmed`, and `LedgerReachable`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// How it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<BudgetPhase>,
    /// Each limit in its window of now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub limits: Vec<BudgetLimitStatus>,
    /// How much may be gone of each limit at most, for a ledger that has lost its memory. Do not edit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["limit", "start"]))]
    pub checkpoints: Vec<BudgetCheckpoint>,
    /// The thresholds that were reached in the windows of now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["limit", "start", "threshold"]))]
    pub alerts: Vec<BudgetAlert>,
    /// What `kubectl get` prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<BudgetSummary>,
}

/// How a Budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum BudgetPhase {
    /// Calls find what they need.
    Active,
    /// One of the thresholds is reached.
    Warning,
    /// Nothing is left of a limit; of money and tokens half a percent counts as nothing, for no call may
    /// fit in.
    Exceeded,
    /// The ledger can't be reached.
    Degraded,
}

/// One limit in its window of now. Amounts are in its unit: USD as in "12.50", tokens or requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetLimitStatus {
    /// Its window and unit, such as `daily-usd`.
    pub name: String,
    /// The first instant of the window. 1970 began then where there is only one: of `Total` and `Rolling`.
    pub start: Time,
    /// The first instant behind it. None: it never ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Time>,
    /// What may be spent; with `per`, by each value.
    pub limit: String,
    /// What is spent, as far as the proxies have told, and what nobody has claimed half a minute after the
    /// ledger has lost its memory.
    pub spent: String,
    /// What proxies hold for calls to come, and what may be gone that nobody has told of yet.
    pub reserved: String,
    /// The limit less both.
    pub remaining: String,
    /// When nothing will be left at the pace of the last hour, if that is before its end; of a rolling
    /// limit, if that is within its duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exhausted_at: Option<Time>,
    /// What was spent when. None: nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<BudgetHistory>,
    /// With `per`: how many values there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<i32>,
    /// With `per`: those that have spent most. The figures above are of the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["value"]))]
    pub top_values: Vec<BudgetValueStatus>,
}

/// What was spent of a limit when, as the operator saw it: in up to 24 parts of its window, which are as
/// long as each other; of one that never ends, in the last 24 hours; of a rolling one, what still counts. With
/// `per`, it is what `spent` has grown by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetHistory {
    /// The first instant of the first part.
    pub start: Time,
    /// How long a part is.
    pub step_seconds: i64,
    /// What was spent before the first part.
    pub earlier: String,
    /// What was spent in each part, the oldest first. In those after the last one nothing was.
    #[schemars(length(max = 24))]
    pub spent: Vec<String>,
}

/// What one value of `per` has spent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetValueStatus {
    /// The value, or the values joined by slashes.
    pub value: String,
    /// In the unit of the limit.
    pub spent: String,
}

/// How much may be gone of a limit in one window.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetCheckpoint {
    /// The limit, such as `daily-usd`.
    pub limit: String,
    /// The first instant of the window.
    pub start: Time,
    /// Which memory of the ledger it is of.
    pub epoch: i64,
    /// Which checkpoint of the limit it is; each later one has a higher number.
    pub revision: i64,
    /// So much may be gone at most: in nano-USD, tokens or requests. With `per`: of each value that is not
    /// listed.
    pub ceiling: i64,
    /// Whether the ledger never grants more than that, as it was told.
    pub strict: bool,
    /// With `per`: how many values have accounts of their own, as it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_values: Option<i64>,
    /// With `per`: values that may have spent more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["value"]))]
    pub values: Vec<BudgetValueCheckpoint>,
}

/// How much may be gone of a limit of one value of `per`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetValueCheckpoint {
    /// The value.
    pub value: String,
    /// Which checkpoint it is; each later one has a higher number.
    pub revision: i64,
    /// So much may be gone at most.
    pub ceiling: i64,
}

/// A threshold that was reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetAlert {
    /// The limit, such as `daily-usd`.
    pub limit: String,
    /// The first instant of the window. A rolling limit tells of each threshold once in each of the
    /// windows that it would have as a `Custom` one.
    pub start: Time,
    /// The share that was reached.
    pub threshold: String,
    /// When the operator saw it.
    pub at: Time,
    /// The limit, and what was spent of it then; in its unit.
    pub amount: String,
    pub spent: String,
    /// With `per`: the first value that reached it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Whether the webhook took it. None: the Budget has no webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookDelivery>,
    /// Why it has not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Whether a webhook took an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum WebhookDelivery {
    /// Not yet: it is tried again.
    Pending,
    Delivered,
}

/// What `kubectl get budgets` prints: of several limits, the one of which least is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetSummary {
    /// The limit, such as `$100.00/day`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// What is spent of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<String>,
    /// What proxies hold of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<String>,
    /// What is left of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<String>,
    /// When it begins anew; `rolling`: bit by bit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets: Option<String>,
    /// Every limit, with what is spent of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<String>,
    /// What becomes of calls that find nothing left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Proxies that hold the Budget, of those that should, as `2/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programmed: Option<String>,
}
