//! What compile remembers from one change to the next: what each route comes to by itself, and what came of it among the
//! others. A thing is remembered together with all that it was made of, and holds where all of that is the same; so it
//! never shows in what comes out, and is nowhere to be told that something has changed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    sync::Arc,
};

use llm_crds::{LLMRoute, ProviderPool};

use super::{
    backend::{Namespaces, Pools, Referrer},
    claims::{Claims, Lost},
    fleet::Fleet,
    pool::{self, Offered},
    route::{self, Drawn, Settled},
};
use crate::observe::{ObjectName, Observed, SecretState};

/// Remembers.
#[derive(Debug, Default)]
pub struct Memory {
    secrets: BTreeMap<ObjectName, SecretState>,
    pools: HashMap<ObjectName, (Arc<ProviderPool>, Arc<Offered>)>,
    namespaces: Namespaces,
    gateways: BTreeSet<String>,
    routes: HashMap<ObjectName, Remembered>,
}

#[derive(Debug)]
struct Remembered {
    route: Arc<LLMRoute>,
    /// The pools that it refers to, as they were. They are kept, so that their addresses are theirs alone.
    pools: Vec<(ObjectName, Option<Arc<Offered>>)>,
    drawn: Arc<Drawn>,
    settled: Option<(Place, Arc<Settled>)>,
}

/// Where a route goes, and the models that others have there.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    fleets: Vec<Fleet>,
    lost: Vec<Lost>,
}

impl Memory {
    /// The pools; where one is to routes as it was, it is the same allocation.
    pub fn pools(&mut self, observed: &Observed) -> Pools {
        let secrets_are_same = self.secrets == observed.secrets;
        if !secrets_are_same {
            self.secrets.clone_from(&observed.secrets);
        }
        let mut before = mem::take(&mut self.pools);
        for object in &observed.pools {
            let name = ObjectName::of(object.as_ref());
            let old = before.remove(&name);
            let offered = match old {
                Some((old, offered))
                    if secrets_are_same && (Arc::ptr_eq(&old, object) || old.spec == object.spec) =>
                {
                    offered
                }
                old => {
                    let offered = pool::compile(&name, object, observed);
                    let same = old.map(|(_, old)| old).filter(|old| **old == offered);
                    same.unwrap_or_else(|| Arc::new(offered))
                }
            };
            self.pools.insert(name, (object.clone(), offered));
        }
        self.pools.iter().map(|(name, (_, offered))| (name.clone(), offered.clone())).collect()
    }

    /// What came of each route, the oldest first, and where two were made at once by name: this is who may have a model.
    pub fn routes(
        &mut self,
        observed: &Observed,
        pools: &Pools,
        selecting: &BTreeMap<Fleet, BTreeSet<ObjectName>>,
    ) -> Vec<(ObjectName, Arc<Settled>)> {
        let mut routes = self.drawn(observed, pools);
        routes.sort_by(|(name, a), (other, b)| {
            let made =
                |route: &Remembered| route.route.metadata.creation_timestamp.as_ref().map(|made| made.0);
            made(a).cmp(&made(b)).then_with(|| name.cmp(other))
        });
        let gateways = observed.gateways.keys();
        let gateways = gateways.map(|gateway| (gateway.as_str(), Fleet::gateway(gateway))).collect();
        let places = places(&routes, &gateways, selecting);
        let mut settled = Vec::with_capacity(routes.len());
        for ((name, route), (fleets, lost)) in routes.iter_mut().zip(places) {
            settled.push((name.clone(), route.settled(&fleets, lost)));
        }
        self.routes = routes.into_iter().collect();
        settled
    }

    /// The routes, each with what it comes to by itself.
    fn drawn(&mut self, observed: &Observed, pools: &Pools) -> Vec<(ObjectName, Remembered)> {
        let mut before = mem::take(&mut self.routes);
        if self.namespaces != observed.namespaces || !self.gateways.iter().eq(observed.gateways.keys()) {
            self.namespaces.clone_from(&observed.namespaces);
            self.gateways = observed.gateways.keys().cloned().collect();
            before.clear();
        }
        let drawn = |object: &Arc<LLMRoute>| {
            let name = ObjectName::of(object.as_ref());
            if let Some(mut old) = before.remove(&name).filter(|old| old.holds(object, pools)) {
                old.route = object.clone();
                return (name, old);
            }
            let referrer = Referrer {
                kind: "routes",
                namespace: &name.namespace,
                namespaces: &observed.namespaces,
                pools,
            };
            let drawn = route::draw(object, &self.gateways, &referrer);
            let looked_at = drawn.pools.iter().map(|pool| (pool.clone(), pools.get(pool).cloned()));
            let looked_at = looked_at.collect();
            (name, Remembered { route: object.clone(), pools: looked_at, drawn: drawn.into(), settled: None })
        };
        observed.routes.iter().map(drawn).collect()
    }
}

impl Remembered {
    /// Whether the route by itself comes to the same. Labels of namespaces and gateways are as they were.
    fn holds(&self, route: &Arc<LLMRoute>, pools: &Pools) -> bool {
        (Arc::ptr_eq(&self.route, route) || self.route.spec == route.spec)
            && self.pools.iter().all(|(name, then)| match (pools.get(name), then) {
                (Some(now), Some(then)) => Arc::ptr_eq(now, then),
                (None, None) => true,
                _ => false,
            })
    }

    /// What comes of it on these fleets.
    fn settled(&mut self, fleets: &[&Fleet], lost: Vec<Lost>) -> Arc<Settled> {
        if let Some((place, settled)) = &self.settled
            && place.fleets.iter().eq(fleets.iter().copied())
            && place.lost == lost
        {
            return settled.clone();
        }
        let settled = Arc::new(route::settle(&self.drawn, fleets, &lost));
        let fleets = fleets.iter().copied().cloned().collect();
        self.settled = Some((Place { fleets, lost }, settled.clone()));
        settled
    }
}

/// Where each route goes, and what it has lost there to those before it.
fn places<'f>(
    routes: &[(ObjectName, Remembered)],
    gateways: &'f BTreeMap<&str, Fleet>,
    selecting: &'f BTreeMap<Fleet, BTreeSet<ObjectName>>,
) -> Vec<(Vec<&'f Fleet>, Vec<Lost>)> {
    let mut selected: HashMap<&ObjectName, Vec<&'f Fleet>> = HashMap::new();
    for (fleet, names) in selecting {
        names.iter().for_each(|name| selected.entry(name).or_default().push(fleet));
    }
    let mut claims = Claims::default();
    let mut places = Vec::with_capacity(routes.len());
    for (name, Remembered { route, drawn, .. }) in routes {
        let (mut fleets, mut lost) = (Vec::new(), Vec::new());
        // Who can't be shipped takes nothing from others.
        if drawn.rules.is_some() {
            let attached = route.spec.attach_to.gateways.iter();
            fleets.extend(attached.filter_map(|gateway| gateways.get(gateway.as_str())));
            fleets.extend(selected.get(name).into_iter().flatten());
            fleets.iter().for_each(|fleet| claims.take(name, fleet, &drawn.claimed, &mut lost));
        }
        places.push((fleets, lost));
    }
    places
}

#[cfg(test)]
mod tests;
