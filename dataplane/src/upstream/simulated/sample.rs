//! A value that keeps to a JSON Schema, with words of the question in it.

use serde_json::{Map, Number, Value, json};

/// How deep a schema that refers to itself is followed.
const DEEPEST: usize = 12;

/// A value for a schema; an empty object where the schema can't be read.
pub fn of_schema(schema: &str, question: &str) -> Value {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    let words = question
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned())
        .filter(|word| !word.is_empty())
        .collect();
    let sampler = Sampler { root: &schema, words };
    match sampler.value(&schema, DEEPEST) {
        Value::Null => json!({}),
        value => value,
    }
}

struct Sampler<'s> {
    root: &'s Value,
    words: Vec<String>,
}

impl Sampler<'_> {
    fn value(&self, schema: &Value, depth: usize) -> Value {
        if let Some(fixed) = schema.get("const") {
            return fixed.clone();
        }
        if let Some(first) = schema.get("enum").and_then(|values| values.get(0)) {
            return first.clone();
        }
        if depth == 0 {
            return Value::Null;
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let found = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return found.map_or(Value::Null, |schema| self.value(schema, depth - 1));
        }
        for choice in ["anyOf", "oneOf", "allOf"] {
            if let Some(first) = schema.get(choice).and_then(|schemas| schemas.get(0)) {
                return self.value(first, depth - 1);
            }
        }
        let kind = schema.get("type");
        let kind = kind.and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
        match kind {
            Some("object") => self.object(schema, depth),
            Some("array") => self.array(schema, depth),
            Some("string") => self.string(schema),
            Some("integer") => bounded(schema, false),
            Some("number") => bounded(schema, true),
            Some("boolean") => Value::Bool(true),
            Some(_) => Value::Null,
            None if schema.get("properties").is_some() => self.object(schema, depth),
            None => Value::Null,
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let properties = schema.get("properties").and_then(Value::as_object);
        let fields = properties.into_iter().flatten();
        Value::Object(
            fields.map(|(name, schema)| (name.clone(), self.value(schema, depth - 1))).collect::<Map<_, _>>(),
        )
    }

    fn array(&self, schema: &Value, depth: usize) -> Value {
        let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).clamp(1, 16);
        let item = schema.get("items").map_or(Value::Null, |items| self.value(items, depth - 1));
        (0..count).map(|_| item.clone()).collect()
    }

    /// The last words of a question are mostly what it is about.
    fn string(&self, schema: &Value) -> Value {
        let word = self.words.last().map_or("something", String::as_str);
        let bound =
            |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let mut text =
            word.repeat(bound("minLength").map_or(1, |least| least.div_ceil(word.len().max(1)).max(1)));
        if let Some(most) = bound("maxLength") {
            text = text.chars().take(most).collect();
        }
        Value::String(text)
    }
}

fn bounded(schema: &Value, fraction: bool) -> Value {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let least = bound("minimum").or(bound("exclusiveMinimum").map(|least| least + 1.0));
    let most = bound("maximum").or(bound("exclusiveMaximum").map(|most| most - 1.0));
    let number = least.unwrap_or(1.0).min(most.unwrap_or(f64::MAX));
    #[expect(clippy::cast_possible_truncation, reason = "a schema's bound that is no i64 is cut to one")]
    let whole = number.ceil() as i64;
    if fraction { Number::from_f64(number).map_or(Value::Null, Value::Number) } else { whole.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_keeps_to_its_schema() {
        let schema = r##"{"type":"object","properties":{
            "city":{"type":"string"},"unit":{"enum":["c","f"]},"days":{"type":"integer","minimum":3},
            "tags":{"type":"array","items":{"$ref":"#/$defs/tag"},"minItems":2},
            "maybe":{"anyOf":[{"type":"number","maximum":0.5},{"type":"null"}]},
            "on":{"type":["boolean","null"]},"code":{"type":"string","maxLength":2}
        },"$defs":{"tag":{"type":"string"}}}"##;
        let value = of_schema(schema, "What is the weather in Paris?");
        let expected = json!({
            "city": "Paris", "unit": "c", "days": 3, "tags": ["Paris", "Paris"], "maybe": 0.5, "on": true, "code": "Pa",
        });
        assert_eq!(value, expected);
        let endless = r##"{"type":"object","properties":{"next":{"$ref":"#"}}}"##;
        assert!(of_schema(endless, "x").is_object());
        assert_eq!(of_schema("not json", "x"), json!({}));
    }
}
