//! What has to hold of any bytes at all that a caller or a provider sends. A target is one function of
//! bytes: `fuzz/fuzz_targets` feeds it whatever libFuzzer makes up, `tests/corpus.rs` what is in
//! `corpus`. Each panics where something does not hold.
//!
//! `run` fuzzes all of them in turn.

#![expect(clippy::panic, reason = "a panic is how a target tells what it has found")]

mod errors;
mod frames;
mod replies;
mod requests;
mod streams;

pub use errors::errors;
pub use frames::{envelope, frames};
pub use replies::{count, embeddings, reply};
pub use requests::{count_request, embedding_request, request};
pub use streams::{passed, stream};

use llm_dialect::{Context, Dialect, ProviderModel, surface::Api};

/// What is called with the bytes.
pub type Target = fn(&[u8]);

/// Every target by its name: that of its file in `fuzz/fuzz_targets` and of its folder in `corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("envelope", envelope),
    ("frames", frames),
    ("request_chat_completions", |data| request(Api::ChatCompletions, data)),
    ("request_responses", |data| request(Api::Responses, data)),
    ("request_messages", |data| request(Api::Messages, data)),
    ("request_generate_content", |data| request(Api::GenerateContent, data)),
    ("request_ollama_chat", |data| request(Api::OllamaChat, data)),
    ("request_ollama_generate", |data| request(Api::OllamaGenerate, data)),
    ("request_messages_count_tokens", |data| count_request(Api::MessagesCountTokens, data)),
    ("request_gemini_count_tokens", |data| count_request(Api::GeminiCountTokens, data)),
    ("request_embeddings", |data| embedding_request(Api::Embeddings, data)),
    ("request_embed_content", |data| embedding_request(Api::EmbedContent, data)),
    ("request_batch_embed_contents", |data| embedding_request(Api::BatchEmbedContents, data)),
    ("request_ollama_embed", |data| embedding_request(Api::OllamaEmbed, data)),
    ("reply_chat_completions", |data| reply(Api::ChatCompletions, data)),
    ("reply_messages", |data| reply(Api::Messages, data)),
    ("reply_generate_content", |data| reply(Api::GenerateContent, data)),
    ("reply_ollama_chat", |data| reply(Api::OllamaChat, data)),
    ("reply_messages_count_tokens", |data| count(Api::MessagesCountTokens, data)),
    ("reply_gemini_count_tokens", |data| count(Api::GeminiCountTokens, data)),
    ("reply_embeddings", |data| embeddings(Api::Embeddings, data)),
    ("reply_batch_embed_contents", |data| embeddings(Api::BatchEmbedContents, data)),
    ("reply_ollama_embed", |data| embeddings(Api::OllamaEmbed, data)),
    ("stream_chat_completions", |data| stream(Api::ChatCompletions, data)),
    ("stream_messages", |data| stream(Api::Messages, data)),
    ("stream_generate_content", |data| stream(Api::StreamGenerateContent, data)),
    ("stream_ollama_chat", |data| stream(Api::OllamaChat, data)),
    ("passed_chat_completions", |data| passed(Api::ChatCompletions, data)),
    ("passed_responses", |data| passed(Api::Responses, data)),
    ("passed_messages", |data| passed(Api::Messages, data)),
    ("passed_generate_content", |data| passed(Api::StreamGenerateContent, data)),
    ("passed_ollama_chat", |data| passed(Api::OllamaChat, data)),
    ("error_openai", |data| errors(Dialect::OpenAI, data)),
    ("error_anthropic", |data| errors(Dialect::Anthropic, data)),
    ("error_gemini", |data| errors(Dialect::Gemini, data)),
    ("error_ollama", |data| errors(Dialect::Ollama, data)),
];

/// Runs the target of a name.
///
/// # Panics
/// When there is none, or when it has found something.
pub fn run(name: &str, data: &[u8]) {
    match TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, target)) => target(data),
        None => panic!("there is no target {name}"),
    }
}

/// The APIs by which callers may be answered.
const CALLERS: [Api; 7] = [
    Api::ChatCompletions,
    Api::Responses,
    Api::Messages,
    Api::StreamGenerateContent,
    Api::StreamGenerateArray,
    Api::OllamaChat,
    Api::OllamaGenerate,
];

fn context() -> Context {
    Context {
        id: "0123456789abcdef".to_owned(),
        created: 1_760_000_000,
        model: "m".to_owned(),
        include_usage: true,
    }
}

/// Names by which vendors are told what a model understands.
const MODELS: [ProviderModel<'static>; 6] = [
    ProviderModel { name: "gpt-5", max_output_tokens: None },
    ProviderModel { name: "llama-3.3-70b", max_output_tokens: Some(4096) },
    ProviderModel { name: "claude-sonnet-4-5", max_output_tokens: None },
    ProviderModel { name: "claude-opus-4-7", max_output_tokens: Some(1) },
    ProviderModel { name: "gemini-2.5-flash", max_output_tokens: None },
    ProviderModel { name: "gemini-3-pro-preview", max_output_tokens: None },
];

/// Bodies are JSON objects, and in UTF-8.
fn assert_object(what: &str, body: &[u8]) {
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(value) if value.is_object() => {}
        Ok(value) => panic!("{what} is no object: {value}"),
        Err(error) => panic!("{what}: {error}: {}", String::from_utf8_lossy(body)),
    }
}
