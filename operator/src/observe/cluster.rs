//! The cluster as reflector stores: routes, pools and the labels of namespaces are watched whole, the
//! Secrets one by one. Whatever changes rings one bell.

use std::{collections::BTreeSet, fmt::Debug, hash::Hash, sync::Arc};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Resource,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        reflector::{self, Store},
        watcher,
    },
};
use llm_crds::{LLMRoute, ProviderPool};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use super::{Observed, secrets::SecretWatches};
use crate::metrics::Metrics;

/// The watches.
pub struct Cluster {
    routes: Store<LLMRoute>,
    pools: Store<ProviderPool>,
    namespaces: Store<PartialObjectMeta<Namespace>>,
    secrets: SecretWatches,
    gateways: BTreeSet<String>,
}

impl Cluster {
    /// Starts the watches and waits until they have seen all there is: an operator that starts must
    /// not take what it has not seen yet for deleted.
    pub async fn watch(
        client: &Client,
        gateways: BTreeSet<String>,
        changed: &Arc<Notify>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let routes = reflect(Api::<LLMRoute>::all(client.clone()), changed, metrics);
        let pools = reflect(Api::<ProviderPool>::all(client.clone()), changed, metrics);
        let namespaces = reflect(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), changed, metrics);
        let secrets = SecretWatches::new(client.clone(), changed.clone(), metrics.clone());
        // A store is ready once its first listing is in; the writer that could say otherwise lives on.
        let _ready =
            tokio::join!(routes.wait_until_ready(), pools.wait_until_ready(), namespaces.wait_until_ready());
        Self { routes, pools, namespaces, secrets, gateways }
    }

    /// What there is now, once every Secret that is wanted has been looked at.
    pub fn observe(&mut self) -> Option<Observed> {
        let mut observed = Observed {
            routes: self.routes.state(),
            pools: self.pools.state(),
            namespaces: self
                .namespaces
                .state()
                .iter()
                .filter_map(|namespace| {
                    let meta = &namespace.metadata;
                    Some((meta.name.clone()?, meta.labels.clone().unwrap_or_default()))
                })
                .collect(),
            gateways: self.gateways.clone(),
            ..Observed::default()
        };
        observed.secrets = self.secrets.follow(&observed.wanted_secrets())?;
        Some(observed)
    }
}

/// A store that follows a kind.
pub fn reflect<K>(api: Api<K>, changed: &Arc<Notify>, metrics: &Arc<Metrics>) -> Store<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
{
    reflect_with(api, watcher::Config::default(), changed, metrics)
}

/// A store that follows the objects of a kind that `config` selects.
pub fn reflect_with<K>(
    api: Api<K>,
    config: watcher::Config,
    changed: &Arc<Notify>,
    metrics: &Arc<Metrics>,
) -> Store<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
{
    let (store, writer) = reflector::store();
    tokio::spawn(follow(watcher(api, config), writer, changed.clone(), metrics.clone()));
    store
}

async fn follow<K>(
    events: impl futures::Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
    writer: reflector::store::Writer<K>,
    changed: Arc<Notify>,
    metrics: Arc<Metrics>,
) where
    K: Resource + Clone + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
{
    let mut events = std::pin::pin!(events.default_backoff().reflect(writer));
    while let Some(event) = events.next().await {
        match event {
            // The pages of a listing change nothing until it is complete.
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Ok(_) => changed.notify_one(),
            Err(error) => {
                metrics.watch_errors.inc();
                tracing::warn!(kind = %K::kind(&K::DynamicType::default()), %error, "a watch broke; it will be opened again");
            }
        }
    }
}
