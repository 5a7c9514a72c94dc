//! `Budget`: what calls may spend, in money, tokens or requests, and what becomes of those that find nothing left.

mod scope;
mod status;

use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{PoolReference, SecretKeyReference, schema};

pub use scope::{BudgetScope, Dimension, MetadataMatch};
pub use status::{
    BudgetAlert, BudgetCheckpoint, BudgetHistory, BudgetLimitStatus, BudgetPhase, BudgetStatus,
    BudgetSummary, BudgetValueCheckpoint, BudgetValueStatus, WebhookDelivery,
};

/// What calls may spend.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "llmgateway.dev",
    version = "v1alpha1",
    kind = "Budget",
    namespaced,
    status = "BudgetStatus",
    derive = "PartialEq",
    shortname = "llmb",
    category = "llm",
    doc = "What calls may spend, on all proxies together: in USD, tokens or requests, by the hour, day, week or month, or in any stretch of time of some length. It counts the calls through LLMRoutes of its namespace, and those that its namespace makes; one in the operator's namespace counts all. A call must be within every Budget that counts it. A Budget that is deleted and made again begins anew.",
    printcolumn(
        name = "Limit",
        type_ = "string",
        json_path = ".status.summary.limit",
        description = "Of several limits, the one of which least is left."
    ),
    printcolumn(
        name = "Spent",
        type_ = "string",
        json_path = ".status.summary.spent",
        description = "What is spent of it, as far as the proxies have told."
    ),
    printcolumn(
        name = "Reserved",
        type_ = "string",
        json_path = ".status.summary.reserved",
        description = "What proxies hold of it for calls to come."
    ),
    printcolumn(
        name = "Remaining",
        type_ = "string",
        json_path = ".status.summary.remaining",
        description = "What is left of it, but for what is reserved."
    ),
    printcolumn(
        name = "Phase",
        type_ = "string",
        json_path = ".status.phase",
        description = "Active, Warning, Exceeded or Degraded."
    ),
    printcolumn(
        name = "Resets",
        type_ = "string",
        json_path = ".status.summary.resets",
        description = "When it begins anew; rolling: bit by bit."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "All",
        type_ = "string",
        json_path = ".status.summary.all",
        description = "Every limit, with what is spent of it.",
        priority = 1
    ),
    printcolumn(
        name = "Enforcement",
        type_ = "string",
        json_path = ".spec.enforcement",
        description = "How the limits are held.",
        priority = 1
    ),
    printcolumn(
        name = "Action",
        type_ = "string",
        json_path = ".status.summary.action",
        description = "What becomes of calls that find nothing left.",
        priority = 1
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.summary.programmed",
        description = "Proxies that hold the Budget, of those that should.",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.maxValues) || has(self.per)").message("maxValues counts the values of per: give per").field_path(".maxValues"),
    validation = Rule::new("self.limits.all(a, self.limits.filter(b, a.window == b.window && has(a.duration) == has(b.duration) && (!has(a.duration) || !has(b.duration) || duration(a.duration) == duration(b.duration)) && (has(a.usd) && has(b.usd) || has(a.tokens) && has(b.tokens) || has(a.requests) && has(b.requests))).size() <= 1)").message("two limits are of the same window and unit: keep the lower one").field_path(".limits"),
    validation = Rule::new("self.enforcement != 'Audit' || !has(self.onExceeded)").message("enforcement Audit refuses nothing: remove onExceeded, or enforce the limits").field_path(".onExceeded"),
    validation = Rule::new("!has(self.onLedgerUnavailable) || self.onLedgerUnavailable != 'Deny' || (self.enforcement != 'Audit' && (!has(self.onExceeded) || self.onExceeded.action != 'Warn'))").message("enforcement Audit and action Warn refuse nothing: remove onLedgerUnavailable, or enforce the limits").field_path(".onLedgerUnavailable")
)]
pub struct BudgetSpec {
    /// Which calls count: of each list that is given, one must fit. Default: all that the Budget's
    /// namespace may count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<BudgetScope>,
    /// Makes limits of their own for each distinct value: with `[User]` each user has them, with
    /// `[Project, User]` each user in each project. Calls that say nothing share one. `User`, `Project`
    /// and `Feature` are what calls say of themselves, by `x-llm-user`, `x-llm-project` and
    /// `x-llm-feature`; `Namespace` and `ServiceAccount` are who calls; `Route` is the LLMRoute that
    /// takes the call. Default: all calls share the limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 6), extend("x-kubernetes-list-type" = "set"))]
    pub per: Vec<Dimension>,
    /// So many values have limits of their own in each window: the first that come. All further ones
    /// share one more, as high as the others. Default: 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_values: Option<i32>,
    /// The limits. A call must be within all of them.
    #[schemars(length(min = 1, max = 16))]
    pub limits: Vec<BudgetLimit>,
    /// Where hours, days, weeks and months begin: a name of the IANA time zone database, such as
    /// `Europe/Berlin`. Days are as long as daylight saving makes them.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$"))]
    pub time_zone: String,
    /// How the limits are held. `Strict`: a call reserves the most that it can cost, so that a limit is
    /// never passed; one that names no maximum of output tokens gets one that the Budget can pay for.
    /// `Estimated`: a call reserves what it is expected to cost; the limits may be passed by what the
    /// calls in flight cost above that. `Audit`: calls are counted, and nothing is refused.
    #[serde(default)]
    #[schemars(default)]
    pub enforcement: BudgetEnforcement,
    /// What becomes of calls that find nothing left. Default: `action: Block`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exceeded: Option<OnExceeded>,
    /// What becomes of calls while the ledger, where proxies meet, is away and what the proxy holds is
    /// spent. `Deny`: they are refused. `Allow`: they pass, and are counted when it is back; until then a
    /// limit may be passed. Default: `Deny`; `Allow` for `enforcement: Audit` and `action: Warn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_ledger_unavailable: Option<OnLedgerUnavailable>,
    /// Who is told when much of a limit is spent.
    #[serde(default)]
    #[schemars(default)]
    pub alerts: BudgetAlerts,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What may be spent in one window: of each unit that is given, so much.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.usd) || has(self.tokens) || has(self.requests)").message("give at least one of usd, tokens and requests"),
    validation = Rule::new("(self.window in ['Custom', 'Rolling']) == has(self.duration)").message("duration is given exactly when window is Custom or Rolling").field_path(".duration"),
    validation = Rule::new("!has(self.usd) || (double(self.usd) > 0.0 && double(self.usd) <= 9000000.0)").message("usd must be above 0, and at most 9000000").field_path(".usd")
)]
pub struct BudgetLimit {
    /// From when until when what is spent counts together. `Hourly`, `Daily`, `Weekly` (from Monday) and
    /// `Monthly` by the calendar of `timeZone`; `Custom`: windows of `duration`, one after the other;
    /// `Rolling`: any stretch of time of `duration`, wherever it begins; `Total`: one that never ends.
    pub window: BudgetWindow,
    /// How long a window is, with `window: Custom`, where they follow each other since 1970 began in
    /// `timeZone`, and with `window: Rolling`. There what is spent comes back bit by bit, as it was
    /// spent: after `duration`, and a twelfth of it at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "window_duration")]
    pub duration: Option<Duration>,
    /// USD, such as "100" or "0.50", by the prices of the pools. Calls of models without a price cost
    /// nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20), regex(pattern = r"^[0-9]{1,7}(\.[0-9]{1,9})?$"))]
    pub usd: Option<String>,
    /// Input and output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_000_000_000_000_000_i64))]
    pub tokens: Option<i64>,
    /// Calls that a provider has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_000_000_000_000_000_i64))]
    pub requests: Option<i64>,
}

