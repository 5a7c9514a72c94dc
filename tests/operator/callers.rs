//! Who calls at a gateway: ServiceAccount tokens and keys, checked by the proxy alone.

use crate::installation::{Installation, NAMESPACE, WITHIN, completion, pool, route};
use bytes::Bytes;
use harness::http::{Answer, json_request, send};
use harness::{Proxy, RawUpstream, Step, answer, eventually};
use http::{HeaderName, HeaderValue};
use llm_config::caller::AUDIENCE;
use serde_json::json;

/// A call of `model` that shows a credential in a header.
async fn call(proxy: &Proxy, model: &str, header: &'static str, credential: &str) -> Answer {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "x"}]});
    let mut request: http::Request<Bytes> = json_request(&proxy.chat_url(), &body);
    let value = HeaderValue::try_from(credential).unwrap();
    request.headers_mut().insert(HeaderName::from_static(header), value);
    send(request).await.unwrap()
}

async fn token(installation: &Installation, namespace: &str, account: &str, audience: &str) -> String {
    installation.cluster.token(namespace, account, audience).await
}

#[tokio::test]
async fn a_gateway_answers_callers_that_it_knows_and_routes_by_who_they_are() {
    let installation = Installation::start().await;
    installation.callers(&json!({"keys": [{"secretRef": {"name": "callers"}}]}));
    let cluster = &installation.cluster;
    cluster.kubectl(&["create", "namespace", "shop"]).await;
    for (namespace, account) in [("shop", "web"), ("shop", "batch"), ("ai", "web")] {
        cluster.service_account(namespace, account).await;
    }
    cluster
        .kubectl(&["create", "secret", "generic", "callers", "-n", NAMESPACE, "--from-literal=partner=pk-1"])
        .await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large", "small", "tiny"])).await;
    let mut chat = route("chat", "pool");
    let to = |model: &str| json!([{"pool": {"name": "pool"}, "models": [model]}]);
    chat["spec"]["rules"] = json!([
        {"matches": [{"models": ["smart"]}], "backends": to("large")},
        {"matches": [{"models": ["smart"], "callers": [{"namespaces": ["shop"], "serviceAccounts": ["batch"]}]}], "backends": to("small")},
        {"matches": [{"models": ["smart"], "callers": [{"keys": ["partner"]}]}], "backends": to("tiny")},
        {"matches": [{"models": ["ours"], "callers": [{"namespaces": ["shop"]}]}], "backends": to("large")},
    ]);
    installation.create_route(&chat).await;
    let _operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    installation.programmed_on("chat", "1/1").await;

    let web = token(&installation, "shop", "web", AUDIENCE).await;
    let batch = token(&installation, "shop", "batch", AUDIENCE).await;
    let ai = token(&installation, "ai", "web", AUDIENCE).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let model = |answer: &Answer| answer.header("x-llm-model").map(str::to_owned);
    // Wherever an SDK puts its key.
    for (header, credential) in [
        ("authorization", bearer(&web)),
        ("x-api-key", web.clone()),
        ("x-goog-api-key", web.clone()),
        ("api-key", web.clone()),
    ] {
        let answered = call(&proxy, "smart", header, &credential).await;
        assert_eq!(model(&answered).as_deref(), Some("large"), "{header}: {answered:?}");
    }
    let answered = call(&proxy, "smart", "authorization", &bearer(&batch)).await;
    assert_eq!(model(&answered).as_deref(), Some("small"), "{answered:?}");
    let answered = call(&proxy, "smart", "authorization", "Bearer pk-1").await;
    assert_eq!(model(&answered).as_deref(), Some("tiny"), "{answered:?}");
    assert_eq!(call(&proxy, "ours", "authorization", &bearer(&web)).await.status, 200);
    let refused = call(&proxy, "ours", "authorization", &bearer(&ai)).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    assert!(refused.text().contains("not for a call like this"), "{refused:?}");

    // Nobody else, and each is told what to show.
    let others = token(&installation, "shop", "web", "others").await;
    // Another signature of the same form: the last of its characters carries no whole byte.
    let (start, end) = web.split_at(web.len() - 20);
    let forged = format!("{start}{}", end.chars().rev().collect::<String>());
    let asked = upstream.requests().len();
    for (credential, code, said) in [
        (bearer(&others), "invalid_api_key", "not made for the audience 'llmgateway.dev'"),
        (bearer(&forged), "invalid_api_key", "The ServiceAccount token is not valid"),
        ("Bearer sk-unknown".to_owned(), "invalid_api_key", "not known to this gateway"),
        ("Basic eDp5".to_owned(), "missing_api_key", "a Kubernetes ServiceAccount token for the audience"),
    ] {
        let refused = call(&proxy, "smart", "authorization", &credential).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["error"]["code"]),
            (401, &json!(code)),
            "{refused:?}"
        );
        assert!(refused.text().contains(said), "{refused:?}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        assert!(
            !refused.text().contains(credential.split(' ').next_back().unwrap()),
            "a key is not repeated"
        );
    }
    assert_eq!(upstream.requests().len(), asked, "who is not known reaches no provider");

    // Who called stands in the log and is counted.
    let lines = proxy.await_requests(12).await;
    let of = |account: &str| lines.iter().filter(|line| line["caller_service_account"] == account).count();
    assert_eq!((of("web"), of("batch")), (6, 1), "{lines:?}");
    assert_eq!(lines[5]["caller_key"], "partner", "{}", lines[5]);
    let labels = [("caller_namespace", "shop"), ("caller_service_account", "web"), ("status_class", "2xx")];
    assert_eq!(proxy.metric("llm_gateway_caller_requests_total", &labels).await, 5.0);
    let partner = [("caller_key", "partner")];
    assert!(proxy.metric("llm_gateway_caller_input_tokens_total", &partner).await > 0.0);

    // A key that is taken out of the Secret opens nothing any more.
    cluster
        .kubectl(&[
            "patch",
            "secret",
            "callers",
            "-n",
            NAMESPACE,
            "--type=json",
            "-p",
            r#"[{"op": "remove", "path": "/data/partner"}]"#,
        ])
        .await;
    eventually("the key is refused", WITHIN, async || {
        let answered = call(&proxy, "smart", "authorization", "Bearer pk-1").await;
        if answered.status == 401 { Ok(()) } else { Err(format!("{answered:?}")) }
    })
    .await;
}

#[tokio::test]
async fn where_anyone_may_call_a_token_still_says_who_does() {
    let installation = Installation::start().await;
    installation.callers(&json!({"anonymous": true}));
    installation.cluster.service_account("ai", "web").await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    let _operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    installation.programmed_on("chat", "1/1").await;
    let web = token(&installation, "ai", "web", AUDIENCE).await;
    let expected =
        [("Bearer sk-none", 200), (&format!("Bearer {web}"), 200), (&format!("Bearer {web}x"), 401)];
    for (credential, status) in expected {
        let answered = call(&proxy, "large", "authorization", credential).await;
        assert_eq!(answered.status.as_u16(), status, "{answered:?}");
    }
    let lines = proxy.await_requests(3).await;
    assert_eq!(
        (lines[0].get("caller_namespace"), &lines[1]["caller_namespace"]),
        (None, &json!("ai")),
        "{lines:?}"
    );
}

#[tokio::test]
async fn settings_that_can_t_be_are_refused_at_the_start_by_name() {
    let installation = Installation::start().await;
    installation.callers(&json!({"anonymus": true}));
    let said = installation.operator_fails(&[]).await;
    assert!(said.contains("gateways.yaml") && said.contains("anonymus"), "{said}");
}
