//! What the environment gives the standalone command: keys by the vendors' usual variables, and, with
//! no manifest at all, manifests made from the keys that are there.

use llm_crds::{Credentials, DEFAULT_OPENAI_ENDPOINT, Provider, ProviderKind};
use std::collections::BTreeMap;

use super::{ObjectName, Observed, SecretState};

/// A vendor that is found by its variable.
struct Vendor {
    variable: &'static str,
    kind: ProviderKind,
    /// Where its API is, also that part of it that speaks OpenAI's.
    host: &'static str,
    /// Its models with their prices, and a route to them.
    manifests: &'static str,
}

const VENDORS: [Vendor; 3] = [
    Vendor {
        variable: "OPENAI_API_KEY",
        kind: ProviderKind::OpenAI,
        host: "api.openai.com",
        manifests: include_str!("../../../crds/examples/openai.yaml"),
    },
    Vendor {
        variable: "ANTHROPIC_API_KEY",
        kind: ProviderKind::Anthropic,
        host: "api.anthropic.com",
        manifests: include_str!("../../../crds/examples/anthropic.yaml"),
    },
    Vendor {
        variable: "GEMINI_API_KEY",
        kind: ProviderKind::Gemini,
        host: "generativelanguage.googleapis.com",
        manifests: include_str!("../../../crds/examples/gemini.yaml"),
    },
];

/// An environment, such as `|name| std::env::var(name).ok()`.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Fills in the Secrets that no file defines from the vendors' variables, and gives what was taken
/// from where, to be shown.
pub fn fill_secrets(observed: &mut Observed, variables: Variables<'_>) -> Vec<String> {
    let mut taken = Vec::new();
    let mut found: BTreeMap<ObjectName, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for pool in &observed.pools {
        let pool_name = ObjectName::of(pool.as_ref());
        for provider in &pool.spec.providers {
            let Some(Credentials { secret_ref }) = &provider.credentials else { continue };
            let secret = ObjectName::new(pool_name.namespace.clone(), secret_ref.name.clone());
            if observed.secrets.contains_key(&secret) {
                continue;
            }
            let variable = usual_variable(provider);
            if let Some(key) = variables(variable).filter(|key| !key.is_empty()) {
                found.entry(secret).or_default().insert(secret_ref.key.clone(), key.into_bytes());
                taken.push(format!("{pool_name}/{} uses {variable}", provider.name));
            }
        }
    }
    observed.secrets.extend(found.into_iter().map(|(name, data)| (name, SecretState::Present(data))));
    taken
}

/// The variable that holds a provider's key where no file does.
#[must_use]
pub fn usual_variable(provider: &Provider) -> &'static str {
    let endpoint = provider.endpoint.as_deref().or(provider.kind.default_endpoint()).unwrap_or_default();
    let host =
        endpoint.split("://").nth(1).and_then(|rest| rest.split(['/', ':']).next()).unwrap_or_default();
    let vendor = VENDORS.iter().find(|vendor| vendor.host == host);
    // Another server that speaks a vendor's API takes what the vendor's SDK would send it.
    match vendor.or_else(|| VENDORS.iter().find(|vendor| vendor.kind == provider.kind)) {
        Some(vendor) => vendor.variable,
        None if provider.kind == ProviderKind::Ollama => "OLLAMA_API_KEY",
        None => "OPENAI_API_KEY",
    }
}

/// Manifests for the keys that the environment holds; a simulated provider where it holds none.
#[must_use]
pub fn manifests(variables: Variables<'_>) -> String {
    let present = |vendor: &&Vendor| variables(vendor.variable).is_some_and(|key| !key.is_empty());
    let found: Vec<&Vendor> = VENDORS.iter().filter(present).collect();
    if found.is_empty() {
        return include_str!("../../../crds/examples/quickstart.yaml").to_owned();
    }
    let texts = found.iter().map(|vendor| {
        // The OpenAI SDK's own variable: the key may be that of a compatible server.
        let given = variables("OPENAI_BASE_URL").filter(|url| !url.is_empty());
        match given.filter(|_| vendor.kind == ProviderKind::OpenAI) {
            Some(url) => vendor.manifests.replace(DEFAULT_OPENAI_ENDPOINT, &url),
            None => vendor.manifests.to_owned(),
        }
    });
    texts.collect::<Vec<_>>().join("---\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::files::Manifests;

    fn read(text: &str) -> Manifests {
        let mut manifests = Manifests::default();
        let mut problems = Vec::new();
        manifests.add("made.yaml".as_ref(), text, &mut problems);
        assert_eq!(problems, []);
        manifests
    }

    #[test]
    fn without_keys_there_is_a_simulated_provider() {
        let observed = read(&manifests(&|_| None)).observed;
        assert_eq!((observed.pools.len(), observed.routes.len()), (1, 1));
        assert_eq!(observed.pools[0].spec.providers[0].kind, ProviderKind::Simulated);
    }

    #[test]
    fn each_key_makes_a_pool_that_takes_its_own_key_and_shows_none() {
        let variables = |name: &str| match name {
            "OPENAI_API_KEY" => Some("secret-o".to_owned()),
            "ANTHROPIC_API_KEY" => Some("secret-a".to_owned()),
            "GEMINI_API_KEY" => Some("secret-g".to_owned()),
            "OPENAI_BASE_URL" => Some("http://localhost:1/v1".to_owned()),
            _ => None,
        };
        let text = manifests(&variables);
        assert!(!text.contains("secret-"), "{text}");
        let mut observed = read(&text).observed;
        assert_eq!(observed.pools[0].spec.providers[0].endpoint.as_deref(), Some("http://localhost:1/v1"));
        let taken = fill_secrets(&mut observed, &variables);
        assert_eq!(
            taken,
            [
                "default/openai/openai uses OPENAI_API_KEY",
                "default/anthropic/anthropic uses ANTHROPIC_API_KEY",
                "default/gemini/gemini uses GEMINI_API_KEY"
            ]
        );
        let secret = &observed.secrets[&ObjectName::new("default", "anthropic")];
        assert_eq!(*secret, SecretState::Present([("apiKey".to_owned(), b"secret-a".to_vec())].into()));
    }
}
