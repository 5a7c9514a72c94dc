//! An LLMRoute to the rules that each of its gateways should hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};
use llm_config as config;
use llm_crds::{Backend, ConditionType, FromNamespaces, LLMRoute, Reason, RouteRule, Timeouts, Verdict};

use super::{RouteOutcome, accepted, pool::Offered, resolved};
use crate::observe::{ObjectName, Observed};

type Pools<'a> = BTreeMap<ObjectName, Offered<'a>>;
/// Which route serves a model on a gateway.
pub type Claims = BTreeMap<(String, String), ObjectName>;
/// By gateway.
type Shipped = Vec<(String, config::Route)>;

pub fn compile(
    name: &ObjectName,
    route: &LLMRoute,
    observed: &Observed,
    pools: &Pools<'_>,
    claims: &mut Claims,
) -> (RouteOutcome, Shipped) {
    let joined = Joined { name, observed, pools };
    let mut rules = Vec::new();
    let mut refs = References::default();
    for (i, rule) in route.spec.rules.iter().enumerate() {
        rules.push(joined.rule(&format!("spec.rules[{i}]"), rule, &mut refs));
    }
    let invalid = repeated_models(&rules);
    let rules = rules.concat();
    let unknown = unknown_gateways(route, observed);
    let mut outcome = RouteOutcome {
        models: rules.iter().flat_map(|rule| rule.models.iter().cloned()).collect(),
        pools: refs.pools.iter().map(ToString::to_string).collect(),
        ..RouteOutcome::default()
    };
    let resolved = resolved(refs.reason.unwrap_or(Reason::ResolvedRefs), &refs.problems);
    if !invalid.is_empty() || !unknown.is_empty() || refs.fatal {
        let reason = if invalid.is_empty() { Reason::NoMatchingGateway } else { Reason::Invalid };
        outcome.verdicts = vec![accepted(reason, &[invalid, unknown].concat()), resolved];
        return (outcome, Vec::new());
    }
    let (shipped, lost) = claim(name, route, &rules, claims);
    outcome.gateways = shipped.iter().map(|(gateway, _)| gateway.clone()).collect();
    outcome.models =
        shipped.iter().flat_map(|(_, r)| &r.rules).flat_map(|rule| rule.models.clone()).collect();
    outcome.verdicts = if shipped.is_empty() {
        vec![accepted(Reason::ModelConflict, &lost), resolved]
    } else {
        vec![accepted(Reason::Accepted, &[]), resolved]
    };
    if !lost.is_empty() && !shipped.is_empty() {
        outcome.verdicts.push(Verdict {
            condition: ConditionType::PartiallyInvalid,
            status: true,
            reason: Reason::ModelConflict,
            message: lost.join("; "),
        });
    }
    (outcome, shipped)
}

/// Takes the models that no older route has, gateway by gateway.
fn claim(
    name: &ObjectName,
    route: &LLMRoute,
    rules: &[config::Rule],
    claims: &mut Claims,
) -> (Shipped, Vec<String>) {
    let mut lost = Vec::new();
    let mut shipped = Vec::new();
    for gateway in &route.spec.attach_to.gateways {
        let mut kept = Vec::new();
        for rule in rules {
            let mut rule = rule.clone();
            rule.models.retain(|model| {
                let holder = claims.entry((gateway.clone(), model.clone())).or_insert_with(|| name.clone());
                if holder != name {
                    lost.push(format!(
                        "model `{model}` is served on gateway `{gateway}` by the older LLMRoute {holder}: remove it from one of them"
                    ));
                }
                holder == name
            });
            if !rule.models.is_empty() {
                kept.push(rule);
            }
        }
        if !kept.is_empty() {
            shipped.push((gateway.clone(), config::Route { rules: kept }));
        }
    }
    (shipped, lost)
}

fn repeated_models(rules: &[Vec<config::Rule>]) -> Vec<String> {
    let mut first = BTreeMap::new();
    let mut problems = Vec::new();
    for (i, rule) in rules.iter().enumerate() {
        for model in rule.iter().flat_map(|part| &part.models) {
            if let Some(other) = first.insert(model.as_str(), i) {
                problems
                    .push(format!("spec.rules[{i}]: model `{model}` is served by rules[{other}] already"));
            }
        }
    }
    problems
}

fn unknown_gateways(route: &LLMRoute, observed: &Observed) -> Vec<String> {
    let known = observed.gateways.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let unknown =
        route.spec.attach_to.gateways.iter().filter(|gateway| !observed.gateways.contains(*gateway));
    unknown
        .map(|gateway| format!("spec.attachTo.gateways: there is no gateway `{gateway}`; there are: {known}"))
        .collect()
}

/// What a route refers to.
#[derive(Default)]
struct References {
    pools: BTreeSet<ObjectName>,
    reason: Option<Reason>,
    problems: Vec<String>,
    /// Whether a problem keeps the route from being shipped.
    fatal: bool,
}

impl References {
    fn fatal(&mut self, reason: Reason, problem: String) {
        self.reason.get_or_insert(reason);
        self.problems.push(problem);
        self.fatal = true;
    }
}

/// The route among everything else.
struct Joined<'a> {
    name: &'a ObjectName,
    observed: &'a Observed,
    pools: &'a Pools<'a>,
}

