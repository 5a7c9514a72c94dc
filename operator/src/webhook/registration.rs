//! The webhooks' configurations: what makes them is the chart; which authority the API server trusts is
//! kept here, through every rotation, and set again when somebody takes it out.

use std::{fmt::Debug, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::{
    ByteString, ClusterResourceScope,
    api::admissionregistration::v1::{
        MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt as _, watcher::watch_object},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use crate::FIELD_MANAGER;

/// What happens within this is one look.
const GATHER: Duration = Duration::from_millis(50);
/// After a write: who undoes it at once is answered at this pace, not in a race.
const RETRY: Duration = Duration::from_secs(1);

/// The name of the chart's configuration for pods.
pub const INJECTOR: &str = "llm-gateway-injector";
/// And for LLMRoutes, ProviderPools and Budgets.
pub const VALIDATOR: &str = "llm-gateway-validator";

/// A kind of configuration that lists webhooks.
trait Registration: Resource<DynamicType = (), Scope = ClusterResourceScope> {
    /// The name of the chart's.
    const NAME: &'static str;

    /// Where each webhook is called.
    fn clients(&self) -> Vec<&WebhookClientConfig>;
}

impl Registration for MutatingWebhookConfiguration {
    const NAME: &'static str = INJECTOR;

    fn clients(&self) -> Vec<&WebhookClientConfig> {
        self.webhooks.iter().flatten().map(|webhook| &webhook.client_config).collect()
    }
}

impl Registration for ValidatingWebhookConfiguration {
    const NAME: &'static str = VALIDATOR;

    fn clients(&self) -> Vec<&WebhookClientConfig> {
        self.webhooks.iter().flatten().map(|webhook| &webhook.client_config).collect()
    }
}

/// Keeps both for as long as the operator runs; one that is not there is not missed.
pub async fn keep(client: Client, bundle: watch::Receiver<Option<String>>, leading: watch::Receiver<bool>) {
    let injector = keep_one::<MutatingWebhookConfiguration>(client.clone(), bundle.clone(), leading.clone());
    tokio::join!(injector, keep_one::<ValidatingWebhookConfiguration>(client, bundle, leading));
}

async fn keep_one<K>(
    client: Client,
    mut bundle: watch::Receiver<Option<String>>,
    mut leading: watch::Receiver<bool>,
) where
    K: Registration + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api = Api::<K>::all(client);
    let mut events = std::pin::pin!(watch_object(api.clone(), K::NAME).default_backoff());
    let mut seen = None;
    loop {
        let leads = *leading.borrow_and_update();
        let trusted = bundle.borrow_and_update().clone().filter(|_| leads);
        let patch = seen.as_ref().zip(trusted).and_then(|(seen, trusted)| patch(seen, trusted));
        let pause = if patch.is_some() { RETRY } else { GATHER };
        if let Some(patch) = patch {
            match api.patch(K::NAME, &params(), &Patch::Json::<()>(patch)).await {
                Ok(patched) => {
                    tracing::info!(name = K::NAME, "the webhook's configuration trusts the authority");
                    seen = Some(patched);
                }
                // It has changed or gone meanwhile: the watch brings what it is now.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => seen = None,
                Err(error) => {
                    tracing::warn!(name = K::NAME, %error, "can't write the webhook's configuration; it will be tried again");
                    sleep(pause).await;
                    continue;
                }
            }
        }
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(configuration)) => seen = configuration,
                Some(Err(error)) => tracing::warn!(name = K::NAME, %error, "can't watch the webhook's configuration"),
                None => return,
            },
            changed = leading.changed() => if changed.is_err() { return },
            changed = bundle.changed() => if changed.is_err() { return },
        }
        sleep(pause).await;
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Sets the bundle where it is another, in what was seen and nothing later.
fn patch(seen: &impl Registration, bundle: String) -> Option<json_patch::Patch> {
    let bundle = ByteString(bundle.into_bytes());
    let clients = seen.clients().into_iter().enumerate();
    let outdated = clients.filter(|(_, client)| client.ca_bundle.as_ref() != Some(&bundle));
    let mut operations: Vec<Value> = outdated
        .map(|(index, _)| json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle}))
        .collect();
    if operations.is_empty() {
        return None;
    }
    let version = seen.meta().resource_version.as_deref();
    operations.insert(0, json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}));
    serde_json::from_value(Value::Array(operations)).ok()
}
