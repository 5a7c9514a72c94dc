//! A document as the request path wants it: every name resolved, every header and URL made, every
//! counter in hand. Built whole, swapped whole, never changed.

pub mod budgets;
pub mod callers;
pub mod router;
pub mod served;
pub mod stream;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue};
use llm_config::{self as config, Capability, Document, Limits, Price, Tier, pool};
use llm_dialect::{
    api::ListedModel,
    surface::{Api, Kind},
};
use llm_routing::breaker;

use crate::{
    budget::Purses,
    metrics::{Labels, Metrics, Series},
    upstream::{
        check::Check,
        client::Clients,
        gate::Gate,
        health::{Health, Healths},
        origin::{Origin, Place},
        remote,
        simulated::Simulated,
    },
};

use budgets::Budgets;
use callers::Callers;
use router::Router;
use served::{Builder, Pools, ReadyPool, Served};

/// Bytes of text that make a token, about.
const BYTES_PER_TOKEN: f32 = 4.0;
/// Tokens that a reply is expected to have before the first one has come.
const OUTPUT_TOKENS: f32 = 300.0;

/// The document in force.
#[derive(Debug)]
pub struct Snapshot {
    pub document: Document,
    /// When it came into force.
    pub since: SystemTime,
    pub callers: Callers,
    pub budgets: Budgets,
    pub router: Router,
    providers: Vec<Arc<Provider>>,
    /// Providers that are checked beside the calls.
    pub checked: Vec<Check>,
    /// The names that are known as model lists show them, by name.
    pub listed: Vec<ListedModel>,
}

/// A model at a provider, as one route uses it.
#[derive(Debug)]
pub struct Target {
    pub provider: Arc<Provider>,
    /// The name by which the provider knows the model.
    pub upstream_model: Box<str>,
    /// What it can be called for.
    pub chat: bool,
    pub embeddings: bool,
    pub max_output_tokens: Option<u64>,
    pub context_window: Option<u64>,
    pub tier: Option<Tier>,
    pub capabilities: Vec<Capability>,
    /// Where each API of the provider is called for this model.
    pub places: Vec<(Api, Place)>,
    pub price: Price,
    pub labels: Labels,
    /// The same as replies tell it.
    pub told: Told,
    pub series: Arc<Series>,
    pub breaker: breaker::Settings,
    pub health: Arc<Health>,
}

/// Who answers, as headers of a reply.
#[derive(Debug)]
pub struct Told {
    pub provider: HeaderValue,
    pub model: HeaderValue,
}

impl Told {
    fn new(labels: &Labels) -> Self {
        // Names are what the schema lets through: ASCII.
        let value = |text: &str| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("-"));
        Self { provider: value(&labels.provider), model: value(&labels.model) }
    }
}

impl Target {
    pub fn kind(&self) -> Kind {
        self.provider.kind
    }

