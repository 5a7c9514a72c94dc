//! Sends the call: to the plan's first target and, when that fails before a byte has reached the
//! client, once more to the second.

mod exchange;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, StatusCode};
use hyper::body::Incoming;
use llm_dialect::{Context, Garbled, reply::Usage, surface::CallerSide, translation::Through};
use tokio::time::{Instant, timeout_at};

use crate::{
    buffer::{Buffers, Held},
    error::{Error, retryable_status},
    snapshot::{Target, Upstream},
    stage::{decode::Call, route::Plan, settle::Settlement},
    upstream::count,
    wire::Wire,
};

use exchange::Exchange;

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
        body: Held,
        usage: Option<Usage>,
    },
    /// The first bytes have come: from here on there is no going back to another provider.
    Stream {
        first: Bytes,
        rest: Source,
        through: Through,
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

/// What every attempt of a call needs.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    pub call: &'a Call,
    /// The caller's.
    pub headers: &'a HeaderMap,
    pub buffers: &'a Buffers,
    /// The index of the worker that runs this.
    pub worker: usize,
    pub deadline: Instant,
}

/// Sends the call along the plan.
pub async fn dispatch(
    plan: &Plan<'_>,
    sending: Sending<'_>,
    settlement: &mut Settlement,
) -> Result<Reply, Error> {
    let allowed = plan.model.timeouts.request();
    let send = async |target: &Arc<Target>| {
        let reply = timeout_at(sending.deadline, attempt(target, sending)).await;
        reply.map_err(|_| Error::Timeout { provider: target.provider.name.to_string(), after: allowed })?
    };
    settlement.tries(plan.first);
    let first = send(plan.first).await;
    let again = match &first {
        Ok(reply) => retryable_status(reply.status) && pays_off(plan, reply.status),
        Err(error) => error.retryable(),
    };
    if !again || Instant::now() >= sending.deadline {
        return first;
    }
    settlement.tries(plan.second);
    send(plan.second).await
}

/// A provider that limits rates is not asked again at once; another one may be.
fn pays_off(plan: &Plan<'_>, status: StatusCode) -> bool {
    status != StatusCode::TOO_MANY_REQUESTS || !Arc::ptr_eq(plan.first, plan.second)
}

async fn attempt(target: &Target, sending: Sending<'_>) -> Result<Reply, Error> {
    let call = sending.call;
    let Some(wire) = Wire::new(call, target)? else { return count_here(call, target).await };
    let exchange = Exchange { wire, sending };
    let body = wire.request_body()?;
    match &target.provider.upstream {
        Upstream::Remote(remote) => exchange.remote(remote, body).await,
        Upstream::Simulated(simulated) => exchange.simulated(simulated, body).await,
    }
}

/// Counts tokens for a provider whose API does not. The number is an estimate and says so.
async fn count_here(call: &Call, target: &Target) -> Result<Reply, Error> {
    let (api, body) = (call.api, call.body.bytes.clone());
    // It is read once more: what the call means belongs to this worker.
    let counted = count::off_worker(move || match api.caller() {
        CallerSide::Chat(caller) => api.read_chat(caller, &body).ok().map(|request| count::tokens(&request)),
        CallerSide::Embed(_) => None,
    });
    let closed = || Error::Closed { provider: target.provider.name.to_string() };
    let tokens = counted.await.flatten().ok_or_else(closed)?;
    let body = call.api.counter().map(|api| api.write_count(tokens)).unwrap_or_default();
    let headers = HeaderMap::from_iter([
        exchange::json_content(),
        (exchange::TOKENS_HEADER, http::HeaderValue::from_static("estimated")),
    ]);
    let body = ReplyStart::Whole { body: body.into(), usage: Some(Usage::default()) };
    Ok(Reply { status: StatusCode::OK, headers, body })
}

/// What a translated reply needs and no provider gives.
fn context(call: &Call) -> Context {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Context {
        id: format!("{:016x}", fastrand::u64(..)),
        created: i64::try_from(since.as_secs()).unwrap_or_default(),
        model: call.model.to_string(),
        include_usage: call.envelope.wants_usage(),
    }
}

fn garbled(target: &Target) -> impl Fn(Garbled) -> Error {
    |Garbled(reason)| Error::Garbage { provider: target.provider.name.to_string(), reason }
}
