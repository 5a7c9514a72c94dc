//! The `response` object, its items and its usage, as the API writes them: in a whole reply, and at
//! the beginning and the end of a stream.

use serde::{Deserialize, Serialize};

use crate::{
    Context, Dialect,
    reply::{Finish, TokenLogprob, Usage},
    seal::Seal,
    skim::Skim,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    InProgress,
    Completed,
    Incomplete,
}

/// A piece of output. Ids are made of the gateway's own id: the vendor refuses longer ones than 64
/// bytes, should the caller take the conversation there, and other providers' ids may be any length.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    Reasoning { id: String, status: Status, summary: Vec<Summary>, encrypted_content: Option<String> },
    Message { id: String, status: Status, role: &'static str, content: Vec<Content> },
    FunctionCall { id: String, status: Status, call_id: String, name: String, arguments: String },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "summary_text")]
pub struct Summary {
    pub text: String,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    OutputText { annotations: [(); 0], logprobs: Vec<Logprob>, text: String },
    Refusal { refusal: String },
}

#[derive(Debug, Serialize)]
pub struct Logprob {
    token: String,
    bytes: Vec<u8>,
    logprob: f64,
    top_logprobs: Vec<TopLogprob>,
}

#[derive(Debug, Serialize)]
struct TopLogprob {
    token: String,
    bytes: Vec<u8>,
    logprob: f64,
}

impl Item {
    /// Thinking, shown or not, as far as it has come.
    pub fn reasoning(context: &Context, index: usize, text: &str, seal: Option<&Seal>) -> Self {
        let summary = if text.is_empty() { Vec::new() } else { vec![Summary { text: text.to_owned() }] };
        Self::Reasoning {
            id: item_id("rs", context, index),
            status: Status::InProgress,
            summary,
            encrypted_content: seal.map(|seal| seal.to_text(Dialect::OpenAI)),
        }
    }

    pub fn message(context: &Context, index: usize, content: Vec<Content>) -> Self {
        Self::Message {
            id: item_id("msg", context, index),
            status: Status::InProgress,
            role: "assistant",
            content,
        }
    }

    pub fn call(context: &Context, index: usize, id: &str, name: &str, arguments: &str) -> Self {
        Self::FunctionCall {
            id: item_id("fc", context, index),
            status: Status::InProgress,
            call_id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        }
    }

    pub fn close(&mut self, with: Status) {
        match self {
            Self::Reasoning { status, .. }
            | Self::Message { status, .. }
            | Self::FunctionCall { status, .. } => *status = with,
        }
    }
}

fn item_id(prefix: &str, context: &Context, index: usize) -> String {
    format!("{prefix}_{}_{index}", context.id)
}

impl Content {
    pub fn text() -> Self {
        Self::OutputText { annotations: [], logprobs: Vec::new(), text: String::new() }
    }

    pub fn refusal() -> Self {
        Self::Refusal { refusal: String::new() }
    }

    pub fn is_text(&self) -> bool {
        matches!(self, Self::OutputText { .. })
    }

    pub fn push(&mut self, more: &str) {
        match self {
            Self::OutputText { text, .. } => text.push_str(more),
            Self::Refusal { refusal } => refusal.push_str(more),
        }
    }
}

impl From<&TokenLogprob> for Logprob {
    fn from(of: &TokenLogprob) -> Self {
        Self {
            token: of.token.clone(),
            bytes: of.token.as_bytes().to_vec(),
            logprob: of.logprob,
            top_logprobs: of
                .top
                .iter()
                .map(|(token, logprob)| TopLogprob {
                    token: token.clone(),
                    bytes: token.as_bytes().to_vec(),
                    logprob: *logprob,
                })
                .collect(),
        }
    }
}

/// How the answer ended: the status, and the reason where it is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub status: Status,
    reason: Option<&'static str>,
}

impl Ending {
    pub const NOT_YET: Self = Self { status: Status::InProgress, reason: None };
    pub const GOOD: Self = Self { status: Status::Completed, reason: None };

    pub fn of(finish: &Finish, items: &[Item]) -> Self {
        match finish {
            Finish::Length => Self::cut(Some("max_output_tokens")),
            Finish::ContentFilter => Self::cut(Some("content_filter")),
            // The API has no other word for a refusal than its text, and not every provider gives one.
            Finish::Refusal if !items.iter().any(refuses) => Self::cut(Some("content_filter")),
            Finish::Pause => Self::cut(None),
            Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls | Finish::Refusal => Self::GOOD,
        }
    }

    fn cut(reason: Option<&'static str>) -> Self {
        Self { status: Status::Incomplete, reason }
    }

    /// The status of the item at `index` of `len`: what is cut off is the last.
    pub fn of_item(self, index: usize, len: usize) -> Status {
        if index + 1 == len { self.status } else { Status::Completed }
    }
}

fn refuses(item: &Item) -> bool {
    matches!(item, Item::Message { content, .. } if content.iter().any(|content| !content.is_text()))
}

