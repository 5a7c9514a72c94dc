//! Who fights over the same: routes over a model, operators and others over a status. Nobody is driven to write in a
//! loop.

use crate::installation::{Installation, Operator, WITHIN, answers, completion, pool, route};
use harness::{RawUpstream, Step, answer, eventually, free_port};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

async fn writes(operator: &Operator) -> f64 {
    operator.metric("llm_operator_status_writes_total").await
}

/// Waits until nothing has been written for seven renewals of the Lease, more than 3 s, and gives the sum.
async fn at_rest(installation: &Installation, operator: &Operator) -> f64 {
    eventually("no status is written any more", WITHIN, async || {
        let before = writes(operator).await;
        installation.renewals(7).await;
        let after = writes(operator).await;
        if after == before { Ok(after) } else { Err(format!("{before}, then {after}")) }
    })
    .await
}

fn only(name: &str, model: &str) -> Value {
    let mut route = route(name, "pool");
    route["spec"]["rules"][0]["backends"][0]["models"] = json!([model]);
    route
}

#[tokio::test]
async fn two_routes_that_take_a_model_from_each_other_cost_a_few_writes_for_each_change() {
    let installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large", "small"])).await;
    installation.create_route(&only("a", "large")).await;
    installation.route_condition("a", "Programmed", "True", "Programmed").await;
    installation.create_route(&only("b", "large")).await;
    installation.route_condition("b", "Accepted", "False", "ModelConflict").await;
    let before = at_rest(&installation, &operator).await;

    let rounds = 20;
    for round in 0..rounds {
        // The older gives the model away, and takes it back.
        let (a, reason) = if round % 2 == 0 { ("small", "Accepted") } else { ("large", "ModelConflict") };
        installation.cluster.apply(&only("a", a).to_string()).await;
        let status = if reason == "Accepted" { "True" } else { "False" };
        installation.route_condition("b", "Accepted", status, reason).await;
    }
    let after = at_rest(&installation, &operator).await;
    // For each change the two routes, once when they are compiled and once when the proxy has them.
    let most = f64::from(rounds) * 5.0;
    assert!(after - before <= most, "{} writes in {rounds} rounds", after - before);
    answers(&proxy, "large", 200, WITHIN).await;
}

#[tokio::test]
async fn another_who_writes_the_same_status_starts_no_war() {
    let installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    installation.create_pool(&pool("pool", "http://127.0.0.1:1", &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;
    let before = at_rest(&installation, &operator).await;
    let params = PatchParams::apply("somebody-else").force();
    for round in 0..20 {
        let status =
            json!({"summary": {"models": format!("round {round}"), "pools": "", "programmed": "9/9"}});
        let patch = json!({"apiVersion": "llmgateway.dev/v1alpha1", "kind": "LLMRoute", "status": status});
        installation.routes().patch_status("chat", &params, &Patch::Apply(patch)).await.unwrap();
    }
    assert!(at_rest(&installation, &operator).await - before <= 20.0);
    // With its next change the object is told the truth again.
    installation.cluster.kubectl(&["delete", "providerpool", "pool", "-n", "ai"]).await;
    installation.route_condition("chat", "ResolvedRefs", "False", "BackendNotFound").await;
    let said = ["get", "llmroute", "chat", "-n", "ai", "-o", "jsonpath={.status.summary.programmed}"];
    assert_ne!(installation.cluster.kubectl(&said).await, "9/9");
}

#[tokio::test]
async fn two_operators_that_know_nothing_of_each_other_come_to_rest() {
    let installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    // Another release by mistake: with a Lease of its own, so that both lead.
    installation.cluster.kubectl(&["create", "namespace", "second"]).await;
    let kubeconfig = installation.cluster.admin_kubeconfig().to_str().unwrap().to_owned();
    let own = ["--namespace", "second"];
    let second = installation.operator_by(&kubeconfig, free_port(), "second", &own).await;
    second.ready().await;
    for operator in [&operator, &second] {
        eventually("both lead", WITHIN, async || {
            let leads = operator.metric("llm_operator_leader").await > 0.0;
            if leads { Ok(()) } else { Err(operator.process.output()) }
        })
        .await;
    }
    installation.create_pool(&pool("pool", "http://127.0.0.1:1", &["large"])).await;
    for name in ["a", "b", "c"] {
        installation.create_route(&route(name, "pool")).await;
    }
    for name in ["a", "b", "c"] {
        installation.route_condition(name, "ResolvedRefs", "True", "ResolvedRefs").await;
    }
    for operator in [&operator, &second] {
        let written = at_rest(&installation, operator).await;
        assert!(written <= 24.0, "{written} writes for four objects");
    }
}
