//! Which proxies hold what they should: the truth behind `PROGRAMMED 2/2`. Pure.

use std::collections::BTreeSet;

use llm_config::section::Key;
use llm_crds::{ConditionType, Reason, Verdict};

use crate::{
    compile::fleet::{self, Fleet},
    publish::{
        Targets,
        attached::{Group, Summaries},
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

/// All proxies of all replicas, against what they should hold.
pub struct Proxies<'a> {
    pub targets: &'a Targets,
    pub summaries: &'a [Summaries],
}

impl Proxies<'_> {
    /// The `Programmed` verdict of an object made of `sections`, and its share as `2/2`.
    pub fn programmed(
        &self,
        fleets: &BTreeSet<Fleet>,
        sections: &[Key],
        absent: Absent,
    ) -> (Verdict, String) {
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
        let mut total = 0;
        let mut current = 0;
        let mut behind: Vec<&str> = Vec::new();
        let mut refused: Vec<String> = Vec::new();
        for fleet in fleets {
            for summary in self.summaries.iter().filter_map(|summaries| summaries.get(fleet)) {
                for group in &summary.groups {
                    total += group.proxies;
                    if self.is_current(fleet, group, sections) {
                        current += group.proxies;
                    } else {
                        behind.extend(group.names.iter().map(String::as_str));
                    }
                }
                refused.extend(
                    summary
                        .refusals
                        .iter()
                        .map(|refusal| format!("{}: {}", refusal.proxy, refusal.problems.join("; "))),
                );
            }
        }
        let share = format!("{current}/{total}");
        let names = fleet::listed(fleets);
        let found = if total == 0 {
            verdict(false, Reason::NoProxies, format!("no proxy of {names} is attached"))
        } else if current == total {
            let proxies = if total == 1 { "proxy".to_owned() } else { format!("all {total} proxies") };
            verdict(true, Reason::Programmed, format!("in force on {proxies} of {names}"))
        } else if refused.is_empty() {
            let message = format!(
                "in force on {current} of {total} proxies of {names}; not yet on {}",
                listed(&behind)
            );
            verdict(false, Reason::Pending, message)
        } else {
            refused.truncate(TOLD);
            let message = format!(
                "in force on {current} of {total} proxies of {names}; refused by {}",
                refused.join("; and by ")
            );
            verdict(false, Reason::Refused, message)
        };
        (found, share)
    }

    fn is_current(&self, fleet: &Fleet, group: &Group, sections: &[Key]) -> bool {
        let Some(target) = self.targets.fleets.get(fleet) else { return false };
        sections.iter().all(|section| group.holds.get(section) == target.digests.get(section))
    }
}

fn listed(names: &[&str]) -> String {
    let more = names.len().saturating_sub(TOLD);
    let shown = names.iter().take(TOLD).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
