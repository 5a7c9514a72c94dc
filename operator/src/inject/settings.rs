//! What a sidecar is by default: the file that the platform team mounts, checked at the start.

use std::{collections::BTreeMap, path::Path};

use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};
use serde::Deserialize;

use super::{annotations, quantity::quantity};

/// `nonroot` of distroless images, and of ours.
const USER: i64 = 65532;

/// The defaults of sidecars. Every field may be left out of the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// An image with `llm-proxy` on its PATH.
    pub image: String,
    /// As of a container; Kubernetes decides by the image's tag where there is none.
    pub image_pull_policy: Option<PullPolicy>,
    /// Secrets to pull the image with, added to those of the pod: they have to be in its namespace.
    pub image_pull_secrets: Vec<PullSecret>,
    /// The user and the group that it runs as, any but root; `null`: as the image or the cluster says, such as
    /// OpenShift, which gives each namespace users of its own and refuses others.
    pub run_as_user: Option<i64>,
    /// The operator's config stream. Default: that of Service llm-operator in the operator's namespace.
    pub operator: String,
    /// Where applications call, on loopback.
    pub port: u16,
    /// Where probes and metrics are, on the pod's address.
    pub admin_port: u16,
    pub log_level: String,
    pub resources: Resources,
}

/// As of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullSecret {
    pub name: String,
}

/// As of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Quantities by resource.
pub type Quantities = BTreeMap<String, String>;

/// As of a container.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    pub requests: Quantities,
    pub limits: Quantities,
}

impl Default for Resources {
    /// Small: an idle proxy takes 12 MiB, and one core is more than an application's calls need. The
    /// limit of the CPU is also the number of its threads.
    fn default() -> Self {
        let quantities = |cpu: &str, memory: &str| {
            Quantities::from([("cpu".to_owned(), cpu.to_owned()), ("memory".to_owned(), memory.to_owned())])
        };
        Self { requests: quantities("25m", "32Mi"), limits: quantities("1", "256Mi") }
    }
}

impl Resources {
    /// What is wrong with them, each with its place.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (kind, quantities) in [("requests", &self.requests), ("limits", &self.limits)] {
            for (resource, text) in quantities {
                problems.extend(quantity(text).err().map(|error| format!("{kind}.{resource}: {error}")));
            }
        }
        for (resource, request) in &self.requests {
            let Some(limit) = self.limits.get(resource) else { continue };
            if let (Ok(asked), Ok(most)) = (quantity(request), quantity(limit))
                && asked > most
            {
                problems.push(format!(
                    "the {resource} request {request} is above the {resource} limit {limit}: change one of them"
                ));
            }
        }
        problems
    }

    /// For a container.
    pub fn requirements(&self) -> ResourceRequirements {
        let typed = |quantities: &Quantities| {
            let typed = quantities.iter().map(|(name, text)| (name.clone(), Quantity(text.clone())));
            Some(typed.collect()).filter(|typed: &BTreeMap<_, _>| !typed.is_empty())
        };
        ResourceRequirements {
            requests: typed(&self.requests),
            limits: typed(&self.limits),
            ..ResourceRequirements::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            image: format!("llm-gateway:{}", env!("CARGO_PKG_VERSION")),
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            run_as_user: Some(USER),
            operator: String::new(),
            port: 14000,
            admin_port: 14001,
            log_level: "info".to_owned(),
            resources: Resources::default(),
        }
    }
}

impl Settings {
    /// Reads the file of an operator in `namespace`.
    ///
    /// # Errors
    /// The file, and what to change in it.
    pub fn read_file(file: &Path, namespace: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
        let settings = text.and_then(|text| Self::read(&text, namespace));
        settings.map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Reads its YAML.
    ///
    /// # Errors
    /// What to change.
    pub fn read(text: &str, namespace: &str) -> Result<Self, String> {
        // An empty file is one that says nothing, and not null.
        let text = if text.trim().is_empty() { "{}" } else { text };
        let settings: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        settings.checked(namespace)
    }

    /// The defaults of an operator in `namespace`.
    #[must_use]
    pub fn of(namespace: &str) -> Self {
        let operator = format!("https://llm-operator.{namespace}.svc:8443");
        Self { operator, ..Self::default() }
    }

    fn checked(mut self, namespace: &str) -> Result<Self, String> {
        if self.operator.is_empty() {
            self.operator = Self::of(namespace).operator;
        }
        let mut problems = Vec::new();
        let operator = self.operator.parse::<http::Uri>().ok();
        if operator.is_none_or(|uri| uri.scheme_str() != Some("https") || uri.authority().is_none()) {
            problems.push("operator: it must be an https:// URL".to_owned());
        }
        problems.extend(annotations::image(&self.image).err().map(|error| format!("image: {error}")));
        problems
            .extend(annotations::log_level(&self.log_level).err().map(|error| format!("logLevel: {error}")));
        for (field, port) in [("port", self.port), ("adminPort", self.admin_port)] {
            problems.extend(annotations::unprivileged(port).err().map(|error| format!("{field}: {error}")));
        }
        if self.run_as_user.is_some_and(|user| user < 1) {
            problems.push("runAsUser: it must be the number of a user that is not root".to_owned());
        }
        if self.image_pull_secrets.iter().any(|secret| secret.name.is_empty()) {
            problems.push("imagePullSecrets: each needs the name of a Secret".to_owned());
        }
        if self.port == self.admin_port {
            problems.push("port and adminPort must differ".to_owned());
        }
        problems.extend(self.resources.problems().iter().map(|problem| format!("resources: {problem}")));
        if problems.is_empty() { Ok(self) } else { Err(problems.join("; ")) }
    }
}
