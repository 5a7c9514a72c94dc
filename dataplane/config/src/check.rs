//! The one validator, run by the operator before it sends and by the proxy before it swaps. It lists
//! every problem, not the first: a person mends them all in one go.

use std::{
    collections::BTreeMap,
    fmt::{self, Arguments},
};

use crate::{
    CallerMatch, Callers, CircuitBreaker, Complexity, Conditions, Credentials, Document, Operation, Pool,
    Provider, Remote, Rule, Share, Simulated, Timeouts, Upstream, caller::is_trust_domain,
};

/// Something that keeps a document from being run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, such as `routes[ai/chat].rules[0].backends[1].pool`.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

// Where it is all well nothing is written down: it is looked at after each change, whole.
pub(crate) fn document(document: &Document) -> Vec<Problem> {
    let mut found = Findings::default();
    let (mut claims, mut owners) = (BTreeMap::new(), BTreeMap::new());
    for (key, route) in &document.routes {
        if route.rules.is_empty() {
            found.add(format!("routes[{key}].rules"), "must not be empty");
        }
        for (i, rule) in route.rules.iter().enumerate() {
            let path = format_args!("routes[{key}].rules[{i}]");
            found.rule(path, rule, document);
            for model in &rule.models {
                if let Some((key, i)) = claims.insert((model.as_str(), &rule.when), (key, i)) {
                    let message = format!("`{model}` is served by routes[{key}].rules[{i}] already");
                    found.add(format!("{path}.models"), message);
                }
                if owners.entry(model.as_str()).or_insert(key) != &key {
                    found.add(format!("{path}.models"), format!("`{model}` is another route's"));
                }
            }
        }
    }
    for (key, pool) in &document.pools {
        found.pool(&format!("pools[{key}]"), pool);
    }
    if let Some(Callers::Shown(credentials)) = &document.callers {
        found.credentials("callers", credentials);
    }
    for (pool, Share { of, place }) in document.shares.iter().flatten() {
        if place >= of {
            found.add(format!("shares[{pool}].place"), "must be below `of`");
        }
    }
    budgets::check(document, &mut found);
    found.0
}

#[derive(Default)]
struct Findings(Vec<Problem>);

