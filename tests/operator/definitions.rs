//! The kinds' definitions change, or go, under an operator that runs.

use crate::installation::{Installation, WITHIN, answers, completion, pool, route};
use harness::{RawUpstream, Step, answer, eventually, program};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const ROUTES: &str = "llmroutes.llmgateway.dev";

impl Installation {
    /// Replaces the definition of routes by what `change` makes of it.
    async fn redefine(&self, change: impl FnOnce(&mut Value)) {
        let text = self.cluster.kubectl(&["get", "crd", ROUTES, "-o", "json"]).await;
        let mut definition: Value = serde_json::from_str(&text).unwrap();
        change(&mut definition["spec"]);
        let file = self.scratch.write("definition.json", definition.to_string());
        self.cluster.kubectl(&["replace", "-f", file.to_str().unwrap()]).await;
    }

    /// What the chart's Job does.
    async fn apply_definitions(&self) {
        let mut command = Command::new(program("llm-operator"));
        command.arg("--apply-definitions").env("KUBECONFIG", self.cluster.admin_kubeconfig());
        let job = harness::Process::start(&command);
        assert!(job.exited(WITHIN).await.success(), "{}", job.output());
    }
}

/// The definition of a later version: one field more, one value more, one version more.
fn newer(spec: &mut Value) {
    let version = &mut spec["versions"][0];
    let spec_schema = "/schema/openAPIV3Schema/properties/spec/properties";
    let fields = version.pointer_mut(spec_schema).unwrap();
    fields["owner"] = json!({"type": "string", "description": "Of a later version."});
    let strategies = fields.pointer_mut("/rules/items/properties/strategy/enum").unwrap();
    strategies.as_array_mut().unwrap().push("GreenestFirst".into());
    let mut next = version.clone();
    next["name"] = "v1beta1".into();
    next["storage"] = false.into();
    spec["versions"].as_array_mut().unwrap().push(next);
}

#[tokio::test]
async fn a_newer_definition_with_objects_of_its_own_keeps_no_other_from_being_seen() {
    let mut installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large", "small", "tiny", "late"])).await;
    let to = |model: &str| {
        let mut route = route(model, "pool");
        route["spec"]["rules"][0]["backends"][0]["models"] = json!([model]);
        route
    };
    installation.create_route(&to("large")).await;
    answers(&proxy, "large", 200, WITHIN).await;

    installation.redefine(newer).await;
    let mut owned = to("small");
    owned["apiVersion"] = "llmgateway.dev/v1beta1".into();
    owned["spec"]["owner"] = "team-a".into();
    eventually("the newer version is served", WITHIN, async || {
        let file = installation.scratch.write("owned.json", owned.to_string());
        installation.cluster.try_kubectl(&["apply", "-f", file.to_str().unwrap()]).await
    })
    .await;
    answers(&proxy, "small", 200, WITHIN).await;
    // What this version can't read stays what it was, or is not there; all others go on.
    let unreadable = "llm_operator_unreadable_objects{kind=\"LLMRoute\"}";
    let mut green = to("large");
    green["spec"]["rules"][0]["strategy"] = "GreenestFirst".into();
    green["spec"]["rules"][0]["backends"][0]["models"] = json!(["tiny"]);
    installation.cluster.apply(&green.to_string()).await;
    operator
        .process
        .await_line(WITHIN, |line| line.contains("ai/large") && line.contains("GreenestFirst"))
        .await;
    assert_eq!(operator.metric(unreadable).await, 1.0);
    installation.create_route(&to("late")).await;
    answers(&proxy, "late", 200, WITHIN).await;
    answers(&proxy, "large", 200, WITHIN).await;
    answers(&proxy, "tiny", 404, WITHIN).await;

    // So it is after a listing, too: the API server is another, and its watches begin anew.
    let key = "llmgateway.dev/llmroutes/ai/late";
    installation.cluster.restart_api_server(async |cluster| cluster.forget(key).await, &[]).await;
    answers(&proxy, "late", 404, WITHIN).await;
    answers(&proxy, "large", 200, WITHIN).await;
    assert_eq!(operator.metric(unreadable).await, 1.0);

    // The definitions of this version come back, and what they don't know goes.
    green["spec"]["rules"][0].as_object_mut().unwrap().remove("strategy");
    installation.cluster.apply(&green.to_string()).await;
    installation.redefine(|spec| spec["versions"].as_array_mut().unwrap().truncate(1)).await;
    installation.apply_definitions().await;
    answers(&proxy, "tiny", 200, WITHIN).await;
    assert_eq!(operator.metric(unreadable).await, 0.0);
    installation.delete_route("large").await;
    answers(&proxy, "tiny", 404, WITHIN).await;
    answers(&proxy, "small", 200, WITHIN).await;
}

#[tokio::test]
async fn a_definition_that_is_deleted_takes_no_call_away_and_is_taken_up_when_it_is_back() {
    let installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large", "small"])).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;
    let lost = "llm_operator_definitions_lost";

    installation.cluster.kubectl(&["delete", "crd", ROUTES, "--timeout=60s"]).await;
    let told = operator.process.await_line(WITHIN, |line| line.contains("the definition is deleted")).await;
    assert!(told.contains(ROUTES) && told.contains("proxies keep what they hold"), "{told}");
    assert_eq!(operator.metric(lost).await, 1.0);
    answers(&proxy, "large", 200, WITHIN).await;
    // A proxy that starts now has it, too, and nothing is compiled of what is left.
    let second = installation.proxy("proxy-b", &[]).await;
    installation.ready(&[&second]).await;
    answers(&second, "large", 200, WITHIN).await;

    installation.apply_definitions().await;
    eventually("routes are served again", WITHIN, async || {
        installation.cluster.try_kubectl(&["get", "llmroutes", "-A"]).await
    })
    .await;
    installation.renewals(7).await;
    answers(&proxy, "large", 200, WITHIN).await;
    let mut other = route("other", "pool");
    other["spec"]["rules"][0]["backends"][0]["models"] = json!(["small"]);
    installation.create_route(&other).await;
    answers(&proxy, "large", 404, Duration::from_secs(60)).await;
    answers(&proxy, "small", 200, WITHIN).await;
    installation.programmed_on("other", "2/2").await;
    assert_eq!(operator.metric(lost).await, 0.0);
    // The last one that somebody deletes is deleted.
    installation.delete_route("other").await;
    answers(&proxy, "small", 404, WITHIN).await;
}
