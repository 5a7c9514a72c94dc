//! What a call to a provider of each kind needs: whom to trust, which headers, which address.

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use llm_config::{Remote, Upstream};
use llm_dialect::{
    Dialect,
    surface::{Api, Kind},
};
use smallvec::SmallVec;

use super::{client::Trust, origin::Place};
use crate::header_maps;

/// The version of Anthropic's API that is spoken where the caller names none.
const ANTHROPIC_VERSION: &str = "2023-06-01";

pub fn kind(upstream: &Upstream) -> Kind {
    match upstream {
        Upstream::OpenAI(_) => Kind::OpenAI,
        Upstream::Anthropic(_) => Kind::Anthropic,
        Upstream::Gemini(_) => Kind::Gemini,
        Upstream::Ollama(_) => Kind::Ollama,
        Upstream::Simulated(_) => Kind::Simulated,
    }
}

pub fn trust(remote: &Remote) -> Trust {
    match &remote.ca {
        Some(pem) => Trust::Private(pem.as_str().into()),
        None if remote.endpoint.starts_with("https://") => Trust::System,
        None => Trust::Plaintext,
    }
}

/// The headers that every call carries.
pub fn headers(kind: Kind, remote: &Remote) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if kind == Kind::Anthropic {
        headers.insert("anthropic-version", HeaderValue::from_static(ANTHROPIC_VERSION));
    }
    if let Some(key) = &remote.api_key {
        let (name, value) = match kind {
            Kind::Anthropic => (HeaderName::from_static("x-api-key"), key.expose().to_owned()),
            Kind::Gemini => (HeaderName::from_static("x-goog-api-key"), key.expose().to_owned()),
            Kind::OpenAI | Kind::Ollama | Kind::Simulated => {
                (header::AUTHORIZATION, format!("Bearer {}", key.expose()))
            }
        };
        let mut value =
            HeaderValue::try_from(value).map_err(|_| "apiKey: can't stand in a header".to_owned())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    for (name, value) in &remote.headers {
        let unfit = |_| format!("headers[{name}]: can't stand in a request");
        let mut value = HeaderValue::try_from(value.expose()).map_err(|error| unfit(error.to_string()))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::try_from(name).map_err(|error| unfit(error.to_string()))?, value);
    }
    Ok(headers)
}

/// Where each API that the provider answers by is, for one model.
pub fn places(kind: Kind, remote: &Remote, model: &str) -> Vec<(Api, Place)> {
    let apis: &[Api] = match kind {
        Kind::OpenAI if remote.responses => &[Api::ChatCompletions, Api::Responses, Api::Embeddings],
        Kind::OpenAI | Kind::Simulated => &[Api::ChatCompletions, Api::Embeddings],
        Kind::Anthropic => &[Api::Messages, Api::MessagesCountTokens],
        Kind::Gemini => &[
            Api::GenerateContent,
            Api::StreamGenerateContent,
            Api::GeminiCountTokens,
            Api::EmbedContent,
            Api::BatchEmbedContents,
        ],
        Kind::Ollama => &[Api::OllamaChat, Api::OllamaGenerate, Api::OllamaEmbed],
    };
    let base = remote.endpoint.trim_end_matches('/');
    // The endpoint was checked, and the path is encoded: there is nothing left to refuse.
    let place = |api: &Api| format!("{base}{}", api.path(model)).parse::<Uri>().ok().map(Place::from);
    apis.iter().filter_map(|api| Some((*api, place(api)?))).collect()
}

/// What is asked to see whether it is there: it costs no tokens.
pub fn check_uri(kind: Kind, remote: &Remote) -> Result<Uri, String> {
    let base = remote.endpoint.trim_end_matches('/');
    let path = match kind {
        Kind::OpenAI | Kind::Simulated => "/models",
        Kind::Anthropic => "/models?limit=1",
        Kind::Gemini => "/models?pageSize=1",
        Kind::Ollama => "/api/version",
    };
    format!("{base}{path}").parse().map_err(|error| format!("endpoint: {error}"))
}

/// As many as a reply has at least: what the gateway says of itself among them.
const REPLY_HEADERS: usize = 8;

/// Headers of the caller that any provider may see. An allow list: a header that the gateway does not
/// know may be a secret of the platform.
const PASSED: [HeaderName; 4] = [
    header::ACCEPT,
    header::USER_AGENT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];
/// Those that mean something between callers and providers of Anthropic's API.
const ANTHROPIC: [HeaderName; 2] =
    [HeaderName::from_static("anthropic-version"), HeaderName::from_static("anthropic-beta")];

