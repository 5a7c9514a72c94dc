//! A sidecar is its pod: what it serves and who calls there is what the API server says of the pod.

use crate::installation::{Installation, WITHIN, answers, completion, pool, route};
use harness::http::post_json;
use harness::{Proxy, RawUpstream, Step, answer, eventually};
use llm_config::stream::AUDIENCE;
use serde_json::json;

const SIDECAR: &[&str] = &["--sidecar"];

impl Installation {
    /// A pod that runs nowhere, and its labels.
    pub async fn pod(&self, name: &str, labels: &str) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "ai"},
            "spec": {"serviceAccountName": "web", "containers": [{"name": "app", "image": "none"}]},
        });
        self.cluster.apply(&pod.to_string()).await;
        let mut arguments = vec!["label", "pod", name, "-n", "ai"];
        arguments.extend(labels.split(' '));
        self.cluster.kubectl(&arguments).await;
    }

    /// The proxy of such a pod.
    pub async fn sidecar(&self, pod: &str) -> Proxy {
        let token = self.cluster.pod_token("ai", "web", pod, AUDIENCE).await;
        self.proxy_with_token(self.port, pod, &token, SIDECAR).await
    }
}

#[tokio::test]
async fn a_sidecar_serves_the_routes_that_select_its_pod_and_its_callers_are_the_pod() {
    let installation = Installation::start().await;
    installation.cluster.service_account("ai", "web").await;
    installation.pod("web-1", "llmgateway.dev/sidecar=true app=web tier=gold").await;
    installation.pod("job-1", "llmgateway.dev/sidecar=true app=job").await;
    installation.pod("plain", "app=web").await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large", "small"])).await;
    let to = |model: &str| json!([{"pool": {"name": "pool"}, "models": [model]}]);
    let mut web = route("web", "pool");
    web["spec"]["attachTo"] = json!({"gateways": [], "podSelector": {"matchLabels": {"app": "web"}}});
    web["spec"]["rules"] = json!([
        {"matches": [{"models": ["smart"]}], "backends": to("small")},
        {"matches": [{"models": ["smart"], "callers": [{"namespaces": ["ai"], "labels": {"tier": "gold"}}]}], "backends": to("large")},
    ]);
    installation.create_route(&web).await;
    // It makes no new sidecars; the one that there is reads the authority's bundle as ever.
    let _operator = installation.operator(&[]).await;
    eventually("the bundle is where a sidecar is", WITHIN, async || {
        let bundle = ["get", "configmap", "llm-operator-ca", "-n", "ai", "-o", "name"];
        installation.cluster.try_kubectl(&bundle).await
    })
    .await;
    let message = installation.route_condition("web", "Programmed", "False", "NoProxies").await;
    assert_eq!(message, "no proxy of sidecars of namespace ai is attached");

    let (first, job) = (installation.sidecar("web-1").await, installation.sidecar("job-1").await);
    installation.ready(&[&first, &job]).await;
    let message = installation.route_condition("web", "Programmed", "True", "Programmed").await;
    assert_eq!(message, "in force on proxy of sidecars of namespace ai");
    let call = json!({"model": "smart", "messages": [{"role": "user", "content": "x"}]});
    let answered = post_json(&first.chat_url(), &call).await;
    assert_eq!(answered.header("x-llm-model"), Some("large"), "{answered:?}");
    let line = &first.await_requests(1).await[0];
    let caller =
        ["caller_namespace", "caller_service_account", "caller_pod"].map(|field| line[field].clone());
    assert_eq!(caller, ["ai", "web", "web-1"].map(|part| json!(part)), "{line}");
    // No route selects the other pod, and its callers are told so.
    let refused = post_json(&job.chat_url(), &call).await;
    assert_eq!(refused.status, 404);
    assert!(refused.text().contains("no LLMRoute selects pod ai/job-1"), "{refused:?}");

    // A label that is taken away takes its rule along, without a restart, and one that comes brings a route.
    installation.cluster.kubectl(&["label", "pod", "web-1", "-n", "ai", "tier-"]).await;
    eventually("the pod is no gold any more", WITHIN, async || {
        let answered = post_json(&first.chat_url(), &call).await;
        let model = answered.header("x-llm-model").map(str::to_owned);
        if model.as_deref() == Some("small") { Ok(()) } else { Err(format!("{answered:?}")) }
    })
    .await;
    installation.cluster.kubectl(&["label", "pod", "job-1", "-n", "ai", "app=web", "--overwrite"]).await;
    answers(&job, "smart", 200, WITHIN).await;
    installation.programmed_on("web", "2/2").await;

    // Routes of another namespace select nobody here, whatever they say.
    installation.cluster.kubectl(&["create", "namespace", "rival"]).await;
    let theirs = json!({
        "apiVersion": "llmgateway.dev/v1alpha1", "kind": "LLMRoute",
        "metadata": {"name": "theirs", "namespace": "rival"},
        "spec": {
            "attachTo": {"gateways": [], "podSelector": {}},
            "rules": [{"backends": [{"pool": {"name": "pool", "namespace": "ai"}}]}],
        },
    });
    let allow = json!([{"op": "add", "path": "/spec/allowedNamespaces", "value": {"from": "All"}}]);
    installation
        .cluster
        .kubectl(&["patch", "providerpool", "pool", "-n", "ai", "--type=json", "-p", &allow.to_string()])
        .await;
    installation.cluster.apply(&theirs.to_string()).await;
    eventually("the rival's route is looked at", WITHIN, async || {
        let said = installation
            .cluster
            .kubectl(&[
                "get",
                "llmroute",
                "theirs",
                "-n",
                "rival",
                "-o",
                "jsonpath={.status.conditions[?(@.type==\"Programmed\")].message}",
            ])
            .await;
        if said == "no pod that spec.attachTo.podSelector selects has a sidecar" { Ok(()) } else { Err(said) }
    })
    .await;
    answers(&first, "large", 404, WITHIN).await;
}

