//! What can go wrong with a call. Every variant answers four questions: whose fault, is it worth
//! another try, which status, and what the client may read (its `Display`, which therefore never
//! holds a secret or an internal address beyond the provider's name).

mod figures;
mod unpaid;

use std::{borrow::Cow, time::Duration};

use http::StatusCode;
use llm_dialect::{Fault, FaultKind, Invalid, bound::Unbounded, limits::Inexpressible};

pub use figures::Figures;
pub use unpaid::Unpaid;

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "Unknown request URL: {method} {path}. This gateway serves the APIs of OpenAI (/v1/chat/completions, /v1/responses, /v1/embeddings), Anthropic (/v1/messages), Gemini (/v1beta/models/…) and Ollama (/api/…), and GET /v1/models."
    )]
    UnknownPath { method: String, path: String },
    #[error("{path} does not take {method}: use {allowed}.")]
    MethodNotAllowed { method: String, path: String, allowed: &'static str },
    /// A caller must be known here and shows nothing.
    #[error("This gateway answers only callers that it knows. {wanted}.")]
    NoCredential { wanted: String },
    /// What the caller shows is nothing that this gateway knows.
    #[error("The API key is not known to this gateway. {wanted}.")]
    UnknownCredential { wanted: String },
    #[error("The ServiceAccount token is not valid: {reason}.")]
    InvalidCredential { reason: String },
    /// The connection's, refused here so that the caller reads why.
    #[error("The client certificate is not valid: {reason}.")]
    InvalidCertificate { reason: String },
    #[error("The content-type must be application/json, not {found}.")]
    ContentType { found: String },
    #[error("The request body is over this gateway's limit of {limit} bytes.")]
    BodyTooLarge { limit: usize },
    #[error("The request body did not arrive within {} s.", .after.as_secs())]
    BodyTimeout { after: Duration },
    #[error("This gateway holds as many large bodies as its memory allows. Try again shortly.")]
    Busy,
    #[error("The request body broke off.")]
    BodyBroken,
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No provider that answers for the model can be told of it.
    #[error("{0}.")]
    Inexpressible(Inexpressible),
    #[error(
        "The model '{model}' does not do {wanted}: the operations of a model are set in its ProviderPool."
    )]
    WrongOperation { model: String, wanted: &'static str },
    #[error("The model '{model}' is not served here.{}", near_names(.near))]
    UnknownModel { model: String, near: Vec<String> },
    #[error(
        "The model '{model}' is served here, but not for a call like this: see the matches of LLMRoute {route}."
    )]
    NoRuleMatches { model: String, route: String },
    /// A wish of the request, by its header or its path in the body, that can't be read.
    #[error("The wish '{wish}' can't be read: {reason}.")]
    Wish { wish: Cow<'static, str>, reason: String },
    #[error(
        "LLMRoute {route} does not let callers choose by '{wish}': its rule's clientOverrides must list {needs}."
    )]
    WishNotAllowed { wish: String, route: String, needs: String },
    #[error("The wish '{wish}' can't be met for the model '{model}': {reason}.")]
    WishUnmet { wish: String, model: String, reason: String },
    /// A limit is spent, or so nearly that the call may pass it.
    #[error("{figures} {}", figures.comes_back(*.comes_back_in))]
    BudgetExceeded { figures: Box<Figures>, comes_back_in: Option<Duration> },
    /// What is not spent is reserved by other calls, which may give some of it back.
    #[error("{figures} Other calls have reserved the rest: try again in 1 s.")]
    BudgetHeld { figures: Box<Figures> },
    #[error("Budget {budget} can't be asked for money now: its ledger does not answer. Try again in 1 s.")]
    LedgerUnavailable { budget: String },
    /// A strict budget applies, and nobody can say how much the call may cost.
    #[error(
        "Budget {budget} is strict, and nobody knows how much this call of the model '{model}' may cost: {unbounded}."
    )]
    Unbounded { budget: String, model: String, unbounded: Unbounded },
    /// Every candidate has failed so often that none is asked now.
    #[error("Every provider of the model '{model}' is left alone for a while because it failed{}. Try again in {} s.", said(.last), seconds(*.retry_after))]
    Resting { model: String, last: Option<String>, retry_after: Duration },
    /// No candidate has room by its limits, and the call could not wait for it.
    #[error("No provider of the model '{model}' has room for this call: the limits of {provider} are reached. Try again in {} s.", seconds(*.retry_after))]
    Saturated { model: String, provider: String, retry_after: Duration },
    #[error("The model '{model}' is not served here: no LLMRoute is programmed on this gateway yet.")]
    NoRoutes { model: String },
    #[error(
        "The model '{model}' is not served here: no LLMRoute selects pod {pod}. The spec.attachTo.podSelector of one in its namespace must."
    )]
    NoRoutesForPod { model: String, pod: String },
    #[error("This gateway has no configuration yet. Try again shortly.")]
    NotReady,
    #[error(
        "No provider can answer for the model '{model}' now: see the weights in LLMRoute {route}, and the status of its ProviderPools."
    )]
    NoProvider { model: String, route: String },
    #[error("The provider '{provider}' could not be reached.")]
    Unreachable { provider: String },
    #[error("The provider '{provider}' closed the connection before it had answered.")]
    Closed { provider: String },
    /// What the last attempt ended with, where a budget had no money for one more.
    #[error("{last} {unpaid}")]
    Unpaid { unpaid: Unpaid, last: Box<Self> },
    #[error("The provider '{provider}' did not answer within {} ms.", .after.as_millis())]
    Timeout { provider: String, after: Duration },
    #[error("The {} ms that the call may take were over before a provider could be asked.", .after.as_millis())]
    TooLate { after: Duration },
    #[error("The provider '{provider}' sent nothing of its stream within {} ms.", .after.as_millis())]
    FirstToken { provider: String, after: Duration },
    #[error("The provider '{provider}' did not complete its reply within the {} ms of an attempt.", .after.as_millis())]
    Attempt { provider: String, after: Duration },
    #[error("The provider '{provider}' sent a reply that can't be used: {reason}.")]
    Garbage { provider: String, reason: Cow<'static, str> },
    #[error("The provider '{provider}' failed in the middle of the reply: {}", .fault.message)]
    StreamFailed { provider: String, fault: Fault },
    #[error("The provider '{provider}' answered with status {}.", .status.as_u16())]
    ProviderStatus { provider: String, status: StatusCode },
    /// The platform's key or account: its caller can do nothing about it, and the provider's words may name parts of the
    /// key.
    #[error(
        "The provider '{provider}' {} (status {}). {}", denial.words(), .status.as_u16(), denial.advice()
    )]
    ProviderDenies { provider: String, denial: Denial, status: StatusCode },
    #[error("The provider '{provider}' broke off in the middle of the reply.")]
    StreamBroken { provider: String },
    #[error("The provider '{provider}' was silent for {} ms in the middle of the reply.", .after.as_millis())]
    StreamIdle { provider: String, after: Duration },
    #[error("The reply was not complete within the {} ms that the route allows.", .after.as_millis())]
    StreamDeadline { after: Duration },
}

