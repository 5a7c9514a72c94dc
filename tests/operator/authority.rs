//! The authority of the config stream rotates under proxies that notice nothing.

use crate::installation::{Installation, NAMESPACE, WITHIN, answers, completion, pool, route};
use harness::{Process, RawUpstream, Step, answer, eventually, program};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use std::process::Command;
use std::time::Duration;

#[tokio::test]
async fn a_rotation_loses_no_proxy() {
    let installation = Installation::start().await;
    // Of 20 s the last third begins at 13 s; what is staged then signs 1 s later than clocks may differ.
    let rotating = ["--ca-lifetime", "20s", "--ca-overlap", "1s"];
    let operator = installation.operator(&rotating).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;
    let secrets = Api::<Secret>::namespaced(installation.client.clone(), NAMESPACE);
    let active =
        async || secrets.get("llm-operator-ca").await.unwrap().data.unwrap().remove("active.crt").unwrap().0;
    let first = active().await;
    eventually("another authority signs", Duration::from_secs(60), async || {
        installation.mount_bundle().await;
        if active().await == first { Err("the first does".to_owned()) } else { Ok(()) }
    })
    .await;
    let bundle = installation.mount_bundle().await;
    assert!(bundle.contains(&String::from_utf8(active().await).unwrap()), "what signs is in the bundle");
    assert_eq!(proxy.process.stderr().matches("no config stream").count(), 0, "the stream went on");

    // Who connects now is served by the new one.
    let second = installation.proxy("proxy-b", &[]).await;
    installation.ready(&[&second]).await;
    answers(&second, "large", 200, WITHIN).await;
    drop(operator);
    let _operator = installation.operator(&rotating).await;
    installation.programmed_on("chat", "2/2").await;
}

#[tokio::test]
async fn lifetimes_that_cant_work_are_refused_at_the_start() {
    let mut command = Command::new(program("llm-operator"));
    command.args(["--serve", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ca-lifetime", "48h"]);
    let process = Process::start(&command);
    assert_eq!(process.exited(WITHIN).await.code(), Some(1));
    let said = process.stderr();
    assert!(said.contains("--ca-overlap 24h must be less than a third of --ca-lifetime"), "{said}");
    assert!(said.contains("less than 16h"), "{said}");
}
