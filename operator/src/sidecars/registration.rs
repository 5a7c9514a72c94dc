//! The webhook's configuration: what makes it is the chart; which authority the API server trusts is
//! kept here, through every rotation, and set again when somebody takes it out.

use futures::StreamExt as _;
use k8s_openapi::{ByteString, api::admissionregistration::v1::MutatingWebhookConfiguration};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt as _, watcher::watch_object},
};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use super::{GATHER, RETRY};
use crate::FIELD_MANAGER;

/// The name of the configuration.
const NAME: &str = "llm-gateway-injector";

pub async fn keep(
    client: Client,
    mut bundle: watch::Receiver<Option<String>>,
    mut leading: watch::Receiver<bool>,
) {
    let api = Api::<MutatingWebhookConfiguration>::all(client);
    let mut events = std::pin::pin!(watch_object(api.clone(), NAME).default_backoff());
    let mut seen = None;
    loop {
        let leads = *leading.borrow_and_update();
        let trusted = bundle.borrow_and_update().clone().filter(|_| leads);
        let patch = seen.as_ref().zip(trusted).and_then(|(seen, trusted)| patch(seen, trusted));
        // Who undoes this at once is answered at this pace, not in a race.
        let pause = if patch.is_some() { RETRY } else { GATHER };
        if let Some(patch) = patch {
            match api.patch(NAME, &params(), &Patch::Json::<()>(patch)).await {
                Ok(patched) => {
                    tracing::info!("the webhook's configuration trusts the authority");
                    seen = Some(patched);
                }
                // It has changed or gone meanwhile: the watch brings what it is now.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => seen = None,
                Err(error) => {
                    tracing::warn!(%error, "can't write the webhook's configuration; it will be tried again");
                    sleep(pause).await;
                    continue;
                }
            }
        }
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(configuration)) => seen = configuration,
                Some(Err(error)) => tracing::warn!(%error, "can't watch the webhook's configuration"),
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
fn patch(seen: &MutatingWebhookConfiguration, bundle: String) -> Option<json_patch::Patch> {
    let bundle = ByteString(bundle.into_bytes());
    let webhooks = seen.webhooks.as_deref().unwrap_or_default();
    let outdated =
        webhooks.iter().enumerate().filter(|(_, w)| w.client_config.ca_bundle.as_ref() != Some(&bundle));
    let mut operations: Vec<Value> = outdated
        .map(|(index, _)| json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle}))
        .collect();
    if operations.is_empty() {
        return None;
    }
    let version = seen.metadata.resource_version.as_deref();
    operations.insert(0, json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}));
    serde_json::from_value(Value::Array(operations)).ok()
}