/// What a provider refuses to the gateway itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    Key,
    /// The account is out of credit.
    Credit,
    /// A caller may have brought it about, by a file of another account for one.
    Right,
}

impl Denial {
    /// Behind the provider's name, for callers and for its health.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Key => "refuses the key of this gateway",
            Self::Credit => "has no credit for the account of this gateway",
            Self::Right => "does not let the account of this gateway do what the call asks for",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Key | Self::Credit => {
                "The key of the caller is not at fault: whoever runs this gateway has to mend it."
            }
            Self::Right => {
                "Either the call names what belongs to another account, such as a file, or whoever runs this gateway has to mend it."
            }
        }
    }
}

fn said(last: &Option<String>) -> String {
    last.as_ref().map(|last| format!(" ({})", last.trim_end_matches('.'))).unwrap_or_default()
}

/// Whole seconds, never 0: to wait for nothing is no advice.
pub(crate) fn seconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).max(1)
}

fn near_names(near: &[String]) -> String {
    if near.is_empty() {
        " GET /v1/models lists what is.".to_owned()
    } else {
        format!(" Did you mean {}? GET /v1/models lists all.", near.join(", "))
    }
}

impl Error {
    /// The status that tells the caller's SDK what to raise.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::UnknownPath { .. }
            | Self::UnknownModel { .. }
            | Self::NoRuleMatches { .. }
            | Self::NoRoutes { .. }
            | Self::NoRoutesForPod { .. } => StatusCode::NOT_FOUND,
            Self::NoCredential { .. }
            | Self::UnknownCredential { .. }
            | Self::InvalidCredential { .. }
            | Self::InvalidCertificate { .. } => StatusCode::UNAUTHORIZED,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::ContentType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken
            | Self::Invalid(_)
            | Self::Inexpressible(_)
            | Self::WrongOperation { .. }
            | Self::Unbounded { .. }
            | Self::Wish { .. }
            | Self::WishUnmet { .. } => StatusCode::BAD_REQUEST,
            Self::WishNotAllowed { .. } => StatusCode::FORBIDDEN,
            Self::BudgetExceeded { .. } => StatusCode::PAYMENT_REQUIRED,
            Self::Saturated { .. } | Self::BudgetHeld { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::LedgerUnavailable { .. }
            | Self::NotReady
            | Self::Busy
            | Self::NoProvider { .. }
            | Self::Resting { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout { .. }
            | Self::TooLate { .. }
            | Self::FirstToken { .. }
            | Self::Attempt { .. }
            | Self::StreamIdle { .. }
            | Self::StreamDeadline { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::ProviderStatus { status, .. } => *status,
            Self::Unpaid { last, .. } => last.status(),
            Self::StreamFailed { fault, .. } => {
                StatusCode::from_u16(fault.common_status()).unwrap_or(StatusCode::BAD_GATEWAY)
            }
            Self::Unreachable { .. }
            | Self::Closed { .. }
            | Self::Garbage { .. }
            | Self::ProviderDenies { .. }
            | Self::StreamBroken { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    /// A stable word for programs: `error.code` of the reply, and `error` of the request log.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownPath { .. } => "unknown_url",
            Self::NoCredential { .. } => "missing_api_key",
            Self::UnknownCredential { .. } | Self::InvalidCredential { .. } => "invalid_api_key",
            Self::InvalidCertificate { .. } => "invalid_client_certificate",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::ContentType { .. } => "unsupported_content_type",
            Self::BodyTooLarge { .. } => "request_too_large",
            Self::BodyTimeout { .. } => "request_timeout",
            Self::BodyBroken => "request_incomplete",
            Self::Invalid(Invalid::Json { .. }) => "invalid_json",
            Self::Invalid(Invalid::TooDeep) => "request_too_deep",
            Self::Invalid(Invalid::Missing { .. }) => "missing_required_parameter",
            Self::Invalid(Invalid::Field { .. }) => "invalid_value",
            Self::Inexpressible(_) => "unsupported_parameter",
            Self::WrongOperation { .. } => "unsupported_operation",
            Self::Wish { .. } => "invalid_wish",
            Self::WishNotAllowed { .. } => "wish_not_allowed",
            Self::WishUnmet { .. } => "wish_unmet",
            Self::BudgetExceeded { .. } => "budget_exceeded",
            Self::BudgetHeld { .. } => "budget_held",
            Self::LedgerUnavailable { .. } => "budget_ledger_unavailable",
            Self::Unbounded { .. } => "cost_unbounded",
            Self::Unpaid { last, .. } => last.code(),
            Self::UnknownModel { .. }
            | Self::NoRuleMatches { .. }
            | Self::NoRoutes { .. }
            | Self::NoRoutesForPod { .. } => "model_not_found",
            Self::NotReady => "not_ready",
            Self::Busy => "gateway_busy",
            Self::NoProvider { .. } => "no_provider",
            Self::Resting { .. } => "providers_resting",
            Self::Saturated { .. } => "providers_saturated",
            Self::Unreachable { .. } => "provider_unreachable",
            Self::Closed { .. } => "provider_closed",
            Self::Timeout { .. } => "provider_timeout",
            Self::TooLate { .. } => "deadline_exceeded",
            Self::FirstToken { .. } => "provider_first_token_timeout",
            Self::Attempt { .. } => "provider_attempt_timeout",
            Self::Garbage { .. } => "provider_bad_reply",
            Self::ProviderStatus { .. } => "provider_error",
            Self::ProviderDenies { .. } => "provider_refuses_key",
            Self::StreamFailed { .. } => "stream_failed",
            Self::StreamBroken { .. } => "stream_broken",
            Self::StreamIdle { .. } => "stream_idle",
            Self::StreamDeadline { .. } => "stream_deadline",
        }
    }

    /// The field of the request that is at fault.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Invalid(invalid) => invalid.param(),
            Self::Inexpressible(wish) => Some(&wish.field),
            Self::Unbounded { unbounded, .. } => Some(unbounded.field()),
            Self::Wish { wish, .. } => Some(wish),
            Self::WishNotAllowed { wish, .. } | Self::WishUnmet { wish, .. } => Some(wish),
            Self::UnknownModel { .. }
            | Self::NoRuleMatches { .. }
            | Self::NoRoutes { .. }
            | Self::NoRoutesForPod { .. }
            | Self::WrongOperation { .. } => Some("model"),
            _ => None,
        }
    }

