//! What clients ask before they call: which models there are, what each can do, and how old the
//! server is.

use bytes::Bytes;
use serde::Serialize;

use super::time;
use crate::{api::ListedModel, json};

/// The Ollama whose API is spoken here: the first with log probabilities and ids of tool calls.
/// The SDKs look at no version; editors do, and VS Code wants 0.6.4 at least, as bare numbers.
const VERSION: &str = "0.12.11";

/// The command `ollama list` cuts twelve characters off a digest without looking. A model behind
/// the gateway has none, so the same one stands for each.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What is known of a model's file: nothing, but clients read every field.
#[derive(Default, Serialize)]
struct Details {
    parent_model: &'static str,
    format: &'static str,
    family: &'static str,
    families: [&'static str; 0],
    parameter_size: &'static str,
    quantization_level: &'static str,
}

/// The reply to `GET /api/tags`.
#[must_use]
pub fn tags(models: &[ListedModel], modified_at: i64) -> Bytes {
    #[derive(Serialize)]
    struct Tags<'a> {
        models: Vec<Tag<'a>>,
    }
    #[derive(Serialize)]
    struct Tag<'a> {
        name: &'a str,
        model: &'a str,
        modified_at: &'a str,
        size: u64,
        digest: &'static str,
        details: Details,
        capabilities: Vec<&'static str>,
    }
    let modified_at = time(modified_at);
    let models = models
        .iter()
        .map(|model| Tag {
            name: &model.name,
            model: &model.name,
            modified_at: &modified_at,
            size: 0,
            digest: NO_DIGEST,
            details: Details::default(),
            capabilities: capabilities(model),
        })
        .collect();
    json::to_bytes(&Tags { models })
}

/// The reply to `POST /api/show`.
#[must_use]
pub fn show(model: &ListedModel, modified_at: i64) -> Bytes {
    #[derive(Serialize)]
    struct Show {
        license: &'static str,
        modelfile: &'static str,
        parameters: &'static str,
        template: &'static str,
        details: Details,
        model_info: Empty,
        capabilities: Vec<&'static str>,
        modified_at: String,
    }
    #[derive(Serialize)]
    struct Empty {}
    json::to_bytes(&Show {
        license: "",
        modelfile: "",
        parameters: "",
        template: "",
        details: Details::default(),
        model_info: Empty {},
        capabilities: capabilities(model),
        modified_at: time(modified_at),
    })
}

/// The reply to `GET /api/version`.
#[must_use]
pub fn version() -> Bytes {
    #[derive(Serialize)]
    struct Version {
        version: &'static str,
    }
    json::to_bytes(&Version { version: VERSION })
}

/// Editors offer only models with `tools` to their agents. Whether a model sees pictures or thinks
/// is not known here, and not claimed.
fn capabilities(model: &ListedModel) -> Vec<&'static str> {
    [(model.chat, "completion"), (model.chat, "tools"), (model.embeddings, "embedding")]
        .into_iter()
        .filter_map(|(has, name)| has.then_some(name))
        .collect()
}
