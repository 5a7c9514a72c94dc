//! The models, as the API lists them.

use bytes::Bytes;
use serde::Serialize;

use crate::{api::ListedModel, json};

#[derive(Serialize)]
struct Listed<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    display_name: &'a str,
    created_at: &'static str,
    lifecycle: &'static str,
    max_tokens: Option<u64>,
}

impl<'a> Listed<'a> {
    /// The API has a date for what is not known: the first.
    fn new(model: &'a ListedModel) -> Self {
        Self {
            kind: "model",
            id: &model.name,
            display_name: &model.name,
            created_at: "1970-01-01T00:00:00Z",
            lifecycle: "active",
            max_tokens: model.max_output_tokens,
        }
    }
}

/// All models, on one page.
#[must_use]
pub fn model_list(models: &[ListedModel]) -> Bytes {
    #[derive(Serialize)]
    struct Page<'a> {
        data: Vec<Listed<'a>>,
        has_more: bool,
        first_id: Option<&'a str>,
        last_id: Option<&'a str>,
    }
    json::to_bytes(&Page {
        data: models.iter().map(Listed::new).collect(),
        has_more: false,
        first_id: models.first().map(|model| model.name.as_str()),
        last_id: models.last().map(|model| model.name.as_str()),
    })
}

/// One model.
#[must_use]
pub fn model(model: &ListedModel) -> Bytes {
    json::to_bytes(&Listed::new(model))
}
