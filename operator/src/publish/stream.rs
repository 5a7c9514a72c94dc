//! One config stream: hello, then an update for each change, each answered before the next is sent.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::Incoming;
use jiff::Timestamp;
use llm_config::{
    section::{self, CALLERS, SHARES, Sections},
    stream::{FromProxy, LIFETIME, Line, Lines, PATH},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Digests, Target, Targets,
    admit::{Admission, PodIdentity, Refusal},
    attached::{Attached, Place},
    delta::PIECES,
    member::Member,
};
use crate::{compile::fleet::Fleet, metrics::Metrics};

/// A hello names every section that a proxy holds, at some 100 bytes each.
const LONGEST_MESSAGE: usize = 16 * 1024 * 1024;
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// The watch of pods tells of one within milliseconds; one without the label never.
const KNOWN_WITHIN: Duration = Duration::from_secs(3);
/// A proxy that does not answer an update for so long is hung up on.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Updates that are long, such as the first of a proxy that holds nothing: so many are under way at once. A thousand
/// side by side would all be late; one after another most are early, and none is hung up on.
const LONG: usize = 64 * 1024;
static LONG_AT_ONCE: Semaphore = Semaphore::const_new(64);

type Updates = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;
/// The body of a reply.
pub type ReplyBody = Either<Full<Bytes>, Updates>;

/// What all streams share.
pub struct Streams {
    pub admission: Admission,
    pub attached: Arc<Attached>,
    pub targets: watch::Receiver<Option<Arc<Targets>>>,
    /// How long a stream lives: a proxy that may hold no configuration any more, since its ServiceAccount is gone
    /// or runs the gateway no more, gets none for longer.
    pub lifetime: Duration,
    pub metrics: Arc<Metrics>,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the proxy hung up")]
    HungUp,
    #[error("it has said goodbye")]
    Goodbye,
    #[error("the proxy sent what is no message: {0}")]
    NoMessage(String),
    #[error("the proxy did not answer update {generation} within {} s", ANSWER_TIMEOUT.as_secs())]
    NoAnswer { generation: u64 },
    #[error("the proxy has opened a newer stream")]
    Replaced,
    #[error("its pod is gone, or is no more one with a sidecar")]
    NoSidecar,
    #[error("it has not shown a newer token in time")]
    Outlived,
    #[error("nothing is compiled for {0}")]
    NothingCompiled(Fleet),
    #[error("the operator ends")]
    Ending,
}

impl Streams {
    /// Answers one request of a proxy; an accepted one goes on for as long as the proxy does.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<ReplyBody> {
        if request.method() != Method::POST || request.uri().path() != PATH {
            return refusal(StatusCode::NOT_FOUND, format!("here is POST {PATH} only"));
        }
        match self.clone().open(request).await {
            Ok(updates) => {
                let mut response = Response::new(Either::Right(updates));
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
                headers.insert(LIFETIME, self.lifetime.as_secs().into());
                response
            }
            Err((status, message)) => {
                self.metrics.streams_refused.inc();
                tracing::warn!(%status, message, "a proxy was turned away");
                refusal(status, message)
            }
        }
    }

    async fn open<B>(self: Arc<Self>, request: Request<B>) -> Result<Updates, (StatusCode, String)>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let refused = |refusal: Refusal| (refusal.status(), refusal.to_string());
        let (parts, body) = request.into_parts();
        let mut messages = Messages { body, lines: Lines::new(LONGEST_MESSAGE) };
        // A turn is for work: who says nothing keeps none from others.
        let begun = timeout(HELLO_TIMEOUT, messages.begun()).await;
        begun.map_err(|_| (StatusCode::REQUEST_TIMEOUT, "no hello came".to_owned()))?;
        let turn = self.admission.turn().await;
        let identity = self.admission.identify(&parts.headers).await.map_err(refused)?;
        let hello = timeout(HELLO_TIMEOUT, messages.next()).await;
        let (proxy, gateway, version, mut holds, open) = match hello {
            Ok(Ok(FromProxy::Hello { proxy, gateway, version, holds, open })) => {
                (proxy, gateway, version, holds, open)
            }
            Ok(Ok(_)) => {
                return Err((StatusCode::BAD_REQUEST, "the first message must be a hello".to_owned()));
            }
            Ok(Err(error)) => return Err((StatusCode::BAD_REQUEST, error.to_string())),
            Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, "the hello did not end in time".to_owned())),
        };
        // What is a proxy's alone is told apart: what it shares with others is held once.
        let is_own = |key: &str| key == SHARES || key == CALLERS && gateway.is_none();
        let own: Digests = holds.extract_if(.., |key, _| is_own(key)).collect();
        let holds = self.attached.shared(holds);
        drop(turn);
        let member = match gateway {
            Some(gateway) => {
                self.admission.authorize(&identity, &gateway).map_err(refused)?;
                // The API server's word for the pod counts for more than the proxy's own.
                Member::OfGateway { gateway, proxy: identity.pod.unwrap_or(proxy) }
            }
            None => {
                let pod = identity.of_pod().map_err(refused)?;
                self.known(&pod).await.map_err(refused)?;
                Member::Sidecar(pod)
            }
        };
        let name = member.name();
        let fleet = member.fleet(&self.targets.borrow());
        tracing::info!(proxy = %name, fleet = fleet.as_ref().map(tracing::field::display), version, "a proxy is attached");
        let (place, replaced) =
            self.attached.attach(name.clone(), fleet.clone(), version, holds.clone(), open);
        // An update finds room at once: it is sent when the one before it has been answered.
        let (updates, body) = mpsc::channel(PIECES);
        let conversation = Conversation {
            targets: self.targets.clone(),
            member,
            ends: Instant::now() + self.lifetime,
            fleet,
            holds,
            holds_of_own: own,
            refused: None,
            generation: 0,
            messages,
            updates,
            place,
        };
        tokio::spawn(async move {
            let Err(why) = conversation.run(replaced).await;
            tracing::info!(proxy = %name, %why, "a proxy is detached");
        });
        let frames = stream::unfold(body, async |mut body: mpsc::Receiver<Bytes>| {
            Some((Ok(Frame::data(body.recv().await?)), body))
        });
        Ok(StreamBody::new(frames.boxed()))
    }

    /// Waits until a pod is known as one with a sidecar: it may have started faster than the watch told of it.
    async fn known(&self, pod: &PodIdentity) -> Result<(), Refusal> {
        let mut targets = self.targets.clone();
        let known =
            targets.wait_for(|targets| targets.as_ref().is_some_and(|targets| pod.known(targets).is_some()));
        if let Ok(Ok(_)) = timeout(KNOWN_WITHIN, known).await {
            return Ok(());
        }
        if self.targets.borrow().is_some() {
            Err(Refusal::NotASidecar(pod.pod.clone()))
        } else {
            Err(Refusal::NotReady)
        }
    }
}

