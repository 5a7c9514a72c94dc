//! Sends the call: to the plan's first target and, when that fails before a byte has reached the
//! client, once more to the second.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::{
    dialect::openai::{self, Usage},
    error::{Error, retryable_status},
    snapshot::{OpenAIUpstream, Target, Upstream},
    stage::{decode::Call, route::Plan, settle::Settlement},
    upstream::simulated::Answer,
};

/// A whole reply is held in memory up to this size; so is what a provider says of an error.
const MAX_REPLY_BYTES: usize = 32 * 1024 * 1024;

/// A reply, as far as it has come.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: ReplyStart,
}

/// How the body begins.
#[derive(Debug)]
pub enum ReplyStart {
    Whole {
        body: Bytes,
        usage: Option<Usage>,
    },
    /// The first bytes have come: from here on there is no going back to another provider.
    Stream {
        first: Bytes,
        rest: Source,
    },
}

/// Where a stream comes from.
pub enum Source {
    Http(Incoming),
    Simulated(BoxStream<'static, Bytes>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

/// Sends the call along the plan.
pub async fn dispatch(
    plan: &Plan<'_>,
    call: &Call,
    headers: &HeaderMap,
    worker: usize,
    deadline: Instant,
    settlement: &mut Settlement,
) -> Result<Reply, Error> {
    let send = |target| attempt(target, call, headers, worker, deadline, plan.model.timeouts.request());
    settlement.tries(plan.first);
    let first = send(plan.first).await;
    let again = match &first {
        Ok(reply) => retryable_status(reply.status) && pays_off(plan, reply.status),
        Err(error) => error.retryable(),
    };
    if !again || Instant::now() >= deadline {
        return first;
    }
    settlement.tries(plan.second);
    send(plan.second).await
}

/// A provider that limits rates is not asked again at once; another one may be.
fn pays_off(plan: &Plan<'_>, status: StatusCode) -> bool {
    status != StatusCode::TOO_MANY_REQUESTS || !Arc::ptr_eq(plan.first, plan.second)
}

async fn attempt(
    target: &Target,
    call: &Call,
    headers: &HeaderMap,
    worker: usize,
    deadline: Instant,
    allowed: Duration,
) -> Result<Reply, Error> {
    let provider = || target.provider.name.to_string();
    let body = call.request.upstream_body(&call.body.bytes, &target.upstream_model);
    let reply = async {
        match &target.provider.upstream {
            Upstream::OpenAI(upstream) => {
                let sent = Sent { provider: &target.provider.name, streamed: call.request.stream };
                sent.reply(upstream, headers, body, worker).await
            }
            Upstream::Simulated(simulated) => {
                simulated_reply(simulated.answer(&target.upstream_model, &body).await?, provider).await
            }
        }
    };
    timeout_at(deadline, reply).await.map_err(|_| Error::Timeout { provider: provider(), after: allowed })?
}

async fn simulated_reply(answer: Answer, provider: impl Fn() -> String) -> Result<Reply, Error> {
    let headers =
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let body = match answer {
        Answer::Unavailable => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let body = openai::error_body(&Error::ProviderStatus { provider: provider(), status });
            return Ok(Reply { status, headers, body: ReplyStart::Whole { body, usage: None } });
        }
        Answer::Whole(body) => {
            ReplyStart::Whole { usage: openai::usage_of_reply(&body).ok().flatten(), body }
        }
        Answer::Stream(mut rest) => {
            let first = rest.next().await.ok_or_else(|| Error::Closed { provider: provider() })?;
            ReplyStart::Stream { first, rest: Source::Simulated(rest) }
        }
    };
    Ok(Reply { status: StatusCode::OK, headers, body })
}

/// A call on its way to an OpenAI-compatible server.
struct Sent<'a> {
    provider: &'a str,
    streamed: bool,
}

