//! What is asked, in no vendor's words: the neutral model of a call that generates text.

use std::borrow::Cow;

use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::seal::Seal;

/// A call. What is `None` was not said, and is not said to the provider either.
#[derive(Debug, Default)]
pub struct Request {
    /// In the caller's order. System messages stand where the caller put them; an API that has one
    /// place for them takes them all, in order.
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub tool_choice: Option<ToolChoice>,
    /// `Some(false)`: at most one tool call a turn.
    pub parallel_tool_calls: Option<bool>,
    pub max_tokens: Option<u64>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
    pub presence_penalty: Option<f64>,
    pub frequency_penalty: Option<f64>,
    pub stop: Vec<String>,
    pub seed: Option<i64>,
    /// How many answers are wanted.
    pub choices: Option<u32>,
    pub output: Output,
    pub reasoning: Option<Reasoning>,
    /// Wants the log probabilities of tokens, with so many alternatives each.
    pub logprobs: Option<u32>,
    /// Who the application's user is: a hint for the provider's abuse detection.
    pub user: Option<String>,
    /// The caller's own notes. A hint: they do not change the answer.
    pub metadata: Vec<(String, String)>,
    pub stream: bool,
    /// Fields that have no place above.
    pub leftovers: Vec<Leftover>,
}

/// A field of the caller's request that the neutral model does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its path in the caller's words, such as `logit_bias` or `messages[2].content[0].cache_control`.
    pub field: String,
    /// It changes cost or speed at most, never the answer: it may be left out, and that is reported.
    pub hint: bool,
}

/// A conversation of nothing but text, as most are, with what little says how hard it is. The text is still in the body.
#[derive(Debug, PartialEq, Eq)]
pub struct Plain<'a> {
    pub messages: Vec<PlainMessage<'a>>,
    pub max_tokens: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct PlainMessage<'a> {
    pub role: Role,
    /// Text by text; UTF-8 where the body is.
    pub texts: SmallVec<[Cow<'a, [u8]>; 1]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// OpenAI's `developer` too.
    System,
    User,
    Assistant,
}

/// A turn, or a part of one: neighbours of one role are one turn to the APIs that alternate. Tool
/// results stand in messages of role `User`.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub role: Role,
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Text(String),
    Image(Media),
    Audio(Media),
    Video(Media),
    Document {
        media: Media,
        name: Option<String>,
    },
    /// The model's thinking in an earlier turn; `seal` is the provider's proof that it is its own.
    /// Empty text with a seal: the provider showed nothing but the proof.
    Reasoning {
        text: String,
        seal: Option<Seal>,
    },
    /// What the model said instead of an answer.
    Refusal(String),
    ToolCall(ToolCall),
    ToolResult(ToolResult),
}

/// Where the bytes of a picture, a sound or a document are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// In the request: base64, with the media type, such as `image/png`.
    Inline { media_type: String, data: String },
    /// Somewhere else. `media_type` where the caller said it.
    Url { url: String, media_type: Option<String> },
    /// A text document in the request itself.
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// Never empty: where an API has no ids, its reader makes them up in order, as `call_0`.
    pub id: String,
    pub name: String,
    /// A JSON object, as text. Never empty: no arguments are `{}`.
    pub arguments: String,
    pub seal: Option<Seal>,
}

impl ToolCall {
    /// The id of a call whose provider gave none: unique within its reply.
    #[must_use]
    pub fn made_up_id(index: impl std::fmt::Display) -> String {
        format!("call_{index}")
    }

    /// The same made unique among all replies: callers keep ids, and a conversation has many replies.
    #[must_use]
    pub fn renewed_id(id: &str, reply: &str) -> Option<String> {
        let index = id.strip_prefix("call_")?;
        (index.len() <= 4 && index.bytes().all(|b| b.is_ascii_digit()))
            .then(|| format!("call_{reply}_{index}"))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// The call that this is the result of.
    pub id: String,
    /// The tool's name. Readers fill it in from the call where their API does not say it.
    pub name: String,
    /// Text, images and documents.
    pub content: Vec<Part>,
    pub is_error: bool,
}

/// A function that the model may call.
#[derive(Clone, Debug)]
pub struct Tool {
    pub name: String,
    pub description: Option<String>,
    /// JSON Schema of the arguments. `None`: no arguments.
    pub parameters: Option<Box<RawValue>>,
    /// The arguments must follow the schema exactly.
    pub strict: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    Auto,
    None,
    /// Some tool must be called.
    Required,
    /// This tool must be called.
    Named(String),
}

/// The form of the answer.
#[derive(Clone, Debug, Default)]
pub enum Output {
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    JsonSchema(OutputSchema),
}

#[derive(Clone, Debug)]
pub struct OutputSchema {
    /// Empty where the caller's API has no names.
    pub name: String,
    pub description: Option<String>,
    pub schema: Box<RawValue>,
    pub strict: Option<bool>,
}

/// How much to think before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reasoning {
    pub amount: ReasoningAmount,
    /// Whether the caller wants to read along. `None`: what the API does by default.
    pub shown: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasoningAmount {
    Off,
    /// As the model sees fit.
    Auto,
    Effort(Effort),
    /// At most so many tokens.
    Budget(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    Minimal,
    Low,
    Medium,
    High,
    XHigh,
    Max,
}

impl Effort {
    /// The budget in tokens that stands for the effort where an API counts tokens. The values up to
    /// `High` are those by which Gemini's OpenAI-compatible endpoint maps them.
    #[must_use]
    pub fn budget(self) -> u64 {
        match self {
            Self::Minimal | Self::Low => 1024,
            Self::Medium => 8192,
            Self::High => 24576,
            Self::XHigh | Self::Max => 32768,
        }
    }

    /// The least effort whose budget holds so many tokens.
    #[must_use]
    pub fn of_budget(tokens: u64) -> Self {
        [Self::Low, Self::Medium, Self::High, Self::XHigh]
            .into_iter()
            .find(|effort| tokens <= effort.budget())
            .unwrap_or(Self::Max)
    }

    /// As the vendors write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Minimal, Self::Low, Self::Medium, Self::High, Self::XHigh, Self::Max]
            .into_iter()
            .find(|effort| effort.as_str() == text)
    }
}

impl Request {
    /// Notes a field that has no place in the model and changes the answer.
    pub fn left_over(&mut self, field: impl Into<String>) {
        self.leftovers.push(Leftover { field: field.into(), hint: false });
    }

    /// Notes a field that has no place in the model and is a hint only.
    pub fn left_over_hint(&mut self, field: impl Into<String>) {
        self.leftovers.push(Leftover { field: field.into(), hint: true });
    }

    /// The name of the tool that an earlier call named; results are told by it in some APIs.
    #[must_use]
    pub fn tool_of_call(&self, id: &str) -> Option<&str> {
        self.messages.iter().rev().flat_map(|message| &message.parts).find_map(|part| match part {
            Part::ToolCall(call) if call.id == id => Some(call.name.as_str()),
            _ => None,
        })
    }
}
