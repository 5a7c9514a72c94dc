//! Tokens, as the API counts them: its `input_tokens` leave out what was read from a cache and what
//! was written to one, and a stream says them in two places.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::{self, Finder};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{
    Garbled,
    frame::Framing,
    json,
    reply::Usage,
    skim::{self, Skim},
    tap::{self, Marks},
};

/// Where the API's streams say what matters.
pub const MARKS: Marks = Marks {
    framing: Framing::Sse,
    names_usage: |bytes| tap::names_value(bytes, b"\"usage\"", b'{'),
    read_usage,
    says_end,
    read_answers: None,
    // Neither what is cited nor a signature is of the model's tokens.
    shows: |frames| {
        static NAMES: LazyLock<[Finder<'static>; 3]> =
            LazyLock::new(|| ["\"text\"", "\"thinking\"", "\"partial_json\""].map(Finder::new));
        tap::texts_within(frames, &tap::DELTA, &NAMES).iter().sum()
    },
    keeps_all: false,
    usage_of_reply,
};

/// Counts of a provider: what it does not say is as it was.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Counts {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<Details>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Details {
    thinking_tokens: Option<u64>,
}

impl Counts {
    /// `None` where serde has to say what it is.
    fn skim(skim: &mut Skim<'_>) -> Option<Self> {
        const NAMES: [&str; 5] = [
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
            "output_tokens",
            "output_tokens_details",
        ];
        let mut read = Self::default();
        skim.fields(NAMES, |name, skim| {
            match name {
                "input_tokens" => read.input_tokens = skim.count()?,
                "cache_creation_input_tokens" => read.cache_creation_input_tokens = skim.count()?,
                "cache_read_input_tokens" => read.cache_read_input_tokens = skim.count()?,
                "output_tokens" => read.output_tokens = skim.count()?,
                _ => {
                    read.output_tokens_details = skim.optional(|skim| {
                        let [thinking_tokens] = skim.counts(["thinking_tokens"])?;
                        Some(Details { thinking_tokens })
                    })?;
                }
            }
            Some(())
        })?;
        Some(read)
    }

    pub fn usage(self) -> Usage {
        let mut usage = Usage::default();
        self.add_to(&mut usage);
        usage
    }

    pub fn add_to(self, usage: &mut Usage) {
        let fresh = self.input_tokens.unwrap_or_else(|| fresh(usage));
        usage.cached_input = self.cache_read_input_tokens.unwrap_or(usage.cached_input);
        usage.cache_write = self.cache_creation_input_tokens.unwrap_or(usage.cache_write);
        usage.input = fresh.saturating_add(usage.cached_input).saturating_add(usage.cache_write);
        usage.output = self.output_tokens.unwrap_or(usage.output);
        usage.reasoning =
            self.output_tokens_details.and_then(|details| details.thinking_tokens).unwrap_or(usage.reasoning);
    }
}

fn fresh(usage: &Usage) -> u64 {
    usage.input.saturating_sub(usage.cached_input).saturating_sub(usage.cache_write)
}

/// Counts for a caller.
#[derive(Debug, Serialize)]
pub struct Said {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<SaidDetails>,
}

#[derive(Debug, Serialize)]
struct SaidDetails {
    thinking_tokens: u64,
}

impl Said {
    pub fn new(usage: Option<Usage>) -> Self {
        let usage = usage.unwrap_or_default();
        Self {
            input_tokens: fresh(&usage),
            cache_creation_input_tokens: usage.cache_write,
            cache_read_input_tokens: usage.cached_input,
            output_tokens: usage.output,
            output_tokens_details: (usage.reasoning > 0)
                .then_some(SaidDetails { thinking_tokens: usage.reasoning }),
        }
    }
}

/// Nothing else of a reply that passes is looked into: what the vendor adds to its blocks is the
/// caller's affair.
fn usage_of_reply(body: &[u8]) -> Result<Option<Usage>, Garbled> {
    #[derive(Deserialize)]
    struct Message {
        content: Option<IgnoredAny>,
        usage: Option<Counts>,
    }
    let (mut content, mut usage) = (None, None);
    let skimmed = skim::whole(body, |skim| {
        skim.fields(["content", "usage"], |name, skim| {
            match name {
                "content" => content = skim.optional(Skim::value)?,
                _ => usage = skim.optional(Counts::skim)?,
            }
            Some(())
        })
    });
    if skimmed.is_some() && content.is_some() {
        return Ok(usage.map(Counts::usage));
    }
    let message: Message = json::object(body)?;
    if message.content.is_none() {
        return Err(Garbled::new("it has no content"));
    }
    Ok(message.usage.map(Counts::usage))
}

fn read_usage(data: &[u8], usage: &mut Option<Usage>) -> bool {
    #[derive(Deserialize)]
    struct Event {
        usage: Option<Counts>,
        message: Option<Message>,
    }
    #[derive(Deserialize)]
    struct Message {
        usage: Option<Counts>,
    }
    if let Ok(event) = serde_json::from_slice::<Event>(data) {
        for counts in [event.message.and_then(|message| message.usage), event.usage].into_iter().flatten() {
            counts.add_to(usage.get_or_insert_default());
        }
    }
    // Each also says something else.
    false
}

/// The name stands in a value of `type`: a text of the model may say the same word.
fn says_end(whole: &[u8]) -> bool {
    memmem::find_iter(whole, b"\"message_stop\"").any(|at| {
        whole[..at]
            .trim_ascii_end()
            .strip_suffix(b":")
            .is_some_and(|before| before.trim_ascii_end().ends_with(b"\"type\""))
    })
}

pub fn read_count(body: &[u8]) -> Result<u64, Garbled> {
    let count: Counts = json::object(body)?;
    count.input_tokens.ok_or_else(|| Garbled::new("it has no input_tokens"))
}

pub fn write_count(input_tokens: u64) -> Bytes {
    #[derive(Serialize)]
    struct Count {
        input_tokens: u64,
    }
    json::to_bytes(&Count { input_tokens })
}
