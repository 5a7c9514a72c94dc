//! Whether a pod asked for a sidecar, itself or by its namespace, and whether it can have one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;

/// The label by which a pod or a namespace asks.
pub const INJECT: &str = "llmgateway.dev/inject";
/// The label of pods that have a sidecar.
pub const SIDECAR: &str = "llmgateway.dev/sidecar";

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    ByPod,
    ByNamespace,
    No,
}

type Labels = BTreeMap<String, String>;

/// Who asked, by the labels of both: the pod's own word goes before its namespace's.
///
/// # Errors
/// What to change where the pod's label says neither yes nor no.
pub fn asked(pod: &Labels, namespace: &Labels) -> Result<Asked, String> {
    match pod.get(INJECT).map(String::as_str) {
        Some("true") => Ok(Asked::ByPod),
        Some("false") => Ok(Asked::No),
        Some(other) => Err(format!("label `{INJECT}`: `{other}` must be `true` or `false`")),
        None if namespace.get(INJECT).is_some_and(|value| value == "true") => Ok(Asked::ByNamespace),
        None => Ok(Asked::No),
    }
}

/// The annotation that the API server's copy of a static pod carries.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// Why a pod can't have a sidecar, whatever it asked for.
pub fn impossible(annotations: &BTreeMap<String, String>, spec: &PodSpec) -> Option<&'static str> {
    if spec.host_network == Some(true) {
        // Its loopback is the node's: the proxy takes who calls there for this pod.
        return Some(
            "it uses the network of its node, where every process could call as this pod, and two pods would want the same port",
        );
    }
    if spec.share_process_namespace == Some(true) {
        return Some(
            "its containers see each other's processes (shareProcessNamespace), and with them the proxy's files and keys",
        );
    }
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return Some("it runs on Windows, and the proxy does not");
    }
    if annotations.contains_key(MIRROR) {
        return Some("it is a static pod, which its node runs as the node's file has it");
    }
    None
}
