//! What a pod's annotations want of its sidecar. One that is misspelt or wrong is refused: what a
//! person wrote must not be passed over in silence.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::PodSpec;

use super::{
    Refusal,
    quantity::quantity,
    settings::{Resources, Settings},
    sidecar::{MESHES, NAME},
};

const PREFIX: &str = "llmgateway.dev/";
pub const IMAGE: &str = "llmgateway.dev/image";
pub const LOG_LEVEL: &str = "llmgateway.dev/log-level";
pub const PORT: &str = "llmgateway.dev/port";
pub const ADMIN_PORT: &str = "llmgateway.dev/admin-port";
pub const CONTAINERS: &str = "llmgateway.dev/containers";
pub const CPU_REQUEST: &str = "llmgateway.dev/cpu-request";
pub const CPU_LIMIT: &str = "llmgateway.dev/cpu-limit";
pub const MEMORY_REQUEST: &str = "llmgateway.dev/memory-request";
pub const MEMORY_LIMIT: &str = "llmgateway.dev/memory-limit";
/// What was done, written by injection.
pub const INJECTED: &str = "llmgateway.dev/injected";
/// Why nothing was done though the namespace asked, written by injection.
pub const NOT_INJECTED: &str = "llmgateway.dev/not-injected";

/// What a person may write.
const WISHES: [&str; 9] =
    [CONTAINERS, IMAGE, LOG_LEVEL, PORT, ADMIN_PORT, CPU_REQUEST, CPU_LIMIT, MEMORY_REQUEST, MEMORY_LIMIT];

/// The sidecar that one pod should have.
#[derive(Debug)]
pub struct Wishes {
    pub image: String,
    pub log_level: String,
    pub port: u16,
    pub admin_port: u16,
    pub resources: Resources,
    /// The containers that were named.
    named: Option<BTreeSet<String>>,
}

impl Wishes {
    /// The settings, but where the annotations say otherwise.
    ///
    /// # Errors
    /// Every annotation that can't be followed.
    pub fn of(
        annotations: &BTreeMap<String, String>,
        spec: &PodSpec,
        settings: &Settings,
    ) -> Result<Self, Refusal> {
        let mut problems = Vec::new();
        let known = |name: &str| WISHES.contains(&name) || [INJECTED, NOT_INJECTED].contains(&name);
        let unknown = annotations.keys().filter(|name| name.starts_with(PREFIX) && !known(name));
        problems.extend(unknown.map(|name| {
            format!("annotation `{name}`: there is none of this name; there are {}", WISHES.join(", "))
        }));
        let mut problem = |name: &str, error: String| problems.push(format!("annotation `{name}`: {error}"));
        let mut text = |name: &'static str, check: fn(&str) -> Result<(), String>| {
            let value = annotations.get(name)?;
            check(value).map_err(|error| problem(name, error)).ok()?;
            Some(value.clone())
        };
        let image = text(IMAGE, image).unwrap_or_else(|| settings.image.clone());
        let log_level = text(LOG_LEVEL, log_level).unwrap_or_else(|| settings.log_level.clone());
        let mut resources = settings.resources.clone();
        let mut quantity = |name: &'static str| text(name, |value| quantity(value).map(drop));
        let Resources { requests, limits } = &mut resources;
        requests.extend(quantity(CPU_REQUEST).map(|value| ("cpu".to_owned(), value)));
        requests.extend(quantity(MEMORY_REQUEST).map(|value| ("memory".to_owned(), value)));
        limits.extend(quantity(CPU_LIMIT).map(|value| ("cpu".to_owned(), value)));
        limits.extend(quantity(MEMORY_LIMIT).map(|value| ("memory".to_owned(), value)));
        let mut port = |name: &'static str, default: u16| {
            let Some(value) = annotations.get(name) else { return default };
            let number = value.parse().map_err(|_| format!("`{value}` {A_PORT}"));
            let number = number.and_then(|number| unprivileged(number).map(|()| number));
            number.unwrap_or_else(|error| {
                problem(name, error);
                default
            })
        };
        let (port, admin_port) = (port(PORT, settings.port), port(ADMIN_PORT, settings.admin_port));
        if port == admin_port {
            problem(
                PORT,
                format!("port {port} is the admin port too: choose another, or another `{ADMIN_PORT}`"),
            );
        }
        let named = annotations
            .get(CONTAINERS)
            .and_then(|value| containers(value, spec).map_err(|error| problem(CONTAINERS, error)).ok());
        problems
            .extend(resources.problems().iter().map(|error| format!("resources of the sidecar: {error}")));
        let wishes = Self { image, log_level, port, admin_port, resources, named };
        if problems.is_empty() { Ok(wishes) } else { Err(Refusal(problems)) }
    }

    /// Whether a container should get variables: those that are named, else all but the sidecar and
    /// those of a mesh.
    pub fn wants(&self, container: &str) -> bool {
        match &self.named {
            Some(named) => named.contains(container),
            None => container != NAME && !MESHES.contains(&container),
        }
    }

    /// Whether a container was asked for by name.
    pub fn names(&self, container: &str) -> bool {
        self.named.as_ref().is_some_and(|named| named.contains(container))
    }
}

const A_PORT: &str = "must be a port from 1024 to 65535";

/// The proxy has no right to take a lower one.
pub fn unprivileged(port: u16) -> Result<(), String> {
    if port >= 1024 { Ok(()) } else { Err(format!("{port} {A_PORT}")) }
}

pub fn log_level(value: &str) -> Result<(), String> {
    match value {
        "error" | "warn" | "info" | "debug" | "trace" => Ok(()),
        other => Err(format!("`{other}` must be error, warn, info, debug or trace")),
    }
}

pub fn image(value: &str) -> Result<(), String> {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if value.is_empty() || value.contains(odd) {
        Err("it must be the name of an image".to_owned())
    } else {
        Ok(())
    }
}

/// The containers that a list names, all of which there must be.
fn containers(value: &str, spec: &PodSpec) -> Result<BTreeSet<String>, String> {
    let inits = spec.init_containers.iter().flatten();
    let there: Vec<&str> =
        inits.chain(&spec.containers).map(|c| c.name.as_str()).filter(|name| *name != NAME).collect();
    let named: BTreeSet<String> = value.split(',').map(|name| name.trim().to_owned()).collect();
    match named.iter().find(|name| !there.contains(&name.as_str())) {
        Some(missing) => Err(format!("there is no container `{missing}`; there are {}", there.join(", "))),
        None => Ok(named),
    }
}
