//! A rule and a name to the candidates that may answer: every name resolved, every URL made, every
//! counter in hand.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use llm_config::{
    self as config, Complexity, Conditions, Operation, Override, QueuePriority, Sticky, Timeouts,
    budget::OnExceeded, pool,
};
use llm_routing::{
    breaker,
    rank::{Facts, Strategy, Weights},
};

use super::{
    Provider, Target, Told,
    budgets::{Budget, Budgets, Spender},
    router::{Asking, holds},
};
use crate::{
    metrics::{Labels, Metrics},
    upstream::{health::Healths, remote},
};

/// How good a model's answers are where its pool does not say.
const QUALITY: f32 = 0.5;

/// A rule in force.
#[derive(Debug)]
pub struct Rule {
    /// `namespace/name` of the LLMRoute.
    pub route: Arc<str>,
    /// Its place in the document's route.
    pub place: usize,
    pub when: Conditions,
    pub strategy: config::Strategy,
    pub fallback: bool,
    pub sticky: Option<Sticky>,
    pub complexity: Option<Complexity>,
    pub client_overrides: Vec<Override>,
    pub queue_priority: QueuePriority,
    pub hedging: Option<Hedging>,
    pub timeouts: Timeouts,
    /// What its calls may count for.
    pub budgets: Box<[Arc<Budget>]>,
}

/// When another candidate is asked too.
#[derive(Clone, Copy, Debug)]
pub enum Hedging {
    After(Duration),
    /// When the first is later than it usually is.
    Usual,
}

impl Rule {
    pub fn new(route: Arc<str>, place: usize, rule: &config::Rule, budgets: &Budgets) -> Self {
        Self {
            budgets: budgets.of_route(&route),
            route,
            place,
            when: rule.when.clone(),
            strategy: rule.strategy,
            fallback: rule.fallback,
            sticky: rule.sticky,
            complexity: rule.complexity,
            client_overrides: rule.client_overrides.clone(),
            queue_priority: rule.queue_priority,
            hedging: rule.hedging.map(|hedging| match hedging.delay_ms {
                Some(delay) => Hedging::After(Duration::from_millis(delay)),
                None => Hedging::Usual,
            }),
            timeouts: rule.timeouts,
        }
    }

    /// Whether it takes such a call.
    pub fn takes(&self, asking: Asking<'_>) -> bool {
        self.when.is_empty() || holds(&self.when, asking)
    }
}

/// How a strategy orders candidates.
pub fn ranking(strategy: config::Strategy) -> Strategy {
    match strategy {
        config::Strategy::Weighted => Strategy::Weighted,
        config::Strategy::Ordered => Strategy::Ordered,
        config::Strategy::Balanced => Strategy::Scored(Weights::BALANCED),
        config::Strategy::CostOptimized => Strategy::Scored(Weights::COST),
        config::Strategy::LatencyOptimized => Strategy::Scored(Weights::LATENCY),
        config::Strategy::QualityOptimized => Strategy::Scored(Weights::QUALITY),
    }
}

/// What answers for one name by one rule.
#[derive(Debug)]
pub struct Served {
    pub rule: Arc<Rule>,
    /// In the order of the manifests.
    pub candidates: Vec<Candidate>,
    /// What answers instead while a budget runs out.
    downgrades: Vec<(Arc<Budget>, Served)>,
}

impl Served {
    /// What answers now, and the budget that wants something cheaper than usual.
    pub fn now(&self, spender: Spender<'_>) -> (&Self, Option<&Arc<Budget>>) {
        let wanted = self.downgrades.iter().find(|(budget, _)| budget.downgrades(spender));
        wanted.map_or((self, None), |(budget, cheaper)| (cheaper, Some(budget)))
    }
}

/// A target in its place within a rule.
#[derive(Debug)]
pub struct Candidate {
    pub target: Arc<Target>,
    /// What is known of it beforehand; the rest is filled in for each call.
    pub facts: Facts,
    pub retry: Retry,
}

/// How often a call whose first choice this is may be sent, and the pause.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    pub attempts: u32,
    pub backoff: Duration,
}

/// The pools that can be called, by `namespace/name`.
pub type Pools<'a> = BTreeMap<&'a str, ReadyPool<'a>>;

/// A pool with its providers ready.
pub struct ReadyPool<'a> {
    pub spec: &'a config::Pool,
    pub providers: Vec<(Arc<Provider>, &'a pool::Provider)>,
}

/// Makes what rules serve; a target is made once, however many names lead to it.
pub struct Builder<'a> {
    pub pools: Pools<'a>,
    pub metrics: &'a Metrics,
    pub healths: &'a Healths,
    made: HashMap<Labels, Arc<Target>>,
}

