//! A ProviderPool to the providers of it that can be called.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use llm_config as config;
use llm_crds::{
    AllowedNamespaces, Capability, CircuitBreaker, LimitScope, Limits, Model, Operation, Pricing, Provider,
    ProviderKind, ProviderPool, Reason, ResponsesApi, Retry, Simulated, Tier, nano_usd, unit_interval_ppm,
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{PoolOutcome, accepted, millis, resolved, secret::Secrets};
use crate::observe::{ObjectName, Observed};

/// Between two checks, where a pool asks for them and does not say.
const CHECK_INTERVAL_MS: u64 = 30_000;

/// A pool as routes meet it: where two of these are equal, a route can't tell them apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    /// Whose objects may refer to it.
    pub allowed: AllowedNamespaces,
    /// All models that its spec names, each once.
    pub models: Vec<String>,
    /// None where it was not accepted.
    pub compiled: Option<Arc<config::Pool>>,
    /// But for the fleets, which others decide.
    pub outcome: PoolOutcome,
}

/// Reference problems, with the reason of the first.
#[derive(Default)]
struct Unresolved {
    reason: Option<Reason>,
    problems: Vec<String>,
}

impl Unresolved {
    fn add(&mut self, reason: Reason, problem: String) {
        self.reason.get_or_insert(reason);
        self.problems.push(problem);
    }
}

pub fn compile(name: &ObjectName, pool: &ProviderPool, observed: &Observed) -> Offered {
    let mut invalid = Vec::new();
    let mut unresolved = Unresolved::default();
    let mut providers = Vec::new();
    for (i, provider) in pool.spec.providers.iter().enumerate() {
        let path = format!("spec.providers[{i}]");
        let secrets = Secrets { namespace: &name.namespace, observed };
        providers.extend(compile_provider(&path, provider, &secrets, &mut invalid, &mut unresolved));
    }
    let is_there = |name: &String| providers.iter().any(|provider: &config::Provider| provider.name == *name);
    let names = pool.spec.providers.iter().map(|provider| provider.name.clone());
    let compiled = Arc::new(config::Pool {
        left_out: names.filter(|name| !is_there(name)).collect(),
        providers,
        circuit_breaker: circuit_breaker(pool.spec.circuit_breaker.as_ref()),
        retry: retry(pool.spec.retry.as_ref()),
        health_check: pool.spec.health_check.as_ref().map(|check| config::HealthCheck {
            interval_ms: check.interval.map_or(CHECK_INTERVAL_MS, millis),
        }),
    });
    // Whatever the schema let through and the proxies would refuse is said here, to the one pool.
    let alone = config::Document {
        pools: BTreeMap::from([(name.to_string(), compiled.clone())]),
        ..Default::default()
    };
    let prefix = format!("pools[{name}].");
    invalid.extend(alone.check().iter().map(|problem| {
        format!("spec.{}: {}", problem.path.strip_prefix(&prefix).unwrap_or(&problem.path), problem.message)
    }));
    let outcome = PoolOutcome {
        verdicts: vec![
            accepted(Reason::Invalid, &invalid),
            resolved(unresolved.reason.unwrap_or(Reason::ResolvedRefs), &unresolved.problems),
        ],
        providers: pool.spec.providers.iter().map(|provider| provider.name.clone()).collect(),
        ready: if invalid.is_empty() { compiled.providers.len() } else { 0 },
        models: pool.spec.providers.iter().flat_map(|p| &p.models).map(|model| model.name.clone()).collect(),
        fleets: Default::default(),
    };
    let mut seen = BTreeSet::new();
    let models = pool.spec.providers.iter().flat_map(|provider| &provider.models).map(|model| &model.name);
    Offered {
        allowed: pool.spec.allowed_namespaces.clone(),
        models: models.filter(|model| seen.insert(*model)).cloned().collect(),
        compiled: invalid.is_empty().then_some(compiled),
        outcome,
    }
}

fn circuit_breaker(given: Option<&CircuitBreaker>) -> config::CircuitBreaker {
    let defaults = config::CircuitBreaker::default();
    let failures = given.and_then(|given| given.failure_threshold?.try_into().ok());
    config::CircuitBreaker {
        failures: failures.unwrap_or(defaults.failures),
        failure_percent: given
            .and_then(|given| given.failure_percent?.try_into().ok())
            .unwrap_or(defaults.failure_percent),
        recovery_ms: given.and_then(|given| given.recovery_time).map_or(defaults.recovery_ms, millis),
    }
}

