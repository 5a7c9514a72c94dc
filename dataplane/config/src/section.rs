//! The document cut into sections with digests: a change costs what changed, and a proxy that
//! reconnects names what it holds. All of it is pure: the operator computes [`Update`]s against what
//! a proxy has acknowledged, the proxy applies them to what it [`Held`].

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Budget, Callers, Document, Ledger, Pool, Route, Share};

/// `route/namespace/name`, `pool/namespace/name`, `budget/namespace/name`, [`CALLERS`], [`LEDGER`] or [`SHARES`].
pub type Key = String;
/// A digest of a section's bytes as the operator serialized them; opaque to the proxy.
pub type Digest = String;

/// The key of the one section that says who may call.
pub const CALLERS: &str = "callers";
/// The key of the one section that says where budgets are kept.
pub const LEDGER: &str = "ledger";
/// The key of the one section that says what a proxy has of limits that all share.
pub const SHARES: &str = "shares";

/// One route, one pool, one budget, who may call, where budgets are kept, or what a proxy has of shared limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Section {
    Route(Arc<Route>),
    Pool(Arc<Pool>),
    Callers(Callers),
    Budget(Budget),
    Ledger(Ledger),
    Shares(BTreeMap<String, Share>),
}

/// A section with its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stamped {
    pub digest: Digest,
    pub section: Arc<Section>,
}

/// A whole document as sections.
pub type Sections = BTreeMap<Key, Stamped>;

/// Cuts a document; `digest` is the operator's choice of hash. What is as it was in `before` is taken from there, and
/// what is the same allocation is known to be: a change costs what changed.
pub fn cut(document: &Document, before: &Sections, digest: impl Fn(&Section) -> Digest) -> Sections {
    let stamped = |key: String, is: &dyn Fn(&Section) -> bool, section: &dyn Fn() -> Section| {
        let old = before.get(&key).filter(|old| is(&old.section)).cloned();
        let stamped = old.unwrap_or_else(|| {
            let section = section();
            Stamped { digest: digest(&section), section: Arc::new(section) }
        });
        (key, stamped)
    };
    let routes = document.routes.iter().map(|(key, route)| {
        let is = |old: &Section| matches!(old, Section::Route(old) if old == route);
        stamped(format!("route/{key}"), &is, &|| Section::Route(route.clone()))
    });
    let pools = document.pools.iter().map(|(key, pool)| {
        let is = |old: &Section| matches!(old, Section::Pool(old) if old == pool);
        stamped(format!("pool/{key}"), &is, &|| Section::Pool(pool.clone()))
    });
    let callers = document.callers.iter().map(|callers| {
        let is = |old: &Section| matches!(old, Section::Callers(old) if old == callers);
        stamped(CALLERS.to_owned(), &is, &|| Section::Callers(callers.clone()))
    });
    let budgets = document.budgets.iter().map(|(key, budget)| {
        let is = |old: &Section| matches!(old, Section::Budget(old) if old == budget);
        stamped(format!("budget/{key}"), &is, &|| Section::Budget(budget.clone()))
    });
    let ledger = document.ledger.iter().map(|ledger| {
        let is = |old: &Section| matches!(old, Section::Ledger(old) if old == ledger);
        stamped(LEDGER.to_owned(), &is, &|| Section::Ledger(ledger.clone()))
    });
    let shares = document.shares.iter().map(|shares| {
        let is = |old: &Section| matches!(old, Section::Shares(old) if old == shares);
        stamped(SHARES.to_owned(), &is, &|| Section::Shares(shares.clone()))
    });
    routes.chain(pools).chain(callers).chain(budgets).chain(ledger).chain(shares).collect()
}

/// The way from what a proxy holds to what it should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Update {
    /// Counts the updates of one connection; the answer names it.
    pub generation: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub put: Sections,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<Key>,
}

impl Update {
    /// What leads from `holds` to `target`, which many proxies share, and `own`, which is this one's.
    #[must_use]
    pub fn between(
        generation: u64,
        holds: &BTreeMap<Key, Digest>,
        target: &Sections,
        own: &Sections,
    ) -> Self {
        Self {
            generation,
            put: target
                .iter()
                .chain(own)
                .filter(|(key, stamped)| holds.get(*key) != Some(&stamped.digest))
                .map(|(key, stamped)| (key.clone(), stamped.clone()))
                .collect(),
            remove: holds
                .keys()
                .filter(|key| !target.contains_key(*key) && !own.contains_key(*key))
                .cloned()
                .collect(),
        }
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.remove.is_empty()
    }
}

