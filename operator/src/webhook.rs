//! The admission webhook: HTTPS with the certificate of the config stream, for the API server to call.
//! Every replica serves it, leader or not; the leader keeps its registration.

mod review;
mod objects;
mod pods;
pub mod registration;

use std::{
    convert::Infallible,
    error::Error,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    listen,
    publish::server::{ServingCertificate, acceptor},
};

pub use objects::Objects;
pub use review::Admitter;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// The API server closes an idle connection after 90 s. Who closes it first here would cut calls that
/// are on their way.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// More wait to be accepted. An API server opens a few.
const CONNECTIONS: u32 = 256;
/// What rests for so long is closed where no place is left: an API server whose call crosses that calls again.
const CROWDED_IDLE: Duration = Duration::from_secs(5);
/// How often a connection that rests looks for that.
const LOOK: Duration = Duration::from_secs(1);
/// When the system is out of something, file descriptors for one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes the port and serves until `stopped` turns true; ends when every review that was asked for is
/// answered.
///
/// # Errors
/// When the port can't be had, or TLS can't be configured.
pub async fn start(
    address: SocketAddr,
    certificate: Arc<ServingCertificate>,
    admitter: Admitter,
    stopped: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, Box<dyn Error>> {
    let acceptor = acceptor(certificate, "http/1.1")?;
    let listener = listen::take(address).await?;
    tracing::info!(webhook = %listener.local_addr()?, "listening for admissions");
    Ok(tokio::spawn(serve(listener, acceptor, Arc::new(admitter), stopped)))
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    admitter: Arc<Admitter>,
    mut stopped: watch::Receiver<bool>,
) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS as usize));
    loop {
        // It is never closed.
        let Ok(place) = connections.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        let tcp = match accepted {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::warn!(%error, "can't accept connections to the webhook");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (acceptor, admitter, stopped) = (acceptor.clone(), admitter.clone(), stopped.clone());
        let places = connections.clone();
        tokio::spawn(async move {
            if let Some(tls) = encrypted(tcp, acceptor).await {
                connection(tls, admitter, &places, stopped).await;
            }
            drop(place);
        });
    }
    // The API server calls another replica, rather than wait here.
    drop(listener);
    let _all = connections.acquire_many(CONNECTIONS).await;
}

async fn encrypted(tcp: TcpStream, acceptor: TlsAcceptor) -> Option<TlsStream<TcpStream>> {
    let _nodelay = tcp.set_nodelay(true);
    match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await {
        Ok(Ok(tls)) => return Some(tls),
        // An API server that does not trust the certificate says so here.
        Ok(Err(error)) => tracing::debug!(%error, "no TLS with who called the webhook"),
        Err(_) => tracing::debug!("no TLS in time with who called the webhook"),
    }
    None
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    admitter: Arc<Admitter>,
    places: &Semaphore,
    mut stopped: watch::Receiver<bool>,
) {
    let rest = Arc::new(Rest::default());
    let resting = rest.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (admitter, rest) = (admitter.clone(), rest.clone());
        async move {
            rest.ends();
            let answer = admitter.answer(request).await;
            rest.begins();
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT);
    let mut serving = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let (mut served, crowded) = tokio::select! {
        served = &mut serving => (Some(served), false),
        _ = stopped.wait_for(|stopped| *stopped) => (None, false),
        () = resting.in_the_way(places) => (None, true),
    };
    if served.is_none() {
        // What is being answered goes out with `connection: close`; a connection that rests is closed. Of a request that
        // has begun and not come, the rest would be waited for, which is too long where others have no place.
        serving.as_mut().graceful_shutdown();
        served = match timeout(if crowded { CROWDED_IDLE } else { IDLE_TIMEOUT }, serving).await {
            Ok(served) => Some(served),
            Err(_) => return,
        };
    }
    if let Some(Err(error)) = served {
        tracing::debug!(%error, "a connection to the webhook broke");
    }
}

/// Since when nothing has been asked on a connection; none while something is.
struct Rest(Mutex<Option<Instant>>);

impl Default for Rest {
    fn default() -> Self {
        Self(Mutex::new(Some(Instant::now())))
    }
}

impl Rest {
    fn begins(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn ends(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Waits until it has lasted long, and others have no place.
    async fn in_the_way(&self, places: &Semaphore) {
        loop {
            sleep(LOOK).await;
            let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let long = since.is_some_and(|since| since.elapsed() >= CROWDED_IDLE);
            if long && places.available_permits() == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
