//! An LLMRoute to the rules that each of its gateways should hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use llm_config as config;
use llm_crds::{
    Backend, CallerMatch, Complexity, ConditionType, Dialect, LLMRoute, Override, QueuePriority, Reason,
    RouteMatch, RouteRule, Sticky, StickyBy, Strategy, Timeouts, Verdict, unit_interval_ppm,
};

use super::{
    RouteOutcome, accepted,
    backend::{Findings, Referrer},
    claims::{Claimed, Lost, claimed, kept},
    fleet::Fleet,
    millis, resolved,
};
use crate::observe::ObjectName;

/// What a route comes to by itself, whatever others there are.
#[derive(Debug)]
pub struct Drawn {
    /// Its rules with all their models; none where it can't be shipped.
    pub rules: Option<Arc<config::Route>>,
    /// The models of these rules.
    pub claimed: Vec<Claimed>,
    /// The pools that it refers to, there or not.
    pub pools: BTreeSet<ObjectName>,
    /// Of one that is not shipped.
    outcome: RouteOutcome,
    resolved: Verdict,
}

/// What a route comes to among all others.
#[derive(Debug)]
pub struct Settled {
    pub outcome: Arc<RouteOutcome>,
    pub shares: Vec<Share>,
}

/// What a fleet gets of a route.
#[derive(Debug)]
pub struct Share {
    pub fleet: Fleet,
    pub route: Arc<config::Route>,
    /// Pools that answer there, as `namespace/name`.
    pub pools: BTreeSet<String>,
}

/// Looks at the route, at what the referrer gives, and at nothing else: it is asked again when one of these is another.
pub fn draw(route: &LLMRoute, gateways: &BTreeSet<String>, referrer: &Referrer<'_>) -> Drawn {
    let mut rules = Vec::new();
    let mut found = Findings::default();
    for (i, rule) in route.spec.rules.iter().enumerate() {
        rules.push(compile_rule(&format!("spec.rules[{i}]"), rule, referrer, &mut found));
    }
    let invalid = [repeated(&rules), std::mem::take(&mut found.invalid)].concat();
    let rules = rules.concat();
    let unknown = unknown_gateways(route, gateways);
    let mut outcome = RouteOutcome {
        models: rules.iter().flat_map(|rule| rule.models.iter().cloned()).collect(),
        pools: found.pools.iter().map(ToString::to_string).collect(),
        ..RouteOutcome::default()
    };
    let resolved = resolved(found.reason.unwrap_or(Reason::ResolvedRefs), &found.problems);
    let claimed = claimed(&rules);
    // A name that no backend serves is nobody's; a rule without any would be refused with all of its document.
    let rules = rules.into_iter().filter(|rule| !rule.models.is_empty()).collect();
    let mut shippable = Some(Arc::new(config::Route { rules }));
    if !invalid.is_empty() || !unknown.is_empty() || found.fatal {
        let reason = if invalid.is_empty() { Reason::NoMatchingGateway } else { Reason::Invalid };
        outcome.verdicts = vec![accepted(reason, &[invalid, unknown].concat()), resolved.clone()];
        shippable = None;
    }
    Drawn { rules: shippable, claimed, pools: found.pools, outcome, resolved }
}

