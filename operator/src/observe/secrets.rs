//! The Secrets that pools refer to, each by a watch of its own: the operator never holds any other,
//! and RBAC may allow no more (a watch of one name needs only that `resourceNames`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt as _, watcher::watch_object},
};
use tokio::{sync::Notify, task::AbortHandle, time::Instant};

use super::{ObjectName, SecretState};
use crate::metrics::Metrics;

/// A Secret whose watch says nothing for so long is taken for absent.
const PATIENCE: Duration = Duration::from_secs(2);

/// The watches.
pub struct SecretWatches {
    client: Client,
    changed: Arc<Notify>,
    metrics: Arc<Metrics>,
    watched: BTreeMap<ObjectName, Watched>,
}

struct Watched {
    since: Instant,
    state: Arc<Mutex<Option<SecretState>>>,
    watch: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl SecretWatches {
    pub fn new(client: Client, changed: Arc<Notify>, metrics: Arc<Metrics>) -> Self {
        Self { client, changed, metrics, watched: BTreeMap::new() }
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
        let now = Instant::now();
        self.watched
            .iter()
            .map(|(name, watched)| {
                let state = watched.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let overdue = now >= watched.since + PATIENCE;
                state.or(overdue.then_some(SecretState::Absent)).map(|state| (name.clone(), state))
            })
            .collect()
    }

    fn watch(&self, name: &ObjectName) -> Watched {
        let state = Arc::new(Mutex::new(None));
        let api = Api::<Secret>::namespaced(self.client.clone(), &name.namespace);
        let events = watch_object(api, &name.name).default_backoff();
        let (known, changed, metrics) = (state.clone(), self.changed.clone(), self.metrics.clone());
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
                let next = match event {
                    None => return,
                    Some(Ok(None)) => SecretState::Absent,
                    Some(Ok(Some(secret))) => SecretState::Present(data(secret)),
                    Some(Err(error)) => {
                        metrics.watch_errors.inc();
                        // What has been read stays in force while the API server is away.
                        if matches!(
                            *known.lock().unwrap_or_else(PoisonError::into_inner),
                            Some(SecretState::Present(_))
                        ) {
                            continue;
                        }
                        SecretState::Unreadable(error.to_string())
                    }
                };
                let mut state = known.lock().unwrap_or_else(PoisonError::into_inner);
                if state.as_ref() != Some(&next) {
                    *state = Some(next);
                    changed.notify_one();
                }
            }
        });
        Watched { since: Instant::now(), state, watch: watch.abort_handle() }
    }
}

fn data(secret: Secret) -> BTreeMap<String, Vec<u8>> {
    secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect()
}
