//! What is said of models without calling one: the lists, one of them, and what Ollama's clients ask
//! before they call.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use llm_dialect::{Dialect, anthropic, api::ListedModel, envelope::Envelope, gemini, ollama, openai};

use crate::{error::Error, snapshot::Snapshot, stage::route};

/// The models that are served.
pub fn list(snapshot: &Snapshot, dialect: Dialect) -> Bytes {
    match dialect {
        Dialect::OpenAI => openai::model_list(&snapshot.listed),
        Dialect::Anthropic => anthropic::model_list(&snapshot.listed),
        Dialect::Gemini => gemini::model_list(&snapshot.listed),
        Dialect::Ollama => ollama::tags(&snapshot.listed, seconds(snapshot.since)),
    }
}

/// One of them.
pub fn one(snapshot: &Snapshot, dialect: Dialect, name: &str) -> Result<Bytes, Error> {
    let model = find(snapshot, name)?;
    Ok(match dialect {
        Dialect::OpenAI => openai::model(model),
        Dialect::Anthropic => anthropic::model(model),
        Dialect::Gemini => gemini::model(model),
        Dialect::Ollama => ollama::show(model, seconds(snapshot.since)),
    })
}

/// `POST /api/show`.
pub fn show(snapshot: &Snapshot, body: &Bytes) -> Result<Bytes, Error> {
    let envelope = Envelope::read(&ollama::SHOW_SHAPE, body)?;
    one(snapshot, Dialect::Ollama, &envelope.model)
}

fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a ListedModel, Error> {
    let found = snapshot.listed.binary_search_by(|model| model.name.as_str().cmp(name));
    found.ok().and_then(|at| snapshot.listed.get(at)).ok_or_else(|| route::unknown(snapshot, name))
}

fn seconds(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or_default()
}
