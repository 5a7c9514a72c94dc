//! Pods with a proxy beside their containers, on a whole node: they start once it is ready, call through it by nothing
//! but the variables that injection sets, and end when they are done.

use crate::life::vendor;
use crate::release::{NAMESPACE, Release, WITHIN};
use harness::eventually;
use serde_json::{Value, json};

/// A namespace whose pods get sidecars, and what they serve: models of a pool whose key is another namespace's.
const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: platform}
---
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {llmgateway.dev/inject: 'true', pod-security.kubernetes.io/enforce: restricted}
---
apiVersion: llmgateway.dev/v1alpha1
kind: ProviderPool
metadata: {name: vendor, namespace: platform}
spec:
  allowedNamespaces: {from: All}
  providers:
  - name: vendor
    kind: OpenAI
    endpoint: VENDOR/v1
    credentials: {secretRef: {name: vendor, key: apiKey}}
    models: [{name: demo}]
---
apiVersion: v1
kind: Secret
metadata: {name: vendor, namespace: platform}
stringData: {apiKey: sk-platform}
---
apiVersion: llmgateway.dev/v1alpha1
kind: LLMRoute
metadata: {name: chat, namespace: shop}
spec:
  attachTo: {gateways: [], podSelector: {}}
  rules:
  - backends: [{pool: {name: vendor, namespace: platform}}]
";

/// One call, as an application makes it that knows nothing of us.
pub const CALL: &str = r#"wget -q -O - --header "content-type: application/json" --header "authorization: Bearer $OPENAI_API_KEY" --post-data '{"model":"demo","max_tokens":5,"messages":[{"role":"user","content":"Hello"}]}' "$OPENAI_BASE_URL/chat/completions""#;

/// What an application's container runs.
pub struct AppContainer<'a> {
    pub image: &'a str,
    pub command: Vec<&'a str>,
}

/// A pod as its team writes it, by Pod Security's `restricted` level.
pub fn pod_spec(app: &AppContainer<'_>, restart_policy: &str) -> Value {
    json!({
        "restartPolicy": restart_policy,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "app", "image": app.image, "imagePullPolicy": "IfNotPresent", "command": app.command,
            // With none, it gets what all others leave.
            "resources": {"requests": {"cpu": "200m"}},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
    })
}

pub fn script(script: &str) -> AppContainer<'_> {
    AppContainer { image: "busybox:1.37", command: vec!["sh", "-euc", script] }
}

impl Release {
    pub async fn in_shop(&self, arguments: &[&str]) -> Result<String, String> {
        self.machine.cluster().try_kubectl(&[&["--namespace", "shop"], arguments].concat()).await
    }

    /// Waits until the API server trusts the webhook.
    pub async fn injects(&self) {
        eventually("the API server trusts the webhook", WITHIN, async || {
            let path = "jsonpath={.webhooks[*].clientConfig.caBundle}";
            let told = self
                .kubectl(&["get", "mutatingwebhookconfiguration", "llm-gateway-injector", "-o", path])
                .await;
            if told.split(' ').filter(|bundle| !bundle.is_empty()).count() == 2 { Ok(()) } else { Err(told) }
        })
        .await;
    }
}

#[tokio::test]
async fn injected_pods_call_through_their_sidecars_and_jobs_end() {
    let release = Release::prepare().await;
    release
        .put(
            "install",
            &["--set", "gateways.default.replicas=1", "--set", "gateway.autoscaling.enabled=false"],
        )
        .await;
    let cluster = release.machine.cluster();
    let vendor = vendor(&release.machine.host()).await;
    cluster.apply(&SHOP.replace("VENDOR", vendor.url())).await;
    release.injects().await;

    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "batch", "namespace": "shop"},
        "spec": {"backoffLimit": 0, "template": {"spec": pod_spec(&script(CALL), "Never")}},
    });
    let app = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "namespace": "shop", "labels": {"app": "web"}},
        "spec": pod_spec(&script(&format!("{CALL}; trap 'exit 0' TERM; sleep infinity & wait")), "Always"),
    });
    cluster.apply(&format!("{job}\n---\n{app}")).await;
    // The first call finds its sidecar ready: nothing is tried again.
    eventually("the job is done", WITHIN, async || {
        release.in_shop(&["wait", "--for=condition=Complete", "job/batch", "--timeout=1s"]).await
    })
    .await;
    let said = release.in_shop(&["logs", "job/batch", "-c", "app"]).await.unwrap();
    assert!(said.contains("\"finish_reason\""), "{said}");
    release.in_shop(&["wait", "--for=condition=Ready", "pod/app", "--timeout=60s"]).await.unwrap();
    let path = ".status.summary.programmed";
    eventually("status counts the sidecar that is left", WITHIN, async || {
        let told =
            release.in_shop(&["get", "llmroute", "chat", "-o", &format!("jsonpath={{{path}}}")]).await?;
        if told == "1/1" { Ok(()) } else { Err(told) }
    })
    .await;
    let line = eventually("the sidecar has logged its application's call", WITHIN, async || {
        let log = release.in_shop(&["logs", "app", "-c", "llm-proxy"]).await?;
        log.lines().find(|line| line.contains("\"request_id\"")).map(str::to_owned).ok_or(log)
    })
    .await;
    let line: Value = serde_json::from_str(&line).unwrap();
    let caller =
        ["caller_namespace", "caller_service_account", "caller_pod"].map(|field| line[field].clone());
    assert_eq!(caller, ["shop", "default", "app"].map(|part| json!(part)), "{line}");

    crate::asked::all_is_told(&release).await;

    let pod = release.in_shop(&["get", "pod", "app", "-o", "json"]).await.unwrap();
    let shown = ["sk-platform", "\"secret\"", "secretKeyRef"].into_iter().find(|key| pod.contains(key));
    assert_eq!(shown, None, "no provider's key is in the pod");

    // It ends with its application, long before anybody would kill it.
    release.in_shop(&["delete", "pod", "app", "--timeout=20s"]).await.unwrap();
    // The vendor was shown the platform's key, and nothing of the pod was.
    let asked = vendor.requests();
    assert!(
        asked.len() >= 2 && asked.iter().all(|request| request.contains("Bearer sk-platform")),
        "{asked:?}"
    );
    // Pods that did not ask have none.
    let own = release
        .kubectl(&["get", "pods", "-n", NAMESPACE, "-o", "jsonpath={.items[*].spec.initContainers}"])
        .await;
    assert_eq!(own, "");
}
