//! An operator that comes back after its certificate, and the authority that signed it, have run out.

use crate::installation::{Installation, NAMESPACE, WITHIN, answers, asking, completion, pool, route};
use crate::registration::INJECTOR;
use harness::{RawUpstream, Step, answer, eventually, free_port, http};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::json;
use std::time::{Duration, Instant};

const LIFETIME: Duration = Duration::from_secs(6);

#[tokio::test]
async fn a_certificate_that_ran_out_is_replaced_at_the_start_and_everybody_finds_the_new_one() {
    let installation = Installation::start().await;
    let cluster = &installation.cluster;
    cluster.service_account("ai", "default").await;
    let settings = installation.scratch.write("injection.yaml", "image: registry.example/llm-gateway:1\n");
    let port = free_port();
    let webhook = format!("127.0.0.1:{port}");
    let arguments = ["--injection", settings.to_str().unwrap(), "--webhook", &webhook];
    let operator = installation
        .operator(&[&arguments[..], &["--ca-lifetime", "6s", "--ca-overlap", "0s"]].concat())
        .await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    eventually("the proxy serves", WITHIN, async || {
        // An authority that lives for seconds is followed by another while the proxy looks for this one.
        installation.mount_bundle().await;
        let answer = http::post_json(&proxy.chat_url(), &asking("large")).await;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    INJECTOR.register(&installation, port).await;
    INJECTOR.trusted(&installation).await;

    operator.process.kill();
    operator.process.exited(WITHIN).await;
    let secrets = Api::<Secret>::namespaced(installation.client.clone(), NAMESPACE);
    let active =
        async || secrets.get("llm-operator-ca").await.unwrap().data.unwrap().remove("active.crt").unwrap().0;
    let (old, bundle, stopped) = (active().await, installation.mount_bundle().await, Instant::now());
    eventually("all that was made has run out", WITHIN, async || {
        let left = LIFETIME.saturating_sub(stopped.elapsed());
        if left.is_zero() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    answers(&proxy, "large", 200, WITHIN).await;

    let operator = installation.operator_at(installation.port, "operator", &arguments).await;
    eventually("a new authority signs", WITHIN, async || {
        if active().await == old { Err(operator.process.output()) } else { Ok(()) }
    })
    .await;
    // The kubelet has not brought the new bundle yet: the proxy serves by what it has.
    proxy
        .process
        .await_line(WITHIN, |line| line.contains("no config stream") && line.contains("certificate"))
        .await;
    assert_eq!(std::fs::read_to_string(installation.scratch.path().join("ca.crt")).unwrap(), bundle);
    answers(&proxy, "large", 200, WITHIN).await;
    INJECTOR.trusted(&installation).await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "app", "namespace": "ai", "labels": {"llmgateway.dev/inject": "true"}},
        "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
    });
    eventually("pods are injected again", WITHIN, async || {
        let file = installation.scratch.write("pod.json", pod.to_string());
        cluster.try_kubectl(&["apply", "-f", file.to_str().unwrap()]).await
    })
    .await;
    let first = ["get", "pod", "app", "-n", "ai", "-o", "jsonpath={.spec.initContainers[0].name}"];
    assert_eq!(cluster.kubectl(&first).await, "llm-proxy");

    assert_ne!(installation.mount_bundle().await, bundle);
    let mut alias = route("alias", "pool");
    alias["spec"]["rules"][0]["matches"] = json!([{"models": ["alias"]}]);
    installation.create_route(&alias).await;
    answers(&proxy, "alias", 200, WITHIN).await;
    installation.programmed_on("alias", "1/1").await;
}