impl Sent<'_> {
    async fn reply(
        &self,
        upstream: &OpenAIUpstream,
        headers: &HeaderMap,
        body: Bytes,
        worker: usize,
    ) -> Result<Reply, Error> {
        let client = upstream.clients.get(worker).ok_or_else(|| self.closed())?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = upstream.chat_completions.clone();
        *request.headers_mut() = upstream_headers(headers, upstream.authorization.as_ref());
        let response = client.request(request).await.map_err(|error| {
            if error.is_connect() {
                Error::Unreachable { provider: self.provider.to_owned() }
            } else {
                self.closed()
            }
        })?;
        let (parts, body) = response.into_parts();
        let headers = client_headers(parts.headers);
        if !parts.status.is_success() {
            return self.refusal(parts.status, headers, body).await;
        }
        let body = if self.streamed { self.stream(&headers, body).await? } else { self.whole(body).await? };
        Ok(Reply { status: parts.status, headers, body })
    }

    fn closed(&self) -> Error {
        Error::Closed { provider: self.provider.to_owned() }
    }

    fn garbage(&self, reason: &'static str) -> Error {
        Error::Garbage { provider: self.provider.to_owned(), reason }
    }

    async fn collect(&self, body: Incoming) -> Result<Bytes, Error> {
        let whole = Limited::new(body, MAX_REPLY_BYTES).collect().await;
        whole.map(http_body_util::Collected::to_bytes).map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                self.garbage("it is over 32 MiB")
            } else {
                self.closed()
            }
        })
    }

    /// An error of the provider passes through when the caller's SDK can read it.
    async fn refusal(
        &self,
        status: StatusCode,
        mut headers: HeaderMap,
        body: Incoming,
    ) -> Result<Reply, Error> {
        let body = self.collect(body).await?;
        if openai::is_error_body(&body) {
            return Ok(Reply { status, headers, body: ReplyStart::Whole { body, usage: None } });
        }
        if !status.is_client_error() && !status.is_server_error() {
            return Err(self.garbage("its status is neither success nor error"));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = openai::error_body(&Error::ProviderStatus { provider: self.provider.to_owned(), status });
        Ok(Reply { status, headers, body: ReplyStart::Whole { body, usage: None } })
    }

    async fn whole(&self, body: Incoming) -> Result<ReplyStart, Error> {
        let body = self.collect(body).await?;
        let usage = openai::usage_of_reply(&body).map_err(|_| self.garbage("it is no JSON object"))?;
        Ok(ReplyStart::Whole { body, usage })
    }

    /// Waits for the first bytes: until they are here, another provider can take over.
    async fn stream(&self, headers: &HeaderMap, mut body: Incoming) -> Result<ReplyStart, Error> {
        let content_type = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if !content_type.starts_with(b"text/event-stream") {
            return Err(self.garbage("a stream was asked for, and it is no text/event-stream"));
        }
        while let Some(frame) = body.frame().await {
            if let Ok(first) = frame.map_err(|_| self.closed())?.into_data()
                && !first.is_empty()
            {
                return Ok(ReplyStart::Stream { first, rest: Source::Http(body) });
            }
            if body.is_end_stream() {
                break;
            }
        }
        Err(self.closed())
    }
}

/// Headers of the caller that a provider may see. An allow list: a header that the gateway does not
/// know may be a secret of the platform.
const TO_PROVIDER: [HeaderName; 4] = [
    header::ACCEPT,
    header::USER_AGENT,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

fn upstream_headers(from_caller: &HeaderMap, authorization: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for name in TO_PROVIDER {
        if let Some(value) = from_caller.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    if let Some(value) = authorization {
        headers.insert(header::AUTHORIZATION, value.clone());
    }
    headers
}

/// Headers of the provider that the caller may see: what its SDK reads, and nothing of the hop.
fn client_headers(from_provider: HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    let mut last = None;
    for (name, value) in from_provider {
        last = name.or(last);
        if let Some(name) = &last
            && passes(name.as_str())
        {
            headers.append(name.clone(), value);
        }
    }
    headers
}

fn passes(name: &str) -> bool {
    matches!(name, "content-type" | "retry-after" | "retry-after-ms" | "x-request-id" | "x-should-retry")
        || name.starts_with("openai-")
        || name.starts_with("x-ratelimit-")
}
