//! What sidecars need around them, kept by the leader: the authority's bundle in their namespaces, and a
//! word for each pod that should have one and has none.
//!
//! All replicas watch, so that who begins to lead knows all there is.

mod bundles;
pub mod missing;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{reflector::Store, watcher},
};
use tokio::sync::{Notify, watch};

use crate::{inject::INJECT, metrics::Metrics, observe::cluster::reflect_with, publish::Targets};
use bundles::Bundles;
use missing::Missing;

/// What happens within this is one look.
const GATHER: Duration = Duration::from_millis(50);
/// After a write that failed, and between two writes of the same object.
const RETRY: Duration = Duration::from_secs(1);

/// The watches.
pub struct Sidecars {
    /// The operator's own namespace: its pods need an operator to start, and have no sidecars.
    own: String,
    bundles: Bundles,
    /// `None` where no pod gets a sidecar any more; those that have one go on.
    asking: Option<Asking>,
    changed: Arc<Notify>,
}

/// Who asks for sidecars.
struct Asking {
    namespaces: Store<PartialObjectMeta<Namespace>>,
    missing: Missing,
}

impl Sidecars {
    /// `injecting`: new pods get sidecars too.
    pub fn watch(
        client: &Client,
        injecting: bool,
        namespace: &str,
        identity: &str,
        metrics: Arc<Metrics>,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        let bundles = Bundles::watch(client.clone(), &changed, &metrics);
        let asking = injecting.then(|| {
            let labelled = watcher::Config::default().labels(&format!("{INJECT}=true"));
            let namespaces = reflect_with(Api::all(client.clone()), labelled, &changed, &metrics);
            let missing = Missing::watch(client.clone(), namespace, identity, &changed, metrics);
            Asking { namespaces, missing }
        });
        Self { own: namespace.to_owned(), bundles, asking, changed }
    }

    /// Keeps all of it for as long as the operator runs; `targets` tells of the sidecars that there are.
    pub async fn keep(
        mut self,
        mut bundle: watch::Receiver<Option<String>>,
        mut targets: watch::Receiver<Option<Arc<Targets>>>,
        mut leading: watch::Receiver<bool>,
    ) {
        loop {
            let leads = *leading.borrow_and_update();
            let trusted = bundle.borrow_and_update().clone().filter(|_| leads);
            let labelled = self.asking.as_ref().map(|asking| asking.labelled(&self.own)).unwrap_or_default();
            let mut wanted = with_sidecars(targets.borrow_and_update().as_deref());
            // The operator's own is written with the rotation itself.
            wanted.remove(&self.own);
            wanted.extend(labelled.iter().cloned());
            // Pods wait for these; nobody waits for an Event.
            let written = match trusted {
                Some(trusted) => self.bundles.write(wanted, &trusted).await,
                None => true,
            };
            let told = match &mut self.asking {
                Some(asking) => asking.missing.look(&labelled, leads).await,
                None => true,
            };
            tokio::select! {
                () = self.changed.notified() => {}
                changed = leading.changed() => if changed.is_err() { return },
                changed = bundle.changed() => if changed.is_err() { return },
                changed = targets.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY), if !(told && written) => {}
            }
            tokio::time::sleep(GATHER).await;
        }
    }
}

impl Asking {
    /// The namespaces that ask, but for those that are going away, and the operator's own.
    fn labelled(&self, own: &str) -> BTreeSet<String> {
        let mut namespaces = self.namespaces.state();
        namespaces.retain(|namespace| namespace.metadata.deletion_timestamp.is_none());
        namespaces.iter().map(|namespace| namespace.name_any()).filter(|name| name != own).collect()
    }
}

/// The namespaces of the sidecars that there are.
fn with_sidecars(targets: Option<&Targets>) -> BTreeSet<String> {
    let pods = targets.into_iter().flat_map(|targets| targets.sidecars.keys());
    pods.map(|pod| pod.namespace.clone()).collect()
}
