//! What the chart renders, before a real API server: it takes every object by its strict validation, and finds every
//! pod within the `restricted` Pod Security level. Nothing is stored.

use crate::rendered::{MONITORING, cases, rendered};
use harness::{Cluster, tool};
use serde_json::{Value, json};

#[tokio::test]
async fn the_api_server_takes_every_object() {
    let cluster = Cluster::shared().await;
    cluster.install_crds().await;
    let folder = tool("monitoring");
    let folder = folder.to_str().unwrap();
    cluster.kubectl(&["create", "-f", folder]).await;
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", folder]).await;
    for namespace in ["llm-gateway", "team"] {
        cluster.kubectl(&["create", "namespace", namespace]).await;
    }
    // Controllers make it, and this cluster has none.
    cluster.service_account("llm-gateway", "default").await;
    for case in cases() {
        let objects = rendered(&case, &MONITORING).await;
        let taken = cluster.apply_with(&objects, &["--dry-run=server", "--validate=strict"]).await;
        let count = |text: &str, of: &str| text.lines().filter(|line| line.starts_with(of)).count();
        let wanted = count(&objects, "kind: ");
        assert!(wanted > 5, "{case}: {wanted} objects");
        let dry = taken.lines().filter(|line| line.ends_with("(server dry run)")).count();
        assert_eq!(dry, wanted, "{case}: {taken}");
    }
}

#[tokio::test]
async fn every_pod_is_restricted() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("restricted").await;
    let level = "pod-security.kubernetes.io/enforce=restricted";
    cluster.kubectl(&["label", "namespace", &namespace, level]).await;
    let mut seen = 0;
    for case in cases() {
        let objects: Vec<Value> = serde_saphyr::from_multiple(&rendered(&case, &[]).await).unwrap();
        for object in objects {
            let pod = match object["kind"].as_str() {
                Some("Pod") => &object,
                Some("Deployment" | "StatefulSet" | "Job") => &object["spec"]["template"],
                _ => continue,
            };
            let mut spec = pod["spec"].clone();
            let account = spec["serviceAccountName"].as_str().unwrap_or("default").to_owned();
            if cluster.try_kubectl(&["-n", &namespace, "get", "serviceaccount", &account]).await.is_err() {
                cluster.service_account(&namespace, &account).await;
            }
            // A class that the API server knows by itself only in its own namespace.
            spec.as_object_mut().unwrap().remove("priorityClassName");
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "namespace": namespace}, "spec": spec,
            });
            cluster.apply_with(&pod.to_string(), &["--dry-run=server", "--validate=strict"]).await;
            seen += 1;
        }
    }
    assert!(seen >= 13, "{seen} pods");
    let bare = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "namespace": namespace},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let refused = cluster.apply_fails(&bare.to_string()).await;
    assert!(refused.contains("violates PodSecurity"), "{refused}");
}
