//! What came of an attempt: whether it is the answer, whether another candidate may do better, and what
//! it says of the provider's health.

mod denied;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};
use llm_dialect::FaultKind;
use llm_routing::{attempts::Failure, backoff::parse_retry_after};

use denied::denied;

use super::{Refused, Reply, ReplyStart};
use crate::{
    clock,
    error::{Denial, Error},
    upstream::health::Trial,
};

/// What comes of an attempt.
pub enum Judgement {
    /// It is the answer; beside a stream, the attempt that its end decides.
    Final(Result<(Reply, Option<Trial>), Error>),
    /// Another candidate, or another try, may do better.
    Elsewhere { outcome: Result<Reply, Error>, failure: Failure },
}

/// Judges an attempt, and notes it in the health of its target. `fair`: it had time enough for its
/// running out to tell something of the provider.
pub fn judge(outcome: Result<Reply, Error>, trial: Trial, fair: bool) -> Judgement {
    match outcome {
        Ok(reply) => judge_reply(reply, trial),
        // There is no time left for another.
        Err(error @ Error::Timeout { .. }) => {
            if fair {
                trial.failed(error.code(), error.to_string());
            }
            Judgement::Final(Err(error))
        }
        Err(error) if error.is_providers() => {
            trial.failed(error.code(), error.to_string());
            Judgement::Elsewhere { outcome: Err(error), failure: Failure::Passing { retry_after: None } }
        }
        Err(error) => Judgement::Final(Err(error)),
    }
}

fn judge_reply(reply: Reply, mut trial: Trial) -> Judgement {
    let now = clock::at(reply.came);
    let Some(Refused { status, kind, too_long }) = reply.refused else {
        return match &reply.body {
            ReplyStart::Whole { usage, .. } => {
                trial.answered(*usage, now);
                Judgement::Final(Ok((reply, None)))
            }
            ReplyStart::Stream(_) => {
                trial.first_token(now);
                Judgement::Final(Ok((reply, Some(trial))))
            }
        };
    };
    let failure = match kind {
        FaultKind::RateLimit => {
            let retry_after = retry_after(&reply.headers);
            trial.rate_limited(retry_after);
            Failure::Passing { retry_after }
        }
        FaultKind::Authentication => return denied(Denial::Key, status, &reply, trial),
        FaultKind::Billing => return denied(Denial::Credit, status, &reply, trial),
        FaultKind::Permission => return denied(Denial::Right, status, &reply, trial),
        // A caller may have brought it about: it says nothing of calls of others.
        FaultKind::NotFound => {
            trial.refused();
            Failure::Lasting
        }
        FaultKind::InvalidRequest | FaultKind::TooLarge if too_long => {
            trial.refused();
            Failure::Lasting
        }
        FaultKind::Timeout | FaultKind::Overloaded | FaultKind::Server => {
            trial.failed("provider_error", format!("it answered with status {}", status.as_u16()));
            Failure::Passing { retry_after: retry_after(&reply.headers) }
        }
        FaultKind::InvalidRequest | FaultKind::TooLarge => {
            trial.answered(None, now);
            return Judgement::Final(Ok((reply, None)));
        }
    };
    Judgement::Elsewhere { outcome: Ok(reply), failure }
}

/// When the provider wants to be asked again. OpenAI's SDKs know milliseconds too.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.trim().parse::<u32>().ok()) {
        return Some(Duration::from_millis(millis.into()));
    }
    parse_retry_after(text(header::RETRY_AFTER.as_str())?, SystemTime::now())
}
