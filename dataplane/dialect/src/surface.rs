//! Every API that is served, and by which one each kind of provider answers a call of it.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::{
    CallerApi, Dialect, EmbeddingCaller, EmbeddingProvider, Garbled, Invalid, ProviderApi, anthropic,
    api::CountApi,
    chat,
    envelope::Shape,
    gemini, ollama,
    openai::{self, responses},
    reply::Usage,
    tap::Marks,
};

/// What can't stand in one segment of a path; names of models may hold slashes.
const NOT_IN_A_SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'\\')
    .add(b'^')
    .add(b'|')
    .add(b'[')
    .add(b']');

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Chat,
    /// Counting the tokens of a chat call ahead.
    Count,
    Embed,
}

/// One API: what `POST` to one path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    ChatCompletions,
    Responses,
    Embeddings,
    Messages,
    MessagesCountTokens,
    GenerateContent,
    StreamGenerateContent,
    /// The same as one JSON array instead of events.
    StreamGenerateArray,
    GeminiCountTokens,
    EmbedContent,
    BatchEmbedContents,
    OllamaChat,
    OllamaGenerate,
    OllamaEmbed,
}

/// How callers speak an API.
#[derive(Clone, Copy)]
pub enum CallerSide {
    Chat(&'static dyn CallerApi),
    Embed(&'static dyn EmbeddingCaller),
}

/// How providers speak an API.
#[derive(Clone, Copy)]
pub enum ProviderSide {
    Chat(&'static dyn ProviderApi),
    Count(&'static dyn CountApi),
    Embed(&'static dyn EmbeddingProvider),
}

/// What a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    OpenAI,
    Anthropic,
    Gemini,
    Ollama,
    /// The gateway itself, which speaks the OpenAI API.
    Simulated,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::OpenAI, Self::Anthropic, Self::Gemini, Self::Ollama, Self::Simulated];

    /// As manifests name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAI => "OpenAI",
            Self::Anthropic => "Anthropic",
            Self::Gemini => "Gemini",
            Self::Ollama => "Ollama",
            Self::Simulated => "Simulated",
        }
    }

    #[must_use]
    pub fn dialect(self) -> Dialect {
        match self {
            Self::OpenAI | Self::Simulated => Dialect::OpenAI,
            Self::Anthropic => Dialect::Anthropic,
            Self::Gemini => Dialect::Gemini,
            Self::Ollama => Dialect::Ollama,
        }
    }

    /// The API by which the kind answers a call; `None` where it can't at all. `responses`: the server
    /// has the Responses API.
    #[must_use]
    pub fn answers_by(self, api: Api, stream: bool, responses: bool) -> Option<Api> {
        match (self, api.task()) {
            (Self::OpenAI, Task::Chat) if responses && api != Api::ChatCompletions => Some(Api::Responses),
            (Self::OpenAI | Self::Simulated, Task::Chat) => Some(Api::ChatCompletions),
            (Self::OpenAI | Self::Simulated, Task::Embed) => Some(Api::Embeddings),
            (Self::OpenAI | Self::Simulated | Self::Ollama, Task::Count) | (Self::Anthropic, Task::Embed) => {
                None
            }
            (Self::Anthropic, Task::Chat) => Some(Api::Messages),
            (Self::Anthropic, Task::Count) => Some(Api::MessagesCountTokens),
            (Self::Gemini, Task::Chat) if stream => Some(Api::StreamGenerateContent),
            (Self::Gemini, Task::Chat) => Some(Api::GenerateContent),
            (Self::Gemini, Task::Count) => Some(Api::GeminiCountTokens),
            (Self::Gemini, Task::Embed) if api == Api::EmbedContent => Some(Api::EmbedContent),
            (Self::Gemini, Task::Embed) => Some(Api::BatchEmbedContents),
            (Self::Ollama, Task::Chat) if api == Api::OllamaGenerate => Some(Api::OllamaGenerate),
            (Self::Ollama, Task::Chat) => Some(Api::OllamaChat),
            (Self::Ollama, Task::Embed) => Some(Api::OllamaEmbed),
        }
    }
}

impl Api {
    #[must_use]
    pub fn task(self) -> Task {
        match self {
            Self::Embeddings | Self::EmbedContent | Self::BatchEmbedContents | Self::OllamaEmbed => {
                Task::Embed
            }
            Self::MessagesCountTokens | Self::GeminiCountTokens => Task::Count,
            _ => Task::Chat,
        }
    }

