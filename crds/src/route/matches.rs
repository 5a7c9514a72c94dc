//! Which calls a rule takes.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a call must look like to be taken by the rule: all that is given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.models) || has(self.callers) || has(self.headers) || has(self.dialects) || has(self.paths)").message("give at least one of models, callers, headers, dialects and paths"))]
pub struct RouteMatch {
    /// Model names that callers ask for; a `*` stands for any text, such as `gpt-*`. A backend that
    /// serves the name answers with that model. A backend with a list of `models` without the name
    /// stands in with those. A name that no backend serves is an alias: every backend stands in. Default: the
    /// models that the rule's backends serve, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9*][A-Za-z0-9._:/@*-]*$")))]
    pub models: Vec<String>,
    /// Who calls; any of these. A sidecar's caller is its pod; a gateway's shows a ServiceAccount token, a key of
    /// the gateway or a client certificate. What a call says of itself counts for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    pub callers: Vec<CallerMatch>,
    /// Headers that a call must carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Vec<HeaderMatch>,
    /// The APIs by which callers call; any of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub dialects: Vec<Dialect>,
    /// Paths that are called, such as `/v1/embeddings`, or what they are below, such as `/v1beta`; any
    /// of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 256), regex(pattern = r"^/[\x21-\x7e]*$")))]
    pub paths: Vec<String>,
}

/// A header that a call must carry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// The header's name; upper and lower case are the same.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9-]+$"))]
    pub name: String,
    /// The header's value, whole and to the letter. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub value: Option<String>,
}

/// Whose API a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Dialect {
    OpenAI,
    Anthropic,
    Gemini,
    Ollama,
}

/// Callers: of each list that is given, one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.namespaces) || has(self.labels) || has(self.keys) || has(self.certificates)").message("give at least one of namespaces, labels, keys and certificates"))]
#[x_kube(validation = Rule::new("!has(self.serviceAccounts) || has(self.namespaces)").message("serviceAccounts need namespaces: others may have some of the same names"))]
#[x_kube(validation = Rule::new("!(has(self.keys) || has(self.certificates)) || !(has(self.namespaces) || has(self.labels))").message("callers by keys or certificates have no namespace and no labels: give them an entry of their own"))]
#[x_kube(validation = Rule::new("!has(self.keys) || !has(self.certificates)").message("no caller is known by a key and a certificate: give each an entry of its own"))]
pub struct CallerMatch {
    /// Namespaces of the callers' ServiceAccounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
    /// ServiceAccounts of these namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 253)))]
    pub service_accounts: Vec<String>,
    /// Labels that the caller's pod carries, each with this value. They are known of pods with a sidecar;
    /// a caller at a gateway has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    pub labels: BTreeMap<String, String>,
    /// Names of callers in the keys of the gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 253)))]
    pub keys: Vec<String>,
    /// Callers that connect to the gateway by TLS with a certificate of one of its authorities, by the common name
    /// of its subject, or by its SPIFFE ID. A SPIFFE ID of the form `spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT` is
    /// that ServiceAccount, and is matched by `namespaces` and `serviceAccounts` instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 2048)))]
    pub certificates: Vec<String>,
}
