//! What the API server and the sidecars trust: kept through a rotation, and mended when somebody takes it away.

use super::{Injecting, labelled};
use crate::installation::NAMESPACE;
use crate::registration::INJECTOR;
use harness::{Authority, eventually};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_rotation_changes_nothing_for_pods() {
    let injecting = Injecting::start().await;
    // Of 20 s the last third begins at 13 s; what is staged then signs 1 s later than clocks may differ.
    let _operator = injecting.operator(&["--ca-lifetime", "20s", "--ca-overlap", "1s"]).await;
    injecting.register().await;
    let secrets = Api::<Secret>::namespaced(injecting.installation.client.clone(), NAMESPACE);
    let active =
        async || secrets.get("llm-operator-ca").await.unwrap().data.unwrap().remove("active.crt").unwrap().0;
    let first = active().await;
    eventually("another authority signs", Duration::from_secs(60), async || {
        // All the while, whoever asks is served.
        injecting.admits("a pod is injected", "ai", &labelled("true")).await;
        if active().await == first { Err("the first does".to_owned()) } else { Ok(()) }
    })
    .await;
    injecting.trusted().await;
    injecting.admits("a pod is injected", "shop", &json!({})).await;
    injecting.bundle_in("shop").await;
}

#[tokio::test]
async fn what_somebody_takes_away_comes_back() {
    let injecting = Injecting::start().await;
    let operator = injecting.operator(&[]).await;
    injecting.register().await;
    injecting.bundle_in("shop").await;
    let client = &injecting.installation.client;

    let registrations = Api::<MutatingWebhookConfiguration>::all(client.clone());
    let other = ByteString(Authority::new().pem().into_bytes());
    let spoilt = json!([
        {"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"},
        {"op": "replace", "path": "/webhooks/1/clientConfig/caBundle", "value": other},
    ]);
    let spoilt = Patch::Json::<()>(serde_json::from_value(spoilt).unwrap());
    registrations.patch(INJECTOR.name, &PatchParams::default(), &spoilt).await.unwrap();
    injecting.trusted().await;
    registrations.delete(INJECTOR.name, &DeleteParams::default()).await.unwrap();
    injecting.register().await;

    let bundles = Api::<ConfigMap>::namespaced(client.clone(), "shop");
    bundles.delete("llm-operator-ca", &DeleteParams::default()).await.unwrap();
    injecting.bundle_in("shop").await;
    let spoilt = Patch::Merge(json!({"data": {"ca.crt": "spoilt"}}));
    bundles.patch("llm-operator-ca", &PatchParams::default(), &spoilt).await.unwrap();
    injecting.bundle_in("shop").await;

    // A namespace that goes away takes nothing new: nobody insists. The next one is served all the same.
    injecting.create("app", "shop", &json!({})).await;
    injecting.installation.cluster.kubectl(&["delete", "namespace", "shop", "--wait=false"]).await;
    bundles.delete("llm-operator-ca", &DeleteParams::default()).await.unwrap();
    injecting.installation.cluster.kubectl(&["create", "namespace", "next"]).await;
    injecting
        .installation
        .cluster
        .kubectl(&["label", "namespace", "next", "llmgateway.dev/inject=true"])
        .await;
    injecting.bundle_in("next").await;
    assert!(
        !operator.process.output().contains("can't write the authority's bundle"),
        "{}",
        operator.process.output()
    );
}
