//! Limits of scope `Cluster`: what proxies ask of a provider together, whoever comes and goes.

use crate::installation::{
    Installation, NAMESPACE, Operator, WITHIN, answers, asking, completion, pool, route,
};
use harness::{Proxy, RawUpstream, Step, answer, eventually, free_port, http};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

/// Longer than proxies take to find an operator that is back.
const GRACE: &str = "10s";
const AFTER_GRACE: Duration = Duration::from_secs(40);

/// A pool whose only provider takes so many at once, of all proxies or of each, and lets none wait.
fn limited(url: &str, concurrent: u32, scope: &str) -> Value {
    let mut pool = pool("pool", url, &["large"]);
    pool["spec"]["providers"][0]["limits"] =
        json!({"scope": scope, "concurrentRequests": concurrent, "queue": {"size": 0}});
    pool
}

async fn limit(proxy: &Proxy) -> f64 {
    let of = [("provider", "ai/pool/p"), ("limit", "concurrent_requests")];
    proxy.metric("llm_gateway_provider_limit", &of).await
}

/// Waits until each has such a part.
async fn have(proxies: &[&Proxy], wanted: &[f64], within: Duration) {
    eventually(&format!("they have {wanted:?}"), within, async || {
        let mut parts = Vec::new();
        for proxy in proxies {
            parts.push(limit(proxy).await);
        }
        if parts == wanted { Ok(()) } else { Err(format!("{parts:?}")) }
    })
    .await;
}

/// As many calls as a proxy lets in, and one more, which is refused.
async fn lets_in(proxy: &Proxy, calls: usize, upstream: &RawUpstream) {
    let mut asked = JoinSet::new();
    for _ in 0..=calls {
        let url = proxy.chat_url();
        asked.spawn(async move { http::post_json(&url, &asking("large")).await });
    }
    let refused = asked.join_next().await.unwrap().unwrap();
    assert_eq!(refused.status, 429, "{refused:?}");
    (0..calls).for_each(|_| upstream.release());
    while let Some(answered) = asked.join_next().await {
        let answered = answered.unwrap();
        assert_eq!(answered.status, 200, "{answered:?}");
    }
}

async fn held() -> RawUpstream {
    RawUpstream::start([vec![Step::Hold, Step::Send(answer(200, &completion("hello")))]]).await
}

