//! The API of Gemini: `generateContent` and its stream, `countTokens`, embeddings, models.
//!
//! Its peculiarities, and where they are dealt with: the model and whether it streams are in the path
//! and not in the body ([`GENERATE_SHAPE`]; so `read_request` leaves `stream` unset); field names may
//! be camelCase or snake_case (`fields`); a signature of the model's thinking may stand on any part
//! (`signature`, `provider_turns`); calls come whole and may lack ids; a stream is server-sent events
//! or one JSON array ([`ArrayWriter`]).

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::{
    CallerApi, Context, Fault, Garbled, Invalid, LengthStop, ProviderApi, ProviderModel,
    api::CountApi,
    bound, chat,
    envelope::{LimitPlace, ModelPlace, Needs, Shape},
    event::{StreamReader, StreamWriter},
    frame::Framing,
    limits::{Feature, Limits, Takes},
    reply::Reply,
    stop::Known,
    tap::{self, Marks, names_value},
};

mod answer;
mod array;
mod caller_contents;
mod caller_request;
mod embedding;
mod error;
mod fields;
mod models;
mod parts;
mod provider_request;
mod provider_turns;
mod reply;
mod schema;
mod signature;
mod stream;
#[cfg(test)]
mod tests;

pub use array::ArrayWriter;
pub use embedding::{BatchEmbed, Embed, embed_usage};
pub use error::{error_body, error_event, is_error_body, read_error, read_failure};
pub use models::{model, model_list};
pub use signature::keeps_foreign_seals;

/// `generateContent` and `streamGenerateContent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generate {
    /// What a stream is to its caller: events for `alt=sse`, else the elements of one array. Providers
    /// are always asked for events.
    pub framing: Framing,
}

pub static SSE: Generate = Generate { framing: Framing::Sse };
pub static ARRAY: Generate = Generate { framing: Framing::Array };

const fn shape(content: &'static str, needs: Needs) -> Shape {
    Shape {
        model: ModelPlace::Path,
        content,
        needs,
        streams: false,
        stream_options: false,
        adds: bound::gemini::generate,
        limit: Some(LimitPlace { within: Some("generationConfig"), names: &["maxOutputTokens"] }),
    }
}

const fn embed_shape(content: &'static str, needs: Needs) -> Shape {
    Shape { adds: bound::gemini::embed, limit: None, ..shape(content, needs) }
}

/// A single content may stand without its list, as in the vendor's own examples; so none is counted.
pub const GENERATE_SHAPE: Shape = shape("contents", Needs::Something);
/// Either `contents` or a whole `generateContentRequest`.
pub const COUNT_SHAPE: Shape = shape("contents", Needs::Nothing);
pub const EMBED_SHAPE: Shape = embed_shape("content", Needs::Something);
pub const BATCH_EMBED_SHAPE: Shape = embed_shape("requests", Needs::Elements);

/// A stream has no end mark: it ends with the reason why the answer does, or the prompt was refused.
pub const MARKS: Marks = Marks {
    framing: Framing::Sse,
    names_usage: |bytes| names_value(bytes, b"\"usageMetadata\"", b'{'),
    read_usage: answer::note_usage,
    says_end: |bytes| {
        names_value(bytes, b"\"finishReason\"", b'"') || names_value(bytes, b"\"blockReason\"", b'"')
    },
    read_answers: Some(answer::note_answers),
    shows: |frames| {
        static CONTENT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"content\""));
        static NAMES: LazyLock<[Finder<'static>; 1]> = LazyLock::new(|| [Finder::new("\"text\"")]);
        tap::texts_within(frames, &CONTENT, &NAMES).iter().sum()
    },
    keeps_all: false,
    usage_of_reply: answer::usage_of,
};

static LIMITS: Limits = Limits {
    kind: "Gemini",
    max_temperature: 2.0,
    top_k: true,
    penalties: true,
    stop: 5,
    seed: true,
    choices: 8,
    json_object: true,
    json_schema: true,
    reasoning: true,
    logprobs: true,
    tools: true,
    tool_choice: true,
    serial_tool_calls: false,
    image: Takes::BOTH,
    audio: Takes::BOTH,
    video: Takes::BOTH,
    document: Takes::BOTH,
    user: false,
};

impl CallerApi for Generate {
    fn field(&self, feature: Feature) -> &'static str {
        match feature {
            Feature::Temperature => "generationConfig.temperature",
            Feature::TopK => "generationConfig.topK",
            Feature::PresencePenalty => "generationConfig.presencePenalty",
            Feature::FrequencyPenalty => "generationConfig.frequencyPenalty",
            Feature::Stop => "generationConfig.stopSequences",
            Feature::Seed => "generationConfig.seed",
            Feature::Choices => "generationConfig.candidateCount",
            Feature::JsonObject => "generationConfig.responseMimeType",
            Feature::JsonSchema => "generationConfig.responseSchema",
            Feature::Reasoning => "generationConfig.thinkingConfig",
            Feature::Logprobs => "generationConfig.responseLogprobs",
            Feature::Tools => "tools",
            Feature::ToolChoice | Feature::ParallelToolCalls => "toolConfig.functionCallingConfig",
            Feature::Image | Feature::Audio | Feature::Video | Feature::Document => "contents",
            Feature::User => "user",
            Feature::Metadata => "labels",
        }
    }

    fn read_request(&self, body: &[u8]) -> Result<chat::Request, Invalid> {
        caller_request::read(body)
    }

    fn write_reply(&self, reply: &Reply, context: &Context) -> Bytes {
        reply::write(reply, context)
    }

    fn framing(&self) -> Framing {
        self.framing
    }

    fn stream_writer(&self, context: Context) -> Box<dyn StreamWriter> {
        Box::new(stream::Writer::new(self.framing, context))
    }

    /// As an array's element it stands behind another: where nothing was written yet, an
    /// [`ArrayWriter`] writes it with its opening bracket.
    fn error_event(&self, fault: &Fault) -> Bytes {
        if self.framing == Framing::Array { array::last_error(fault) } else { error_event(fault) }
    }

    /// In events, as providers are asked for them.
    fn length_stop(&self, passed: Bytes, stop: &LengthStop<'_>) -> Vec<u8> {
        let writer = &mut stream::Writer::new(Framing::Sse, stop.context.clone());
        stop.behind(passed, (Framing::Sse, Known::Start), &mut stream::Reader::default(), writer)
    }
}

impl ProviderApi for Generate {
    fn limits(&self) -> &'static Limits {
        &LIMITS
    }

    fn write_request(&self, request: &chat::Request, model: ProviderModel<'_>) -> Bytes {
        provider_request::write(request, model)
    }

    fn read_reply(&self, body: &[u8]) -> Result<Reply, Garbled> {
        reply::read(body)
    }

    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn stream_reader(&self) -> Box<dyn StreamReader> {
        Box::new(stream::Reader::default())
    }
}

impl CountApi for Generate {
    fn content_limits(&self) -> &'static Limits {
        self.limits()
    }

    fn write_count_request(&self, request: &chat::Request, model: ProviderModel<'_>) -> Bytes {
        provider_request::write_count(request, model)
    }

    fn read_count(&self, body: &[u8]) -> Result<u64, Garbled> {
        answer::total_tokens(body)
    }

    fn write_count(&self, tokens: u64) -> Bytes {
        answer::write_total_tokens(tokens)
    }
}