impl Findings {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { path: path.into(), message: message.into() });
    }

    fn rule(&mut self, path: Arguments<'_>, rule: &Rule, document: &Document) {
        if rule.models.is_empty() {
            self.add(format!("{path}.models"), "must not be empty");
        }
        if rule.models.iter().any(String::is_empty) {
            self.add(format!("{path}.models"), "a model needs a name");
        }
        let Timeouts { request_ms, first_token_ms, attempt_ms, idle_ms } = rule.timeouts;
        if [request_ms, first_token_ms, attempt_ms.unwrap_or(1), idle_ms].contains(&0) {
            self.add(format!("{path}.timeouts"), "must be above 0 ms");
        }
        self.conditions(format_args!("{path}.when"), &rule.when);
        if let Some(Complexity { simple_ppm, medium_ppm }) = rule.complexity
            && !(simple_ppm <= medium_ppm && medium_ppm <= 1_000_000)
        {
            self.add(format!("{path}.complexity"), "simple must be at most medium, and medium at most 1");
        }
        if rule.backends.is_empty() {
            self.add(format!("{path}.backends"), "must not be empty");
        }
        for (i, backend) in rule.backends.iter().enumerate() {
            let path = format_args!("{path}.backends[{i}]");
            if !document.pools.contains_key(&backend.pool) {
                self.add(format!("{path}.pool"), format!("no pool `{}` in the document", backend.pool));
            }
            if backend.models.is_empty() {
                self.add(format!("{path}.models"), "must not be empty");
            }
        }
    }

    fn conditions(&mut self, path: Arguments<'_>, when: &Conditions) {
        for header in &when.headers {
            let lower = !header.name.bytes().any(|b| b.is_ascii_uppercase());
            if !lower || http::HeaderName::try_from(&header.name).is_err() {
                self.add(
                    format!("{path}.headers[{}]", header.name),
                    "must be the name of a header in lower case",
                );
            }
        }
        if when.callers.contains(&CallerMatch::default()) {
            self.add(format!("{path}.callers"), "an entry must say something of the caller");
        }
        if when.paths.iter().any(|path| !path.starts_with('/')) {
            self.add(format!("{path}.paths"), "must start with `/`");
        }
    }

    fn credentials(&mut self, path: &str, credentials: &Credentials) {
        if let Some(tokens) = &credentials.tokens
            && (tokens.issuer.is_empty() || tokens.audience.is_empty())
        {
            self.add(format!("{path}.tokens"), "needs an issuer and an audience");
        }
        for (i, key) in credentials.keys.iter().enumerate() {
            let path = format!("{path}.keys[{i}]");
            if key.name.is_empty() {
                self.add(format!("{path}.name"), "must not be empty");
            }
            let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
            let sha256 = key.sha256.expose();
            if sha256.len() != 64 || !sha256.bytes().all(digit) {
                self.add(format!("{path}.sha256"), "must be 64 hexadecimal digits in lower case");
            }
        }
        for (i, authorities) in credentials.certificates.iter().enumerate() {
            if authorities.trust_domain.as_deref().is_some_and(|domain| !is_trust_domain(domain)) {
                self.add(
                    format!("{path}.certificates[{i}].trustDomain"),
                    "must be letters in lower case, digits, `.`, `-` and `_`",
                );
            }
        }
    }

    fn pool(&mut self, path: &str, pool: &Pool) {
        let CircuitBreaker { failures, failure_percent, recovery_ms } = pool.circuit_breaker;
        if failures == 0 || failure_percent == 0 || recovery_ms == 0 {
            self.add(format!("{path}.circuitBreaker"), "must be above 0, all of it");
        }
        if pool.retry.attempts == 0 {
            self.add(format!("{path}.retry.attempts"), "must be above 0: the first time counts");
        }
        if pool.health_check.is_some_and(|check| check.interval_ms == 0) {
            self.add(format!("{path}.healthCheck.intervalMs"), "must be above 0");
        }
        let mut names = BTreeMap::new();
        for (i, provider) in pool.providers.iter().enumerate() {
            let path = format!("{path}.providers[{i}]");
            if let Some(first) = names.insert(&provider.name, i) {
                self.add(
                    format!("{path}.name"),
                    format!("`{}` is providers[{first}] already", provider.name),
                );
            }
            self.provider(&path, provider);
        }
    }

    fn provider(&mut self, path: &str, provider: &Provider) {
        if provider.name.is_empty() {
            self.add(format!("{path}.name"), "must not be empty");
        }
        if provider.weight == 0 {
            self.add(format!("{path}.weight"), "must be above 0");
        }
        if provider.models.is_empty() {
            self.add(format!("{path}.models"), "must not be empty");
        }
        for (i, model) in provider.models.iter().enumerate() {
            if model.name.is_empty() || model.upstream_name.is_empty() {
                self.add(format!("{path}.models[{i}]"), "a model needs a name, here and upstream");
            }
            if model.operations.is_empty() {
                self.add(format!("{path}.models[{i}].operations"), "must not be empty");
            }
            if model.quality_ppm.is_some_and(|ppm| ppm > 1_000_000) {
                self.add(format!("{path}.models[{i}].qualityPpm"), "must be at most 1000000");
            }
            let embeds = model.operations.contains(&Operation::Embeddings);
            if embeds && matches!(provider.upstream, Upstream::Anthropic(_)) {
                self.add(format!("{path}.models[{i}].operations"), "kind Anthropic has no embeddings");
            }
        }
        if provider.limits.least() == Some(0) {
            self.add(format!("{path}.limits"), "must be above 0");
        }
        self.upstream(&format!("{path}.upstream"), &provider.upstream);
    }

    fn upstream(&mut self, path: &str, upstream: &Upstream) {
        match upstream {
            Upstream::OpenAI(remote) => self.remote(path, remote),
            Upstream::Anthropic(remote) | Upstream::Gemini(remote) | Upstream::Ollama(remote) => {
                self.remote(path, remote);
                if remote.responses {
                    self.add(format!("{path}.responses"), "only kind OpenAI has the Responses API");
                }
            }
            Upstream::Simulated(simulated) => self.simulated(path, simulated),
        }
    }

    fn remote(&mut self, path: &str, remote: &Remote) {
        if !callable(&remote.endpoint) {
            self.add(
                format!("{path}.endpoint"),
                "must be an http:// or https:// URL in ASCII with a host, and without user, query or fragment",
            );
        }
        let printable = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
        if remote.api_key.as_ref().is_some_and(|key| !printable(key.expose())) {
            self.add(format!("{path}.apiKey"), "must be printable ASCII without blanks or line ends");
        }
        if remote.ca.as_ref().is_some_and(|pem| !pem.contains("-----BEGIN CERTIFICATE-----")) {
            self.add(format!("{path}.ca"), "must hold PEM certificates");
        }
        for (name, value) in &remote.headers {
            if OWN_HEADERS.contains(&name.as_str()) {
                self.add(format!("{path}.headers[{name}]"), "is the gateway's own");
            }
            if http::HeaderName::try_from(name).is_err()
                || http::HeaderValue::try_from(value.expose()).is_err()
            {
                self.add(format!("{path}.headers[{name}]"), "can't stand in a request");
            }
        }
    }

    fn simulated(&mut self, path: &str, simulated: &Simulated) {
        if simulated.tokens_per_second == 0 {
            self.add(format!("{path}.tokensPerSecond"), "must be above 0");
        }
        if simulated.error_ppm > 1_000_000 {
            self.add(format!("{path}.errorPpm"), "must be at most 1000000");
        }
        if !(400..=599).contains(&simulated.error_status) {
            self.add(format!("{path}.errorStatus"), "must be from 400 to 599");
        }
    }
}

/// Headers that a manifest can't set, in lower case as they stand in a document: what signs in, and
/// what frames a message.
const OWN_HEADERS: [&str; 13] = [
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "host",
    "content-type",
    "content-length",
    "content-encoding",
    "accept-encoding",
    "transfer-encoding",
    "connection",
    "te",
    "upgrade",
    "expect",
];

/// Whether a proxy can call it, by the parser that the proxy uses: what passes here must not keep a
/// whole document from being run there.
fn callable(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<http::Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    // The parser takes a port that is none for the end of the host.
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or("");
    let port_fits = port.is_empty() || (authority.port_u16().is_some_and(|port| port > 0));
    matches!(uri.scheme_str(), Some("http" | "https"))
        && !authority.host().is_empty()
        && port_fits
        && !endpoint.contains(['@', '?', '#'])
}

mod budgets;
#[cfg(test)]
mod tests;
