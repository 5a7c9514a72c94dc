//! What keeps budgets from being run.

use std::collections::BTreeSet;

use super::Findings;
use crate::{
    Budget, Document, Ledger,
    budget::{OnExceeded, Window},
};

/// More than this a ledger does not count exactly: numbers in a script of Redis are doubles.
const LARGEST: u64 = (1 << 53) - 1;
/// Seconds; slices of shorter windows would not be spent within them.
const SHORTEST_WINDOW: u64 = 60;
/// Values that have limits of their own, at most: each costs memory in every proxy that sees it.
const MOST_VALUES: u32 = 100_000;

pub fn check(document: &Document, found: &mut Findings) {
    for (key, budget) in &document.budgets {
        one(&format!("budgets[{key}]"), budget, document, found);
    }
    if let Some(Ledger::Redis(redis)) = &document.ledger
        && redis.endpoints.is_empty()
    {
        found.add("ledger.redis.endpoints", "must not be empty");
    }
}

fn one(path: &str, budget: &Budget, document: &Document, found: &mut Findings) {
    if budget.uid.is_empty() {
        found.add(format!("{path}.uid"), "must not be empty");
    }
    if budget.limits.is_empty() {
        found.add(format!("{path}.limits"), "must not be empty");
    }
    let mut seen = BTreeSet::new();
    for (i, limit) in budget.limits.iter().enumerate() {
        let path = format!("{path}.limits[{i}]");
        if !seen.insert((limit.window, limit.unit)) {
            found.add(&path, "is of the same window and unit as one before it");
        }
        if limit.amount > LARGEST {
            found.add(format!("{path}.amount"), format!("must be at most {LARGEST}"));
        }
        if matches!(limit.window, Window::Every(seconds) | Window::Rolling(seconds) if seconds < SHORTEST_WINDOW)
        {
            found.add(format!("{path}.window"), format!("must be at least {SHORTEST_WINDOW} s long"));
        }
    }
    if !budget.per.is_empty() && !(1..=MOST_VALUES).contains(&budget.max_values) {
        found.add(format!("{path}.maxValues"), format!("must be from 1 to {MOST_VALUES}"));
    }
    if let OnExceeded::Downgrade { from_ppm, backends } = &budget.on_exceeded {
        if *from_ppm > 1_000_000 {
            found.add(format!("{path}.onExceeded.downgrade.fromPpm"), "must be at most 1000000");
        }
        for (i, backend) in backends.iter().enumerate() {
            if !document.pools.contains_key(&backend.pool) {
                let path = format!("{path}.onExceeded.downgrade.backends[{i}].pool");
                found.add(path, format!("no pool `{}` in the document", backend.pool));
            }
        }
    }
}
