//! What went wrong, in no vendor's words: a caller's mistake, a provider's refusal, a broken reply.

use std::borrow::Cow;

/// An error as callers and providers speak of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// The HTTP status. Vendors have numbers of their own (Anthropic's 529): writers of other
    /// dialects give that of the kind.
    pub status: u16,
    /// For a person.
    pub message: String,
    /// For a program: the vendor's own word (`model_not_found`), where there is one.
    pub code: Option<String>,
    /// The field at fault.
    pub param: Option<String>,
    /// Seconds after which a retry is worth it, where the body says so.
    pub retry_after: Option<u64>,
}

/// What it means to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    InvalidRequest,
    Authentication,
    /// Payment is due, or a quota of money is used up.
    Billing,
    Permission,
    NotFound,
    TooLarge,
    RateLimit,
    Timeout,
    /// Too many calls for the provider, of all its customers.
    Overloaded,
    Server,
}

impl FaultKind {
    /// The kind that a status stands for.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Authentication,
            402 => Self::Billing,
            403 => Self::Permission,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            413 => Self::TooLarge,
            429 => Self::RateLimit,
            503 | 529 => Self::Overloaded,
            400..=499 => Self::InvalidRequest,
            _ => Self::Server,
        }
    }

    /// The status that every HTTP client knows for it.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Authentication => 401,
            Self::Billing => 402,
            Self::Permission => 403,
            Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::RateLimit => 429,
            Self::Timeout => 504,
            Self::Overloaded => 503,
            Self::Server => 500,
        }
    }
}

impl Fault {
    /// A fault of which only the status is known.
    #[must_use]
    pub fn of_status(status: u16, message: impl Into<String>) -> Self {
        let kind = FaultKind::of_status(status);
        Self { kind, status, message: message.into(), code: None, param: None, retry_after: None }
    }

    /// Whether the call is too long for the model's context window. Only OpenAI has a word for it; of
    /// the others it can be told by what they write.
    #[must_use]
    pub fn says_too_long(&self) -> bool {
        const SAID: [&str; 6] = [
            "prompt is too long",
            "exceed context limit",
            "maximum context length",
            "exceeds the maximum number of tokens",
            "context window",
            "context length",
        ];
        let coded = self.code.as_deref() == Some("context_length_exceeded");
        let may = matches!(self.kind, FaultKind::InvalidRequest | FaultKind::TooLarge);
        coded || (may && SAID.iter().any(|said| self.message.contains(said)))
    }

    /// The status for callers of another vendor's dialect, whose clients go by it. A number that only
    /// one vendor uses, or that says something else than the kind, as OpenAI's 429 of who has no money
    /// left and Google's 400 of a wrong key, is replaced by that of the kind.
    #[must_use]
    pub fn common_status(&self) -> u16 {
        let says_it = self.status != 529 && FaultKind::of_status(self.status) == self.kind;
        if says_it { self.status } else { self.kind.status() }
    }
}

/// A request that can't be read; the caller's mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("The request body is not valid JSON: {reason}.")]
    Json { reason: String },
    #[error("The request body is nested too deeply: at most 127 levels are taken.")]
    TooDeep,
    #[error("Missing required parameter: '{param}'.")]
    Missing { param: Cow<'static, str> },
    #[error("Invalid value for '{param}': {reason}.")]
    Field { param: Cow<'static, str>, reason: String },
}

impl Invalid {
    pub fn missing(param: impl Into<Cow<'static, str>>) -> Self {
        Self::Missing { param: param.into() }
    }

    pub fn field(param: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self::Field { param: param.into(), reason: reason.into() }
    }

    /// The field at fault, where one is.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Missing { param } | Self::Field { param, .. } => Some(param),
            Self::Json { .. } | Self::TooDeep => None,
        }
    }
}

/// A reply that can't be read; the provider's mistake. Says what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Garbled(pub Cow<'static, str>);

impl Garbled {
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

impl From<serde_json::Error> for Garbled {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("it is not the JSON that was expected: {error}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_status_says_the_kind() {
        let status = |status, kind| Fault { kind, ..Fault::of_status(status, "m") }.common_status();
        assert_eq!(status(429, FaultKind::Billing), 402);
        assert_eq!(status(400, FaultKind::Authentication), 401);
        assert_eq!(status(529, FaultKind::Overloaded), 503);
        for same in [400, 401, 404, 413, 422, 429, 500, 502, 503, 504] {
            assert_eq!(Fault::of_status(same, "m").common_status(), same);
        }
    }
}
