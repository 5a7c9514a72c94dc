//! `ProviderPool`: providers, the models that they serve, what these cost, and who may use them.

mod status;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{SecretKeyReference, model::Model, schema};

pub use status::{ModelHealth, ProviderHealth, ProviderPoolStatus, ProviderPoolSummary};

/// Where kind `OpenAI` calls when no endpoint is given.
pub const DEFAULT_OPENAI_ENDPOINT: &str = "https://api.openai.com/v1";
/// Where kind `Anthropic` calls when no endpoint is given.
pub const DEFAULT_ANTHROPIC_ENDPOINT: &str = "https://api.anthropic.com/v1";
/// Where kind `Gemini` calls when no endpoint is given.
pub const DEFAULT_GEMINI_ENDPOINT: &str = "https://generativelanguage.googleapis.com/v1beta";

/// Providers that answer for a set of models.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[kube(
    group = "llmgateway.dev",
    version = "v1alpha1",
    kind = "ProviderPool",
    namespaced,
    status = "ProviderPoolStatus",
    derive = "PartialEq",
    shortname = "ppool",
    category = "llm",
    doc = "Providers that answer for a set of models: where they are, how to sign in, what each model costs, and which namespaces may route here.",
    printcolumn(
        name = "Providers",
        type_ = "string",
        json_path = ".status.summary.providers",
        description = "Providers of the pool."
    ),
    printcolumn(
        name = "Models",
        type_ = "string",
        json_path = ".status.summary.models",
        description = "Models that they serve."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.summary.ready",
        description = "Providers that can be called, of all."
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.summary.programmed",
        description = "Proxies that run the pool, of those that should.",
        priority = 1
    ),
    printcolumn(
        name = "Healthy",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Healthy\")].status",
        description = "Whether all providers take calls, as far as the proxies know.",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ProviderPoolSpec {
    /// Namespaces whose LLMRoutes may use this pool. Default: its own.
    #[serde(default)]
    #[schemars(default)]
    pub allowed_namespaces: AllowedNamespaces,
    /// The providers. Calls go to those of the lowest `priority` that serve the model, by `weight`;
    /// the next priority takes over when one fails.
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub providers: Vec<Provider>,
    /// When a model of a provider is left alone because it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// How often a call that failed is sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Asks each provider at an interval whether it is there, by a request that costs no tokens: its
    /// list of models, or its version. Calls tell as much where there are some; this tells it before
    /// the first of them waits, and tries a provider that was left alone. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
}

/// Requests that cost nothing, to see whether a provider answers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// The time between two, of each proxy. Default: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "check_interval")]
    pub interval: Option<Duration>,
}

/// A Go duration from 1s to 1h.
fn check_interval(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schema::duration(
        "duration(self) >= duration('1s') && duration(self) <= duration('1h')",
        "must be a duration from 1s to 1h, such as 30s",
    )
}

/// When a model of a provider is left alone because it fails.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// After so many failures in a row. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub failure_threshold: Option<i32>,
    /// When so many of 100 calls fail, of at least 20 within 10s. Default: 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub failure_percent: Option<i32>,
    /// How long. Then one call tries it again: when that goes well, all may. Default: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::positive_duration")]
    pub recovery_time: Option<Duration>,
}

/// How often a call that failed is sent again, before its first byte has reached the client. All
/// candidates are tried once before one is tried again; retries stay within the call's deadline, and
/// within a fifth of the calls of a provider, so that they don't multiply an outage.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Attempts in all for a call whose first choice is in this pool, the first one included. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub attempts: Option<i32>,
    /// The pause before the same candidate is tried again; it doubles each time, and varies so that
    /// callers don't come back all at once. A longer `Retry-After` of the provider counts. Default: 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::positive_duration")]
    pub backoff: Option<Duration>,
}

/// Who may route here.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.from == 'Selector') == has(self.selector)").message("selector is given exactly when from is Selector").field_path(".selector"))]
pub struct AllowedNamespaces {
    /// `Same`: the pool's own namespace. `All`: every namespace. `Selector`: namespaces whose labels
    /// match `selector`, and its own.
    #[serde(default)]
    #[schemars(default)]
    pub from: FromNamespaces,
    /// The labels of the namespaces, with `from: Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selector")]
    pub selector: Option<LabelSelector>,
}

