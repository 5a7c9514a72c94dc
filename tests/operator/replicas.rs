//! Two operators: both serve, one writes, and one may die.

use crate::installation::{Installation, NAMESPACE, Operator, WITHIN, answers, completion, pool, route};
use harness::{RawUpstream, Step, answer, eventually, free_port};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::json;
use std::time::Duration;

async fn leads(operator: &Operator) -> bool {
    operator.metric("llm_operator_leader").await > 0.0
}

#[tokio::test]
async fn the_leader_writes_what_the_proxies_of_both_hold() {
    let installation = Installation::start().await;
    let (first, second) = (free_port(), free_port());
    let one = installation.operator_at(first, "one", &[]).await;
    eventually("one leads", WITHIN, async || if leads(&one).await { Ok(()) } else { Err(String::new()) })
        .await;
    let two = installation.operator_at(second, "two", &[]).await;
    installation.mount_bundle().await;
    let a = installation.proxy_at(first, "proxy-a", &[]).await;
    let b = installation.proxy_at(second, "proxy-b", &[]).await;
    installation.ready(&[&a, &b]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.programmed_on("chat", "2/2").await;
    answers(&b, "large", 200, WITHIN).await;
    assert_eq!(two.metric("llm_operator_status_writes_total").await, 0.0, "followers write no status");
    assert!(!leads(&two).await);

    // The leader dies without a word.
    one.process.kill();
    eventually(
        "two leads",
        WITHIN,
        async || if leads(&two).await { Ok(()) } else { Err(two.process.output()) },
    )
    .await;
    let mut changed = route("second", "pool");
    changed["spec"]["rules"][0]["matches"] = json!([{"models": ["alias"]}]);
    installation.create_route(&changed).await;
    answers(&b, "alias", 200, WITHIN).await;
    installation.route_condition("second", "Programmed", "True", "Programmed").await;
    installation.programmed_on("chat", "1/1").await;
    answers(&a, "large", 200, WITHIN).await;

    // It comes back as a follower, and its proxy is counted again.
    let one = installation.operator_at(first, "one", &[]).await;
    installation.programmed_on("chat", "2/2").await;
    answers(&a, "alias", 200, WITHIN).await;
    assert!(leads(&two).await && !leads(&one).await);

    // A leader that ends in good order gives the Lease back at once.
    two.process.terminate();
    assert!(two.process.exited(WITHIN).await.success());
    eventually("one leads", WITHIN, async || if leads(&one).await { Ok(()) } else { Err(String::new()) })
        .await;
}

/// What a replica leaves that was killed while proxy `ghost` was attached to it. The finalizer keeps the object there
/// when it is deleted, so that it is seen who wants to.
fn ghost() -> String {
    let summary = json!({"gateway/default": {"groups": [{"proxies": 1, "names": ["ghost"], "holds": {}}], "refusals": []}});
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "llm-operator-ghost", "namespace": NAMESPACE, "finalizers": ["llmgateway.dev/test"],
            "labels": {"llmgateway.dev/replica-summary": "true"},
            "annotations": {"llmgateway.dev/told-at": "2020-01-01T00:00:00Z"},
        },
        "data": {"summary.json": summary.to_string()},
    })
    .to_string()
}

#[tokio::test]
async fn what_a_killed_replica_left_is_removed_and_does_not_come_back_with_another_leader() {
    let installation = Installation::start().await;
    let (first, second) = (free_port(), free_port());
    let one = installation.operator_at(first, "one", &[]).await;
    eventually("one leads", WITHIN, async || if leads(&one).await { Ok(()) } else { Err(String::new()) })
        .await;
    let two = installation.operator_at(second, "two", &[]).await;
    installation.mount_bundle().await;
    let b = installation.proxy_at(second, "proxy-b", &[]).await;
    installation.ready(&[&b]).await;
    installation.create_pool(&pool("pool", "http://127.0.0.1:1", &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.programmed_on("chat", "1/1").await;
    installation.cluster.apply(&ghost()).await;
    installation.programmed_on("chat", "1/2").await;

    let config_maps = Api::<ConfigMap>::namespaced(installation.client.clone(), NAMESPACE);
    eventually("the leader removes it", Duration::from_secs(40), async || {
        let ghost = config_maps.get("llm-operator-ghost").await.unwrap();
        ghost.metadata.deletion_timestamp.map(drop).ok_or_else(|| one.process.output())
    })
    .await;
    installation.programmed_on("chat", "1/1").await;
    assert!(config_maps.get_opt("llm-operator-two").await.unwrap().is_some(), "who lives is left alone");
    assert!(config_maps.get_opt("llm-operator-one").await.unwrap().is_none(), "a leader needs none");

    one.process.kill();
    eventually(
        "two leads",
        WITHIN,
        async || if leads(&two).await { Ok(()) } else { Err(two.process.output()) },
    )
    .await;
    // It has followed long enough to know who is gone.
    installation.create_route(&route("other", "pool")).await;
    installation.delete_route("chat").await;
    installation.programmed_on_within(Duration::from_secs(8), "other", "1/1").await;
}
