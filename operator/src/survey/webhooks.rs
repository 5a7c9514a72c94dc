//! The webhooks that are registered for the operator, and who would answer them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    admissionregistration::v1::{
        MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
    discovery::v1::EndpointSlice,
};
use kube::{Api, Client, api::ListParams, core::ObjectMeta};

use super::{Seen, installation::PART_OF, told};
use crate::{
    observe::ObjectName,
    webhook::registration::{INJECTOR, VALIDATOR},
};

/// One webhook of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Webhook {
    /// As `mutatingwebhookconfiguration/NAME`.
    pub configuration: String,
    pub name: String,
    /// PEM of whom the API server trusts; empty where the operator has filled in nothing.
    pub trusts: Vec<u8>,
    /// Whom it asks, and how many are there; none where it asks an address.
    pub service: Option<(ObjectName, usize)>,
    /// Whether what it would look at is refused while nobody answers.
    pub fails_closed: bool,
}

/// All of them.
pub async fn registered(client: &Client) -> Seen<Vec<Webhook>> {
    let everything = ListParams::default();
    let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone());
    let validating = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let (mutating, validating) = tokio::join!(mutating.list(&everything), validating.list(&everything));
    let mut found = Vec::new();
    for configuration in mutating.map_err(|error| told(&error))?.items {
        let webhooks = configuration.webhooks.into_iter().flatten();
        let parts = webhooks.map(|webhook| (webhook.name, webhook.client_config, webhook.failure_policy));
        found.extend(ours("mutating", &configuration.metadata, parts));
    }
    for configuration in validating.map_err(|error| told(&error))?.items {
        let webhooks = configuration.webhooks.into_iter().flatten();
        let parts = webhooks.map(|webhook| (webhook.name, webhook.client_config, webhook.failure_policy));
        found.extend(ours("validating", &configuration.metadata, parts));
    }
    let mut counted = BTreeMap::new();
    for (service, count) in found.iter_mut().filter_map(|webhook| webhook.service.as_mut()) {
        if !counted.contains_key(service) {
            counted.insert(service.clone(), endpoints(client, service).await?);
        }
        *count = counted[service];
    }
    Ok(found)
}

/// What both kinds of webhooks have: name, whom it asks, and what becomes of objects while nobody answers.
type Parts = (String, WebhookClientConfig, Option<String>);

/// The webhooks of a configuration that is the chart's or has the name that the operator looks for.
fn ours(kind: &str, configuration: &ObjectMeta, webhooks: impl Iterator<Item = Parts>) -> Vec<Webhook> {
    let (label, value) = PART_OF;
    let labelled = configuration.labels.as_ref().and_then(|labels| labels.get(label));
    let configured = configuration.name.clone().unwrap_or_default();
    if labelled.is_none_or(|labelled| labelled != value)
        && ![INJECTOR, VALIDATOR].contains(&configured.as_str())
    {
        return Vec::new();
    }
    let webhook = |(name, asks, policy): Parts| Webhook {
        configuration: format!("{kind}webhookconfiguration/{configured}"),
        name,
        trusts: asks.ca_bundle.map(|bundle| bundle.0).unwrap_or_default(),
        service: asks.service.map(|service| (ObjectName::new(service.namespace, service.name), 0)),
        fails_closed: policy.as_deref() != Some("Ignore"),
    };
    webhooks.map(webhook).collect()
}

/// How many pods behind a Service take calls.
async fn endpoints(client: &Client, service: &ObjectName) -> Seen<usize> {
    let api = Api::<EndpointSlice>::namespaced(client.clone(), &service.namespace);
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={}", service.name));
    let slices = api.list(&of_service).await.map_err(|error| told(&error))?;
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    // A dual-stack Service has a slice for each family, of the same pods.
    let ready = endpoints.filter(|endpoint| {
        endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false))
    });
    let pods: BTreeSet<String> = ready
        .map(|endpoint| {
            let pod = endpoint.target_ref.as_ref().and_then(|pod| pod.name.clone());
            pod.unwrap_or_else(|| endpoint.addresses.concat())
        })
        .collect();
    Ok(pods.len())
}
