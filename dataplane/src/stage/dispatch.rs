//! Sends the call: to the plan's first candidate and, when that fails before a byte has reached the
//! client, to the next; when all have failed, to one of them again after a pause. All of it within the
//! deadline of the call, past no breaker that is open, and within each provider's budget of retries.

mod exchange;
mod judge;
mod walk;

use std::{
    pin::pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, StatusCode};
use llm_dialect::{Context, FaultKind, Garbled, reply::Usage, surface::CallerSide, translation::Through};
use tokio::time::Instant;

use crate::{
    alarm::{self, Alarm},
    buffer::{Buffers, Held},
    error::Error,
    snapshot::{Target, Upstream},
    stage::{decode::Call, route::Plan, settle::Settlement},
    upstream::{
        count,
        health::Trial,
        origin::{Received, Sent},
    },
    wire::Wire,
};

use exchange::Exchange;
use walk::Walk;

/// A reply, as far as it has come.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: ReplyStart,
    /// It is an error of the provider.
    pub refused: Option<Refused>,
    /// When it had come so far; of a failed one that is given for want of a better, when that was known.
    pub came: Instant,
}

/// What a provider's error means.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// As the provider answered, whatever its caller is told.
    pub status: StatusCode,
    pub kind: FaultKind,
    /// The call is too long for the model.
    pub too_long: bool,
}

/// How the body begins.
#[derive(Debug)]
pub enum ReplyStart {
    Whole {
        body: Held,
        usage: Option<Usage>,
    },
    /// The first bytes have come: from here on there is no going back to another provider. Aside, since most replies
    /// need not carry its room.
    Stream(Box<BegunStream>),
}

/// A stream that has begun.
#[derive(Debug)]
pub struct BegunStream {
    pub first: Bytes,
    pub rest: Source,
    pub through: Through,
}

/// Where a stream comes from.
pub enum Source {
    Http(Received),
    Simulated(BoxStream<'static, Bytes>),
    /// Nothing more is wanted of it.
    Gone,
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
    /// By then the reply must have begun, or, where it comes whole, ended.
    pub deadline: Instant,
    /// The time from the call's arrival to that.
    pub allowed: Duration,
}

/// Sends the call along the plan. Beside a stream comes the attempt whose outcome its end decides.
pub async fn dispatch(
    plan: &Plan<'_>,
    sending: Sending<'_>,
    settlement: &mut Settlement,
) -> Result<(Reply, Option<Trial>), Error> {
    let mut walk = Walk::new(plan, sending, settlement);
    while let Some(begun) = walk.next().await {
        if let Some(outcome) = walk.attempt(begun).await {
            return outcome;
        }
    }
    // Few calls come here: the others need not carry its room.
    Box::pin(last_resort(walk)).await
}

/// A place at one that is full is worth a wait only when all others have failed.
async fn last_resort(mut walk: Walk<'_, '_>) -> Result<(Reply, Option<Trial>), Error> {
    while let Some(begun) = walk.wait_for_room().await {
        if let Some(outcome) = walk.attempt(begun).await {
            return outcome;
        }
    }
    walk.failed()
}

/// One attempt, within its time: the first byte of a stream has a time of its own, and so may a reply
/// that comes whole.
async fn within(
    plan: &Plan<'_>,
    target: &Target,
    sending: Sending<'_>,
    (sent, now): (Sent, Instant),
) -> Result<Reply, Error> {
    let timeouts = plan.rule.timeouts;
    let own = if sending.call.stream { Some(timeouts.first_token()) } else { timeouts.attempt() };
    let own = own.filter(|own| now + *own < sending.deadline);
    let until = own.map_or(sending.deadline, |own| now + own);
    let reply = pin!(attempt(target, sending, &sent));
    alarm::before(|| Alarm::at(until), reply).await.unwrap_or_else(|| {
        let provider = target.provider.name.to_string();
        match own {
            None => Err(Error::Timeout { provider, after: sending.allowed }),
            Some(after) if sending.call.stream => Err(Error::FirstToken { provider, after }),
            Some(after) => Err(Error::Attempt { provider, after }),
        }
    })
}

async fn attempt(target: &Target, sending: Sending<'_>, sent: &Sent) -> Result<Reply, Error> {
    let call = sending.call;
    let Some(wire) = Wire::new(call, target)? else {
        // As with all that few calls do: the others need not carry its room.
        return Box::pin(count_here(call, target)).await;
    };
    let exchange = Exchange { wire, sending, sent };
    let body = wire.request_body()?;
    match &target.provider.upstream {
        Upstream::Remote(remote) => exchange.remote(remote, body).await,
        Upstream::Simulated(simulated) => Box::pin(exchange.simulated(simulated, body)).await,
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
    Ok(Reply { status: StatusCode::OK, headers, body, refused: None, came: Instant::now() })
}

/// What a translated reply needs and no provider gives.
pub fn context(call: &Call) -> Context {
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