struct Conversation<B> {
    targets: watch::Receiver<Option<Arc<Targets>>>,
    member: Member,
    ends: Instant,
    /// What the proxy was part of when it was last looked at.
    fleet: Option<Fleet>,
    /// What the proxy has last acknowledged, of what it shares with its fleet.
    holds: Arc<Digests>,
    /// And of what is its own.
    holds_of_own: Digests,
    /// What it has refused: it is not asked again.
    refused: Option<(Arc<Digests>, Digests)>,
    generation: u64,
    messages: Messages<B>,
    updates: mpsc::Sender<Bytes>,
    place: Place,
}

impl<B: Body<Data = Bytes> + Unpin> Conversation<B> {
    async fn run(mut self, mut replaced: oneshot::Receiver<()>) -> Result<Infallible, Ended> {
        loop {
            let targets = self.targets.borrow_and_update().clone();
            if let Some(targets) = targets {
                let over = over(self.targets.clone(), &mut replaced, self.ends);
                tokio::select! {
                    // Most that are led are there at once.
                    biased;
                    led = self.follow(&targets) => led?,
                    why = over => return Err(why),
                }
            }
            tokio::select! {
                changed = self.targets.changed() => changed.map_err(|_| Ended::Ending)?,
                _ = &mut replaced => return Err(Ended::Replaced),
                () = sleep_until(self.ends) => return Err(Ended::Outlived),
                // Between updates a proxy answers nothing; that it hangs up is heard here.
                answer = self.messages.answer(&self.place) => {
                    let answer = answer?;
                    return Err(Ended::NoMessage(format!("{answer:?} out of turn")));
                }
            }
        }
    }

    /// Leads the proxy to what is in force for its fleet now.
    async fn follow(&mut self, targets: &Arc<Targets>) -> Result<(), Ended> {
        // The proxy goes on with what it has, and is told why when it comes again.
        let fleet = self.member.fleet(&Some(targets.clone())).ok_or(Ended::NoSidecar)?;
        if self.fleet.as_ref() != Some(&fleet) {
            self.place.belongs_to(&fleet);
        }
        // An empty one in its place would take every route from the proxy.
        let target = targets.fleets.get(&fleet).ok_or_else(|| Ended::NothingCompiled(fleet.clone()))?;
        self.fleet = Some(fleet);
        match self.member.own(targets, target) {
            Some(own) => self.lead_to(target, own).await,
            // It will be known soon; the proxy goes on with the share that it has.
            None => Ok(()),
        }
    }