/// A Go duration of whole seconds, from 1m to a year.
fn window_duration(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schema::duration(
        "duration(self) >= duration('1m') && duration(self) <= duration('8784h') && duration(self).getMilliseconds() % 1000 == 0",
        "must be whole seconds from 1m to 8784h, such as 6h",
    )
}

/// From when until when what is spent counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum BudgetWindow {
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Custom,
    Rolling,
    Total,
}

/// How the limits are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum BudgetEnforcement {
    #[default]
    Strict,
    Estimated,
    Audit,
}

/// What becomes of calls that find nothing left.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.action == 'Downgrade') == has(self.downgrade)").message("downgrade is given exactly when action is Downgrade").field_path(".downgrade"))]
pub struct OnExceeded {
    /// `Block`: they are refused, with the time when something comes back. `Warn`: they pass, are
    /// counted, and say so in the reply; a limit is then passed, whatever `enforcement` is. `Downgrade`:
    /// they are answered by cheaper models, and refused when there is nothing left for those either.
    pub action: ExceededAction,
    /// By which models, and from when on, with `action: Downgrade`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade: Option<Downgrade>,
}

/// What becomes of a call that finds nothing left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ExceededAction {
    Block,
    Warn,
    Downgrade,
}

/// Cheaper models that answer instead.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("double(self.from) > 0.0").message("from must be above 0: to answer all calls by other models, change the route").field_path(".from"))]
pub struct Downgrade {
    /// The share of a limit, above "0" and up to "1", from which on they answer. With "1" they would
    /// have nothing left to spend of a Budget that counts them too. Default: "0.9".
    #[serde(default = "downgrade_from")]
    #[schemars(length(max = 10), regex(pattern = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"))]
    pub from: String,
    /// The pools whose models answer: of the first that can, the cheapest.
    #[schemars(length(min = 1, max = 16))]
    pub backends: Vec<DowngradeBackend>,
}

