//! A provider that fails, as `kubectl describe providerpool` shows it: on how many proxies it is left alone.

use crate::installation::{Installation, WITHIN, answers, asking, completion, pool, route};
use harness::{Proxy, RawUpstream, Step, answer, eventually, free_port, http};
use serde_json::{Value, json};

/// A provider that fails so many calls, and then recovers.
async fn failing(calls: usize) -> RawUpstream {
    let fails = vec![Step::Send(answer(503, &json!({"error": {"message": "down"}})))];
    let mut scripts = vec![fails; calls];
    scripts.push(vec![Step::Send(answer(200, &completion("hello")))]);
    RawUpstream::start(scripts).await
}

/// One call is one attempt, two failures open, and a second later a call may try again.
fn fragile(upstream: &RawUpstream) -> Value {
    let mut pool = pool("pool", upstream.url(), &["large"]);
    pool["spec"]["circuitBreaker"] = json!({"failureThreshold": 2, "recoveryTime": "1s"});
    pool["spec"]["retry"] = json!({"attempts": 1});
    pool
}

/// Two calls that fail.
async fn open(proxy: &Proxy) {
    for _ in 0..2 {
        let answer = http::post_json(&proxy.chat_url(), &asking("large")).await;
        assert!(answer.status.is_server_error(), "{answer:?}");
    }
}

/// Waits until the pool says that the breaker is open on so many proxies.
async fn shows(installation: &Installation, wanted: &str) {
    eventually(&format!("the pool is {wanted}"), WITHIN, async || {
        let said = installation.pool_condition("pool", "Healthy", "False", "BreakerOpen").await;
        if said.starts_with(&format!("p/large: {wanted}")) { Ok(()) } else { Err(said) }
    })
    .await;
}

#[tokio::test]
async fn a_breaker_shows_on_how_many_proxies_it_is_open_and_that_it_closed() {
    let installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let (a, b) = (installation.proxy("proxy-a", &[]).await, installation.proxy("proxy-b", &[]).await);
    installation.ready(&[&a, &b]).await;
    let upstream = failing(4).await;
    installation.create_pool(&fragile(&upstream)).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;
    let said = installation.pool_condition("pool", "Healthy", "True", "AllClosed").await;
    assert_eq!(said, "all providers take calls");

    open(&a).await;
    shows(&installation, "open on 1 of 2 proxies (it answered with status 503)").await;
    let described = installation.cluster.kubectl(&["describe", "providerpool", "pool", "-n", "ai"]).await;
    for wanted in ["p/large: open on 1 of 2 proxies", "BreakerOpen", "Last Error:", "Proxies:"] {
        assert!(described.contains(wanted), "{wanted}\n{described}");
    }

    // An operator that restarts hears of what was open before, and of what opened meanwhile.
    operator.process.kill();
    open(&b).await;
    let _operator = installation.operator(&[]).await;
    shows(&installation, "open on 2 of 2 proxies").await;
    let status = installation.pools().get("pool").await.unwrap().status.unwrap();
    let listed = json!([{"name": "p", "models": [
        {"name": "large", "open": 2, "proxies": 2, "lastError": "it answered with status 503"},
    ]}]);
    assert_eq!(serde_json::to_value(&status.providers).unwrap(), listed);

    answers(&a, "large", 200, WITHIN).await;
    shows(&installation, "open on 1 of 2 proxies").await;
    answers(&b, "large", 200, WITHIN).await;
    installation.pool_condition("pool", "Healthy", "True", "AllClosed").await;
    assert!(installation.pools().get("pool").await.unwrap().status.unwrap().providers.is_empty());
    let row = installation.cluster.kubectl(&["get", "ppool", "pool", "-n", "ai", "-o", "wide"]).await;
    assert!(row.contains("HEALTHY") && row.trim_end().ends_with("True"), "{row}");
    let events = installation.events("", &["BreakerOpen", "AllClosed"]).await;
    assert_eq!(events.lines().filter(|line| line.contains("AllClosed")).count(), 1, "{events}");
}

#[tokio::test]
async fn a_provider_that_refuses_the_gateways_key_says_so_in_the_status_of_its_pool() {
    let installation = Installation::start().await;
    let _operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    let refuses =
        answer(401, &json!({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}));
    let upstream = RawUpstream::start([vec![Step::Send(refuses)]]).await;
    installation.create_pool(&fragile(&upstream)).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;
    open(&proxy).await;
    shows(&installation, "open on 1 of 1 proxy (it refuses the key of this gateway (status 401))").await;
}

#[tokio::test]
async fn a_breaker_of_a_proxy_at_another_replica_counts() {
    let installation = Installation::start().await;
    let (first, second) = (free_port(), free_port());
    let one = installation.operator_at(first, "one", &[]).await;
    eventually("one leads", WITHIN, async || {
        if one.metric("llm_operator_leader").await > 0.0 { Ok(()) } else { Err(one.process.output()) }
    })
    .await;
    let two = installation.operator_at(second, "two", &[]).await;
    installation.mount_bundle().await;
    let a = installation.proxy_at(first, "proxy-a", &[]).await;
    let b = installation.proxy_at(second, "proxy-b", &[]).await;
    installation.ready(&[&a, &b]).await;
    let upstream = failing(4).await;
    installation.create_pool(&fragile(&upstream)).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;

    open(&b).await;
    shows(&installation, "open on 1 of 2 proxies").await;
    open(&a).await;
    shows(&installation, "open on 2 of 2 proxies").await;
    answers(&a, "large", 200, WITHIN).await;
    answers(&b, "large", 200, WITHIN).await;
    installation.pool_condition("pool", "Healthy", "True", "AllClosed").await;
    assert_eq!(two.metric("llm_operator_status_writes_total").await, 0.0, "followers write no status");
}
