//! The entries of Secrets and ConfigMaps that something refers to, each by a watch of its own: the operator never holds
//! any other, and RBAC may allow no more (a watch of one name needs only that `resourceNames`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    marker::PhantomData,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Client, Resource,
    api::ListParams,
    core::Status,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, watch_object},
    },
};
use serde::de::DeserializeOwned;
use tokio::{sync::Notify, task::AbortHandle, time::Instant};

use super::{ObjectName, SecretState};
use crate::metrics::Metrics;

/// How long everybody waits for an object that is named anew. Then who names it goes without:
/// one that the API server can't show must not hold up all others for ever.
const PATIENCE: Duration = Duration::from_secs(10);
/// A value that was read is given up only when the API server has refused it for so long: one that
/// starts refuses everybody until it has read its own roles. It is longer than the longest backoff.
const LASTING: Duration = Duration::from_secs(120);

/// An object that is nothing but entries.
pub trait Entries:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    fn entries(self) -> BTreeMap<String, Vec<u8>>;
}

impl Entries for Secret {
    fn entries(self) -> BTreeMap<String, Vec<u8>> {
        self.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()
    }
}

impl Entries for ConfigMap {
    fn entries(self) -> BTreeMap<String, Vec<u8>> {
        let binary = self.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        let text = self.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
        text.chain(binary).collect()
    }
}

/// The watches.
pub struct EntryWatches<K> {
    client: Client,
    changed: Arc<Notify>,
    metrics: Arc<Metrics>,
    watched: BTreeMap<ObjectName, Watched>,
    /// Whether all that was wanted has been known once.
    complete: bool,
    kind: PhantomData<K>,
}

struct Watched {
    since: Instant,
    known: Arc<Mutex<Known>>,
    watch: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// What one watch has told so far.
#[derive(Default)]
struct Known {
    state: Option<SecretState>,
    /// When the API server first and last refused it, in a row.
    refused: Option<(Instant, Instant)>,
    /// The last error, for as long as there was no answer.
    trouble: Option<String>,
}

impl Known {
    /// Takes what the watch says, and tells whether that changes the state. That the API server is
    /// away, hangs or has too much to do says nothing of the object.
    fn take<K: Entries>(&mut self, event: watcher::Result<Option<K>>) -> bool {
        let now = Instant::now();
        let next = match event {
            Ok(found) => {
                self.refused = None;
                found.map_or(SecretState::Absent, |found| SecretState::Present(found.entries()))
            }
            Err(error) => {
                self.trouble = Some(error.to_string());
                let Some(refused) = refusal(&error) else { return false };
                // A watch that goes on in silence is no event: it shows as a gap.
                let row = self.refused.filter(|(_, last)| now < *last + LASTING);
                let since = row.map_or(now, |(first, _)| first);
                self.refused = Some((since, now));
                if matches!(self.state, Some(SecretState::Present(_))) && now < since + LASTING {
                    return false;
                }
                refused
            }
        };
        let changes = self.state.as_ref() != Some(&next);
        self.state = Some(next);
        changes
    }
}

/// One look at a Secret that is not watched, by the rights of a watch; none where there was no answer.
pub async fn look(client: &Client, name: &ObjectName) -> Option<SecretState> {
    let api = Api::<Secret>::namespaced(client.clone(), &name.namespace);
    let named = ListParams::default().fields(&format!("metadata.name={}", name.name));
    match api.list(&named).await {
        Ok(mut found) => Some(
            found.items.pop().map_or(SecretState::Absent, |secret| SecretState::Present(secret.entries())),
        ),
        Err(kube::Error::Api(status)) => refused(&status),
        Err(_) => None,
    }
}

/// What an error says of the object, where it is an answer.
fn refusal(error: &watcher::Error) -> Option<SecretState> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => refused(status),
        _ => None,
    }
}

fn refused(status: &Status) -> Option<SecretState> {
    match status.code {
        403 => Some(SecretState::Unreadable(status.message.clone())),
        404 => Some(SecretState::Absent),
        _ => None,
    }
}

impl<K: Entries> EntryWatches<K> {
    pub fn new(client: Client, changed: Arc<Notify>, metrics: Arc<Metrics>) -> Self {
        Self { client, changed, metrics, watched: BTreeMap::new(), complete: false, kind: PhantomData }
    }

    /// Watches just these, and gives what is known of them; none while one is being looked at for
    /// the first time, which rings the bell when it is done.
    pub fn follow(&mut self, wanted: &BTreeSet<ObjectName>) -> Option<BTreeMap<ObjectName, SecretState>> {
        self.watched.retain(|name, _| wanted.contains(name));
        for name in wanted {
            if !self.watched.contains_key(name) {
                let watched = self.watch(name);
                self.watched.insert(name.clone(), watched);
            }
        }
        let mut states = BTreeMap::new();
        for (name, watched) in &self.watched {
            let known = watched.known.lock().unwrap_or_else(PoisonError::into_inner);
            let state = match &known.state {
                Some(state) => state.clone(),
                None if self.complete && watched.since.elapsed() >= PATIENCE => {
                    let trouble = known.trouble.as_deref().unwrap_or("the API server does not answer");
                    SecretState::Unreadable(format!("not known yet: {trouble}"))
                }
                None => return None,
            };
            states.insert(name.clone(), state);
        }
        self.complete = true;
        Some(states)
    }

    fn watch(&self, name: &ObjectName) -> Watched {
        let known = Arc::new(Mutex::new(Known::default()));
        let api = Api::<K>::namespaced(self.client.clone(), &name.namespace);
        let events = watch_object(api, &name.name).default_backoff();
        let (keep, changed, metrics) = (known.clone(), self.changed.clone(), self.metrics.clone());
        let name = name.clone();
        let watch = tokio::spawn(async move {
            let mut events = std::pin::pin!(events);
            // Rung once more in case nothing comes at all.
            let overdue = tokio::time::sleep(PATIENCE);
            tokio::pin!(overdue);
            let mut waiting = true;
            loop {
                let event = tokio::select! {
                    event = events.next() => event,
                    () = &mut overdue, if waiting => {
                        waiting = false;
                        changed.notify_one();
                        continue;
                    }
                };
                let Some(event) = event else { return };
                if let Err(error) = &event {
                    metrics.watch_errors.inc();
                    tracing::warn!(kind = %K::kind(&()), %name, %error, "can't look at an object; it will be tried again");
                }
                if keep.lock().unwrap_or_else(PoisonError::into_inner).take(event) {
                    changed.notify_one();
                }
            }
        });
        Watched { since: Instant::now(), known, watch: watch.abort_handle() }
    }
}

#[cfg(test)]
mod tests;