    #[must_use]
    pub fn dialect(self) -> Dialect {
        match self {
            Self::ChatCompletions | Self::Responses | Self::Embeddings => Dialect::OpenAI,
            Self::Messages | Self::MessagesCountTokens => Dialect::Anthropic,
            Self::GenerateContent
            | Self::StreamGenerateContent
            | Self::StreamGenerateArray
            | Self::GeminiCountTokens
            | Self::EmbedContent
            | Self::BatchEmbedContents => Dialect::Gemini,
            Self::OllamaChat | Self::OllamaGenerate | Self::OllamaEmbed => Dialect::Ollama,
        }
    }

    /// What its bodies look like from outside.
    #[must_use]
    pub fn shape(self) -> &'static Shape {
        match self {
            Self::ChatCompletions => &openai::CHAT_SHAPE,
            Self::Responses => &responses::SHAPE,
            Self::Embeddings => &openai::EMBEDDINGS_SHAPE,
            Self::Messages => &anthropic::MESSAGES_SHAPE,
            Self::MessagesCountTokens => &anthropic::COUNT_SHAPE,
            Self::GenerateContent | Self::StreamGenerateContent | Self::StreamGenerateArray => {
                &gemini::GENERATE_SHAPE
            }
            Self::GeminiCountTokens => &gemini::COUNT_SHAPE,
            Self::EmbedContent => &gemini::EMBED_SHAPE,
            Self::BatchEmbedContents => &gemini::BATCH_EMBED_SHAPE,
            Self::OllamaChat => &ollama::CHAT_SHAPE,
            Self::OllamaGenerate => &ollama::GENERATE_SHAPE,
            Self::OllamaEmbed => &ollama::EMBED_SHAPE,
        }
    }

    /// Whether it streams, where the path says so and not the body.
    #[must_use]
    pub fn streams(self) -> Option<bool> {
        match self {
            Self::StreamGenerateContent | Self::StreamGenerateArray => Some(true),
            Self::GenerateContent => Some(false),
            _ if self.task() != Task::Chat => Some(false),
            _ => None,
        }
    }

    /// Its path behind a provider's base URL.
    #[must_use]
    pub fn path(self, model: &str) -> String {
        let model = utf8_percent_encode(model, NOT_IN_A_SEGMENT);
        match self {
            Self::ChatCompletions => "/chat/completions".to_owned(),
            Self::Responses => "/responses".to_owned(),
            Self::Embeddings => "/embeddings".to_owned(),
            Self::Messages => "/messages".to_owned(),
            Self::MessagesCountTokens => "/messages/count_tokens".to_owned(),
            Self::GenerateContent => format!("/models/{model}:generateContent"),
            Self::StreamGenerateContent | Self::StreamGenerateArray => {
                format!("/models/{model}:streamGenerateContent?alt=sse")
            }
            Self::GeminiCountTokens => format!("/models/{model}:countTokens"),
            Self::EmbedContent => format!("/models/{model}:embedContent"),
            Self::BatchEmbedContents => format!("/models/{model}:batchEmbedContents"),
            Self::OllamaChat => "/api/chat".to_owned(),
            Self::OllamaGenerate => "/api/generate".to_owned(),
            Self::OllamaEmbed => "/api/embed".to_owned(),
        }
    }

    /// How callers speak it.
    #[must_use]
    pub fn caller(self) -> CallerSide {
        match self {
            Self::ChatCompletions => CallerSide::Chat(&openai::Chat),
            Self::Responses => CallerSide::Chat(&responses::Responses),
            Self::Messages | Self::MessagesCountTokens => CallerSide::Chat(&anthropic::Messages),
            Self::GenerateContent | Self::StreamGenerateContent | Self::GeminiCountTokens => {
                CallerSide::Chat(&gemini::SSE)
            }
            Self::StreamGenerateArray => CallerSide::Chat(&gemini::ARRAY),
            Self::OllamaChat => CallerSide::Chat(&ollama::Chat),
            Self::OllamaGenerate => CallerSide::Chat(&ollama::Generate),
            Self::Embeddings => CallerSide::Embed(&openai::Embeddings),
            Self::EmbedContent => CallerSide::Embed(&gemini::Embed),
            Self::BatchEmbedContents => CallerSide::Embed(&gemini::BatchEmbed),
            Self::OllamaEmbed => CallerSide::Embed(&ollama::Embed),
        }
    }

