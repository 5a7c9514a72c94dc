//! A config stream lives no longer than the operator takes a proxy's word for who it is: the proxy renews it in time,
//! unseen, and one that can't prove any more who it is gets no newer configuration.

use crate::installation::{Installation, NAMESPACE, WITHIN, answers, completion, pool, route};
use harness::{RawUpstream, Step, answer, eventually};
use llm_config::stream::AUDIENCE;
use serde_json::json;

#[tokio::test]
async fn a_stream_is_renewed_unseen_and_ends_with_the_proof_of_who_it_is() {
    let installation = Installation::start().await;
    let operator = installation.operator(&["--stream-lifetime", "5s"]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;
    installation.pool_condition("pool", "Programmed", "True", "Programmed").await;

    // A write is counted when it is answered, and seen before.
    installation.renewals(2).await;
    let writes = operator.metric("llm_operator_status_writes_total").await;
    let detached = |why: &str| operator.process.stderr().matches(why).count();
    eventually("the stream was renewed three times", WITHIN, async || {
        let renewed = detached("the proxy has opened a newer stream");
        if renewed >= 3 { Ok(()) } else { Err(format!("{renewed} times: {}", operator.process.stderr())) }
    })
    .await;
    assert_eq!(operator.metric("llm_operator_config_streams").await, 1.0);
    assert_eq!(operator.metric("llm_operator_status_writes_total").await, writes, "nobody has seen it");

    // Its token is none any more.
    let token = installation.scratch.path().join("proxy-a.token");
    std::fs::write(&token, "gone").unwrap();
    eventually("the stream has ended", WITHIN, async || {
        let ended = detached("it has not shown a newer token in time");
        if ended > 0 { Ok(()) } else { Err(operator.process.stderr()) }
    })
    .await;
    installation.route_condition("chat", "Programmed", "False", "NoProxies").await;
    // What it held it holds, and learns nothing new.
    let mut later = route("later", "pool");
    later["spec"]["rules"][0]["matches"] = json!([{"models": ["newer"]}]);
    installation.create_route(&later).await;
    installation.route_condition("later", "Accepted", "True", "Accepted").await;
    answers(&proxy, "large", 200, WITHIN).await;
    answers(&proxy, "newer", 404, WITHIN).await;
    assert!(proxy.process.stderr().contains("no newer config stream"), "{}", proxy.process.stderr());

    let token_of_now = installation.cluster.token(NAMESPACE, "llm-gateway", AUDIENCE).await;
    std::fs::write(&token, token_of_now).unwrap();
    answers(&proxy, "newer", 200, WITHIN).await;
    installation.programmed_on("chat", "1/1").await;
}