    /// How many tokens a call of so many bytes is expected to take: input, and output.
    pub fn expected_tokens(&self, bytes: usize) -> (f32, f32) {
        #[expect(clippy::cast_precision_loss, reason = "an expectation, not a bill")]
        let input = bytes as f32 / BYTES_PER_TOKEN;
        (input, self.series.expected_output().unwrap_or(OUTPUT_TOKENS))
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
    /// This proxy's own.
    pub limits: Limits,
    pub gate: Arc<Gate>,
}

/// How it is called.
#[derive(Debug)]
pub enum Upstream {
    Remote(Box<Remote>),
    Simulated(Simulated),
}

/// A server.
#[derive(Debug)]
pub struct Remote {
    /// What each call carries: the key, the API's version, and what the manifest adds.
    pub headers: HeaderMap,
    /// What is asked to see whether it is there.
    pub check: Place,
    /// Its connections: one set for each worker, and one more for checks.
    pub origins: Arc<[Arc<Origin>]>,
}

impl Snapshot {
    /// Makes a snapshot of a document.
    ///
    /// # Errors
    /// Every problem that keeps the document from being run.
    pub fn build(
        document: Document,
        metrics: &Arc<Metrics>,
        clients: &Clients,
        healths: &Healths,
        purses: &Arc<Purses>,
    ) -> Result<Self, Vec<String>> {
        let problems = document.check();
        if !problems.is_empty() {
            return Err(problems.iter().map(ToString::to_string).collect());
        }
        let mut problems = Vec::new();
        let mut pools = Pools::new();
        for (key, pool) in &document.pools {
            let mut providers = Vec::new();
            for provider in &pool.providers {
                let limits = document.limits(key, provider);
                match ready(key, provider, limits, clients, healths) {
                    Ok(made) => providers.push((Arc::new(made), provider)),
                    Err(problem) => problems.push(format!("pools[{key}].{}: {problem}", provider.name)),
                }
            }
            pools.insert(key, ReadyPool { spec: pool, providers });
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let providers = pools.values().flat_map(|pool| &pool.providers);
        let providers = providers.map(|(ready, _)| ready.clone()).collect();
        let checked = checked(&pools);
        let budgets = Budgets::new(&document, purses)?;
        let router = Router::build(&document, &mut Builder::new(pools, metrics, healths), &budgets);
        let listed = listed(&router);
        let callers = Callers::new(document.callers.as_ref(), clients.workers(), metrics);
        let callers = callers.map_err(|problem| vec![format!("callers.certificates: {problem}")])?;
        Ok(Self { document, since: SystemTime::now(), callers, budgets, router, providers, checked, listed })
    }

    /// The limits hold as the document says: it is in force.
    pub fn limit(&self) {
        for provider in &self.providers {
            provider.gate.limit(provider.limits);
        }
    }

    /// Whether any pool has a provider that a caller may mean by a name.
    pub fn has_provider(&self, name: &str) -> bool {
        let means = |(pool, spec): (&String, &Arc<config::Pool>)| {
            let ready = spec.providers.iter().map(|provider| &provider.name);
            ready.chain(&spec.left_out).any(|provider| is_name_of(&format!("{pool}/{provider}"), name))
        };
        self.document.pools.iter().any(means)
    }

    /// What a provider answers for: each of its models once.
    pub fn targets_of(&self, provider: &Provider) -> Vec<&Arc<Target>> {
        let served = self.router.served().flat_map(|served| &served.candidates);
        let mut targets: Vec<&Arc<Target>> = served.map(|candidate| &candidate.target).collect();
        targets.retain(|target| target.provider.name == provider.name);
        targets.sort_by(|a, b| a.labels.model.cmp(&b.labels.model));
        targets.dedup_by(|a, b| a.labels.model == b.labels.model);
        targets
    }
}

/// Whether a caller means the provider `namespace/pool/provider` by a name: its own, its pool's too, or its
/// namespace's.
pub fn is_name_of(full: &str, name: &str) -> bool {
    full.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

fn checked(pools: &Pools<'_>) -> Vec<Check> {
    let of_pool = |pool: &ReadyPool<'_>| {
        let interval = Duration::from_millis(pool.spec.health_check?.interval_ms);
        Some(
            pool.providers
                .iter()
                .map(move |(ready, _)| Check { provider: ready.clone(), interval })
                .collect::<Vec<_>>(),
        )
    };
    pools.values().filter_map(of_pool).flatten().collect()
}

fn listed(router: &Router) -> Vec<ListedModel> {
    let list = |(name, served): (&str, &[Served])| {
        let targets = || served.iter().flat_map(|served| &served.candidates).map(|c| &c.target);
        let route = served.first().map_or_else(String::new, |served| served.rule.route.to_string());
        ListedModel {
            name: name.to_owned(),
            route,
            chat: targets().any(|target| target.chat),
            embeddings: targets().any(|target| target.embeddings),
            max_output_tokens: targets().filter_map(|target| target.max_output_tokens).min(),
        }
    };
    let mut listed: Vec<ListedModel> = router.names().map(list).collect();
    listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    listed
}

fn ready(
    pool: &str,
    provider: &pool::Provider,
    limits: Limits,
    clients: &Clients,
    healths: &Healths,
) -> Result<Provider, String> {
    let kind = remote::kind(&provider.upstream);
    let server = |remote| {
        let check = remote::check_uri(kind, remote)?;
        Ok::<_, String>(Remote {
            headers: remote::headers(kind, remote)?,
            origins: clients.get(remote::trust(remote), &check)?,
            check: check.into(),
        })
    };
    let (upstream, responses) = match &provider.upstream {
        pool::Upstream::Simulated(simulated) => (Upstream::Simulated(Simulated::new(simulated)), false),
        pool::Upstream::OpenAI(remote)
        | pool::Upstream::Anthropic(remote)
        | pool::Upstream::Gemini(remote)
        | pool::Upstream::Ollama(remote) => (Upstream::Remote(Box::new(server(remote)?)), remote.responses),
    };
    let name: Arc<str> = format!("{pool}/{}", provider.name).into();
    let gate = healths.gate(&name);
    Ok(Provider { name, kind, responses, upstream, limits, gate })
}
