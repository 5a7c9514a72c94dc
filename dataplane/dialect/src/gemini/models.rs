//! Models, listed and single.

use bytes::Bytes;
use serde::Serialize;

use crate::{api::ListedModel, json::to_bytes};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Model<'a> {
    name: String,
    display_name: &'a str,
    supported_generation_methods: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_token_limit: Option<u64>,
}

impl<'a> Model<'a> {
    fn new(listed: &'a ListedModel) -> Self {
        const CHAT: &[&str] = &["generateContent", "streamGenerateContent", "countTokens"];
        const EMBEDDINGS: &[&str] = &["embedContent", "batchEmbedContents"];
        let chat = if listed.chat { CHAT } else { &[] };
        let embeddings = if listed.embeddings { EMBEDDINGS } else { &[] };
        Self {
            name: format!("models/{}", listed.name),
            display_name: &listed.name,
            supported_generation_methods: [chat, embeddings].concat(),
            output_token_limit: listed.max_output_tokens,
        }
    }
}

/// The body of `models.list`.
#[must_use]
pub fn model_list(models: &[ListedModel]) -> Bytes {
    #[derive(Serialize)]
    struct List<'a> {
        models: Vec<Model<'a>>,
    }
    to_bytes(&List { models: models.iter().map(Model::new).collect() })
}

/// The body of `models.get`.
#[must_use]
pub fn model(model: &ListedModel) -> Bytes {
    to_bytes(&Model::new(model))
}