fn downgrade_from() -> String {
    "0.9".to_owned()
}

/// A pool that answers instead, with some of its models or all of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DowngradeBackend {
    /// The ProviderPool.
    pub pool: PoolReference,
    /// Models of the pool that may answer, by the pool's names. Default: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 128)))]
    pub models: Vec<String>,
}

/// What becomes of calls while the ledger is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum OnLedgerUnavailable {
    Deny,
    Allow,
}

/// Who is told when much of a limit is spent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.thresholds.all(t, double(t) > 0.0)").message("thresholds must be above 0").field_path(".thresholds"),
    validation = Rule::new("self.thresholds.all(a, self.thresholds.exists_one(b, double(a) == double(b)))").message("two thresholds are the same").field_path(".thresholds"),
    validation = Rule::new("!has(self.webhook) || size(self.thresholds) > 0").message("a webhook is called at thresholds: give one").field_path(".webhook")
)]
pub struct BudgetAlerts {
    /// Shares of a limit, above "0" and up to "1": when so much is spent, one Event is raised, and the
    /// webhook called once, in each window. Default: "0.5", "0.75", "0.9" and "1.0"; `[]` for none.
    #[serde(default = "thresholds")]
    #[schemars(
        default = "thresholds",
        length(max = 8),
        inner(length(max = 10), regex(pattern = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"))
    )]
    pub thresholds: Vec<String>,
    /// Whom to call besides. It is called until it answers with a status of 2xx, so that the same alert
    /// may come twice: the header `Idempotency-Key` tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<AlertWebhook>,
}

impl Default for BudgetAlerts {
    fn default() -> Self {
        Self { thresholds: thresholds(), webhook: None }
    }
}

fn thresholds() -> Vec<String> {
    ["0.5", "0.75", "0.9", "1.0"].map(str::to_owned).into()
}

/// Whom to call when a threshold is reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertWebhook {
    /// Its URL, in a Secret of the Budget's namespace, for many such URLs are secret: `https://`, or
    /// `http://` for a receiver within the cluster, where what it is told can be read on its way.
    /// Link-local addresses, where clouds keep credentials, are not called.
    pub url_secret_ref: SecretKeyReference,
    /// The key by which calls are signed (HMAC with SHA-256), in a Secret of the Budget's namespace.
    pub signing_secret_ref: SecretKeyReference,
}
