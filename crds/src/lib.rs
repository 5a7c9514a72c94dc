//! The kinds that a platform team applies: `llmgateway.dev/v1alpha1`.
//!
//! This crate is the contract with the person at the keyboard: schema, CEL rules, printer columns,
//! status and the closed list of conditions. It knows Kubernetes and knows no proxy; what a kind
//! *means* is decided where it is compiled. A field exists here only when the proxies enforce it.
//!
//! - [`LLMRoute`]: which models are served, and from which pools.
//! - [`ProviderPool`]: the providers behind a model, what they cost, and who may use them.
//! - [`Budget`]: what calls may spend, and what becomes of those that find nothing left.

mod budget;
mod condition;
mod model;
mod money;
mod provider_pool;
mod reference;
mod route;
mod schema;

pub use budget::{
    AlertWebhook, Budget, BudgetAlert, BudgetAlerts, BudgetCheckpoint, BudgetEnforcement, BudgetHistory,
    BudgetLimit, BudgetLimitStatus, BudgetPhase, BudgetScope, BudgetSpec, BudgetStatus, BudgetSummary,
    BudgetValueCheckpoint, BudgetValueStatus, BudgetWindow, Dimension, Downgrade, DowngradeBackend,
    ExceededAction, MetadataMatch, OnExceeded, OnLedgerUnavailable, WebhookDelivery,
};
pub use condition::{Condition, ConditionType, Reason, Verdict};
pub use model::{Capability, Model, Operation, Pricing, Tier};
pub use money::{DecimalError, nano_usd, unit_interval_ppm};
pub use provider_pool::{
    AllowedNamespaces, CircuitBreaker, Credentials, DEFAULT_ANTHROPIC_ENDPOINT, DEFAULT_GEMINI_ENDPOINT,
    DEFAULT_OPENAI_ENDPOINT, FromNamespaces, Header, HealthCheck, LimitScope, Limits, ModelHealth, Provider,
    ProviderHealth, ProviderKind, ProviderPool, ProviderPoolSpec, ProviderPoolStatus, ProviderPoolSummary,
    Queue, ResponsesApi, Retry, Simulated, Tls,
};
pub use reference::{PoolReference, RouteReference, SecretKeyReference};
pub use route::{
    AttachTo, Backend, CallerMatch, Complexity, Dialect, Fallback, HeaderMatch, Hedging, LLMRoute,
    LLMRouteSpec, LLMRouteStatus, LLMRouteSummary, Override, QueuePriority, RouteMatch, RouteRule, Sticky,
    StickyBy, Strategy, Timeouts,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;

/// The API group of every kind.
pub const GROUP: &str = "llmgateway.dev";
/// The version that is served and stored.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` as a manifest writes it.
pub const API_VERSION: &str = "llmgateway.dev/v1alpha1";

/// Every kind as the cluster is told of it.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut definitions = vec![LLMRoute::crd(), ProviderPool::crd(), Budget::crd()];
    definitions.iter_mut().for_each(unwrap_descriptions);
    definitions
}

/// The definitions as the files that `crds/generated` and the chart hold: name and YAML.
///
/// # Errors
/// Only when a definition can't be written as YAML, which the drift test would show.
pub fn files() -> Result<Vec<(String, String)>, serde_saphyr::ser::Error> {
    definitions()
        .into_iter()
        .map(|crd| {
            let file = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
            let header = "# Generated from the Rust types by `cargo run -p llm-crds`; do not edit.\n";
            Ok((file, format!("{header}{}", serde_saphyr::to_string(&crd)?)))
        })
        .collect()
}

/// `kubectl explain` wraps paragraphs itself: lines that the source broke would come out ragged.
fn unwrap_descriptions(crd: &mut CustomResourceDefinition) {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            unwrap_schema(schema);
        }
    }
}

fn unwrap_schema(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        let paragraphs = description.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *description = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
    if let Some(properties) = &mut schema.properties {
        properties.values_mut().for_each(unwrap_schema);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        unwrap_schema(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        unwrap_schema(values);
    }
}
