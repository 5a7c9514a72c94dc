//! Chat completions: the two ends of the API, what it can express, and where its streams say what
//! matters.
//!
//! What it has no place for is said in text, as in [`said`](super::said).

mod finish;
pub(super) mod logprobs;
pub(super) mod media;
mod messages;
mod plain;
mod reasoning;
mod reply;
mod request;
mod stream_reader;
mod stream_writer;
mod usage;
pub(super) mod wire;
mod write_messages;
pub(super) mod write_request;

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::{self, Finder};
use serde::{Deserialize, de::IgnoredAny};

pub use usage::ReadUsage;
pub use write_request::{bare_name, is_openais};

use super::error;
use crate::{
    CallerApi, Context, Fault, Garbled, Invalid, LengthStop, ProviderApi, ProviderModel, bound, chat,
    envelope::{LimitPlace, ModelPlace, Needs, Shape},
    event::{StreamReader, StreamWriter},
    frame::Framing,
    limits::{Feature, Limits, Takes},
    reply::{Reply, Usage},
    skim,
    stop::Known,
    tap::{self, Marks, names_text, names_value},
};

/// `POST /v1/chat/completions`.
#[derive(Clone, Copy, Debug)]
pub struct Chat;

pub const CHAT_SHAPE: Shape = Shape {
    model: ModelPlace::Field,
    content: "messages",
    needs: Needs::Elements,
    streams: false,
    stream_options: true,
    adds: bound::openai::chat,
    // The second is what OpenAI's own models take.
    limit: Some(LimitPlace { within: None, names: &["max_tokens", "max_completion_tokens"] }),
};

pub const CHAT_LIMITS: Limits = Limits {
    kind: "OpenAI",
    max_temperature: 2.0,
    top_k: false,
    penalties: true,
    stop: 4,
    seed: true,
    choices: 128,
    json_object: true,
    json_schema: true,
    reasoning: true,
    logprobs: true,
    tools: true,
    tool_choice: true,
    serial_tool_calls: true,
    image: Takes::BOTH,
    audio: Takes::INLINE,
    video: Takes::NOTHING,
    document: Takes::INLINE,
    user: true,
};

/// What the in-process provider that speaks this API can express. Of pictures, sounds and documents
/// it only counts the text.
pub const SIMULATED_LIMITS: Limits = Limits {
    kind: "Simulated",
    choices: 1,
    logprobs: false,
    audio: Takes::BOTH,
    document: Takes::BOTH,
    user: true,
    ..CHAT_LIMITS
};

pub const CHAT_MARKS: Marks = Marks {
    framing: Framing::Sse,
    names_usage,
    read_usage,
    says_end,
    read_answers: Some(stream_reader::read_answers),
    shows,
    keeps_all: false,
    usage_of_reply,
};

/// A delta that has its thinking under two names says the same in both.
fn shows(frames: &[u8]) -> u64 {
    static NAMES: LazyLock<[Finder<'static>; 4]> = LazyLock::new(|| {
        ["\"content\"", "\"arguments\"", "\"reasoning_content\"", "\"reasoning\""].map(Finder::new)
    });
    let [content, arguments, reasoning, also] = tap::texts_within(frames, &tap::DELTA, &NAMES);
    content + arguments + reasoning.max(also)
}

/// Other frames say `"usage":null`.
fn names_usage(frames: &[u8]) -> bool {
    names_value(frames, b"\"usage\"", b'{')
}

/// A frame with usage and without choices is there for the usage alone.
fn read_usage(data: &[u8], usage: &mut Option<Usage>) -> bool {
    #[derive(Deserialize)]
    struct Chunk {
        choices: Option<Vec<IgnoredAny>>,
        usage: Option<ReadUsage>,
    }
    let Ok(Chunk { choices, usage: Some(read) }) = serde_json::from_slice(data) else { return false };
    *usage = Some(read.into());
    choices.is_none_or(|choices| choices.is_empty())
}

/// The mark of the end, or a choice that has finished: some servers leave the mark out, and some name an empty reason in
/// each chunk.
fn says_end(frames: &[u8]) -> bool {
    let marked = memmem::find_iter(frames, b"[DONE]").any(|at| {
        // No text of a model has a line to itself.
        let line = frames[..at].trim_ascii_end().strip_suffix(b"data:");
        line.is_some_and(|before| before.is_empty() || before.ends_with(b"\n"))
    });
    marked || names_text(frames, b"\"finish_reason\"")
}

/// The usage in a whole reply of any of OpenAI's endpoints that count prompt tokens.
pub fn usage_of_reply(body: &[u8]) -> Result<Option<Usage>, Garbled> {
    #[derive(Deserialize)]
    struct Body {
        usage: Option<ReadUsage>,
    }
    let mut usage = None;
    let skimmed = skim::whole(body, |skim| {
        skim.fields(["usage"], |_, skim| {
            usage = skim.optional(ReadUsage::skim)?;
            Some(())
        })
    });
    if skimmed.is_some() {
        return Ok(usage.map(Usage::from));
    }
    // serde would take an array for the struct.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Garbled::new("it is not a JSON object"));
    }
    Ok(serde_json::from_slice::<Body>(body)?.usage.map(Usage::from))
}

impl CallerApi for Chat {
    fn field(&self, feature: Feature) -> &'static str {
        match feature {
            Feature::Temperature => "temperature",
            Feature::TopK => "top_k",
            Feature::PresencePenalty => "presence_penalty",
            Feature::FrequencyPenalty => "frequency_penalty",
            Feature::Stop => "stop",
            Feature::Seed => "seed",
            Feature::Choices => "n",
            Feature::JsonObject | Feature::JsonSchema => "response_format",
            Feature::Reasoning => "reasoning_effort",
            Feature::Logprobs => "logprobs",
            Feature::Tools => "tools",
            Feature::ToolChoice => "tool_choice",
            Feature::ParallelToolCalls => "parallel_tool_calls",
            Feature::Image => "image_url",
            Feature::Audio => "input_audio",
            Feature::Video => "video_url",
            Feature::Document => "file",
            Feature::User => "user",
            Feature::Metadata => "metadata",
        }
    }

    fn read_request(&self, body: &[u8]) -> Result<chat::Request, Invalid> {
        request::read(body)
    }

    fn read_plain<'a>(&self, body: &'a [u8]) -> Option<chat::Plain<'a>> {
        plain::read(body)
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
        [b"data: ".as_slice(), &error::error_body(fault), b"\n\n"].concat().into()
    }

    fn length_stop(&self, passed: Bytes, stop: &LengthStop<'_>) -> Vec<u8> {
        let writer = &mut stream_writer::Writer::new(stop.context.clone());
        stop.behind(passed, (Framing::Sse, Known::Start), &mut stream_reader::Reader::default(), writer)
    }
}

impl ProviderApi for Chat {
    fn limits(&self) -> &'static Limits {
        &CHAT_LIMITS
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

#[cfg(test)]
mod tests;