    /// Reads a chat call of it, or what a call would be whose tokens are to be counted.
    ///
    /// # Errors
    /// As [`CallerApi::read_request`].
    pub fn read_chat(self, api: &dyn CallerApi, body: &[u8]) -> Result<chat::Request, Invalid> {
        match self {
            // A count needs no limit of tokens.
            Self::MessagesCountTokens => anthropic::read_count_request(body),
            _ => api.read_request(body),
        }
    }

    /// How providers speak it, where calls of other APIs are answered by it.
    #[must_use]
    pub fn provider(self) -> Option<ProviderSide> {
        match self {
            Self::ChatCompletions => Some(ProviderSide::Chat(&openai::Chat)),
            Self::Responses => Some(ProviderSide::Chat(&responses::Responses)),
            Self::Messages => Some(ProviderSide::Chat(&anthropic::Messages)),
            Self::GenerateContent | Self::StreamGenerateContent => Some(ProviderSide::Chat(&gemini::SSE)),
            Self::OllamaChat => Some(ProviderSide::Chat(&ollama::Chat)),
            Self::MessagesCountTokens => Some(ProviderSide::Count(&anthropic::Messages)),
            Self::GeminiCountTokens => Some(ProviderSide::Count(&gemini::SSE)),
            Self::Embeddings => Some(ProviderSide::Embed(&openai::Embeddings)),
            Self::BatchEmbedContents => Some(ProviderSide::Embed(&gemini::BatchEmbed)),
            Self::OllamaEmbed => Some(ProviderSide::Embed(&ollama::Embed)),
            Self::StreamGenerateArray | Self::EmbedContent | Self::OllamaGenerate => None,
        }
    }

    /// How the numbers of a count are written and read.
    #[must_use]
    pub fn counter(self) -> Option<&'static dyn CountApi> {
        match self {
            Self::MessagesCountTokens => Some(&anthropic::Messages),
            Self::GeminiCountTokens => Some(&gemini::SSE),
            _ => None,
        }
    }

    /// Where its streams say what matters, for those that pass through.
    #[must_use]
    pub fn marks(self) -> Option<&'static Marks> {
        match self {
            Self::ChatCompletions => Some(&openai::CHAT_MARKS),
            Self::Responses => Some(&responses::MARKS),
            Self::Messages => Some(&anthropic::MARKS),
            Self::GenerateContent | Self::StreamGenerateContent | Self::StreamGenerateArray => {
                Some(&gemini::MARKS)
            }
            Self::OllamaChat | Self::OllamaGenerate => Some(&ollama::MARKS),
            _ => None,
        }
    }

    /// The usage that a whole reply names.
    ///
    /// # Errors
    /// When the body is no reply at all.
    pub fn usage_of_reply(self, body: &[u8]) -> Result<Option<Usage>, Garbled> {
        match self {
            Self::Embeddings => openai::embeddings_usage(body),
            Self::EmbedContent | Self::BatchEmbedContents => gemini::embed_usage(body),
            Self::OllamaEmbed => ollama::embed_usage(body),
            // Counting costs nothing.
            Self::MessagesCountTokens | Self::GeminiCountTokens => Ok(Some(Usage::default())),
            _ => self.marks().map_or(Ok(None), |marks| (marks.usage_of_reply)(body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_the_responses_api_is_asked_by_it_but_for_chat_completions() {
        let out = |kind: Kind, api, responses| kind.answers_by(api, true, responses);
        for api in [Api::Responses, Api::Messages, Api::StreamGenerateContent, Api::OllamaGenerate] {
            assert_eq!(out(Kind::OpenAI, api, true), Some(Api::Responses), "{api:?}");
            assert_eq!(out(Kind::OpenAI, api, false), Some(Api::ChatCompletions), "{api:?}");
            assert_eq!(out(Kind::Simulated, api, false), Some(Api::ChatCompletions), "{api:?}");
        }
        assert_eq!(out(Kind::OpenAI, Api::ChatCompletions, true), Some(Api::ChatCompletions));
        assert_eq!(out(Kind::OpenAI, Api::OllamaEmbed, true), Some(Api::Embeddings));
        assert!(matches!(Api::Responses.provider(), Some(ProviderSide::Chat(_))));
    }

    #[test]
    fn a_models_name_stays_within_its_segment() {
        assert_eq!(Api::GenerateContent.path("a/b c?:7"), "/models/a%2Fb%20c%3F:7:generateContent");
        assert_eq!(Api::ChatCompletions.path("a/b"), "/chat/completions");
    }
}