/// What comes of it on these fleets, where others have those models.
pub fn settle(drawn: &Drawn, fleets: &[&Fleet], lost: &[Lost]) -> Settled {
    let mut outcome = drawn.outcome.clone();
    let Some(rules) = &drawn.rules else {
        return Settled { outcome: Arc::new(outcome), shares: Vec::new() };
    };
    let share = |fleet: &&Fleet| {
        let route = kept(rules, fleet, lost)?;
        let backends = route.rules.iter().flat_map(|rule| &rule.backends);
        let pools = backends.map(|backend| backend.pool.clone()).collect();
        Some(Share { fleet: (*fleet).clone(), route, pools })
    };
    let shares: Vec<Share> = fleets.iter().filter_map(share).collect();
    outcome.fleets = shares.iter().map(|share| share.fleet.clone()).collect();
    // Several fleets of sidecars say the same.
    let mut said = Vec::new();
    for lost in lost.iter().map(ToString::to_string) {
        if !said.contains(&lost) {
            said.push(lost);
        }
    }
    // Where no pod is selected yet, there is nobody to have lost against.
    outcome.shipped = !shares.is_empty() || said.is_empty();
    if !shares.is_empty() {
        let rules = shares.iter().flat_map(|share| &share.route.rules);
        outcome.models = rules.flat_map(|rule| rule.models.clone()).collect();
    }
    let (reason, problems) = if outcome.shipped {
        (Reason::Accepted, [].as_slice())
    } else {
        (Reason::ModelConflict, said.as_slice())
    };
    outcome.verdicts = vec![accepted(reason, problems), drawn.resolved.clone()];
    if !said.is_empty() && !shares.is_empty() {
        outcome.verdicts.push(Verdict {
            condition: ConditionType::PartiallyInvalid,
            status: true,
            reason: Reason::ModelConflict,
            message: said.join("; "),
        });
    }
    Settled { outcome: Arc::new(outcome), shares }
}

/// A name stands once for the same conditions: which of two rules would answer is nobody's guess.
fn repeated(rules: &[Vec<config::Rule>]) -> Vec<String> {
    let mut first = BTreeMap::new();
    let mut problems = Vec::new();
    for (i, rule) in rules.iter().enumerate() {
        for (part, model) in rule.iter().flat_map(|part| part.models.iter().map(move |model| (part, model))) {
            if let Some(other) = first.insert((model, &part.when), i) {
                problems.push(format!(
                    "spec.rules[{i}]: model `{model}` is served by rules[{other}] already, under the same conditions"
                ));
            }
        }
    }
    problems
}

fn unknown_gateways(route: &LLMRoute, known: &BTreeSet<String>) -> Vec<String> {
    let unknown = route.spec.attach_to.gateways.iter().filter(|gateway| !known.contains(*gateway));
    let known = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    unknown
        .map(|gateway| format!("spec.attachTo.gateways: there is no gateway `{gateway}`; there are: {known}"))
        .collect()
}

/// The rule in parts: names under the same conditions.
fn compile_rule(
    path: &str,
    rule: &RouteRule,
    referrer: &Referrer<'_>,
    found: &mut Findings,
) -> Vec<config::Rule> {
    let mut backends = Vec::new();
    let mut served = Vec::new();
    for (i, spec) in rule.backends.iter().enumerate() {
        let backend = backend(&format!("{path}.backends[{i}]"), spec, referrer, found);
        // What is given by name is known without its pool.
        served.extend(backend.as_ref().map_or(&spec.models, |backend| &backend.models).clone());
        backends.extend(backend);
    }
    let mut seen = BTreeSet::new();
    served.retain(|model| seen.insert(model.clone()));
    let complexity = rule.complexity.as_ref().and_then(|given| {
        complexity(given).map_err(|error| found.invalid(format!("{path}.complexity: {error}"))).ok()
    });
    let mut named: BTreeMap<config::Conditions, Vec<String>> = BTreeMap::new();
    for entry in &rule.matches {
        let models = if entry.models.is_empty() { &served } else { &entry.models };
        let names = named.entry(conditions(entry)).or_default();
        names.extend(models.iter().filter(|model| !names.contains(model)).cloned().collect::<Vec<_>>());
    }
    if rule.matches.is_empty() {
        named.insert(config::Conditions::default(), served);
    }
    named
        .into_iter()
        .map(|(when, models)| config::Rule {
            models,
            when,
            backends: backends.clone(),
            strategy: strategy(rule.strategy),
            fallback: rule.fallback.enabled,
            sticky: rule.sticky.as_ref().map(|Sticky { by: StickyBy::User }| config::Sticky::User),
            complexity,
            client_overrides: rule.client_overrides.iter().copied().map(may_choose).collect(),
            hedging: rule
                .hedging
                .as_ref()
                .map(|hedging| config::Hedging { delay_ms: hedging.delay.map(millis) }),
            queue_priority: match rule.queue_priority {
                QueuePriority::Low => config::QueuePriority::Low,
                QueuePriority::Normal => config::QueuePriority::Normal,
                QueuePriority::High => config::QueuePriority::High,
            },
            timeouts: timeouts(rule.timeouts.as_ref()),
        })
        .collect()
}

