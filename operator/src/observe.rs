//! What there is: the sole reader of the cluster, giving owned values to the pure compile.

pub mod cluster;
pub mod environment;
pub mod files;
pub mod offline;
pub mod secrets;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use llm_crds::{LLMRoute, ProviderPool};

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    pub namespace: String,
    pub name: String,
}

impl ObjectName {
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The name of an object that the API server, or a file, has given.
    #[must_use]
    pub fn of<K: kube::Resource>(object: &K) -> Self {
        let meta = object.meta();
        Self::new(meta.namespace.as_deref().unwrap_or("default"), meta.name.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What is known of a Secret that a pool refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretState {
    Absent,
    /// The API server refuses to show it, or has not done so for long, and why.
    Unreadable(String),
    Present(BTreeMap<String, Vec<u8>>),
}

/// All that compile looks at.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub routes: Vec<Arc<LLMRoute>>,
    pub pools: Vec<Arc<ProviderPool>>,
    /// Labels by namespace.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    pub secrets: BTreeMap<ObjectName, SecretState>,
    /// Gateways that this operator serves.
    pub gateways: BTreeSet<String>,
}

impl Observed {
    /// The Secrets that the pools refer to.
    #[must_use]
    pub fn wanted_secrets(&self) -> BTreeSet<ObjectName> {
        let mut wanted = BTreeSet::new();
        for pool in &self.pools {
            let namespace = ObjectName::of(pool.as_ref()).namespace;
            for provider in &pool.spec.providers {
                let key = provider.credentials.as_ref().map(|credentials| &credentials.secret_ref);
                let ca = provider.tls.as_ref().map(|tls| &tls.ca_secret_ref);
                for reference in [key, ca].into_iter().flatten() {
                    wanted.insert(ObjectName::new(namespace.clone(), reference.name.clone()));
                }
            }
        }
        wanted
    }
}
