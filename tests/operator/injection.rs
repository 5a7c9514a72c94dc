//! Sidecars by a real API server: who gets one, what is refused, and what holds when the operator is away or its
//! authority rotates.

mod agent;
mod away;
mod trust;

use crate::installation::{Installation, Operator, WITHIN};
use crate::registration::INJECTOR;
use harness::{eventually, free_port};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

/// An installation whose operator injects.
struct Injecting {
    installation: Installation,
    port: u16,
    settings: String,
}

impl Injecting {
    /// Namespaces `shop`, which asks and is restricted, and `ai`, which does not ask.
    async fn start() -> Self {
        let installation = Installation::start().await;
        let settings =
            installation.scratch.write("injection.yaml", "image: registry.example/llm-gateway:1\n");
        let cluster = &installation.cluster;
        cluster.kubectl(&["create", "namespace", "shop"]).await;
        let labels = ["llmgateway.dev/inject=true", "pod-security.kubernetes.io/enforce=restricted"];
        cluster.kubectl(&[&["label", "namespace", "shop"][..], &labels].concat()).await;
        for namespace in ["shop", "ai"] {
            cluster.service_account(namespace, "default").await;
        }
        Self { installation, port: free_port(), settings: settings.to_str().unwrap().to_owned() }
    }

    async fn operator(&self, more: &[&str]) -> Operator {
        let address = format!("127.0.0.1:{}", self.port);
        let arguments = ["--injection", &self.settings, "--webhook", &address];
        self.installation.operator(&[&arguments[..], more].concat()).await
    }

    /// Applies the chart's registration, and waits until the API server asks the operator.
    async fn register(&self) {
        INJECTOR.register(&self.installation, self.port).await;
        self.trusted().await;
        let probe = json!({"metadata": {"labels": {"llmgateway.dev/inject": "true"}}});
        self.admits("the API server asks the operator", "ai", &probe).await;
    }

    /// Waits until the registration holds the bundle of the authority.
    async fn trusted(&self) {
        INJECTOR.trusted(&self.installation).await;
    }

    /// Waits until a dry run of a pod that asks gets a sidecar.
    async fn admits(&self, what: &str, namespace: &str, change: &Value) {
        let params = kube::api::PostParams { dry_run: true, ..Default::default() };
        let pod: Pod = serde_json::from_value(pod("probe", namespace, change)).unwrap();
        eventually(what, WITHIN, async || {
            let made = self.pods(namespace).create(&params, &pod).await.map_err(|error| error.to_string())?;
            if has_sidecar(&made) { Ok(()) } else { Err("it has no sidecar".to_owned()) }
        })
        .await;
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.installation.client.clone(), namespace)
    }

    /// Creates a pod, and gives what became of it.
    async fn create(&self, name: &str, namespace: &str, change: &Value) -> Pod {
        self.installation.cluster.apply(&pod(name, namespace, change).to_string()).await;
        self.pods(namespace).get(name).await.unwrap()
    }

    /// Creates a pod that must be refused, and gives the complaint.
    async fn refused(&self, name: &str, namespace: &str, change: &Value) -> String {
        self.installation.cluster.apply_fails(&pod(name, namespace, change).to_string()).await
    }

    /// Waits until a namespace holds the authority's bundle as it is now.
    async fn bundle_in(&self, namespace: &str) {
        let api = Api::<ConfigMap>::namespaced(self.installation.client.clone(), namespace);
        eventually(&format!("the bundle is in {namespace}"), WITHIN, async || {
            let bundle = self.installation.mount_bundle().await;
            let found = api.get_opt("llm-operator-ca").await.map_err(|error| error.to_string())?;
            let data = found.and_then(|config_map| config_map.data?.remove("ca.crt"));
            if data.as_ref() == Some(&bundle) { Ok(()) } else { Err(format!("{data:?}")) }
        })
        .await;
    }
}

/// A pod of one container that the restricted level lets pass, with `change` merged into it.
fn pod(name: &str, namespace: &str, change: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "app", "image": "registry.example/app:1",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    merge(&mut pod, change);
    pod
}

fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

fn labelled(value: &str) -> Value {
    json!({"metadata": {"labels": {"llmgateway.dev/inject": value}}})
}

fn annotated(name: &str, value: &str) -> Value {
    json!({"metadata": {"annotations": {format!("llmgateway.dev/{name}"): value}}})
}

