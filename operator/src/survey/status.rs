//! The whole of an installation on one page. Pure.

use std::collections::BTreeMap;

use llm_crds::Condition;
use serde::Serialize;

use super::{
    Seen,
    facts::{Facts, Held},
    proxies::{Counts, Listed, Replica, Unreachable},
};
use crate::{compile::fleet, observe::ObjectName, publish::attached::versions::Kind};

/// Good when true, in the order in which they matter.
const CONDITIONS: [&str; 5] = ["Accepted", "ResolvedRefs", "Programmed", "Healthy", "LedgerReachable"];
/// Bad when true.
const PARTIAL: &str = "PartiallyInvalid";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub namespace: String,
    pub operator: Operator,
    pub fleets: Vec<Fleet>,
    pub routes: Objects,
    pub pools: Objects,
    pub budgets: Objects,
    /// Models of providers that some proxies leave alone.
    pub open: Vec<Open>,
    /// Pods that asked for a sidecar and have none.
    pub without_sidecar: usize,
    /// What could not be looked at, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
}

/// Its replicas.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operator {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<i32>,
    pub ready: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_since_renewal: Option<i64>,
    pub replicas: Vec<Replica>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
}

/// The proxies of a gateway, or the sidecars of a namespace.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    pub kind: Kind,
    pub name: String,
    #[serde(flatten)]
    pub counts: Counts,
}

/// All objects of a kind.
#[derive(Debug, Default, Serialize)]
pub struct Objects {
    pub total: usize,
    pub troubled: Vec<Trouble>,
}

/// An object that is not as it should be, and the first condition that says so.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    pub object: String,
    pub condition: String,
    pub reason: String,
    pub message: String,
}

/// A model of a provider that is left alone because it fails.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// `namespace/pool/provider`.
    pub provider: String,
    pub model: String,
    pub open: i32,
    pub proxies: i32,
    pub last_error: String,
}

impl Status {
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        let mut unseen = Vec::new();
        let pools = seen("ProviderPools", &facts.pools, &mut unseen);
        let budgets = seen("Budgets", &facts.budgets, &mut unseen);
        let routes = seen("LLMRoutes", &facts.routes, &mut unseen);
        let without_sidecar = seen("pods without sidecar", &facts.without_sidecar, &mut unseen).len();
        let operator = Operator::of(facts, &mut unseen);
        let route = |route: &llm_crds::LLMRoute| {
            let conditions = route.status.as_ref().map(|status| &status.conditions[..]);
            (ObjectName::of(route), conditions.unwrap_or_default().to_vec())
        };
        let pool = |pool: &llm_crds::ProviderPool| {
            let conditions = pool.status.as_ref().map(|status| &status.conditions[..]);
            (ObjectName::of(pool), conditions.unwrap_or_default().to_vec())
        };
        let budget = |budget: &llm_crds::Budget| {
            let conditions = budget.status.as_ref().map(|status| &status.conditions[..]);
            (ObjectName::of(budget), conditions.unwrap_or_default().to_vec())
        };
        Self {
            namespace: facts.namespace.clone(),
            operator,
            fleets: fleets(&facts.listing.proxies),
            routes: Objects::of(routes.iter().map(route)),
            pools: Objects::of(pools.iter().map(pool)),
            budgets: Objects::of(budgets.iter().map(budget)),
            open: pools.iter().flat_map(open).collect(),
            without_sidecar,
            unseen,
        }
    }
}

/// What was seen; else why not goes to `unseen`.
fn seen<'a, T>(what: &str, of: &'a Seen<Vec<T>>, unseen: &mut Vec<String>) -> &'a [T] {
    of.as_deref().unwrap_or_else(|why| {
        unseen.push(format!("{what}: {why}"));
        &[]
    })
}

impl Operator {
    fn of(facts: &Facts, unseen: &mut Vec<String>) -> Self {
        let pods = facts.operator.clone().unwrap_or_else(|why| {
            unseen.push(format!("the operator's pods: {why}"));
            super::facts::Operator::default()
        });
        let lease = facts.lease.clone().unwrap_or_else(|why| {
            unseen.push(format!("the Lease: {why}"));
            None
        });
        let held = lease.filter(|Held { holder, .. }| !holder.is_empty());
        let renewed = held.as_ref().and_then(|held| held.renewed);
        Self {
            wanted: pods.wanted,
            ready: pods.ready,
            seconds_since_renewal: renewed.map(|at| facts.now.duration_since(at).as_secs().max(0)),
            leader: held.map(|held| held.holder),
            replicas: facts.listing.replicas.clone(),
            unreachable: facts.listing.unreachable.clone(),
        }
    }
}

/// Sidecars by namespace: by which routes they are selected is for who looks at one.
fn fleets(proxies: &[Listed]) -> Vec<Fleet> {
    let mut fleets: BTreeMap<(Kind, String), Vec<&Listed>> = BTreeMap::new();
    for listed in proxies {
        let name = match (&listed.proxy.fleet, listed.proxy.name.split_once('/')) {
            (Some(fleet::Fleet::Gateway(name)), _) => name.clone(),
            (_, Some((namespace, _))) => namespace.to_owned(),
            (_, None) => "unknown".to_owned(),
        };
        fleets.entry((listed.proxy.kind, name)).or_default().push(listed);
    }
    let fleets = fleets.into_iter();
    fleets.map(|((kind, name), of)| Fleet { kind, name, counts: Counts::of(of) }).collect()
}

impl Objects {
    fn of(objects: impl Iterator<Item = (ObjectName, Vec<Condition>)>) -> Self {
        let mut all = Self::default();
        for (name, conditions) in objects {
            all.total += 1;
            all.troubled.extend(trouble(&name, &conditions));
        }
        all.troubled.sort_by(|a, b| a.object.cmp(&b.object));
        all
    }
}

fn trouble(name: &ObjectName, conditions: &[Condition]) -> Option<Trouble> {
    let is = |wanted: &str, status: &str| {
        conditions.iter().find(|condition| condition.type_ == wanted && condition.status == status)
    };
    let bad = CONDITIONS.iter().find_map(|wanted| is(wanted, "False")).or_else(|| is(PARTIAL, "True"));
    let object = name.to_string();
    match bad {
        // Nobody is meant to run it.
        Some(bad) if bad.reason == "Unused" => None,
        Some(bad) => Some(Trouble {
            object,
            condition: bad.type_.clone(),
            reason: bad.reason.clone(),
            message: bad.message.clone(),
        }),
        None if is("Programmed", "True").is_none() => Some(Trouble {
            object,
            condition: "Programmed".to_owned(),
            reason: "Unknown".to_owned(),
            message: "no operator has looked at it yet".to_owned(),
        }),
        None => None,
    }
}

fn open(pool: &llm_crds::ProviderPool) -> Vec<Open> {
    let name = ObjectName::of(pool);
    let providers = pool.status.iter().flat_map(|status| &status.providers);
    providers
        .flat_map(|provider| provider.models.iter().map(move |model| (provider, model)))
        .map(|(provider, model)| Open {
            provider: format!("{name}/{}", provider.name),
            model: model.name.clone(),
            open: model.open,
            proxies: model.proxies,
            last_error: model.last_error.clone(),
        })
        .collect()
}
