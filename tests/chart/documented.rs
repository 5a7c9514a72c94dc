//! The values: each is documented by the comment above it, each has a type in the schema, the schema has no other, and
//! the table of the chart's README says so. `UPDATE_GOLDEN=1` writes the table.

use crate::rendered::CHART;
use harness::{markdown, workspace};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

const BEGIN: &str = "<!-- values -->\n";
const END: &str = "<!-- /values -->\n";

/// A value that a person sets: a scalar or a list, or a mapping that has a comment of its own.
struct Documented {
    path: String,
    default: String,
    meaning: String,
}

#[test]
fn the_table_of_the_readme_is_that_of_the_values() {
    let file = workspace().join(CHART).join("README.md");
    let readme = fs::read_to_string(&file).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let mut rows = vec![["Value", "Default", "Meaning"].map(str::to_owned).to_vec()];
    for value in values() {
        rows.push(vec![format!("`{}`", value.path), format!("`{}`", value.default), value.meaning]);
    }
    let written = format!("{before}{BEGIN}{}{END}{after}", markdown(&rows));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &written).unwrap();
        return;
    }
    assert!(readme == written, "the table of values has drifted: UPDATE_GOLDEN=1 writes it");
}

#[test]
fn the_schema_has_the_values_and_no_other() {
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let mut typed = BTreeSet::new();
    leaves(&schema, &schema, String::new(), &mut typed);
    // Helm's own.
    typed.remove("global");
    let documented: BTreeSet<String> = values().into_iter().map(|value| value.path).collect();
    // A mapping that is documented whole has parts in the schema alone.
    let unknown: Vec<&String> = typed
        .iter()
        .filter(|path| !documented.iter().any(|d| *path == d || path.starts_with(&format!("{d}."))))
        .collect();
    assert!(unknown.is_empty(), "no such values: {unknown:?}");
    let missing: Vec<&String> = documented
        .iter()
        .filter(|path| !typed.iter().any(|t| t == *path || t.starts_with(&format!("{path}."))))
        .collect();
    assert!(missing.is_empty(), "not in the schema: {missing:?}");
}

#[tokio::test]
async fn the_image_is_that_of_the_chart() {
    let dockerfile = fs::read_to_string(workspace().join("charts/Dockerfile")).unwrap();
    let rendered = crate::rendered::rendered("plain", &[]).await;
    for program in ["llm-operator", "llm-proxy"] {
        assert!(dockerfile.contains(&format!("target/release/{program}")), "{program} is not in the image");
        assert!(rendered.contains(&format!("/usr/local/bin/{program}")), "{program} is not started");
    }
    assert!(dockerfile.contains("/programs/ /usr/local/bin/"));
    assert!(dockerfile.contains("USER 65532") && rendered.contains("runAsUser: 65532"));
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        read("Chart.yaml").contains(&format!("appVersion: {version}\n")),
        "the chart is not of {version}"
    );
}

fn read(file: &str) -> String {
    fs::read_to_string(workspace().join(CHART).join(file)).unwrap()
}

/// Line by line, for a YAML parser drops the comments.
fn values() -> Vec<Documented> {
    let text = read("values.yaml");
    let parsed: Value = serde_saphyr::from_str(&text).unwrap();
    let (mut found, mut parents, mut comment) = (Vec::<Documented>::new(), Vec::<&str>::new(), String::new());
    let mut within = None;
    for line in text.lines() {
        let (indent, line) = (line.len() - line.trim_start().len(), line.trim_start());
        if let Some(words) = line.strip_prefix("# ") {
            comment = format!("{comment} {words}").trim().to_owned();
            continue;
        }
        let Some((key, _)) = line.split_once(':').filter(|_| !line.starts_with("- ")) else {
            comment.clear();
            continue;
        };
        let comment = std::mem::take(&mut comment);
        if within.is_some_and(|outer| indent > outer) {
            continue;
        }
        within = None;
        parents.truncate(indent / 2);
        parents.push(key);
        let default = parsed.pointer(&format!("/{}", parents.join("/"))).unwrap();
        let path = parents.join(".");
        let group = default.as_object().is_some_and(|fields| !fields.is_empty());
        if group && comment.is_empty() {
            continue;
        }
        assert!(!comment.is_empty(), "{path} is not documented");
        if group {
            within = Some(indent);
        }
        found.push(Documented { path, default: default.to_string(), meaning: comment.replace('|', "\\|") });
    }
    assert!(found.len() > 50, "{} values found", found.len());
    found
}

/// The paths below which the schema names no further property. Every object on the way must be closed.
fn leaves(root: &Value, schema: &Value, path: String, found: &mut BTreeSet<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let Some(properties) = schema["properties"].as_object() else {
        found.insert(path);
        return;
    };
    assert_eq!(schema["additionalProperties"], false, "{path} takes any value");
    for (name, property) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        leaves(root, property, path, found);
    }
}
