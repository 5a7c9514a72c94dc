//! Log probabilities of tokens. The tokens' `bytes` are not kept: where they are no text of their own,
//! the neutral model has no place for them, and OpenAI allows null.

use serde::{Deserialize, Serialize};

use crate::reply::TokenLogprob;

/// What OpenAI writes for a token that is very unlikely; other servers write null.
const UNLIKELY: f64 = -9999.0;

/// `logprobs` of a provider's choice.
#[derive(Deserialize)]
pub struct ReadLogprobs {
    content: Option<Vec<ReadToken>>,
    refusal: Option<Vec<ReadToken>>,
}

#[derive(Deserialize)]
pub struct ReadToken {
    token: String,
    logprob: Option<f64>,
    top_logprobs: Option<Vec<ReadTop>>,
}

#[derive(Deserialize)]
struct ReadTop {
    token: Option<String>,
    logprob: Option<f64>,
}

impl ReadTop {
    fn into_pair(self) -> (String, f64) {
        (self.token.unwrap_or_default(), self.logprob.unwrap_or(UNLIKELY))
    }
}

impl From<ReadLogprobs> for Vec<TokenLogprob> {
    fn from(read: ReadLogprobs) -> Self {
        let tokens = [read.content, read.refusal].into_iter().flatten().flatten();
        tokens.map(TokenLogprob::from).collect()
    }
}

impl From<ReadToken> for TokenLogprob {
    fn from(read: ReadToken) -> Self {
        Self {
            token: read.token,
            logprob: read.logprob.unwrap_or(UNLIKELY),
            top: read.top_logprobs.unwrap_or_default().into_iter().map(ReadTop::into_pair).collect(),
        }
    }
}

/// `logprobs` for a caller.
#[derive(Serialize)]
pub struct WrittenLogprobs<'a> {
    content: Vec<WrittenToken<'a>>,
    refusal: Option<()>,
}

#[derive(Serialize)]
struct WrittenToken<'a> {
    token: &'a str,
    logprob: f64,
    bytes: Option<()>,
    top_logprobs: Vec<WrittenTop<'a>>,
}

#[derive(Serialize)]
struct WrittenTop<'a> {
    token: &'a str,
    logprob: f64,
    bytes: Option<()>,
}

impl<'a> WrittenLogprobs<'a> {
    /// `None` where there are none, which is what the field is null for.
    pub fn of(tokens: &'a [TokenLogprob]) -> Option<Self> {
        let content = tokens.iter().map(|TokenLogprob { token, logprob, top }| WrittenToken {
            token,
            logprob: *logprob,
            bytes: None,
            top_logprobs: top
                .iter()
                .map(|(token, logprob)| WrittenTop { token, logprob: *logprob, bytes: None })
                .collect(),
        });
        (!tokens.is_empty()).then(|| Self { content: content.collect(), refusal: None })
    }
}
