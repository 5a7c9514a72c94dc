//! The connections of one worker to one server: those of HTTP/1 that nobody uses just now, or the one of
//! HTTP/2 that all calls share. No other worker asks for its lock.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::Body;
use http_body_util::Full;
use hyper::{
    body::{Frame, Incoming, SizeHint},
    client::conn::http2,
};
use hyper_util::{
    client::legacy::connect::Connection as _,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep},
};
use tower_service::Service as _;

use super::{
    client::Connector,
    driven::{Driven, DrivenBody, Unsent},
};

const MAX_IDLE: usize = 256;
/// How often it is looked which have been idle for too long.
const LOOK: Duration = Duration::from_secs(5);
/// One that has not been used for so many looks, 50 to 55 seconds, is given up: before most servers and
/// load balancers do the same. Calls need no clock by this.
const IDLE_LOOKS: u32 = 11;
/// A shared connection that does not answer to this is down.
const PING: Duration = Duration::from_secs(30);

type Shared = http2::SendRequest<Full<Bytes>>;

/// Where at a server something is.
#[derive(Clone, Debug)]
pub struct Place {
    whole: Uri,
    /// The same as HTTP/1 says it.
    path: Uri,
}

impl From<Uri> for Place {
    fn from(whole: Uri) -> Self {
        let path = whole.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
        Self { whole, path }
    }
}

/// A server, and the connections to it.
pub struct Origin {
    connector: Connector,
    /// Its scheme and authority.
    address: Uri,
    host: HeaderValue,
    kept: Mutex<Kept>,
}

/// What is there for the next call.
#[derive(Default)]
struct Kept {
    /// The one that was used last is at the end. Beside each, the look before its last use.
    idle: Vec<(Box<Driven>, u32)>,
    shared: Option<(Shared, u32)>,
    looks: u32,
    keeper: Keeping,
}

/// Whether somebody looks after what is kept.
#[derive(Default)]
enum Keeping {
    #[default]
    Nobody,
    Starts,
    Runs(Waker),
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no connection to be had.
    Unreachable,
    /// The connection ended.
    Closed,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Whether a request has gone out to its server: until then nobody there has read any of it.
#[derive(Clone, Debug, Default)]
pub struct Sent(Arc<AtomicBool>);

impl Sent {
    pub fn is_sent(&self) -> bool {
        self.0.load(Relaxed)
    }

    pub fn set(&self, sent: bool) {
        self.0.store(sent, Relaxed);
    }
}

/// What a call is sent by.
enum Connection {
    Own { connection: Box<Driven>, reused: bool },
    Shared { connection: Shared, reused: bool },
}

impl Origin {
    pub fn new(connector: Connector, address: Uri) -> Self {
        let host = address.authority().map_or("", |authority| authority.as_str());
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let usual = if address.scheme_str() == Some("https") { ":443" } else { ":80" };
        let host = host.strip_suffix(usual).unwrap_or(host);
        // An authority that was parsed fits.
        let host = HeaderValue::try_from(host).unwrap_or(HeaderValue::from_static(""));
        Self { connector, address, host, kept: Mutex::default() }
    }

    /// Sends a request, noting when it goes out, and waits for the head of its response. Where a connection turns out to
    /// have been closed while it was idle, and nothing has been sent, another is taken.
    ///
    /// # Errors
    /// When there is no connection, or it ends.
    pub async fn send(
        self: &Arc<Self>,
        place: &Place,
        mut request: Request<Full<Bytes>>,
        sent: &Sent,
    ) -> Result<Response<Received>, Failure> {
        loop {
            let connection = match self.take() {
                Some(connection) => connection,
                None => Box::pin(self.connect()).await?,
            };
            sent.set(true);
            let (unsent, reused) = match connection {
                Connection::Own { mut connection, reused } => {
                    *request.uri_mut() = place.path.clone();
                    request.headers_mut().entry(header::HOST).or_insert_with(|| self.host.clone());
                    match connection.send(request).await {
                        Ok(response) => {
                            return Ok(response.map(|body| Received::own(body, connection, self.clone())));
                        }
                        Err(Unsent { request }) => (request, reused),
                    }
                }
                Connection::Shared { mut connection, reused } => {
                    *request.uri_mut() = place.whole.clone();
                    match connection.try_send_request(request).await {
                        Ok(response) => return Ok(response.map(Received::shared)),
                        Err(mut error) => (error.take_message(), reused),
                    }
                }
            };
            sent.set(unsent.is_none());
            request = unsent.filter(|_| reused).ok_or(Failure::Closed)?;
        }
    }

