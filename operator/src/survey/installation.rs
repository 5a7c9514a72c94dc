//! Where the operator and the proxies of a cluster are, by the chart's labels and those that injection sets.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::Pod,
};
use kube::{Api, Client, ResourceExt as _, api::ListParams};

use super::{reach::Admin, told};
use crate::{inject::SIDECAR, observe::ObjectName};

/// Whatever the chart makes.
pub const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "llm-gateway");
const COMPONENT: &str = "app.kubernetes.io/component";
/// Where it is unless something says otherwise.
pub const DEFAULT_NAMESPACE: &str = "llm-gateway";
/// The names of the admin port in pods of ours: with its own Deployment, and beside others' containers.
const ADMIN_PORTS: [&str; 2] = ["admin", "llm-metrics"];

/// An operator in a cluster.
#[derive(Clone)]
pub struct Installation {
    pub client: Client,
    pub namespace: String,
}

impl Installation {
    /// The one in this namespace, or the only one that there is.
    ///
    /// # Errors
    /// Where there are several to choose from.
    pub async fn find(client: Client, namespace: Option<String>) -> Result<Self, String> {
        if let Some(namespace) = namespace {
            return Ok(Self { client, namespace });
        }
        let deployments = Api::<Deployment>::all(client.clone());
        let listed = deployments.list(&labelled("operator")).await;
        // Who may not look everywhere has one namespace in mind, mostly the default.
        let found: BTreeSet<String> = listed
            .map(|list| list.iter().filter_map(|found| found.namespace()).collect())
            .unwrap_or_default();
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(one), Some(other)) => {
                Err(format!("there are operators in namespaces {one} and {other}: say which by -n"))
            }
            (found, _) => {
                Ok(Self { client, namespace: found.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()) })
            }
        }
    }

    /// The operator's Deployment, where it has one.
    pub async fn deployment(&self) -> Result<Option<Deployment>, String> {
        let api = Api::<Deployment>::namespaced(self.client.clone(), &self.namespace);
        let list = api.list(&labelled("operator")).await.map_err(|error| told(&error))?;
        Ok(list.items.into_iter().next())
    }

    /// Whether the chart keeps a Redis of its own.
    pub async fn trial_ledger(&self) -> Result<bool, String> {
        let api = Api::<StatefulSet>::namespaced(self.client.clone(), &self.namespace);
        let list = api.list_metadata(&labelled("redis")).await.map_err(|error| told(&error))?;
        Ok(!list.items.is_empty())
    }

    pub async fn operators(&self) -> Result<Vec<Pod>, String> {
        let api = Api::<Pod>::namespaced(self.client.clone(), &self.namespace);
        running(&api, labelled("operator")).await
    }

    /// The pods of all gateways and sidecars.
    pub async fn proxies(&self) -> Result<Vec<Pod>, String> {
        let gateways = Api::<Pod>::namespaced(self.client.clone(), &self.namespace);
        let sidecars = Api::<Pod>::all(self.client.clone());
        let (gateways, sidecars) = tokio::join!(
            running(&gateways, labelled("gateway")),
            running(&sidecars, ListParams::default().labels(&format!("{SIDECAR}=true")))
        );
        let mut proxies = gateways?;
        proxies.extend(sidecars?);
        Ok(proxies)
    }

    /// The admin port of one proxy, by its pod: `namespace/name`, or its name where there is but one.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn proxy(&self, pod: &str) -> Result<Admin, String> {
        let found = match pod.split_once('/') {
            Some((namespace, name)) => {
                let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
                api.get_opt(name).await.map_err(|error| told(&error))?.into_iter().collect()
            }
            None => self.proxies_named(pod).await?,
        };
        match &found[..] {
            [] => Err(format!("there is no pod {pod} with a proxy; `kubectl llm proxies` lists them")),
            [pod] => admin(pod).ok_or_else(|| {
                format!("pod {} has no proxy, or none with an admin port", ObjectName::of(pod))
            }),
            several => {
                let names: Vec<String> = several.iter().map(|pod| ObjectName::of(pod).to_string()).collect();
                Err(format!("there are several: say which of {}", names.join(", ")))
            }
        }
    }

    async fn proxies_named(&self, name: &str) -> Result<Vec<Pod>, String> {
        let everywhere = Api::<Pod>::all(self.client.clone());
        let named = ListParams::default().fields(&format!("metadata.name={name}"));
        let mut found = everywhere.list(&named).await.map_err(|error| told(&error))?.items;
        found.retain(|pod| {
            let is = |label: &str, value: &str| pod.labels().get(label).is_some_and(|is| is == value);
            is(SIDECAR, "true") || (is(PART_OF.0, PART_OF.1) && is(COMPONENT, "gateway"))
        });
        Ok(found)
    }
}

fn labelled(component: &str) -> ListParams {
    ListParams::default().labels(&format!("{}={},{COMPONENT}={component}", PART_OF.0, PART_OF.1))
}

async fn running(api: &Api<Pod>, params: ListParams) -> Result<Vec<Pod>, String> {
    let params = params.fields("status.phase=Running");
    Ok(api.list(&params).await.map_err(|error| told(&error))?.items)
}

/// The admin port of a pod of ours.
#[must_use]
pub fn admin(pod: &Pod) -> Option<Admin> {
    let spec = pod.spec.as_ref()?;
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    let port = ports.find(|port| port.name.as_deref().is_some_and(|name| ADMIN_PORTS.contains(&name)))?;
    Some(Admin::Pod { pod: ObjectName::of(pod), port: port.container_port })
}

/// Whether a pod takes calls.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
