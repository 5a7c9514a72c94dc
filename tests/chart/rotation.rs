//! The operator's authority as it rotates, seen in its Secret, and how short its life must be for that.

use crate::release::{Release, WITHIN};
use harness::eventually;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;

/// Options of the chart by which there is a new authority every 30 s, which signs when it has been known for 7 s.
pub const OPTIONS: [&str; 2] = ["--set", "operator.extraArgs={--ca-lifetime=45s,--ca-overlap=7s}"];

/// Waits for each step of a whole rotation: the next authority is staged; it signs; the one before is forgotten.
pub async fn rotated(release: &Release) {
    let held = async |entry: &str| -> Result<Option<String>, String> {
        let client = release.machine.cluster().client().await;
        let secret =
            Api::<Secret>::namespaced(client, crate::release::NAMESPACE).get("llm-operator-ca").await;
        let data = secret.map_err(|error| error.to_string())?.data.unwrap_or_default();
        Ok(data.get(entry).map(|bytes| String::from_utf8(bytes.0.clone()).unwrap()))
    };
    // One that was staged before the load may sign at once.
    eventually("no authority is staged", WITHIN, async || match held("next.crt").await? {
        None => Ok(()),
        Some(next) => Err(next),
    })
    .await;
    let first = held("active.crt").await.unwrap();
    let next = eventually("the next authority is staged", WITHIN, async || {
        held("next.crt").await?.ok_or_else(|| "none".to_owned())
    })
    .await;
    eventually("it signs", WITHIN, async || match held("active.crt").await? {
        Some(active) if active == next => Ok(()),
        active => Err(format!("{active:?} signs")),
    })
    .await;
    assert_eq!(held("previous.crt").await.unwrap(), first, "the one before is still trusted");
    eventually("the one before is forgotten", WITHIN, async || match held("previous.crt").await? {
        previous if previous != first => Ok(()),
        previous => Err(format!("{previous:?}")),
    })
    .await;
}
