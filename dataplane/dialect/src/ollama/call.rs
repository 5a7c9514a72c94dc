//! A tool call as the API writes it, in requests and replies alike.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::json;

#[derive(Serialize)]
pub struct Call<'a> {
    id: &'a str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    index: usize,
    name: &'a str,
    arguments: Cow<'a, RawValue>,
}

impl<'a> Call<'a> {
    /// `None` where the arguments are no JSON object, the only form that the API has for them.
    pub fn new(index: usize, id: &'a str, name: &'a str, arguments: &'a str) -> Option<Self> {
        let arguments = json::arguments(arguments)?;
        // Streams are cut at line ends, and Go clients cut whole replies too. In JSON, they are blanks.
        let arguments = if arguments.get().contains(['\n', '\r']) {
            Cow::Owned(RawValue::from_string(arguments.get().replace(['\n', '\r'], " ")).ok()?)
        } else {
            Cow::Borrowed(arguments)
        };
        Some(Self { id, function: Function { index, name, arguments } })
    }
}

/// A call that can't be written as one, as text: what a model that fails to make a call says, and
/// what Ollama then gives. Half a call must not look like a whole one with other arguments.
pub fn broken(name: &str, arguments: &str) -> String {
    format!(r#"{{"name":{},"arguments":{arguments}"#, serde_json::Value::from(name))
}
