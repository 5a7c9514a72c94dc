//! What a call becomes for every kind of provider.

use bytes::Bytes;
use llm_dialect::{
    ProviderModel,
    chat::Request,
    envelope::Envelope,
    limits::Inexpressible,
    openai,
    surface::{Api, Kind, ProviderSide},
};
use serde_json::Value;

use super::{
    cases::{Named, TARGETS},
    text::pretty,
};

pub fn shown(caller: Named, body: &[u8]) -> String {
    let request = caller.caller().read_request(body).unwrap_or_else(|invalid| panic!("{invalid}"));
    let mut out = String::new();
    let hints: Vec<&str> = request
        .leftovers
        .iter()
        .filter(|leftover| leftover.hint)
        .map(|leftover| leftover.field.as_str())
        .collect();
    if !hints.is_empty() {
        out.push_str(&format!("# Not told to others: {}\n\n", hints.join(", ")));
    }
    let mut before: Vec<(String, Value)> = Vec::new();
    for (kind, model) in TARGETS {
        let by = kind.answers_by(caller.api, false, kind == Kind::OpenAI && model == "gpt-5").unwrap();
        out.push_str(&format!("# To {} {model}\n\n", kind.as_str()));
        if by == caller.api {
            passes(caller, body, model);
            out.push_str("The caller's bytes, with this model's name.\n\n");
        }
        let Some(ProviderSide::Chat(provider)) = by.provider() else { continue };
        let limits = if kind == Kind::Simulated { &openai::SIMULATED_LIMITS } else { provider.limits() };
        if let Err(refused) = limits.check(&request, caller.caller()) {
            out.push_str(&refusal(&refused));
            continue;
        }
        let model = ProviderModel { name: model, max_output_tokens: None };
        let written = provider.write_request(&request, model);
        streams_alike(caller, body, by, model, &written);
        let mut unnamed: Value = serde_json::from_slice(&written).unwrap();
        if let Some(name) = unnamed.get_mut("model") {
            *name = Value::Null;
        }
        let like = before.iter().find(|(_, other)| *other == unnamed).map(|(name, _)| name.clone());
        match like {
            Some(like) => out.push_str(&format!("As to {like}.\n\n")),
            None => {
                out.push_str(&format!("POST {}\n{}\n", by.path(model.name), pretty(&written)));
                before.push((format!("{} {}", kind.as_str(), model.name), unnamed));
            }
        }
    }
    out
}

fn refusal(refused: &Inexpressible) -> String {
    format!("Refused: {refused}\n\n")
}

/// To a provider that speaks the caller's API the same is said, but for the model.
fn passes(caller: Named, body: &[u8], model: &str) {
    let envelope = Envelope::read(caller.api.shape(), body).unwrap();
    let body = Bytes::copy_from_slice(body);
    let sent = envelope.upstream_body(&body, model);
    let mut asked: Value = serde_json::from_slice(&body).unwrap();
    let mut told: Value = serde_json::from_slice(&sent).unwrap();
    if caller.api != Api::GenerateContent {
        assert_eq!(told["model"], model);
    }
    for value in [&mut asked, &mut told] {
        let fields = value.as_object_mut().unwrap();
        fields.remove("model");
        fields.remove("stream_options");
    }
    assert_eq!(asked, told);
}

/// A request for a stream differs in that only.
fn streams_alike(caller: Named, body: &[u8], by: Api, model: ProviderModel<'_>, written: &[u8]) {
    let Some(ProviderSide::Chat(provider)) = by.provider() else { return };
    let mut request: Request = caller.caller().read_request(body).unwrap();
    let asked = request.stream;
    request.stream = true;
    let streamed = provider.write_request(&request, model);
    let mut whole: Value = serde_json::from_slice(written).unwrap();
    let mut streamed: Value = serde_json::from_slice(&streamed).unwrap();
    if by != Api::GenerateContent {
        assert_eq!(streamed["stream"], true);
        assert_eq!(whole.get("stream") == Some(&Value::Bool(true)), asked);
    }
    for value in [&mut whole, &mut streamed] {
        let fields = value.as_object_mut().unwrap();
        fields.remove("stream");
        if let Some(options) = fields.remove("stream_options") {
            assert_eq!(options["include_usage"], true);
        }
    }
    assert_eq!(whole, streamed);
}
