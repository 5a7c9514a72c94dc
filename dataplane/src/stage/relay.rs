//! The reply to the client: with its backpressure, within its deadlines, reading along.
//!
//! Frames that are ready together are written together: a write costs more than all that is done
//! to a frame. The connection to the provider hands over one frame at a time, so what is ready is
//! only known when that connection has had its turn: frames are gathered until a turn of the
//! scheduler brings no other. No frame ever waits for one that is not there.

mod excess;
mod turn;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use llm_config::Timeouts;
use llm_dialect::{
    frame::Framing,
    gather::Gather,
    surface::CallerSide,
    translation::{Broken, Through},
};
use tokio::time::Instant;

use crate::{
    alarm::Alarm,
    buffer::Held,
    clock,
    error::Error,
    stage::{
        decode::Call,
        dispatch::{BegunStream, Reply, ReplyStart, Source},
        report::TRAILERS,
        settle::{Settlement, Taken},
    },
    upstream::health::Trial,
};

use excess::Excess;
use turn::Turn;

/// Bytes that are written together, at most.
const MAX_WRITE: usize = 64 * 1024;

/// The body of a reply to the client.
pub enum ReplyBody {
    Whole(Option<Held>),
    Stream(Box<Relay>),
}

impl ReplyBody {
    pub fn whole(body: Held) -> Self {
        Self::Whole((!body.bytes.is_empty()).then_some(body))
    }
}

/// On what terms a reply goes to its client.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub timeouts: Timeouts,
    /// Of the whole call.
    pub deadline: Instant,
    /// The client reads what comes behind the body.
    pub trailers: bool,
}

