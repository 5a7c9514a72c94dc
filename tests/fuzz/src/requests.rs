//! Bodies of callers: whatever is read and can be expressed, is written so that it can be read again.

use llm_dialect::{
    Invalid,
    envelope::Envelope,
    openai,
    surface::{Api, CallerSide, Kind, ProviderSide},
};

use crate::{MODELS, assert_object};

/// A request for text.
pub fn request(api: Api, data: &[u8]) {
    let CallerSide::Chat(caller) = api.caller() else { return };
    // Nobody is read before their envelope, which bounds the depth.
    let Ok(_) = Envelope::read(api.shape(), data) else { return };
    let Ok(request) = caller.read_request(data) else { return };
    for kind in Kind::ALL {
        let Some(ProviderSide::Chat(provider)) = kind.answers_by(api, false, false).and_then(Api::provider)
        else {
            continue;
        };
        let limits = if kind == Kind::Simulated { &openai::SIMULATED_LIMITS } else { provider.limits() };
        if limits.check(&request, caller).is_err() {
            continue;
        }
        for model in MODELS {
            let written = provider.write_request(&request, model);
            assert_object("a request", &written);
            reread(kind, &written);
        }
    }
}

/// What is sent to a vendor is what its own callers may send, by its form: a request that says nothing,
/// or a picture that is none, is the vendor's to refuse.
fn reread(kind: Kind, written: &[u8]) {
    let api = match kind {
        Kind::OpenAI | Kind::Simulated => Api::ChatCompletions,
        Kind::Anthropic => Api::Messages,
        Kind::Gemini => Api::GenerateContent,
        Kind::Ollama => Api::OllamaChat,
    };
    let CallerSide::Chat(caller) = api.caller() else { return };
    if Envelope::read(api.shape(), written).is_err() {
        return;
    }
    if let Err(invalid) = caller.read_request(written) {
        let of_content = vendors_to_refuse(kind, &invalid);
        assert!(of_content, "{kind:?}: {invalid} in {}", String::from_utf8_lossy(written));
    }
}

/// Whether what is wrong is the content of the caller's request, and not the form in which it was sent.
fn vendors_to_refuse(kind: Kind, invalid: &Invalid) -> bool {
    let param = invalid.param().unwrap_or_default();
    match kind {
        // It takes pictures without a type, so that whoever reads them has to look into them; and it
        // takes results of calls that nobody made.
        Kind::Ollama => {
            param == "messages"
                || param.contains(".images[")
                || invalid.to_string().contains("the result of a tool call before it")
        }
        Kind::Gemini => param == "contents",
        Kind::OpenAI | Kind::Simulated => param.ends_with(".url"),
        Kind::Anthropic => false,
    }
}

/// A request for a count.
pub fn count_request(api: Api, data: &[u8]) {
    let CallerSide::Chat(caller) = api.caller() else { return };
    if Envelope::read(api.shape(), data).is_err() {
        return;
    }
    let Ok(request) = api.read_chat(caller, data) else { return };
    for by in [Api::MessagesCountTokens, Api::GeminiCountTokens] {
        let Some(ProviderSide::Count(provider)) = by.provider() else { continue };
        for model in MODELS {
            assert_object("a request for a count", &provider.write_count_request(&request, model));
        }
    }
}

/// A request for embeddings.
pub fn embedding_request(api: Api, data: &[u8]) {
    let CallerSide::Embed(caller) = api.caller() else { return };
    if Envelope::read(api.shape(), data).is_err() {
        return;
    }
    let Ok(request) = caller.read_request(data) else { return };
    for by in [Api::Embeddings, Api::BatchEmbedContents, Api::OllamaEmbed] {
        let (Some(ProviderSide::Embed(provider)), CallerSide::Embed(own)) = (by.provider(), by.caller())
        else {
            continue;
        };
        if provider.limits().check(&request).is_err() {
            continue;
        }
        let written = provider.write_request(&request, MODELS[0]);
        assert_object("a request for embeddings", &written);
        match own.read_request(&written) {
            Ok(again) => assert_eq!(again.inputs, request.inputs),
            Err(invalid) => panic!("{by:?}: {invalid} in {}", String::from_utf8_lossy(&written)),
        }
    }
}