fn limits(given: Option<&Limits>) -> config::Limits {
    let Some(given) = given else { return config::Limits::default() };
    let (queue, defaults) = (given.queue.as_ref(), config::Queue::default());
    config::Limits {
        scope: match given.scope {
            Some(LimitScope::Cluster) => config::Scope::Cluster,
            Some(LimitScope::Proxy) | None => config::Scope::Proxy,
        },
        concurrent: given.concurrent_requests.and_then(|most| most.try_into().ok()),
        requests_per_minute: given.requests_per_minute.and_then(|most| most.try_into().ok()),
        tokens_per_minute: given.tokens_per_minute.and_then(|most| most.try_into().ok()),
        queue: config::Queue {
            size: queue.and_then(|queue| queue.size?.try_into().ok()).unwrap_or(defaults.size),
            timeout_ms: queue.and_then(|queue| queue.timeout).map_or(defaults.timeout_ms, millis),
        },
    }
}

fn retry(given: Option<&Retry>) -> config::Retry {
    let defaults = config::Retry::default();
    let attempts = given.and_then(|given| given.attempts?.try_into().ok());
    config::Retry {
        attempts: attempts.unwrap_or(defaults.attempts),
        backoff_ms: given.and_then(|given| given.backoff).map_or(defaults.backoff_ms, millis),
    }
}

/// The provider, unless something that it needs is missing.
fn compile_provider(
    path: &str,
    provider: &Provider,
    secrets: &Secrets<'_>,
    invalid: &mut Vec<String>,
    unresolved: &mut Unresolved,
) -> Option<config::Provider> {
    let upstream = match provider.kind {
        ProviderKind::Simulated => {
            config::Upstream::Simulated(simulated(path, provider.simulated.as_ref(), invalid))
        }
        kind => {
            repeated_headers(path, provider, invalid);
            let remote = remote(path, provider, secrets, unresolved)?;
            match kind {
                ProviderKind::Anthropic => config::Upstream::Anthropic(remote),
                ProviderKind::Gemini => config::Upstream::Gemini(remote),
                ProviderKind::Ollama => config::Upstream::Ollama(remote),
                ProviderKind::OpenAI | ProviderKind::Simulated => config::Upstream::OpenAI(remote),
            }
        }
    };
    let models = provider.models.iter().enumerate();
    Some(config::Provider {
        name: provider.name.clone(),
        priority: provider.priority.try_into().unwrap_or_default(),
        weight: provider.weight.try_into().unwrap_or_default(),
        upstream,
        limits: limits(provider.limits.as_ref()),
        models: models
            .map(|(i, model)| compile_model(&format!("{path}.models[{i}]"), model, invalid))
            .collect(),
    })
}

/// The server, unless a Secret that it needs is missing.
fn remote(
    path: &str,
    provider: &Provider,
    secrets: &Secrets<'_>,
    unresolved: &mut Unresolved,
) -> Option<config::Remote> {
    let key = provider
        .credentials
        .as_ref()
        .map(|credentials| secrets.text(&format!("{path}.credentials.secretRef"), &credentials.secret_ref));
    let ca = provider.tls.as_ref().map(|tls| {
        let path = format!("{path}.tls.caSecretRef");
        secrets.text(&path, &tls.ca_secret_ref).and_then(|pem| match certificates(&pem) {
            Ok(()) => Ok(pem),
            Err(error) => Err((Reason::InvalidSecret, format!("{path}: {error}"))),
        })
    });
    let mut usable = true;
    let mut keep = |found: Option<Result<String, (Reason, String)>>| match found {
        Some(Err((reason, problem))) => {
            unresolved.add(reason, problem);
            usable = false;
            None
        }
        Some(Ok(text)) => Some(text),
        None => None,
    };
    let (api_key, ca) = (keep(key), keep(ca));
    let endpoint = provider.endpoint.as_deref().or(provider.kind.default_endpoint()).unwrap_or_default();
    let headers = provider.headers.iter();
    let headers = headers.map(|h| (h.name.to_ascii_lowercase(), config::Credential::new(h.value.clone())));
    usable.then(|| config::Remote {
        endpoint: endpoint.trim_end_matches('/').to_owned(),
        api_key: api_key.map(config::Credential::new),
        ca,
        headers: headers.collect(),
        responses: match provider.responses_api {
            Some(api) => api == ResponsesApi::Native,
            None => provider.kind == ProviderKind::OpenAI && has_responses(endpoint),
        },
    })
}

