//! The proxies that share limits, by names that no two of them have.

use std::{collections::BTreeMap, sync::PoisonError};

use super::{Attached, ProxyName};
use crate::{compile::fleet::Fleet, publish::Targets};

impl ProxyName {
    /// No other proxy has it, of whatever gateway or kind.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::OfGateway { gateway, proxy } => format!("gateway/{gateway}/{proxy}"),
            Self::Sidecar(pod) => format!("pod/{pod}"),
        }
    }
}

impl Attached {
    /// The keys of the proxies that share limits; they do so from when they come, whether they have answered or not.
    pub fn members(&self, targets: &Targets) -> BTreeMap<Fleet, Vec<String>> {
        let mut members = BTreeMap::<Fleet, Vec<String>>::new();
        let shares =
            |fleet: &Fleet| targets.fleets.get(fleet).is_some_and(|target| !target.shared.is_empty());
        if !targets.fleets.keys().any(shares) {
            return members;
        }
        let proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, proxy) in &proxies.by_name {
            if let Some(fleet) = proxy.fleet.as_ref().filter(|fleet| shares(fleet)) {
                members.entry(fleet.clone()).or_default().push(name.key());
            }
        }
        members
    }
}
