//! The generated definitions on a real API server: they apply, explain themselves, and refuse what they should.

mod budgets;

use harness::Cluster;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn pool() -> Value {
    json!({
        "apiVersion": "llmgateway.dev/v1alpha1", "kind": "ProviderPool", "metadata": {"name": "pool"},
        "spec": {"providers": [{"name": "p", "kind": "OpenAI", "models": [{"name": "large"}]}]},
    })
}

fn simulated() -> Value {
    with(pool(), "/spec/providers/0/kind", json!("Simulated"))
}

fn route() -> Value {
    json!({
        "apiVersion": "llmgateway.dev/v1alpha1", "kind": "LLMRoute", "metadata": {"name": "route"},
        "spec": {"rules": [{"backends": [{"pool": {"name": "pool"}}]}]},
    })
}

/// Sets a field of a manifest.
fn with(mut manifest: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    manifest.pointer_mut(parent).unwrap()[field] = value;
    manifest
}

/// Each CEL rule by its message, with what it must admit and what it must refuse.
fn rules() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let provider = |field: &str, value: Value| with(pool(), &format!("/spec/providers/0/{field}"), value);
    let sim = |field: &str, value: Value| with(simulated(), &format!("/spec/providers/0/{field}"), value);
    let endpoint = |url: &str| provider("endpoint", json!(url));
    let key = json!({"secretRef": {"name": "s", "key": "k"}});
    let ca = json!({"caSecretRef": {"name": "s", "key": "k"}});
    let settings = |field: &str, value: &str| sim("simulated", json!({field: value}));
    let timeout =
        |value: &str| with(route(), "/spec/rules/0/timeouts", json!({"request": value, "idle": "1m30s"}));
    let weights = |weights: &[u32]| {
        let backends: Vec<Value> =
            weights.iter().map(|weight| json!({"pool": {"name": "p"}, "weight": weight})).collect();
        with(route(), "/spec/rules/0/backends", json!(backends))
    };
    vec![
        (
            "at least one backend needs a weight above 0, or no call can be answered",
            vec![weights(&[0, 1]), route()],
            vec![weights(&[0]), weights(&[0, 0])],
        ),
        (
            "give at least one of models, callers, headers, dialects and paths",
            vec![
                with(route(), "/spec/rules/0/matches", json!([{"headers": [{"name": "x-team"}]}])),
                with(route(), "/spec/rules/0/matches", json!([{"models": ["gpt-*", "*"]}])),
                with(route(), "/spec/rules/0/matches", json!([{"dialects": ["Gemini"]}, {"paths": ["/v1"]}])),
            ],
            vec![with(route(), "/spec/rules/0/matches", json!([{}]))],
        ),
        (
            "simple must be at most medium",
            vec![
                with(route(), "/spec/rules/0/complexity", json!({})),
                with(route(), "/spec/rules/0/complexity", json!({"simple": "0.5", "medium": "0.5"})),
            ],
            vec![with(route(), "/spec/rules/0/complexity", json!({"simple": "0.7"}))],
        ),
        (
            "must be a duration from 1ms to 24h, such as 30s",
            vec![timeout("1ms"), timeout("24h"), timeout("1h0m0.5s")],
            vec![timeout("0s"), timeout("24h1ms")],
        ),
        (
            "must be a duration from 1s to 1h, such as 30s",
            vec![
                with(pool(), "/spec/healthCheck", json!({"interval": "1s"})),
                with(pool(), "/spec/healthCheck", json!({})),
            ],
            vec![with(pool(), "/spec/healthCheck", json!({"interval": "999ms"}))],
        ),
        (
            "must be a duration from 0s to 1h, such as 200ms",
            vec![settings("latency", "0s"), settings("timeToFirstToken", "1h")],
            vec![settings("latency", "61m"), settings("timeToFirstToken", "3601s")],
        ),
        (
            "simulated is for kind Simulated",
            vec![settings("latency", "1s")],
            vec![provider("simulated", json!({}))],
        ),
        (
            "kind Simulated calls no one: remove endpoint",
            vec![endpoint("https://a")],
            vec![sim("endpoint", json!("https://a"))],
        ),
        (
            "kind Simulated needs no key: remove credentials",
            vec![provider("credentials", key.clone())],
            vec![sim("credentials", key)],
        ),
        (
            "kind Simulated calls no one: remove tls",
            vec![provider("tls", ca.clone())],
            vec![sim("tls", ca.clone())],
        ),
        (
            "tls needs an endpoint that starts with https://",
            vec![with(endpoint("https://a"), "/spec/providers/0/tls", ca.clone())],
            vec![with(endpoint("http://a"), "/spec/providers/0/tls", ca)],
        ),
        (
            "must be an http:// or https:// URL with a host, and without user, query or fragment",
            vec![
                endpoint("http://10.0.0.1:8000/v1"),
                endpoint("https://a.example/openai/v1/"),
                endpoint("http://[::1]:80"),
            ],
            vec![
                "ftp://a",
                "https://",
                "https://a?b=c",
                "https://a#b",
                "https://u:p@a",
                "a.example/v1",
                "http://a b",
            ]
            .into_iter()
            .map(endpoint)
            .collect(),
        ),
    ]
}

