//! The operator is away: who did not ask notices nothing, and who goes without is told of afterwards.

use super::{Injecting, has_sidecar, labelled};
use crate::installation::{NAMESPACE, Operator, WITHIN};
use harness::eventually;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

/// Waits until the operator counts so many pods without a sidecar.
async fn counts(operator: &Operator, pods: f64) {
    eventually(&format!("{pods} pods without a sidecar"), WITHIN, async || {
        let counted = operator.metric("llm_operator_pods_without_sidecar").await;
        if counted == pods { Ok(()) } else { Err(format!("{counted}\n{}", operator.process.output())) }
    })
    .await;
}

async fn leads(operator: &Operator) {
    eventually("it leads", WITHIN, async || {
        if operator.metric("llm_operator_leader").await > 0.0 {
            Ok(())
        } else {
            Err(operator.process.output())
        }
    })
    .await;
}

#[tokio::test]
async fn a_dead_operator_blocks_nobody_who_did_not_ask_and_tells_later_who_goes_without() {
    let injecting = Injecting::start().await;
    let operator = injecting.operator(&[]).await;
    injecting.register().await;
    operator.process.kill();
    operator.process.exited(WITHIN).await;

    // In its own namespace nobody waits for the operator, and nobody is missed there.
    injecting.installation.cluster.service_account(NAMESPACE, "default").await;
    for (name, namespace, change) in [
        ("bystander", "ai", json!({})),
        ("aside", "shop", labelled("false")),
        ("own", NAMESPACE, labelled("true")),
        ("late", "shop", json!({})),
    ] {
        assert!(!has_sidecar(&injecting.create(name, namespace, &change).await), "{name}");
    }
    let told = injecting.refused("asking", "ai", &labelled("true")).await;
    assert!(told.contains("failed calling webhook \"pod.injector.llmgateway.dev\""), "{told}");

    let operator = injecting.operator(&[]).await;
    counts(&operator, 1.0).await;
    let events = Api::<Event>::namespaced(injecting.installation.client.clone(), "shop");
    let missing = async || {
        let mut events = events.list(&Default::default()).await.unwrap().items;
        events.retain(|event| event.reason.as_deref() == Some("SidecarMissing"));
        events
    };
    let told = eventually("an Event", WITHIN, async || {
        missing().await.pop().ok_or_else(|| operator.process.output())
    })
    .await;
    assert_eq!(told.regarding.unwrap().name.as_deref(), Some("late"));
    let note = told.note.unwrap();
    assert!(note.contains("the label of its namespace") && note.contains("Delete it"), "{note}");

    // Who asks from now on is served, and who had asked before is told of too, but once: another leader says nothing new.
    assert!(has_sidecar(&injecting.create("asking", "ai", &labelled("true")).await));
    injecting
        .installation
        .cluster
        .kubectl(&["label", "pod", "bystander", "-n", "ai", "llmgateway.dev/inject=true"])
        .await;
    counts(&operator, 2.0).await;
    drop(operator);
    let operator = injecting.operator(&[]).await;
    leads(&operator).await;
    counts(&operator, 2.0).await;
    injecting.pods("shop").delete("late", &DeleteParams::default().grace_period(0)).await.unwrap();
    counts(&operator, 1.0).await;
    assert_eq!(missing().await.len(), 1, "{}", operator.process.output());
}
