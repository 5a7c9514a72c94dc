//! Keys: missing, created, changed, deleted, and never shown.

use crate::gate::Gate;
use crate::installation::{Installation, WITHIN, answers, asking, completion, pool_with_key, route, secret};
use harness::{RawUpstream, Step, answer, eventually, http};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test]
async fn a_secret_is_picked_up_as_it_comes_and_changes() {
    let installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool_with_key("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;

    let told = installation.pool_condition("pool", "ResolvedRefs", "False", "SecretNotFound").await;
    assert!(
        told.contains("there is no Secret `keys` in namespace `ai`: create it with the key `k`"),
        "{told}"
    );
    assert_eq!(installation.row("ppool", "pool").await[3], "0/1");
    installation.route_condition("chat", "ResolvedRefs", "False", "NoUsableProvider").await;
    answers(&proxy, "large", 503, WITHIN).await;

    installation.cluster.apply(&secret("other", "sk-other")).await;
    let told = eventually("the wrong key is told", WITHIN, async || {
        let told = installation.pool_condition("pool", "ResolvedRefs", "False", "SecretNotFound").await;
        if told.contains("has no key `k`") { Ok(told) } else { Err(told) }
    })
    .await;
    assert!(told.contains("its keys are: other"), "{told}");

    installation.cluster.apply(&secret("k", "sk-first")).await;
    answers(&proxy, "large", 200, WITHIN).await;
    assert!(upstream.requests().last().unwrap().contains("Bearer sk-first"));
    installation.pool_condition("pool", "ResolvedRefs", "True", "ResolvedRefs").await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;

    installation.cluster.apply(&secret("k", "sk-second")).await;
    eventually("the new key is sent", WITHIN, async || {
        assert_eq!(http::post_json(&proxy.chat_url(), &asking("large")).await.status, 200);
        let sent = upstream.requests().pop().unwrap();
        if sent.contains("Bearer sk-second") { Ok(()) } else { Err(sent) }
    })
    .await;

    installation.cluster.kubectl(&["delete", "secret", "keys", "-n", "ai"]).await;
    answers(&proxy, "large", 503, WITHIN).await;
    installation.pool_condition("pool", "ResolvedRefs", "False", "SecretNotFound").await;

    let shown = proxy.admin("/debug/config").await;
    for text in [operator.process.output(), proxy.process.output(), shown.text().to_owned()] {
        assert!(!text.contains("sk-first") && !text.contains("sk-second"), "{text}");
    }
    let status = installation.cluster.kubectl(&["get", "llm,configmaps", "-A", "-o", "yaml"]).await;
    assert!(!status.contains("sk-first") && !status.contains("sk-second"));
}

/// Waits until a call carries this key.
async fn sends(proxy: &harness::Proxy, upstream: &RawUpstream, key: &str) {
    eventually(&format!("{key} is sent"), WITHIN, async || {
        http::post_json(&proxy.chat_url(), &asking("large")).await;
        let sent = upstream.requests().pop().unwrap();
        if sent.contains(&format!("Bearer {key}")) { Ok(()) } else { Err(sent) }
    })
    .await;
}

#[tokio::test]
async fn an_operator_that_cant_read_the_keys_yet_takes_no_provider_from_a_running_proxy() {
    let installation = Installation::start().await;
    let gate = Gate::start(&installation).await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.cluster.apply(&secret("k", "sk-first")).await;
    installation.create_pool(&pool_with_key("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;

    let done = Arc::new(AtomicBool::new(false));
    let calling = tokio::spawn({
        let (url, done) = (proxy.chat_url(), done.clone());
        async move {
            while !done.load(Ordering::Relaxed) {
                let answer = http::post_json(&url, &asking("large")).await;
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        }
    });
    operator.process.kill();
    for (status, key) in [(503, "sk-second"), (429, "sk-third")] {
        gate.fail("/namespaces/ai/secrets", status);
        let operator = installation.operator_by(&gate.kubeconfig, installation.port, "operator", &[]).await;
        eventually("the proxy is attached and the Secret has been asked for in vain", WITHIN, async || {
            let attached = operator.metric("llm_operator_config_streams").await;
            let failures = operator.metric("llm_operator_watch_errors_total").await;
            if attached == 1.0 && failures >= 2.0 { Ok(()) } else { Err(format!("{attached} {failures}")) }
        })
        .await;
        assert_eq!(operator.metric("llm_operator_ready").await, 0.0, "nothing is published");
        installation.cluster.apply(&secret("k", key)).await;
        gate.open();
        operator.ready().await;
        sends(&proxy, &upstream, key).await;
    }

    // An API server that hangs for everybody.
    installation.cluster.api_server().pause();
    let operator =
        installation.operator_by(&installation.kubeconfig, installation.port, "operator", &[]).await;
    answers(&proxy, "large", 200, WITHIN).await;
    installation.cluster.api_server().resume();
    operator.ready().await;
    installation.cluster.apply(&secret("k", "sk-last")).await;
    sends(&proxy, &upstream, "sk-last").await;
    done.store(true, Ordering::Relaxed);
    calling.await.unwrap();
    installation.cluster.kubectl(&["delete", "secret", "keys", "-n", "ai"]).await;
    answers(&proxy, "large", 503, WITHIN).await;
}

#[tokio::test]
async fn a_secret_that_the_operator_may_not_read_stops_its_own_pool_only() {
    let installation = Installation::start().await;
    // As the chart's templates/operator/rbac.yaml proposes: only the Secrets that are named.
    let all = json!([{"op": "test", "path": "/rules/2/resources/0", "value": "secrets"}, {"op": "remove", "path": "/rules/2"}]);
    let all = all.to_string();
    installation.cluster.kubectl(&["patch", "clusterrole", "llm-operator", "--type=json", "-p", &all]).await;
    let role = [
        "create",
        "role",
        "keys",
        "-n",
        "ai",
        "--verb=list,watch",
        "--resource=secrets",
        "--resource-name=keys",
    ];
    installation.cluster.kubectl(&role).await;
    let account = "--serviceaccount=llm-gateway:llm-operator";
    installation
        .cluster
        .kubectl(&["create", "rolebinding", "keys", "-n", "ai", "--role=keys", account])
        .await;

    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.cluster.apply(&secret("k", "sk-first")).await;
    installation.create_pool(&pool_with_key("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    let mut closed = pool_with_key("closed", upstream.url(), &["closed"]);
    closed["spec"]["providers"][0]["credentials"]["secretRef"]["name"] = json!("closed");
    installation.create_pool(&closed).await;
    installation.create_route(&route("closed", "closed")).await;
    let _operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    answers(&proxy, "large", 200, WITHIN).await;
    answers(&proxy, "closed", 503, WITHIN).await;
    let told = installation.pool_condition("closed", "ResolvedRefs", "False", "SecretNotFound").await;
    assert!(
        told.contains("the operator can't read Secret `closed` in namespace `ai`: secrets")
            && told.contains("is forbidden"),
        "{told}"
    );
}
