//! One attempt at one provider: what is sent, and what of the reply can be used.

use super::{BegunStream, Refused, Reply, ReplyStart, Sending, Source, context, garbled};
use crate::{
    buffer::{Held, Unheld},
    error::Error,
    snapshot::Remote,
    upstream::{
        origin::{Failure, Received, Sent},
        remote,
        simulated::{Answer, Simulated},
    },
    wire::{Refusal, Wire},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use llm_dialect::frame::Beginning;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A whole reply is held in memory up to this size; so is what a provider says of an error.
const MAX_REPLY_BYTES: usize = 32 * 1024 * 1024;

/// Signs of life before a stream says anything are passed on after so long: whoever keeps the connection for a client wants
/// some. Aggregators give up on the providers behind them before that.
const PATIENCE: Duration = Duration::from_secs(10);

/// Names the hints of a call that its provider was not told of.
const LEFT_OUT_HEADER: HeaderName = HeaderName::from_static("x-llm-left-out");
/// Of them, so many at most: clients bound the size of a head.
const MOST_NAMED: usize = 16;
const MOST_BYTES: usize = 1024;
/// Says `estimated` where the gateway counted tokens and not the provider.
pub const TOKENS_HEADER: HeaderName = HeaderName::from_static("x-llm-tokens");

pub fn json_content() -> (HeaderName, HeaderValue) {
    (header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
}

fn content_type(headers: &HeaderMap) -> &[u8] {
    headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes)
}

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    pub wire: Wire<'a>,
    pub sending: Sending<'a>,
    /// Noted where its provider may bill it from then on.
    pub sent: &'a Sent,
}

