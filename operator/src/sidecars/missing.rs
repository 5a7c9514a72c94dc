//! Pods that should have a sidecar and have none: made while no operator answered, or before their label
//! was set. Each is told of by one Event, whoever leads; their number is a metric.
//!
//! The API server selects them: what is held here is what is wrong, and no other pod of the cluster.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        core::v1::{Namespace, ObjectReference, Pod},
        events::v1::Event,
    },
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, PostParams},
    core::{ObjectMeta, PartialObjectMeta},
    runtime::{
        reflector::{self, Store},
        watcher,
    },
};
use tokio::{sync::Notify, task::AbortHandle};

use crate::{
    FIELD_MANAGER,
    inject::{INJECT, MIRROR, NOT_INJECTED, SIDECAR},
    metrics::Metrics,
    observe::cluster::follow,
    report::takes_nothing_new,
};

const REASON: &str = "SidecarMissing";
/// Who asks by its own label: a pod, or a namespace.
const ASKING: &str = "llmgateway.dev/inject=true";
/// Pods that say nothing themselves.
const SILENT: &str = "llmgateway.dev/inject notin (true, false)";
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

type Metadata = PartialObjectMeta<Pod>;

pub struct Missing {
    client: Client,
    /// The operator's own namespace.
    own: String,
    identity: String,
    changed: Arc<Notify>,
    metrics: Arc<Metrics>,
    /// Those that ask by themselves.
    asking: Watched,
    /// Those of the namespaces that ask.
    namespaces: BTreeMap<String, Watched>,
    /// By UID, those that an Event has been raised for.
    told: HashSet<String>,
}

struct Watched {
    pods: Store<Metadata>,
    watch: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Missing {
    pub fn watch(
        client: Client,
        own: &str,
        identity: &str,
        changed: &Arc<Notify>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let asking = watched(Api::all(client.clone()), ASKING, changed, &metrics);
        let (namespaces, told) = Default::default();
        Self {
            client,
            own: own.to_owned(),
            identity: identity.to_owned(),
            changed: changed.clone(),
            metrics,
            asking,
            namespaces,
            told,
        }
    }

    /// Follows the namespaces that ask, counts, and, when it leads, tells; whether all has been told.
    pub async fn look(&mut self, labelled: &BTreeSet<String>, leads: bool) -> bool {
        self.namespaces.retain(|namespace, _| labelled.contains(namespace));
        for namespace in labelled {
            if !self.namespaces.contains_key(namespace) {
                let api = Api::namespaced(self.client.clone(), namespace);
                let watched = watched(api, SILENT, &self.changed, &self.metrics);
                self.namespaces.insert(namespace.clone(), watched);
            }
        }
        let watches = self.namespaces.values().chain([&self.asking]);
        let mut missing: Vec<Arc<Metadata>> = watches.flat_map(|watched| watched.pods.state()).collect();
        missing.retain(|pod| counts(pod, &self.own));
        self.metrics.pods_without_sidecar.set(i64::try_from(missing.len()).unwrap_or(i64::MAX));
        self.told.retain(|told| missing.iter().any(|pod| pod.metadata.uid.as_ref() == Some(told)));
        let mut all = true;
        for pod in missing.iter().filter(|_| leads) {
            let uid = pod.uid().unwrap_or_default();
            if self.told.contains(&uid) {
                continue;
            }
            match self.tell(pod, &uid).await {
                Ok(()) => drop(self.told.insert(uid)),
                Err(error) => {
                    tracing::warn!(%error, "can't raise an Event for a pod without a sidecar; it will be tried again");
                    all = false;
                }
            }
        }
        all
    }

    /// The name of the Event is the pod's UID: another leader does not tell it again.
    async fn tell(&self, pod: &Metadata, uid: &str) -> Result<(), kube::Error> {
        let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
        let whose =
            if pod.labels().contains_key(INJECT) { "its label" } else { "the label of its namespace" };
        let note = format!(
            "This pod has no sidecar, though {whose} `{INJECT}` asks for one: it was made while no operator answered, \
             or before the label was set. Delete it and its controller makes it anew; one without a controller has to \
             be created again."
        );
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("llm-sidecar-missing-{uid}")),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(Timestamp::now())),
            action: Some("Inject".to_owned()),
            reason: Some(REASON.to_owned()),
            type_: Some("Warning".to_owned()),
            note: Some(note),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.identity.clone()),
            regarding: Some(ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                uid: Some(uid.to_owned()),
                ..ObjectReference::default()
            }),
            ..Event::default()
        };
        match Api::<Event>::namespaced(self.client.clone(), &namespace)
            .create(&PostParams::default(), &event)
            .await
        {
            Ok(_) => {
                self.metrics.events.inc();
                tracing::warn!(namespace, name, "a pod that asks for a sidecar has none");
                Ok(())
            }
            // Told already, or the pod goes away with its namespace.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) if takes_nothing_new(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether a pod that is selected should have a sidecar; `own` is the operator's namespace.
fn counts(pod: &Metadata, own: &str) -> bool {
    let excused = [NOT_INJECTED, MIRROR].iter().any(|name| pod.annotations().contains_key(*name));
    let ours = pod.metadata.namespace.as_deref() == Some(own);
    !excused && !ours && pod.metadata.deletion_timestamp.is_none()
}

/// The same for who looks once: the pods without the sidecar that they or their namespaces ask for.
///
/// # Errors
/// Of the API server.
pub async fn look_once(client: &Client, own: &str) -> Result<Vec<Metadata>, kube::Error> {
    let params = |asking| ListParams::default().labels(&without_sidecar(asking)).fields(NOT_ENDED);
    let mut missing = Api::<Pod>::all(client.clone()).list_metadata(&params(ASKING)).await?.items;
    for namespace in asking_namespaces(client).await? {
        let api = Api::<Pod>::namespaced(client.clone(), &namespace);
        missing.extend(api.list_metadata(&params(SILENT)).await?.items);
    }
    missing.retain(|pod| counts(pod, own));
    Ok(missing)
}

/// The namespaces whose pods should have sidecars.
///
/// # Errors
/// Of the API server.
pub async fn asking_namespaces(client: &Client) -> Result<Vec<String>, kube::Error> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let asking = namespaces.list_metadata(&ListParams::default().labels(ASKING)).await?;
    Ok(asking.iter().map(|namespace| namespace.name_any()).collect())
}

fn without_sidecar(asking: &str) -> String {
    format!("{asking},{SIDECAR}!=true")
}

/// Those that `asking` selects, that have not ended and have no sidecar.
fn watched(api: Api<Metadata>, asking: &str, changed: &Arc<Notify>, metrics: &Arc<Metrics>) -> Watched {
    let config = watcher::Config::default().labels(&without_sidecar(asking)).fields(NOT_ENDED);
    let (pods, writer) = reflector::store();
    let watch = tokio::spawn(follow(watcher(api, config), writer, changed.clone(), metrics.clone()));
    Watched { pods, watch: watch.abort_handle() }
}
