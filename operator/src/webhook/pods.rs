//! The review of a pod: the patch that gives it its sidecar.

use std::collections::BTreeMap;

use kube::core::{
    DynamicObject,
    admission::{AdmissionRequest, AdmissionResponse, Operation, SerializePatchError},
};
use serde_json::Value;

use super::review::Decision;
use crate::inject::{Asked, INJECT, Injection, Refusal, Settings, asked, inject, labels};

/// `pod` is the pod as it was sent: no type of ours comes between it and the patch.
pub fn decide(
    request: &AdmissionRequest<DynamicObject>,
    pod: &Value,
    settings: &Settings,
) -> Result<Decision, SerializePatchError> {
    let response = AdmissionResponse::from(request);
    let is_new_pod = request.operation == Operation::Create
        && request.resource.resource == "pods"
        && request.sub_resource.as_deref().unwrap_or_default().is_empty();
    if !is_new_pod {
        return Ok(Decision::uncounted(response));
    }
    let (outcome, response) = match decided(pod, settings) {
        Ok(Injection::Injected { pod: made, warnings }) => {
            let response = patched(response, pod, &made, warnings)?;
            // Kubernetes asks again where anybody else has changed a pod behind us.
            (if response.patch.is_some() { "injected" } else { "unchanged" }, response)
        }
        Ok(Injection::PassedOver { pod: made, why }) => {
            ("passed_over", patched(response, pod, &made, vec![format!("no sidecar: {why}")])?)
        }
        Ok(Injection::NotAsked) => ("not_asked", response),
        Err(refusal) => ("refused", response.deny(refusal)),
    };
    let namespace = request.namespace.as_deref().unwrap_or_default();
    tracing::debug!(namespace, name = name(pod), outcome, "a pod was looked at");
    Ok(Decision::counted("Pod", outcome, response))
}

fn patched(
    response: AdmissionResponse,
    pod: &Value,
    made: &Value,
    warnings: Vec<String>,
) -> Result<AdmissionResponse, SerializePatchError> {
    let patch = json_patch::diff(pod, made);
    let mut response = if patch.is_empty() { response } else { response.with_patch(patch)? };
    response.warnings = (!warnings.is_empty()).then_some(warnings);
    Ok(response)
}

/// The selectors of the webhook have found that the pod, or else its namespace, asks. The API server
/// knows the namespace's labels best: those that are watched here may be older than the pod.
fn decided(pod: &Value, settings: &Settings) -> Result<Injection, Refusal> {
    let namespace = BTreeMap::from([(INJECT.to_owned(), "true".to_owned())]);
    let asked: Asked = asked(&labels(pod), &namespace)?;
    inject(pod, asked, settings)
}

/// Pods of controllers have no name of their own yet.
fn name(pod: &Value) -> &str {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
    text("/metadata/name").or_else(|| text("/metadata/generateName")).unwrap_or_default()
}
