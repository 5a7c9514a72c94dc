//! Pure: what would come of an object if it were applied now, by the compile that would then run over it.
//!
//! What is wrong with an object alone in the world is for its own spec to mend. What is wrong with it among
//! all others may be mended by any of them, and is only told: `kubectl apply -f` of a folder brings objects
//! in any order. A compile takes the object and those that have to do with it, never the whole cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use llm_crds::{Budget, ConditionType, LLMRoute, ProviderPool, Verdict};

use crate::{
    compile::{
        Compiled,
        claims::{names, references},
        compile,
    },
    observe::{LedgerSettings, ObjectName, Observed, SecretState, offline::do_without_secrets},
};

/// Others that are named, where a change breaks many.
const NAMED: usize = 5;

/// What is about to be applied or deleted.
#[derive(Clone, Debug)]
pub enum Proposal {
    Route(Arc<LLMRoute>),
    Pool(Arc<ProviderPool>),
    Budget(Arc<Budget>),
    DeletePool(ObjectName),
}

/// What would come of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// What its own spec has to mend, for nothing else can.
    pub invalid: Option<String>,
    /// What keeps it from being in force for now, and what it would break.
    pub warnings: Vec<String>,
}

/// The Secrets of a proposal that were looked at for it alone.
pub type Secrets = BTreeMap<ObjectName, SecretState>;

/// A Secret that is neither observed nor in `secrets` is taken for one that is in order.
#[must_use]
pub fn preview(observed: &Observed, proposal: &Proposal, secrets: &Secrets) -> Preview {
    if let Some(invalid) = invalid(observed, proposal) {
        return Preview { invalid: Some(invalid), warnings: Vec::new() };
    }
    let mut before = neighbours(observed, proposal);
    let mut after = applied(before.clone(), proposal);
    for state in [&mut before, &mut after] {
        let known = state.wanted_secrets().into_iter().filter_map(|name| {
            let known = observed.secrets.get(&name).or(secrets.get(&name))?.clone();
            Some((name, known))
        });
        state.secrets = known.collect();
        do_without_secrets(state);
    }
    let own = proposal.to_string();
    let mut after = troubles(&compile(&after));
    let told = after.remove(&own).unwrap_or_default();
    let mut warnings: Vec<String> = told.iter().map(|trouble| format!("{own}: {trouble}")).collect();
    // Where nobody is in trouble, nobody has got into it.
    let before = if after.is_empty() { BTreeMap::new() } else { troubles(&compile(&before)) };
    let broken: Vec<String> = after
        .iter()
        .filter_map(|(object, now)| {
            let known = before.get(object);
            let new = now.iter().find(|trouble| known.is_none_or(|known| !known.contains(trouble)))?;
            Some(format!("this breaks {object}: {new}"))
        })
        .collect();
    warnings.extend(broken.iter().take(NAMED).cloned());
    if broken.len() > NAMED {
        warnings.push(format!("this breaks {} more objects", broken.len() - NAMED));
    }
    Preview { invalid: None, warnings }
}

impl std::fmt::Display for Proposal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Route(route) => f.write_str(&route_key(&ObjectName::of(route.as_ref()))),
            Self::Pool(pool) => f.write_str(&pool_key(&ObjectName::of(pool.as_ref()))),
            Self::Budget(budget) => f.write_str(&budget_key(&ObjectName::of(budget.as_ref()))),
            Self::DeletePool(name) => f.write_str(&pool_key(name)),
        }
    }
}

fn route_key(name: &ObjectName) -> String {
    format!("LLMRoute {name}")
}

fn pool_key(name: &ObjectName) -> String {
    format!("ProviderPool {name}")
}

fn budget_key(name: &ObjectName) -> String {
    format!("Budget {name}")
}