#[tokio::test]
async fn who_is_no_pod_with_a_sidecar_gets_nothing() {
    let installation = Installation::start().await;
    installation.cluster.service_account("ai", "web").await;
    installation.pod("plain", "app=web").await;
    let _operator = installation.operator(&[]).await;
    let plain = installation.sidecar("plain").await;
    let unlabelled = "pod ai/plain is not known as one with a sidecar";
    plain.process.await_line(WITHIN, |line| line.contains(unlabelled)).await;
    // A token that anyone may make for the ServiceAccount is bound to no pod.
    let token = installation.cluster.token("ai", "web", AUDIENCE).await;
    let loose = installation.proxy_with_token(installation.port, "loose", &token, SIDECAR).await;
    let unbound = "a sidecar shows a token that is bound to its pod";
    loose.process.await_line(WITHIN, |line| line.contains(unbound)).await;
    assert!(plain.readiness().await.is_err() && loose.readiness().await.is_err());
}

#[tokio::test]
async fn another_pod_of_the_same_name_and_one_that_is_no_sidecars_any_more_get_nothing_of_the_first() {
    let installation = Installation::start().await;
    installation.cluster.service_account("ai", "web").await;
    installation.pod("web-0", "llmgateway.dev/sidecar=true app=web").await;
    installation.pod("web-1", "llmgateway.dev/sidecar=true app=web").await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large"])).await;
    let mut web = route("web", "pool");
    web["spec"]["attachTo"] = json!({"gateways": [], "podSelector": {"matchLabels": {"app": "web"}}});
    installation.create_route(&web).await;
    let _operator = installation.operator(&[]).await;
    let (zero, one) = (installation.sidecar("web-0").await, installation.sidecar("web-1").await);
    installation.ready(&[&zero, &one]).await;
    installation.programmed_on("web", "2/2").await;

    // What a StatefulSet does, with other labels.
    installation
        .cluster
        .kubectl(&["delete", "pod", "web-0", "-n", "ai", "--force", "--grace-period=0"])
        .await;
    installation.pod("web-0", "llmgateway.dev/sidecar=true app=other").await;
    zero.process.await_line(WITHIN, |line| line.contains("not valid for the audience")).await;
    let second = installation.sidecar("web-0").await;
    installation.ready(&[&second]).await;
    answers(&second, "large", 404, WITHIN).await;
    installation.programmed_on("web", "1/1").await;

    // The proxy goes on with what it has and says why it gets no more; nobody waits for it.
    installation.cluster.kubectl(&["label", "pod", "web-1", "-n", "ai", "llmgateway.dev/sidecar-"]).await;
    one.process.await_line(WITHIN, |line| line.contains("it needs the label")).await;
    answers(&one, "large", 200, WITHIN).await;
    let message = installation.route_condition("web", "Programmed", "False", "NoProxies").await;
    assert_eq!(message, "no pod that spec.attachTo.podSelector selects has a sidecar");
}
