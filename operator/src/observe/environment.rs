//! What the environment gives the standalone command: keys by the vendors' usual variables, and, with
//! no manifest at all, manifests made from the keys that are there.

use llm_crds::{Credentials, DEFAULT_OPENAI_ENDPOINT, Provider, ProviderKind};
use std::collections::BTreeMap;

use super::{ObjectName, Observed, SecretState};

/// A vendor that is found by its variable.
struct Vendor {
    name: &'static str,
    variable: &'static str,
    /// All have an endpoint that speaks the OpenAI API.
    endpoint: &'static str,
    host: &'static str,
    /// Models with their prices in USD for a million tokens: input, cached input, output.
    models: &'static [(&'static str, &'static str, &'static str, &'static str)],
}

const VENDORS: [Vendor; 3] = [
    Vendor {
        name: "openai",
        variable: "OPENAI_API_KEY",
        endpoint: DEFAULT_OPENAI_ENDPOINT,
        host: "api.openai.com",
        models: &[("gpt-4o", "2.50", "1.25", "10.00"), ("gpt-4o-mini", "0.15", "0.075", "0.60")],
    },
    Vendor {
        name: "anthropic",
        variable: "ANTHROPIC_API_KEY",
        endpoint: "https://api.anthropic.com/v1",
        host: "api.anthropic.com",
        models: &[
            ("claude-sonnet-4-5", "3.00", "0.30", "15.00"),
            ("claude-haiku-4-5", "1.00", "0.10", "5.00"),
        ],
    },
    Vendor {
        name: "gemini",
        variable: "GEMINI_API_KEY",
        endpoint: "https://generativelanguage.googleapis.com/v1beta/openai",
        host: "generativelanguage.googleapis.com",
        models: &[("gemini-2.5-flash", "0.30", "0.03", "2.50"), ("gemini-2.5-pro", "1.25", "0.125", "10.00")],
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
    let endpoint = provider.endpoint.as_deref().unwrap_or(DEFAULT_OPENAI_ENDPOINT);
    let host =
        endpoint.split("://").nth(1).and_then(|rest| rest.split(['/', ':']).next()).unwrap_or_default();
    let vendor = VENDORS.iter().find(|vendor| vendor.host == host);
    match (vendor, provider.kind) {
        (Some(vendor), _) => vendor.variable,
        // A compatible server takes what the OpenAI SDK would send it.
        (None, ProviderKind::OpenAI | ProviderKind::Simulated) => "OPENAI_API_KEY",
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
    let openai_endpoint = variables("OPENAI_BASE_URL").filter(|endpoint| !endpoint.is_empty());
    let pools = found.iter().map(|vendor| {
        let endpoint =
            openai_endpoint.as_deref().filter(|_| vendor.name == "openai").unwrap_or(vendor.endpoint);
        pool(vendor, endpoint)
    });
    let backends: String = found
        .iter()
        .map(|vendor| format!("  - backends:\n    - pool: {{name: {}}}\n", vendor.name))
        .collect();
    let route = format!(
        "apiVersion: llmgateway.dev/v1alpha1\nkind: LLMRoute\nmetadata:\n  name: environment\nspec:\n  rules:\n{backends}"
    );
    pools.chain([route]).collect::<Vec<_>>().join("---\n")
}

fn pool(vendor: &Vendor, endpoint: &str) -> String {
    let Vendor { name, variable, models, .. } = vendor;
    let mut text = format!(
        "# The key, on a cluster: kubectl create secret generic {name} --from-literal=apiKey=\"${variable}\"\n\
         apiVersion: llmgateway.dev/v1alpha1\nkind: ProviderPool\nmetadata:\n  name: {name}\nspec:\n  providers:\n\
         \x20 - name: {name}\n    kind: OpenAI\n    endpoint: {endpoint}\n    credentials:\n\
         \x20     secretRef: {{name: {name}, key: apiKey}}\n    models:\n"
    );
    for (model, input, cached, output) in *models {
        text.push_str(&format!(
            "    - name: {model}\n      pricing: {{inputPerMillion: \"{input}\", cachedInputPerMillion: \"{cached}\", outputPerMillion: \"{output}\"}}\n"
        ));
    }
    text
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
            "OPENAI_API_KEY" => Some("sk-o".to_owned()),
            "ANTHROPIC_API_KEY" => Some("sk-a".to_owned()),
            "GEMINI_API_KEY" => Some("sk-g".to_owned()),
            "OPENAI_BASE_URL" => Some("http://localhost:1/v1".to_owned()),
            _ => None,
        };
        let text = manifests(&variables);
        assert!(!text.contains("sk-"), "{text}");
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
        assert_eq!(*secret, SecretState::Present([("apiKey".to_owned(), b"sk-a".to_vec())].into()));
    }
}
