//! The authority's bundle as a ConfigMap in each namespace that asks for sidecars or has some: a pod
//! mounts only what is in its own. The kubelet starts no sidecar before it is there, so that it may come
//! a moment after the first pod. It stays where the last sidecar has gone: the next would wait for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::{reflector::Store, watcher},
};
use serde_json::json;
use tokio::{sync::Notify, time::Instant};

use super::RETRY;
use crate::{
    FIELD_MANAGER,
    certificates::{BUNDLE, CONFIG_MAP},
    metrics::Metrics,
    observe::cluster::reflect_with,
    report::takes_nothing_new,
};

/// Writes at once.
const WRITES: usize = 16;

pub struct Bundles {
    client: Client,
    config_maps: Store<ConfigMap>,
    /// When each was last written: two who fight over one don't do so in a race.
    written: BTreeMap<String, Instant>,
}

impl Bundles {
    pub fn watch(client: Client, changed: &Arc<Notify>, metrics: &Arc<Metrics>) -> Self {
        let named = watcher::Config::default().fields(&format!("metadata.name={CONFIG_MAP}"));
        let config_maps = reflect_with(Api::all(client.clone()), named, changed, metrics);
        Self { client, config_maps, written: BTreeMap::new() }
    }

    /// Writes the bundle in the namespaces where it is missing or another; whether all that had to be written is.
    pub async fn write(&mut self, mut wanted: BTreeSet<String>, bundle: &str) -> bool {
        for config_map in self.config_maps.state() {
            let data = config_map.data.as_ref().and_then(|data| data.get(BUNDLE));
            if data.is_some_and(|there| there == bundle) {
                config_map.namespace().map(|namespace| wanted.remove(&namespace));
            }
        }
        let count = wanted.len();
        self.written.retain(|_, at| at.elapsed() < RETRY);
        wanted.retain(|namespace| !self.written.contains_key(namespace));
        let mut all = wanted.len() == count;
        let (client, now) = (&self.client, Instant::now());
        self.written.extend(wanted.iter().map(|namespace| (namespace.clone(), now)));
        let mut results = futures::stream::iter(wanted)
            .map(|namespace| async move { (write(client, &namespace, bundle).await, namespace) })
            .buffer_unordered(WRITES);
        while let Some((result, namespace)) = results.next().await {
            match result {
                Ok(true) => tracing::info!(namespace, "the authority's bundle is there"),
                Ok(false) => tracing::debug!(namespace, "a namespace that ends takes no bundle"),
                Err(error) => {
                    tracing::warn!(namespace, %error, "can't write the authority's bundle; it will be tried again");
                    all = false;
                }
            }
        }
        all
    }
}

/// Whether it is there now; one that is going away, or gone, takes nothing new and needs nothing.
async fn write(client: &Client, namespace: &str, bundle: &str) -> Result<bool, kube::Error> {
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG_MAP}, "data": {BUNDLE: bundle},
    });
    match api.patch(CONFIG_MAP, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&config_map)).await
    {
        Err(error) if takes_nothing_new(&error) => Ok(false),
        written => written.map(|_| true),
    }
}
