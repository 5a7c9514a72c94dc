//! The writes themselves: a status by server-side apply, then the Events that go with it.

use std::{fmt::Debug, sync::Arc};

use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    core::object::HasStatus,
    runtime::events::{Event, Recorder},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::time::Instant;

use super::{Last, Written};
use crate::{FIELD_MANAGER, metrics::Metrics, observe::ObjectName};

/// Statuses written at once.
const WRITES: usize = 16;

/// A status to write.
pub struct Write<K: HasStatus> {
    pub object: Arc<K>,
    pub status: K::Status,
    pub events: Vec<Event>,
}

pub struct Writer<'a> {
    pub client: &'a Client,
    pub recorder: &'a Recorder,
    pub metrics: &'a Metrics,
}

impl Writer<'_> {
    /// Writes, keeps in `written` what was written, and says whether all was.
    pub async fn write_all<K>(&self, writes: Vec<Write<K>>, written: &mut Written<K::Status>) -> bool
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + HasStatus
            + Clone
            + Debug
            + DeserializeOwned,
        K::Status: Serialize,
    {
        let results: Vec<_> = futures::stream::iter(writes)
            .map(|write| async move { (self.write(&write).await, write) })
            .buffer_unordered(WRITES)
            .collect()
            .await;
        let mut all = true;
        for (result, write) in results {
            let name = ObjectName::of(write.object.as_ref());
            match result {
                Ok(()) => {
                    let uid = write.object.meta().uid.clone();
                    written.insert(name, Last { uid, status: write.status, at: Instant::now() });
                }
                Err(error) => {
                    self.metrics.status_errors.inc();
                    tracing::warn!(object = %name, kind = %K::kind(&()), %error, "can't write a status; it will be tried again");
                    all = false;
                }
            }
        }
        all
    }

    async fn write<K>(&self, write: &Write<K>) -> Result<(), kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + HasStatus
            + Clone
            + Debug
            + DeserializeOwned,
        K::Status: Serialize,
    {
        let ObjectName { namespace, name } = ObjectName::of(write.object.as_ref());
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": name},
            "status": write.status,
        });
        let api = Api::<K>::namespaced(self.client.clone(), &namespace);
        let params = PatchParams::apply(FIELD_MANAGER).force();
        match api.patch_status(&name, &params, &Patch::Apply(&patch)).await {
            Ok(_) => {}
            // Deleted meanwhile: there is nobody to tell.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(error),
        }
        self.metrics.status_writes.inc();
        for event in &write.events {
            match self.recorder.publish(event, &write.object.object_ref(&())).await {
                Ok(()) => drop(self.metrics.events.inc()),
                Err(error) if takes_nothing_new(&error) => {}
                Err(error) => {
                    tracing::warn!(object = %format!("{namespace}/{name}"), %error, "can't raise an Event");
                }
            }
        }
        Ok(())
    }
}

/// Whether something was refused because its namespace is going away, or has gone: nobody will look for it there.
pub fn takes_nothing_new(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 404 || causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}
