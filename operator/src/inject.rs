//! A pod, to the same pod with the proxy beside its containers: the pure part of injection, shared by
//! the webhook and by `kubectl-llm inject`.
//!
//! # Life of a pod
//!
//! ```text
//!  created ──► asked? ──► annotations ──► sidecar, volumes ──► variables ──► what was done
//!              label      what differs    first, but behind    of each       an annotation
//!                         from settings   a mesh's             container     and a label
//! ```
//!
//! The pod is changed as it was sent, in JSON: fields that this version does not know survive. What is
//! there already is left as it is, so that a second call, after other webhooks have been at the pod,
//! adds only what is new. What the first has noted tells its work from that of others.

mod annotations;
mod asked;
pub mod manifest;
mod quantity;
pub mod settings;
mod sidecar;
mod variables;

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{
    api::core::v1::{Container, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

pub use annotations::NOT_INJECTED;
use annotations::{INJECTED, Wishes};
pub use asked::{Asked, INJECT, MIRROR, SIDECAR, asked};
use settings::PullSecret;
pub use settings::Settings;
use sidecar::{MESHES, NAME};
use variables::Left;

/// What became of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Injection {
    /// The pod with a sidecar; each warning is something that its author should know.
    Injected { pod: Value, warnings: Vec<String> },
    /// Its namespace asked, but it can't have one: the pod with a note why.
    PassedOver { pod: Value, why: &'static str },
    /// Nobody asked, or it asked not to.
    NotAsked,
}

/// What to change in a pod before it can have a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub Vec<String>);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl From<String> for Refusal {
    fn from(problem: String) -> Self {
        Self(vec![problem])
    }
}

/// What the annotation says.
#[derive(Serialize)]
struct Done<'a> {
    version: &'static str,
    #[serde(flatten)]
    made: Made,
    /// The variables that were set, by container.
    variables: BTreeMap<&'a str, Vec<&'static str>>,
    /// The containers that were left alone, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    left: BTreeMap<&'a str, &'static str>,
}

/// The part of it that a later call reads.
#[derive(Serialize, Deserialize)]
struct Made {
    port: u16,
    /// Of the sidecar as it was made: another has been wished for since, or it is only others who have
    /// changed it.
    digest: String,
}

/// Makes of a pod, or of a pod template, the one that should run.
///
/// # Errors
/// Every problem with what to change.
pub fn inject(pod: &Value, asked: Asked, settings: &Settings) -> Result<Injection, Refusal> {
    if asked == Asked::No {
        return Ok(Injection::NotAsked);
    }
    let (meta, spec) = read(pod)?;
    let annotations = meta.annotations.unwrap_or_default();
    if let Some(why) = asked::impossible(&annotations, &spec) {
        return match asked {
            Asked::ByPod => Err(Refusal(vec![format!(
                "this pod can't have a sidecar: {why}; remove its label `{INJECT}` and let it call a gateway's Service"
            )])),
            _ => Ok(Injection::PassedOver { pod: noted(pod, why), why }),
        };
    }
    let wishes = Wishes::of(&annotations, &spec, settings)?;
    let before: Option<Made> = annotations.get(INJECTED).and_then(|done| serde_json::from_str(done).ok());
    clashes(&spec, &wishes, before.is_some())?;

    let mut pod = pod.clone();
    let container = serde_json::to_value(sidecar::container(&wishes, settings));
    let container = container.map_err(|error| error.to_string())?;
    let made = Made { port: wishes.port, digest: digest(&container) };
    let keep = before.as_ref().is_some_and(|before| before.digest == made.digest);
    put_container(&mut pod, container, keep, &spec)?;
    put_volumes(&mut pod)?;
    put_pull_secrets(&mut pod, settings)?;
    let (variables, left) = put_variables(&mut pod, &spec, &wishes, before.map(|before| before.port))?;
    let warnings =
        left.iter().map(|(name, left)| format!("container `{name}`: {}", left.advice(name))).collect();
    let left = left.iter().map(|(name, left)| (name.as_str(), left.reason())).collect();
    let variables = variables.iter().map(|(name, set)| (name.as_str(), set.clone())).collect();
    let done = Done { version: env!("CARGO_PKG_VERSION"), made, variables, left };
    // Strings and a number: it can't fail.
    let done = serde_json::to_string(&done).unwrap_or_default();
    note(&mut pod, "annotations", INJECTED, &done);
    note(&mut pod, "labels", SIDECAR, "true");
    Ok(Injection::Injected { pod, warnings })
}

fn read(pod: &Value) -> Result<(ObjectMeta, PodSpec), Refusal> {
    let wrong = |field: &str, error: serde_json::Error| Refusal(vec![format!("{field}: {error}")]);
    let meta = pod.get("metadata").cloned().unwrap_or_else(|| json!({}));
    let meta = serde_json::from_value(meta).map_err(|error| wrong("metadata", error))?;
    let spec = pod.get("spec").cloned().unwrap_or(Value::Null);
    Ok((meta, serde_json::from_value(spec).map_err(|error| wrong("spec", error))?))
}

fn noted(pod: &Value, why: &str) -> Value {
    let mut pod = pod.clone();
    note(&mut pod, "annotations", NOT_INJECTED, why);
    pod
}

/// Sets a label or an annotation.
fn note(pod: &mut Value, kind: &str, name: &str, value: &str) {
    pod["metadata"][kind][name] = value.into();
}

