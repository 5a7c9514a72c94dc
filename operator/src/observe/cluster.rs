//! The cluster as reflector stores: routes, pools, budgets and the labels of namespaces are watched whole, the
//! Secrets and ConfigMaps one by one. Whatever changes rings one bell.

use std::{fmt::Debug, hash::Hash, sync::Arc};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        reflector::{self, Store},
        watcher,
    },
};
use llm_crds::{Budget, LLMRoute, ProviderPool};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};

use super::{
    ObjectName, Observed, SidecarPod, defined::Defined, entries::EntryWatches, gateways::Gateways,
    issuer::IssuerWatch, ledger::reread::InForce, readable,
};
use crate::{inject::SIDECAR, metrics::Metrics};

/// What `kubectl apply` leaves: the whole object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The watches.
pub struct Cluster {
    routes: Store<LLMRoute>,
    pools: Store<ProviderPool>,
    budgets: Store<Budget>,
    namespaces: Store<PartialObjectMeta<Namespace>>,
    pods: Store<PartialObjectMeta<Pod>>,
    defined: [Defined; 3],
    secrets: EntryWatches<Secret>,
    config_maps: EntryWatches<ConfigMap>,
    issuer: IssuerWatch,
    settings: Settings,
}

/// What the platform team has set, which no watch tells.
#[derive(Clone, Debug)]
pub struct Settings {
    pub gateways: Gateways,
    /// Who changes it rings the bell.
    pub ledger: watch::Receiver<InForce>,
    /// The operator's own namespace.
    pub namespace: String,
}

impl Cluster {
    /// Starts the watches and waits until they have seen all there is: an operator that starts must
    /// not take what it has not seen yet for deleted.
    pub async fn watch(
        client: &Client,
        settings: Settings,
        changed: &Arc<Notify>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let routes = readable::reflect::<LLMRoute>(client, changed, metrics);
        let pools = readable::reflect::<ProviderPool>(client, changed, metrics);
        let budgets = readable::reflect::<Budget>(client, changed, metrics);
        let namespaces = reflect(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), changed, metrics);
        // Injection labels them, and no other pod's labels are read.
        let pods = reflect_with(
            Api::<PartialObjectMeta<Pod>>::all(client.clone()),
            watcher::Config::default().labels(&format!("{SIDECAR}=true")),
            changed,
            metrics,
        );
        let defined = [
            Defined::watch::<LLMRoute>(client, changed, metrics),
            Defined::watch::<ProviderPool>(client, changed, metrics),
            Defined::watch::<Budget>(client, changed, metrics),
        ];
        let issuer = IssuerWatch::start(client.clone(), changed.clone(), metrics.clone());
        let secrets = EntryWatches::new(client.clone(), changed.clone(), metrics.clone());
        let config_maps = EntryWatches::new(client.clone(), changed.clone(), metrics.clone());
        // A store is ready once its first listing is in; the writer that could say otherwise lives on.
        let _ready = tokio::join!(
            routes.wait_until_ready(),
            pools.wait_until_ready(),
            budgets.wait_until_ready(),
            namespaces.wait_until_ready(),
            pods.wait_until_ready()
        );
        Self { routes, pools, budgets, namespaces, pods, defined, secrets, config_maps, issuer, settings }
    }

    fn takes_tokens(&self) -> bool {
        self.settings.gateways.values().any(|gateway| gateway.callers.service_account_tokens)
    }

    /// What there is now, once every Secret that is wanted and the keys of tokens have been looked at. None, too, while a
    /// definition is gone: that there are no objects then is nobody's wish.
    pub fn observe(&mut self) -> Option<Observed> {
        let mut observed = Observed {
            routes: self.routes.state(),
            pools: self.pools.state(),
            budgets: self.budgets.state(),
            namespaces: self
                .namespaces
                .state()
                .iter()
                .filter_map(|namespace| {
                    let meta = &namespace.metadata;
                    Some((meta.name.clone()?, meta.labels.clone().unwrap_or_default()))
                })
                .collect(),
            gateways: self
                .settings
                .gateways
                .iter()
                .map(|(name, gateway)| (name.clone(), Some(gateway.callers.clone())))
                .collect(),
            issuer: if self.takes_tokens() { self.issuer.get()? } else { None },
            sidecars: self.pods.state().iter().map(|pod| sidecar(pod)).collect(),
            ledger: self.settings.ledger.borrow().settings.clone(),
            home: Some(self.settings.namespace.clone()),
            ..Observed::default()
        };
        let [routes, pools, budgets] = &mut self.defined;
        let vouched = [
            routes.vouches_for(&observed.routes),
            pools.vouches_for(&observed.pools),
            budgets.vouches_for(&observed.budgets),
        ];
        if vouched != [true; 3] {
            return None;
        }
        // Both are asked, so that both begin to look.
        let secrets = self.secrets.follow(&observed.wanted_secrets());
        let config_maps = self.config_maps.follow(&observed.wanted_config_maps());
        (observed.secrets, observed.config_maps) = (secrets?, config_maps?);
        Some(observed)
    }
}

fn sidecar(pod: &PartialObjectMeta<Pod>) -> (ObjectName, SidecarPod) {
    (ObjectName::of(pod), SidecarPod { uid: pod.uid().unwrap_or_default(), labels: pod.labels().clone() })
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

/// Keeps a store by what a watch tells, for as long as it is polled.
pub async fn follow<K>(
    events: impl futures::Stream<Item = watcher::Result<watcher::Event<K>>> + Send,
    writer: reflector::store::Writer<K>,
    changed: Arc<Notify>,
    metrics: Arc<Metrics>,
) where
    K: Resource + Clone + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
{
    // Who manages which field, and what others note, is nobody's business here, and most of an object's size.
    let events = events.default_backoff().modify(|object| {
        object.managed_fields_mut().clear();
        object.annotations_mut().remove(LAST_APPLIED);
    });
    let mut events = std::pin::pin!(events.reflect(writer));
    while let Some(event) = events.next().await {
        match event {
            // The pages of a listing change nothing until it is complete.
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Ok(_) => changed.notify_one(),
            Err(error) => {
                metrics.watch_errors.inc();
                let of = K::DynamicType::default();
                let kind = K::kind(&of);
                if is_expiry(&error) {
                    tracing::info!(%kind, %error, "the API server has forgotten where a watch was; all is listed anew");
                } else {
                    tracing::warn!(%kind, %error, "a watch broke; it will be opened again");
                }
            }
        }
    }
}

/// Whether a watch ended as all do in time: what came after its place is in no log any more.
fn is_expiry(error: &watcher::Error) -> bool {
    let (watcher::Error::WatchError(status) | watcher::Error::WatchStartFailed(kube::Error::Api(status))) =
        error
    else {
        return false;
    };
    status.code == 410
}
