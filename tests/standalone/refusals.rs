//! What is refused at the start: file, object, field and reason, each problem on a line of its own.

use crate::gateway::{ends, hosted, path, route, simulated};
use harness::Scratch;

/// Runs a manifest that must be refused, and gives its complaints without the path of the file.
async fn refused(manifest: &str) -> Vec<String> {
    let scratch = Scratch::new("refused");
    let file = scratch.write("gateway.yaml", manifest);
    let (code, said) = ends(&[path(&file), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], &[]).await;
    assert_eq!(code, Some(1), "{said}");
    let prefix = format!("error: {}: ", file.display());
    said.lines().map(|line| line.strip_prefix(&prefix).unwrap_or(line).to_owned()).collect()
}

const OPERATOR: &str = "spec.allowedNamespaces.selector.matchExpressions[0].operator: ";

/// The beginning of a pool's spec that selects namespaces.
fn selecting(expression: &str) -> String {
    format!(
        "spec:\n  allowedNamespaces: {{from: Selector, selector: {{matchExpressions: [{{{expression}}}]}}}}\n  providers"
    )
}

#[tokio::test]
async fn a_bad_manifest_is_refused_by_object_and_field() {
    let good = simulated(&["demo"]);
    let pool = "ProviderPool default/pool: ";
    for (manifest, wanted) in [
        (good.replace("kind: Simulated", "kind: Imaginary"), "spec.providers[0].kind: "),
        (good.replace("simulated:", "simulatd:"), "unknown field: spec.providers[0].simulatd"),
        (
            good.replace("tokensPerSecond: 100000", "tokensPerSecond: 0"),
            "spec.providers[0].simulated.tokensPerSecond: ",
        ),
        (
            good.replace("timeToFirstToken: 1ms", "timeToFirstToken: 2h"),
            "must be a duration from 0s to 1h, such as 200ms",
        ),
        (good.replace("    kind: Simulated", "    kind: OpenAI"), "simulated is for kind Simulated"),
        (good.replace("name: sim\n", "name: Sim\n"), "spec.providers[0].name: "),
        (good.replace("spec:\n  providers", &selecting("key: tier, operator: in, values: [gold]")), OPERATOR),
        (
            good.replace("spec:\n  providers", &selecting("key: tier, operator: In")),
            "operators In and NotIn need values; Exists and DoesNotExist take none",
        ),
    ] {
        let said = refused(&manifest).await;
        assert!(
            said.iter().any(|line| line.starts_with(pool) && line.contains(wanted)),
            "{wanted}: {said:#?}"
        );
    }
}

#[tokio::test]
async fn what_only_shows_between_objects_is_refused_too() {
    let good = simulated(&["demo"]);
    for (manifest, wanted) in [
        (
            format!("{good}---\n{}", route("lost", "nowhere")),
            "LLMRoute default/lost: spec.rules[0].backends[0].pool: there is no ProviderPool default/nowhere",
        ),
        (
            format!("{good}---\n{}", route("second", "pool")),
            "LLMRoute default/second: model `demo` is served on gateway `default` by the older LLMRoute default/chat",
        ),
        (format!("{good}---\n{}", route("chat", "pool")), "LLMRoute default/chat: stands in "),
        (
            hosted("http://127.0.0.1:1"),
            "there is no Secret `keys` in namespace `default`: create it with the key `vendor`, or correct the name; or set OPENAI_API_KEY",
        ),
        (good.replace("v1alpha1", "v1"), "no such kind: llmgateway.dev/v1 ProviderPool"),
        (good.split("---").next().unwrap().to_owned(), "there is no LLMRoute"),
        ("a: [".to_owned(), "not valid YAML"),
        (String::new(), "there is no LLMRoute"),
    ] {
        let said = refused(&manifest).await;
        assert!(said.iter().any(|line| line.contains(wanted)), "{wanted}: {said:#?}");
    }
    let (code, said) = ends(&["/nowhere/gateway.yaml"], &[]).await;
    assert!(code == Some(1) && said.contains("error: /nowhere/gateway.yaml: "), "{said}");
}

/// A budget of this spec.
fn budget(spec: &str) -> String {
    format!(
        "apiVersion: llmgateway.dev/v1alpha1\nkind: Budget\nmetadata: {{name: daily}}\nspec: {{{spec}}}\n"
    )
}

#[tokio::test]
async fn a_bad_budget_is_refused_by_field_too() {
    let good = simulated(&["demo"]);
    for (spec, wanted) in [
        ("limits: [{window: Daily}]", "give at least one of usd, tokens and requests"),
        ("limits: [{window: Daily, usd: '0'}]", "usd must be above 0, and at most 9000000"),
        ("limits: [{window: Custom, duration: 1.5s, usd: '1'}]", "must be whole seconds from 1m to 8784h"),
        ("limits: [{window: Custom, duration: 60.5s, usd: '1'}]", "must be whole seconds from 1m to 8784h"),
        (
            "limits: [{window: Rolling, usd: '1'}]",
            "duration is given exactly when window is Custom or Rolling",
        ),
        ("limits: [{window: Daily, usd: '1'}, {window: Daily, usd: '2'}]", "of the same window and unit"),
        ("limits: [{window: Daily, usd: '1', eur: '1'}]", "unknown field: spec.limits[0].eur"),
        ("limits: [{window: Daily, usd: '1'}], per: [User, User]", "spec.per: "),
        (
            "limits: [{window: Daily, usd: '1'}], timeZone: Mars/Olympus",
            "there is no time zone `Mars/Olympus`",
        ),
        (
            "limits: [{window: Daily, usd: '1'}], scope: {routes: [{name: gone}]}",
            "spec.scope.routes[0]: there is no LLMRoute default/gone",
        ),
        (
            "limits: [{window: Daily, usd: '1'}], alerts: {webhook: {urlSecretRef: {name: a, key: b}, signingSecretRef: {name: a, key: c}}}",
            "spec.alerts.webhook: is called by the operator of a cluster, and there is none here: remove it",
        ),
    ] {
        let said = refused(&format!("{good}---\n{}", budget(spec))).await;
        let told = |line: &String| line.starts_with("Budget default/daily: ") && line.contains(wanted);
        assert!(said.iter().any(told), "{wanted}: {said:#?}");
    }
}

#[tokio::test]
async fn every_problem_is_told_at_once() {
    let manifest =
        simulated(&["demo"]).replace("tokensPerSecond: 100000", "tokensPerSecond: 0, errorRate: \"2\"");
    let said = refused(&format!("{manifest}---\nkind: Oops\n")).await;
    assert_eq!(said.len(), 3, "{said:#?}");
}