/// Names of headers have no case; the schema tells only names that are the same to the letter.
fn repeated_headers(path: &str, provider: &Provider, invalid: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (i, header) in provider.headers.iter().enumerate() {
        if !seen.insert(header.name.to_ascii_lowercase()) {
            invalid.push(format!("{path}.headers[{i}].name: `{}` is given already", header.name));
        }
    }
}

/// The servers that are known to have the Responses API: OpenAI's own, and Azure's.
fn has_responses(endpoint: &str) -> bool {
    let host = endpoint.strip_prefix("https://").and_then(|rest| rest.split(['/', ':']).next());
    host.is_some_and(|host| host == "api.openai.com" || host.ends_with(".openai.azure.com"))
}

fn simulated(path: &str, settings: Option<&Simulated>, invalid: &mut Vec<String>) -> config::Simulated {
    let settings = settings.cloned().unwrap_or_default();
    let millis = |duration: Option<kube::core::Duration>, default: u64| {
        let duration = duration.map(Duration::from);
        duration.map_or(default, |duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    };
    let error_ppm = settings.error_rate.as_deref().map_or(Ok(0), unit_interval_ppm).unwrap_or_else(|error| {
        invalid.push(format!("{path}.simulated.errorRate: {error}"));
        0
    });
    config::Simulated {
        latency_ms: millis(settings.latency, 0),
        time_to_first_token_ms: millis(settings.time_to_first_token, 200),
        tokens_per_second: settings.tokens_per_second.unwrap_or(50).try_into().unwrap_or_default(),
        error_ppm,
        error_status: settings.error_status.unwrap_or(503).try_into().unwrap_or_default(),
        seed: settings.seed.map(i64::cast_unsigned),
    }
}

fn compile_model(path: &str, model: &Model, invalid: &mut Vec<String>) -> config::Model {
    let price = model.pricing.as_ref().map_or_else(config::Price::default, |pricing| {
        let Pricing {
            input_per_million,
            cached_input_per_million,
            cache_write_input_per_million,
            output_per_million,
        } = pricing;
        let mut price = |field: &str, text: &str| {
            nano_usd(text).unwrap_or_else(|error| {
                invalid.push(format!("{path}.pricing.{field}: {error}"));
                0
            })
        };
        let input = price("inputPerMillion", input_per_million);
        config::Price {
            input,
            cached_input: cached_input_per_million
                .as_ref()
                .map_or(input, |text| price("cachedInputPerMillion", text)),
            cache_write: cache_write_input_per_million
                .as_ref()
                .map_or(input, |text| price("cacheWriteInputPerMillion", text)),
            output: price("outputPerMillion", output_per_million),
        }
    });
    let quality_ppm = model.quality.as_deref().map(|text| {
        unit_interval_ppm(text).unwrap_or_else(|error| {
            invalid.push(format!("{path}.quality: {error}"));
            0
        })
    });
    let operations = model.operations.iter().map(|operation| match operation {
        Operation::Chat => config::Operation::Chat,
        Operation::Embeddings => config::Operation::Embeddings,
    });
    let upstream_name = model.upstream_name.as_ref().unwrap_or(&model.name).clone();
    config::Model {
        name: model.name.clone(),
        upstream_name,
        operations: operations.collect(),
        max_output_tokens: model.max_output_tokens.and_then(|tokens| tokens.try_into().ok()),
        context_window: model.context_window.and_then(|tokens| tokens.try_into().ok()),
        tier: model.tier.map(|tier| match tier {
            Tier::Economy => config::Tier::Economy,
            Tier::Standard => config::Tier::Standard,
            Tier::Premium => config::Tier::Premium,
        }),
        capabilities: model.capabilities.iter().copied().map(capability).collect(),
        quality_ppm,
        price,
    }
}

fn capability(capability: Capability) -> config::Capability {
    match capability {
        Capability::Reasoning => config::Capability::Reasoning,
        Capability::Coding => config::Capability::Coding,
        Capability::Vision => config::Capability::Vision,
        Capability::Tools => config::Capability::Tools,
        Capability::LongContext => config::Capability::LongContext,
    }
}

/// Whether a proxy could trust these.
pub fn certificates(pem: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("not PEM: {error:?}"))?;
        roots.add(certificate).map_err(|error| format!("not a certificate of an authority: {error}"))?;
    }
    if roots.is_empty() { Err("holds no PEM certificate".to_owned()) } else { Ok(()) }
}
