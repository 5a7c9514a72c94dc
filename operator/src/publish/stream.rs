//! One config stream: hello, then an update for each change, each answered before the next is sent.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::Incoming;
use llm_config::{
    section::Update,
    stream::{FromProxy, Line, Lines, PATH},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    Digests, Targets,
    admit::{Admission, Refusal},
    attached::{Attached, Place, ProxyName},
};
use crate::metrics::Metrics;

/// A hello names every section that a proxy holds, at some 100 bytes each.
const LONGEST_MESSAGE: usize = 16 * 1024 * 1024;
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// A proxy that does not answer an update for so long is hung up on.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

type Updates = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;
/// The body of a reply.
pub type ReplyBody = Either<Full<Bytes>, Updates>;

/// What all streams share.
pub struct Streams {
    pub admission: Admission,
    pub attached: Arc<Attached>,
    pub targets: watch::Receiver<Option<Targets>>,
    pub metrics: Arc<Metrics>,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the proxy hung up")]
    HungUp,
    #[error("the proxy sent what is no message: {0}")]
    NoMessage(String),
    #[error("the proxy did not answer update {generation} within {} s", ANSWER_TIMEOUT.as_secs())]
    NoAnswer { generation: u64 },
    #[error("the proxy has opened a newer stream")]
    Replaced,
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
                response
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
                response
            }
            Err((status, message)) => {
                self.metrics.streams_refused.inc();
                tracing::warn!(%status, message, "a proxy was turned away");
                refusal(status, message)
            }
        }
    }

    async fn open(self: Arc<Self>, request: Request<Incoming>) -> Result<Updates, (StatusCode, String)> {
        let refused = |refusal: Refusal| (refusal.status(), refusal.to_string());
        let (parts, body) = request.into_parts();
        let identity = self.admission.identify(&parts.headers).await.map_err(refused)?;
        let mut messages = Messages { body, lines: Lines::new(LONGEST_MESSAGE) };
        let hello = timeout(HELLO_TIMEOUT, messages.next()).await;
        let (proxy, gateway, version, holds, open) = match hello {
            Ok(Ok(FromProxy::Hello { proxy, gateway, version, holds, open })) => {
                (proxy, gateway, version, holds, open)
            }
            Ok(Ok(_)) => {
                return Err((StatusCode::BAD_REQUEST, "the first message must be a hello".to_owned()));
            }
            Ok(Err(error)) => return Err((StatusCode::BAD_REQUEST, error.to_string())),
            Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, "no hello came".to_owned())),
        };
        self.admission.authorize(&identity, &gateway).map_err(refused)?;
        // The API server's word for the pod counts for more than the proxy's own.
        let proxy = identity.pod.unwrap_or(proxy);
        tracing::info!(proxy, gateway, version, "a proxy is attached");
        let name = ProxyName { gateway, proxy };
        let (place, replaced) = self.attached.attach(name.clone(), holds.clone(), open);
        let (updates, body) = mpsc::channel(1);
        let conversation = Conversation {
            targets: self.targets.clone(),
            gateway: name.gateway.clone(),
            holds: Arc::new(holds),
            generation: 0,
            messages,
            updates,
            place,
        };
        tokio::spawn(async move {
            let Err(why) = conversation.run(replaced).await;
            tracing::info!(proxy = name.proxy, gateway = name.gateway, %why, "a proxy is detached");
        });
        let frames = stream::unfold(body, async |mut body: mpsc::Receiver<Bytes>| {
            Some((Ok(Frame::data(body.recv().await?)), body))
        });
        Ok(StreamBody::new(frames.boxed()))
    }
}

struct Conversation {
    targets: watch::Receiver<Option<Targets>>,
    gateway: String,
    /// What the proxy has last acknowledged.
    holds: Arc<Digests>,
    generation: u64,
    messages: Messages,
    updates: mpsc::Sender<Bytes>,
    place: Place,
}

impl Conversation {
    async fn run(mut self, mut replaced: oneshot::Receiver<()>) -> Result<Infallible, Ended> {
        loop {
            let target = self.targets.borrow_and_update().clone();
            if let Some(targets) = target {
                let target = targets.get(&self.gateway).cloned().unwrap_or_default();
                // The first update is sent though it be empty: the proxy is ready by it.
                let update = Update::between(self.generation + 1, &self.holds, &target.sections);
                if self.generation == 0 || !update.is_empty() {
                    self.send(&update, &target.digests).await?;
                } else {
                    self.holds = target.digests.clone();
                    self.place.acknowledged(target.digests);
                }
            }
            tokio::select! {
                changed = self.targets.changed() => changed.map_err(|_| Ended::Ending)?,
                _ = &mut replaced => return Err(Ended::Replaced),
                // Between updates a proxy answers nothing; that it hangs up is heard here.
                answer = self.messages.answer(&self.place) => {
                    let answer = answer?;
                    return Err(Ended::NoMessage(format!("{answer:?} out of turn")));
                }
            }
        }
    }

    async fn send(&mut self, update: &Update, digests: &Arc<Digests>) -> Result<(), Ended> {
        self.generation = update.generation;
        let generation = update.generation;
        // Strings and numbers only: it can't fail.
        let mut line = serde_json::to_vec(update).unwrap_or_default();
        line.push(b'\n');
        self.updates.send(line.into()).await.map_err(|_| Ended::HungUp)?;
        let answer = timeout(ANSWER_TIMEOUT, self.messages.answer(&self.place))
            .await
            .map_err(|_| Ended::NoAnswer { generation })??;
        match answer {
            FromProxy::Ack { generation: answered } if answered == generation => {
                self.holds = digests.clone();
                self.place.acknowledged(digests.clone());
                Ok(())
            }
            FromProxy::Refuse { generation: answered, problems } if answered == generation => {
                self.place.refused(problems);
                Ok(())
            }
            other => Err(Ended::NoMessage(format!("{other:?} in answer to update {generation}"))),
        }
    }
}

/// What a proxy says, message by message.
struct Messages {
    body: Incoming,
    lines: Lines,
}

impl Messages {
    /// The next that answers an update; what comes in between is taken in. Cancel safe.
    async fn answer(&mut self, place: &Place) -> Result<FromProxy, Ended> {
        loop {
            match self.next().await? {
                FromProxy::Health { open } => place.breakers(open),
                FromProxy::Unknown => tracing::debug!("a proxy says what this operator does not know"),
                answer => return Ok(answer),
            }
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
