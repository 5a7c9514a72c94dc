//! One proxy, as the operator sees it: a connection of its own, TLS, HTTP/2, hello, and an answer to each update. It
//! connects, waits and comes again as `llm-proxy` does; it routes nothing.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use http::{Request, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use llm_config::stream::{FromProxy, Line, Lines, PATH};
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{
    counted::{self, Counted},
    held::{Digests, Revision, Steps},
};

// Those of `llm-proxy`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TURN_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(3);
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
const LONGEST_LINE: usize = 64 * 1024 * 1024;

/// What all proxies share.
pub struct Shared {
    pub operator: SocketAddr,
    pub tls: TlsConnector,
    pub steps: Steps,
}

/// Who it is.
pub struct Identity {
    pub name: String,
    /// `None` for a sidecar.
    pub gateway: Option<String>,
    pub token: String,
}

/// How far it is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub holds: Arc<Digests>,
    /// Connections that were tried.
    pub attempts: u64,
    /// Connections on which an update was acknowledged.
    pub attached: u64,
    /// The last first acknowledgement of a connection.
    pub attached_at: Option<Instant>,
    /// What it holds of the route that is followed, and since when.
    pub revision: Revision,
    pub revised_at: Option<Instant>,
    /// Why the last connection ended.
    pub trouble: Option<String>,
}

pub struct Proxy {
    identity: Identity,
    shared: Arc<Shared>,
    pub bytes: Arc<counted::Bytes>,
    progress: Mutex<Progress>,
}

type Answers = mpsc::Sender<Bytes>;
type RequestBody = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;
type Sender = http2::SendRequest<RequestBody>;

impl Proxy {
    pub fn new(identity: Identity, shared: Arc<Shared>) -> Self {
        let progress = Progress { holds: shared.steps.nothing.clone(), ..Progress::default() };
        Self { identity, shared, bytes: Arc::default(), progress: Mutex::new(progress) }
    }

    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_sidecar(&self) -> bool {
        self.identity.gateway.is_none()
    }

    /// Follows the operator until it is dropped.
    pub async fn follow(self: Arc<Self>) -> Infallible {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let before = self.progress().attached;
            let Err(trouble) = self.connection().await;
            self.progress().trouble = Some(trouble);
            if self.progress().attached != before {
                backoff = FIRST_BACKOFF;
            }
            tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    async fn connection(&self) -> Result<Infallible, String> {
        self.progress().attempts += 1;
        let sender = timeout(CONNECT_TIMEOUT, self.connect())
            .await
            .map_err(|_| "no connection in time".to_owned())??;
        let (mut updates, answers) =
            timeout(TURN_TIMEOUT, self.open(sender)).await.map_err(|_| "no answer in time".to_owned())??;
        let mut lines = Lines::new(LONGEST_LINE);
        let mut first = true;
        loop {
            let frame = updates.frame().await.ok_or("the operator closed the stream")?;
            let Ok(bytes) = frame.map_err(|error| error.to_string())?.into_data() else { continue };
            lines.push(&bytes);
            while let Some(line) = lines.next_line() {
                let Line::Whole(line) = line else { return Err("an update is too long".to_owned()) };
                let holds = self.progress().holds.clone();
                let step = self.shared.steps.take(&holds, &line)?;
                let answer = FromProxy::Ack { generation: step.generation };
                answers.send(message(&answer)).await.map_err(|_| "the operator hung up")?;
                let now = Instant::now();
                let mut progress = self.progress();
                progress.holds = step.holds;
                if let Some(revision) = step.revision {
                    progress.revision = Some(revision);
                    progress.revised_at = Some(now);
                }
                if std::mem::take(&mut first) {
                    progress.attached += 1;
                    progress.attached_at = Some(now);
                }
            }
        }
    }

    async fn connect(&self) -> Result<Sender, String> {
        let stream = TcpStream::connect(self.shared.operator).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let counted = Counted { stream, bytes: self.bytes.clone() };
        let name = ServerName::from(self.shared.operator.ip());
        let tls = self.shared.tls.connect(name, counted).await.map_err(|error| failed(&error))?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(tls))
            .await
            .map_err(|error| failed(&error))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn open(&self, mut sender: Sender) -> Result<(Incoming, Answers), String> {
        let (answers, body) = mpsc::channel::<Bytes>(4);
        let hello = FromProxy::Hello {
            proxy: self.identity.name.clone(),
            gateway: self.identity.gateway.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            holds: self.progress().holds.as_ref().clone(),
            open: Vec::new(),
        };
        answers.send(message(&hello)).await.map_err(|error| failed(&error))?;
        let request = Request::post(format!("https://{}{PATH}", self.shared.operator))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.identity.token))
            .body(request_body(body))
            .map_err(|error| failed(&error))?;
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        if response.status() != StatusCode::OK {
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
            return Err(format!("{status} {}", String::from_utf8_lossy(&body)));
        }
        Ok((response.into_body(), answers))
    }

    /// Bytes from the operator and to it so far.
    pub fn moved(&self) -> [u64; 2] {
        [&self.bytes.received, &self.bytes.sent].map(|bytes| bytes.load(Ordering::Relaxed))
    }
}

fn failed(error: &dyn std::fmt::Display) -> String {
    error.to_string()
}

fn request_body(answers: mpsc::Receiver<Bytes>) -> RequestBody {
    let next =
        async |mut answers: mpsc::Receiver<Bytes>| Some((Ok(Frame::data(answers.recv().await?)), answers));
    StreamBody::new(stream::unfold(answers, next).boxed())
}

fn message(message: &FromProxy) -> Bytes {
    // Strings and numbers only: it can't fail.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
