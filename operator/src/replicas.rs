//! What the other replicas' proxies hold: proxies attach to any replica and the leader alone writes
//! status, so every follower leaves a summary in a ConfigMap of its own, on change and as a sign of
//! life. What the proxies say of breakers goes along with the next of these: a provider that fails
//! makes no writes. One that has given no sign for a while, on the clock of the one who watches, is not counted
//! any more, and the leader removes what it left.

mod fitted;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    runtime::{reflector::Store, watcher},
};
use serde_json::json;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout},
};

use fitted::Fitted;

use crate::{
    FIELD_MANAGER,
    metrics::Metrics,
    observe::cluster::reflect_with,
    publish::{
        Targets,
        attached::{Attached, Summaries},
    },
};

const LABEL: &str = "llmgateway.dev/replica-summary";
const KEY: &str = "summary.json";
/// Changes though the summary stay: the sign of life.
const TOLD_AT: &str = "llmgateway.dev/told-at";
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// Without a sign for so long, a replica is gone.
const PATIENCE: Duration = Duration::from_secs(15);
/// Changes within this are one write.
const GATHER: Duration = Duration::from_millis(50);
/// Between two writes: what a thousand proxies hold is long.
const PAUSE: Duration = Duration::from_secs(1);

/// The summaries of all other replicas.
pub struct Replicas {
    api: Api<ConfigMap>,
    store: Store<ConfigMap>,
    own: String,
    signs: Mutex<Signs>,
}

impl Replicas {
    pub fn watch(
        client: &Client,
        namespace: &str,
        identity: &str,
        changed: [Arc<Notify>; 2],
        metrics: &Arc<Metrics>,
    ) -> Self {
        let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
        let told = Arc::new(Notify::new());
        let store = reflect_with(api.clone(), watcher::Config::default().labels(LABEL), &told, metrics);
        tokio::spawn(async move {
            loop {
                told.notified().await;
                changed.iter().for_each(|changed| changed.notify_one());
            }
        });
        Self { api, store, own: config_map_name(identity), signs: Mutex::default() }
    }

    /// Notes who has given a sign. Followers do so too: who begins to lead has to know who is gone.
    pub fn look(&self) {
        let _told = self.told();
    }

    /// What the living others say.
    pub fn summaries(&self) -> Vec<Summaries> {
        let living = self.told().into_iter().filter(|(_, silence)| *silence < PATIENCE);
        living
            .filter_map(|(config_map, _)| serde_json::from_str(config_map.data.as_ref()?.get(KEY)?).ok())
            .collect()
    }

    /// Removes what those who are gone have left: nobody else would, and it would speak for them to
    /// each replica that starts.
    pub async fn sweep(&self) {
        for (config_map, silence) in self.told() {
            if silence < PATIENCE || config_map.metadata.deletion_timestamp.is_some() {
                continue;
            }
            let name = config_map.name_any();
            // A sign that comes meanwhile saves it.
            let preconditions =
                Preconditions { uid: config_map.uid(), resource_version: config_map.resource_version() };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            match self.api.delete(&name, &params).await {
                Ok(_) => tracing::info!(name, "removed the summary of a replica that is gone"),
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => {
                    tracing::warn!(name, %error, "can't remove the summary of a replica that is gone");
                }
            }
        }
    }

    /// The ConfigMaps of the others, each with how long it has been silent.
    fn told(&self) -> Vec<(Arc<ConfigMap>, Duration)> {
        let mut config_maps = self.store.state();
        config_maps.retain(|config_map| config_map.name_any() != self.own);
        let mut signs = self.signs.lock().unwrap_or_else(PoisonError::into_inner);
        let told = config_maps.iter().map(|config_map| {
            (config_map.name_any(), config_map.annotations().get(TOLD_AT).cloned().unwrap_or_default())
        });
        let silences = signs.silences(told.collect());
        config_maps.into_iter().zip(silences).collect()
    }
}

/// The last sign of each replica by name, and when it was first seen, on this replica's clock.
#[derive(Default)]
struct Signs(HashMap<String, (String, Instant)>);

