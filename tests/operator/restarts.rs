//! The API server is killed and comes back, with another past or other keys.

use crate::gate::Gate;
use crate::installation::{
    Calling, Installation, NAMESPACE, WITHIN, answers, asking, completion, pool, route,
};
use harness::{Cluster, RawUpstream, Step, answer, eventually, http};
use llm_config::caller::AUDIENCE;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn an_api_server_that_is_killed_and_comes_back_costs_no_call_and_no_configuration() {
    let mut installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large", "small"])).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;

    let calling = Calling::begin(&proxy, "large");
    for round in ["first", "second"] {
        let meanwhile = async |_: &Cluster| {
            // Longer than the Lease lasts: its holder has to step down, for it can't know of others.
            eventually("it leads no more", WITHIN, async || {
                let leads = operator.metric("llm_operator_leader").await > 0.0;
                if leads { Err(operator.process.output()) } else { Ok(()) }
            })
            .await;
            assert!(proxy.readiness().await.is_ok());
        };
        installation.cluster.restart_api_server(meanwhile, &[]).await;
        eventually("it leads again", WITHIN, async || {
            let leads = operator.metric("llm_operator_leader").await > 0.0;
            if leads { Ok(()) } else { Err(operator.process.output()) }
        })
        .await;
        let mut alias = route(round, "pool");
        alias["spec"]["rules"][0]["matches"] = json!([{"models": [round]}]);
        installation.create_route(&alias).await;
        answers(&proxy, round, 200, WITHIN).await;
        installation.route_condition(round, "Programmed", "True", "Programmed").await;
    }
    assert!(calling.end().await > 0);
    assert_eq!(proxy.process.stderr().matches("no config stream").count(), 0, "the stream went on");
    installation.delete_route("second").await;
    answers(&proxy, "second", 404, WITHIN).await;
}

#[tokio::test]
async fn a_watch_whose_past_is_forgotten_finds_out_what_it_has_missed() {
    let mut installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    for name in ["kept", "gone"] {
        installation.create_pool(&pool(name, upstream.url(), &[name])).await;
        installation.create_route(&route(name, name)).await;
        answers(&proxy, name, 200, WITHIN).await;
    }
    // No event will ever tell of it.
    let key = "llmgateway.dev/llmroutes/ai/gone";
    installation.cluster.restart_api_server(async |cluster| cluster.forget(key).await, &[]).await;
    answers(&proxy, "gone", 404, WITHIN).await;
    answers(&proxy, "kept", 200, WITHIN).await;
    let expired = |line: &str| line.contains("LLMRoute") && line.contains("too old resource version");
    operator.process.await_line(WITHIN, expired).await;
    installation.delete_route("kept").await;
    answers(&proxy, "kept", 404, WITHIN).await;
}

#[tokio::test]
async fn tokens_of_a_key_that_is_replaced_and_of_the_next_are_both_taken() {
    let mut installation = Installation::start().await;
    installation.callers(&json!({"serviceAccountTokens": true}));
    let _operator = installation.operator(&[]).await;
    installation.cluster.service_account("ai", "app").await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    let call = async |token: &str| {
        let request = http::with_key(http::json_request(&proxy.chat_url(), &asking("large")), token);
        http::send(request).await.unwrap()
    };
    let taken = async |what: &str, token: &str, within: Duration| {
        eventually(what, within, async || {
            let answered = call(token).await;
            if answered.status == 200 { Ok(()) } else { Err(format!("{answered:?}")) }
        })
        .await;
    };
    let first = installation.cluster.token("ai", "app", AUDIENCE).await;
    taken("a token of the first key is taken", &first, WITHIN).await;

    let options = installation.cluster.new_token_key();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    installation.cluster.restart_api_server(async |_| (), &options).await;
    let second = installation.cluster.token("ai", "app", AUDIENCE).await;
    let key = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_ne!(key(&first), key(&second), "another key signs");
    // The operator asks for keys every 30 s.
    taken("a token of the next key is taken", &second, Duration::from_secs(60)).await;
    taken("a token of the first key is taken on", &first, WITHIN).await;
    assert_eq!(call(&first.replace('.', ".x")).await.status, 401);
    // So is what proxies show to the operator.
    let next = installation.proxy("proxy-b", &[]).await;
    installation.ready(&[&next]).await;
    let again = installation.cluster.token(NAMESPACE, "llm-gateway", AUDIENCE).await;
    assert_eq!(key(&again), key(&second));
}

#[tokio::test]
async fn an_issuer_that_refuses_at_the_start_takes_no_keys_from_proxies() {
    let installation = Installation::start().await;
    installation.callers(&json!({"serviceAccountTokens": true}));
    let operator = installation.operator(&[]).await;
    installation.cluster.service_account("ai", "app").await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    let token = installation.cluster.token("ai", "app", AUDIENCE).await;
    let taken = async || {
        let request = http::with_key(http::json_request(&proxy.chat_url(), &asking("large")), &token);
        let answered = http::send(request).await.unwrap();
        if answered.status == 200 { Ok(()) } else { Err(format!("{answered:?}")) }
    };
    eventually("the token is taken", WITHIN, taken).await;

    drop(operator);
    let gate = Gate::start(&installation).await;
    gate.fail("/openid/v1/jwks", 403);
    let operator = installation.operator_by(&gate.kubeconfig, installation.port, "operator", &[]).await;
    operator.process.await_line(WITHIN, |line| line.contains("does not show the keys of its tokens")).await;
    // It waits for them before it says anything to anybody, whatever else it has seen by now.
    installation.renewals(7).await;
    assert_eq!(operator.metric("llm_operator_ready").await, 0.0);
    taken().await.unwrap();
    gate.open();
    operator.ready().await;
    installation.create_route(&route("second", "pool")).await;
    installation.route_condition("second", "Accepted", "False", "ModelConflict").await;
    taken().await.unwrap();
}
