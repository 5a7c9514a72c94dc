//! The operator away, a proxy turned away, a document refused.

use crate::installation::{
    Calling, Installation, NAMESPACE, WITHIN, answers, asking, completion, pool, route,
};
use harness::{RawUpstream, Step, answer, free_port, http};
use llm_config::stream::AUDIENCE;

#[tokio::test]
async fn an_operator_that_is_killed_and_restarted_fails_no_call() {
    let installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large", "small"])).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;

    let calling = Calling::begin(&proxy, "large");
    operator.process.kill();
    proxy.process.await_line(WITHIN, |line| line.contains("no config stream")).await;
    assert!(proxy.readiness().await.is_ok(), "the operator away changes nothing for a proxy that runs");
    // What changes meanwhile is in force when the operator is back.
    installation.create_pool(&pool("second", upstream.url(), &["other"])).await;
    installation.create_route(&route("second", "second")).await;
    let operator = installation.operator(&[]).await;
    answers(&proxy, "other", 200, WITHIN).await;
    installation.route_condition("second", "Programmed", "True", "Programmed").await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;
    assert!(calling.end().await > 0);

    // An operator that hangs with its connections open does no harm either.
    operator.process.pause();
    answers(&proxy, "large", 200, WITHIN).await;
    operator.process.resume();
    installation.delete_route("second").await;
    answers(&proxy, "other", 404, WITHIN).await;
}

#[tokio::test]
async fn a_proxy_that_starts_without_an_operator_waits() {
    let installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    operator.process.terminate();
    assert!(operator.process.exited(WITHIN).await.success());
    let proxy = installation.proxy("proxy-a", &[]).await;
    proxy
        .process
        .await_line(WITHIN, |line| line.contains("no config stream") && line.contains("can't connect"))
        .await;
    assert_eq!(proxy.readiness().await, Err("no configuration yet\n".to_owned()));
    assert!(proxy.admin("/livez").await.status.is_success());
    let refused = http::post_json(&proxy.chat_url(), &asking("large")).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (503, &"not_ready".into()));
    let _operator = installation.operator(&[]).await;
    installation.ready(&[&proxy]).await;
}

#[tokio::test]
async fn a_proxy_with_a_wrong_token_gets_nothing_and_is_told_why() {
    let installation = Installation::start().await;
    let port = free_port();
    let operator = installation.operator_at(port, "operator", &[]).await;
    installation.mount_bundle().await;
    installation.cluster.service_account("ai", "stranger").await;
    let audience =
        installation.cluster.token(NAMESPACE, "llm-gateway", "https://kubernetes.default.svc").await;
    let stranger = installation.cluster.token("ai", "stranger", AUDIENCE).await;
    // What opens a gateway to a caller opens no stream, though it be the proxies' own ServiceAccount.
    let callers = installation.cluster.token(NAMESPACE, "llm-gateway", llm_config::caller::AUDIENCE).await;
    let stranger_refused = "system:serviceaccount:ai:stranger may not serve gateway `default`";
    for (name, token, wanted) in [
        ("audience", audience.as_str(), "not valid for the audience"),
        ("stranger", stranger.as_str(), stranger_refused),
        ("caller", callers.as_str(), "not valid for the audience"),
        ("garbage", "not.a.token", "not valid for the audience"),
        ("empty", "", "no bearer token"),
    ] {
        let proxy = installation.proxy_with_token(port, name, token, &[]).await;
        let line = proxy.process.await_line(WITHIN, |line| line.contains("no config stream")).await;
        assert!(
            line.contains("the operator refuses this proxy") && line.contains(wanted),
            "{wanted}: {line}"
        );
        assert!(proxy.readiness().await.is_err());
    }
    let proxy = installation.proxy_at(port, "other-gateway", &["--gateway", "edge"]).await;
    proxy.process.await_line(WITHIN, |line| line.contains("may not serve gateway `edge`")).await;
    assert!(operator.metric("llm_operator_config_streams_refused_total").await >= 5.0);
    assert_eq!(operator.metric("llm_operator_config_streams").await, 0.0);
    // A token that is put right is read at the next try.
    let token = installation.cluster.token(NAMESPACE, "llm-gateway", AUDIENCE).await;
    let proxy = installation.proxy_with_token(port, "mended", "not.a.token", &[]).await;
    proxy.process.await_line(WITHIN, |line| line.contains("no config stream")).await;
    installation.scratch.write("mended.token", token);
    installation.ready(&[&proxy]).await;
}

#[tokio::test]
async fn a_bundle_that_is_wrong_is_named() {
    let installation = Installation::start().await;
    let _operator = installation.operator(&[]).await;
    let bundle = installation.mount_bundle().await;
    installation.scratch.write("ca.crt", "");
    let proxy = installation.proxy("proxy-a", &[]).await;
    let line = proxy.process.await_line(WITHIN, |line| line.contains("no config stream")).await;
    assert!(line.contains("ca.crt: it holds no certificate in PEM"), "{line}");
    installation.scratch.write("ca.crt", harness::Authority::new().pem());
    proxy
        .process
        .await_line(WITHIN, |line| {
            line.contains("UnknownIssuer") || line.contains("invalid peer certificate")
        })
        .await;
    installation.scratch.write("ca.crt", bundle);
    installation.ready(&[&proxy]).await;
}

#[tokio::test]
async fn a_document_that_a_proxy_refuses_shows_in_status() {
    let installation = Installation::start().await;
    let _operator = installation.operator(&[]).await;
    let small = installation.proxy("small", &["--max-config-bytes", "3000"]).await;
    let large = installation.proxy("large", &[]).await;
    installation.ready(&[&small, &large]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["model"])).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;

    let models: Vec<String> = (0..60).map(|i| format!("a-model-with-a-long-name-{i}")).collect();
    let models: Vec<&str> = models.iter().map(String::as_str).collect();
    installation.create_pool(&pool("big", upstream.url(), &models)).await;
    installation.create_route(&route("big", "big")).await;
    // The one may have refused before the other has answered, and status says so in between.
    installation.programmed_on("big", "1/2").await;
    let told = installation.route_condition("big", "Programmed", "False", "Refused").await;
    assert!(
        told.contains("in force on 1 of 2 proxies")
            && told.contains("small: the update is over this proxy's limit of 3000 bytes"),
        "{told}"
    );
    answers(&large, models[0], 200, WITHIN).await;
    answers(&small, "model", 200, WITHIN).await;
    installation.delete_route("big").await;
    installation.programmed_on("chat", "2/2").await;
    assert!(small.metric("llm_gateway_config_refused_total", &[]).await >= 1.0);
}
