//! Bodies of providers that come whole.

use llm_dialect::{
    chat::Part,
    embedding,
    surface::{Api, CallerSide, ProviderSide},
};

use crate::{CALLERS, assert_object, context};

/// A reply to a chat; what is read of it is written for every caller.
pub fn reply(api: Api, data: &[u8]) {
    let _ = api.usage_of_reply(data);
    let Some(ProviderSide::Chat(provider)) = api.provider() else { return };
    let Ok(reply) = provider.read_reply(data) else { return };
    assert!(!reply.choices.is_empty(), "a reply has a choice");
    // A call of nothing is passed on as the provider made it; not every reader takes one.
    let unnamed = |part: &Part| matches!(part, Part::ToolCall(call) if call.name.is_empty());
    let unnamed = reply.choices.iter().flat_map(|choice| &choice.parts).any(unnamed);
    for to in CALLERS {
        let CallerSide::Chat(caller) = to.caller() else { continue };
        let written = caller.write_reply(&reply, &context());
        assert_object("a reply", &written);
        // Who speaks the API as a provider, too, is understood.
        if let Some(ProviderSide::Chat(own)) = to.provider()
            && !unnamed
            && let Err(garbled) = own.read_reply(&written)
        {
            panic!("{to:?}: {garbled}: {}", String::from_utf8_lossy(&written));
        }
    }
}

/// A count of tokens.
pub fn count(api: Api, data: &[u8]) {
    let Some(ProviderSide::Count(provider)) = api.provider() else { return };
    let Ok(tokens) = provider.read_count(data) else { return };
    for to in [Api::MessagesCountTokens, Api::GeminiCountTokens] {
        let (Some(counter), Some(ProviderSide::Count(own))) = (to.counter(), to.provider()) else { continue };
        assert_eq!(own.read_count(&counter.write_count(tokens)), Ok(tokens));
    }
}

/// A reply with vectors.
pub fn embeddings(api: Api, data: &[u8]) {
    let _ = api.usage_of_reply(data);
    let Some(ProviderSide::Embed(provider)) = api.provider() else { return };
    let Ok(reply) = provider.read_reply(data) else { return };
    for base64 in [false, true] {
        let request = embedding::Request { base64, ..embedding::Request::default() };
        for to in [Api::Embeddings, Api::EmbedContent, Api::BatchEmbedContents, Api::OllamaEmbed] {
            let CallerSide::Embed(caller) = to.caller() else { continue };
            let written = caller.write_reply(&reply, &request, &context());
            assert_object("embeddings", &written);
            if let Some(ProviderSide::Embed(own)) = to.provider() {
                let again = own.read_reply(&written).map(|again| again.vectors.len());
                assert_eq!(again, Ok(reply.vectors.len()), "{to:?}: {}", String::from_utf8_lossy(&written));
            }
        }
    }
}