/// What a proxy holds.
#[derive(Clone, Debug, Default)]
pub struct Held(Sections);

impl Held {
    /// What this becomes by `update`; the receiver stays as it is until the proxy has checked that.
    #[must_use]
    pub fn updated(&self, update: Update) -> Self {
        let mut sections = self.0.clone();
        for key in &update.remove {
            sections.remove(key);
        }
        sections.extend(update.put);
        Self(sections)
    }

    /// Keys and digests, to name in a hello.
    #[must_use]
    pub fn digests(&self) -> BTreeMap<Key, Digest> {
        digests(&self.0)
    }

    /// The document that the sections make.
    #[must_use]
    pub fn document(&self) -> Document {
        let mut document = Document::default();
        for (key, stamped) in &self.0 {
            let name = key.split_once('/').map_or(key.as_str(), |(_, name)| name).to_owned();
            match stamped.section.as_ref() {
                Section::Route(route) => drop(document.routes.insert(name, route.clone())),
                Section::Pool(pool) => drop(document.pools.insert(name, pool.clone())),
                Section::Callers(callers) => document.callers = Some(callers.clone()),
                Section::Budget(budget) => drop(document.budgets.insert(name, budget.clone())),
                Section::Ledger(ledger) => document.ledger = Some(ledger.clone()),
                Section::Shares(shares) => document.shares = Some(shares.clone()),
            }
        }
        document
    }
}

/// Keys and digests of sections.
#[must_use]
pub fn digests(sections: &Sections) -> BTreeMap<Key, Digest> {
    sections.iter().map(|(key, stamped)| (key.clone(), stamped.digest.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Credentials, Timeouts, budget::Redis};

    fn document(routes: &[(&str, u64)]) -> Document {
        let route = |ms| {
            Arc::new(Route {
                rules: vec![crate::Rule {
                    timeouts: Timeouts { request_ms: ms, ..Timeouts::default() },
                    ..crate::Rule::default()
                }],
            })
        };
        Document {
            routes: routes.iter().map(|(key, ms)| ((*key).to_owned(), route(*ms))).collect(),
            pools: [("ns/p".to_owned(), Arc::default())].into(),
            callers: Some(Callers::Shown(Credentials::default())),
            budgets: [("ns/b".to_owned(), Budget::default())].into(),
            ledger: Some(Ledger::Redis(Redis::default())),
            shares: Some([("ns/p".to_owned(), Share { of: 2, place: 1 })].into()),
        }
    }

    fn sections(routes: &[(&str, u64)]) -> Sections {
        cut(&document(routes), &Sections::new(), named)
    }

    fn named(section: &Section) -> Digest {
        format!("{section:?}")
    }

    #[test]
    fn what_did_not_change_is_not_stamped_again() {
        let before = sections(&[("ns/a", 1), ("ns/b", 1)]);
        let stamped = std::cell::Cell::new(0);
        let after = cut(&document(&[("ns/a", 1), ("ns/b", 2)]), &before, |section| {
            stamped.set(stamped.get() + 1);
            named(section)
        });
        assert_eq!(after, sections(&[("ns/a", 1), ("ns/b", 2)]));
        assert_eq!(stamped.get(), 1);
        assert!(Arc::ptr_eq(&after["pool/ns/p"].section, &before["pool/ns/p"].section));
    }

    #[test]
    fn a_change_costs_what_changed_and_leads_to_the_target() {
        let before = sections(&[("ns/a", 1), ("ns/b", 1), ("ns/c", 1)]);
        let held = Held::default().updated(Update::between(1, &BTreeMap::new(), &before, &Sections::new()));
        assert_eq!(held.document(), document(&[("ns/a", 1), ("ns/b", 1), ("ns/c", 1)]));

        let after = sections(&[("ns/a", 1), ("ns/b", 2), ("ns/d", 1)]);
        let update = Update::between(2, &held.digests(), &after, &Sections::new());
        assert_eq!(update.put.keys().collect::<Vec<_>>(), ["route/ns/b", "route/ns/d"]);
        assert_eq!(update.remove, ["route/ns/c"]);
        let held = held.updated(update);
        assert_eq!(held.document(), document(&[("ns/a", 1), ("ns/b", 2), ("ns/d", 1)]));
        assert!(Update::between(3, &held.digests(), &after, &Sections::new()).is_empty());
    }
}
