//! The same manifests read from files, for the standalone command, held to the same schema and CEL
//! rules as on an API server. Every problem names file, object and field.

mod schema;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{CustomResourceExt, Resource};
use llm_crds::{API_VERSION, Budget, GROUP, LLMRoute, ProviderPool};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{ObjectName, Observed, SecretState};

/// The namespace of objects that name none.
const DEFAULT_NAMESPACE: &str = "default";

/// Something to mend in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    /// Kind and name, such as `LLMRoute default/chat`; none where the file can't be read as YAML.
    pub object: Option<String>,
    /// Field and reason.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// What files hold.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    pub observed: Observed,
    /// Where each object stands, by kind and name.
    sources: BTreeMap<(&'static str, ObjectName), PathBuf>,
    /// Objects of kinds that mean nothing here, by file.
    pub passed_over: Vec<String>,
}

impl Manifests {
    /// Reads files and folders (their `.yaml`, `.yml` and `.json` files).
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Vec<Problem>> {
        let mut manifests = Self::default();
        let mut problems = Vec::new();
        for file in files(paths, &mut problems) {
            match std::fs::read_to_string(&file) {
                Ok(text) => manifests.add(&file, &text, &mut problems),
                Err(error) => problems.push(Problem { file, object: None, message: error.to_string() }),
            }
        }
        if problems.is_empty() { Ok(manifests) } else { Err(problems) }
    }

    /// Reads one text as if it stood in `file`.
    pub fn add(&mut self, file: &Path, text: &str, problems: &mut Vec<Problem>) {
        match serde_saphyr::from_multiple::<Value>(text) {
            Ok(objects) => {
                for object in objects.into_iter().flat_map(items) {
                    self.object(file, object, problems);
                }
            }
            Err(error) => {
                problems.push(Problem {
                    file: file.to_owned(),
                    object: None,
                    message: format!("not valid YAML: {error}"),
                });
            }
        }
    }

    /// The problem of an object that compile has told.
    #[must_use]
    pub fn problem(&self, kind: &'static str, name: &ObjectName, message: String) -> Problem {
        let file = self.sources.get(&(kind, name.clone())).cloned().unwrap_or_default();
        Problem { file, object: Some(format!("{kind} {name}")), message }
    }

    fn object(&mut self, file: &Path, value: Value, problems: &mut Vec<Problem>) {
        let text =
            |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, kind) = (text("/apiVersion"), text("/kind"));
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let object = match (namespace.as_str(), kind.as_str()) {
            // The same words as in what compile tells of it.
            ("", "LLMRoute" | "ProviderPool" | "Budget" | "Secret") => {
                format!("{kind} {DEFAULT_NAMESPACE}/{name}")
            }
            ("", _) => format!("{kind} {name}"),
            _ => format!("{kind} {namespace}/{name}"),
        };
        let mut problem = |message: String| {
            problems.push(Problem { file: file.to_owned(), object: Some(object.clone()), message });
        };
        match (api_version.as_str(), kind.as_str()) {
            (API_VERSION, "LLMRoute") => match typed::<LLMRoute>(value) {
                Ok(route) => {
                    self.keep(file, "LLMRoute", route, |o, route| o.routes.push(Arc::new(route)), problem);
                }
                Err(found) => found.into_iter().for_each(problem),
            },
            (API_VERSION, "ProviderPool") => match typed::<ProviderPool>(value) {
                Ok(pool) => {
                    self.keep(file, "ProviderPool", pool, |o, pool| o.pools.push(Arc::new(pool)), problem);
                }
                Err(found) => found.into_iter().for_each(problem),
            },
            (API_VERSION, "Budget") => match typed::<Budget>(value) {
                Ok(budget) => {
                    self.keep(file, "Budget", budget, |o, budget| o.budgets.push(Arc::new(budget)), problem);
                }
                Err(found) => found.into_iter().for_each(problem),
            },
            ("v1", "Secret") => match strict::<Secret>(value) {
                Ok(secret) => self.keep(file, "Secret", secret, add_secret, problem),
                Err(found) => problem(found),
            },
            ("v1", "Namespace") => match strict::<Namespace>(value) {
                Ok(namespace) => {
                    let labels = namespace.metadata.labels.unwrap_or_default();
                    self.observed.namespaces.insert(namespace.metadata.name.unwrap_or_default(), labels);
                }
                Err(found) => problem(found),
            },
            ("", _) | (_, "") => problem("apiVersion and kind are needed".to_owned()),
            (other, _) if other.split('/').next() == Some(GROUP) => {
                problem(format!(
                    "no such kind: {other} {kind}; there are LLMRoute, ProviderPool and Budget of {API_VERSION}"
                ));
            }
            _ => self.passed_over.push(format!("{}: {object}", file.display())),
        }
    }

    fn keep<K: Resource<DynamicType = ()>>(
        &mut self,
        file: &Path,
        kind: &'static str,
        mut object: K,
        add: impl FnOnce(&mut Observed, K),
        mut problem: impl FnMut(String),
    ) {
        let meta = object.meta_mut();
        if meta.name.as_deref().unwrap_or_default().is_empty() {
            return problem("metadata.name: must not be empty".to_owned());
        }
        let namespace = meta.namespace.get_or_insert_with(|| DEFAULT_NAMESPACE.to_owned()).clone();
        self.observed.namespaces.entry(namespace).or_default();
        let name = ObjectName::of(&object);
        if let Some(first) = self.sources.insert((kind, name), file.to_owned()) {
            return problem(format!("stands in {} already", first.display()));
        }
        add(&mut self.observed, object);
    }
}

