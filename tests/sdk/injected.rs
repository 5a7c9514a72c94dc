//! A container as injection leaves it: its SDKs are made without a word of where to call, and reach the proxy.

use crate::scene::Scene;
use crate::subjects::model;
use harness::{Ran, node, python, workspace};
use llm_dialect::surface::Kind;
use llm_operator::inject::{Asked, Injection, Settings, inject};
use serde_json::{Value, json};

/// The variables that the container of an injected pod has, whose sidecar listens on this port.
fn variables(port: &str) -> Vec<(String, String)> {
    let pod = json!({
        "metadata": {"annotations": {"llmgateway.dev/port": port}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    });
    let Ok(Injection::Injected { pod, .. }) = inject(&pod, Asked::ByPod, &Settings::of("llm-gateway")) else {
        panic!("it is injected");
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    env.iter().map(|variable| (text(&variable["name"]), text(&variable["value"]))).collect()
}

fn replied(ran: &Ran, sdks: &[&str]) {
    assert!(ran.ok, "{ran:?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), sdks.len(), "{ran:?}");
    for (line, sdk) in lines.iter().zip(sdks) {
        assert!(
            line.strip_prefix(&format!("{sdk}: ")).is_some_and(|reply| !reply.is_empty()),
            "{sdk}: {ran:?}"
        );
    }
}

#[tokio::test]
async fn the_sdks_find_the_proxy_by_what_injection_sets() {
    let scene = Scene::start().await;
    let (_, port) = scene.proxy.url().rsplit_once(':').unwrap();
    let (variables, model) = (variables(port), model(Kind::Simulated));
    let environment: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (&**name, &**value)).collect();
    let ran = python(include_str!("scripts/injected.py"), &[&model], &environment).await;
    replied(&ran, &["openai", "anthropic", "google-genai", "ollama"]);

    let mut arguments = vec![model];
    arguments.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ran = node(&workspace().join("tests/sdk/scripts"), "injected.mjs", &arguments).await;
    // Ollama's reads no variable in JavaScript.
    replied(&ran, &["openai", "anthropic", "google-genai"]);
}
