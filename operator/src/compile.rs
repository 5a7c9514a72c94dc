//! Pure: what there is, to what each proxy should hold and what to say of each object.
//!
//! A bad object is left out with a False verdict and the rest ships. Where two routes want the same
//! model on the same proxies, the older has it and the younger is told.

mod backend;
mod budget;
mod callers;
pub mod claims;
pub mod fleet;
mod memory;
mod pool;
mod route;
pub mod secret;
pub mod webhook;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use llm_config::Document;
use llm_crds::{ConditionType, Reason, Verdict};

use crate::observe::{LedgerSettings, ObjectName, Observed};
use backend::Pools;
use fleet::{Fleet, Sidecars};
use memory::Memory;
pub use pool::certificates;
use route::{Settled, Share};

/// What came of everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    pub documents: BTreeMap<Fleet, Document>,
    /// The fleet of each sidecar, by its pod.
    pub sidecars: BTreeMap<ObjectName, Fleet>,
    /// What has not changed is the same allocation as before.
    pub routes: BTreeMap<ObjectName, Arc<RouteOutcome>>,
    pub pools: BTreeMap<ObjectName, PoolOutcome>,
    pub budgets: BTreeMap<ObjectName, BudgetOutcome>,
    /// What is wrong with the gateways' settings, which have no status.
    pub problems: Vec<String>,
}

/// What came of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteOutcome {
    /// `Accepted` and `ResolvedRefs`, and `PartiallyInvalid` where it holds.
    pub verdicts: Vec<Verdict>,
    /// Models that it serves.
    pub models: BTreeSet<String>,
    /// Pools that it uses, as `namespace/name`.
    pub pools: BTreeSet<String>,
    /// Those whose documents hold it.
    pub fleets: BTreeSet<Fleet>,
    /// It is in order; that no proxy holds it is because none is there yet.
    pub shipped: bool,
}

/// What came of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolOutcome {
    /// `Accepted` and `ResolvedRefs`.
    pub verdicts: Vec<Verdict>,
    pub providers: Vec<String>,
    /// How many of them can be called.
    pub ready: usize,
    pub models: BTreeSet<String>,
    /// Those whose documents hold it.
    pub fleets: BTreeSet<Fleet>,
}

/// What came of a budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BudgetOutcome {
    /// `Accepted` and `ResolvedRefs`.
    pub verdicts: Vec<Verdict>,
    /// What proxies hold calls to, where it is accepted, whether there are any proxies or none.
    pub accepted: Option<llm_config::Budget>,
    /// Pools that are shipped with it, as `namespace/name`.
    pub pools: BTreeSet<String>,
    /// Those whose documents hold it.
    pub fleets: BTreeSet<Fleet>,
}

/// Compiles, with nothing to remember.
#[must_use]
pub fn compile(observed: &Observed) -> Compiled {
    Compiler::default().compile(observed)
}

/// Compiles again and again: a change costs little more than what it changes. What comes out is the same as from one
/// that has never compiled anything.
#[derive(Debug, Default)]
pub struct Compiler(Memory);

impl Compiler {
    #[must_use]
    pub fn compile(&mut self, observed: &Observed) -> Compiled {
        let mut compiled = Compiled::default();
        let pools = self.0.pools(observed);
        let outcomes = pools.iter().map(|(name, offered)| (name.clone(), offered.outcome.clone()));
        compiled.pools = outcomes.collect();
        for (gateway, settings) in &observed.gateways {
            let callers = settings.as_ref();
            let callers =
                callers.map(|callers| callers::compile(gateway, callers, observed, &mut compiled.problems));
            let document = Document { callers, ..Document::default() };
            compiled.documents.insert(Fleet::gateway(gateway), document);
        }
        let Sidecars { fleets, routes: selecting } = Sidecars::of(observed);
        compiled.sidecars = fleets;
        compiled.documents.extend(selecting.keys().map(|fleet| (fleet.clone(), Document::default())));
        let routes = self.0.routes(observed, &pools, &selecting);
        ship_routes(&routes, &pools, &mut compiled);
        for object in &observed.budgets {
            let name = ObjectName::of(object.as_ref());
            let (mut outcome, budget) = budget::compile(&name, object, observed, &pools, &compiled.routes);
            if let Some(budget) = &budget {
                ship_budget(&name, budget, &mut outcome, observed, &pools, &mut compiled);
            }
            outcome.accepted = budget;
            compiled.budgets.insert(name, outcome);
        }
        compiled
    }
}