    /// One that is free.
    fn take(&self) -> Option<Connection> {
        let mut kept = self.lock();
        let looks = kept.looks;
        if let Some((shared, used)) = &mut kept.shared {
            if shared.is_ready() {
                *used = looks;
                return Some(Connection::Shared { connection: shared.clone(), reused: true });
            }
            kept.shared = None;
        }
        while let Some((mut connection, _)) = kept.idle.pop() {
            if connection.is_free() {
                return Some(Connection::Own { connection, reused: true });
            }
        }
        None
    }

    async fn connect(self: &Arc<Self>) -> Result<Connection, Failure> {
        let connecting = self.connector.clone().call(self.address.clone());
        let io = connecting.await.map_err(|_| Failure::Unreachable)?;
        if !io.connected().is_negotiated_h2() {
            let connection = Driven::new(io).await.map_err(|_| Failure::Closed)?;
            return Ok(Connection::Own { connection: Box::new(connection), reused: false });
        }
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .adaptive_window(true)
            .handshake(io);
        let (mut shared, connection) = handshake.await.map_err(|_| Failure::Closed)?;
        // Its calls are told when it breaks.
        tokio::spawn(async { drop(connection.await) });
        shared.ready().await.map_err(|_| Failure::Closed)?;
        let mut kept = self.lock();
        // Of several that were begun together, the first is shared; this one may still serve its own.
        if !kept.shared.as_ref().is_some_and(|(shared, _)| shared.is_ready()) {
            kept.shared = Some((shared.clone(), kept.looks));
            self.look_after(&mut kept);
        }
        Ok(Connection::Shared { connection: shared, reused: false })
    }

    /// Keeps a connection for another call.
    fn keep(self: &Arc<Self>, connection: Box<Driven>) {
        let mut kept = self.lock();
        if kept.idle.len() >= MAX_IDLE {
            return;
        }
        connection.rest(match &kept.keeper {
            Keeping::Runs(keeper) => Some(keeper),
            Keeping::Nobody | Keeping::Starts => None,
        });
        let looks = kept.looks;
        kept.idle.push((connection, looks));
        self.look_after(&mut kept);
    }

    fn look_after(self: &Arc<Self>, kept: &mut Kept) {
        // Without a runtime the worker has ended, and its connections with it.
        if let (Keeping::Nobody, Ok(runtime)) = (&kept.keeper, Handle::try_current()) {
            kept.keeper = Keeping::Starts;
            runtime.spawn(Keeper { origin: Arc::downgrade(self), look: Box::pin(sleep(LOOK)) });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives up the connections that have been idle for long, and those that the server has closed: it would
/// keep what it holds of them. Ends when there are none.
struct Keeper {
    origin: Weak<Origin>,
    look: Pin<Box<Sleep>>,
}

impl Future for Keeper {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(origin) = self.origin.upgrade() else { return Poll::Ready(()) };
        let mut kept = origin.lock();
        while self.look.as_mut().poll(cx).is_ready() {
            kept.looks = kept.looks.wrapping_add(1);
            self.look.as_mut().reset(Instant::now() + LOOK);
        }
        let looks = kept.looks;
        let fresh = |used: u32| looks.wrapping_sub(used) < IDLE_LOOKS;
        kept.idle.retain_mut(|(connection, used)| {
            let stays = fresh(*used) && connection.is_free();
            if stays {
                connection.rest(Some(cx.waker()));
            }
            stays
        });
        kept.shared = kept.shared.take().filter(|(shared, used)| fresh(*used) && shared.is_ready());
        if kept.idle.is_empty() && kept.shared.is_none() {
            kept.keeper = Keeping::Nobody;
            return Poll::Ready(());
        }
        kept.keeper = Keeping::Runs(cx.waker().clone());
        Poll::Pending
    }
}

/// The body of a response. When it is over, or nobody wants it any more, its connection is kept where it
/// can be.
pub struct Received(Option<Source>);

enum Source {
    Own(DrivenBody, Arc<Origin>),
    Shared(Incoming),
}

impl Received {
    fn own(body: Incoming, connection: Box<Driven>, origin: Arc<Origin>) -> Self {
        Self(Some(Source::Own(DrivenBody::new(body, connection), origin)))
    }

    fn shared(body: Incoming) -> Self {
        Self(Some(Source::Shared(body)))
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(Source::Own(body, origin)) = self.0.take()
            && let Some(connection) = body.into_free()
        {
            origin.keep(connection);
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(Source::Own(body, _)) => body.poll_frame(cx),
            Some(Source::Shared(body)) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Some(Source::Own(body, _)) => body.is_end_stream(),
            Some(Source::Shared(body)) => body.is_end_stream(),
            None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some(Source::Own(body, _)) => body.size_hint(),
            Some(Source::Shared(body)) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests;