impl Joined<'_> {
    /// The rule in parts: models that the same backends answer for.
    fn rule(&self, path: &str, rule: &RouteRule, refs: &mut References) -> Vec<config::Rule> {
        let backends: Vec<(&Backend, config::Backend)> = rule
            .backends
            .iter()
            .enumerate()
            .filter_map(|(i, spec)| Some((spec, self.backend(&format!("{path}.backends[{i}]"), spec, refs)?)))
            .collect();
        let named = rule.matches.iter().flat_map(|entry| &entry.models);
        let served = backends.iter().flat_map(|(_, backend)| &backend.models);
        let asked: Vec<&String> = if rule.matches.is_empty() { served.collect() } else { named.collect() };
        let timeouts = timeouts(rule.timeouts.as_ref());
        let mut parts: Vec<config::Rule> = Vec::new();
        let mut seen = BTreeSet::new();
        for model in asked.into_iter().filter(|model| seen.insert(*model)) {
            let answering = answering(model, !rule.matches.is_empty(), &backends);
            match parts.iter_mut().find(|part| part.backends == answering) {
                Some(part) => part.models.push(model.clone()),
                None => {
                    parts.push(config::Rule { models: vec![model.clone()], backends: answering, timeouts });
                }
            }
        }
        parts
    }

    fn backend(&self, path: &str, backend: &Backend, refs: &mut References) -> Option<config::Backend> {
        let namespace = backend.pool.namespace.as_ref().unwrap_or(&self.name.namespace);
        let pool_name = ObjectName::new(namespace.clone(), backend.pool.name.clone());
        refs.pools.insert(pool_name.clone());
        let Some(offered) = self.pools.get(&pool_name) else {
            refs.fatal(Reason::BackendNotFound, format!("{path}.pool: there is no ProviderPool {pool_name}"));
            return None;
        };
        if !self.permitted(&pool_name, offered) {
            let problem = format!(
                "{path}.pool: ProviderPool {pool_name} does not admit routes of namespace `{}`: its spec.allowedNamespaces must",
                self.name.namespace
            );
            refs.fatal(Reason::RefNotPermitted, problem);
            return None;
        }
        let Some(compiled) = &offered.compiled else {
            refs.fatal(
                Reason::BackendNotFound,
                format!("{path}.pool: ProviderPool {pool_name} is not accepted: see its status"),
            );
            return None;
        };
        let mut offered_models = Vec::new();
        for model in offered.object.spec.providers.iter().flat_map(|provider| &provider.models) {
            if !offered_models.contains(&model.name) {
                offered_models.push(model.name.clone());
            }
        }
        let models = if backend.models.is_empty() { &offered_models } else { &backend.models };
        for (i, model) in models.iter().enumerate() {
            if !offered_models.contains(model) {
                let problem = format!(
                    "{path}.models[{i}]: ProviderPool {pool_name} has no model `{model}`; it has: {}",
                    offered_models.join(", ")
                );
                refs.fatal(Reason::ModelNotFound, problem);
            } else if !callable(compiled, model) {
                refs.reason.get_or_insert(Reason::NoUsableProvider);
                refs.problems.push(format!(
                    "{path}: no provider of ProviderPool {pool_name} can be called for model `{model}`: see its status"
                ));
            }
        }
        Some(config::Backend {
            pool: pool_name.to_string(),
            models: models.clone(),
            weight: backend.weight.try_into().unwrap_or_default(),
        })
    }

    fn permitted(&self, pool: &ObjectName, offered: &Offered<'_>) -> bool {
        if pool.namespace == self.name.namespace {
            return true;
        }
        let allowed = &offered.object.spec.allowed_namespaces;
        match allowed.from {
            FromNamespaces::Same => false,
            FromNamespaces::All => true,
            FromNamespaces::Selector => {
                let labels = self.observed.namespaces.get(&self.name.namespace);
                matches(allowed.selector.as_ref(), labels)
            }
        }
    }
}

/// The backends that answer for a model. Who serves it, does so. Others only stand in where the rule
/// says so: by a list of models of their own behind a name that the rule matches, or all of them
/// behind an alias, a name that none serves. Never is a caller given another model by accident.
fn answering(
    model: &String,
    matched: bool,
    backends: &[(&Backend, config::Backend)],
) -> Vec<config::Backend> {
    let alias = !backends.iter().any(|(_, backend)| backend.models.contains(model));
    let answers = |spec: &Backend, backend: &config::Backend| {
        backend.models.contains(model) || (matched && (alias || !spec.models.is_empty()))
    };
    backends
        .iter()
        .filter(|(spec, backend)| answers(spec, backend))
        .map(|(_, backend)| backend.clone())
        .collect()
}

fn timeouts(given: Option<&Timeouts>) -> config::Timeouts {
    let defaults = config::Timeouts::default();
    let millis = |duration: Option<kube::core::Duration>, default: u64| {
        duration.map_or(default, |duration| {
            u64::try_from(Duration::from(duration).as_millis()).unwrap_or(u64::MAX).max(1)
        })
    };
    config::Timeouts {
        request_ms: millis(given.and_then(|given| given.request), defaults.request_ms),
        idle_ms: millis(given.and_then(|given| given.idle), defaults.idle_ms),
    }
}

fn callable(pool: &config::Pool, model: &str) -> bool {
    pool.providers.iter().any(|provider| provider.models.iter().any(|offered| offered.name == model))
}

/// The schema admits no selector that can't be read; one that came by another way must not open a pool.
fn matches(selector: Option<&LabelSelector>, labels: Option<&BTreeMap<String, String>>) -> bool {
    let (Some(selector), Some(labels)) = (selector, labels) else { return false };
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}
