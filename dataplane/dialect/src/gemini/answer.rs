//! What a provider's replies and frames look like, as far as they are read, and the counts in them.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Dialect, Garbled,
    answers::Answers,
    json::to_bytes,
    reply::{Finish, TokenLogprob, Usage},
    seal::Seal,
    skim::{self, Skim},
};

/// A string that borrows where it holds no escape.
#[derive(Debug, Deserialize)]
pub struct Str<'a>(#[serde(borrow)] pub Cow<'a, str>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer<'a> {
    #[serde(borrow)]
    pub candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    pub prompt_feedback: Option<PromptFeedback<'a>>,
    pub usage_metadata: Option<UsageMetadata>,
    #[serde(borrow)]
    pub model_version: Option<Str<'a>>,
    #[serde(borrow)]
    pub response_id: Option<Str<'a>>,
    /// In the middle of a stream.
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PromptFeedback<'a> {
    #[serde(borrow)]
    block_reason: Option<Str<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate<'a> {
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Str<'a>>,
    pub index: Option<u32>,
    #[serde(borrow)]
    logprobs_result: Option<LogprobsResult<'a>>,
}

#[derive(Debug, Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    parts: Option<Vec<Part<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part<'a> {
    #[serde(borrow)]
    text: Option<Str<'a>>,
    thought: Option<bool>,
    #[serde(borrow)]
    thought_signature: Option<Str<'a>>,
    #[serde(borrow)]
    function_call: Option<FunctionCall<'a>>,
}

#[derive(Debug, Deserialize)]
struct FunctionCall<'a> {
    #[serde(borrow)]
    id: Option<Str<'a>>,
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogprobsResult<'a> {
    #[serde(borrow)]
    chosen_candidates: Option<Vec<Logprob<'a>>>,
    #[serde(borrow)]
    top_candidates: Option<Vec<TopCandidates<'a>>>,
}

#[derive(Debug, Deserialize)]
struct TopCandidates<'a> {
    #[serde(borrow)]
    candidates: Option<Vec<Logprob<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logprob<'a> {
    #[serde(borrow)]
    token: Option<Str<'a>>,
    log_probability: Option<f64>,
}

/// Read of providers, and written for callers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageMetadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_content_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thoughts_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_use_prompt_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_token_count: Option<u64>,
}

/// What a part says, one thing at a time.
#[derive(Debug)]
pub enum Piece<'a> {
    Text(Cow<'a, str>),
    Reasoning(Cow<'a, str>),
    /// On a part of text or of thinking, behind what the part says.
    Sealed {
        seal: Seal,
        of_thought: bool,
    },
    Call {
        id: Option<Cow<'a, str>>,
        name: Cow<'a, str>,
        arguments: &'a str,
        seal: Option<Seal>,
    },
}

/// A body that must be a JSON object: serde would take an array for a struct too.
pub fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Garbled> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Garbled::new("it is no JSON object"));
    }
    Ok(serde_json::from_slice(body)?)
}

fn filled(text: Option<Str<'_>>) -> Option<Cow<'_, str>> {
    text.map(|text| text.0).filter(|text| !text.is_empty())
}

impl Answer<'_> {
    /// Whether the prompt was refused, so that there is no candidate.
    pub fn blocked(&self) -> bool {
        self.prompt_feedback.as_ref().is_some_and(|feedback| feedback.block_reason.is_some())
    }
}

impl<'a> Candidate<'a> {
    pub fn parts(&mut self) -> impl Iterator<Item = Part<'a>> + use<'a> {
        self.content.take().and_then(|content| content.parts).into_iter().flatten()
    }

    /// Why the answer ends, where it does; `called` says whether it has called a function.
    pub fn finish(&self, called: bool) -> Option<Finish> {
        self.finish_reason.as_ref().map(|reason| match reason.0.as_ref() {
            // The last is no word of the vendor's, but of servers that speak its API.
            "STOP" | "FINISH_REASON_UNSPECIFIED" | "FUNCTION_CALL" if called => Finish::ToolCalls,
            "STOP" | "FINISH_REASON_UNSPECIFIED" => Finish::Stop,
            "MAX_TOKENS" | "CONTINUATION" => Finish::Length,
            // A filter, or a call that the provider found malformed and kept back: in either case
            // something is missing, which a plain stop would hide.
            _ => Finish::ContentFilter,
        })
    }

    pub fn logprobs(&mut self) -> Vec<TokenLogprob> {
        let Some(LogprobsResult { chosen_candidates, top_candidates }) = self.logprobs_result.take() else {
            return Vec::new();
        };
        let pair = |of: Logprob<'_>| {
            (
                of.token.map(|token| token.0.into_owned()).unwrap_or_default(),
                of.log_probability.unwrap_or(0.0),
            )
        };
        let mut tops = top_candidates.unwrap_or_default().into_iter();
        let token = |chosen| {
            let (token, logprob) = pair(chosen);
            let top = tops.next().and_then(|top| top.candidates).unwrap_or_default();
            TokenLogprob { token, logprob, top: top.into_iter().map(pair).collect() }
        };
        chosen_candidates.unwrap_or_default().into_iter().map(token).collect()
    }
}

