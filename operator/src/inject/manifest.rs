//! Any manifest with pods in it: a Pod, or a kind with a pod template.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Asked, Injection, Refusal, Settings, asked, inject, labels};

/// Where the pod template of a kind is; none where the kind has none.
fn template(api_version: &str, kind: &str) -> Option<&'static str> {
    match (api_version, kind) {
        ("v1", "Pod") => Some(""),
        ("apps/v1", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch/v1", "Job") => {
            Some("/spec/template")
        }
        ("v1", "ReplicationController") => Some("/spec/template"),
        ("batch/v1", "CronJob") => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// Injects the pods of a manifest, in place; a List by its items. Whoever hands it over asks for it,
/// unless a pod says no. Gives what its author should know.
///
/// # Errors
/// What to change, by object.
pub fn inject_manifest(object: &mut Value, settings: &Settings) -> Result<Vec<String>, Vec<String>> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    if kind == "List"
        && let Some(items) = object.get_mut("items").and_then(Value::as_array_mut)
    {
        return each(items, settings);
    }
    let Some(pod) = template(&api_version, &kind).and_then(|place| object.pointer_mut(place)) else {
        return Ok(Vec::new());
    };
    let said = |words: &str| format!("{kind} {name}: {words}");
    match injected(pod, settings) {
        Ok(Injection::Injected { pod: made, warnings }) => {
            *pod = made;
            Ok(warnings.iter().map(|warning| said(warning)).collect())
        }
        Ok(Injection::PassedOver { pod: made, why }) => {
            *pod = made;
            Ok(vec![said(why)])
        }
        Ok(Injection::NotAsked) => Ok(Vec::new()),
        Err(Refusal(problems)) => Err(problems.iter().map(|problem| said(problem)).collect()),
    }
}

fn injected(pod: &Value, settings: &Settings) -> Result<Injection, Refusal> {
    let asked = match asked(&labels(pod), &BTreeMap::new())? {
        Asked::No if !labels(pod).contains_key(super::INJECT) => Asked::ByNamespace,
        asked => asked,
    };
    inject(pod, asked, settings)
}

/// All problems of all objects, or all that their author should know.
///
/// # Errors
/// What to change, by object.
pub fn each(objects: &mut [Value], settings: &Settings) -> Result<Vec<String>, Vec<String>> {
    let (mut told, mut problems) = (Vec::new(), Vec::new());
    for object in objects {
        match inject_manifest(object, settings) {
            Ok(mut more) => told.append(&mut more),
            Err(mut more) => problems.append(&mut more),
        }
    }
    if problems.is_empty() { Ok(told) } else { Err(problems) }
}
