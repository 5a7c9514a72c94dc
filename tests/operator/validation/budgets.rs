//! Budgets as they are applied: what the schema can't know.

use super::Reviewing;
use crate::budgets::budget;
use crate::installation::{pool, route};
use serde_json::json;

#[tokio::test]
async fn a_budget_is_refused_for_its_own_spec_and_let_pass_with_a_word_for_what_is_not_there() {
    let (reviewing, _operator) = Reviewing::start().await;
    let mut lost = budget("lost");
    lost["spec"]["timeZone"] = json!("Europe/Baerlin");
    let told = reviewing.refused(&lost).await;
    let wanted = "denied the request: spec.timeZone: there is no time zone `Europe/Baerlin`: give a name of the IANA database";
    assert!(told.contains(wanted), "{told}");

    let mut falling = budget("falling");
    falling["spec"]["scope"] = json!({"routes": [{"name": "chat"}]});
    let backends = json!([{"pool": {"name": "pool"}, "models": ["small"]}]);
    falling["spec"]["onExceeded"] = json!({"action": "Downgrade", "downgrade": {"backends": backends}});
    let key = |key: &str| json!({"name": "hook", "key": key});
    falling["spec"]["alerts"] =
        json!({"webhook": {"urlSecretRef": key("url"), "signingSecretRef": key("key")}});
    let said = reviewing.apply(&falling).await;
    for wanted in [
        "Warning: Budget ai/falling: there is no ledger in which proxies could count together",
        "Budget ai/falling: spec.scope.routes[0]: there is no LLMRoute ai/chat",
        "spec.onExceeded.downgrade.backends[0].pool: there is no ProviderPool ai/pool",
        "spec.alerts.webhook.urlSecretRef: there is no Secret `hook`",
        "budget.llmgateway.dev/falling created",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }

    // Where they are, nothing but the ledger is missing; and who takes a pool away is told.
    let cluster = &reviewing.installation.cluster;
    cluster.kubectl(&["delete", "budget", "falling", "-n", "ai"]).await;
    reviewing.apply(&pool("pool", "http://127.0.0.1:1", &["large", "small"])).await;
    reviewing.apply(&route("chat", "pool")).await;
    reviewing.installation.route_condition("chat", "ResolvedRefs", "True", "ResolvedRefs").await;
    let data = ["create", "secret", "generic", "hook", "-n", "ai", "--from-literal=url=https://a.example"];
    cluster.kubectl(&[&data[..], &["--from-literal=key=k"]].concat()).await;
    let said = reviewing.apply(&falling).await;
    assert_eq!(said.matches("Warning: ").count(), 1, "{said}");
    assert!(said.contains("no ledger"), "{said}");
    reviewing.installation.budget_condition("falling", "ResolvedRefs", "True", "ResolvedRefs").await;
    let said = cluster.kubectl_says(&["delete", "providerpool", "pool", "-n", "ai"], "").await;
    for wanted in [
        "this breaks LLMRoute ai/chat: spec.rules[0].backends[0].pool: there is no ProviderPool ai/pool",
        "this breaks Budget ai/falling: spec.onExceeded.downgrade.backends[0].pool: there is no ProviderPool ai/pool",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}
