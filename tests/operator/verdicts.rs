//! Policies that are accepted are enforced; the others say why not, and what to change.

use crate::installation::{Installation, WITHIN, answers, completion, pool, route};
use harness::{RawUpstream, Step, answer};
use kube::api::{Patch, PatchParams};
use serde_json::json;

#[tokio::test]
async fn bad_objects_are_told_and_the_rest_ships() {
    let installation = Installation::start().await;
    let _operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large", "small"])).await;
    installation.create_route(&route("older", "pool")).await;
    installation.route_condition("older", "Accepted", "True", "Accepted").await;

    // The age of an object is in whole seconds; of the same second, the name decides.
    installation.create_route(&route("z-younger", "pool")).await;
    let told = installation.route_condition("z-younger", "Accepted", "False", "ModelConflict").await;
    assert!(
        told.contains("model `large` is served on gateway `default` by the older LLMRoute ai/older"),
        "{told}"
    );
    installation.route_condition("z-younger", "Programmed", "False", "NotShipped").await;

    installation.create_route(&route("lost", "nowhere")).await;
    let told = installation.route_condition("lost", "ResolvedRefs", "False", "BackendNotFound").await;
    assert_eq!(told, "spec.rules[0].backends[0].pool: there is no ProviderPool ai/nowhere");

    let mut elsewhere = route("elsewhere", "pool");
    elsewhere["spec"]["attachTo"] = json!({"gateways": ["edge"]});
    installation.create_route(&elsewhere).await;
    let told = installation.route_condition("elsewhere", "Accepted", "False", "NoMatchingGateway").await;
    assert!(told.contains("there is no gateway `edge`; there are: default"), "{told}");

    answers(&proxy, "large", 200, WITHIN).await;
    installation.route_condition("older", "Programmed", "True", "Programmed").await;
    installation.events("type=Warning", &["ModelConflict", "BackendNotFound", "NoMatchingGateway"]).await;

    // The older gives way: the younger serves without being touched.
    installation.delete_route("older").await;
    installation.route_condition("z-younger", "Programmed", "True", "Programmed").await;
    answers(&proxy, "large", 200, WITHIN).await;
    // What was missing comes.
    installation.create_pool(&pool("nowhere", upstream.url(), &["found"])).await;
    answers(&proxy, "found", 200, WITHIN).await;
    installation.route_condition("lost", "ResolvedRefs", "True", "ResolvedRefs").await;
}

#[tokio::test]
async fn a_pool_of_another_namespace_is_used_only_where_it_says_so() {
    let installation = Installation::start().await;
    let _operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.cluster.kubectl(&["create", "namespace", "shared"]).await;
    let mut shared = pool("pool", upstream.url(), &["large"]);
    shared["metadata"]["namespace"] = json!("shared");
    installation.cluster.apply(&shared.to_string()).await;
    let mut crossing = route("crossing", "pool");
    crossing["spec"]["rules"][0]["backends"][0]["pool"]["namespace"] = json!("shared");
    installation.create_route(&crossing).await;
    let told = installation.route_condition("crossing", "ResolvedRefs", "False", "RefNotPermitted").await;
    assert!(told.contains("ProviderPool shared/pool does not admit routes of namespace `ai`"), "{told}");
    answers(&proxy, "large", 404, WITHIN).await;

    let allow = |from: serde_json::Value| Patch::Merge(json!({"spec": {"allowedNamespaces": from}}));
    let pools = kube::Api::<llm_crds::ProviderPool>::namespaced(installation.client.clone(), "shared");
    let selector = json!({"from": "Selector", "selector": {"matchLabels": {"tier": "gold"}}});
    pools.patch("pool", &PatchParams::default(), &allow(selector)).await.unwrap();
    // The label of the namespace is what opens it, and closes it again.
    installation.cluster.kubectl(&["label", "namespace", "ai", "tier=gold"]).await;
    answers(&proxy, "large", 200, WITHIN).await;
    installation.cluster.kubectl(&["label", "namespace", "ai", "tier-"]).await;
    answers(&proxy, "large", 404, WITHIN).await;
    pools
        .patch("pool", &PatchParams::default(), &allow(json!({"from": "All", "selector": null})))
        .await
        .unwrap();
    answers(&proxy, "large", 200, WITHIN).await;
}
