//! What the other replicas' proxies hold: proxies attach to any replica and the leader alone writes
//! status, so every follower leaves a summary in a ConfigMap of its own, on change and as a sign of
//! life. A summary whose ConfigMap has not changed for a while, on the leader's clock, is dropped.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
    runtime::{reflector::Store, watcher},
};
use serde_json::json;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};

use crate::{
    FIELD_MANAGER,
    metrics::Metrics,
    observe::cluster::reflect_with,
    publish::attached::{Attached, Summary},
};

const LABEL: &str = "llmgateway.dev/replica-summary";
const KEY: &str = "summary.json";
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// Without a sign for so long, a replica is gone.
const PATIENCE: Duration = Duration::from_secs(15);
/// Changes within this are one write.
const GATHER: Duration = Duration::from_millis(50);

/// Summaries by gateway.
pub type Summaries = BTreeMap<String, Summary>;

/// The summaries of all other replicas.
pub struct Replicas {
    store: Store<ConfigMap>,
    own: String,
    /// When each ConfigMap was last seen to change, by version.
    seen: Mutex<HashMap<String, (Option<String>, Instant)>>,
}

impl Replicas {
    pub fn watch(
        client: &Client,
        namespace: &str,
        identity: &str,
        changed: &Arc<Notify>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
        let store = reflect_with(api, watcher::Config::default().labels(LABEL), changed, metrics);
        Self { store, own: config_map_name(identity), seen: Mutex::default() }
    }

    /// What the living others say.
    pub fn summaries(&self) -> Vec<Summaries> {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let config_maps = self.store.state();
        seen.retain(|name, _| config_maps.iter().any(|config_map| config_map.name_any() == *name));
        config_maps
            .iter()
            .filter(|config_map| config_map.name_any() != self.own)
            .filter(|config_map| {
                let version = config_map.resource_version();
                let entry = seen.entry(config_map.name_any()).or_insert_with(|| (version.clone(), now));
                if entry.0 != version {
                    *entry = (version, now);
                }
                now.duration_since(entry.1) < PATIENCE
            })
            .filter_map(|config_map| serde_json::from_str(config_map.data.as_ref()?.get(KEY)?).ok())
            .collect()
    }
}

/// Leaves this replica's summary where the leader finds it; removes it when `stop` turns true.
pub async fn tell(
    client: Client,
    namespace: String,
    identity: String,
    attached: Arc<Attached>,
    mut leading: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
) {
    let api = Api::<ConfigMap>::namespaced(client, &namespace);
    let name = config_map_name(&identity);
    let mut changed = attached.subscribe();
    loop {
        // The leader reads its own from memory.
        if !*leading.borrow_and_update()
            && let Err(error) = write(&api, &name, &attached.summaries()).await
        {
            tracing::warn!(%error, "can't tell the leader what the proxies of this replica hold");
        }
        tokio::select! {
            _ = timeout(SIGN_OF_LIFE, changed.changed()) => {}
            _ = leading.changed() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        tokio::time::sleep(GATHER).await;
    }
    // Else it is dropped when its patience ends.
    let _gone = api.delete(&name, &DeleteParams::default()).await;
}

async fn write(api: &Api<ConfigMap>, name: &str, summaries: &Summaries) -> Result<(), kube::Error> {
    let text = serde_json::to_string(summaries).map_err(kube::Error::SerdeError)?;
    let config_map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "labels": {LABEL: "true"},
            // Changes though the summary stay: the sign of life.
            "annotations": {"llmgateway.dev/told-at": jiff::Timestamp::now().to_string()},
        },
        "data": {KEY: text},
    });
    api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&config_map)).await.map(drop)
}

/// An identity may hold what a name may not.
fn config_map_name(identity: &str) -> String {
    let safe: String =
        identity.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("llm-operator-{}", safe.trim_matches('-'))
}
