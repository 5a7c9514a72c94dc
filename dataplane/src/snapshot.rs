//! A document as the request path wants it: every name resolved, every header and URL made, every
//! counter in hand. Built whole, swapped whole, never changed.

pub mod stream;

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use http::{HeaderMap, Uri};
use llm_config::{Backend, Document, Operation, Price, Timeouts, pool, route};
use llm_dialect::{
    api::ListedModel,
    surface::{Api, Kind},
};

use crate::{
    metrics::{Labels, Metrics, Series},
    upstream::{
        client::{Clients, HttpClient},
        remote,
        simulated::Simulated,
    },
};

/// The document in force.
#[derive(Debug)]
pub struct Snapshot {
    pub document: Document,
    /// When it came into force.
    pub since: SystemTime,
    pub models: HashMap<Box<str>, ServedModel>,
    /// The same as model lists show them, by name.
    pub listed: Vec<ListedModel>,
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
    /// What it can be called for.
    pub chat: bool,
    pub embeddings: bool,
    pub max_output_tokens: Option<u64>,
    /// Where each API of the provider is called for this model.
    pub uris: Vec<(Api, Uri)>,
    pub price: Price,
    pub labels: Labels,
    pub series: Arc<Series>,
}

impl Target {
    pub fn kind(&self) -> Kind {
        self.provider.kind
    }

    /// The API by which it answers a call; `None` where its kind has none for it.
    pub fn answers_by(&self, api: Api, stream: bool) -> Option<Api> {
        self.provider.kind.answers_by(api, stream, self.provider.responses)
    }
}

/// A provider, ready to be called.
#[derive(Debug)]
pub struct Provider {
    /// `namespace/pool/provider`.
    pub name: Arc<str>,
    pub kind: Kind,
    /// It has OpenAI's Responses API.
    pub responses: bool,
    pub upstream: Upstream,
}

/// How it is called.
#[derive(Debug)]
pub enum Upstream {
    Remote(Remote),
    Simulated(Simulated),
}

/// A server.
#[derive(Debug)]
pub struct Remote {
    /// What each call carries: the key, the API's version, and what the manifest adds.
    pub headers: HeaderMap,
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
        let listed = listed(&models);
        Ok(Self { document, since: SystemTime::now(), models, listed })
    }
}

fn listed(models: &HashMap<Box<str>, ServedModel>) -> Vec<ListedModel> {
    let mut listed: Vec<ListedModel> = models
        .iter()
        .map(|(name, served)| {
            let targets = || served.backends.iter().flat_map(|backend| backend.tiers.iter().flatten());
            ListedModel {
                name: name.to_string(),
                route: served.route.to_string(),
                chat: targets().any(|target| target.chat),
                embeddings: targets().any(|target| target.embeddings),
                max_output_tokens: targets().filter_map(|target| target.max_output_tokens).min(),
            }
        })
        .collect();
    listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    listed
}

fn ready(pool: &str, provider: &pool::Provider, clients: &Clients) -> Result<Provider, String> {
    let kind = remote::kind(&provider.upstream);
    let (upstream, responses) = match &provider.upstream {
        pool::Upstream::Simulated(simulated) => (Upstream::Simulated(Simulated::new(simulated)), false),
        pool::Upstream::OpenAI(remote)
        | pool::Upstream::Anthropic(remote)
        | pool::Upstream::Gemini(remote)
        | pool::Upstream::Ollama(remote) => (
            Upstream::Remote(Remote {
                headers: remote::headers(kind, remote)?,
                clients: clients.get(remote::trust(remote))?,
            }),
            remote.responses,
        ),
    };
    Ok(Provider { name: format!("{pool}/{}", provider.name).into(), kind, responses, upstream })
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
        let uris = spec.upstream.remote().map(|to| remote::uris(provider.kind, to, &model.upstream_name));
        by_priority.entry(spec.priority).or_default().push(Arc::new(Target {
            weight: spec.weight,
            provider: provider.clone(),
            upstream_model: model.upstream_name.as_str().into(),
            chat: model.operations.contains(&Operation::Chat),
            embeddings: model.operations.contains(&Operation::Embeddings),
            max_output_tokens: model.max_output_tokens,
            uris: uris.unwrap_or_default(),
            price: model.price,
            labels,
            series,
        }));
    }
    by_priority.into_values().collect()
}
