//! Manifests without their Secrets, for who only wants to know what would become of a call: a key
//! decides nothing but whether a provider takes it, and the Secrets stay on the cluster.

use std::{collections::BTreeMap, sync::Arc};

use llm_crds::{AlertWebhook, Credentials};

use super::{ObjectName, Observed, SecretState};

/// What a key is that nobody will ever send.
const NO_KEY: &[u8] = b"not-a-key";
/// And an address that nobody will ever call.
const NO_URL: &[u8] = b"https://not-a-host.invalid";

/// Puts stand-ins where Secrets are not there, so that compile makes the document that it would make
/// with them. Those that are there are left as they are, with their mistakes.
pub fn do_without_secrets(observed: &mut Observed) {
    let there = observed.secrets.clone();
    let mut stand_ins: BTreeMap<ObjectName, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for pool in &mut observed.pools {
        let namespace = ObjectName::of(pool.as_ref()).namespace;
        let is_there = |name: &str| there.contains_key(&ObjectName::new(namespace.clone(), name));
        let no_authority = pool
            .spec
            .providers
            .iter()
            .any(|provider| provider.tls.as_ref().is_some_and(|tls| !is_there(&tls.ca_secret_ref.name)));
        if no_authority {
            // No certificate stands in for one; without, the provider is no other one.
            for provider in &mut Arc::make_mut(pool).spec.providers {
                provider.tls.take_if(|tls| !is_there(&tls.ca_secret_ref.name));
            }
        }
        for Credentials { secret_ref } in pool.spec.providers.iter().filter_map(|p| p.credentials.as_ref()) {
            if !is_there(&secret_ref.name) {
                let secret = ObjectName::new(namespace.clone(), secret_ref.name.clone());
                stand_ins.entry(secret).or_default().insert(secret_ref.key.clone(), NO_KEY.to_vec());
            }
        }
    }
    for budget in &observed.budgets {
        let namespace = ObjectName::of(budget.as_ref()).namespace;
        let Some(AlertWebhook { url_secret_ref, signing_secret_ref }) = &budget.spec.alerts.webhook else {
            continue;
        };
        for (reference, value) in [(signing_secret_ref, NO_KEY), (url_secret_ref, NO_URL)] {
            let secret = ObjectName::new(namespace.clone(), reference.name.clone());
            if !there.contains_key(&secret) {
                stand_ins.entry(secret).or_default().insert(reference.key.clone(), value.to_vec());
            }
        }
    }
    observed.secrets.extend(stand_ins.into_iter().map(|(name, data)| (name, SecretState::Present(data))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compile::compile, observe::files::Manifests};

    const MANIFESTS: &str = r"
apiVersion: llmgateway.dev/v1alpha1
kind: ProviderPool
metadata: {name: pool}
spec:
  providers:
  - name: a
    kind: OpenAI
    credentials: {secretRef: {name: absent, key: a}}
    models: [{name: m}]
  - name: b
    kind: OpenAI
    endpoint: https://b.example/v1
    credentials: {secretRef: {name: absent, key: b}}
    tls: {caSecretRef: {name: authority, key: ca.crt}}
    models: [{name: m}]
---
apiVersion: llmgateway.dev/v1alpha1
kind: LLMRoute
metadata: {name: chat}
spec:
  rules:
  - backends: [{pool: {name: pool}}]
---
apiVersion: v1
kind: Secret
metadata: {name: present}
stringData: {key: sk-1}
";

    fn providers(manifests: &str, without: bool) -> (Vec<String>, Vec<String>) {
        let mut read = Manifests::default();
        let mut problems = Vec::new();
        read.add("made.yaml".as_ref(), manifests, &mut problems);
        assert_eq!(problems, []);
        if without {
            do_without_secrets(&mut read.observed);
        }
        read.observed.gateways.insert("default".to_owned(), None);
        let compiled = compile(&read.observed);
        let pools = compiled.documents.values().flat_map(|document| document.pools.values());
        let names = pools.flat_map(|pool| &pool.providers).map(|provider| provider.name.clone()).collect();
        let verdicts = compiled.pools.values().flat_map(|pool| &pool.verdicts);
        (names, verdicts.filter(|verdict| !verdict.status).map(|verdict| verdict.message.clone()).collect())
    }

    #[test]
    fn keys_and_authorities_that_are_not_there_leave_no_provider_out() {
        let (names, problems) = providers(MANIFESTS, false);
        assert!(names.is_empty() && !problems.is_empty(), "{names:?} {problems:?}");
        assert_eq!(providers(MANIFESTS, true), (vec!["a".to_owned(), "b".to_owned()], vec![]));
    }

    #[test]
    fn a_secret_that_is_there_keeps_its_mistake() {
        let (names, problems) = providers(&MANIFESTS.replace("absent, key: a", "present, key: a"), true);
        assert_eq!(names, ["b"]);
        assert!(problems[0].contains("Secret `present` has no key `a`"), "{problems:?}");
    }
}
