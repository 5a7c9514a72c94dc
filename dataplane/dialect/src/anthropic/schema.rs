//! JSON Schemas as the API takes them. Where it guarantees that an answer follows one, it takes a part
//! of the language only: objects must be closed, and sizes can't be bounded. Objects are closed here,
//! and bounds are said in the description, as the vendor's own SDK does it: what then comes still fits
//! the caller's schema but for the bounds. The order of properties stays, as it is the order of the
//! answer.

use serde_json::value::RawValue;

use crate::json::{Node, Shape};

/// What the API refuses, and a description can say instead.
const BOUNDS: [&str; 13] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "minContains",
    "maxContains",
];

/// A tool's schema: one of an object, and said to be so.
pub fn of_object(schema: &RawValue) -> Box<RawValue> {
    let typed = fields(schema).is_none_or(|fields| fields.iter().any(|(name, _)| name == "type"));
    if typed { schema.to_owned() } else { with_first(schema, "type", "object") }
}

/// A schema that answers are held to.
pub fn strict(schema: &RawValue) -> Box<RawValue> {
    let mut out = String::with_capacity(schema.get().len() + 64);
    match Node::root(schema.get().as_bytes()) {
        Ok(node) => write(&node, &mut out),
        Err(_) => return schema.to_owned(),
    }
    RawValue::from_string(out).unwrap_or_else(|_| schema.to_owned())
}

/// The schema with a description, where it has none of its own.
pub fn described(schema: &RawValue, description: &str) -> Box<RawValue> {
    let has = fields(schema).is_none_or(|fields| fields.iter().any(|(name, _)| name == "description"));
    if has { schema.to_owned() } else { with_first(schema, "description", description) }
}

fn fields(schema: &RawValue) -> Option<Vec<(String, Node<'_>)>> {
    Node::root(schema.get().as_bytes()).ok()?.entries().ok()
}

/// The object with one more field, the first.
fn with_first(object: &RawValue, name: &str, value: &str) -> Box<RawValue> {
    let Some(rest) = object.get().strip_prefix('{') else { return object.to_owned() };
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    let with = format!("{{{}:{}{comma}{rest}", quoted(name), quoted(value));
    RawValue::from_string(with).unwrap_or_else(|_| object.to_owned())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn write(schema: &Node<'_>, out: &mut String) {
    let Ok(fields) = schema.entries() else {
        out.push_str(schema.text());
        return;
    };
    let any_of = fields.iter().any(|(name, _)| name == "anyOf");
    let mut description = None;
    let mut bounds = Vec::new();
    let mut object = false;
    // Free keys of a certain form can't be had: the vendor says so better than an answer without any.
    let mut open = false;
    out.push('{');
    for (name, value) in &fields {
        match name.as_str() {
            "properties" | "$defs" | "definitions" if value.shape() == Shape::Object => {
                object |= name == "properties";
                key(name, out);
                map(value, out);
            }
            "items" | "not" => {
                key(name, out);
                write(value, out);
            }
            "anyOf" | "allOf" | "oneOf" | "prefixItems" if value.shape() == Shape::Array => {
                key(if name == "oneOf" && !any_of { "anyOf" } else { name }, out);
                list(value, out);
            }
            "additionalProperties" if value.shape() == Shape::Bool => {}
            "description" if value.shape() == Shape::String => description = value.string().ok(),
            bound
                if BOUNDS.contains(&bound) || (bound == "minItems" && !matches!(value.text(), "0" | "1")) =>
            {
                bounds.push(format!("{name}: {}", value.text()));
            }
            _ => {
                open |= name == "additionalProperties";
                object |= name == "type" && value.text().contains("\"object\"");
                key(name, out);
                out.push_str(value.text());
            }
        }
    }
    if !bounds.is_empty() {
        let said = description.map(|text| text + "\n\n").unwrap_or_default();
        description = Some(format!("{said}{{{}}}", bounds.join(", ")));
    }
    if let Some(description) = description {
        key("description", out);
        out.push_str(&quoted(&description));
    }
    if object && !open {
        key("additionalProperties", out);
        out.push_str("false");
    }
    out.push('}');
}

fn key(name: &str, out: &mut String) {
    comma(out);
    out.push_str(&quoted(name));
    out.push(':');
}

fn comma(out: &mut String) {
    if !out.ends_with(['{', '[']) {
        out.push(',');
    }
}

fn map(schemas: &Node<'_>, out: &mut String) {
    out.push('{');
    for (name, schema) in schemas.entries().unwrap_or_default() {
        key(&name, out);
        write(&schema, out);
    }
    out.push('}');
}

fn list(schemas: &Node<'_>, out: &mut String) {
    out.push('[');
    for schema in schemas.array().unwrap_or_default() {
        comma(out);
        write(&schema, out);
    }
    out.push(']');
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn objects_are_closed_at_every_depth_and_properties_keep_their_order() {
        let schema = raw(
            r##"{"type":"object","properties":{"z":{"type":"array","items":{"properties":{"description":{"type":"string"}}}},"a":{"$ref":"#/$defs/b"}},"required":["z"],"$defs":{"b":{"type":["object","null"],"additionalProperties":true,"properties":{}}}}"##,
        );
        assert_eq!(
            strict(&schema).get(),
            r##"{"type":"object","properties":{"z":{"type":"array","items":{"properties":{"description":{"type":"string"}},"additionalProperties":false}},"a":{"$ref":"#/$defs/b"}},"required":["z"],"$defs":{"b":{"type":["object","null"],"properties":{},"additionalProperties":false}},"additionalProperties":false}"##
        );
    }

    #[test]
    fn bounds_are_said_in_the_description_and_alternatives_are_any_of() {
        let schema = raw(
            r#"{"oneOf":[{"type":"integer","description":"A \"b\"","minimum":1,"maximum":9},{"type":"array","minItems":1},{"type":"array","minItems":2},true]}"#,
        );
        assert_eq!(
            strict(&schema).get(),
            r#"{"anyOf":[{"type":"integer","description":"A \"b\"\n\n{minimum: 1, maximum: 9}"},{"type":"array","minItems":1},{"type":"array","description":"{minItems: 2}"},true]}"#
        );
    }

    #[test]
    fn keys_of_a_certain_form_are_left_for_the_vendor_to_refuse() {
        let schema = r#"{"type":"object","additionalProperties":{"type":"string"}}"#;
        assert_eq!(strict(&raw(schema)).get(), schema);
    }

    #[test]
    fn a_type_and_a_description_are_added_only_where_they_lack() {
        assert_eq!(of_object(&raw("{ }")).get(), r#"{"type":"object" }"#);
        assert_eq!(of_object(&raw(r#"{"properties":{}}"#)).get(), r#"{"type":"object","properties":{}}"#);
        assert_eq!(of_object(&raw(r#"{"type":"object"}"#)).get(), r#"{"type":"object"}"#);
        assert_eq!(described(&raw(r#"{"a":1}"#), "b\"").get(), r#"{"description":"b\"","a":1}"#);
        assert_eq!(described(&raw(r#"{"description":""}"#), "b").get(), r#"{"description":""}"#);
    }
}
