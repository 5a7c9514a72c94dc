//! Compiled documents, out to the proxies: what is in force for each fleet, cut into sections, for
//! the streams to send and the report to compare with.

pub mod attached;
pub mod admit;
pub mod delta;
pub mod member;
pub mod server;
pub mod stream;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use llm_config::{
    Document, Scope, exposed,
    section::{self, Digest, Key, Section, Sections},
};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::{compile::fleet::Fleet, observe::ObjectName, shares::roster::Roster};
use delta::{Delta, Deltas};

/// Keys and digests that a proxy holds or should hold.
pub type Digests = BTreeMap<Key, Digest>;

/// What a fleet should hold. There is no empty one but that of a document that is.
#[derive(Clone, Debug)]
pub struct Target {
    pub sections: Arc<Sections>,
    /// The same, to compare with; two targets are the same when this is one allocation.
    pub digests: Arc<Digests>,
    /// The pools with limits that all proxies share.
    pub shared: Arc<BTreeSet<String>>,
    /// Since when they should.
    pub published: Timestamp,
    deltas: Arc<Deltas>,
}

impl Target {
    /// The document's; or what was there before, where nothing has changed or the change is not valid.
    fn of(fleet: &Fleet, document: &Document, before: Option<&Self>) -> Self {
        let nothing = Sections::new();
        let sections = section::cut(document, before.map_or(&nothing, |before| &before.sections), digest);
        let digests = section::digests(&sections);
        if let Some(before) = before.filter(|before| *before.digests == digests) {
            return before.clone();
        }
        let problems: Vec<String> = document.check().iter().map(ToString::to_string).collect();
        if !problems.is_empty() {
            tracing::error!(%fleet, ?problems, "the compiled document is not valid; the last good one stays");
            if let Some(before) = before {
                return before.clone();
            }
        }
        Self {
            sections: Arc::new(sections),
            digests: Arc::new(digests),
            shared: Arc::new(shared(document)),
            published: Timestamp::now(),
            deltas: Arc::default(),
        }
    }

    /// What leads there from what a proxy holds.
    #[must_use]
    pub fn delta_from(&self, holds: &Arc<Digests>) -> Arc<Delta> {
        self.deltas.from(holds, &self.sections)
    }
}

fn shared(document: &Document) -> BTreeSet<String> {
    let shares = |pool: &llm_config::Pool| pool.providers.iter().any(|p| p.limits.scope == Scope::Cluster);
    document.pools.iter().filter(|(_, pool)| shares(pool)).map(|(name, _)| name.clone()).collect()
}

/// What all proxies should hold.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    pub fleets: BTreeMap<Fleet, Target>,
    /// The sidecars that are known, by pod.
    pub sidecars: BTreeMap<ObjectName, Sidecar>,
    /// Who has a share of limits; `None` before that has been read.
    pub roster: Option<Arc<Roster>>,
}

/// A pod with a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    pub fleet: Fleet,
    pub uid: String,
    pub labels: BTreeMap<String, String>,
}

/// Where targets are published.
#[derive(Debug)]
pub struct Publisher {
    targets: watch::Sender<Option<Arc<Targets>>>,
    /// Held while targets are sent: two that do so must not forget each other's part.
    roster: Mutex<Option<Arc<Roster>>>,
}

impl Default for Publisher {
    fn default() -> Self {
        Self { targets: watch::Sender::new(None), roster: Mutex::default() }
    }
}

impl Publisher {
    /// Puts documents in force. A document that its own validator refuses stays behind, and the one
    /// before it in force: compile should have told the object at fault.
    pub fn publish(
        &self,
        documents: &BTreeMap<Fleet, Document>,
        sidecars: BTreeMap<ObjectName, Sidecar>,
    ) -> Arc<Targets> {
        let roster = self.roster.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.targets.borrow().clone().unwrap_or_default();
        let target = |(fleet, document): (&Fleet, &Document)| {
            (fleet.clone(), Target::of(fleet, document, before.fleets.get(fleet)))
        };
        let fleets: BTreeMap<Fleet, Target> = documents.iter().map(target).collect();
        let unchanged = sidecars == before.sidecars
            && fleets.len() == before.fleets.len()
            && fleets.iter().all(|(fleet, target)| {
                before.fleets.get(fleet).is_some_and(|old| Arc::ptr_eq(&old.digests, &target.digests))
            });
        // What has not changed must not be sent again to a proxy that has refused it.
        if unchanged && !fleets.is_empty() {
            return before;
        }
        let targets = Arc::new(Targets { fleets, sidecars, roster: roster.clone() });
        self.targets.send_replace(Some(targets.clone()));
        targets
    }

    /// Divides the limits that proxies share among these.
    pub fn divide(&self, among: Arc<Roster>) {
        let mut roster = self.roster.lock().unwrap_or_else(PoisonError::into_inner);
        *roster = Some(among.clone());
        let before = self.targets.borrow().clone();
        if let Some(before) = before {
            let Targets { fleets, sidecars, .. } = before.as_ref().clone();
            self.targets.send_replace(Some(Arc::new(Targets { fleets, sidecars, roster: Some(among) })));
        }
    }

    /// To follow what is in force; none before the first compile.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Targets>>> {
        self.targets.subscribe()
    }
}

/// 64 bits of SHA-256: enough to tell versions of one object apart.
pub fn digest(section: &Section) -> Digest {
    // Strings and numbers only: it can't fail.
    let bytes = exposed(|| serde_json::to_vec(section)).unwrap_or_default();
    Sha256::digest(&bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
