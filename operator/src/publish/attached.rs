//! The proxies that are attached to this replica, what each has acknowledged, and its breakers.

mod place;
pub mod listing;
pub mod members;
pub mod versions;

pub use place::Place;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use jiff::Timestamp;
use llm_config::stream::{MOST_OPEN, Open, bounded};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use super::Digests;
use crate::{
    compile::fleet::Fleet,
    metrics::{Attachment, Metrics},
    observe::ObjectName,
    shares::roster::Goodbye,
};
use members::Said;
use versions::{Kind, Versions};

/// Names and reasons that a summary carries, at most.
pub const TOLD: usize = 5;
/// A proxy that has just come holds nothing yet, and takes no calls: it is counted when it has answered, or is late.
/// Else each that comes would turn the status of all that it is to hold.
const COMING: Duration = Duration::from_secs(4);

/// Which proxy it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProxyName {
    /// By the name of its pod, or the one that it gives itself.
    OfGateway { gateway: String, proxy: String },
    /// By its pod.
    Sidecar(ObjectName),
}

impl ProxyName {
    fn kind(&self) -> Kind {
        match self {
            Self::OfGateway { .. } => Kind::Gateway,
            Self::Sidecar(_) => Kind::Sidecar,
        }
    }
}

impl fmt::Display for ProxyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfGateway { proxy, .. } => f.write_str(proxy),
            Self::Sidecar(pod) => write!(f, "{pod}"),
        }
    }
}

struct Proxy {
    /// What it is part of, once that is known.
    fleet: Option<Fleet>,
    /// Tells this connection from a later one of the same proxy.
    connection: u64,
    version: String,
    since: Timestamp,
    counted_as: Attachment,
    holds: Arc<Digests>,
    /// When was published what it has been asked for and has not answered.
    behind: Option<Timestamp>,
    /// When it came, until it has answered for the first time.
    came: Option<Instant>,
    refused: Option<Vec<String>>,
    /// Its breakers that are not closed.
    open: Vec<Open>,
    _replaced: oneshot::Sender<()>,
}

struct Proxies {
    /// Connections so far.
    connections: u64,
    by_name: BTreeMap<ProxyName, Proxy>,
    /// Of those that are gone, and of none that is here.
    goodbyes: BTreeMap<ProxyName, Said>,
    versions: Versions,
}

/// All of them.
pub struct Attached {
    proxies: Mutex<Proxies>,
    /// What proxies said they hold, each such state once: a thousand that come back name the same.
    known: Mutex<HashMap<u64, Weak<Digests>>>,
    changed: watch::Sender<()>,
    /// Apart, because breakers change on every proxy when a provider fails: who writes for each change of the other
    /// kind must not for these.
    breakers_changed: watch::Sender<()>,
    metrics: Arc<Metrics>,
}

/// What the proxies of a fleet hold, and whom they leave alone: those that hold the same are one
/// group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub groups: Vec<Group>,
    pub refusals: Vec<Refusal>,
    /// By provider and model.
    #[serde(default)]
    pub open: Vec<OpenOn>,
    /// Their keys, where they share limits with the proxies of other replicas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// What those of them said that are gone on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Goodbye>,
}

/// Summaries by fleet.
pub type Summaries = BTreeMap<Fleet, Summary>;

/// Proxies that hold the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    pub proxies: usize,
    /// Some of their names.
    pub names: Vec<String>,
    pub holds: Arc<Digests>,
}

/// A model of a provider that some proxies leave alone because it fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenOn {
    /// `namespace/pool/provider`.
    pub provider: String,
    pub model: String,
    pub proxies: usize,
    /// Of their errors the first by the alphabet: which it is must not change with who is asked first.
    pub error: String,
}

/// A proxy that goes on without the last update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    pub proxy: String,
    pub problems: Vec<String>,
}