/// What is in the way of a sidecar. `ours`: what has its names was made by an earlier call.
fn clashes(spec: &PodSpec, wishes: &Wishes, ours: bool) -> Result<(), Refusal> {
    let mut problems = Vec::new();
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    let named = |containers: &[Container]| containers.iter().any(|container| container.name == NAME);
    let sidecar = inits.iter().find(|container| container.name == NAME);
    let is_sidecar = sidecar.is_some_and(|sidecar| sidecar.restart_policy.as_deref() == Some("Always"));
    if named(&spec.containers) || (sidecar.is_some() && !(ours && is_sidecar)) {
        problems
            .push(format!("a container is called `{NAME}`, as the sidecar will be: give it another name"));
    }
    let volumes = spec.volumes.as_deref().unwrap_or_default();
    for volume in volumes.iter().filter(|volume| !ours && sidecar::VOLUMES.contains(&volume.name.as_str())) {
        let name = &volume.name;
        problems.push(format!(
            "a volume is called `{name}`, as one of the sidecar's will be: give it another name"
        ));
    }
    for container in spec.containers.iter().chain(inits).filter(|container| container.name != NAME) {
        for port in container.ports.iter().flatten() {
            let taken = [(wishes.port, annotations::PORT), (wishes.admin_port, annotations::ADMIN_PORT)];
            let taken = taken.into_iter().find(|(ours, _)| i32::from(*ours) == port.container_port);
            if let Some((number, annotation)) =
                taken.filter(|_| port.protocol.as_deref().unwrap_or("TCP") == "TCP")
            {
                let name = &container.name;
                problems.push(format!(
                    "container `{name}` listens on port {number}, as the sidecar would: choose another by the annotation `{annotation}`"
                ));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Refusal(problems)) }
}

/// The array at `spec.FIELD`, made where there is none.
fn array<'a>(pod: &'a mut Value, field: &str) -> Result<&'a mut Vec<Value>, Refusal> {
    let array = &mut pod["spec"][field];
    if array.is_null() {
        *array = json!([]);
    }
    array.as_array_mut().ok_or_else(|| format!("spec.{field}: it must be a list").into())
}

/// Puts the sidecar where it belongs; one that is there and is to be kept stays what others have made of
/// it: its image by digest, for one.
fn put_container(pod: &mut Value, made: Value, keep: bool, spec: &PodSpec) -> Result<(), Refusal> {
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    let before = inits.iter().filter(|init| init.name != NAME);
    let place = before.take_while(|init| MESHES.contains(&init.name.as_str())).count();
    let at = inits.iter().position(|init| init.name == NAME);
    let array = array(pod, "initContainers")?;
    let there = at.map(|at| array.remove(at));
    array.insert(place, there.filter(|_| keep).unwrap_or(made));
    Ok(())
}

/// 64 bits of SHA-256: enough to tell one sidecar of a pod from the next.
fn digest(container: &Value) -> String {
    Sha256::digest(container.to_string()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Adds the volumes that are not there.
fn put_volumes(pod: &mut Value) -> Result<(), Refusal> {
    let volumes = array(pod, "volumes")?;
    for volume in sidecar::volumes() {
        if !volumes.iter().any(|there| there["name"] == volume.name) {
            volumes.push(serde_json::to_value(volume).map_err(|error| error.to_string())?);
        }
    }
    Ok(())
}

/// Adds the Secrets that the image is pulled with. What the ServiceAccount has for that is in the pod already:
/// the API server puts it there before it asks.
fn put_pull_secrets(pod: &mut Value, settings: &Settings) -> Result<(), Refusal> {
    for PullSecret { name } in &settings.image_pull_secrets {
        let secrets = array(pod, "imagePullSecrets")?;
        if !secrets.iter().any(|there| there["name"] == name.as_str()) {
            secrets.push(json!({ "name": name }));
        }
    }
    Ok(())
}

type Set = (BTreeMap<String, Vec<&'static str>>, BTreeMap<String, Left>);

/// Gives every container that should have them the variables that it does not set itself; tells what is
/// ours in each, and which were left alone. Ours come first: `$(OPENAI_BASE_URL)` in one of its own is
/// then what it says. `before`: the port of an earlier call.
fn put_variables(
    pod: &mut Value,
    spec: &PodSpec,
    wishes: &Wishes,
    before: Option<u16>,
) -> Result<Set, Refusal> {
    let (mut set, mut left) = Set::default();
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    for (field, containers) in [("initContainers", inits), ("containers", &spec.containers)] {
        for container in containers.iter().filter(|container| wishes.wants(&container.name)) {
            let name = container.name.clone();
            if let Some(why) = Left::of(container, wishes) {
                left.insert(name, why);
                continue;
            }
            let variables = variables::variables(container, wishes.port, before);
            let names: Vec<&'static str> = variables.iter().map(|(name, _)| *name).collect();
            if let Some(there) = array(pod, field)?.iter_mut().find(|there| there["name"] == name) {
                let mut own = there["env"].as_array().cloned().unwrap_or_default();
                own.retain(|variable| !names.iter().any(|name| variable["name"] == *name));
                let ours = variables.iter().map(|(name, value)| json!({"name": name, "value": value}));
                let env: Vec<Value> = ours.chain(own).collect();
                // No list at all where there is nothing to put into it.
                if !env.is_empty() {
                    there["env"] = Value::Array(env);
                }
            }
            set.insert(name, names);
        }
    }
    Ok((set, left))
}

/// The labels of an object in JSON.
pub fn labels(object: &Value) -> BTreeMap<String, String> {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    labels.into_iter().flat_map(Map::iter).filter_map(text).collect()
}

#[cfg(test)]
mod tests;
