//! Compiled documents, out to the proxies: what is in force for each fleet, cut into sections, for
//! the streams to send and the report to compare with.

pub mod attached;
pub mod admit;
pub mod member;
pub mod server;
pub mod stream;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use llm_config::{
    Document, exposed,
    section::{self, Digest, Key, Section, Sections},
};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::{compile::fleet::Fleet, observe::ObjectName};

/// Keys and digests that a proxy holds or should hold.
pub type Digests = BTreeMap<Key, Digest>;

/// What a fleet should hold.
#[derive(Clone, Debug, Default)]
pub struct Target {
    pub sections: Arc<Sections>,
    /// The same, to compare with; two targets are the same when this is one allocation.
    pub digests: Arc<Digests>,
    /// Since when they should.
    pub published: Timestamp,
}

/// What all proxies should hold.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    pub fleets: BTreeMap<Fleet, Target>,
    /// The sidecars that are known, by pod.
    pub sidecars: BTreeMap<ObjectName, Sidecar>,
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
}

impl Default for Publisher {
    fn default() -> Self {
        Self { targets: watch::Sender::new(None) }
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
        let before = self.targets.borrow().clone().unwrap_or_default();
        let mut fleets = BTreeMap::new();
        for (fleet, document) in documents {
            let old = before.fleets.get(fleet);
            let problems = document.check();
            let sections = section::cut(document, digest);
            let digests = section::digests(&sections);
            let target = match old {
                Some(old) if *old.digests == digests => old.clone(),
                Some(old) if !problems.is_empty() => old.clone(),
                _ => Target {
                    sections: Arc::new(sections),
                    digests: Arc::new(digests),
                    published: Timestamp::now(),
                },
            };
            if !problems.is_empty() {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                tracing::error!(
                    %fleet,
                    ?problems,
                    "the compiled document is not valid; the last good one stays"
                );
            }
            fleets.insert(fleet.clone(), target);
        }
        let unchanged = sidecars == before.sidecars
            && fleets.len() == before.fleets.len()
            && fleets.iter().all(|(fleet, target)| {
                before.fleets.get(fleet).is_some_and(|old| Arc::ptr_eq(&old.digests, &target.digests))
            });
        // What has not changed must not be sent again to a proxy that has refused it.
        if unchanged && !fleets.is_empty() {
            return before;
        }
        let targets = Arc::new(Targets { fleets, sidecars });
        self.targets.send_replace(Some(targets.clone()));
        targets
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
