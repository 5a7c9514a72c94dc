//! Which proxies hold what they should: the truth behind `PROGRAMMED 2/2`. Pure.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use llm_config::section::Key;
use llm_crds::{ConditionType, Reason, Verdict};

use crate::{
    compile::fleet::{self, Fleet},
    publish::{
        Digests, Targets,
        attached::{Group, Refusal, Summaries},
    },
};

/// Names that a message lists, at most.
const TOLD: usize = 5;

/// Why an object may be in no document.
#[derive(Clone, Copy, Debug)]
pub enum Absent {
    /// A route or a budget that was not accepted, or a route that was not resolved.
    NotShipped,
    /// A route for sidecars only, and no pod that it selects has one.
    NoSidecars,
    /// A pool that no route uses.
    Unused,
}

/// All proxies of all replicas, against what they should hold: looked through once, and asked of each object.
pub struct Proxies<'a> {
    fleets: HashMap<&'a Fleet, Seen<'a>>,
}

/// The proxies of a fleet.
#[derive(Default)]
struct Seen<'a> {
    /// Each with the sections that it should hold and does not, or holds and should not; all, where it should hold none.
    groups: Vec<(&'a Group, Option<HashSet<&'a Key>>)>,
    refusals: Vec<&'a Refusal>,
}

/// How proxies stand to an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    total: usize,
    current: usize,
    /// Names of some that are not current.
    behind: Vec<String>,
    /// Where any is not: what they say.
    refused: Vec<String>,
}

impl<'a> Proxies<'a> {
    pub fn new(targets: &'a Targets, summaries: &'a [Summaries]) -> Self {
        let mut fleets: HashMap<&Fleet, Seen<'a>> = HashMap::new();
        for (fleet, summary) in summaries.iter().flatten() {
            let seen = fleets.entry(fleet).or_default();
            let target = targets.fleets.get(fleet);
            let differing = |group: &'a Group| Some(differing(&group.holds, &target?.digests));
            seen.groups.extend(summary.groups.iter().map(|group| (group, differing(group))));
            seen.refusals.extend(&summary.refusals);
        }
        Self { fleets }
    }

    /// How they stand to an object of these sections that is theirs.
    pub fn standing(&self, fleets: &BTreeSet<Fleet>, sections: &[Key]) -> Standing {
        let mut standing = Standing::default();
        let seen: Vec<&Seen> = fleets.iter().filter_map(|fleet| self.fleets.get(fleet)).collect();
        for (group, differing) in seen.iter().flat_map(|seen| &seen.groups) {
            standing.total += group.proxies;
            let is_current = differing.as_ref().is_some_and(|differing| {
                differing.is_empty() || !sections.iter().any(|section| differing.contains(section))
            });
            if is_current {
                standing.current += group.proxies;
            } else {
                standing.behind.extend(group.names.iter().cloned());
            }
        }
        if standing.current < standing.total {
            let refusals = seen.iter().flat_map(|seen| &seen.refusals).take(TOLD);
            let said = refusals.map(|refusal| format!("{}: {}", refusal.proxy, refusal.problems.join("; ")));
            standing.refused = said.collect();
        }
        standing
    }
}

fn differing<'a>(holds: &'a Arc<Digests>, target: &'a Arc<Digests>) -> HashSet<&'a Key> {
    if Arc::ptr_eq(holds, target) {
        return HashSet::new();
    }
    let missing = target.iter().filter(|(key, digest)| holds.get(*key) != Some(digest)).map(|(key, _)| key);
    missing.chain(holds.keys().filter(|key| !target.contains_key(*key))).collect()
}

