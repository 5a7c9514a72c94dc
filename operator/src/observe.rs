//! What there is: the sole reader of the cluster, giving owned values to the pure compile.

pub mod cluster;
mod defined;
pub mod entries;
pub mod environment;
pub mod files;
pub mod gateways;
pub mod issuer;
pub mod ledger;
pub mod offline;
mod readable;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use kube::Resource;
use llm_config::TokenKey;
use llm_crds::{AlertWebhook, Budget, LLMRoute, ProviderPool};

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

/// What is known of a Secret, or a ConfigMap, that something refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretState {
    Absent,
    /// The API server refuses to show it, or has not done so for long, and why.
    Unreadable(String),
    Present(BTreeMap<String, Vec<u8>>),
}

/// What is known of a pod that has a sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SidecarPod {
    /// Tells it from another of the same name.
    pub uid: String,
    pub labels: BTreeMap<String, String>,
}

/// Who may call at a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerSettings {
    /// Who shows a ServiceAccount token of our audience.
    pub service_account_tokens: bool,
    /// Who shows nothing.
    pub anonymous: bool,
    /// Secrets whose every value is a key, by the name of its caller.
    pub keys: Vec<ObjectName>,
    /// Who connects with a certificate that one of these authorities has signed.
    pub certificates: Vec<AuthoritySettings>,
}

/// Authorities of client certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritySettings {
    pub holder: Holder,
    pub name: ObjectName,
    /// The entry of it that holds them, as PEM text.
    pub key: String,
    /// The SPIFFE trust domain for which they sign.
    pub trust_domain: Option<String>,
    /// That domain is another cluster's.
    pub foreign: bool,
}

/// What a bundle of certificates may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    ConfigMap,
    Secret,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        })
    }
}

/// Who signs the tokens of ServiceAccounts, and by which keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issuer {
    pub name: String,
    pub keys: Vec<TokenKey>,
}

/// Where budgets are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LedgerSettings {
    /// Nowhere: each proxy would count for itself.
    #[default]
    Absent,
    /// In the one process that there is.
    Embedded,
    /// Where all proxies meet.
    Shared(llm_config::Ledger),
}

/// Whether these are the same objects by their specs: the API server counts the changes of a spec, and of nothing else.
fn same<K: Resource>(ours: &[Arc<K>], others: &[Arc<K>]) -> bool {
    let counted = |object: &K| object.meta().uid.is_some() && object.meta().generation.is_some();
    ours.len() == others.len()
        && ours.iter().zip(others).all(|(ours, other)| {
            let (mine, its) = (ours.meta(), other.meta());
            Arc::ptr_eq(ours, other)
                || counted(ours) && mine.uid == its.uid && mine.generation == its.generation
        })
}

/// All that compile looks at.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub routes: Vec<Arc<LLMRoute>>,
    pub pools: Vec<Arc<ProviderPool>>,
    pub budgets: Vec<Arc<Budget>>,
    /// Labels by namespace.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    pub secrets: BTreeMap<ObjectName, SecretState>,
    pub config_maps: BTreeMap<ObjectName, SecretState>,
    /// Gateways that this operator serves, each with who may call there. Where that is not said, anyone may
    /// and nobody is known.
    pub gateways: BTreeMap<String, Option<CallerSettings>>,
    /// Who signs the tokens of ServiceAccounts; `None` where the API server does not say.
    pub issuer: Option<Issuer>,
    /// The pods that have a sidecar.
    pub sidecars: BTreeMap<ObjectName, SidecarPod>,
    pub ledger: LedgerSettings,
    /// The operator's own namespace, whose budgets count all calls. Where there is none, all budgets do.
    pub home: Option<String>,
}

impl Observed {
    /// Whether compile makes the same of both: statuses and notes may differ.
    #[must_use]
    pub fn compiles_like(&self, other: &Self) -> bool {
        let Self {
            routes,
            pools,
            budgets,
            namespaces,
            secrets,
            config_maps,
            gateways,
            issuer,
            sidecars,
            ledger,
            home,
        } = self;
        same(routes, &other.routes)
            && same(pools, &other.pools)
            && same(budgets, &other.budgets)
            && *namespaces == other.namespaces
            && *secrets == other.secrets
            && *config_maps == other.config_maps
            && *gateways == other.gateways
            && *issuer == other.issuer
            && *sidecars == other.sidecars
            && *ledger == other.ledger
            && *home == other.home
    }

    /// The Secrets that the pools, the budgets and the gateways refer to.
    #[must_use]
    pub fn wanted_secrets(&self) -> BTreeSet<ObjectName> {
        let mut wanted = self.wanted_authorities(Holder::Secret);
        wanted.extend(self.gateways.values().flatten().flat_map(|callers| callers.keys.clone()));
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
        for budget in &self.budgets {
            let namespace = ObjectName::of(budget.as_ref()).namespace;
            if let Some(AlertWebhook { url_secret_ref, signing_secret_ref }) = &budget.spec.alerts.webhook {
                for reference in [url_secret_ref, signing_secret_ref] {
                    wanted.insert(ObjectName::new(namespace.clone(), reference.name.clone()));
                }
            }
        }
        wanted
    }

    /// The ConfigMaps that the gateways refer to.
    #[must_use]
    pub fn wanted_config_maps(&self) -> BTreeSet<ObjectName> {
        self.wanted_authorities(Holder::ConfigMap)
    }

    fn wanted_authorities(&self, holder: Holder) -> BTreeSet<ObjectName> {
        let authorities = self.gateways.values().flatten().flat_map(|callers| &callers.certificates);
        authorities.filter(|one| one.holder == holder).map(|one| one.name.clone()).collect()
    }
}
