//! What providers answer: the `response` object with its items, whole, and at the ends of a stream.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::output::ReadUsage;
use crate::{
    Dialect, Fault, Garbled,
    chat::{Part, ToolCall},
    openai::{
        chat::{
            logprobs::ReadToken,
            wire::{Str, text},
        },
        error::read_success_error,
    },
    reply::{Choice, Finish, Reply, TokenLogprob, Usage},
    seal::Seal,
};

#[derive(Default, Deserialize)]
pub struct Response<'a> {
    #[serde(borrow)]
    pub id: Option<Str<'a>>,
    pub model: Option<Str<'a>>,
    pub status: Option<Str<'a>>,
    incomplete_details: Option<IncompleteDetails<'a>>,
    error: Option<&'a RawValue>,
    output: Option<Vec<&'a RawValue>>,
    pub usage: Option<ReadUsage>,
}

#[derive(Deserialize)]
struct IncompleteDetails<'a> {
    #[serde(borrow)]
    reason: Option<Str<'a>>,
}

impl Response<'_> {
    pub fn failed(&self) -> bool {
        let status = self.status.as_ref().map(|status| status.0.as_ref());
        self.error.is_some() || matches!(status, Some("failed" | "cancelled"))
    }

    /// Why the answer failed.
    pub fn fault(&self) -> Fault {
        let silent = || Fault::of_status(500, "The provider gave the answer up and did not say why.");
        self.error.map_or_else(silent, |error| read_success_error(error.get()))
    }

    /// `calls`: the answer has tool calls; `refused`: it has a refusal.
    pub fn finish(&self, incomplete: bool, calls: bool, refused: bool) -> Finish {
        if incomplete {
            let reason = self.incomplete_details.as_ref().and_then(|details| details.reason.as_ref());
            return match reason.map(|reason| reason.0.as_ref()) {
                None => Finish::Pause,
                Some("content_filter") => Finish::ContentFilter,
                Some(_) => Finish::Length,
            };
        }
        match (calls, refused) {
            (true, _) => Finish::ToolCalls,
            (false, true) => Finish::Refusal,
            (false, false) => Finish::Stop,
        }
    }
}

/// A piece of output. Of the kinds that there are, only these can come of what was asked.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    Reasoning(Thinking),
    Message {
        content: Option<Vec<Content>>,
    },
    FunctionCall(Call),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
pub struct Thinking {
    summary: Option<Vec<Said>>,
    content: Option<Vec<Said>>,
    encrypted_content: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    OutputText {
        text: Option<String>,
        logprobs: Option<Vec<ReadToken>>,
    },
    Refusal {
        refusal: Option<String>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
pub struct Call {
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
}

impl Item {
    pub fn read(raw: &RawValue) -> Result<Self, Garbled> {
        Ok(serde_json::from_str(raw.get())?)
    }
}

/// What stands between the parts of one piece of thinking.
pub const APART: &str = "\n\n";

impl Thinking {
    /// The text and its proof. Open models show the thinking itself, which then counts, and not what it
    /// is about.
    pub fn into_parts(self) -> (String, Option<Seal>) {
        let [summary, thinking] = [self.summary, self.content].map(|said| {
            let texts: Vec<_> = said.into_iter().flatten().filter_map(|said| said.text).collect();
            texts.join(APART)
        });
        let seal = self.encrypted_content.filter(|proof| !proof.is_empty());
        let text = if thinking.is_empty() { summary } else { thinking };
        (text, seal.map(|proof| Seal::new(Dialect::OpenAI, proof)))
    }
}

impl Content {
    /// The text or the refusal, where there is one, and the tokens that it is made of.
    pub fn into_parts(self) -> (Option<Part>, Vec<TokenLogprob>) {
        match self {
            Self::OutputText { text, logprobs } => (
                text.filter(|text| !text.is_empty()).map(Part::Text),
                logprobs.into_iter().flatten().map(TokenLogprob::from).collect(),
            ),
            Self::Refusal { refusal } => {
                (refusal.filter(|text| !text.is_empty()).map(Part::Refusal), Vec::new())
            }
            Self::Other => (None, Vec::new()),
        }
    }
}

impl Call {
    /// The call, the `index`th of its answer, with the arguments as far as they have come; `None` where
    /// it names no function.
    pub fn into_call(self, index: usize) -> Option<ToolCall> {
        let id = self.call_id.filter(|id| !id.is_empty());
        Some(ToolCall {
            id: id.unwrap_or_else(|| ToolCall::made_up_id(index)),
            name: self.name.filter(|name| !name.is_empty())?,
            arguments: self.arguments.unwrap_or_default(),
            seal: None,
        })
    }
}

pub fn nameless() -> Garbled {
    Garbled::new("a tool call names no function")
}

/// # Errors
/// When the body is no response, or one that failed.
pub fn read(body: &[u8]) -> Result<Reply, Garbled> {
    let mut response: Response<'_> = serde_json::from_slice(body)?;
    if response.failed() {
        let message = response.fault().message;
        return Err(Garbled::new(format!("it is an error in spite of its status: {message}")));
    }
    let items = response.output.take().ok_or_else(|| Garbled::new("it has no output"))?;
    let mut choice = Choice::default();
    let mut calls = 0;
    for raw in items {
        match Item::read(raw)? {
            Item::Reasoning(thinking) => {
                let (text, seal) = thinking.into_parts();
                if !text.is_empty() || seal.is_some() {
                    choice.parts.push(Part::Reasoning { text, seal });
                }
            }
            Item::Message { content } => {
                for content in content.into_iter().flatten() {
                    let (part, logprobs) = content.into_parts();
                    choice.parts.extend(part);
                    choice.logprobs.extend(logprobs);
                }
            }
            Item::FunctionCall(call) => {
                let mut call = call.into_call(calls).ok_or_else(nameless)?;
                if call.arguments.trim().is_empty() {
                    "{}".clone_into(&mut call.arguments);
                }
                choice.parts.push(Part::ToolCall(call));
                calls += 1;
            }
            Item::Other => {}
        }
    }
    let incomplete = response.status.as_ref().is_some_and(|status| status.0 == "incomplete");
    let refused = choice.parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    choice.finish = response.finish(incomplete, calls > 0, refused);
    Ok(Reply {
        id: text(&mut response.id).into_owned(),
        model: text(&mut response.model).into_owned(),
        choices: vec![choice],
        usage: response.usage.map(Usage::from),
    })
}

#[cfg(test)]
mod tests;
