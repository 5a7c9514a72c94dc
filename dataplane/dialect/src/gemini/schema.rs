//! The API's own schemas, a subset of OpenAPI, to JSON Schema: types are lower-case words, `nullable` is
//! one more type, and numbers that protobuf writes as strings are numbers again. Words that JSON Schema
//! has anyway pass as they are, since callers put them there too.

use serde_json::value::RawValue;

use super::fields::camel;
use crate::{
    Invalid,
    json::{Node, Shape, to_bytes},
};

/// # Errors
/// When a schema is no object, or a field of it not what it must be; named by its path.
pub fn to_json_schema(node: &Node<'_>) -> Result<Box<RawValue>, Invalid> {
    let text = schema(node)?;
    RawValue::from_string(text).map_err(|_| node.invalid("it must be a schema"))
}

fn quoted(text: &str) -> String {
    String::from_utf8_lossy(&to_bytes(&text)).into_owned()
}

/// An object's fields as they are written.
#[derive(Default)]
struct Written(String);

impl Written {
    fn field(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&quoted(name));
        self.0.push(':');
        self.0.push_str(value);
    }

    fn object(self) -> String {
        format!("{{{}}}", self.0)
    }
}

fn schema(node: &Node<'_>) -> Result<String, Invalid> {
    let fields: Vec<_> = node
        .entries()?
        .into_iter()
        .filter(|(_, value)| value.shape() != Shape::Null)
        .map(|(name, value)| (if name.starts_with('$') { name } else { camel(&name) }, value))
        .collect();
    let find = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let nullable = find("nullable").map(Node::bool).transpose()?.unwrap_or(false);
    let order = find("propertyOrdering").map(|node| node.list::<String>("it must be a list of names"));
    let order = order.transpose()?.unwrap_or_default();
    let mut written = Written::default();
    for (name, value) in &fields {
        match name.as_str() {
            "nullable" | "propertyOrdering" => {}
            "type" => {
                if let Some(types) = types(value, nullable)? {
                    written.field("type", &types);
                }
            }
            // It only repeats that `enum` is there.
            "format" if value.str()? == "enum" => {}
            "enum" => {
                let numeric = find("type").is_some_and(|kind| {
                    ["\"integer\"", "\"number\""]
                        .iter()
                        .any(|number| kind.text().eq_ignore_ascii_case(number))
                });
                written.field("enum", &choices(value, numeric, nullable)?);
            }
            "properties" | "$defs" | "defs" | "definitions" => {
                let name = if name == "defs" { "$defs" } else { name.as_str() };
                written.field(name, &schemas_by_name(value, &order)?);
            }
            "anyOf" if nullable && find("type").is_none() => {
                written.field("anyOf", &list(value, Some(r#"{"type":"null"}"#))?);
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => written.field(name, &list(value, None)?),
            "items" | "additionalProperties" | "not" if value.shape() == Shape::Object => {
                written.field(name, &schema(value)?);
            }
            "ref" => written.field("$ref", &quoted(&value.str()?.replacen("#/defs/", "#/$defs/", 1))),
            "example" => written.field("examples", &format!("[{}]", value.text())),
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => {
                written.field(name, value.text().trim_matches('"'));
            }
            _ => written.field(name, value.text()),
        }
    }
    Ok(written.object())
}

/// The type or types, lower-case; `None` for the word that says nothing.
fn types(node: &Node<'_>, nullable: bool) -> Result<Option<String>, Invalid> {
    let mut types: Vec<String> = if node.shape() == Shape::Array {
        node.list("it must be a type or a list of types")?
    } else {
        vec![node.string()?]
    };
    for name in &mut types {
        name.make_ascii_lowercase();
    }
    types.retain(|name| name != "type_unspecified");
    if nullable && !types.is_empty() && !types.iter().any(|name| name == "null") {
        types.push("null".to_owned());
    }
    let quoted: Vec<String> = types.iter().map(|name| quoted(name)).collect();
    Ok(match quoted.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        several => Some(format!("[{}]", several.join(","))),
    })
}

fn schemas_by_name(node: &Node<'_>, order: &[String]) -> Result<String, Invalid> {
    let mut entries = node.entries()?;
    let place = |name: &String| order.iter().position(|at| at == name).unwrap_or(usize::MAX);
    entries.sort_by_key(|(name, _)| place(name));
    let mut written = Written::default();
    for (name, value) in &entries {
        written.field(name, &schema(value)?);
    }
    Ok(written.object())
}

fn list(node: &Node<'_>, last: Option<&str>) -> Result<String, Invalid> {
    let schemas = node.array()?.iter().map(schema).collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<&str> = schemas.iter().map(String::as_str).chain(last).collect();
    Ok(format!("[{}]", texts.join(",")))
}

/// The API writes the numbers of a choice as strings.
fn choices(node: &Node<'_>, numeric: bool, nullable: bool) -> Result<String, Invalid> {
    let values = node.array()?;
    let text = |value: &Node<'_>| {
        let text = value.text();
        let bare = text.trim_matches('"');
        if numeric && serde_json::from_str::<serde_json::Number>(bare).is_ok() { bare } else { text }
            .to_owned()
    };
    let mut texts: Vec<String> = values.iter().map(text).collect();
    if nullable && !texts.iter().any(|text| text == "null") {
        texts.push("null".to_owned());
    }
    Ok(format!("[{}]", texts.join(",")))
}
