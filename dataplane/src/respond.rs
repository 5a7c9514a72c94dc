//! The sole mapper from [`Error`] to what a client reads, in the words of its dialect.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use llm_dialect::{Dialect, Fault, FaultKind};

use crate::{
    buffer::Held,
    error::Error,
    stage::{relay::ReplyBody, report::Report},
};

/// OpenAI's and Anthropic's SDKs go by it: they would send again what is refused until tomorrow, or until a person
/// has mended it.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The status by which a dialect's SDKs raise what fits. That of who has no money left is Anthropic's 402; the others
/// say that a quota is used up.
pub fn status(error: &Error, dialect: Dialect) -> StatusCode {
    match error {
        Error::BudgetExceeded { .. } if dialect != Dialect::Anthropic => StatusCode::TOO_MANY_REQUESTS,
        _ => error.status(),
    }
}

fn fault(error: &Error, dialect: Dialect) -> Fault {
    let fault = Fault { status: status(error, dialect).as_u16(), ..error.fault() };
    match error {
        // It has no word for money, but for quotas.
        Error::BudgetExceeded { .. } if dialect == Dialect::Gemini => {
            Fault { kind: FaultKind::RateLimit, ..fault }
        }
        _ => fault,
    }
}

/// The reply for a call that failed before a byte of it was sent.
pub fn failure(error: &Error, dialect: Dialect, report: Option<Report>) -> Response<ReplyBody> {
    let body = dialect.error_body(&fault(error, dialect));
    let body = match &report {
        Some(report) => report.in_body(body),
        None => body,
    };
    let mut response = json(body);
    *response.status_mut() = status(error, dialect);
    let headers = response.headers_mut();
    match error {
        Error::MethodNotAllowed { allowed, .. } => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        Error::NoCredential { .. }
        | Error::UnknownCredential { .. }
        | Error::InvalidCredential { .. }
        | Error::InvalidCertificate { .. } => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Error::BudgetExceeded { .. } | Error::ProviderDenies { .. } => {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        // What is left of a body that was not read would be taken for the next request.
        Error::BodyTooLarge { .. } | Error::BodyTimeout { .. } => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    if let Some(seconds) = error.retry_after() {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if let Some(report) = report {
        report.head(headers);
    }
    response
}

/// A 200 with a JSON body.
pub fn json(body: Bytes) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(Held::from(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
