//! What a proxy is part of, and what it alone should hold.

use std::sync::Arc;

use llm_config::{
    Callers, Workload,
    section::{Section, Stamped},
};

use super::{Sidecar, Targets, admit::PodIdentity, attached::ProxyName, digest};
use crate::{compile::fleet::Fleet, observe::ObjectName};

impl PodIdentity {
    /// What is known of this very pod, and not of another that has its name.
    pub fn known<'a>(&self, targets: &'a Targets) -> Option<&'a Sidecar> {
        targets.sidecars.get(&self.pod).filter(|sidecar| sidecar.uid == self.uid)
    }
}

/// A proxy that may hold configuration.
pub enum Member {
    OfGateway { gateway: String, proxy: String },
    Sidecar(PodIdentity),
}

impl Member {
    pub fn name(&self) -> ProxyName {
        match self {
            Self::OfGateway { gateway, proxy } => {
                ProxyName::OfGateway { gateway: gateway.clone(), proxy: proxy.clone() }
            }
            Self::Sidecar(identity) => ProxyName::Sidecar(identity.pod.clone()),
        }
    }

    /// The pod, of a sidecar.
    pub fn pod(&self) -> Option<&ObjectName> {
        match self {
            Self::OfGateway { .. } => None,
            Self::Sidecar(identity) => Some(&identity.pod),
        }
    }

    /// What it is part of now: a pod's labels may change. `None` where that is not known.
    pub fn fleet(&self, targets: &Option<Arc<Targets>>) -> Option<Fleet> {
        match self {
            Self::OfGateway { gateway, .. } => Some(Fleet::gateway(gateway)),
            Self::Sidecar(identity) => Some(identity.known(targets.as_ref()?)?.fleet.clone()),
        }
    }

    /// Who calls at a sidecar: its pod.
    pub fn own(&self, targets: &Targets) -> Option<Stamped> {
        let Self::Sidecar(identity) = self else { return None };
        let sidecar = identity.known(targets)?;
        let PodIdentity { pod, service_account, .. } = identity;
        let section = Section::Callers(Callers::Pod(Workload {
            namespace: pod.namespace.clone(),
            service_account: service_account.clone(),
            pod: pod.name.clone(),
            labels: sidecar.labels.clone(),
        }));
        Some(Stamped { digest: digest(&section), section: Arc::new(section) })
    }
}