impl Attached {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            proxies: Mutex::new(Proxies {
                connections: 0,
                by_name: BTreeMap::new(),
                goodbyes: BTreeMap::new(),
                versions: Versions::new(metrics.clone()),
            }),
            known: Mutex::default(),
            changed: watch::Sender::default(),
            breakers_changed: watch::Sender::default(),
            metrics,
        }
    }

    /// What a proxy says it holds, as the one allocation for all that say the same.
    pub fn shared(&self, holds: Digests) -> Arc<Digests> {
        let mut hasher = DefaultHasher::new();
        holds.hash(&mut hasher);
        let name = hasher.finish();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = known.get(&name).and_then(Weak::upgrade).filter(|known| **known == holds) {
            return same;
        }
        known.retain(|_, known| known.strong_count() > 0);
        let holds = Arc::new(holds);
        known.insert(name, Arc::downgrade(&holds));
        holds
    }

    /// Takes a proxy's place. The receiver ends when a later connection of the same proxy takes it.
    pub fn attach(
        self: &Arc<Self>,
        name: ProxyName,
        fleet: Option<Fleet>,
        version: String,
        holds: Arc<Digests>,
        open: Vec<Open>,
    ) -> (Place, oneshot::Receiver<()>) {
        let (replaced, until_replaced) = oneshot::channel();
        let mut proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        proxies.connections += 1;
        let connection = proxies.connections;
        let version = versions::readable(version);
        // One that only renews its stream has neither gone nor come.
        let before = proxies.by_name.remove(&name);
        proxies.goodbyes.remove(&name);
        if let Some(before) = &before {
            proxies.versions.leave(&before.counted_as);
        }
        let proxy = Proxy {
            fleet,
            connection,
            counted_as: proxies.versions.enter(name.kind(), &version),
            version,
            since: before.as_ref().map_or_else(Timestamp::now, |before| before.since),
            holds,
            behind: None,
            came: before.as_ref().map_or_else(|| Some(Instant::now()), |before| before.came),
            refused: before.and_then(|before| before.refused),
            open: bounded(open),
            _replaced: replaced,
        };
        proxies.by_name.insert(name.clone(), proxy);
        self.metrics.streams.set(i64::try_from(proxies.by_name.len()).unwrap_or(i64::MAX));
        self.changed.send_replace(());
        (Place { attached: self.clone(), name, connection }, until_replaced)
    }

    /// To be told of every change but those of breakers.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// To be told when breakers change.
    pub fn subscribe_to_breakers(&self) -> watch::Receiver<()> {
        self.breakers_changed.subscribe()
    }

    /// What the proxies hold and whom they leave alone.
    pub fn summaries(&self) -> Summaries {
        let proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut summaries = Summaries::new();
        let mut open: BTreeMap<&Fleet, Vec<OpenOn>> = BTreeMap::new();
        for (name, proxy) in &proxies.by_name {
            let Some(fleet) = &proxy.fleet else { continue };
            if proxy.came.is_some_and(|came| came.elapsed() < COMING) {
                continue;
            }
            let summary = summaries.entry(fleet.clone()).or_default();
            let groups = &mut summary.groups;
            // Those that hold the same hold one allocation, nearly always.
            let place = groups.iter().position(|group| Arc::ptr_eq(&group.holds, &proxy.holds));
            let place = place.or_else(|| groups.iter().position(|group| group.holds == proxy.holds));
            match place.and_then(|place| groups.get_mut(place)) {
                Some(group) => {
                    group.proxies += 1;
                    if group.names.len() < TOLD {
                        group.names.push(name.to_string());
                    }
                }
                None => groups.push(Group {
                    proxies: 1,
                    names: vec![name.to_string()],
                    holds: proxy.holds.clone(),
                }),
            }
            if let Some(problems) = &proxy.refused
                && summary.refusals.len() < TOLD
            {
                summary.refusals.push(Refusal { proxy: name.to_string(), problems: problems.clone() });
            }
            open.entry(fleet).or_default().extend(proxy.open.iter().map(OpenOn::one));
        }
        for (fleet, open) in open {
            let Some(summary) = summaries.get_mut(fleet) else { continue };
            summary.open = OpenOn::merged(open);
            summary.open.truncate(MOST_OPEN);
        }
        summaries
    }
}

impl OpenOn {
    fn one(open: &Open) -> Self {
        let Open { provider, model, error } = open.clone();
        Self { provider, model, proxies: 1, error }
    }

    /// One for each model, by provider and model.
    pub fn merged(mut all: Vec<Self>) -> Vec<Self> {
        all.sort_by(|a, b| (&a.provider, &a.model, &a.error).cmp(&(&b.provider, &b.model, &b.error)));
        all.dedup_by(|next, kept| {
            let same = next.provider == kept.provider && next.model == kept.model;
            if same {
                kept.proxies += next.proxies;
            }
            same
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(digest: &str) -> Digests {
        Digests::from([("route/ns/a".to_owned(), digest.to_owned())])
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_is_counted_when_it_has_answered_or_is_late() {
        let attached = Arc::new(Attached::new(Arc::default()));
        let fleet = Fleet::gateway("default");
        let attach = |proxy: &str| {
            let name = ProxyName::OfGateway { gateway: "default".to_owned(), proxy: proxy.to_owned() };
            let held = attached.shared(holding("1"));
            attached.attach(name, Some(fleet.clone()), "0.1.0".to_owned(), held, Vec::new())
        };
        let counted = || {
            let groups = attached.summaries().remove(&fleet).unwrap_or_default().groups;
            groups.iter().map(|group| group.proxies).sum::<usize>()
        };
        let ((fast, _until_replaced), (_slow, _until_slow_is)) = (attach("fast"), attach("slow"));
        assert_eq!(counted(), 0);
        fast.acknowledged(Arc::new(holding("2")));
        assert_eq!(counted(), 1);
        tokio::time::advance(COMING).await;
        assert_eq!(counted(), 2);
    }

    #[test]
    fn what_many_hold_is_held_once_and_only_as_long_as_somebody_does() {
        let attached = Attached::new(Arc::default());
        let (one, two) = (attached.shared(holding("1")), attached.shared(holding("1")));
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(*attached.shared(holding("2")), holding("2"));
        drop((one, two));
        let _three = attached.shared(holding("3"));
        let known = attached.known.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(known.len(), 1);
    }
}
