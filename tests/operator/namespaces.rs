//! A namespace that is deleted while its routes are in force, by the controller that does it in every cluster.

use crate::installation::{Installation, WITHIN, answers, completion, pool, pool_with_key, route, secret};
use harness::{RawUpstream, Step, answer, eventually, free_port};
use serde_json::{Value, json};

fn in_namespace(mut object: Value, namespace: &str) -> Value {
    object["metadata"]["namespace"] = namespace.into();
    object
}

#[tokio::test]
async fn a_namespace_that_goes_takes_what_is_its_own_and_nothing_of_others() {
    let installation = Installation::start().await;
    let cluster = &installation.cluster;
    cluster.kubectl(&["create", "namespace", "shop"]).await;
    cluster.kubectl(&["label", "namespace", "ai", "llmgateway.dev/inject=true"]).await;
    let settings = installation.scratch.write("injection.yaml", "image: registry.example/llm-gateway:1\n");
    let webhook = format!("127.0.0.1:{}", free_port());
    let injecting = ["--injection", settings.to_str().unwrap(), "--webhook", &webhook];
    let operator = installation.operator(&injecting).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;

    cluster.apply(&secret("k", "sk-1")).await;
    let mut shared = pool_with_key("pool", upstream.url(), &["large"]);
    shared["spec"]["allowedNamespaces"] = json!({"from": "All"});
    installation.create_pool(&shared).await;
    installation.create_route(&route("chat", "pool")).await;
    cluster.apply(&in_namespace(pool("own", upstream.url(), &["small"]), "shop").to_string()).await;
    cluster.apply(&in_namespace(route("own", "own"), "shop").to_string()).await;
    let mut borrowed = in_namespace(route("borrowed", "pool"), "shop");
    borrowed["spec"]["rules"] = json!([{
        "matches": [{"models": ["alias"]}], "backends": [{"pool": {"name": "pool", "namespace": "ai"}}],
    }]);
    cluster.apply(&borrowed.to_string()).await;
    for model in ["large", "small", "alias"] {
        answers(&proxy, model, 200, WITHIN).await;
    }
    eventually("the bundle for sidecars is there", WITHIN, async || {
        cluster.try_kubectl(&["get", "configmap", "llm-operator-ca", "-n", "ai"]).await
    })
    .await;
    // Nothing outside of the cluster is the operator's, so that nobody has to wait for it to clean up.
    let finalizers = ["get", "llm", "-A", "-o", "jsonpath={.items[*].metadata.finalizers}"];
    assert_eq!(cluster.kubectl(&finalizers).await, "");

    let before = operator.complaints();
    let _controllers = cluster.controllers("namespace-controller");
    cluster.kubectl(&["delete", "namespace", "ai", "--timeout=60s"]).await;
    for (model, status) in [("large", 404), ("alias", 404), ("small", 200)] {
        answers(&proxy, model, status, WITHIN).await;
    }
    eventually("who has lost the pool is told", WITHIN, async || {
        let said =
            ["get", "llmroute", "borrowed", "-n", "shop", "-o", "jsonpath={.status.conditions[*].message}"];
        let said = cluster.kubectl(&said).await;
        if said.contains("there is no ProviderPool ai/pool") { Ok(()) } else { Err(said) }
    })
    .await;

    // An end is nothing to complain about; the operator writes nothing of it any more.
    let writes = operator.metric("llm_operator_status_writes_total").await;
    installation.renewals(7).await;
    assert_eq!(operator.complaints(), before, "{}", operator.process.output());
    assert_eq!(operator.metric("llm_operator_status_writes_total").await, writes);

    // One of the same name is another.
    cluster.kubectl(&["create", "namespace", "ai"]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    answers(&proxy, "large", 200, WITHIN).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;
}
