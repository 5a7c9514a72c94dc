//! Which route serves a model on a fleet: the oldest that names it. It is apart from the compile of a route because
//! whoever asks which routes may meet at all must go by the same names.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use llm_config as config;
use llm_crds::{Backend, LLMRoute, ProviderPool};

use super::fleet::Fleet;
use crate::observe::ObjectName;

/// Who has a model on a fleet.
pub type Claims = BTreeMap<(Fleet, String), ObjectName>;
/// What goes to each fleet.
pub type Shipped = Vec<(Fleet, config::Route)>;

/// Takes the models that no older route has, fleet by fleet.
pub fn claim(
    name: &ObjectName,
    fleets: impl Iterator<Item = Fleet>,
    rules: &[config::Rule],
    claims: &mut Claims,
) -> (Shipped, Vec<String>) {
    let mut lost = Vec::new();
    let mut shipped = Vec::new();
    for fleet in fleets {
        let mut kept = Vec::new();
        for rule in rules {
            let mut rule = rule.clone();
            rule.models.retain(|model| {
                let holder = claims.entry((fleet.clone(), said(model))).or_insert_with(|| name.clone());
                if holder != name {
                    let on = match &fleet {
                        Fleet::Gateway(gateway) => format!("on gateway `{gateway}`"),
                        Fleet::Sidecars { .. } => "to pods that both select".to_owned(),
                    };
                    let problem = format!(
                        "model `{model}` is served {on} by the older LLMRoute {holder}: remove it from one of them"
                    );
                    // Several fleets of sidecars say the same.
                    if !lost.contains(&problem) {
                        lost.push(problem);
                    }
                }
                holder == name
            });
            if !rule.models.is_empty() {
                kept.push(rule);
            }
        }
        if !kept.is_empty() {
            shipped.push((fleet, config::Route { rules: kept }));
        }
    }
    (shipped, lost)
}

/// Two stars say what one does.
fn said(model: &str) -> String {
    let said = std::iter::successors(Some(model.to_owned()), |said| {
        said.contains("**").then(|| said.replace("**", "*"))
    });
    said.last().unwrap_or_default()
}

/// The pools that a route refers to, each with the models that it names of it.
pub fn references(route: &LLMRoute) -> impl Iterator<Item = (ObjectName, &[String])> {
    let namespace = ObjectName::of(route).namespace;
    route.spec.rules.iter().flat_map(|rule| &rule.backends).map(move |Backend { pool, models, .. }| {
        let namespace = pool.namespace.as_ref().unwrap_or(&namespace);
        (ObjectName::new(namespace.clone(), pool.name.clone()), models.as_slice())
    })
}

/// What a route may claim, and rather more than less: routes without a common name never meet.
pub fn names(route: &LLMRoute, pools: &BTreeMap<ObjectName, Arc<ProviderPool>>) -> BTreeSet<String> {
    let matched = route.spec.rules.iter().flat_map(|rule| &rule.matches).flat_map(|entry| &entry.models);
    let mut names: BTreeSet<String> = matched.map(|model| said(model)).collect();
    for (pool, models) in references(route) {
        names.extend(models.iter().map(|model| said(model)));
        if models.is_empty() {
            let providers = pools.get(&pool).into_iter().flat_map(|pool| &pool.spec.providers);
            names.extend(providers.flat_map(|provider| &provider.models).map(|model| said(&model.name)));
        }
    }
    names
}
