//! The capped body to a typed call.

use hyper::body::Incoming;

use crate::{
    buffer::{Buffers, Held, Unheld},
    dialect::openai::ChatRequest,
    error::Error,
    shared::Limits,
};

/// A call as the caller sent it, with what the stages need to know of it.
#[derive(Debug)]
pub struct Call {
    pub body: Held,
    pub request: ChatRequest,
}

/// Reads and decodes the body.
pub async fn decode(body: Incoming, limits: &Limits, buffers: &Buffers) -> Result<Call, Error> {
    let (after, limit) = (limits.body_timeout, limits.max_body_bytes);
    let body = tokio::time::timeout(after, buffers.collect(body, limit))
        .await
        .map_err(|_| Error::BodyTimeout { after })?
        .map_err(|unheld| match unheld {
            Unheld::TooLarge => Error::BodyTooLarge { limit },
            Unheld::Full => Error::Busy,
            Unheld::Broken => Error::BodyBroken,
        })?;
    let request = ChatRequest::decode(&body.bytes)?;
    Ok(Call { body, request })
}
