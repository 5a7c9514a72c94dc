//! The most tokens that a call can cost, known before it is sent: what a strict budget reserves. The
//! envelope notes in its one passage over the body what is asked for; here that becomes figures.
//!
//! # What the input's bound rests on
//!
//! - Text: tokenizers that work on bytes (byte-level BPE, and SentencePiece with byte fallback) make at
//!   most one token of a byte, and JSON never writes a text in fewer bytes than it has: `\n` is one byte
//!   for two, `\u00e9` two for six. So the whole body is counted, names, quotes and all; those pay for
//!   what a chat template puts around each message. A tokenizer whose normalization makes a text longer
//!   (NFKC, in some models that embed) is not bounded so.
//! - What a server adds of its own accord once a call is bounded by [`PREAMBLE`], and with tools by
//!   [`TOOLS`]. What it writes out anew from structure, such as the schemas of tools, counts twice.
//! - Pictures: the vendor's published maximum for the model, or the dearest of all where the model is
//!   none of those that are known, in addition to the bytes: a server that knows no pictures may read
//!   base64 as text.
//! - Sealed thinking has at least as many bytes as tokens, as every vendor's has.
//! - Sounds, films, documents, and all that lies with the vendor (files by id, earlier replies, cached
//!   content), are bounded by the model's window alone; so is any field that is not known here, since
//!   any vendor may do anything for it.
//! - A provider's own tools (search, code) ask the model again and again: nothing bounds those.
//!
//! # What the output's bound rests on
//!
//! That a server keeps the limit that it is given, and counts thinking under it: OpenAI's
//! `max_completion_tokens` and `max_output_tokens`, Anthropic's `max_tokens`, Gemini's `maxOutputTokens`
//! and Ollama's `num_predict` all do. An old compatible server that does not know
//! `max_completion_tokens` keeps none, if that is what the caller names; xAI counts thinking beside the
//! answer, and some of Alibaba's models do not limit it.

pub(crate) mod anthropic;
mod asked;
pub(crate) mod gemini;
pub(crate) mod ollama;
pub(crate) mod openai;
mod pictures;

pub(crate) use asked::pass;
pub use asked::{Adds, Asked, Table, Wanted};

use crate::{
    anthropic::thinking::MIN_BUDGET,
    envelope::Envelope,
    openai::responses::provider_request::MIN_OUTPUT_TOKENS,
    surface::{Api, Kind, Task},
};

/// What chat templates say without being asked: the longest that is known, with its default system
/// prompt, takes about 300 tokens.
pub const PREAMBLE: u64 = 512;
/// How a model is told to call tools: Anthropic publishes at most 530 tokens (docs, "Tool use pricing
/// and tokens"); the templates of open models say as much.
pub const TOOLS: u64 = 1_024;
/// The marks around texts that are embedded.
const EMBED_PREAMBLE: u64 = 64;

/// Why a call has no bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unbounded {
    #[error("the tokens of '{field}' are not in the call: leave it out, or say the model's contextWindow")]
    Window { field: Box<str> },
    #[error("nothing bounds what '{field}' may cost: leave it out")]
    Field { field: Box<str> },
}

impl Unbounded {
    /// The field of the call that is the reason.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::Window { field } | Self::Field { field } => field,
        }
    }
}

/// The most tokens that a call takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// Its text, and what is said beside it.
    pub text: u64,
    pub media: u64,
    /// The first field whose tokens only the model's window bounds.
    pub beyond: Option<&'a str>,
    /// The first field that nothing bounds.
    pub unbounded: Option<&'a str>,
    /// All of it goes through the model's window at once.
    at_once: bool,
}