/// The headers of one call: the provider's own, and what the caller may add.
pub fn request_headers(own: &HeaderMap, from_caller: &HeaderMap, same: Option<Dialect>) -> HeaderMap {
    // The map goes round: hyper makes the reply's head in it, and that becomes the caller's.
    let mut headers = header_maps::take(own.len().max(REPLY_HEADERS) + 4);
    let vendors = if same == Some(Dialect::Anthropic) { &ANTHROPIC[..] } else { &[] };
    // What a translated call accepts is not what its caller accepts.
    let common = if same.is_some() { &PASSED[..] } else { &PASSED[1..] };
    for name in common.iter().chain(vendors) {
        for value in from_caller.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    for (name, value) in own {
        if *name == ANTHROPIC[1] {
            // A list: the manifest adds to what the caller asks for.
            headers.append(name.clone(), value.clone());
        } else if *name != ANTHROPIC[0] || !headers.contains_key(name) {
            // The version that the caller speaks is the one that it gets.
            headers.insert(name.clone(), value.clone());
        }
    }
    headers
}

/// Headers of the provider that the caller may see: what its SDK reads, and nothing of the hop.
pub fn reply_headers(mut headers: HeaderMap, provider: Dialect, caller: Dialect) -> HeaderMap {
    let (mut last, mut request_id) = (None, None);
    let mut passed = SmallVec::<[(HeaderName, HeaderValue); 4]>::new();
    for (name, value) in headers.drain() {
        last = name.or(last);
        let Some(name) = &last else { continue };
        if matches!(name.as_str(), "request-id" | "x-request-id") {
            request_id = Some(value);
        } else if passes(name.as_str()) || (provider == caller && passes_at_home(name.as_str())) {
            passed.push((name.clone(), value));
        }
    }
    for (name, value) in passed {
        headers.append(name, value);
    }
    if let Some(value) = request_id {
        headers.insert(HeaderName::from_static(caller.request_id_header()), value);
    }
    headers
}

fn passes(name: &str) -> bool {
    matches!(name, "content-type" | "retry-after" | "retry-after-ms" | "x-should-retry")
}

/// What only callers of the same vendor's API understand.
fn passes_at_home(name: &str) -> bool {
    name.starts_with("openai-")
        || name.starts_with("x-ratelimit-")
        || name.starts_with("anthropic-ratelimit-")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;
    use llm_config::Credential;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn each_kind_signs_in_its_own_way_and_a_callers_key_goes_nowhere() {
        let remote = Remote { api_key: Some(Credential::new("sk-ours".to_owned())), ..Remote::default() };
        let caller = map(&[
            ("authorization", "Bearer sk-theirs"),
            ("x-api-key", "sk-theirs"),
            ("x-goog-api-key", "sk-theirs"),
            ("cookie", "sk-theirs"),
            ("traceparent", "00-1"),
        ]);
        for (kind, name, value) in [
            (Kind::OpenAI, "authorization", "Bearer sk-ours"),
            (Kind::Ollama, "authorization", "Bearer sk-ours"),
            (Kind::Anthropic, "x-api-key", "sk-ours"),
            (Kind::Gemini, "x-goog-api-key", "sk-ours"),
        ] {
            let own = headers(kind, &remote).unwrap();
            let sent = request_headers(&own, &caller, Some(kind.dialect()));
            assert_eq!(sent[name], value, "{kind:?}");
            assert!(sent[name].is_sensitive());
            assert_eq!(sent["traceparent"], "00-1");
            assert!(sent.values().all(|value| !value.to_str().unwrap().contains("theirs")), "{sent:?}");
        }
    }

    #[test]
    fn anthropics_versions_are_the_callers_own_and_betas_add_up() {
        let remote = Remote {
            headers: [("anthropic-beta".to_owned(), Credential::new("ours".to_owned()))].into(),
            ..Remote::default()
        };
        let own = headers(Kind::Anthropic, &remote).unwrap();
        let caller =
            map(&[("anthropic-version", "2099-01-01"), ("anthropic-beta", "a,b"), ("anthropic-beta", "c")]);
        let betas = |sent: &HeaderMap| {
            sent.get_all("anthropic-beta").iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let sent = request_headers(&own, &caller, Some(Dialect::Anthropic));
        assert_eq!(
            (sent["anthropic-version"].to_str().unwrap(), betas(&sent)),
            ("2099-01-01", vec!["a,b".to_owned(), "c".to_owned(), "ours".to_owned()])
        );
        let sent = request_headers(&own, &caller, None);
        assert_eq!(
            (sent["anthropic-version"].to_str().unwrap(), betas(&sent)),
            (ANTHROPIC_VERSION, vec!["ours".to_owned()])
        );
    }

    #[test]
    fn the_callers_sdk_finds_the_requests_id_and_when_to_come_back_and_no_more() {
        let from = map(&[
            ("request-id", "req_1"),
            ("retry-after", "7"),
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-organization-id", "org"),
            ("set-cookie", "x"),
            ("server", "x"),
        ]);
        let names = |headers: HeaderMap| {
            let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(
            names(reply_headers(from.clone(), Dialect::Anthropic, Dialect::OpenAI)),
            ["retry-after", "x-request-id"]
        );
        assert_eq!(
            names(reply_headers(from, Dialect::Anthropic, Dialect::Anthropic)),
            ["anthropic-ratelimit-requests-remaining", "request-id", "retry-after"]
        );
    }
}
