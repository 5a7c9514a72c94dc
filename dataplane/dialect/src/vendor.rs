//! What is the same for every API of a vendor: how errors are said, how requests are told apart, which
//! proofs are the vendor's own.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::{Dialect, Fault, anthropic, gemini, ollama, openai, seal::Seal};

impl Dialect {
    /// The body of an error reply, for a call whose API is not known.
    #[must_use]
    pub fn error_body(self, fault: &Fault) -> Bytes {
        match self {
            Self::OpenAI => openai::error_body(fault),
            Self::Anthropic => anthropic::error_body(fault),
            Self::Gemini => gemini::error_body(fault),
            Self::Ollama => ollama::error_body(fault),
        }
    }

    /// Whether a body is an error that the dialect's SDKs can read.
    #[must_use]
    pub fn is_error_body(self, body: &[u8]) -> bool {
        match self {
            Self::OpenAI => openai::is_error_body(body),
            Self::Anthropic => anthropic::is_error_body(body),
            Self::Gemini => gemini::is_error_body(body),
            Self::Ollama => ollama::is_error_body(body),
        }
    }

    /// Reads a provider's error.
    #[must_use]
    pub fn read_error(self, status: u16, body: &[u8]) -> Fault {
        match self {
            Self::OpenAI => openai::read_error(status, body),
            Self::Anthropic => anthropic::read_error(status, body),
            Self::Gemini => gemini::read_error(status, body),
            Self::Ollama => ollama::read_error(status, body),
        }
    }

    /// What a provider says in place of an answer, in a body or a frame that came with status 200: aggregators do, of the
    /// providers behind them, and streams that end as they begin. `None` for an answer.
    #[must_use]
    pub fn read_failure(self, said: &[u8]) -> Option<Fault> {
        static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"error\""));
        // Of most answers that is all there is to do: a model's own text has its quotes escaped.
        ERROR.find(said)?;
        match self {
            Self::OpenAI => openai::read_failure(said),
            Self::Anthropic => anthropic::read_failure(said),
            Self::Gemini => gemini::read_failure(said),
            Self::Ollama => ollama::read_failure(said),
        }
    }

    /// Whether a body of the dialect holds seals that its caller has kept for another kind of provider:
    /// the vendor would refuse them.
    #[must_use]
    pub fn keeps_foreign_seals(self, body: &[u8]) -> bool {
        match self {
            Self::OpenAI | Self::Anthropic => Seal::any_foreign(body),
            Self::Gemini => gemini::keeps_foreign_seals(body),
            // Its callers keep none.
            Self::Ollama => false,
        }
    }

    /// The header that carries a request's id in replies of the vendor.
    #[must_use]
    pub fn request_id_header(self) -> &'static str {
        if self == Self::Anthropic { "request-id" } else { "x-request-id" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FaultKind;

    #[test]
    fn what_is_said_in_place_of_an_answer_is_told_from_an_answer() {
        let failures: [(Dialect, &str, FaultKind, u16); 11] = [
            // OpenRouter's.
            (
                Dialect::OpenAI,
                r#"{"error":{"code":502,"message":"m"},"user_id":"u"}"#,
                FaultKind::Server,
                502,
            ),
            (
                Dialect::OpenAI,
                r#"{"choices":[ ],"error":{"code":429,"message":"m"}}"#,
                FaultKind::RateLimit,
                429,
            ),
            (
                Dialect::OpenAI,
                r#"{"error":{"code":503,"message":"m"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#,
                FaultKind::Overloaded,
                503,
            ),
            (
                Dialect::OpenAI,
                r#"{"type":"error","code":"rate_limit_exceeded","message":"m","param":null}"#,
                FaultKind::RateLimit,
                429,
            ),
            (Dialect::OpenAI, r#"{"error":{"type":"overloaded_error"}}"#, FaultKind::Overloaded, 503),
            (Dialect::OpenAI, r#" {"error": "m"} "#, FaultKind::Server, 500),
            (
                Dialect::Anthropic,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                FaultKind::Overloaded,
                529,
            ),
            (
                Dialect::Gemini,
                r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#,
                FaultKind::Overloaded,
                503,
            ),
            (
                Dialect::Gemini,
                r#"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#,
                FaultKind::RateLimit,
                429,
            ),
            (Dialect::Ollama, r#"{"error":"model runner has stopped"}"#, FaultKind::Server, 500),
            (Dialect::Ollama, "{\"error\":\"m\"}\n", FaultKind::Server, 500),
        ];
        for (dialect, said, kind, status) in failures {
            let fault = dialect.read_failure(said.as_bytes());
            assert_eq!(fault.map(|fault| (fault.kind, fault.status)), Some((kind, status)), "{said}");
        }
        let answers = [
            (Dialect::OpenAI, r#"{"choices":[{"message":{"content":"\"error\""}}]}"#),
            (Dialect::OpenAI, r#"{"choices":[{"finish_reason":"error","error":{"code":502}}]}"#),
            (Dialect::OpenAI, r#"{"choices":[{"delta":{"content":"x"}}],"error":{"message":"m"}}"#),
            (Dialect::OpenAI, r#"{"choices":[],"error":""}"#),
            (Dialect::OpenAI, r#"{"choices":[],"error":{}}"#),
            (Dialect::OpenAI, r#"{"object":"response","error":null,"output":[{}]}"#),
            (Dialect::OpenAI, r#"{"error":null}"#),
            (Dialect::OpenAI, "[DONE]"),
            (Dialect::Anthropic, r#"{"type":"message","content":[{"input":{"type":"error","error":{}}}]}"#),
            (Dialect::Gemini, r#"{"candidates":[{"args":{"error":{"message":"m"}}}]}"#),
            (Dialect::Gemini, r#"{"candidates":[{}],"error":{"message":"m"}}"#),
            (Dialect::Ollama, r#"{"message":{"content":"\"error\""}}"#),
            (Dialect::Ollama, r#"{"error":""}"#),
        ];
        for (dialect, said) in answers {
            assert_eq!(dialect.read_failure(said.as_bytes()), None, "{said}");
        }
    }
}
