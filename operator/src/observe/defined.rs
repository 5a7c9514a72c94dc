//! Whether the definition of a kind is there. Who deletes it deletes all its objects in one blow, and hardly means that
//! every call of the cluster fails: what proxies hold stays until it is back, with an object.

use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, CustomResourceExt, Resource,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt as _, watcher::watch_object},
};
use tokio::sync::Notify;

use crate::metrics::Metrics;

/// What is known of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Since when; for ever, where nobody may say.
    There(Timestamp),
    Gone,
}

/// The watch of one, and what follows from it.
pub struct Defined {
    name: &'static str,
    state: Arc<Mutex<State>>,
    metrics: Arc<Metrics>,
    /// Whether there have been objects.
    used: bool,
    lost: bool,
}

impl Defined {
    pub fn watch<K: CustomResourceExt>(
        client: &Client,
        changed: &Arc<Notify>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let state = Arc::new(Mutex::new(State::There(Timestamp::MIN)));
        let name = K::crd_name();
        tokio::spawn(follow(client.clone(), name, state.clone(), changed.clone()));
        Self { name, state, metrics: metrics.clone(), used: false, lost: false }
    }

    /// Whether these objects are what somebody wants, be it none.
    pub fn vouches_for<K: Resource>(&mut self, objects: &[Arc<K>]) -> bool {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = match state {
            State::Gone => self.used,
            State::There(since) => {
                // Those of the definition before may not be known to be gone yet.
                let own = |object: &Arc<K>| {
                    object.meta().creation_timestamp.as_ref().is_some_and(|created| created.0 >= since)
                };
                let any = objects.iter().any(own);
                self.used |= any;
                self.lost && !any
            }
        };
        if lost != self.lost {
            self.lost = lost;
            self.metrics.definitions_lost.inc_by(if lost { 1 } else { -1 });
            if lost {
                tracing::error!(
                    definition = self.name,
                    "the definition is deleted, and all of its objects with it: proxies keep what they hold until it is applied again, with the objects"
                );
            } else {
                tracing::info!(definition = self.name, "the definition is back, with objects");
            }
        }
        !lost
    }
}

async fn follow(client: Client, name: &'static str, state: Arc<Mutex<State>>, changed: Arc<Notify>) {
    let api = Api::<PartialObjectMeta<CustomResourceDefinition>>::all(client);
    let mut events = std::pin::pin!(watch_object(api, name).default_backoff());
    while let Some(event) = events.next().await {
        let next = match event {
            Ok(Some(definition)) if definition.metadata.deletion_timestamp.is_none() => {
                let created = definition.metadata.creation_timestamp;
                State::There(created.map_or(Timestamp::MIN, |created| created.0))
            }
            Ok(_) => State::Gone,
            // That the API server is away, or does not show it, says nothing of it.
            Err(error) => {
                tracing::debug!(definition = name, %error, "can't look at a definition");
                continue;
            }
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state != next {
            *state = next;
            changed.notify_one();
        }
    }
}
