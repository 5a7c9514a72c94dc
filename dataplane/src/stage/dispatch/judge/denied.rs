//! A provider that refuses the gateway itself: its key, its account, or a right of that.

use http::StatusCode;
use llm_routing::attempts::Failure;
use serde::Deserialize;

use super::{Judgement, Reply, ReplyStart};
use crate::{
    error::{Denial, Error},
    snapshot::{Provider, Upstream},
    upstream::health::{REFUSES_KEY, Trial},
};

/// Characters of what a provider says that go to a log, at most.
const MOST_SAID: usize = 400;

/// Bytes of it that are looked at.
const MOST_READ: usize = 4096;

/// As many bytes as a word has to share with a key to be a part of it.
const SHARED: usize = 4;

/// The key is the platform's, and so is the account: no caller can do anything about them, and none is told what the
/// provider says of them. Breakers open by it as by any failure.
pub fn denied(denial: Denial, status: StatusCode, reply: &Reply, trial: Trial) -> Judgement {
    let message = format!("it {} (status {})", denial.words(), status.as_u16());
    let provider = trial.provider().name.to_string();
    // A caller that goes on does not fill the log.
    if trial.denial_is_news() {
        let said = blotted(&said(reply), &secrets(trial.provider()));
        let status = status.as_u16();
        tracing::warn!(provider, status, said, "the provider does not accept the gateway's credentials");
    }
    match denial {
        Denial::Key | Denial::Credit => trial.failed(REFUSES_KEY, message),
        // It says nothing of calls of others.
        Denial::Right => trial.denied(message),
    }
    let outcome = Err(Error::ProviderDenies { provider, denial, status });
    Judgement::Elsewhere { outcome, failure: Failure::Lasting }
}

/// What the provider says, without the escapes of JSON, in which a part of a key could hide.
fn said(reply: &Reply) -> String {
    #[derive(Deserialize)]
    struct Body {
        error: Said,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Message { message: String },
        Text(String),
    }
    let ReplyStart::Whole { body, .. } = &reply.body else { return String::new() };
    match serde_json::from_slice(&body.bytes) {
        Ok(Body { error: Said::Message { message } | Said::Text(message) }) => message,
        // What is shown is short, and what may come is not.
        Err(_) => String::from_utf8_lossy(body.bytes.get(..MOST_READ).unwrap_or(&body.bytes)).into_owned(),
    }
}

/// What the gateway shows the provider and nobody else.
fn secrets(provider: &Provider) -> Vec<&[u8]> {
    match &provider.upstream {
        Upstream::Remote(remote) => remote
            .headers
            .values()
            .filter(|value| value.is_sensitive())
            .map(|value| value.as_bytes())
            .collect(),
        Upstream::Simulated(_) => Vec::new(),
    }
}

/// What a provider says, fit for a log: whatever in it may be a key, or a part of one of `secrets`, is blotted out.
fn blotted(text: &str, secrets: &[&[u8]]) -> String {
    let of_key =
        |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '*' | '.' | '…' | '•' | '+' | '/' | '=');
    let shares = |word: &str| {
        let mut parts = word.as_bytes().windows(SHARED);
        parts.any(|part| secrets.iter().any(|secret| secret.windows(SHARED).any(|of| of == part)))
    };
    let secret = |word: &str| {
        word.contains("sk-")
            || word.contains(['*', '…', '•'])
            || word.contains("..")
            || (word.len() >= 8 && word.contains(|c: char| c.is_ascii_digit()))
            || shares(word)
    };
    let (mut clean, mut word) = (String::new(), String::new());
    for c in text.chars().take(MOST_READ).chain([' ']) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_be_a_key_is_blotted_out_and_the_rest_can_be_read() {
        let out = "[blotted out]";
        let secrets = [&b"Bearer letmein"[..], b"qwertyuiop+asdf/zxcv="];
        for (said, wanted) in [
            (
                "Incorrect API key provided: sk-proj-**********Ab1z. See https://x.com/keys.",
                format!("Incorrect API key provided: {out} See https://x.com/keys."),
            ),
            ("invalid x-api-key", "invalid x-api-key".to_owned()),
            ("key AIzaSyD4-9tSrke72PouQMn, org-4f5g6h7j", format!("key {out}, {out}")),
            ("key abcd...wxyz and abcd…wxyz", format!("key {out} and {out}")),
            ("got letmein, not open", format!("got {out}, not open")),
            ("got uiop+asdf and zxcv=", format!("got {out} and {out}")),
        ] {
            assert_eq!(blotted(said, &secrets), wanted);
        }
    }
}
