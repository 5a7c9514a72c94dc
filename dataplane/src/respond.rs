//! The sole mapper from [`Error`] to what a client reads, in the words of its dialect.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use llm_dialect::Dialect;

use crate::{
    buffer::Held,
    error::Error,
    stage::{relay::ReplyBody, report::Report},
};

/// The reply for a call that failed before a byte of it was sent.
pub fn failure(error: &Error, dialect: Dialect, report: Option<Report>) -> Response<ReplyBody> {
    let body = dialect.error_body(&error.fault());
    let body = match &report {
        Some(report) => report.in_body(body),
        None => body,
    };
    let mut response = json(body);
    *response.status_mut() = error.status();
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