impl<'a> Builder<'a> {
    pub fn new(pools: Pools<'a>, metrics: &'a Metrics, healths: &'a Healths) -> Self {
        Self { pools, metrics, healths, made: HashMap::new() }
    }

    /// What answers for a name. Who serves it, does so; others only stand in where the rule says so:
    /// by a list of models of their own, or all of them behind an alias, a name that none serves.
    pub fn serve(&mut self, rule: Arc<Rule>, spec: &config::Rule, name: &str) -> Served {
        let candidates = self.all_candidates(&rule, &spec.backends, name);
        let mut downgrades = Vec::new();
        for budget in &rule.budgets {
            if let OnExceeded::Downgrade { backends, .. } = &budget.on_exceeded {
                let candidates = self.all_candidates(&rule, backends, name);
                let cheaper = Served { rule: rule.clone(), candidates, downgrades: Vec::new() };
                downgrades.push((budget.clone(), cheaper));
            }
        }
        Served { rule, candidates, downgrades }
    }

    fn all_candidates(&mut self, rule: &Rule, backends: &[config::Backend], name: &str) -> Vec<Candidate> {
        let alias = !backends.iter().any(|backend| backend.models.iter().any(|model| model == name));
        let mut candidates = Vec::new();
        for (place, backend) in (0..).zip(backends).filter(|(_, backend)| backend.weight > 0) {
            let named = backend.models.iter().filter(|model| *model == name);
            let others = backend.models.iter().filter(|model| (alias || backend.stands_in) && *model != name);
            for (model_place, model) in (0..).zip(named.chain(others)) {
                let facts = Facts {
                    backend: place,
                    backend_weight: backend.weight,
                    model: model_place,
                    named: model == name,
                    ..Facts::default()
                };
                self.candidates(rule, backend, model, facts, &mut candidates);
            }
        }
        for (place, candidate) in (0..).zip(&mut candidates) {
            candidate.facts.place = place;
        }
        candidates
    }

    fn candidates(
        &mut self,
        rule: &Rule,
        backend: &config::Backend,
        model: &str,
        facts: Facts,
        candidates: &mut Vec<Candidate>,
    ) {
        let Some(pool) = self.pools.get(backend.pool.as_str()) else { return };
        let retry = Retry {
            attempts: pool.spec.retry.attempts,
            backoff: Duration::from_millis(pool.spec.retry.backoff_ms),
        };
        let breaker = breaker_settings(pool.spec.circuit_breaker);
        let providers = pool.providers.iter().map(|(ready, spec)| (ready.clone(), *spec));
        for (provider, spec) in providers.collect::<Vec<_>>() {
            let Some(model) = spec.models.iter().find(|offered| offered.name == model) else { continue };
            let facts = Facts {
                priority: spec.priority,
                weight: spec.weight,
                quality: model.quality_ppm.map_or(QUALITY, parts_of_one),
                health: 1.0,
                ..facts
            };
            let target = self.target(&rule.route, provider, spec, model, breaker);
            candidates.push(Candidate { target, facts, retry });
        }
    }

    fn target(
        &mut self,
        route: &Arc<str>,
        provider: Arc<Provider>,
        spec: &pool::Provider,
        model: &config::Model,
        breaker: breaker::Settings,
    ) -> Arc<Target> {
        let labels = Labels {
            route: route.clone(),
            provider: provider.name.clone(),
            model: model.name.as_str().into(),
        };
        let (metrics, healths) = (self.metrics, self.healths);
        let make = || {
            let places =
                spec.upstream.remote().map(|to| remote::places(provider.kind, to, &model.upstream_name));
            Arc::new(Target {
                series: metrics.series(&labels),
                health: healths.of(&provider.name, &labels.model, breaker),
                breaker,
                upstream_model: model.upstream_name.as_str().into(),
                chat: model.operations.contains(&Operation::Chat),
                embeddings: model.operations.contains(&Operation::Embeddings),
                max_output_tokens: model.max_output_tokens,
                context_window: model.context_window,
                tier: model.tier,
                capabilities: model.capabilities.clone(),
                places: places.unwrap_or_default(),
                price: model.price,
                told: Told::new(&labels),
                labels: labels.clone(),
                provider,
            })
        };
        self.made.entry(labels.clone()).or_insert_with(make).clone()
    }
}

fn breaker_settings(given: config::CircuitBreaker) -> breaker::Settings {
    breaker::Settings {
        failures: given.failures,
        recovery: Duration::from_millis(given.recovery_ms),
        rate: breaker::Rate { percent: given.failure_percent, ..breaker::Rate::default() },
    }
}

#[expect(clippy::cast_precision_loss, reason = "six digits are exact")]
fn parts_of_one(ppm: u32) -> f32 {
    ppm as f32 / 1e6
}