/// The same of what only some kinds of providers have.
fn rules_of_kinds() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let provider = |field: &str, value: Value| with(pool(), &format!("/spec/providers/0/{field}"), value);
    let sim = |field: &str, value: Value| with(simulated(), &format!("/spec/providers/0/{field}"), value);
    let endpoint = |url: &str| provider("endpoint", json!(url));
    let operations = |operations: &[&str]| json!([{"name": "m", "operations": operations}]);
    vec![
        (
            "kind Simulated calls no one: remove headers",
            vec![provider("headers", json!([{"name": "x-team", "value": "a b"}]))],
            vec![sim("headers", json!([{"name": "x-team", "value": "a"}]))],
        ),
        (
            "kind Ollama has no default endpoint: give one, such as http://ollama.ai.svc:11434",
            vec![with(endpoint("http://a:11434"), "/spec/providers/0/kind", json!("Ollama"))],
            vec![provider("kind", json!("Ollama"))],
        ),
        (
            "responsesApi is for kind OpenAI",
            vec![provider("responsesApi", json!("Native")), provider("responsesApi", json!("Translated"))],
            vec![with(provider("kind", json!("Gemini")), "/spec/providers/0/responsesApi", json!("Native"))],
        ),
        (
            "kind Anthropic has no embeddings: remove Embeddings from operations",
            vec![
                with(provider("kind", json!("Anthropic")), "/spec/providers/0/models", operations(&["Chat"])),
                with(
                    provider("kind", json!("Gemini")),
                    "/spec/providers/0/models",
                    operations(&["Embeddings"]),
                ),
            ],
            vec![with(
                provider("kind", json!("Anthropic")),
                "/spec/providers/0/models",
                operations(&["Chat", "Embeddings"]),
            )],
        ),
        (
            "this header is the gateway's own: a key goes into credentials",
            vec![provider("headers", json!([{"name": "OpenAI-Organization", "value": "org"}]))],
            ["Authorization", "x-api-key", "Host"]
                .map(|name| provider("headers", json!([{"name": name, "value": "v"}])))
                .into(),
        ),
    ]
}

/// The same of the namespaces that a pool admits.
fn rules_of_callers() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let attach = |attach_to: Value| with(route(), "/spec/attachTo", attach_to);
    let caller = |caller: Value| with(route(), "/spec/rules/0/matches", json!([{"callers": [caller]}]));
    vec![
        (
            "give at least one gateway, or a podSelector",
            vec![
                attach(json!({"podSelector": {}})),
                attach(json!({"gateways": [], "podSelector": {"matchLabels": {"app": "chat"}}})),
            ],
            vec![attach(json!({"gateways": []}))],
        ),
        (
            "give at least one of namespaces, labels, keys and certificates",
            vec![
                caller(json!({"namespaces": ["shop"]})),
                caller(json!({"labels": {"app": "chat"}})),
                caller(json!({"keys": ["partner"]})),
                caller(json!({"certificates": ["partner"]})),
            ],
            vec![caller(json!({}))],
        ),
        (
            "serviceAccounts need namespaces: others may have some of the same names",
            vec![caller(
                json!({"namespaces": ["shop"], "serviceAccounts": ["web"], "labels": {"app": "chat"}}),
            )],
            vec![caller(json!({"serviceAccounts": ["web"], "labels": {"app": "chat"}}))],
        ),
        (
            "callers by keys or certificates have no namespace and no labels: give them an entry of their own",
            vec![with(
                route(),
                "/spec/rules/0/matches",
                json!([{"callers": [{"keys": ["partner"]}, {"namespaces": ["shop"]}]}]),
            )],
            vec![
                caller(json!({"keys": ["partner"], "namespaces": ["shop"]})),
                caller(json!({"certificates": ["partner"], "labels": {"app": "chat"}})),
            ],
        ),
        (
            "no caller is known by a key and a certificate: give each an entry of its own",
            vec![with(
                route(),
                "/spec/rules/0/matches",
                json!([{"callers": [{"keys": ["partner"]}, {"certificates": ["partner"]}]}]),
            )],
            vec![caller(json!({"keys": ["partner"], "certificates": ["partner"]}))],
        ),
    ]
}