/// Which namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum FromNamespaces {
    #[default]
    Same,
    All,
    Selector,
}

/// One provider: an account at a vendor, or a server of your own.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.kind == 'Simulated' || !has(self.simulated)").message("simulated is for kind Simulated").field_path(".simulated"),
    validation = Rule::new("self.kind != 'Simulated' || !has(self.endpoint)").message("kind Simulated calls no one: remove endpoint").field_path(".endpoint"),
    validation = Rule::new("self.kind != 'Simulated' || !has(self.credentials)").message("kind Simulated needs no key: remove credentials").field_path(".credentials"),
    validation = Rule::new("self.kind != 'Simulated' || !has(self.tls)").message("kind Simulated calls no one: remove tls").field_path(".tls"),
    validation = Rule::new("self.kind != 'Simulated' || !has(self.headers)").message("kind Simulated calls no one: remove headers").field_path(".headers"),
    validation = Rule::new("self.kind != 'Ollama' || has(self.endpoint)").message("kind Ollama has no default endpoint: give one, such as http://ollama.ai.svc:11434").field_path(".kind"),
    validation = Rule::new("!has(self.tls) || !has(self.endpoint) || self.endpoint.startsWith('https://')").message("tls needs an endpoint that starts with https://").field_path(".tls"),
    validation = Rule::new("self.kind == 'OpenAI' || !has(self.responsesApi)").message("responsesApi is for kind OpenAI").field_path(".responsesApi"),
    validation = Rule::new("self.kind != 'Anthropic' || self.models.all(m, !has(m.operations) || !m.operations.exists(o, o == 'Embeddings'))").message("kind Anthropic has no embeddings: remove Embeddings from operations").field_path(".models")
)]
pub struct Provider {
    /// The name within the pool: in logs, metrics and status.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// What the provider speaks; callers of any dialect reach it. `OpenAI`: the OpenAI API, by OpenAI
    /// or any compatible server, such as vLLM, Groq, Mistral or Azure's v1 endpoint. `Anthropic`,
    /// `Gemini`, `Ollama`: these APIs. `Simulated`: made-up answers by the proxy itself, to try things
    /// without a key.
    pub kind: ProviderKind,
    /// The base URL, up to what stands before `/chat/completions` (OpenAI), `/messages` (Anthropic),
    /// `/models` (Gemini) or `/api` (Ollama). Default for `OpenAI`: `https://api.openai.com/v1`; for
    /// `Anthropic`: `https://api.anthropic.com/v1`; for `Gemini`:
    /// `https://generativelanguage.googleapis.com/v1beta`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "endpoint_schema")]
    pub endpoint: Option<String>,
    /// How to sign in. Without it, calls carry no key. The key goes where the kind wants it: a bearer
    /// token for `OpenAI` and `Ollama`, `x-api-key` for `Anthropic`, `x-goog-api-key` for `Gemini`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Headers that each call carries besides, such as `OpenAI-Organization`. They are no place for
    /// secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<Header>,
    /// Whether the server has the Responses API. `Native`: calls of it pass through, and calls of all
    /// other APIs but chat completions are translated to it. `Translated`: all become chat
    /// completions. Default: `Native` for OpenAI's own endpoint and Azure's, else `Translated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responses_api: Option<ResponsesApi>,
    /// The failover tier: lower is tried first.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub priority: i32,
    /// The share of calls among the providers of the same priority.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub weight: i32,
    /// What it is asked at most, so that a quota is shared rather than hit: a call that finds
    /// no room goes to another provider, and where none has room it waits. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How to trust an `https` endpoint. Default: the system's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The models that it serves.
    #[schemars(length(min = 1, max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub models: Vec<Model>,
    /// How kind `Simulated` behaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<Simulated>,
}

fn default_weight() -> i32 {
    1
}

