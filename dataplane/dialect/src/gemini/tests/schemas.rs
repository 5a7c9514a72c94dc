//! Schemas to JSON Schema.

use super::*;

fn converted(schema: &str) -> String {
    let body = format!(r#"{{"s":{schema}}}"#);
    let node = crate::json::Object::root(body.as_bytes()).unwrap().take("s").unwrap();
    schema::to_json_schema(&node).unwrap().get().to_owned()
}

#[test]
fn types_are_lower_case_and_properties_keep_their_order() {
    assert_eq!(
        converted(
            r#"{"type":"OBJECT","properties":{"type":{"type":"STRING"},"any_of":{"type":"NUMBER","format":"float"},"a":{"type":"ARRAY","items":{"type":"BOOLEAN"},"min_items":"2"}},"required":["type"]}"#
        ),
        r#"{"type":"object","properties":{"type":{"type":"string"},"any_of":{"type":"number","format":"float"},"a":{"type":"array","items":{"type":"boolean"},"minItems":2}},"required":["type"]}"#,
    );
}

#[test]
fn a_wished_order_of_properties_is_followed() {
    let schema = r#"{"properties":{"c":{},"a":{},"b":{}},"propertyOrdering":["a","b"]}"#;
    assert_eq!(converted(schema), r#"{"properties":{"a":{},"b":{},"c":{}}}"#);
}

#[test]
fn what_may_be_null_says_so() {
    assert_eq!(converted(r#"{"type":"STRING","nullable":true}"#), r#"{"type":["string","null"]}"#);
    assert_eq!(
        converted(r#"{"nullable":true,"type":"STRING","format":"enum","enum":["a"]}"#),
        r#"{"type":["string","null"],"enum":["a",null]}"#,
    );
    assert_eq!(
        converted(r#"{"anyOf":[{"type":"STRING"},{"type":"INTEGER"}],"nullable":true}"#),
        r#"{"anyOf":[{"type":"string"},{"type":"integer"},{"type":"null"}]}"#,
    );
    assert_eq!(converted(r#"{"type":"STRING","nullable":false}"#), r#"{"type":"string"}"#);
}

#[test]
fn words_of_its_own_become_the_standards() {
    assert_eq!(
        converted(r#"{"type":"INTEGER","enum":["101","201"]}"#),
        r#"{"type":"integer","enum":[101,201]}"#
    );
    assert_eq!(
        converted(r##"{"ref":"#/defs/Pet","defs":{"Pet":{"type":"TYPE_UNSPECIFIED","example":1}}}"##),
        r##"{"$ref":"#/$defs/Pet","$defs":{"Pet":{"examples":[1]}}}"##,
    );
}

#[test]
fn json_schema_passes_unchanged() {
    let schema = r##"{"type":["string","null"],"$ref":"#/$defs/x","$defs":{"x":{"const":1}},"additionalProperties":false,"oneOf":[{"pattern":"^a"}],"default":1.50}"##;
    assert_eq!(converted(schema), schema);
}

#[test]
fn a_schema_that_is_none_is_named() {
    let body = json!({"contents": [text("user", "x")], "tools": [{"functionDeclarations": [
        {"name": "f", "parameters": {"type": "OBJECT", "properties": {"x": 1}}},
    ]}]});
    let param = "tools[0].functionDeclarations[0].parameters.properties.x";
    assert_eq!(try_read(&body).unwrap_err().param(), Some(param));
}
