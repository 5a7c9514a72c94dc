//! Schemas that no derive makes: durations and label selectors with the rules that the API server holds them to.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema as _;
use serde_json::json;

/// A Go duration from 1ms to 24h. The rule stands here by hand: a derive can't put one on a string.
pub(crate) fn positive_duration(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    duration(
        "duration(self) >= duration('1ms') && duration(self) <= duration('24h')",
        "must be a duration from 1ms to 24h, such as 30s",
    )
}

/// A Go duration from 0s to 1h.
pub(crate) fn short_duration(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    duration(
        "duration(self) >= duration('0s') && duration(self) <= duration('1h')",
        "must be a duration from 0s to 1h, such as 200ms",
    )
}

pub(crate) fn duration(rule: &str, message: &str) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "maxLength": 32,
        "pattern": r"^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$",
        "x-kubernetes-validations": [{"rule": rule, "message": message}],
    })
}

/// Kubernetes leaves a selector's expressions to each controller to refuse, which is too late for the
/// person who applies one: here the API server refuses what could match nothing.
pub(crate) fn selector(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = LabelSelector::json_schema(generator);
    schema.insert("nullable".to_owned(), true.into());
    if let Some(expressions) = schema.pointer_mut("/properties/matchExpressions") {
        // The API server wants to know how often the rule may run.
        expressions["maxItems"] = 32.into();
        let expression = &mut expressions["items"];
        expression["properties"]["operator"]["enum"] = json!(["In", "NotIn", "Exists", "DoesNotExist"]);
        expression["x-kubernetes-validations"] = json!([{
            "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "message": "operators In and NotIn need values; Exists and DoesNotExist take none",
        }]);
    }
    schema
}
