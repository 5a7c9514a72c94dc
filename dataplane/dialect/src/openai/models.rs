//! Models as `GET /v1/models` lists them.

use bytes::Bytes;
use serde::Serialize;

use crate::{api::ListedModel, json};

#[derive(Serialize)]
struct ModelList<'a> {
    object: &'static str,
    data: Vec<ModelObject<'a>>,
}

#[derive(Serialize)]
struct ModelObject<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'a str,
}

impl<'a> ModelObject<'a> {
    /// Nobody knows when a model was made; the SDKs want a number all the same.
    fn of(model: &'a ListedModel) -> Self {
        Self { id: &model.name, object: "model", created: 0, owned_by: &model.route }
    }
}

/// The reply of `GET /v1/models`.
#[must_use]
pub fn model_list(models: &[ListedModel]) -> Bytes {
    json::to_bytes(&ModelList { object: "list", data: models.iter().map(ModelObject::of).collect() })
}

/// The reply of `GET /v1/models/{model}`.
#[must_use]
pub fn model(model: &ListedModel) -> Bytes {
    json::to_bytes(&ModelObject::of(model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_listed_by_the_callers_name_with_the_route_that_serves_it() {
        let one = ListedModel {
            name: "gpt".to_owned(),
            route: "default/gpt".to_owned(),
            chat: true,
            embeddings: false,
            max_output_tokens: None,
        };
        let object = r#"{"id":"gpt","object":"model","created":0,"owned_by":"default/gpt"}"#;
        assert_eq!(model(&one), object);
        assert_eq!(model_list(&[one]), format!(r#"{{"object":"list","data":[{object}]}}"#));
    }
}