impl Standing {
    /// The `Programmed` verdict of an object that is on these fleets, and its share as `2/2`.
    pub fn programmed(&self, fleets: &BTreeSet<Fleet>, absent: Absent) -> (Verdict, String) {
        let verdict = |status, reason, message| Verdict {
            condition: ConditionType::Programmed,
            status,
            reason,
            message,
        };
        if fleets.is_empty() {
            let (reason, message) = match absent {
                Absent::NotShipped => (Reason::NotShipped, "not sent to any proxy: see the other conditions"),
                Absent::NoSidecars => {
                    (Reason::NoProxies, "no pod that spec.attachTo.podSelector selects has a sidecar")
                }
                Absent::Unused => (Reason::Unused, "no LLMRoute that is in force uses this pool"),
            };
            return (verdict(false, reason, message.to_owned()), "-".to_owned());
        }
        let Self { total, current, behind, refused } = self;
        let share = format!("{current}/{total}");
        let names = fleet::listed(fleets);
        let found = if *total == 0 {
            verdict(false, Reason::NoProxies, format!("no proxy of {names} is attached"))
        } else if current == total {
            let proxies = if *total == 1 { "proxy".to_owned() } else { format!("all {total} proxies") };
            verdict(true, Reason::Programmed, format!("in force on {proxies} of {names}"))
        } else if refused.is_empty() {
            let message =
                format!("in force on {current} of {total} proxies of {names}; not yet on {}", listed(behind));
            verdict(false, Reason::Pending, message)
        } else {
            let message = format!(
                "in force on {current} of {total} proxies of {names}; refused by {}",
                refused.join("; and by ")
            );
            verdict(false, Reason::Refused, message)
        };
        (found, share)
    }
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(TOLD);
    let shown = names[..names.len().min(TOLD)].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use llm_config::Document;

    use super::*;
    use crate::publish::{Publisher, attached::Summary};

    /// A fleet that should hold the pools `a` and `b`.
    fn targets() -> Arc<Targets> {
        let document = Document {
            pools: ["ns/a", "ns/b"].map(|key| (key.to_owned(), Arc::default())).into(),
            ..Document::default()
        };
        Publisher::default().publish(&[(Fleet::gateway("g"), document)].into(), BTreeMap::new())
    }

    fn group(proxies: usize, name: &str, holds: Digests) -> Group {
        Group { proxies, names: vec![name.to_owned()], holds: Arc::new(holds) }
    }

    #[test]
    fn a_proxy_is_current_where_it_holds_all_of_an_object_as_it_should_and_nothing_that_it_should_not() {
        let (fleet, targets) = (Fleet::gateway("g"), targets());
        let all = targets.fleets[&fleet].digests.as_ref().clone();
        let without = |key: &str| {
            let mut digests = all.clone();
            digests.remove(key);
            digests
        };
        let mut older = all.clone();
        older.insert("pool/ns/a".to_owned(), "old".to_owned());
        let mut more = all.clone();
        more.insert("pool/ns/gone".to_owned(), "old".to_owned());
        let groups = vec![
            group(100, "current", all.clone()),
            group(10, "older", older),
            group(1, "without b", without("pool/ns/b")),
            group(1000, "more", more),
        ];
        let refusals = vec![Refusal { proxy: "older".to_owned(), problems: vec!["why".to_owned()] }];
        let summary = Summary { groups, refusals, ..Summary::default() };
        let summaries =
            [[(fleet.clone(), summary.clone())].into(), [(Fleet::gateway("other"), summary)].into()];
        let proxies = Proxies::new(&targets, &summaries);
        let shown = |fleet: &Fleet, section: &str| {
            let fleets = BTreeSet::from([fleet.clone()]);
            let standing = proxies.standing(&fleets, &[section.to_owned()]);
            let (verdict, share) = standing.programmed(&fleets, Absent::NotShipped);
            (share, verdict.reason, standing.behind.join(", "))
        };
        let behind = |share: &str, reason, names: &str| (share.to_owned(), reason, names.to_owned());
        assert_eq!(shown(&fleet, "pool/ns/a"), behind("1101/1111", Reason::Refused, "older"));
        assert_eq!(shown(&fleet, "pool/ns/b"), behind("1110/1111", Reason::Refused, "without b"));
        assert_eq!(shown(&fleet, "pool/ns/gone"), behind("111/1111", Reason::Refused, "more"));
        assert_eq!(shown(&fleet, "pool/ns/absent"), behind("1111/1111", Reason::Programmed, ""));
        // Nothing is as it should be where nobody knows how it should be.
        let (share, _, _) = shown(&Fleet::gateway("other"), "pool/ns/a");
        assert_eq!(share, "0/1111");
    }
}