impl Input<'_> {
    /// With the model's window, where it is known.
    ///
    /// # Errors
    /// Names the field that nothing bounds.
    pub fn most(&self, window: Option<u64>) -> Result<u64, Unbounded> {
        let window = window.filter(|_| self.at_once);
        if let Some(field) = self.unbounded {
            return Err(Unbounded::Field { field: field.into() });
        }
        let said = self.text.saturating_add(self.media);
        match (self.beyond, window) {
            (None, None) => Ok(said),
            (None, Some(window)) => Ok(said.min(window)),
            (Some(_), Some(window)) => Ok(window),
            (Some(field), None) if self.at_once => Err(Unbounded::Window { field: field.into() }),
            (Some(field), None) => Err(Unbounded::Field { field: field.into() }),
        }
    }
}

/// The most that a call takes in, at a provider of `kind` that knows the model as `model`. `body` is
/// what the envelope was read from.
#[must_use]
pub fn input<'e>(api: Api, envelope: &'e Envelope, body: &[u8], kind: Kind, model: &str) -> Input<'e> {
    let asked = &envelope.asked;
    let preamble = match api.task() {
        // Counting costs nothing.
        Task::Count => return Input { text: 0, media: 0, beyond: None, unbounded: None, at_once: true },
        Task::Embed => EMBED_PREAMBLE,
        Task::Chat => PREAMBLE + if asked.tools { TOOLS } else { 0 } + asked.vendors_tools,
    };
    Input {
        text: body.len() as u64 + asked.rendered + preamble,
        media: match asked.images {
            0 => 0,
            images => images.saturating_mul(pictures::most(kind, model)),
        },
        beyond: asked.beyond.as_deref(),
        unbounded: asked.loops.as_deref(),
        // Each text that is embedded has a window of its own.
        at_once: api.task() == Task::Chat,
    }
}

/// The most tokens that a call may be answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output<'a> {
    /// What the call names as the most of one answer; `None` where it names nothing.
    pub named: Option<u64>,
    /// How many answers.
    pub choices: u64,
    /// What is billed as output beside: predicted text that the answer has not.
    pub beside: u64,
    /// The first field that nothing bounds.
    pub unbounded: Option<&'a str>,
    raised: Raised,
}

/// How a limit is raised where the API by which the provider answers takes none so low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Raised {
    No,
    To(u64),
    /// By as much, where it is not above that.
    By(u64),
}

impl Output<'_> {
    /// With the most that the model is told to give where the call names none; `None` where nothing limits
    /// the answer.
    ///
    /// # Errors
    /// Names the field that nothing bounds.
    pub fn most(&self, of_model: Option<u64>) -> Result<Option<u64>, Unbounded> {
        if let Some(field) = self.unbounded {
            return Err(Unbounded::Field { field: field.into() });
        }
        // What the model is said to give at most tells no server anything.
        let Some(limit) = self.named.or(of_model) else { return Ok(None) };
        let each = match self.raised {
            Raised::To(least) => limit.max(least),
            Raised::By(least) if limit <= least => limit + least,
            Raised::No | Raised::By(_) => limit,
        };
        Ok(Some(each.saturating_mul(self.choices).saturating_add(self.beside)))
    }
}

/// The most that a call of `api` may be answered with by a provider that answers by `out`. `rewritten`: it is written
/// anew though the API is the same.
#[must_use]
pub fn output(api: Api, envelope: &Envelope, out: Api, rewritten: bool) -> Output<'_> {
    let asked = &envelope.asked;
    let wanted = &asked.output;
    let silent = api.task() != Task::Chat;
    Output {
        named: if silent { Some(0) } else { wanted.most },
        choices: wanted.choices.max(1),
        beside: wanted.predicted,
        unbounded: asked.loops.as_deref().filter(|_| api.task() != Task::Count),
        raised: match out {
            _ if silent || (out == api && !rewritten) => Raised::No,
            Api::Responses => Raised::To(MIN_OUTPUT_TOKENS),
            Api::Messages => Raised::By(MIN_BUDGET),
            _ => Raised::No,
        },
    }
}

#[cfg(test)]
mod tests;
