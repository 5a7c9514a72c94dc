//! What an API server would say of an object: the schema and the CEL rules of its kind, run here.

use kube::{CustomResourceExt, core::cel::Validator};
use serde_json::Value;

/// Every problem, each with its field.
pub fn problems<K: CustomResourceExt>(object: &Value) -> Vec<String> {
    let crd = K::crd();
    let schema =
        crd.spec.versions.first().and_then(|version| version.schema.as_ref()?.open_api_v3_schema.clone());
    // The derive made it: it is there, and it is JSON.
    let Some(mut schema) = schema.and_then(|schema| serde_json::to_value(schema).ok()) else {
        return vec!["the kind has no schema".to_owned()];
    };
    unique_sets(&mut schema);
    let validator = match jsonschema::draft7::new(&schema) {
        Ok(validator) => validator,
        Err(error) => return vec![format!("the schema of the kind: {error}")],
    };
    let mut problems: Vec<String> = validator
        .iter_errors(object)
        .map(|error| format!("{}: {error}", field(&error.instance_path().to_string())))
        .collect();
    // Rules are written for objects of the right shape.
    if problems.is_empty()
        && let Err(errors) = Validator::new().validate(&schema, object, None)
    {
        problems.extend(errors.iter().map(|error| format!("{}: {}", error.field_path, error.message)));
    }
    problems
}

/// Lists that the API server takes for sets, in the words of JSON Schema.
fn unique_sets(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(unique_sets);
            if fields.get("x-kubernetes-list-type").and_then(Value::as_str) == Some("set") {
                fields.insert("uniqueItems".to_owned(), true.into());
            }
        }
        Value::Array(values) => values.iter_mut().for_each(unique_sets),
        _ => {}
    }
}

/// `/spec/rules/0/backends` as `spec.rules[0].backends`.
fn field(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            path.push_str(&format!("[{part}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(part);
        }
    }
    path
}
