//! An API from its two ends: as callers speak it to the gateway, and as the gateway speaks it to
//! providers.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    chat, embedding,
    event::{StreamReader, StreamWriter},
    fault::{Fault, Garbled, Invalid},
    frame::Framing,
    limits::{Feature, Limits},
    reply::Reply,
    stop::LengthStop,
};

/// Whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    OpenAI,
    Anthropic,
    Gemini,
    Ollama,
}

impl Dialect {
    pub const ALL: [Self; 4] = [Self::OpenAI, Self::Anthropic, Self::Gemini, Self::Ollama];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAI => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.as_str() == text)
    }
}

/// What a reply needs that is in no provider's reply. Made by whoever has a clock and chance.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// An id for replies of providers that give none: letters and digits, without a prefix.
    pub id: String,
    /// Seconds since 1970, for fields such as `created`.
    pub created: i64,
    /// The model as the caller named it, for replies of providers that name none.
    pub model: String,
    /// The caller wants usage in the stream (OpenAI's `stream_options.include_usage`).
    pub include_usage: bool,
}

/// A model as its provider knows it.
#[derive(Clone, Copy, Debug)]
pub struct ProviderModel<'a> {
    pub name: &'a str,
    /// The most output tokens that the model gives, where the manifest says so: for APIs that must
    /// be told a limit when the caller named none.
    pub max_output_tokens: Option<u64>,
}

/// An API that generates text, as callers speak it.
pub trait CallerApi: Sync {
    /// The name of this API's field for a feature, for refusals: `stop_sequences`.
    fn field(&self, feature: Feature) -> &'static str;

    /// Reads a request whose envelope was read before: the body is JSON and not too deep.
    ///
    /// # Errors
    /// When a field has a value that the API does not know; the error names it by its path.
    fn read_request(&self, body: &[u8]) -> Result<chat::Request, Invalid>;

    /// Reads of a request what says how hard it is, at a fraction of what it takes to read it all; `None` where all has to
    /// be read for that: it may have more than text, or be none of this API's requests.
    fn read_plain<'a>(&self, _body: &'a [u8]) -> Option<chat::Plain<'a>> {
        None
    }

    fn write_reply(&self, reply: &Reply, context: &Context) -> Bytes;

    /// The frames that `stream_writer` and `error_event` write.
    fn framing(&self) -> Framing;

    fn stream_writer(&self, context: Context) -> Box<dyn StreamWriter>;

    /// The whole last frame of a stream that broke: what makes the dialect's SDKs raise.
    fn error_event(&self, fault: &Fault) -> Bytes;

    /// The frames that end a stream of a provider of the same API as if the model had come to its limit
    /// of tokens. `passed` is what a [`Tap`](crate::tap::Tap) has kept of it.
    fn length_stop(&self, passed: Bytes, stop: &LengthStop<'_>) -> Vec<u8>;
}

/// An API that generates text, as providers speak it.
pub trait ProviderApi: Sync {
    /// What the API can express.
    fn limits(&self) -> &'static Limits;

    /// Writes a request that keeps within [`limits`](Self::limits). It asks for usage in the stream
    /// where the API gives it on demand only.
    fn write_request(&self, request: &chat::Request, model: ProviderModel<'_>) -> Bytes;

    /// # Errors
    /// When the body is no reply of this API.
    fn read_reply(&self, body: &[u8]) -> Result<Reply, Garbled>;

    /// The frames that the API's streams are made of.
    fn framing(&self) -> Framing;

    fn stream_reader(&self) -> Box<dyn StreamReader>;
}

/// Counting tokens ahead of a call, as callers speak of it and as providers do.
pub trait CountApi: Sync {
    /// What the content may be.
    fn content_limits(&self) -> &'static Limits;

    /// Writes the request that counts what `request` would take.
    fn write_count_request(&self, request: &chat::Request, model: ProviderModel<'_>) -> Bytes;

    /// # Errors
    /// When the body is no count.
    fn read_count(&self, body: &[u8]) -> Result<u64, Garbled>;

    fn write_count(&self, tokens: u64) -> Bytes;
}

/// An API that embeds texts, as callers speak it.
pub trait EmbeddingCaller: Sync {
    /// # Errors
    /// When a field has a value that the API does not know; the error names it by its path.
    fn read_request(&self, body: &[u8]) -> Result<embedding::Request, Invalid>;

    fn write_reply(&self, reply: &embedding::Reply, request: &embedding::Request, context: &Context)
    -> Bytes;
}

/// An API that embeds texts, as providers speak it.
pub trait EmbeddingProvider: Sync {
    fn limits(&self) -> &'static embedding::Limits;

    fn write_request(&self, request: &embedding::Request, model: ProviderModel<'_>) -> Bytes;

    /// # Errors
    /// When the body is no reply of this API.
    fn read_reply(&self, body: &[u8]) -> Result<embedding::Reply, Garbled>;
}

/// A model as model lists show it.
#[derive(Clone, Debug)]
pub struct ListedModel {
    /// The name by which callers ask for it.
    pub name: String,
    /// The route that serves it, `namespace/name`.
    pub route: String,
    pub chat: bool,
    pub embeddings: bool,
    /// Tokens, where the manifest says so.
    pub max_output_tokens: Option<u64>,
}

/// A schema without any properties, for APIs that want one where the caller gave none.
#[must_use]
pub fn empty_schema() -> &'static RawValue {
    static EMPTY: std::sync::OnceLock<Box<RawValue>> = std::sync::OnceLock::new();
    EMPTY.get_or_init(|| {
        RawValue::from_string(r#"{"type":"object","properties":{}}"#.to_owned()).unwrap_or_default()
    })
}