impl Signs {
    /// Takes the signs that there are now, by name, and gives how long each has stayed as it is.
    fn silences(&mut self, told: Vec<(String, String)>) -> Vec<Duration> {
        let now = Instant::now();
        self.0.retain(|name, _| told.iter().any(|(known, _)| known == name));
        told.into_iter()
            .map(|(name, sign)| {
                let seen = self.0.entry(name).or_insert_with(|| (sign.clone(), now));
                if seen.0 != sign {
                    *seen = (sign, now);
                }
                now.duration_since(seen.1)
            })
            .collect()
    }
}

/// Leaves this replica's summary where the leader finds it; removes it when `stop` turns true.
pub async fn tell(
    client: Client,
    namespace: String,
    identity: String,
    attached: Arc<Attached>,
    mut targets: watch::Receiver<Option<Arc<Targets>>>,
    mut leading: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
) {
    let api = Api::<ConfigMap>::namespaced(client, &namespace);
    let name = config_map_name(&identity);
    let mut changed = attached.subscribe();
    // A replica of the same name may have told something in an earlier life.
    let mut told = true;
    let mut unsaid = 0;
    loop {
        let free = Instant::now() + PAUSE;
        if !*leading.borrow_and_update() {
            told = true;
            let targets = targets.borrow_and_update().clone();
            match write(&api, &name, summaries(&attached, targets.as_deref())).await {
                Ok(proxies) => {
                    if proxies > 0 && unsaid == 0 {
                        tracing::warn!(
                            proxies,
                            "the leader is not told what some proxies hold: it is too long"
                        );
                    }
                    unsaid = proxies;
                }
                Err(error) => {
                    tracing::warn!(%error, "can't tell the leader what the proxies of this replica hold");
                }
            }
        } else if told {
            // The leader reads its own from memory; what it told as a follower grows old.
            told =
                matches!(api.delete(&name, &DeleteParams::default()).await, Err(error) if !is_absent(&error));
        }
        tokio::select! {
            _ = timeout(SIGN_OF_LIFE, changed.changed()) => {}
            _ = leading.changed() => {}
            Ok(()) = targets.changed() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        tokio::select! {
            () = tokio::time::sleep_until(free.max(Instant::now() + GATHER)) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    // Else it is dropped when its patience ends.
    let _gone = api.delete(&name, &DeleteParams::default()).await;
}

/// Who share limits are named, and who of them has said goodbye: the leader has to know each of them.
fn summaries(attached: &Attached, targets: Option<&Targets>) -> Summaries {
    let mut summaries = attached.summaries();
    for (fleet, sharing) in targets.map(|targets| attached.members(targets)).into_iter().flatten() {
        let summary = summaries.entry(fleet).or_default();
        (summary.members, summary.left) = (sharing.members, sharing.left);
    }
    summaries
}

fn is_absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Gives of how many proxies it can't be said what they hold.
async fn write(api: &Api<ConfigMap>, name: &str, summaries: Summaries) -> Result<usize, kube::Error> {
    let Fitted { text, unsaid } = fitted::fitted(summaries).map_err(kube::Error::SerdeError)?;
    let config_map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "labels": {LABEL: "true"},
            "annotations": {TOLD_AT: jiff::Timestamp::now().to_string()},
        },
        "data": {KEY: text},
    });
    api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&config_map)).await?;
    Ok(unsaid)
}

/// An identity may hold what a name may not.
fn config_map_name(identity: &str) -> String {
    let safe: String =
        identity.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("llm-operator-{}", safe.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(signs: &mut Signs, now: &[(&str, &str)]) -> Vec<Duration> {
        signs.silences(now.iter().map(|(name, sign)| ((*name).to_owned(), (*sign).to_owned())).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_new_grows_silent_and_who_does_is_alive() {
        let mut signs = Signs::default();
        assert_eq!(told(&mut signs, &[("a", "1"), ("b", "1")]), [Duration::ZERO; 2]);
        tokio::time::advance(SIGN_OF_LIFE).await;
        assert_eq!(told(&mut signs, &[("a", "1"), ("b", "2")]), [SIGN_OF_LIFE, Duration::ZERO]);
        tokio::time::advance(PATIENCE).await;
        assert_eq!(told(&mut signs, &[("a", "1"), ("b", "2")]), [SIGN_OF_LIFE + PATIENCE, PATIENCE]);
        // Gone and back is a new life.
        assert_eq!(told(&mut signs, &[("b", "3")]), [Duration::ZERO]);
        assert_eq!(told(&mut signs, &[("a", "1")]), [Duration::ZERO]);
    }
}