impl<'a> Part<'a> {
    /// Takes the part apart; what can't have been asked for, such as pictures, is passed over.
    pub fn pieces(self, take: &mut dyn FnMut(Piece<'a>)) {
        let seal = filled(self.thought_signature).map(|value| Seal::new(Dialect::Gemini, value));
        if let Some(FunctionCall { id, name, args }) = self.function_call {
            let name = name.map(|name| name.0).unwrap_or_default();
            let arguments = args.map_or("{}", RawValue::get);
            take(Piece::Call { id: filled(id), name, arguments, seal });
            return;
        }
        let of_thought = self.thought == Some(true);
        if let Some(text) = filled(self.text) {
            take(if of_thought { Piece::Reasoning(text) } else { Piece::Text(text) });
        }
        if let Some(seal) = seal {
            take(Piece::Sealed { seal, of_thought });
        }
    }
}

impl From<UsageMetadata> for Usage {
    fn from(said: UsageMetadata) -> Self {
        let of = |count: Option<u64>| count.unwrap_or(0);
        Self {
            input: of(said.prompt_token_count).saturating_add(of(said.tool_use_prompt_token_count)),
            cached_input: of(said.cached_content_token_count),
            cache_write: 0,
            output: of(said.candidates_token_count).saturating_add(of(said.thoughts_token_count)),
            reasoning: of(said.thoughts_token_count),
        }
    }
}

impl From<Usage> for UsageMetadata {
    fn from(usage: Usage) -> Self {
        let some = |count: u64| (count > 0).then_some(count);
        Self {
            prompt_token_count: Some(usage.input),
            cached_content_token_count: some(usage.cached_input),
            candidates_token_count: Some(usage.output.saturating_sub(usage.reasoning)),
            thoughts_token_count: some(usage.reasoning),
            tool_use_prompt_token_count: None,
            total_token_count: Some(usage.input.saturating_add(usage.output)),
        }
    }
}

impl UsageMetadata {
    /// `None` where serde has to say what it is.
    fn skim(skim: &mut Skim<'_>) -> Option<Self> {
        let [prompt, cached, candidates, thoughts, tool_use, total] = skim.counts([
            "promptTokenCount",
            "cachedContentTokenCount",
            "candidatesTokenCount",
            "thoughtsTokenCount",
            "toolUsePromptTokenCount",
            "totalTokenCount",
        ])?;
        Some(Self {
            prompt_token_count: prompt,
            cached_content_token_count: cached,
            candidates_token_count: candidates,
            thoughts_token_count: thoughts,
            tool_use_prompt_token_count: tool_use,
            total_token_count: total,
        })
    }

    /// As replies of embeddings have it.
    pub fn of_input(tokens: u64) -> Self {
        Self { prompt_token_count: Some(tokens), ..Self::default() }
    }
}

/// The usage in a whole reply, of whatever method.
pub fn usage_of(body: &[u8]) -> Result<Option<Usage>, Garbled> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Counted {
        usage_metadata: Option<UsageMetadata>,
    }
    let mut metadata = None;
    let skimmed = skim::whole(body, |skim| {
        skim.fields(["usageMetadata"], |_, skim| {
            metadata = skim.optional(UsageMetadata::skim)?;
            Some(())
        })
    });
    if skimmed.is_some() {
        return Ok(metadata.map(Usage::from));
    }
    object::<Counted>(body).map(|counted| counted.usage_metadata.map(Usage::from))
}

/// No frame is there for the usage alone.
pub fn note_usage(data: &[u8], usage: &mut Option<Usage>) -> bool {
    if let Ok(Some(said)) = usage_of(data) {
        *usage = Some(said);
    }
    false
}

/// A prompt that is refused has no candidate.
pub fn note_answers(data: &[u8], answers: &mut Answers) {
    let Ok(answer) = object::<Answer<'_>>(data) else { return };
    let blocked = answer.blocked();
    let candidates = answer.candidates.unwrap_or_default();
    if blocked && candidates.is_empty() {
        answers.end();
    }
    for (candidate, place) in candidates.iter().zip(0..) {
        answers.note(candidate.index.unwrap_or(place), candidate.finish_reason.is_some());
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct TotalTokens {
    total_tokens: u64,
}

pub fn total_tokens(body: &[u8]) -> Result<u64, Garbled> {
    object::<TotalTokens>(body).map(|count| count.total_tokens)
}

pub fn write_total_tokens(total_tokens: u64) -> Bytes {
    to_bytes(&TotalTokens { total_tokens })
}
