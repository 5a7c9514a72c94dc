//! What came of an attempt: whether it is the answer, whether another candidate may do better, and what
//! it says of the provider's health.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, header};
use llm_dialect::FaultKind;
use llm_routing::{attempts::Failure, backoff::parse_retry_after};

use super::{Refused, Reply, ReplyStart};
use crate::{
    error::{Denial, Error},
    upstream::health::Trial,
};

/// Characters of what a provider says that go to a log, at most.
const MOST_SAID: usize = 400;

/// Bytes of it that are looked at.
const MOST_READ: usize = 4096;

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
    let Some(Refused { status, kind, too_long }) = reply.refused else {
        return match &reply.body {
            ReplyStart::Whole { usage, .. } => {
                trial.answered(*usage);
                Judgement::Final(Ok((reply, None)))
            }
            ReplyStart::Stream { .. } => {
                trial.first_token();
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
            trial.answered(None);
            return Judgement::Final(Ok((reply, None)));
        }
    };
    Judgement::Elsewhere { outcome: Ok(reply), failure }
}

/// The key is the platform's, and so is the account: no caller can do anything about them, and none is told what the
/// provider says of them. Breakers open by it as by any failure.
fn denied(denial: Denial, status: StatusCode, reply: &Reply, trial: Trial) -> Judgement {
    let message = format!("it {} (status {})", denial.words(), status.as_u16());
    let provider = trial.provider().to_owned();
    // A caller that goes on does not fill the log.
    if trial.is_news(&message) {
        let said = match &reply.body {
            ReplyStart::Whole { body, .. } => {
                // What is shown is short, and what may come is not.
                let said = body.bytes.get(..MOST_READ).unwrap_or(&body.bytes);
                blotted(&String::from_utf8_lossy(said))
            }
            ReplyStart::Stream { .. } => String::new(),
        };
        let status = status.as_u16();
        tracing::warn!(provider, status, said, "the provider does not accept the gateway's credentials");
    }
    match denial {
        Denial::Key | Denial::Credit => trial.failed("provider_refuses_key", message),
        // It says nothing of calls of others.
        Denial::Right => trial.denied(message),
    }
    let outcome = Err(Error::ProviderDenies { provider, denial, status });
    Judgement::Elsewhere { outcome, failure: Failure::Lasting }
}

/// What a provider says, fit for a log: whatever in it may be a key or a part of one is blotted out.
fn blotted(text: &str) -> String {
    let of_key = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '*' | '.' | '…' | '•');
    let secret = |word: &str| {
        word.starts_with("sk-")
            || word.contains(['*', '…', '•'])
            || word.contains("..")
            || (word.len() >= 8 && word.contains(|c: char| c.is_ascii_digit()))
    };
    let (mut clean, mut word) = (String::new(), String::new());
    for c in text.chars().chain([' ']) {
        if of_key(c) {
            word.push(c);
            continue;
        }
        clean.push_str(if secret(&word) { "[blotted out]" } else { &word });
        clean.push(c);
        word.clear();
    }
    let shown = clean.trim_end().chars().take(MOST_SAID);
    shown.map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// When the provider wants to be asked again. OpenAI's SDKs know milliseconds too.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.trim().parse::<u32>().ok()) {
        return Some(Duration::from_millis(millis.into()));
    }
    parse_retry_after(text(header::RETRY_AFTER.as_str())?, SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_be_a_key_is_blotted_out_and_the_rest_can_be_read() {
        let out = "[blotted out]";
        for (said, wanted) in [
            (
                "Incorrect API key provided: sk-proj-**********Ab1z. See https://x.com/keys.",
                format!("Incorrect API key provided: {out} See https://x.com/keys."),
            ),
            (r#"{"message":"invalid x-api-key"}"#, r#"{"message":"invalid x-api-key"}"#.to_owned()),
            ("key AIzaSyD4-9tSrke72PouQMn, org-4f5g6h7j", format!("key {out}, {out}")),
            ("key abcd...wxyz and abcd…wxyz", format!("key {out} and {out}")),
        ] {
            assert_eq!(blotted(said), wanted);
        }
    }
}
