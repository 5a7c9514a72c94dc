//! What content is made of, as it is written: the same blocks in a request, a reply and a stream.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    Dialect,
    chat::{Part, ToolCall},
    json,
    seal::Seal,
};

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block<'a> {
    Text {
        text: Cow<'a, str>,
    },
    Image {
        source: Source<'a>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
    },
    Thinking {
        thinking: &'a str,
        signature: Cow<'a, str>,
    },
    RedactedThinking {
        data: Cow<'a, str>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Cow<'a, RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Self>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
    Text { media_type: &'static str, data: Cow<'a, str> },
}

impl<'a> Block<'a> {
    pub fn text(text: &'a str) -> Self {
        Self::Text { text: Cow::Borrowed(text) }
    }

    /// A call with all of its arguments.
    pub fn tool_use(id: Cow<'a, str>, call: &'a ToolCall) -> Self {
        Self::ToolUse { id, name: &call.name, input: input(&call.arguments) }
    }

    /// A seal of another kind that belongs to the call behind it.
    pub fn seal_of_call(seal: &Seal) -> Block<'static> {
        Block::RedactedThinking { data: Cow::Owned(seal.to_text(Dialect::Anthropic)) }
    }

    /// Thinking for a caller to keep, whoever thought it.
    pub fn thinking(text: &'a str, seal: Option<&Seal>) -> Self {
        let kept = Cow::Owned(seal.map(|seal| seal.to_text(Dialect::Anthropic)).unwrap_or_default());
        if text.is_empty() && seal.is_some_and(|seal| seal.redacted) {
            Self::RedactedThinking { data: kept }
        } else {
            Self::Thinking { thinking: text, signature: kept }
        }
    }

    pub fn is_thinking(&self) -> bool {
        matches!(self, Self::Thinking { .. } | Self::RedactedThinking { .. })
    }
}

/// The blocks of a reply's part; nothing for what replies do not hold.
pub fn of_reply(part: &Part) -> Vec<Block<'_>> {
    match part {
        Part::Text(text) | Part::Refusal(text) if text.is_empty() => Vec::new(),
        Part::Text(text) | Part::Refusal(text) => vec![Block::text(text)],
        Part::Reasoning { text, seal } => vec![Block::thinking(text, seal.as_ref())],
        Part::ToolCall(call) => {
            let seal = call.seal.as_ref().map(Block::seal_of_call);
            seal.into_iter().chain([Block::tool_use(Cow::Borrowed(&call.id), call)]).collect()
        }
        _ => Vec::new(),
    }
}

/// A call's arguments as the object that the API wants. What is none stands in one, whole.
fn input(arguments: &str) -> Cow<'_, RawValue> {
    #[derive(Serialize)]
    struct Wrapped<'a> {
        arguments: &'a str,
    }
    json::arguments(arguments)
        .map_or_else(|| Cow::Owned(to_raw_value(&Wrapped { arguments }).unwrap_or_default()), Cow::Borrowed)
}
