//! The sole mapper from [`Error`] to what a client reads.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;

use crate::{dialect::openai, error::Error, stage::relay::ReplyBody};

/// The reply for a call that failed before a byte of it was sent.
pub fn failure(error: &Error) -> Response<ReplyBody> {
    let mut response = json(openai::error_body(error));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    match error {
        Error::MethodNotAllowed { allowed, .. } => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        Error::NotReady | Error::Busy | Error::NoProvider { .. } => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // What is left of a body that was not read would be taken for the next request.
        Error::BodyTooLarge { .. } | Error::BodyTimeout { .. } => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

/// A 200 with a JSON body.
pub fn json(body: Bytes) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Whole(Full::new(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
