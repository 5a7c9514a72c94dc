//! What is the same for every API of a vendor: how errors are said, how requests are told apart, which
//! proofs are the vendor's own.

use bytes::Bytes;

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