fn add_secret(observed: &mut Observed, secret: Secret) {
    let name = ObjectName::of(&secret);
    let mut data: BTreeMap<String, Vec<u8>> =
        secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    data.extend(
        secret.string_data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into_bytes())),
    );
    observed.secrets.insert(name, SecretState::Present(data));
}

/// A `List` as its items.
fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Object(mut list) if list.get("kind").and_then(Value::as_str) == Some("List") => {
            match list.remove("items") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            }
        }
        one => vec![one],
    }
}

/// A custom object that the API server would admit too.
fn typed<K: CustomResourceExt + DeserializeOwned + Serialize>(value: Value) -> Result<K, Vec<String>> {
    let found = schema::problems::<K>(&value);
    if !found.is_empty() {
        return Err(found);
    }
    strict(value).map_err(|problem| vec![problem])
}

/// An object without unknown fields: what is misspelt would be dropped in silence.
fn strict<K: DeserializeOwned>(value: Value) -> Result<K, String> {
    let mut unknown = Vec::new();
    let object: K = {
        // Kind and version have told which type this is; the type itself does not keep them.
        let mut note = |path: serde_ignored::Path<'_>| match path.to_string() {
            known if known == "apiVersion" || known == "kind" => {}
            path => unknown.push(path),
        };
        let deserializer = serde_ignored::Deserializer::new(value, &mut note);
        serde_path_to_error::deserialize(deserializer)
            .map_err(|error| format!("{}: {}", error.path(), error.inner()))?
    };
    if unknown.is_empty() {
        return Ok(object);
    }
    let fields: Vec<String> = unknown.iter().map(|path| field_path(path)).collect();
    Err(format!("unknown field: {}", fields.join(", ")))
}

/// `a.?.0.b`, where `?` stands for an option, as `a[0].b`.
fn field_path(path: &str) -> String {
    let mut shown = String::new();
    for segment in path.split('.').filter(|segment| *segment != "?") {
        if segment.bytes().all(|b| b.is_ascii_digit()) {
            shown.push_str(&format!("[{segment}]"));
        } else {
            let dot = if shown.is_empty() { "" } else { "." };
            shown.push_str(&format!("{dot}{segment}"));
        }
    }
    shown
}

/// The files of paths, a folder by its manifests in order of name.
pub fn files(paths: &[PathBuf], problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        match std::fs::read_dir(path) {
            Ok(entries) => {
                let mut found: Vec<PathBuf> =
                    entries.flatten().map(|entry| entry.path()).filter(|p| is_manifest(p)).collect();
                found.sort();
                files.extend(found);
            }
            Err(error) => {
                problems.push(Problem { file: path.clone(), object: None, message: error.to_string() });
            }
        }
    }
    files
}

fn is_manifest(path: &Path) -> bool {
    path.is_file() && has_manifest_extension(path)
}

/// Whether a file of this name is read where its folder is given.
#[must_use]
pub fn has_manifest_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

#[cfg(test)]
mod tests;