async fn attached(operator: &Operator, proxies: f64) {
    eventually(&format!("{proxies} are attached"), WITHIN, async || {
        let streams = operator.metric("llm_operator_config_streams").await;
        if streams == proxies { Ok(()) } else { Err(streams.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn proxies_that_come_and_go_share_what_a_provider_takes() {
    let installation = Installation::start().await;
    let arguments = ["--share-grace", GRACE];
    let operator = installation.operator(&arguments).await;
    let a = installation.proxy("proxy-a", &[]).await;
    let b = installation.proxy("proxy-b", &[]).await;
    installation.ready(&[&a, &b]).await;
    let upstream = held().await;
    installation.create_pool(&limited(upstream.url(), 4, "Cluster")).await;
    installation.create_route(&route("chat", "pool")).await;
    have(&[&a, &b], &[2.0, 2.0], WITHIN).await;
    lets_in(&a, 2, &upstream).await;
    lets_in(&b, 2, &upstream).await;

    let c = installation.proxy("proxy-c", &[]).await;
    have(&[&a, &b, &c], &[2.0, 1.0, 1.0], WITHIN).await;
    lets_in(&c, 1, &upstream).await;

    // An operator that starts divides as the one before it, whoever comes back first.
    operator.process.kill();
    let unchanged = async {
        loop {
            let parts = [limit(&a).await, limit(&b).await, limit(&c).await];
            assert_eq!(parts, [2.0, 1.0, 1.0]);
            tokio::task::yield_now().await;
        }
    };
    let restarted = async {
        let operator = installation.operator(&arguments).await;
        attached(&operator, 3.0).await;
        installation.renewals(2).await;
        operator
    };
    let operator = tokio::select! {
        operator = restarted => operator,
        () = unchanged => unreachable!(),
    };

    // What says so is removed: nobody loses its share, and it is written again.
    let config_maps = Api::<ConfigMap>::namespaced(installation.client.clone(), NAMESPACE);
    config_maps.delete("llm-operator-shares", &DeleteParams::default()).await.unwrap();
    eventually("it is there again", WITHIN, async || {
        let found = config_maps.get_opt("llm-operator-shares").await.unwrap();
        found.map(drop).ok_or_else(|| operator.process.output())
    })
    .await;
    have(&[&a, &b, &c], &[2.0, 1.0, 1.0], WITHIN).await;

    c.process.kill();
    have(&[&a, &b], &[2.0, 2.0], AFTER_GRACE).await;
    lets_in(&b, 2, &upstream).await;

    installation.cluster.apply(&limited(upstream.url(), 1, "Cluster").to_string()).await;
    have(&[&a, &b], &[1.0, 0.0], WITHIN).await;
    lets_in(&b, 0, &upstream).await;
    eventually("the pool says that it does not reach for all", WITHIN, async || {
        let message = installation.pool_condition("pool", "Accepted", "True", "Accepted").await;
        let told = "limits.concurrentRequests: 1 for 2 proxies leaves 1 of them nothing";
        if message.contains(told) { Ok(()) } else { Err(message) }
    })
    .await;
    installation.cluster.apply(&limited(upstream.url(), 3, "Proxy").to_string()).await;
    have(&[&a, &b], &[3.0, 3.0], WITHIN).await;
    let document = a.admin("/debug/config").await;
    assert!(!document.text().contains("shares"), "{}", document.text());
}

#[tokio::test]
async fn the_proxies_of_two_operators_divide_by_the_same_number_whoever_leads() {
    let installation = Installation::start().await;
    let (first, second) = (free_port(), free_port());
    let one = installation.operator_at(first, "one", &[]).await;
    installation.renewals(1).await;
    let two = installation.operator_at(second, "two", &[]).await;
    installation.mount_bundle().await;
    let a = installation.proxy_at(first, "proxy-a", &[]).await;
    let b = installation.proxy_at(second, "proxy-b", &[]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&limited(upstream.url(), 5, "Cluster")).await;
    installation.create_route(&route("chat", "pool")).await;
    have(&[&a, &b], &[3.0, 2.0], WITHIN).await;
    answers(&b, "large", 200, WITHIN).await;

    // The leader dies, and a proxy with it that may call on for all that is known.
    one.process.kill();
    eventually("two leads", WITHIN, async || match two.metric("llm_operator_leader").await {
        1.0 => Ok(()),
        _ => Err(two.process.output()),
    })
    .await;
    let c = installation.proxy_at(second, "proxy-c", &[]).await;
    eventually("the three of them have parts, the one that is not seen too", WITHIN, async || {
        let parts = [limit(&a).await, limit(&b).await, limit(&c).await];
        if parts[1] < 3.0 && parts[2] >= 1.0 { Ok(()) } else { Err(format!("{parts:?}")) }
    })
    .await;
    let _one = installation.operator_at(first, "one", &[]).await;
    eventually("all have their parts again, and no more than there is", WITHIN, async || {
        let mut parts = [limit(&a).await, limit(&b).await, limit(&c).await];
        parts.sort_by(f64::total_cmp);
        if parts == [1.0, 2.0, 2.0] { Ok(()) } else { Err(format!("{parts:?}")) }
    })
    .await;
}

/// So long that no part is free because this is over.
const NEVER: &str = "1h";
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn who_ends_on_purpose_leaves_its_part_when_its_calls_are_over_and_who_is_killed_keeps_it() {
    let installation = Installation::start().await;
    let operator = installation.operator(&["--share-grace", NEVER]).await;
    let a = installation.proxy("proxy-a", &[]).await;
    let b = installation.proxy("proxy-b", &[]).await;
    installation.ready(&[&a, &b]).await;
    let upstream = held().await;
    installation.create_pool(&limited(upstream.url(), 12, "Cluster")).await;
    installation.create_route(&route("chat", "pool")).await;
    have(&[&a, &b], &[6.0, 6.0], WITHIN).await;

    // It drains: the call that it has may be one of as many as its part.
    let url = b.chat_url();
    let call = tokio::spawn(async move { http::post_json(&url, &asking("large")).await });
    upstream.await_requests(1, WITHIN).await;
    b.process.terminate();
    b.process.await_line(WITHIN, |line| line.contains("draining")).await;
    let c = installation.proxy("proxy-c", &[]).await;
    have(&[&a, &c], &[4.0, 4.0], WITHIN).await;
    upstream.release();
    assert_eq!(call.await.unwrap().status, 200);
    have(&[&a, &c], &[6.0, 6.0], SOON).await;
    assert!(b.process.exited(WITHIN).await.success(), "{}", b.process.output());
    assert!(!b.process.stderr().contains("has not heard"), "{}", b.process.stderr());
    operator.process.await_line(WITHIN, |line| line.contains("it has said goodbye")).await;
    installation.programmed_on("chat", "2/2").await;

    // Another of its name has a part as any other, and keeps it when it is killed: that the one before it said goodbye
    // is remembered still.
    let b = installation.proxy("proxy-b", &[]).await;
    have(&[&a, &b, &c], &[4.0, 4.0, 4.0], WITHIN).await;
    b.process.kill();
    attached(&operator, 2.0).await;
    let d = installation.proxy("proxy-d", &[]).await;
    have(&[&a, &c, &d], &[3.0, 3.0, 3.0], WITHIN).await;
    c.process.terminate();
    have(&[&a, &d], &[4.0, 4.0], SOON).await;

    // An operator that does not hear it holds up nobody.
    operator.process.pause();
    d.process.terminate();
    assert!(d.process.exited(SOON).await.success(), "{}", d.process.output());
    assert!(d.process.stderr().contains("the operator has not heard that this proxy ends"));
}

#[tokio::test]
async fn a_goodbye_is_told_to_the_operator_that_leads_and_is_over_when_the_proxy_is_back_elsewhere() {
    let installation = Installation::start().await;
    let (first, second) = (free_port(), free_port());
    let grace = ["--share-grace", NEVER];
    let one = installation.operator_at(first, "one", &grace).await;
    installation.renewals(1).await;
    let two = installation.operator_at(second, "two", &grace).await;
    installation.mount_bundle().await;
    let a = installation.proxy_at(first, "proxy-a", &[]).await;
    let b = installation.proxy_at(second, "proxy-b", &[]).await;
    let upstream = held().await;
    installation.create_pool(&limited(upstream.url(), 12, "Cluster")).await;
    installation.create_route(&route("chat", "pool")).await;
    have(&[&a, &b], &[6.0, 6.0], WITHIN).await;
    assert_eq!(
        [one.metric("llm_operator_leader").await, two.metric("llm_operator_leader").await],
        [1.0, 0.0]
    );

    b.process.terminate();
    have(&[&a], &[12.0], SOON).await;
    let b = installation.proxy_at(first, "proxy-b", &[]).await;
    have(&[&a, &b], &[6.0, 6.0], WITHIN).await;
    b.process.kill();
    attached(&one, 1.0).await;
    let c = installation.proxy_at(second, "proxy-c", &[]).await;
    have(&[&a, &c], &[4.0, 4.0], WITHIN).await;
}
