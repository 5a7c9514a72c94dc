//! Which proxies hold the same: those of a gateway, and the sidecars of a namespace that the same routes select.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::observe::{ObjectName, Observed, SidecarPod};

/// Proxies that should hold the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Fleet {
    /// By name.
    Gateway(String),
    Sidecars {
        namespace: String,
        /// A digest of the names of the routes that select them.
        routes: String,
    },
}

impl Fleet {
    #[must_use]
    pub fn gateway(name: &str) -> Self {
        Self::Gateway(name.to_owned())
    }

    fn sidecars(namespace: &str, routes: &BTreeSet<ObjectName>) -> Self {
        let mut hash = Sha256::new();
        for route in routes {
            // A name holds no line end.
            hash.update(&route.name);
            hash.update("\n");
        }
        let routes = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self::Sidecars { namespace: namespace.to_owned(), routes }
    }
}

impl fmt::Display for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(name) => write!(f, "gateway/{name}"),
            Self::Sidecars { namespace, routes } => write!(f, "sidecars/{namespace}/{routes}"),
        }
    }
}

impl From<Fleet> for String {
    fn from(fleet: Fleet) -> Self {
        fleet.to_string()
    }
}

impl TryFrom<String> for Fleet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            ["gateway", name] => Ok(Self::gateway(name)),
            ["sidecars", namespace, routes] => {
                Ok(Self::Sidecars { namespace: namespace.to_owned(), routes: routes.to_owned() })
            }
            _ => Err(format!("`{text}` is no fleet")),
        }
    }
}

/// As a sentence names them: `gateway default, edge and sidecars of namespace shop`.
#[must_use]
pub fn listed(fleets: &BTreeSet<Fleet>) -> String {
    let gateways: Vec<&str> = fleets
        .iter()
        .filter_map(|fleet| match fleet {
            Fleet::Gateway(name) => Some(name.as_str()),
            Fleet::Sidecars { .. } => None,
        })
        .collect();
    let namespaces: BTreeSet<&str> = fleets
        .iter()
        .filter_map(|fleet| match fleet {
            Fleet::Sidecars { namespace, .. } => Some(namespace.as_str()),
            Fleet::Gateway(_) => None,
        })
        .collect();
    let mut parts = Vec::new();
    if !gateways.is_empty() {
        parts.push(format!("gateway {}", gateways.join(", ")));
    }
    if !namespaces.is_empty() {
        let namespaces: Vec<&str> = namespaces.into_iter().collect();
        parts.push(format!("sidecars of namespace {}", namespaces.join(", ")));
    }
    parts.join(" and ")
}

/// The sidecars that there are, each in its fleet, and the fleets with the routes that select them.
#[derive(Debug, Default)]
pub struct Sidecars {
    /// By pod.
    pub fleets: BTreeMap<ObjectName, Fleet>,
    pub routes: BTreeMap<Fleet, BTreeSet<ObjectName>>,
}

impl Sidecars {
    /// A route selects pods of its own namespace, and no others: who may write routes there may send its
    /// pods' calls where they like, and nobody else's.
    pub fn of(observed: &Observed) -> Self {
        let mut selectors: BTreeMap<&str, Vec<(ObjectName, Selector)>> = BTreeMap::new();
        for route in &observed.routes {
            let name = ObjectName::of(route.as_ref());
            let selector = route.spec.attach_to.pod_selector.clone();
            if let (Some(selector), Some(namespace)) = (selector.and_then(read), &route.metadata.namespace) {
                selectors.entry(namespace).or_default().push((name, selector));
            }
        }
        let mut found = Self::default();
        for (pod, SidecarPod { labels, .. }) in &observed.sidecars {
            let selectors = selectors.get(pod.namespace.as_str()).into_iter().flatten();
            let routes = selectors.filter(|(_, selector)| selector.matches(labels));
            let routes: BTreeSet<ObjectName> = routes.map(|(name, _)| name.clone()).collect();
            let fleet = Fleet::sidecars(&pod.namespace, &routes);
            found.fleets.insert(pod.clone(), fleet.clone());
            found.routes.entry(fleet).or_insert(routes);
        }
        found
    }
}

/// The schema admits no selector that can't be read; one that came by another way must not select all.
fn read(selector: LabelSelector) -> Option<Selector> {
    Selector::try_from(selector).ok()
}

/// Whether a selector is there and matches labels that are there.
pub fn matches(selector: Option<&LabelSelector>, labels: Option<&BTreeMap<String, String>>) -> bool {
    let (Some(selector), Some(labels)) = (selector, labels) else { return false };
    read(selector.clone()).is_some_and(|selector| selector.matches(labels))
}
