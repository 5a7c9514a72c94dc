//! A document as the request path wants it: every name resolved, every header and URL made, every
//! counter in hand. Built whole, swapped whole, never changed.

pub mod stream;

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Uri};
use llm_config::{Backend, Document, Price, Timeouts, pool, route};

use crate::{
    dialect::openai,
    metrics::{Labels, Metrics, Series},
    upstream::{
        client::{Clients, HttpClient, Trust},
        simulated::Simulated,
    },
};

/// The document in force.
#[derive(Debug)]
pub struct Snapshot {
    pub document: Document,
    pub models: HashMap<Box<str>, ServedModel>,
    /// The body of `GET /v1/models`.
    pub model_list: Bytes,
}

/// What answers for one name of a model.
#[derive(Debug)]
pub struct ServedModel {
    pub route: Arc<str>,
    pub timeouts: Timeouts,
    /// Those that can take calls.
    pub backends: Vec<BackendTargets>,
}

/// A backend: its targets by priority, no tier empty, at least one tier.
#[derive(Debug)]
pub struct BackendTargets {
    pub weight: u32,
    pub tiers: Vec<Vec<Arc<Target>>>,
}

/// A model at a provider.
#[derive(Debug)]
pub struct Target {
    pub weight: u32,
    pub provider: Arc<Provider>,
    /// The name by which the provider knows the model.
    pub upstream_model: Box<str>,
    pub price: Price,
    pub labels: Labels,
    pub series: Arc<Series>,
}

/// A provider, ready to be called.
#[derive(Debug)]
pub struct Provider {
    /// `namespace/pool/provider`.
    pub name: Arc<str>,
    pub upstream: Upstream,
}

/// How it is called.
#[derive(Debug)]
pub enum Upstream {
    OpenAI(OpenAIUpstream),
    Simulated(Simulated),
}

/// A server that speaks the OpenAI API.
#[derive(Debug)]
pub struct OpenAIUpstream {
    pub chat_completions: Uri,
    pub authorization: Option<HeaderValue>,
    /// One for each worker.
    pub clients: Arc<[HttpClient]>,
}

impl Snapshot {
    /// Makes a snapshot of a document.
    ///
    /// # Errors
    /// Every problem that keeps the document from being run.
    pub fn build(document: Document, metrics: &Metrics, clients: &Clients) -> Result<Self, Vec<String>> {
        let problems = document.check();
        if !problems.is_empty() {
            return Err(problems.iter().map(ToString::to_string).collect());
        }
        let mut problems = Vec::new();
        let mut pools: HashMap<&str, Vec<(Arc<Provider>, &pool::Provider)>> = HashMap::new();
        for (key, pool) in &document.pools {
            let providers = pools.entry(key).or_default();
            for provider in &pool.providers {
                match ready(key, provider, clients) {
                    Ok(made) => providers.push((Arc::new(made), provider)),
                    Err(problem) => problems.push(format!("pools[{key}].{}: {problem}", provider.name)),
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut models: HashMap<Box<str>, ServedModel> = HashMap::new();
        for (key, route) in &document.routes {
            let name: Arc<str> = key.as_str().into();
            for rule in &route.rules {
                for model in &rule.models {
                    models.insert(model.as_str().into(), serve(&name, model, rule, &pools, metrics));
                }
            }
        }
        let mut list: Vec<(&str, &str)> =
            models.iter().map(|(name, served)| (name.as_ref(), served.route.as_ref())).collect();
        list.sort_unstable();
        let model_list = openai::model_list(list.into_iter());
        Ok(Self { document, models, model_list })
    }
}

fn ready(pool: &str, provider: &pool::Provider, clients: &Clients) -> Result<Provider, String> {
    let upstream = match &provider.upstream {
        pool::Upstream::OpenAI { endpoint, api_key, ca } => {
            let chat_completions = format!("{}/chat/completions", endpoint.trim_end_matches('/'))
                .parse::<Uri>()
                .map_err(|error| format!("endpoint: {error}"))?;
            let authorization = api_key
                .as_ref()
                .map(|key| HeaderValue::from_str(&format!("Bearer {}", key.expose())))
                .transpose()
                .map_err(|_| "apiKey: can't stand in a header".to_owned())?
                .map(|mut value| {
                    value.set_sensitive(true);
                    value
                });
            let trust = match ca {
                Some(pem) => Trust::Private(pem.as_str().into()),
                None if endpoint.starts_with("https://") => Trust::System,
                None => Trust::Plaintext,
            };
            Upstream::OpenAI(OpenAIUpstream { chat_completions, authorization, clients: clients.get(trust)? })
        }
        pool::Upstream::Simulated {
            latency_ms,
            time_to_first_token_ms,
            tokens_per_second,
            error_ppm,
            seed,
        } => Upstream::Simulated(Simulated::new(
            *latency_ms,
            *time_to_first_token_ms,
            *tokens_per_second,
            *error_ppm,
            *seed,
        )),
    };
    Ok(Provider { name: format!("{pool}/{}", provider.name).into(), upstream })
}

type Pools<'a> = HashMap<&'a str, Vec<(Arc<Provider>, &'a pool::Provider)>>;

fn serve(
    route: &Arc<str>,
    model: &str,
    rule: &route::Rule,
    pools: &Pools<'_>,
    metrics: &Metrics,
) -> ServedModel {
    let backends = rule
        .backends
        .iter()
        .filter(|backend| backend.weight > 0)
        .filter_map(|backend| {
            let tiers = tiers(route, model, backend, pools, metrics);
            (!tiers.is_empty()).then_some(BackendTargets { weight: backend.weight, tiers })
        })
        .collect();
    ServedModel { route: route.clone(), timeouts: rule.timeouts, backends }
}

fn tiers(
    route: &Arc<str>,
    asked: &str,
    backend: &Backend,
    pools: &Pools<'_>,
    metrics: &Metrics,
) -> Vec<Vec<Arc<Target>>> {
    let named = backend.models.iter().find(|model| *model == asked).or(backend.models.first());
    let providers = pools.get(backend.pool.as_str());
    let mut by_priority: std::collections::BTreeMap<u32, Vec<Arc<Target>>> =
        std::collections::BTreeMap::new();
    for (provider, spec) in providers.into_iter().flatten() {
        let Some(model) = spec.models.iter().find(|model| Some(&model.name) == named) else { continue };
        let labels = Labels {
            route: route.clone(),
            provider: provider.name.clone(),
            model: model.name.as_str().into(),
        };
        let series = metrics.series(&labels);
        by_priority.entry(spec.priority).or_default().push(Arc::new(Target {
            weight: spec.weight,
            provider: provider.clone(),
            upstream_model: model.upstream_name.as_str().into(),
            price: model.price,
            labels,
            series,
        }));
    }
    by_priority.into_values().collect()
}
