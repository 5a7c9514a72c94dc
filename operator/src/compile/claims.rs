//! Which route serves a model on a fleet: the oldest that names it. It is apart from the compile of a route because
//! whoever asks which routes may meet at all must go by the same names.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use llm_config as config;
use llm_crds::{Backend, LLMRoute, ProviderPool};

use super::fleet::Fleet;
use crate::observe::ObjectName;

/// Who has which model, by fleet. Nothing of it is a copy: all routes are settled anew after each change of one.
#[derive(Debug, Default)]
pub struct Claims<'a>(HashMap<&'a Fleet, HashMap<&'a str, &'a ObjectName>>);

/// A model that an older route has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub fleet: Fleet,
    /// As callers name it.
    pub model: String,
    pub holder: ObjectName,
}

impl<'a> Claims<'a> {
    /// Takes, on one fleet, the models that no older route has there; those of the others that are not taken are added
    /// to `lost`.
    pub fn take(
        &mut self,
        name: &'a ObjectName,
        fleet: &'a Fleet,
        models: &'a [Claimed],
        lost: &mut Vec<Lost>,
    ) {
        let held = self.0.entry(fleet).or_default();
        for Claimed { model, said } in models {
            let holder = *held.entry(said.as_str()).or_insert(name);
            if holder != name {
                lost.push(Lost { fleet: fleet.clone(), model: model.clone(), holder: holder.clone() });
            }
        }
    }
}

/// A model that a route names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub model: String,
    /// What it says, by which two of them are the same.
    said: String,
}

/// All models that these rules name, each once.
pub fn claimed(rules: &[config::Rule]) -> Vec<Claimed> {
    let mut seen = BTreeSet::new();
    let models = rules.iter().flat_map(|rule| &rule.models).filter(|model| seen.insert(*model));
    models.map(|model| Claimed { model: model.clone(), said: said(model) }).collect()
}

/// The rules without the models that others have on this fleet; none where no model is left.
pub fn kept(rules: &Arc<config::Route>, fleet: &Fleet, lost: &[Lost]) -> Option<Arc<config::Route>> {
    let lost: BTreeSet<&str> =
        lost.iter().filter(|lost| lost.fleet == *fleet).map(|lost| lost.model.as_str()).collect();
    if lost.is_empty() {
        return (!rules.rules.is_empty()).then(|| rules.clone());
    }
    let mut rules = rules.rules.clone();
    for rule in &mut rules {
        rule.models.retain(|model| !lost.contains(model.as_str()));
    }
    rules.retain(|rule| !rule.models.is_empty());
    (!rules.is_empty()).then(|| Arc::new(config::Route { rules }))
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fleet, model, holder } = self;
        write!(f, "model `{model}` is served ")?;
        match fleet {
            Fleet::Gateway(gateway) => write!(f, "on gateway `{gateway}`")?,
            Fleet::Sidecars { .. } => f.write_str("to pods that both select")?,
        }
        write!(f, " by the older LLMRoute {holder}: remove it from one of them")
    }
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