    /// Leads the proxy to what it should hold.
    async fn lead_to(&mut self, target: &Target, mut own: Sections) -> Result<(), Ended> {
        let own_digests = section::digests(&own);
        own.retain(|key, stamped| self.holds_of_own.get(key) != Some(&stamped.digest));
        let gone = self.holds_of_own.keys().filter(|key| !own_digests.contains_key(*key));
        let gone: Vec<section::Key> = gone.cloned().collect();
        let delta = target.delta_from(&self.holds);
        // The first update is sent though it be empty: the proxy is ready by it.
        if self.generation > 0 && delta.is_empty() && own.is_empty() && gone.is_empty() {
            // Most changes are others'.
            if !Arc::ptr_eq(&self.holds, &target.digests) {
                self.holds = target.digests.clone();
                self.place.acknowledged(target.digests.clone());
            }
            return Ok(());
        }
        let wanted = (target.digests.clone(), own_digests);
        let same =
            |(shared, own): &(Arc<Digests>, Digests)| Arc::ptr_eq(shared, &wanted.0) && *own == wanted.1;
        if self.refused.as_ref().is_some_and(same) {
            return Ok(());
        }
        // What its fleet holds may be old, and in force.
        self.place.asked(if delta.is_empty() { Timestamp::now() } else { target.published });
        if self.send(delta.line(self.generation + 1, &own, &gone)).await? {
            (self.holds, self.holds_of_own) = wanted;
            self.refused = None;
            self.place.acknowledged(target.digests.clone());
        } else {
            self.refused = Some(wanted);
        }
        Ok(())
    }

    /// Sends the next update, and tells whether the proxy has taken it.
    async fn send(&mut self, line: Vec<Bytes>) -> Result<bool, Ended> {
        self.generation += 1;
        let generation = self.generation;
        let long = line.iter().map(Bytes::len).sum::<usize>() > LONG;
        let _turn = if long { Some(long_turn(&self.updates).await?) } else { None };
        for piece in line {
            self.updates.send(piece).await.map_err(|_| Ended::HungUp)?;
        }
        let answer = timeout(ANSWER_TIMEOUT, self.messages.answer(&self.place))
            .await
            .map_err(|_| Ended::NoAnswer { generation })??;
        match answer {
            FromProxy::Ack { generation: answered } if answered == generation => Ok(true),
            FromProxy::Refuse { generation: answered, problems } if answered == generation => {
                self.place.refused(&problems);
                Ok(false)
            }
            other => Err(Ended::NoMessage(format!("{other:?} in answer to update {generation}"))),
        }
    }
}

/// Waits until what is long may be sent; who hangs up meanwhile leaves the queue.
async fn long_turn(updates: &mpsc::Sender<Bytes>) -> Result<SemaphorePermit<'static>, Ended> {
    tokio::select! {
        // It is never closed.
        turn = LONG_AT_ONCE.acquire() => turn.map_err(|_| Ended::Ending),
        () = updates.closed() => Err(Ended::HungUp),
    }
}

/// Why a stream ends, whatever it waits for.
async fn over(
    mut targets: watch::Receiver<Option<Arc<Targets>>>,
    replaced: &mut oneshot::Receiver<()>,
    ends: Instant,
) -> Ended {
    let ending = async { while targets.changed().await.is_ok() {} };
    tokio::select! {
        () = ending => Ended::Ending,
        _ = replaced => Ended::Replaced,
        () = sleep_until(ends) => Ended::Outlived,
    }
}

/// What a proxy says, message by message.
struct Messages<B> {
    body: B,
    lines: Lines,
}

impl<B: Body<Data = Bytes> + Unpin> Messages<B> {
    /// The next that answers an update; what comes in between is taken in. Cancel safe.
    async fn answer(&mut self, place: &Place) -> Result<FromProxy, Ended> {
        loop {
            match self.next().await? {
                FromProxy::Health { open } => place.breakers(open),
                // That the stream ends tells the proxy that it has been heard.
                FromProxy::Bye => {
                    place.leave();
                    return Err(Ended::Goodbye);
                }
                FromProxy::Unknown => tracing::debug!("a proxy says what this operator does not know"),
                answer => return Ok(answer),
            }
        }
    }

    /// Waits until something comes, or can't come any more: the next look at it tells which.
    async fn begun(&mut self) {
        if let Some(Ok(frame)) = self.body.frame().await
            && let Ok(bytes) = frame.into_data()
        {
            self.lines.push(&bytes);
        }
    }

    /// Cancel safe: what has been read stays.
    async fn next(&mut self) -> Result<FromProxy, Ended> {
        loop {
            match self.lines.next_line() {
                Some(Line::Whole(line)) => {
                    return serde_json::from_slice(&line)
                        .map_err(|error| Ended::NoMessage(error.to_string()));
                }
                Some(Line::TooLong(_)) => return Err(Ended::NoMessage("it is too long".to_owned())),
                None => {}
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.lines.push(&bytes);
                    }
                }
                Some(Err(_)) | None => return Err(Ended::HungUp),
            }
        }
    }
}

fn refusal(status: StatusCode, message: String) -> Response<ReplyBody> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(message))));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests;
