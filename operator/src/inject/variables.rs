//! The variables by which the vendors' SDKs find the proxy, unless a container sets them itself.
//!
//! What a container sets counts by vendor: one with a base URL of its own goes there, and gets no key
//! of ours to go along. A key of its own stays; the proxy reads none.

use k8s_openapi::api::core::v1::{Container, EnvVar};

use super::annotations::{CONTAINERS, Wishes};

/// Some SDKs refuse to start without a key, and none of them sends this one anywhere but to the proxy.
const PLACEHOLDER: &str = "provided-by-llm-gateway";

/// What the SDKs of one vendor read.
struct Vendor {
    base_url: &'static str,
    /// Behind the proxy's address.
    path: &'static str,
    key: Option<&'static str>,
    /// Other variables that are a key to them.
    other_key: Option<&'static str>,
}

/// OpenAI's SDKs put `/chat/completions` behind the base URL, the others their whole path.
const VENDORS: [Vendor; 4] = [
    Vendor { base_url: "OPENAI_BASE_URL", path: "/v1", key: Some("OPENAI_API_KEY"), other_key: None },
    Vendor {
        base_url: "ANTHROPIC_BASE_URL",
        path: "",
        key: Some("ANTHROPIC_API_KEY"),
        other_key: Some("ANTHROPIC_AUTH_TOKEN"),
    },
    Vendor {
        base_url: "GOOGLE_GEMINI_BASE_URL",
        path: "",
        key: Some("GEMINI_API_KEY"),
        other_key: Some("GOOGLE_API_KEY"),
    },
    Vendor { base_url: "OLLAMA_HOST", path: "", key: None, other_key: None },
];

/// Why a container was left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// What it takes from ConfigMaps and Secrets is not known here, and `env` would go before it.
    EnvFrom,
}

impl Left {
    /// Why, where a container is to be left alone.
    pub fn of(container: &Container, wishes: &Wishes) -> Option<Self> {
        let unknown = container.env_from.as_ref().is_some_and(|sources| !sources.is_empty());
        (unknown && !wishes.names(&container.name)).then_some(Self::EnvFrom)
    }

    pub fn reason(self) -> &'static str {
        match self {
            Self::EnvFrom => "envFrom",
        }
    }

    pub fn advice(self, container: &str) -> String {
        match self {
            Self::EnvFrom => format!(
                "it takes variables by envFrom, which may set those of the SDKs, so none was set: name `{container}` in the annotation `{CONTAINERS}` to set them all the same"
            ),
        }
    }
}

/// The variables of a container that are ours: to be set, or set by an earlier call for port `before`.
pub fn variables(container: &Container, port: u16, before: Option<u16>) -> Vec<(&'static str, String)> {
    let env = container.env.as_deref().unwrap_or_default();
    let set = |name: &str| env.iter().find(|variable| variable.name == name);
    let mut variables = Vec::new();
    for Vendor { base_url, path, key, other_key } in VENDORS {
        let url = |port: u16| format!("http://127.0.0.1:{port}{path}");
        let ours =
            |there: &EnvVar| same(there, &url(port)) || before.is_some_and(|port| same(there, &url(port)));
        if set(base_url).is_some_and(|there| !ours(there)) {
            continue;
        }
        variables.push((base_url, url(port)));
        let Some(key) = key else { continue };
        let own = set(key).is_some_and(|there| !same(there, PLACEHOLDER));
        if !own && other_key.and_then(set).is_none() {
            variables.push((key, PLACEHOLDER.to_owned()));
        }
    }
    variables
}

fn same(variable: &EnvVar, value: &str) -> bool {
    variable.value.as_deref() == Some(value)
}