/// A route goes to its fleets, with the pools that it needs there.
fn ship_routes(routes: &[(ObjectName, Arc<Settled>)], pools: &Pools, compiled: &mut Compiled) {
    let mut needed: BTreeMap<&Fleet, BTreeSet<&str>> = BTreeMap::new();
    for (name, settled) in routes {
        for Share { fleet, route, pools } in &settled.shares {
            let Some(document) = compiled.documents.get_mut(fleet) else { continue };
            document.routes.insert(name.to_string(), route.clone());
            needed.entry(fleet).or_default().extend(pools.iter().map(String::as_str));
        }
        compiled.routes.insert(name.clone(), settled.outcome.clone());
    }
    for (fleet, needed) in needed {
        let Some(document) = compiled.documents.get_mut(fleet) else { continue };
        for pool in needed {
            ship_pool(pool, fleet, document, pools, &mut compiled.pools);
        }
    }
}

/// A budget goes wherever calls may come that it counts, with the pools that it falls back to.
fn ship_budget(
    name: &ObjectName,
    budget: &llm_config::Budget,
    outcome: &mut BudgetOutcome,
    observed: &Observed,
    pools: &Pools,
    compiled: &mut Compiled,
) {
    outcome.pools = budget::pools(budget).map(str::to_owned).collect();
    for (fleet, document) in &mut compiled.documents {
        // A sidecar that no route selects takes no call.
        let takes_calls = matches!(fleet, Fleet::Gateway(_)) || !document.routes.is_empty();
        if !takes_calls || !budget::counts_on(budget, fleet) {
            continue;
        }
        for pool in &outcome.pools {
            ship_pool(pool, fleet, document, pools, &mut compiled.pools);
        }
        document.budgets.insert(name.to_string(), budget.clone());
        if let LedgerSettings::Shared(ledger) = &observed.ledger {
            document.ledger.get_or_insert_with(|| ledger.clone());
        }
        outcome.fleets.insert(fleet.clone());
    }
}

/// A pool goes where a route or a budget needs it.
fn ship_pool(
    key: &str,
    fleet: &Fleet,
    document: &mut Document,
    pools: &Pools,
    outcomes: &mut BTreeMap<ObjectName, PoolOutcome>,
) {
    let Some((namespace, name)) = key.split_once('/') else { return };
    let name = ObjectName::new(namespace, name);
    if let (Some(offered), Some(outcome)) = (pools.get(&name), outcomes.get_mut(&name))
        && let Some(pool) = &offered.compiled
    {
        outcome.fleets.insert(fleet.clone());
        document.pools.entry(key.to_owned()).or_insert_with(|| pool.clone());
    }
}

/// At least 1: a duration that a manifest gives is never none.
fn millis(duration: kube::core::Duration) -> u64 {
    u64::try_from(Duration::from(duration).as_millis()).unwrap_or(u64::MAX).max(1)
}

/// `Accepted`: true, or false with the reason and every problem.
fn accepted(reason: Reason, problems: &[String]) -> Verdict {
    verdict(ConditionType::Accepted, Reason::Accepted, "the spec is valid", reason, problems)
}

/// `ResolvedRefs`: true, or false with the reason and every problem.
fn resolved(reason: Reason, problems: &[String]) -> Verdict {
    verdict(
        ConditionType::ResolvedRefs,
        Reason::ResolvedRefs,
        "all references are resolved",
        reason,
        problems,
    )
}

fn verdict(condition: ConditionType, good: Reason, fine: &str, bad: Reason, problems: &[String]) -> Verdict {
    if problems.is_empty() {
        Verdict { condition, status: true, reason: good, message: fine.to_owned() }
    } else {
        Verdict { condition, status: false, reason: bad, message: problems.join("; ") }
    }
}
