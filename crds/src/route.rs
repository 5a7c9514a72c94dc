//! `LLMRoute`: which calls are taken on which gateways, and the pools that answer them.

mod matches;
mod status;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{PoolReference, schema};

pub use matches::{CallerMatch, Dialect, HeaderMatch, RouteMatch};
pub use status::{LLMRouteStatus, LLMRouteSummary};

/// Serves models to applications: a call that asks for one of the route's models is answered by
/// the backends of the rule that lists it.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "llmgateway.dev",
    version = "v1alpha1",
    kind = "LLMRoute",
    namespaced,
    status = "LLMRouteStatus",
    derive = "PartialEq",
    shortname = "llmr",
    category = "llm",
    doc = "Serves models to applications: a call that asks for one of the route's models is answered by the backends of the rule that lists it.",
    printcolumn(
        name = "Models",
        type_ = "string",
        json_path = ".status.summary.models",
        description = "Models that this route serves."
    ),
    printcolumn(
        name = "Pools",
        type_ = "string",
        json_path = ".status.summary.pools",
        description = "ProviderPools that answer for them."
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.summary.programmed",
        description = "Proxies that run this route, of those that should."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Refs",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"ResolvedRefs\")].reason",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct LLMRouteSpec {
    /// Where the route is served. Default: the gateway `default`.
    #[serde(default)]
    #[schemars(default)]
    pub attach_to: AttachTo,
    /// The rules, each with the calls that it takes and the backends that answer. A call that several
    /// rules match goes to the most specific: an exact name before a pattern, a longer pattern before a
    /// shorter one, then one for certain callers, then more headers, then a dialect, then a longer path; then the first in the list.
    /// A name or pattern belongs to one route of a gateway: the oldest that lists it.
    #[schemars(length(min = 1, max = 64))]
    pub rules: Vec<RouteRule>,
}

/// Where a route is served.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("size(self.gateways) > 0 || has(self.podSelector)").message("give at least one gateway, or a podSelector"))]
pub struct AttachTo {
    /// Names of gateways. Every proxy of these gateways serves the route. Default: `default`; `[]` for
    /// none.
    #[serde(default = "default_gateways")]
    #[schemars(default = "default_gateways", length(max = 16), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 63)))]
    pub gateways: Vec<String>,
    /// Pods of the route's own namespace whose sidecars serve the route; `{}` selects all of them. With it
    /// the sidecars get the credentials of the route's pools, in memory only. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selector")]
    pub pod_selector: Option<LabelSelector>,
}

impl Default for AttachTo {
    fn default() -> Self {
        Self { gateways: default_gateways(), pod_selector: None }
    }
}

fn default_gateways() -> Vec<String> {
    vec!["default".to_owned()]
}

/// The calls that it takes, and the backends that answer them.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.backends.exists(b, !has(b.weight) || b.weight > 0)").message("at least one backend needs a weight above 0, or no call can be answered"))]
pub struct RouteRule {
    /// Which calls the rule takes. A call is taken when any entry matches. Default: the calls for
    /// a model that a backend of the rule serves, by its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub matches: Vec<RouteMatch>,
    /// The pools that answer. `strategy` says which one does; when a call fails before the first byte
    /// has reached the client, the others are tried.
    #[schemars(length(min = 1, max = 16))]
    pub backends: Vec<Backend>,
    /// How a call finds its backend, its model and its provider, and in which order the others take
    /// over. `Weighted`: a backend by weight, of it the model that was asked for or else the first, of
    /// that the providers of the lowest priority, by weight. `Ordered`: as the rule lists them.
    /// `CostOptimized`, `LatencyOptimized`, `QualityOptimized`: the best by expected cost of the call,
    /// by expected time, or by the pool's `quality`; `Balanced`: by all three alike. These also count
    /// health, and among the providers of the lowest priority only.
    #[serde(default)]
    #[schemars(default)]
    pub strategy: Strategy,
    /// Whether others take over when the first choice fails.
    #[serde(default)]
    #[schemars(default)]
    pub fallback: Fallback,
    /// Keeps the choice among weights the same for all calls of one user, for a canary that a user
    /// should not flip in and out of. Default: each call draws anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// Sends calls by an alias, a name that no backend serves, to models of the `tier` that they are
    /// hard enough for: simple ones to `Economy`, medium ones to `Standard`, the others to `Premium`.
    /// Where no model of the tier can answer, the next better one does. How hard a call is, is
    /// estimated from its text, its tools and its form, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complexity: Option<Complexity>,
    /// What callers may choose for themselves, by header or in the body: `Strategy` (`x-llm-strategy`),
    /// `Providers` (`x-llm-prefer-providers`, `x-llm-exclude-providers`), `Capabilities`
    /// (`x-llm-require-capabilities`), `Cost` (`x-llm-max-cost-usd`), `Latency`
    /// (`x-llm-max-latency-ms`), `Fallback` (`x-llm-fallback`), `Cache` (`x-llm-cache`). Another wish is
    /// refused. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7), extend("x-kubernetes-list-type" = "set"))]
    pub client_overrides: Vec<Override>,
    /// Asks another candidate too when the first one is late, and takes the answer that comes first.
    /// The other is cancelled; what it has read is billed, and metered. Default: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedging: Option<Hedging>,
    /// Whose calls wait first where a provider has no room for more: see the `limits` of ProviderPool.
    #[serde(default)]
    #[schemars(default)]
    pub queue_priority: QueuePriority,
    /// How long a call may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// Up to where calls are simple, and up to where they are medium.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("double(self.simple) <= double(self.medium)").message("simple must be at most medium"))]
pub struct Complexity {
    /// Below it, a call is simple. Default: "0.3".
    #[serde(default = "simple")]
    #[schemars(length(max = 10), regex(pattern = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"))]
    pub simple: String,
    /// Below it, a call is medium. Default: "0.6".
    #[serde(default = "medium")]
    #[schemars(length(max = 10), regex(pattern = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"))]
    pub medium: String,
}

fn simple() -> String {
    "0.3".to_owned()
}

fn medium() -> String {
    "0.6".to_owned()
}

/// When another candidate is asked too: at most for a fifth of the calls.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hedging {
    /// How long the first one has to begin its answer. Default: as long as 95 of 100 of its answers
    /// took lately, and no hedging until there were some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::positive_duration")]
    pub delay: Option<Duration>,
}

/// A place among calls that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum QueuePriority {
    Low,
    #[default]
    Normal,
    High,
}