impl Exchange<'_> {
    /// Sends to a server.
    pub async fn remote(&self, to: &Remote, body: Bytes) -> Result<Reply, Error> {
        let Wire { target, out, call } = self.wire;
        let origin = to.origins.get(self.sending.worker).ok_or_else(|| self.closed())?;
        let (_, place) = target.places.iter().find(|(api, _)| *api == out).ok_or_else(|| self.closed())?;
        let same = (out.dialect() == call.api.dialect()).then_some(out.dialect());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = remote::request_headers(&to.headers, self.sending.headers, same);
        let response = origin.send(place, request, self.sent).await.map_err(|failure| match failure {
            Failure::Unreachable => Error::Unreachable { provider: self.provider() },
            Failure::Closed => self.closed(),
        })?;
        let (parts, body) = response.into_parts();
        let mut headers = remote::reply_headers(parts.headers, out.dialect(), call.api.dialect());
        if !parts.status.is_success() {
            return Box::pin(self.refusal(parts.status, headers, body)).await;
        }
        let body = if call.stream && !self.is_plain_json(&headers) {
            let mut body = body;
            let first = self.first(&headers, &mut body).await?;
            if let Some(refusal) = self.wire.failure_of_stream(&first) {
                return Ok(Self::refused(refusal, headers));
            }
            self.begun(first, Source::Http(body))?
        } else {
            let body = self.collect(body).await?;
            if let Some(refusal) = self.wire.failure(&body.bytes) {
                return Ok(Self::refused(refusal, headers));
            }
            if call.stream {
                return Err(self.no_stream());
            }
            self.whole(body)?
        };
        self.finish_headers(&mut headers);
        Ok(Reply { status: parts.status, headers, body, refused: None, came: Instant::now() })
    }

    /// Asks the simulated provider.
    pub async fn simulated(&self, provider: &Simulated, body: Bytes) -> Result<Reply, Error> {
        let Wire { target, out, .. } = self.wire;
        self.sent.set(true);
        let mut headers = HeaderMap::from_iter([json_content()]);
        let body = match provider.answer(out, &target.upstream_model, &body).await? {
            Answer::Failed(status) => {
                let error = Error::ProviderStatus { provider: self.provider(), status };
                let body = out.dialect().error_body(&error.fault());
                return Ok(Self::refused(self.wire.refusal(status, body), headers));
            }
            Answer::Whole(body) => self.whole(body.into())?,
            Answer::Stream(mut rest) => {
                let first = rest.next().await.ok_or_else(|| self.closed())?;
                self.begun(first, Source::Simulated(rest))?
            }
        };
        self.finish_headers(&mut headers);
        Ok(Reply { status: StatusCode::OK, headers, body, refused: None, came: Instant::now() })
    }

    fn provider(&self) -> String {
        self.wire.target.provider.name.to_string()
    }

    fn closed(&self) -> Error {
        Error::Closed { provider: self.provider() }
    }

    fn garbage(&self, reason: &'static str) -> Error {
        Error::Garbage { provider: self.provider(), reason: reason.into() }
    }

    async fn collect(&self, body: Received) -> Result<Held, Error> {
        self.sending.buffers.collect(body, MAX_REPLY_BYTES).await.map_err(|unheld| match unheld {
            Unheld::TooLarge => self.garbage("it is over 32 MiB"),
            Unheld::Full => Error::Busy,
            Unheld::Broken => self.closed(),
        })
    }

    async fn refusal(&self, status: StatusCode, headers: HeaderMap, body: Received) -> Result<Reply, Error> {
        if !status.is_client_error() && !status.is_server_error() {
            return Err(self.garbage("its status is neither success nor error"));
        }
        // The status says that it failed, and that nothing is billed, whatever becomes of its words.
        let said = self.collect(body).await.map(|held| held.bytes).unwrap_or_default();
        Ok(Self::refused(self.wire.refusal(status, said), headers))
    }

    /// An error of the provider, as the caller's SDK reads it.
    fn refused(refusal: Refusal, mut headers: HeaderMap) -> Reply {
        let Refusal { answered, status, body, retry_after, kind, too_long } = refusal;
        headers.insert(json_content().0, json_content().1);
        if let Some(seconds) = retry_after {
            headers.entry(header::RETRY_AFTER).or_insert(seconds.into());
        }
        let body = ReplyStart::Whole { body: body.into(), usage: None };
        Reply {
            status,
            headers,
            body,
            refused: Some(Refused { status: answered, kind, too_long }),
            came: Instant::now(),
        }
    }

    fn whole(&self, body: Held) -> Result<ReplyStart, Error> {
        let Wire { call, target, .. } = self.wire;
        let reply = self.wire.reply(&body.bytes, || context(call)).map_err(garbled(target))?;
        let body = match reply.written {
            Some(written) => body.with(written),
            None => body,
        };
        Ok(ReplyStart::Whole { body, usage: reply.usage })
    }

    /// Whether a stream has become a plain body, as errors do.
    fn is_plain_json(&self, headers: &HeaderMap) -> bool {
        let content_type = content_type(headers);
        content_type.starts_with(b"application/json")
            && !content_type.starts_with(self.wire.streams_as().as_bytes())
    }

    fn no_stream(&self) -> Error {
        let reason = format!("a stream was asked for, and it is no {}", self.wire.streams_as());
        Error::Garbage { provider: self.provider(), reason: reason.into() }
    }

    /// Waits for the first frame that says something: until it is here, another provider can take over. A client has no
    /// use for half of one, and of signs of life none for as long as it has patience anyway.
    async fn first(&self, headers: &HeaderMap, body: &mut Received) -> Result<Bytes, Error> {
        if !content_type(headers).starts_with(self.wire.streams_as().as_bytes()) {
            return Err(self.no_stream());
        }
        let mut held = BytesMut::new();
        let mut beginning = self.wire.framing().map(Beginning::new);
        let mut until = None;
        loop {
            let frame = match until {
                None => body.frame().await,
                Some(until) => match timeout_at(until, body.frame()).await {
                    Ok(frame) => frame,
                    Err(_) => break,
                },
            };
            let Some(frame) = frame else { break };
            if let Ok(bytes) = frame.map_err(|_| self.closed())?.into_data() {
                let says = beginning.as_mut().is_none_or(|beginning| beginning.says(&bytes));
                if says && held.is_empty() && !bytes.is_empty() {
                    return Ok(bytes);
                }
                held.extend_from_slice(&bytes);
                if says {
                    break;
                }
                if beginning.as_ref().is_some_and(Beginning::is_alive) {
                    until.get_or_insert_with(|| Instant::now() + PATIENCE);
                }
            }
            if body.is_end_stream() {
                break;
            }
        }
        if held.is_empty() { Err(self.closed()) } else { Ok(held.freeze()) }
    }

    fn begun(&self, first: Bytes, rest: Source) -> Result<ReplyStart, Error> {
        let through = self.wire.through(|| context(self.wire.call));
        let through = through.ok_or_else(|| self.garbage("its streams can't be translated"))?;
        Ok(ReplyStart::Stream(Box::new(BegunStream { first, rest, through })))
    }

    fn finish_headers(&self, headers: &mut HeaderMap) {
        if !self.wire.passes() && !self.wire.call.stream {
            headers.insert(json_content().0, json_content().1);
        }
        let fields = self.wire.left_out();
        let named = fields.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = fields.len().saturating_sub(MOST_NAMED);
        let named = if more > 0 { format!("{named} and {more} more") } else { named };
        if !named.is_empty()
            && let Ok(value) =
                HeaderValue::try_from(&named[..named.floor_char_boundary(MOST_BYTES.min(named.len()))])
        {
            headers.insert(LEFT_OUT_HEADER, value);
        }
    }
}
