//! Anthropic's Messages API, from both of its ends, with its count of tokens, its errors and its list
//! of models.
//!
//! What a caller of this module has to know:
//!
//! - System messages all go to `system`, in order: every model takes them there, while only some take
//!   them between the turns. A call of nothing but system messages sends them as the user's turn, since
//!   the API wants one.
//! - `max_tokens` is always sent: see [`thinking`].
//! - A seal of another kind on a tool call stands in a `redacted_thinking` block right before the
//!   `tool_use`, the one place that Anthropic's clients keep and send back untouched.

mod block;
mod error;
mod listing;
mod read_block;
mod read_request;
mod received;
mod reply;
mod schema;
mod stream_reader;
mod stream_writer;
pub(crate) mod thinking;
mod usage;
mod whole;
mod write_request;
mod write_turns;

use bytes::Bytes;

use crate::{
    CallerApi, Context, Fault, Garbled, Invalid, LengthStop, ProviderApi, ProviderModel,
    api::CountApi,
    bound, chat,
    envelope::{LimitPlace, ModelPlace, Needs, Shape},
    event::{StreamReader, StreamWriter},
    frame::Framing,
    limits::{Feature, Limits, Takes},
    reply::Reply,
};

pub use error::{error_body, is_error_body, read_error, read_failure};
pub use listing::{model, model_list};
pub use read_request::read_count_request;
pub use usage::MARKS;

/// The outside of a request for a message.
pub const MESSAGES_SHAPE: Shape = Shape {
    model: ModelPlace::Field,
    content: "messages",
    needs: Needs::Elements,
    streams: false,
    stream_options: false,
    adds: bound::anthropic::messages,
    limit: Some(LimitPlace { within: None, names: &["max_tokens"] }),
};

/// The outside of a request for a count of tokens.
pub const COUNT_SHAPE: Shape = MESSAGES_SHAPE;

/// What the API can express. Whether a model does it is the vendor's to say: the newest ones refuse
/// `temperature` and a forced tool, for instance.
static LIMITS: Limits = Limits {
    kind: "Anthropic",
    max_temperature: 1.0,
    top_k: true,
    penalties: false,
    // The documentation knows no most.
    stop: usize::MAX,
    seed: false,
    choices: 1,
    json_object: false,
    json_schema: true,
    reasoning: true,
    logprobs: false,
    tools: true,
    tool_choice: true,
    serial_tool_calls: true,
    image: Takes::BOTH,
    audio: Takes::NOTHING,
    video: Takes::NOTHING,
    document: Takes::BOTH,
    user: true,
};

/// `POST /v1/messages` and `/v1/messages/count_tokens`.
#[derive(Clone, Copy, Debug)]
pub struct Messages;

impl CallerApi for Messages {
    /// For what the API has no field, the name that it has elsewhere: no request of this API asks
    /// for it.
    fn field(&self, feature: Feature) -> &'static str {
        match feature {
            Feature::Temperature => "temperature",
            Feature::TopK => "top_k",
            Feature::PresencePenalty => "presence_penalty",
            Feature::FrequencyPenalty => "frequency_penalty",
            Feature::Stop => "stop_sequences",
            Feature::Seed => "seed",
            Feature::Choices => "n",
            Feature::JsonObject | Feature::JsonSchema => "output_config.format",
            Feature::Reasoning => "thinking",
            Feature::Logprobs => "logprobs",
            Feature::Tools => "tools",
            Feature::ToolChoice => "tool_choice",
            Feature::ParallelToolCalls => "tool_choice.disable_parallel_tool_use",
            Feature::Image => "messages.content.image",
            Feature::Audio => "messages.content.audio",
            Feature::Video => "messages.content.video",
            Feature::Document => "messages.content.document",
            Feature::User => "metadata.user_id",
            Feature::Metadata => "metadata",
        }
    }

    fn read_request(&self, body: &[u8]) -> Result<chat::Request, Invalid> {
        read_request::read(body)
    }

    fn write_reply(&self, reply: &Reply, context: &Context) -> Bytes {
        reply::write(reply, context)
    }

    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn stream_writer(&self, context: Context) -> Box<dyn StreamWriter> {
        Box::new(stream_writer::Writer::new(context))
    }

    fn error_event(&self, fault: &Fault) -> Bytes {
        error::event(fault)
    }

    fn length_stop(&self, passed: Bytes, stop: &LengthStop<'_>) -> Vec<u8> {
        stream_writer::length_stop(passed, stop)
    }
}

impl ProviderApi for Messages {
    fn limits(&self) -> &'static Limits {
        &LIMITS
    }

    fn write_request(&self, request: &chat::Request, model: ProviderModel<'_>) -> Bytes {
        write_request::write(request, model)
    }

    fn read_reply(&self, body: &[u8]) -> Result<Reply, Garbled> {
        reply::read(body)
    }

    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn stream_reader(&self) -> Box<dyn StreamReader> {
        Box::<stream_reader::Reader>::default()
    }
}

impl CountApi for Messages {
    fn content_limits(&self) -> &'static Limits {
        self.limits()
    }

    fn write_count_request(&self, request: &chat::Request, model: ProviderModel<'_>) -> Bytes {
        write_request::write_count(request, model)
    }

    fn read_count(&self, body: &[u8]) -> Result<u64, Garbled> {
        usage::read_count(body)
    }

    fn write_count(&self, tokens: u64) -> Bytes {
        usage::write_count(tokens)
    }
}

#[cfg(test)]
mod tests;
