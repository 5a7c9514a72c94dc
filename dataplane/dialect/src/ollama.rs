//! The API of Ollama: `/api/chat`, `/api/generate` and `/api/embed`, and what its clients ask of a
//! server before they call: `/api/tags`, `/api/show`, `/api/version`.
//!
//! What sets it apart:
//!
//! - A body without `stream` streams, and a stream is lines of JSON. The last one has `"done":true`,
//!   the reason and the counts; an error in between is a line with `error`.
//! - A tool call comes whole, with its arguments as an object. Servers since 0.12.10 give calls an
//!   `id` and take `tool_call_id`; older servers, and the Python SDK, do without, so a result without
//!   an id is the one of the earliest open call of its tool.
//! - Thinking is text without any proof: a [`Seal`](crate::seal::Seal), of thinking or of a tool call,
//!   has no place in a reply, so it is lost to callers of this API. With the next turn, providers that
//!   want it back get thinking and calls without it, as from another vendor, and must do with that.
//! - Reasons other than `stop` and `length` are not the API's own. `content_filter`, `refusal` and
//!   `pause` are written and read all the same: the field is free text, and `stop` would call an
//!   answer whole that is not.
//! - Durations are left out, as Ollama itself leaves out those of 0.

mod call;
mod embed;
mod errors;
mod models;
mod read_reply;
mod read_request;
mod write_reply;
mod write_request;

use bytes::Bytes;

pub use embed::{Embed, embed_usage};
pub use errors::{error_body, is_error_body, read_error, read_failure};
pub use models::{show, tags, version};

use crate::{
    CallerApi, Context, Fault, Garbled, Invalid, LengthStop, ProviderApi, ProviderModel,
    bound::{self, Table},
    chat,
    envelope::{LimitPlace, ModelPlace, Needs, Shape},
    event::{StreamReader, StreamWriter},
    frame::Framing,
    limits::{Feature, Limits, Takes},
    reply::Reply,
    stop::Known,
    tap::Marks,
};
use write_reply::Style;

/// Ollama takes an empty list of messages as an order to load or unload the model: that is not for
/// callers of a shared provider, and so it is refused.
pub const CHAT_SHAPE: Shape = shape("messages", Needs::Elements, true, bound::ollama::chat);
pub const GENERATE_SHAPE: Shape = shape("prompt", Needs::Something, true, bound::ollama::generate);
pub const EMBED_SHAPE: Shape =
    Shape { limit: None, ..shape("input", Needs::Something, false, bound::ollama::embed) };
/// The body is no more than the model. Only `model` is read: `name`, its older spelling, is not.
pub const SHOW_SHAPE: Shape = shape("model", Needs::Nothing, false, bound::ollama::embed);

const fn shape(content: &'static str, needs: Needs, streams: bool, adds: Table) -> Shape {
    Shape {
        model: ModelPlace::Field,
        content,
        needs,
        streams,
        stream_options: false,
        adds,
        limit: Some(LimitPlace { within: Some("options"), names: &["num_predict"] }),
    }
}

/// The streams of `/api/chat` and of `/api/generate` say what matters in the same way.
pub const MARKS: Marks = Marks {
    framing: Framing::Lines,
    names_usage: read_reply::names_usage,
    read_usage: read_reply::read_usage,
    says_end: read_reply::says_end,
    read_answers: None,
    shows: read_reply::shows,
    keeps_all: false,
    usage_of_reply: read_reply::usage_of_reply,
};

/// What `/api/chat` can express. It has no `tool_choice`; that no tool be called is said by leaving
/// the tools out.
static LIMITS: Limits = Limits {
    kind: "Ollama",
    max_temperature: f64::INFINITY,
    top_k: true,
    penalties: true,
    stop: usize::MAX,
    seed: true,
    choices: 1,
    json_object: true,
    json_schema: true,
    reasoning: true,
    logprobs: true,
    tools: true,
    tool_choice: false,
    serial_tool_calls: false,
    image: Takes::INLINE,
    audio: Takes::NOTHING,
    video: Takes::NOTHING,
    document: Takes::NOTHING,
    user: false,
};

/// `/api/chat`.
#[derive(Clone, Copy, Debug)]
pub struct Chat;

/// `/api/generate`, for callers only: whatever it can ask for, `/api/chat` can too.
#[derive(Clone, Copy, Debug)]
pub struct Generate;

/// The two are alike to callers but for what is read, where the text of an answer stands, and the
/// name of the field for media.
macro_rules! caller_api {
    ($api:ty, $style:expr, $read:path, $media:literal) => {
        impl CallerApi for $api {
            fn field(&self, feature: Feature) -> &'static str {
                field(feature).unwrap_or($media)
            }

            fn read_request(&self, body: &[u8]) -> Result<chat::Request, Invalid> {
                $read(body)
            }

            fn write_reply(&self, reply: &Reply, context: &Context) -> Bytes {
                write_reply::whole($style, reply, context)
            }

            fn framing(&self) -> Framing {
                Framing::Lines
            }

            fn stream_writer(&self, context: Context) -> Box<dyn StreamWriter> {
                write_reply::writer($style, context)
            }

            fn error_event(&self, fault: &Fault) -> Bytes {
                errors::error_line(fault)
            }

            fn length_stop(&self, passed: Bytes, stop: &LengthStop<'_>) -> Vec<u8> {
                let mut writer = write_reply::writer($style, stop.context.clone());
                let mut reader = ProviderApi::stream_reader(&Chat);
                stop.behind(passed, (Framing::Lines, Known::Start), &mut *reader, &mut *writer)
            }
        }
    };
}

caller_api!(Chat, Style::Chat, read_request::chat, "messages.images");
caller_api!(Generate, Style::Generate, read_request::generate, "images");

impl ProviderApi for Chat {
    fn limits(&self) -> &'static Limits {
        &LIMITS
    }

    fn write_request(&self, request: &chat::Request, model: ProviderModel<'_>) -> Bytes {
        write_request::chat(request, model)
    }

    fn read_reply(&self, body: &[u8]) -> Result<Reply, Garbled> {
        read_reply::whole(body)
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn stream_reader(&self) -> Box<dyn StreamReader> {
        read_reply::reader()
    }
}

/// The API's field for a feature; `None` for media. Where the API has none, none of its callers can
/// ask for the feature, and the name is what other APIs call it.
fn field(feature: Feature) -> Option<&'static str> {
    Some(match feature {
        Feature::Temperature => "options.temperature",
        Feature::TopK => "options.top_k",
        Feature::PresencePenalty => "options.presence_penalty",
        Feature::FrequencyPenalty => "options.frequency_penalty",
        Feature::Stop => "options.stop",
        Feature::Seed => "options.seed",
        Feature::Choices => "n",
        Feature::JsonObject | Feature::JsonSchema => "format",
        Feature::Reasoning => "think",
        Feature::Logprobs => "logprobs",
        Feature::Tools => "tools",
        Feature::ToolChoice => "tool_choice",
        Feature::ParallelToolCalls => "parallel_tool_calls",
        Feature::Image | Feature::Audio | Feature::Video | Feature::Document => return None,
        // It has neither.
        Feature::User | Feature::Metadata => return None,
    })
}

/// Seconds since 1970 as the API writes times.
fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests;
