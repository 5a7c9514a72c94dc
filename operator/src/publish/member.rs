//! What a proxy is part of, and what it alone should hold.

use std::sync::Arc;

use llm_config::{
    Callers, Workload,
    section::{CALLERS, SHARES, Section, Sections, Stamped},
};

use super::{Sidecar, Target, Targets, admit::PodIdentity, attached::ProxyName, digest};
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

    /// What is this proxy's alone, beside what its fleet holds; `None` before that is known.
    pub fn own(&self, targets: &Targets, target: &Target) -> Option<Sections> {
        let callers = self.callers(targets).map(|callers| (CALLERS, callers));
        let shares =
            if target.shared.is_empty() { None } else { Some((SHARES, self.shares(targets, target)?)) };
        let stamped = |(key, section): (&str, Section)| {
            (key.to_owned(), Stamped { digest: digest(&section), section: Arc::new(section) })
        };
        Some(callers.into_iter().chain(shares).map(stamped).collect())
    }

    /// Who calls at a sidecar: its pod.
    fn callers(&self, targets: &Targets) -> Option<Section> {
        let Self::Sidecar(identity) = self else { return None };
        let sidecar = identity.known(targets)?;
        let PodIdentity { pod, service_account, .. } = identity;
        Some(Section::Callers(Callers::Pod(Workload {
            namespace: pod.namespace.clone(),
            service_account: service_account.clone(),
            pod: pod.name.clone(),
            labels: sidecar.labels.clone(),
        })))
    }

    /// What it has of limits that all share.
    fn shares(&self, targets: &Targets, target: &Target) -> Option<Section> {
        let (roster, key) = (targets.roster.as_ref()?, self.name().key());
        let share = |pool: &String| (pool.clone(), roster.share(pool, &key));
        Some(Section::Shares(target.shared.iter().map(share).collect()))
    }
}
