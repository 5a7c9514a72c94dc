//! Which calls a Budget counts, and what tells them apart.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RouteReference;

/// Which calls count: of each list that is given, one must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.serviceAccounts) || has(self.namespaces)").message("serviceAccounts need namespaces: others may have some of the same names"))]
pub struct BudgetScope {
    /// Namespaces of the callers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
    /// ServiceAccounts of these namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 253)))]
    pub service_accounts: Vec<String>,
    /// LLMRoutes that take the calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64))]
    pub routes: Vec<RouteReference>,
    /// Models that answer, by the names that pools give them; a `*` stands for any text, such as
    /// `gpt-*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9*][A-Za-z0-9._:/@*-]*$")))]
    pub models: Vec<String>,
    /// Providers that answer: `PROVIDER` in any pool, `POOL/PROVIDER` in the Budget's namespace, or
    /// `NAMESPACE/POOL/PROVIDER`; a `*` stands for any text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"), inner(length(min = 1, max = 384), regex(pattern = r"^([a-z0-9*][-a-z0-9.*]*/){0,2}[a-z0-9*][-a-z0-9*]*$")))]
    pub providers: Vec<String>,
    /// What calls say of themselves: all that is given must be so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataMatch>,
}

/// What calls say of themselves, to the letter. Who can call can say anything: to hold somebody to a
/// limit, count by who calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.user) || has(self.project) || has(self.feature)").message("give at least one of user, project and feature"))]
pub struct MetadataMatch {
    /// By `x-llm-user`, or `user` in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub user: Option<String>,
    /// By `x-llm-project`, or `metadata.project` in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub project: Option<String>,
    /// By `x-llm-feature`, or `metadata.feature` in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub feature: Option<String>,
}

/// What tells calls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub enum Dimension {
    User,
    Project,
    Feature,
    Namespace,
    ServiceAccount,
    Route,
}