/// Gives the reply to the client.
pub fn relay(
    reply: Reply,
    trial: Option<Trial>,
    call: &Call,
    terms: Terms,
    mut settlement: Settlement,
) -> Response<ReplyBody> {
    let Reply { status, mut headers, body, refused: _, came } = reply;
    let body = match body {
        ReplyStart::Whole { body, usage } => {
            settlement.first_byte(came);
            let taken = match usage {
                Some(usage) => Taken::Reported(usage),
                None if status.is_success() => Taken::Seen { usage: None, events: 0 },
                None => Taken::Nothing,
            };
            match settlement.finish(came, status, taken, None) {
                Some(report) => {
                    report.head(&mut headers);
                    let told = report.in_body(body.bytes.clone());
                    ReplyBody::whole(body.with(told))
                }
                None => ReplyBody::whole(body),
            }
        }
        ReplyStart::Stream(begun) => {
            let BegunStream { first, rest, mut through } = *begun;
            let excess = settlement.longest().map(|most| Excess::watch(most, &mut through, call));
            let Terms { timeouts, deadline, trailers: takes_trailers } = terms;
            let idle = timeouts.idle();
            settlement.head(&mut headers);
            if takes_trailers {
                headers.insert(header::TRAILER, TRAILERS);
            }
            ReplyBody::Stream(Box::new(Relay {
                source: rest,
                first: Some(first),
                through,
                excess,
                caller: call.api.caller(),
                came: Gather::default(),
                out: Gather::default(),
                turn: Turn::default(),
                came_this_turn: false,
                source_ended: false,
                is_cut: false,
                last_frame: came,
                idle,
                deadline,
                allowed: timeouts.request(),
                timer: Alarm::at(deadline.min(came + idle)),
                provider: settlement.provider(),
                trial,
                takes_trailers,
                trailers: None,
                settlement: Some(settlement),
            }))
        }
    };
    let framing = match (&body, call.api.caller()) {
        (ReplyBody::Stream(_), CallerSide::Chat(api)) => Some(api.framing()),
        _ => None,
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if let Some(framing) = framing {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(framing.content_type()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    response
}

/// A stream on its way.
pub struct Relay {
    source: Source,
    first: Option<Bytes>,
    through: Through,
    /// Where a strict budget has reserved for so much output and no more.
    excess: Option<Box<Excess>>,
    /// The API in which the stream is written.
    caller: CallerSide,
    /// Frames as they came.
    came: Gather,
    /// What of them may go to the client.
    out: Gather,
    turn: Turn,
    came_this_turn: bool,
    source_ended: bool,
    /// It was ended in its model's place.
    is_cut: bool,
    last_frame: Instant,
    idle: Duration,
    deadline: Instant,
    allowed: Duration,
    timer: Alarm,
    provider: Arc<str>,
    /// What the end of the stream tells of its provider.
    trial: Option<Trial>,
    takes_trailers: bool,
    /// At the end.
    trailers: Option<HeaderMap>,
    /// Gone when the stream has come to an end.
    settlement: Option<Settlement>,
}

impl Relay {
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        loop {
            return match &mut self.source {
                Source::Gone => Poll::Ready(None),
                Source::Simulated(stream) => {
                    futures::Stream::poll_next(stream.as_mut(), cx).map(|event| event.map(Ok))
                }
                Source::Http(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                    None => Poll::Ready(None),
                    Some(Err(_)) => {
                        Poll::Ready(Some(Err(Error::StreamBroken { provider: self.provider.to_string() })))
                    }
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(bytes) => Poll::Ready(Some(Ok(bytes))),
                        // Trailers: there is nothing in them for the client.
                        Err(_) => continue,
                    },
                },
            };
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        loop {
            ready!(Pin::new(&mut self.timer).poll(cx));
            let now = Instant::now();
            if now >= self.deadline {
                return Poll::Ready(Error::StreamDeadline { after: self.allowed });
            }
            let idle_at = self.last_frame + self.idle;
            if now >= idle_at {
                return Poll::Ready(Error::StreamIdle {
                    provider: self.provider.to_string(),
                    after: self.idle,
                });
            }
            // Frames only note their time; the timer is set anew when it has run out.
            self.timer.reset(idle_at.min(self.deadline));
        }
    }

    /// Passes what came through the tap.
    fn read_along(&mut self) -> Result<(), Error> {
        if self.came.is_empty() {
            return Ok(());
        }
        self.last_frame = Instant::now();
        self.through.push(self.came.take(), &mut self.out).map_err(|broken| self.error(broken))
    }

    fn error(&self, broken: Broken) -> Error {
        let provider = self.provider.to_string();
        match broken {
            Broken::FrameTooLarge => Error::Garbage { provider, reason: "an event is over 4 MiB".into() },
            Broken::Garbled(garbled) => Error::Garbage { provider, reason: garbled.0 },
            Broken::Failed(fault) => Error::StreamFailed { provider, fault },
        }
    }

    fn taken(&self) -> Taken {
        match self.through.usage() {
            usage if self.is_cut => Taken::Cut { usage, events: self.through.count() },
            Some(usage) if self.through.ended() => Taken::Reported(usage),
            usage => Taken::Seen { usage, events: self.through.count() },
        }
    }

    /// Gathers until no more is ready: the frames that came, the end, or what went wrong.
    fn poll_ready_frames(&mut self, cx: &mut Context<'_>) -> Poll<Option<Error>> {
        loop {
            match self.poll_source(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    self.came.push(bytes);
                    self.came_this_turn = true;
                    if self.came.len() >= MAX_WRITE {
                        return Poll::Ready(None);
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(error)),
                Poll::Ready(None) => {
                    self.source_ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending if self.came.is_empty() => return self.poll_timer(cx).map(Some),
                Poll::Pending => {
                    ready!(self.turn.poll_over(cx));
                    if !std::mem::take(&mut self.came_this_turn) {
                        return Poll::Ready(None);
                    }
                }
            }
        }
    }

    /// Ends a stream in its model's place whose provider goes on past what was reserved; whether it did.
    fn cut(&mut self) -> bool {
        let (Some(excess), CallerSide::Chat(api)) = (&self.excess, self.caller) else { return false };
        if !self.through.runs_past() {
            return false;
        }
        excess.stop(api, &mut self.through, &mut self.out);
        // The connection goes with it: the provider is to stop now, not when the client has read all.
        self.source = Source::Gone;
        self.is_cut = true;
        true
    }

    /// Whether it may hold comments.
    fn is_of_events(&self) -> bool {
        matches!(self.caller, CallerSide::Chat(api) if api.framing() == Framing::Sse)
    }

    /// The stream is over: in good order, or with an event that says why not.
    fn close(&mut self, error: Option<&Error>) {
        if let (Some(error), CallerSide::Chat(api)) = (error, self.caller) {
            self.through.fail(api, &error.fault(), &mut self.out);
        }
        let (taken, now) = (self.taken(), Instant::now());
        match (self.trial.take(), error) {
            (Some(trial), None) => trial.answered(taken.usage(), clock::at(now)),
            (Some(trial), Some(error)) if error.is_providers() => {
                trial.failed(error.code(), error.to_string());
            }
            // The caller's patience has ended: dropped, it tells nothing of the provider.
            _ => {}
        }
        if let Some(mut settlement) = self.settlement.take() {
            settlement.first_byte(now);
            let status = error.map_or(StatusCode::OK, Error::status);
            if let Some(report) = settlement.finish(now, status, taken, error) {
                self.trailers = self.takes_trailers.then(|| report.trailers());
                if self.is_of_events()
                    && let Some(comment) = report.comment()
                {
                    self.out.push(comment);
                }
            }
        }
    }
}

impl Drop for Relay {
    /// The client has hung up, unless it is settled.
    fn drop(&mut self) {
        let taken = self.taken();
        if let Some(settlement) = &mut self.settlement {
            settlement.has_seen(taken);
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        while this.settlement.is_some() {
            let broken = ready!(this.poll_ready_frames(cx));
            let read = this.read_along();
            if let Some(error) = broken.or(read.err()) {
                this.close(Some(&error));
            } else if this.cut() {
                this.close(None);
            } else if this.source_ended {
                let error = match this.through.end(&mut this.out) {
                    Ok(true) => None,
                    Ok(false) => Some(Error::StreamBroken { provider: this.provider.to_string() }),
                    Err(broken) => Some(this.error(broken)),
                };
                this.close(error.as_ref());
            } else if !this.out.is_empty() {
                if let Some(settlement) = &mut this.settlement {
                    settlement.first_byte(this.last_frame);
                }
                break;
            }
        }
        if this.out.is_empty() {
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        Poll::Ready(Some(Ok(Frame::data(this.out.take()))))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body.bytes)))),
            Self::Stream(relay) => Pin::new(&mut **relay).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_none(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.bytes.len() as u64))
            }
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