/// What compile says of the spec where nothing else is there but gateways, and every key that it asks for.
fn invalid(observed: &Observed, proposal: &Proposal) -> Option<String> {
    let gateways = observed.gateways.keys().map(|gateway| (gateway.clone(), None)).collect();
    let nothing = Observed { gateways, ledger: LedgerSettings::Embedded, ..Observed::default() };
    let mut alone = applied(nothing, proposal);
    do_without_secrets(&mut alone);
    let compiled = compile(&alone);
    let routes = compiled.routes.values().flat_map(|outcome| &outcome.verdicts);
    let pools = compiled.pools.values().flat_map(|outcome| &outcome.verdicts);
    let budgets = compiled.budgets.values().flat_map(|outcome| &outcome.verdicts);
    let mut verdicts = routes.chain(pools).chain(budgets);
    let refused = verdicts.find(|verdict| verdict.reason == llm_crds::Reason::Invalid)?;
    Some(refused.message.clone())
}

/// All that has to do with a proposal: the routes that it may meet or name, or that use it, and the pools of those.
fn neighbours(observed: &Observed, proposal: &Proposal) -> Observed {
    let pools: BTreeMap<ObjectName, Arc<ProviderPool>> =
        observed.pools.iter().map(|pool| (ObjectName::of(pool.as_ref()), pool.clone())).collect();
    let mut near = Observed {
        gateways: observed.gateways.keys().map(|gateway| (gateway.clone(), None)).collect(),
        ledger: observed.ledger.clone(),
        home: observed.home.clone(),
        ..Observed::default()
    };
    let mut wanted = BTreeSet::new();
    match proposal {
        Proposal::Route(route) => {
            let (name, claimed) = (ObjectName::of(route.as_ref()), names(route, &pools));
            let meets = |other: &&Arc<LLMRoute>| {
                ObjectName::of(other.as_ref()) == name
                    || (share_proxies(route, other) && !names(other, &pools).is_disjoint(&claimed))
            };
            near.routes = observed.routes.iter().filter(meets).cloned().collect();
            wanted.extend(references(route).map(|(pool, _)| pool));
            near.namespaces.extend(labels_of(observed, &name.namespace));
            if route.spec.attach_to.pod_selector.is_some() {
                let sidecars = observed.sidecars.iter().filter(|(pod, _)| pod.namespace == name.namespace);
                near.sidecars = sidecars.map(|(pod, sidecar)| (pod.clone(), sidecar.clone())).collect();
            }
        }
        Proposal::Pool(pool) => {
            let name = ObjectName::of(pool.as_ref());
            add_users(observed, &name, &mut near);
            wanted.insert(name);
        }
        Proposal::DeletePool(name) => add_users(observed, name, &mut near),
        Proposal::Budget(budget) => {
            let named: BTreeSet<ObjectName> = counted(budget).collect();
            let is_named = |route: &&Arc<LLMRoute>| named.contains(&ObjectName::of(route.as_ref()));
            near.routes = observed.routes.iter().filter(is_named).cloned().collect();
            near.budgets.push(budget.clone());
        }
    }
    for budget in &near.budgets {
        wanted.extend(downgrades(budget));
        near.namespaces.extend(labels_of(observed, &ObjectName::of(budget.as_ref()).namespace));
    }
    for route in &near.routes {
        wanted.extend(references(route).map(|(pool, _)| pool));
        near.namespaces.extend(labels_of(observed, &ObjectName::of(route.as_ref()).namespace));
    }
    near.pools = wanted.iter().filter_map(|name| pools.get(name).cloned()).collect();
    near
}

fn labels_of(observed: &Observed, namespace: &str) -> Option<(String, BTreeMap<String, String>)> {
    observed.namespaces.get_key_value(namespace).map(|(name, labels)| (name.clone(), labels.clone()))
}

/// Whether two routes may be on one proxy.
fn share_proxies(one: &LLMRoute, other: &LLMRoute) -> bool {
    let (ours, theirs) = (&one.spec.attach_to, &other.spec.attach_to);
    let selecting = ours.pod_selector.is_some() && theirs.pod_selector.is_some();
    (selecting && one.metadata.namespace == other.metadata.namespace)
        || ours.gateways.iter().any(|gateway| theirs.gateways.contains(gateway))
}