fn rules_of_selection() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let allow = |allowed: Value| with(pool(), "/spec/allowedNamespaces", allowed);
    let selector = json!({"matchLabels": {"a": "b"}});
    let expression = |expression: Value| {
        allow(json!({"from": "Selector", "selector": {"matchExpressions": [expression]}}))
    };
    vec![
        (
            "selector is given exactly when from is Selector",
            vec![
                allow(json!({"from": "Selector", "selector": selector})),
                allow(json!({"from": "All"})),
                allow(json!({})),
            ],
            vec![
                allow(json!({"from": "Selector"})),
                allow(json!({"from": "All", "selector": selector})),
                allow(json!({"selector": selector})),
            ],
        ),
        (
            "operators In and NotIn need values; Exists and DoesNotExist take none",
            vec![
                expression(json!({"key": "a", "operator": "NotIn", "values": ["b"]})),
                expression(json!({"key": "a", "operator": "Exists"})),
            ],
            vec![
                expression(json!({"key": "a", "operator": "In"})),
                expression(json!({"key": "a", "operator": "NotIn", "values": []})),
                expression(json!({"key": "a", "operator": "DoesNotExist", "values": ["b"]})),
            ],
        ),
    ]
}

/// The messages of every rule in the definitions.
fn messages(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for rule in fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
            {
                found.insert(rule["message"].as_str().unwrap().to_owned());
            }
            fields.values().for_each(|value| messages(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| messages(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_rule_admits_and_refuses() {
    let cluster = Cluster::shared().await;
    cluster.install_crds().await;
    let namespace = cluster.namespace("rules").await;
    let mut covered = BTreeSet::new();
    let all = [rules(), rules_of_kinds(), rules_of_selection(), rules_of_callers(), budgets::rules()];
    for (message, good, bad) in all.concat() {
        covered.insert(message.to_owned());
        for manifest in good {
            cluster.apply(&with(manifest, "/metadata/namespace", json!(namespace)).to_string()).await;
        }
        for manifest in bad {
            let told = cluster
                .apply_fails(&with(manifest.clone(), "/metadata/namespace", json!(namespace)).to_string())
                .await;
            assert!(told.contains(message), "{manifest}\n{told}");
        }
    }
    let mut all = BTreeSet::new();
    for (_, yaml) in llm_crds::files().unwrap() {
        messages(&serde_saphyr::from_str::<Value>(&yaml).unwrap(), &mut all);
    }
    assert_eq!(covered, all, "a rule without a case, or a case without a rule");
}

#[tokio::test]
async fn names_numbers_and_lists_are_bounded() {
    let cluster = Cluster::shared().await;
    cluster.install_crds().await;
    let namespace = cluster.namespace("bounds").await;
    let models =
        |count: usize| json!((0..count).map(|i| json!({"name": format!("m{i}")})).collect::<Vec<_>>());
    let price =
        |price: &str| json!([{"name": "m", "pricing": {"inputPerMillion": price, "outputPerMillion": "1"}}]);
    let provider = |field: &str, value: Value| with(pool(), &format!("/spec/providers/0/{field}"), value);
    let misspelt = json!({"from": "Selector", "selector": {"matchExpressions": [{"key": "a", "operator": "in", "values": ["b"]}]}});
    let bounds = [
        (provider("name", json!("Not A Name")), "spec.providers[0].name"),
        (provider("kind", json!("Imaginary")), "spec.providers[0].kind"),
        (provider("weight", json!(0)), "spec.providers[0].weight"),
        (provider("priority", json!(101)), "spec.providers[0].priority"),
        (provider("models", json!([])), "spec.providers[0].models"),
        (provider("models", models(129)), "spec.providers[0].models"),
        (provider("models", json!([{"name": "a"}, {"name": "a"}])), "Duplicate value"),
        (provider("models", price("free")), "inputPerMillion"),
        (provider("models", price("-1")), "inputPerMillion"),
        (provider("endpont", json!("https://a")), "unknown field"),
        (with(pool(), "/spec/providers", json!([])), "spec.providers"),
        (with(route(), "/spec/rules", json!([])), "spec.rules"),
        (with(route(), "/spec/attachTo", json!({"gateways": ["a", "a"]})), "spec.attachTo.gateways"),
        (
            with(route(), "/spec/rules/0/matches", json!([{"models": ["a b"]}])),
            "spec.rules[0].matches[0].models[0]",
        ),
        (
            with(route(), "/spec/rules/0/matches", json!([{"paths": ["v1"]}])),
            "spec.rules[0].matches[0].paths[0]",
        ),
        (
            with(route(), "/spec/rules/0/clientOverrides", json!(["Model"])),
            "spec.rules[0].clientOverrides[0]",
        ),
        (with(route(), "/spec/rules/0/strategy", json!("Fastest")), "spec.rules[0].strategy"),
        (provider("limits", json!({"requestsPerMinute": 0})), "requestsPerMinute"),
        (provider("limits", json!({"scope": "Node"})), "scope"),
        (with(pool(), "/spec/retry", json!({"attempts": 0})), "spec.retry.attempts"),
        (with(pool(), "/spec/circuitBreaker", json!({"failureThreshold": 0})), "failureThreshold"),
        (provider("models", json!([{"name": "m", "quality": "1.1"}])), "quality"),
        (with(route(), "/spec/rules/0/backends/0/weight", json!(-1)), "spec.rules[0].backends[0].weight"),
        (with(simulated(), "/spec/providers/0/simulated", json!({"errorRate": "1.5"})), "errorRate"),
        (with(simulated(), "/spec/providers/0/simulated", json!({"tokensPerSecond": 0})), "tokensPerSecond"),
        (with(pool(), "/spec/allowedNamespaces", misspelt), "supported values: \"In\", \"NotIn\""),
    ];
    for (manifest, wanted) in bounds.into_iter().chain(budgets::bounds()) {
        let told = cluster
            .apply_fails(&with(manifest.clone(), "/metadata/namespace", json!(namespace)).to_string())
            .await;
        assert!(told.contains(wanted), "{wanted}: {manifest}\n{told}");
    }
}

#[tokio::test]
async fn the_kinds_explain_themselves() {
    let cluster = Cluster::shared().await;
    cluster.install_crds().await;
    let rules = cluster.kubectl(&["explain", "llmroute.spec.rules", "--recursive=false"]).await;
    for wanted in [
        "matches",
        "backends",
        "timeouts",
        "Default: the calls for a model that a backend of the rule serves",
    ] {
        assert!(rules.split_whitespace().collect::<Vec<_>>().join(" ").contains(wanted), "{wanted}\n{rules}");
    }
    // Every field says what it is for.
    for (file, yaml) in llm_crds::files().unwrap() {
        let definition: Value = serde_saphyr::from_str(&yaml).unwrap();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        let silent = undescribed(&schema["spec"], "spec");
        assert_eq!(silent, [""; 0], "{file}");
    }
    let short = cluster.kubectl(&["api-resources", "--api-group=llmgateway.dev", "-o", "wide"]).await;
    for wanted in ["llmr", "ppool", "llmb", "llm"] {
        assert!(short.contains(wanted), "{wanted}\n{short}");
    }
}

fn undescribed(schema: &Value, path: &str) -> Vec<String> {
    let mut silent = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if field["description"].as_str().unwrap_or_default().is_empty() {
            silent.push(path.clone());
        }
        silent.extend(undescribed(field, &path));
        silent.extend(undescribed(&field["items"], &path));
    }
    silent
}