fn endpoint_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 2048,
        "x-kubernetes-validations": [{
            "rule": "(self.startsWith('http://') || self.startsWith('https://')) && isURL(self) && url(self).getHostname() != '' && !self.contains('?') && !self.contains('#') && !self.contains('@')",
            "message": "must be an http:// or https:// URL with a host, and without user, query or fragment",
        }],
    })
}

/// What a provider is asked at most.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// For whom the figures are. `Proxy`: for each proxy that uses the pool; with a quota of 1000 requests a minute and
    /// 4 proxies, give 250. `Cluster`: for all of them together, as the quota says it; each proxy has an equal part,
    /// whether it has calls or not. Where there are more proxies than the figure, the last have nothing. `queue` is
    /// each proxy's own all the same. Default: `Proxy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<LimitScope>,
    /// Requests at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub concurrent_requests: Option<i32>,
    /// Requests in any 60 seconds. A tenth of them may come at once; the others are spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub requests_per_minute: Option<i64>,
    /// Input and output tokens in any 60 seconds: at first as expected, then as the provider counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    pub tokens_per_minute: Option<i64>,
    /// The calls that wait for room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
}

/// For whom the limits of a provider are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum LimitScope {
    Proxy,
    Cluster,
}

/// Calls that wait for room at a provider, those of rules with a higher `queuePriority` first; one that others
/// may answer too waits for them as well. One that finds no place anywhere, or waits too long, is answered with 429
/// and `Retry-After`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// How many may wait in each proxy. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub size: Option<i32>,
    /// How long. Default: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::positive_duration")]
    pub timeout: Option<Duration>,
}

/// What a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ProviderKind {
    OpenAI,
    Anthropic,
    Gemini,
    Ollama,
    Simulated,
}

impl ProviderKind {
    /// Where it calls when no endpoint is given.
    #[must_use]
    pub fn default_endpoint(self) -> Option<&'static str> {
        match self {
            Self::OpenAI => Some(DEFAULT_OPENAI_ENDPOINT),
            Self::Anthropic => Some(DEFAULT_ANTHROPIC_ENDPOINT),
            Self::Gemini => Some(DEFAULT_GEMINI_ENDPOINT),
            Self::Ollama | Self::Simulated => None,
        }
    }
}

/// How calls of the Responses API reach a server of kind `OpenAI`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ResponsesApi {
    Native,
    Translated,
}

/// A header that each call carries.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(self.name.lowerAscii() in ['authorization', 'x-api-key', 'x-goog-api-key', 'host', 'content-type', 'content-length', 'content-encoding', 'accept-encoding', 'transfer-encoding', 'connection', 'te', 'upgrade', 'expect'])").message("this header is the gateway's own: a key goes into credentials").field_path(".name"))]
pub struct Header {
    /// The header's name.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9-]+$"))]
    pub name: String,
    /// The header's value.
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"))]
    pub value: String,
}

/// How to sign in to a provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The API key, in a Secret of the pool's namespace.
    pub secret_ref: SecretKeyReference,
}

/// How to trust an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// PEM certificates of the only authorities to trust for this provider, in a Secret of the
    /// pool's namespace.
    pub ca_secret_ref: SecretKeyReference,
}

/// How a simulated provider behaves.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Simulated {
    /// Time before the reply's headers, as a network and a queue would take. Default: 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::short_duration")]
    pub latency: Option<Duration>,
    /// Time from the headers to the first token. Default: 200ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::short_duration")]
    pub time_to_first_token: Option<Duration>,
    /// Tokens a second after the first. Default: 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub tokens_per_second: Option<i32>,
    /// The share of calls that fail, "0" to "1". A call that fails is tried once more, like any other.
    /// Default: "0".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), regex(pattern = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"))]
    pub error_rate: Option<String>,
    /// The status of calls that fail. Default: 503.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 400, max = 599))]
    pub error_status: Option<i32>,
    /// Makes answers and errors repeatable: the same seed and the same call give the same answer,
    /// and errors fall on the same calls, counted from when the configuration came into force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub seed: Option<i64>,
}