    /// The same, as the dialects write it.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let status = self.status().as_u16();
        Fault {
            kind: FaultKind::of_status(status),
            status,
            message: self.to_string(),
            code: Some(self.code().to_owned()),
            param: self.param().map(str::to_owned),
            retry_after: self.retry_after(),
        }
    }

    /// When to come back, in seconds, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::NotReady
            | Self::Busy
            | Self::NoProvider { .. }
            | Self::BudgetHeld { .. }
            | Self::LedgerUnavailable { .. } => Some(1),
            Self::BudgetExceeded { comes_back_in, .. } => comes_back_in.map(seconds),
            Self::Unpaid { last, .. } => last.retry_after(),
            Self::Resting { retry_after, .. } | Self::Saturated { retry_after, .. } => {
                Some(seconds(*retry_after))
            }
            _ => None,
        }
    }

    /// What a log tells besides the code: the figures of a budget, which change.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        matches!(
            self,
            Self::BudgetExceeded { .. }
                | Self::BudgetHeld { .. }
                | Self::LedgerUnavailable { .. }
                | Self::Unbounded { .. }
        )
        .then(|| self.to_string())
    }

    /// Whether the provider may bill an attempt that ended so: it may have read the call.
    #[must_use]
    pub fn may_be_billed(&self) -> bool {
        matches!(
            self,
            Self::Closed { .. }
                | Self::Timeout { .. }
                | Self::FirstToken { .. }
                | Self::Attempt { .. }
                | Self::Garbage { .. }
                | Self::Busy
        )
    }

    /// Whether it is the provider that failed: another one, or another try, may do better.
    #[must_use]
    pub fn is_providers(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Closed { .. }
            | Self::Timeout { .. }
            | Self::FirstToken { .. }
            | Self::Attempt { .. }
            | Self::Garbage { .. }
            | Self::StreamFailed { .. }
            | Self::StreamBroken { .. }
            | Self::StreamIdle { .. } => true,
            Self::ProviderStatus { status, .. } => retryable_status(*status),
            _ => false,
        }
    }
}

/// Whether a provider that answered so may do better on another try.
pub(crate) fn retryable_status(status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}