/// What a caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Override {
    Strategy,
    Providers,
    Capabilities,
    Cost,
    Latency,
    Fallback,
    Cache,
}

/// How a call finds who answers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Strategy {
    #[default]
    Weighted,
    Ordered,
    Balanced,
    CostOptimized,
    LatencyOptimized,
    QualityOptimized,
}

/// Whether others take over when the first choice fails.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// With `false`, only the first choice is tried, and retried.
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl Default for Fallback {
    fn default() -> Self {
        Self { enabled: true }
    }
}

fn yes() -> bool {
    true
}

/// Which calls make the same choice among weights.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sticky {
    /// `User`: the calls of one user, by the header `x-llm-user`. A call that names none draws.
    pub by: StickyBy,
}

/// What makes calls belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum StickyBy {
    User,
}

/// A pool that answers, with some of its models or all of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// The ProviderPool.
    pub pool: PoolReference,
    /// Models of the pool that may answer, by the pool's names. Default: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 128)))]
    pub models: Vec<String>,
    /// The share of calls, against the weights of the rule's other backends. 0 takes no calls.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: i32,
}

fn default_weight() -> i32 {
    1
}

/// How long a call may take.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// From the arrival of the call to its last byte, every attempt included. Default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::positive_duration")]
    pub request: Option<Duration>,
    /// From the start of an attempt to the first byte of its stream; then the next candidate is tried.
    /// Default: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::positive_duration")]
    pub first_token: Option<Duration>,
    /// From the start of an attempt to the end of a reply that is not streamed; then the next candidate
    /// is tried. Such a reply shows nothing until it is done, which may take a model that thinks
    /// minutes. Default: none, `request` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::positive_duration")]
    pub attempt: Option<Duration>,
    /// The longest silence of a provider in the middle of a stream. Default: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::positive_duration")]
    pub idle: Option<Duration>,
}
