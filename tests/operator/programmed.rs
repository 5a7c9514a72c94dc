//! The life of a change: applied, compiled, sent, answered, shown.

use crate::installation::{Installation, WITHIN, answers, completion, pool, route};
use harness::{Aimock, RawUpstream, Step, answer, eventually, python, workspace};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn routes_come_change_and_go_on_two_proxies() {
    let installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let (a, b) = (installation.proxy("proxy-a", &[]).await, installation.proxy("proxy-b", &[]).await);
    installation.ready(&[&a, &b]).await;

    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large", "small"])).await;
    installation.create_route(&route("chat", "pool")).await;
    answers(&a, "large", 200, WITHIN).await;
    answers(&b, "large", 200, WITHIN).await;
    let message = installation.route_condition("chat", "Programmed", "True", "Programmed").await;
    assert_eq!(message, "in force on all 2 proxies of gateway default");
    let row = installation.row("llmroutes", "chat").await;
    assert_eq!(row[..4], ["chat", "large,small", "ai/pool", "2/2"], "{row:?}");
    installation.pool_condition("pool", "Programmed", "True", "Programmed").await;
    let row = installation.row("providerpools", "pool").await;
    assert_eq!(row[..4], ["pool", "p", "large,small", "1/1"], "{row:?}");

    // Change: an alias in the place of the models' own names.
    let rules = json!([{"matches": [{"models": ["fast"]}], "backends": [{"pool": {"name": "pool"}, "models": ["small"]}]}]);
    let patch = Patch::Merge(json!({"spec": {"rules": rules}}));
    installation.routes().patch("chat", &PatchParams::default(), &patch).await.unwrap();
    answers(&a, "fast", 200, WITHIN).await;
    answers(&b, "large", 404, WITHIN).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;
    assert_eq!(installation.row("llmr", "chat").await[1..4], ["fast", "ai/pool", "2/2"]);

    // What changes nothing is neither compiled nor written again, whatever others write into the object; the labels of
    // a namespace are looked at, and come after it.
    let writes = operator.metric("llm_operator_status_writes_total").await;
    let compiles = operator.metric("llm_operator_compiles_total").await;
    installation.cluster.kubectl(&["label", "llmroute", "chat", "-n", "ai", "team=a"]).await;
    let taken =
        Patch::Merge(json!({"status": {"summary": {"models": "", "pools": "", "programmed": "0/7"}}}));
    installation.routes().patch_status("chat", &PatchParams::default(), &taken).await.unwrap();
    installation.cluster.kubectl(&["label", "namespace", "ai", "team=a"]).await;
    eventually("the namespace's label is seen", WITHIN, async || {
        let now = operator.metric("llm_operator_compiles_total").await;
        if now > compiles { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    assert_eq!(operator.metric("llm_operator_compiles_total").await, compiles + 1.0);
    assert_eq!(operator.metric("llm_operator_status_writes_total").await, writes);

    installation.delete_route("chat").await;
    answers(&a, "fast", 404, WITHIN).await;
    answers(&b, "fast", 404, WITHIN).await;
    installation.pool_condition("pool", "Programmed", "False", "Unused").await;
    assert_eq!(operator.metric("llm_operator_leader").await, 1.0);
    assert_eq!(operator.metric("llm_operator_config_streams").await, 2.0);
}

/// By the median of several changes: what else the machine does may hold up one of them, not most.
#[tokio::test]
async fn a_change_is_answered_by_all_proxies_in_under_a_second() {
    const CHANGES: usize = 9;
    let installation = Installation::start().await;
    let _operator = installation.operator(&[]).await;
    let (a, b) = (installation.proxy("proxy-a", &[]).await, installation.proxy("proxy-b", &[]).await);
    installation.ready(&[&a, &b]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    let mut took = Vec::new();
    for change in 0..CHANGES {
        let name = format!("name-{change}");
        let rules = json!([{"matches": [{"models": [name]}], "backends": [{"pool": {"name": "pool"}}]}]);
        let patch = Patch::Merge(json!({"spec": {"rules": rules}}));
        installation.routes().patch("chat", &PatchParams::default(), &patch).await.unwrap();
        let applied = Instant::now();
        answers(&a, &name, 200, WITHIN).await;
        answers(&b, &name, 200, WITHIN).await;
        took.push(applied.elapsed());
    }
    took.sort();
    assert!(took[CHANGES / 2] < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn the_readmes_manifests_answer_the_official_sdk() {
    let installation = Installation::start().await;
    let _operator = installation.operator(&[]).await;
    let (a, b) = (installation.proxy("proxy-a", &[]).await, installation.proxy("proxy-b", &[]).await);
    installation.ready(&[&a, &b]).await;
    let quickstart = workspace().join("crds/examples/quickstart.yaml");
    installation.cluster.kubectl(&["apply", "-n", "ai", "-f", quickstart.to_str().unwrap()]).await;
    installation.programmed_on("quickstart", "2/2").await;
    installation.pool_condition("simulated", "Programmed", "True", "Programmed").await;
    let table = installation.cluster.kubectl(&["get", "llmroutes,providerpools", "-n", "ai"]).await;
    for wanted in
        ["MODELS", "POOLS", "PROGRAMMED", "AGE", "PROVIDERS", "READY", "2/2", "1/1", "demo", "ai/simulated"]
    {
        assert!(table.contains(wanted), "{wanted}\n{table}");
    }
    let all = installation.cluster.kubectl(&["get", "llm", "-n", "ai", "-o", "name"]).await;
    assert_eq!(all.lines().count(), 2, "{all}");

    let aimock =
        Aimock::start(json!([{"match": {"userMessage": "hello"}, "response": {"content": "Good day"}}]))
            .await;
    installation.create_pool(&pool("mock", aimock.url(), &["mock"])).await;
    installation.create_route(&route("mock", "mock")).await;
    answers(&b, "mock", 404, WITHIN).await;
    installation.route_condition("mock", "Programmed", "True", "Programmed").await;
    let script = r#"
import sys, openai
client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="unused", max_retries=0)
hello = [{"role": "user", "content": "hello"}]
print(client.chat.completions.create(model="mock", messages=hello).choices[0].message.content)
chunks = client.chat.completions.create(model="mock", messages=hello, stream=True)
print("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
"#;
    let ran = python(script, &[a.url()], &[]).await;
    assert_eq!(ran.stdout, "Good day\nGood day\n", "{}", ran.stderr);
}

#[tokio::test]
async fn proxies_that_come_and_go_are_counted() {
    let installation = Installation::start().await;
    let _operator = installation.operator(&[]).await;
    installation.create_pool(&pool("pool", "http://127.0.0.1:1", &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.route_condition("chat", "Programmed", "False", "NoProxies").await;
    assert_eq!(installation.row("llmroutes", "chat").await[3], "0/0");
    let a = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&a]).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;
    assert_eq!(installation.row("llmroutes", "chat").await[3], "1/1");
    a.process.terminate();
    installation.route_condition("chat", "Programmed", "False", "NoProxies").await;
    let events = installation.cluster.kubectl(&["get", "events", "-n", "ai"]).await;
    assert!(events.contains("llmroute/chat") && events.contains("NoProxies"), "{events}");
    let described = installation.cluster.kubectl(&["describe", "llmroute", "chat", "-n", "ai"]).await;
    assert!(described.contains("no proxy of gateway default is attached"), "{described}");
}

#[tokio::test]
async fn an_object_that_takes_the_place_of_another_gets_a_status_of_its_own() {
    let installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    installation.create_pool(&pool("pool", "http://127.0.0.1:1", &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;
    let first = installation.routes().get("chat").await.unwrap();

    // The operator learns of both at the same moment, as it may of `kubectl replace --force`.
    operator.process.pause();
    installation.delete_route("chat").await;
    installation.create_route(&route("chat", "pool")).await;
    operator.process.resume();
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;
    let second = installation.routes().get("chat").await.unwrap();
    assert_ne!(first.metadata.uid, second.metadata.uid);
    assert_eq!(first.metadata.generation, second.metadata.generation, "nothing else tells them apart");
}
