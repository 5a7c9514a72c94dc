//! OpenAI's Responses API. It is apart from Chat Completions since it shares no shape with it: input and
//! output are lists of items, and a stream tells how each of them grows.
//!
//! A provider that has it is asked by it whatever the caller speaks, but for callers of Chat
//! Completions: OpenAI's current models think and call tools together here only, and only here does
//! their thinking come back to them. What is of the provider's side is named so; the rest is the
//! caller's, or of both.

mod content;
mod input;
mod output;
mod provider_input;
mod provider_reply;
pub(crate) mod provider_request;
mod provider_stream;
mod reply;
mod request;
mod stream;

use bytes::Bytes;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    CallerApi, Context, Fault, Garbled, Invalid, LengthStop, ProviderApi, ProviderModel, bound, chat,
    envelope::{LimitPlace, ModelPlace, Needs, Shape},
    event::{StreamReader, StreamWriter},
    frame::Framing,
    limits::{Feature, Limits, Takes},
    reply::{Reply, Usage},
    skim,
    stop::Known,
    tap::{self, Marks},
};

/// Bodies from outside. `input` is not demanded here: a provider of the API finds it by `prompt` or
/// `conversation` too.
pub const SHAPE: Shape = Shape {
    model: ModelPlace::Field,
    content: "input",
    needs: Needs::Nothing,
    streams: false,
    stream_options: false,
    adds: bound::openai::responses,
    limit: Some(LimitPlace { within: None, names: &["max_output_tokens"] }),
};

/// Streams and replies of providers that speak the API themselves.
pub const MARKS: Marks = Marks {
    framing: Framing::Sse,
    names_usage,
    read_usage,
    says_end,
    read_answers: None,
    shows,
    // The last event tells everything once more.
    keeps_all: true,
    usage_of_reply,
};

pub const LIMITS: Limits = Limits {
    penalties: false,
    stop: 0,
    seed: false,
    choices: 1,
    audio: Takes::NOTHING,
    document: Takes::BOTH,
    user: true,
    ..super::CHAT_LIMITS
};

/// The API.
#[derive(Clone, Copy, Debug)]
pub struct Responses;

impl CallerApi for Responses {
    fn field(&self, feature: Feature) -> &'static str {
        match feature {
            Feature::Temperature => "temperature",
            Feature::TopK => "top_k",
            Feature::PresencePenalty => "presence_penalty",
            Feature::FrequencyPenalty => "frequency_penalty",
            Feature::Stop => "stop",
            Feature::Seed => "seed",
            Feature::Choices => "n",
            Feature::JsonObject | Feature::JsonSchema => "text.format",
            Feature::Reasoning => "reasoning",
            Feature::Logprobs => "top_logprobs",
            Feature::Tools => "tools",
            Feature::ToolChoice => "tool_choice",
            Feature::ParallelToolCalls => "parallel_tool_calls",
            Feature::Image => "input_image",
            Feature::Audio => "input_audio",
            Feature::Video => "input_video",
            Feature::Document => "input_file",
            Feature::User => "user",
            Feature::Metadata => "metadata",
        }
    }

    fn read_request(&self, body: &[u8]) -> Result<chat::Request, Invalid> {
        request::read(body)
    }

    fn write_reply(&self, reply: &Reply, context: &Context) -> Bytes {
        reply::write(reply, context)
    }

    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn stream_writer(&self, context: Context) -> Box<dyn StreamWriter> {
        Box::new(stream::Writer::new(context))
    }

    /// The API's own event has its fields at the top, and the SDKs pass it on as one event of many:
    /// what they raise is `error`, so that the event has both.
    fn error_event(&self, fault: &Fault) -> Bytes {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            error: &'a RawValue,
        }
        #[derive(Serialize)]
        struct ErrorEvent<'a> {
            code: Option<&'a str>,
            message: &'a str,
            param: Option<&'a str>,
            error: Option<&'a RawValue>,
        }
        let body = super::error_body(fault);
        let event = ErrorEvent {
            code: fault.code.as_deref(),
            message: &fault.message,
            param: fault.param.as_deref(),
            error: serde_json::from_slice::<Body<'_>>(&body).ok().map(|body| body.error),
        };
        let mut frame = Vec::new();
        stream::Sequence::default().frame(&mut frame, "error", &event);
        frame.into()
    }

    fn length_stop(&self, passed: Bytes, stop: &LengthStop<'_>) -> Vec<u8> {
        let writer = &mut stream::Writer::new(stop.context.clone());
        stop.behind(passed, (Framing::Sse, Known::All), &mut provider_stream::Reader::default(), writer)
    }
}

impl ProviderApi for Responses {
    fn limits(&self) -> &'static Limits {
        &LIMITS
    }

    fn write_request(&self, request: &chat::Request, model: ProviderModel<'_>) -> Bytes {
        provider_request::write(request, model)
    }

    fn read_reply(&self, body: &[u8]) -> Result<Reply, Garbled> {
        provider_reply::read(body)
    }

    fn framing(&self) -> Framing {
        Framing::Sse
    }

    fn stream_reader(&self) -> Box<dyn StreamReader> {
        Box::<provider_stream::Reader>::default()
    }
}

fn names_usage(frames: &[u8]) -> bool {
    tap::names_value(frames, b"\"usage\"", b'{')
}

fn read_usage(data: &[u8], usage: &mut Option<Usage>) -> bool {
    #[derive(Deserialize)]
    struct Event {
        response: Option<output::Counted>,
    }
    let counted = serde_json::from_slice::<Event>(data).ok().and_then(|event| event.response);
    if let Some(said) = counted.and_then(output::Counted::usage) {
        *usage = Some(said);
    }
    false
}

/// A quote inside a text is escaped, so that `"type"` is a key wherever it stands.
fn says_end(frames: &[u8]) -> bool {
    memmem::find_iter(frames, b"\"type\"").any(|at| {
        let value = frames[at + b"\"type\"".len()..].trim_ascii_start();
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii_start();
        [&b"\"response.completed\""[..], b"\"response.incomplete\"", b"\"response.failed\""]
            .iter()
            .any(|end| value.starts_with(end))
    })
}

/// Sound comes in the same field as text, in base64, whose length says nothing of its tokens.
fn shows(frames: &[u8]) -> u64 {
    if memmem::find(frames, b"\"response.audio.delta\"").is_some() {
        0
    } else {
        tap::texts(frames, &tap::DELTA)
    }
}

fn usage_of_reply(body: &[u8]) -> Result<Option<Usage>, Garbled> {
    if let Some(counted) = skim::whole(body, output::Counted::skim) {
        return Ok(counted.usage());
    }
    Ok(serde_json::from_slice::<output::Counted>(body)?.usage())
}

#[cfg(test)]
mod tests;
