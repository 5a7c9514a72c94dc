//! The capped body to a typed call.

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;

use crate::{dialect::openai::ChatRequest, error::Error, shared::Limits};

/// A call as the caller sent it, with what the stages need to know of it.
#[derive(Debug)]
pub struct Call {
    pub body: Bytes,
    pub request: ChatRequest,
}

/// Reads and decodes the body.
pub async fn decode(body: Incoming, limits: &Limits) -> Result<Call, Error> {
    let after = limits.body_timeout;
    let body = tokio::time::timeout(after, read(body, limits.max_body_bytes))
        .await
        .map_err(|_| Error::BodyTimeout { after })??;
    let request = ChatRequest::decode(&body)?;
    Ok(Call { body, request })
}

async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, Error> {
    // Most bodies are one frame: no copy then.
    let Some(first) = frame(&mut body).await? else { return Ok(Bytes::new()) };
    if body.is_end_stream() && first.len() <= limit {
        return Ok(first);
    }
    let rest = Limited::new(body, limit.saturating_sub(first.len())).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { Error::BodyTooLarge { limit } } else { Error::BodyBroken }
    })?;
    let mut whole = Vec::with_capacity(first.len() + 4096);
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest.to_bytes());
    Ok(whole.into())
}

async fn frame(body: &mut Incoming) -> Result<Option<Bytes>, Error> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| Error::BodyBroken)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}
