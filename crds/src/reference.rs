//! Typed references to other objects, so that a reference to the wrong kind does not compile.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A ProviderPool, in the namespace of the object that refers to it unless another is named.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolReference {
    /// The name of the ProviderPool.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The namespace of the ProviderPool. Default: the namespace of this object. Another namespace
    /// needs that pool's `allowedNamespaces` to admit this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// An LLMRoute, in the namespace of the object that refers to it unless another is named.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteReference {
    /// The name of the LLMRoute.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The namespace of the LLMRoute. Default: the namespace of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// One key of a Secret in the namespace of the object that refers to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyReference {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key within the Secret's data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}