fn backend(
    path: &str,
    backend: &Backend,
    referrer: &Referrer<'_>,
    found: &mut Findings,
) -> Option<config::Backend> {
    let (pool, models) = referrer.backend(path, &backend.pool, &backend.models, found)?;
    Some(config::Backend {
        pool: pool.to_string(),
        models,
        weight: backend.weight.try_into().unwrap_or_default(),
        // Never is a caller given another model by accident: only a list of models stands in.
        stands_in: !backend.models.is_empty(),
    })
}

fn conditions(entry: &RouteMatch) -> config::Conditions {
    let headers = entry.headers.iter().map(|header| config::HeaderMatch {
        name: header.name.to_ascii_lowercase(),
        value: header.value.clone(),
    });
    let dialects = entry.dialects.iter().map(|dialect| match dialect {
        Dialect::OpenAI => config::Dialect::OpenAI,
        Dialect::Anthropic => config::Dialect::Anthropic,
        Dialect::Gemini => config::Dialect::Gemini,
        Dialect::Ollama => config::Dialect::Ollama,
    });
    let mut conditions = config::Conditions {
        callers: entry.callers.iter().map(caller).collect(),
        headers: headers.collect(),
        dialects: dialects.collect(),
        paths: entry.paths.clone(),
    };
    // The order in which they are given means nothing: the same conditions are told as the same.
    conditions.callers.sort();
    conditions.headers.sort();
    conditions.dialects.sort();
    conditions.paths.sort();
    conditions
}

fn caller(wanted: &CallerMatch) -> config::CallerMatch {
    let CallerMatch { mut namespaces, mut service_accounts, labels, mut keys, mut certificates } =
        wanted.clone();
    for list in [&mut namespaces, &mut service_accounts, &mut keys, &mut certificates] {
        list.sort();
    }
    config::CallerMatch { namespaces, service_accounts, labels, keys, certificates }
}

fn complexity(given: &Complexity) -> Result<config::Complexity, String> {
    let ppm = |text: &str| unit_interval_ppm(text).map_err(|error| error.to_string());
    let (simple_ppm, medium_ppm) = (ppm(&given.simple)?, ppm(&given.medium)?);
    // The schema refuses it; what an older one has let through would keep all else from the proxies.
    if simple_ppm > medium_ppm {
        return Err("simple must be at most medium".to_owned());
    }
    Ok(config::Complexity { simple_ppm, medium_ppm })
}

fn may_choose(what: Override) -> config::Override {
    match what {
        Override::Strategy => config::Override::Strategy,
        Override::Providers => config::Override::Providers,
        Override::Capabilities => config::Override::Capabilities,
        Override::Cost => config::Override::Cost,
        Override::Latency => config::Override::Latency,
        Override::Fallback => config::Override::Fallback,
        Override::Cache => config::Override::Cache,
    }
}

fn strategy(strategy: Strategy) -> config::Strategy {
    match strategy {
        Strategy::Weighted => config::Strategy::Weighted,
        Strategy::Ordered => config::Strategy::Ordered,
        Strategy::Balanced => config::Strategy::Balanced,
        Strategy::CostOptimized => config::Strategy::CostOptimized,
        Strategy::LatencyOptimized => config::Strategy::LatencyOptimized,
        Strategy::QualityOptimized => config::Strategy::QualityOptimized,
    }
}

fn timeouts(given: Option<&Timeouts>) -> config::Timeouts {
    let defaults = config::Timeouts::default();
    let or = |duration: Option<kube::core::Duration>, default: u64| duration.map_or(default, millis);
    config::Timeouts {
        request_ms: or(given.and_then(|given| given.request), defaults.request_ms),
        first_token_ms: or(given.and_then(|given| given.first_token), defaults.first_token_ms),
        attempt_ms: given.and_then(|given| given.attempt).map(millis),
        idle_ms: or(given.and_then(|given| given.idle), defaults.idle_ms),
    }
}
