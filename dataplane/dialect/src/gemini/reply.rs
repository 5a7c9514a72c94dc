//! Replies, both ways. A reply has no word for a refusal by the model itself: it is text, and the end a
//! filtered one, so that it is no plain answer.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;

use super::{
    answer::{Answer, Candidate, Piece, UsageMetadata, object},
    error::read_inner,
    parts::Part,
    signature,
};
use crate::{
    Context, Garbled,
    chat::{self, ToolCall},
    json::to_bytes,
    reply::{Choice, Finish, Reply, TokenLogprob, Usage},
};

/// # Errors
/// When there is neither an answer nor a reason why not.
pub fn read(body: &[u8]) -> Result<Reply, Garbled> {
    let answer: Answer<'_> = object(body)?;
    let blocked = answer.blocked();
    let mut choices: Vec<Choice> = answer.candidates.unwrap_or_default().into_iter().map(choice).collect();
    if choices.is_empty() {
        if answer.error.is_some() {
            return Err(Garbled::new(read_inner(body).message));
        }
        if !blocked {
            return Err(Garbled::new("it has no candidates"));
        }
        choices.push(Choice { finish: Finish::ContentFilter, ..Choice::default() });
    }
    Ok(Reply {
        id: answer.response_id.map(|id| id.0.into_owned()).unwrap_or_default(),
        model: answer.model_version.map(|model| model.0.into_owned()).unwrap_or_default(),
        choices,
        usage: answer.usage_metadata.map(Usage::from),
    })
}

fn choice(mut candidate: Candidate<'_>) -> Choice {
    let mut parts: Vec<chat::Part> = Vec::new();
    let mut calls = 0;
    for part in candidate.parts() {
        part.pieces(&mut |piece| match piece {
            Piece::Text(text) => parts.push(chat::Part::Text(text.into_owned())),
            Piece::Reasoning(text) => {
                parts.push(chat::Part::Reasoning { text: text.into_owned(), seal: None });
            }
            Piece::Sealed { seal, of_thought } => match parts.last_mut() {
                Some(chat::Part::Reasoning { seal: place @ None, .. }) if of_thought => *place = Some(seal),
                _ => parts.push(chat::Part::Reasoning { text: String::new(), seal: Some(seal) }),
            },
            Piece::Call { id, name, arguments, seal } => {
                let id = id.map_or_else(|| ToolCall::made_up_id(calls), Cow::into_owned);
                calls += 1;
                let (name, arguments) = (name.into_owned(), arguments.to_owned());
                parts.push(chat::Part::ToolCall(ToolCall { id, name, arguments, seal }));
            }
        });
    }
    let finish = candidate.finish(calls > 0);
    let finish = finish.unwrap_or(if calls > 0 { Finish::ToolCalls } else { Finish::Stop });
    Choice { parts, finish, logprobs: candidate.logprobs() }
}

/// A reply, or a frame of a stream.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Written<'a> {
    #[serde(skip_serializing_if = "<[WrittenCandidate<'_>]>::is_empty")]
    pub candidates: &'a [WrittenCandidate<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_metadata: Option<UsageMetadata>,
    pub model_version: &'a str,
    pub response_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WrittenCandidate<'a> {
    pub content: WrittenContent<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<&'static str>,
    pub index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs_result: Option<WrittenLogprobs<'a>>,
}

/// Never without a part: to the vendor's SDK an answer without one is no turn of the chat.
#[derive(Serialize)]
pub struct WrittenContent<'a> {
    parts: &'a [Part<'a>],
    role: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WrittenLogprobs<'a> {
    top_candidates: Vec<WrittenTop<'a>>,
    chosen_candidates: Vec<WrittenLogprob<'a>>,
}

#[derive(Serialize)]
struct WrittenTop<'a> {
    candidates: Vec<WrittenLogprob<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WrittenLogprob<'a> {
    token: &'a str,
    log_probability: f64,
}

impl<'a> WrittenContent<'a> {
    pub fn new(parts: &'a [Part<'a>]) -> Self {
        static BLANK: [Part<'static>; 1] = [Part::BLANK];
        Self { parts: if parts.is_empty() { &BLANK } else { parts }, role: "model" }
    }
}

impl<'a> WrittenLogprobs<'a> {
    pub fn new(tokens: &'a [TokenLogprob]) -> Option<Self> {
        let pair = |token, log_probability| WrittenLogprob { token, log_probability };
        let top = |token: &'a TokenLogprob| WrittenTop {
            candidates: token.top.iter().map(|(token, logprob)| pair(token, *logprob)).collect(),
        };
        (!tokens.is_empty()).then(|| Self {
            top_candidates: tokens.iter().map(top).collect(),
            chosen_candidates: tokens.iter().map(|token| pair(&token.token, token.logprob)).collect(),
        })
    }
}

pub fn write(reply: &Reply, context: &Context) -> Bytes {
    let parts: Vec<Vec<Part<'_>>> =
        reply.choices.iter().map(|choice| choice.parts.iter().filter_map(part).collect()).collect();
    let candidate = |((choice, parts), index)| {
        let choice: &Choice = choice;
        WrittenCandidate {
            content: WrittenContent::new(parts),
            finish_reason: Some(finish_reason(&choice.finish)),
            index,
            logprobs_result: WrittenLogprobs::new(&choice.logprobs),
        }
    };
    let candidates: Vec<_> =
        reply.choices.iter().zip(parts.iter().map(Vec::as_slice)).zip(0..).map(candidate).collect();
    to_bytes(&Written {
        candidates: &candidates,
        usage_metadata: reply.usage.map(UsageMetadata::from),
        model_version: or(&reply.model, &context.model),
        response_id: or(&reply.id, &context.id),
    })
}

pub fn or<'a>(said: &'a str, otherwise: &'a str) -> &'a str {
    if said.is_empty() { otherwise } else { said }
}

fn part(part: &chat::Part) -> Option<Part<'_>> {
    match part {
        chat::Part::Text(text) | chat::Part::Refusal(text) => Some(Part::text(text.as_str())),
        chat::Part::Reasoning { text, seal } => {
            Some(Part::thought(text.as_str()).signed(seal.as_ref().map(signature::write)))
        }
        chat::Part::ToolCall(call) => {
            let written = Part::call(&call.id, &call.name, &call.arguments);
            Some(written.signed(call.seal.as_ref().map(signature::write)))
        }
        // Answers hold no others.
        _ => None,
    }
}

pub fn finish_reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::ContentFilter | Finish::Refusal => "SAFETY",
        Finish::Pause => "OTHER",
    }
}