/// The object. What the caller said of the call is not known here: where the SDKs demand a field of
/// that kind, it has the API's default.
#[derive(Serialize)]
pub struct Response<'a> {
    id: &'a str,
    object: &'static str,
    created_at: i64,
    status: Status,
    background: bool,
    error: (),
    incomplete_details: Option<IncompleteDetails>,
    instructions: (),
    max_output_tokens: (),
    metadata: (),
    model: &'a str,
    output: &'a [Item],
    parallel_tool_calls: bool,
    previous_response_id: (),
    store: bool,
    temperature: (),
    tool_choice: &'static str,
    tools: [(); 0],
    top_p: (),
    truncation: &'static str,
    usage: Option<WrittenUsage>,
}

#[derive(Serialize)]
struct IncompleteDetails {
    reason: &'static str,
}

impl<'a> Response<'a> {
    pub fn new(
        id: &'a str,
        model: &'a str,
        created: i64,
        ending: Ending,
        output: &'a [Item],
        usage: Option<Usage>,
    ) -> Self {
        Self {
            id,
            object: "response",
            created_at: created,
            status: ending.status,
            background: false,
            error: (),
            incomplete_details: ending.reason.map(|reason| IncompleteDetails { reason }),
            instructions: (),
            max_output_tokens: (),
            metadata: (),
            model,
            output,
            parallel_tool_calls: true,
            previous_response_id: (),
            store: false,
            temperature: (),
            tool_choice: "auto",
            tools: [],
            top_p: (),
            truncation: "disabled",
            usage: usage.map(WrittenUsage::from),
        }
    }
}

/// The response's id, by the provider's where it gave one.
pub fn response_id(provider: &str, context: &Context) -> String {
    let id = if provider.is_empty() { &context.id } else { provider };
    if id.starts_with("resp_") { id.to_owned() } else { format!("resp_{id}") }
}

/// The model's name, by the provider where it gave one.
pub fn model<'a>(provider: &'a str, context: &'a Context) -> &'a str {
    if provider.is_empty() { &context.model } else { provider }
}

#[derive(Serialize)]
struct WrittenUsage {
    input_tokens: u64,
    input_tokens_details: WrittenInput,
    output_tokens: u64,
    output_tokens_details: WrittenOutput,
    total_tokens: u64,
}

#[derive(Serialize)]
struct WrittenInput {
    cache_write_tokens: u64,
    cached_tokens: u64,
}

#[derive(Serialize)]
struct WrittenOutput {
    reasoning_tokens: u64,
}

impl From<Usage> for WrittenUsage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input,
            input_tokens_details: WrittenInput {
                cache_write_tokens: usage.cache_write,
                cached_tokens: usage.cached_input,
            },
            output_tokens: usage.output,
            output_tokens_details: WrittenOutput { reasoning_tokens: usage.reasoning },
            total_tokens: usage.input.saturating_add(usage.output),
        }
    }
}

/// A provider's `response` object, of which only the usage is read.
#[derive(Default, Deserialize)]
pub struct Counted {
    usage: Option<ReadUsage>,
}

#[derive(Default, Deserialize)]
pub struct ReadUsage {
    input_tokens: Option<u64>,
    input_tokens_details: Option<ReadInput>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<ReadOutput>,
}

#[derive(Default, Deserialize)]
struct ReadInput {
    cache_write_tokens: Option<u64>,
    cached_tokens: Option<u64>,
}

#[derive(Default, Deserialize)]
struct ReadOutput {
    reasoning_tokens: Option<u64>,
}

impl Counted {
    /// `None` where serde has to say what it is.
    pub fn skim(skim: &mut Skim<'_>) -> Option<Self> {
        let mut read = Self::default();
        skim.fields(["usage"], |_, skim| {
            read.usage = skim.optional(ReadUsage::skim)?;
            Some(())
        })?;
        Some(read)
    }

    pub fn usage(self) -> Option<Usage> {
        self.usage.map(Usage::from)
    }
}

impl ReadUsage {
    fn skim(skim: &mut Skim<'_>) -> Option<Self> {
        const NAMES: [&str; 4] =
            ["input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details"];
        let mut read = Self::default();
        skim.fields(NAMES, |name, skim| {
            match name {
                "input_tokens" => read.input_tokens = skim.count()?,
                "input_tokens_details" => read.input_tokens_details = skim.optional(ReadInput::skim)?,
                "output_tokens" => read.output_tokens = skim.count()?,
                _ => read.output_tokens_details = skim.optional(ReadOutput::skim)?,
            }
            Some(())
        })?;
        Some(read)
    }
}

impl ReadInput {
    fn skim(skim: &mut Skim<'_>) -> Option<Self> {
        let [cache_write_tokens, cached_tokens] = skim.counts(["cache_write_tokens", "cached_tokens"])?;
        Some(Self { cache_write_tokens, cached_tokens })
    }
}

impl ReadOutput {
    fn skim(skim: &mut Skim<'_>) -> Option<Self> {
        let [reasoning_tokens] = skim.counts(["reasoning_tokens"])?;
        Some(Self { reasoning_tokens })
    }
}

impl From<ReadUsage> for Usage {
    fn from(read: ReadUsage) -> Self {
        let input = read.input_tokens_details.unwrap_or_default();
        let output = read.output_tokens_details.unwrap_or_default();
        Self {
            input: read.input_tokens.unwrap_or_default(),
            cached_input: input.cached_tokens.unwrap_or_default(),
            cache_write: input.cache_write_tokens.unwrap_or_default(),
            output: read.output_tokens.unwrap_or_default(),
            reasoning: output.reasoning_tokens.unwrap_or_default(),
        }
    }
}