fn has_sidecar(pod: &Pod) -> bool {
    let first = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_ref()?.first());
    let sidecar = first
        .is_some_and(|init| init.name == "llm-proxy" && init.restart_policy.as_deref() == Some("Always"));
    assert_eq!(sidecar, pod.labels().get("llmgateway.dev/sidecar").is_some_and(|value| value == "true"));
    sidecar
}

fn variable<'a>(pod: &'a Pod, container: &str, name: &str) -> Option<&'a str> {
    let containers = &pod.spec.as_ref()?.containers;
    let container = containers.iter().find(|found| found.name == container)?;
    container.env.as_ref()?.iter().find(|variable| variable.name == name)?.value.as_deref()
}

#[tokio::test]
async fn who_asks_gets_a_sidecar_that_the_restricted_level_lets_pass() {
    let injecting = Injecting::start().await;
    let operator = injecting.operator(&[]).await;
    injecting.register().await;

    let asked = injecting.create("app", "shop", &json!({})).await;
    assert!(has_sidecar(&asked));
    assert_eq!(variable(&asked, "app", "OPENAI_BASE_URL"), Some("http://127.0.0.1:14000/v1"));
    assert_eq!(
        operator.metric("llm_operator_admissions_total{kind=\"Pod\",outcome=\"injected\"}").await,
        1.0
    );
    let sidecar = &asked.spec.as_ref().unwrap().init_containers.as_ref().unwrap()[0];
    assert_eq!(sidecar.image.as_deref(), Some("registry.example/llm-gateway:1"));
    let done: Value = serde_json::from_str(&asked.annotations()["llmgateway.dev/injected"]).unwrap();
    assert_eq!((&done["version"], &done["port"]), (&json!(env!("CARGO_PKG_VERSION")), &json!(14000)));
    injecting.bundle_in("shop").await;
    // The level is in force: the same pod with a privilege is not let pass.
    let root = json!({"spec": {"securityContext": {"runAsNonRoot": false}}});
    assert!(
        injecting.refused("root", "shop", &root).await.contains("violates PodSecurity \"restricted:latest\"")
    );

    assert!(
        !has_sidecar(&injecting.create("aside", "shop", &labelled("false")).await),
        "its own word goes first"
    );
    assert!(!has_sidecar(&injecting.create("bystander", "ai", &json!({})).await));
    assert!(has_sidecar(&injecting.create("asking", "ai", &labelled("true")).await));
    injecting.bundle_in("ai").await;

    // What Kubernetes makes of it is what a second pass would make, too.
    let mut again: Value = serde_json::to_value(&asked).unwrap();
    let meta = again["metadata"].as_object_mut().unwrap();
    meta.retain(|name, _| ["labels", "annotations"].contains(&name.as_str()));
    meta.extend(json!({"name": "again", "namespace": "shop"}).as_object().unwrap().clone());
    injecting.installation.cluster.apply(&again.to_string()).await;
    let again = injecting.pods("shop").get("again").await.unwrap();
    assert_eq!(again.spec, asked.spec);
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_words_also_in_a_dry_run() {
    let injecting = Injecting::start().await;
    let operator = injecting.operator(&[]).await;
    injecting.register().await;
    for (change, wanted) in [
        (
            annotated("port", "http"),
            "annotation `llmgateway.dev/port`: `http` must be a port from 1024 to 65535",
        ),
        (annotated("prot", "1"), "annotation `llmgateway.dev/prot`: there is none of this name"),
        (annotated("containers", "ap"), "there is no container `ap`; there are app"),
        (labelled("yes"), "label `llmgateway.dev/inject`: `yes` must be `true` or `false`"),
    ] {
        let told = injecting.refused("wrong", "shop", &change).await;
        assert!(told.contains("denied the request: ") && told.contains(wanted), "{told}");
    }
    let on_node =
        json!({"spec": {"hostNetwork": true}, "metadata": {"labels": {"llmgateway.dev/inject": "true"}}});
    assert!(
        injecting
            .refused("node", "ai", &on_node)
            .await
            .contains("this pod can't have a sidecar: it uses the network")
    );

    let refused = "llm_operator_admissions_total{kind=\"Pod\",outcome=\"refused\"}";
    assert_eq!(operator.metric(refused).await, 5.0);
    let params = kube::api::PostParams { dry_run: true, ..Default::default() };
    let wrong: Pod = serde_json::from_value(pod("wrong", "shop", &annotated("port", "http"))).unwrap();
    let told = injecting.pods("shop").create(&params, &wrong).await.unwrap_err().to_string();
    assert!(told.contains("must be a port from 1024 to 65535"), "{told}");
    assert_eq!(operator.metric(refused).await, 5.0, "a dry run leaves no trace");
}