/// Those that refer to a pool: the routes, and the budgets with the routes that these name.
fn add_users(observed: &Observed, pool: &ObjectName, near: &mut Observed) {
    let falls_back = |budget: &&Arc<Budget>| downgrades(budget).any(|name| name == *pool);
    near.budgets = observed.budgets.iter().filter(falls_back).cloned().collect();
    let named: BTreeSet<ObjectName> = near.budgets.iter().flat_map(|budget| counted(budget)).collect();
    let uses = |route: &&Arc<LLMRoute>| {
        named.contains(&ObjectName::of(route.as_ref())) || references(route).any(|(name, _)| name == *pool)
    };
    near.routes = observed.routes.iter().filter(uses).cloned().collect();
}

/// The routes that a budget names.
fn counted(budget: &Budget) -> impl Iterator<Item = ObjectName> {
    let own = ObjectName::of(budget).namespace;
    let routes = budget.spec.scope.iter().flat_map(|scope| &scope.routes);
    routes.map(move |route| {
        ObjectName::new(route.namespace.as_ref().unwrap_or(&own).clone(), route.name.clone())
    })
}

/// The pools that a budget falls back to.
fn downgrades(budget: &Budget) -> impl Iterator<Item = ObjectName> {
    let own = ObjectName::of(budget).namespace;
    let given = budget.spec.on_exceeded.iter().filter_map(|given| given.downgrade.as_ref());
    given.flat_map(|downgrade| &downgrade.backends).map(move |backend| {
        let namespace = backend.pool.namespace.as_ref().unwrap_or(&own);
        ObjectName::new(namespace.clone(), backend.pool.name.clone())
    })
}

/// The same with the proposal carried out.
fn applied(mut observed: Observed, proposal: &Proposal) -> Observed {
    match proposal {
        Proposal::Route(route) => {
            let name = ObjectName::of(route.as_ref());
            observed.routes.retain(|other| ObjectName::of(other.as_ref()) != name);
            let mut route = route.clone();
            if route.metadata.creation_timestamp.is_none() {
                // Not made yet: all others are older.
                Arc::make_mut(&mut route).metadata.creation_timestamp = Some(Time(Timestamp::MAX));
            }
            observed.routes.push(route);
        }
        Proposal::Pool(pool) => {
            let name = ObjectName::of(pool.as_ref());
            observed.pools.retain(|other| ObjectName::of(other.as_ref()) != name);
            observed.pools.push(pool.clone());
        }
        Proposal::Budget(budget) => {
            let name = ObjectName::of(budget.as_ref());
            observed.budgets.retain(|other| ObjectName::of(other.as_ref()) != name);
            observed.budgets.push(budget.clone());
        }
        Proposal::DeletePool(name) => {
            observed.pools.retain(|other| ObjectName::of(other.as_ref()) != *name);
        }
    }
    observed
}

/// What is not in order, by object.
fn troubles(compiled: &Compiled) -> BTreeMap<String, Vec<String>> {
    let routes = compiled.routes.iter().map(|(name, outcome)| (route_key(name), &outcome.verdicts));
    let pools = compiled.pools.iter().map(|(name, outcome)| (pool_key(name), &outcome.verdicts));
    let budgets = compiled.budgets.iter().map(|(name, outcome)| (budget_key(name), &outcome.verdicts));
    let wrong = |verdict: &&Verdict| verdict.status == (verdict.condition == ConditionType::PartiallyInvalid);
    let told = |(object, verdicts): (String, &Vec<Verdict>)| {
        let told: Vec<String> = verdicts.iter().filter(wrong).map(|v| v.message.clone()).collect();
        (!told.is_empty()).then_some((object, told))
    };
    routes.chain(pools).chain(budgets).filter_map(told).collect()
}

#[cfg(test)]
mod tests;
