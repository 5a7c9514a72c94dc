//! A worker: a thread with a runtime of its own. It accepts connections from the listeners that all
//! workers share, serves them, and at the end finishes what is in flight.

mod attention;

use std::{
    future::{Future as _, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use futures::FutureExt as _;
use http::{HeaderValue, Version, header};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::yield_now,
    time::{Instant, sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;

use attention::Attention;

use crate::{
    alarm::{self, Alarms},
    burst::{BurstStream, Flusher},
    listen::{Arrival, Ports},
    pipeline,
    shared::{Limits, Shared},
    snapshot::callers::presented::Presented,
    stage::identify::Caller,
};

/// Bytes of a request's head, and what is read of its body at once.
const READ_BUFFER: usize = 64 * 1024;
const MAX_STREAMS: u32 = 256;
/// Who has connected when the drain ends, and has said nothing yet, has so long to say it.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How long to wait when the system is out of something, file descriptors for one.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub struct Worker {
    pub index: usize,
    pub shared: Arc<Shared>,
    /// Connections of all workers.
    pub connections: Arc<Semaphore>,
}

impl Worker {
    /// Runs until `stop` turns true and what was in flight is done, or `grace` has passed.
    pub fn run(self, ports: Ports, stop: watch::Receiver<bool>, grace: Duration) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _kept = alarm::keep();
        runtime.block_on(self.serve(ports, stop, grace))
    }

    async fn serve(self, ports: Ports, mut stop: watch::Receiver<bool>, grace: Duration) -> io::Result<()> {
        let listeners = ports.listen()?;
        drop(tokio::spawn(Flusher));
        let server = Arc::new(server(&self.shared.limits));
        let (end, open) = watch::channel(());
        loop {
            // With all connections taken, new ones wait in the listener's queue.
            let permit = tokio::select! {
                permit = self.connections.clone().acquire_owned() => permit.map_err(io::Error::other)?,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            tokio::select! {
                accepted = listeners.accept() => match accepted {
                    Ok(arrival) => self.connection(&server, &open, arrival, permit),
                    Err(error) if of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "can't accept connections");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        // Who has connected already is answered; the listener closes behind them. It learns of them when the
        // system is asked for what is new.
        yield_now().await;
        while let Some(Ok(arrival)) = listeners.accept().now_or_never() {
            let Ok(permit) = self.connections.clone().try_acquire_owned() else { break };
            self.connection(&server, &open, arrival, permit);
        }
        drop((listeners, open));
        // Also where whoever ran the proxy is gone: connections look for the end only then.
        self.shared.draining.store(true, Relaxed);
        let _nobody = end.send(());
        if timeout(grace, end.closed()).await.is_err() {
            tracing::warn!(worker = self.index, "calls were still in flight when the drain timeout ended");
        }
        Ok(())
    }

    fn connection(
        &self,
        server: &Arc<auto::Builder<TokioExecutor>>,
        open: &watch::Receiver<()>,
        Arrival { stream, peer, handshake }: Arrival,
        permit: OwnedSemaphorePermit,
    ) {
        // Without it a small chunk may wait for the acknowledgement of the one before.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let Limits { write_timeout, .. } = self.shared.limits;
        let timed = move |stream| {
            let mut stream = TimeoutStream::new(BurstStream::new(stream));
            stream.set_write_timeout(Some(write_timeout));
            Box::pin(stream)
        };
        let mut caller = Caller { address: caller_address(peer), certificate: None };
        let connection = Connection {
            worker: self.index,
            shared: self.shared.clone(),
            server: server.clone(),
            end: open.clone(),
            permit,
        };
        match handshake {
            None => drop(tokio::spawn(connection.serve(timed(stream), caller))),
            Some(handshake) => drop(tokio::spawn(async move {
                let Some(stream) = handshake.complete(stream, timed).await else { return };
                caller.certificate = Presented::of(stream.get_ref().1.peer_certificates());
                connection.serve(stream, caller).await;
            })),
        }
    }
}

/// A connection, and what its calls need.
struct Connection {
    worker: usize,
    shared: Arc<Shared>,
    server: Arc<auto::Builder<TokioExecutor>>,
    /// It is to end, and who waits until it has.
    end: watch::Receiver<()>,
    permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Answers its calls until it ends.
    async fn serve<I>(self, stream: I, caller: Caller)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { worker, shared, server, mut end, permit } = self;
        let Limits { header_timeout, .. } = shared.limits;
        let spoken = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let (spoken, shared) = (spoken.clone(), shared.clone());
            move |request: Request<Incoming>| {
                spoken.store(true, Relaxed);
                let (shared, caller) = (shared.clone(), caller.clone());
                let kept_alive = request.version() <= Version::HTTP_11;
                async move {
                    let mut answer = pin!(pipeline::answer(&shared, worker, caller, request));
                    let attention = Attention::new();
                    let mut response = poll_fn(|cx| attention.poll(cx, answer.as_mut())).await;
                    // Its next call goes elsewhere. HTTP/2 is told by GOAWAY.
                    if kept_alive && shared.draining.load(Relaxed) {
                        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, std::convert::Infallible>(response)
                }
            }
        });
        let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service).into_owned());
        // The server's own timer starts when it knows the version of HTTP: a client that sends
        // nothing, or the beginning of a preface, would stay for good. A connection that breaks
        // is the client's affair; its calls have been settled.
        let mut silent = pin!(sleep(header_timeout));
        let (mut ending, mut watched) = (pin!(end.changed()), false);
        let (mut ends, mut told) = (false, false);
        let _broken = poll_fn(|cx| {
            // Who has been asked once wakes this task; to ask at each turn would be for nothing.
            if !ends && (!watched || shared.draining.load(Relaxed)) {
                watched = true;
                ends = ending.as_mut().poll(cx).is_ready();
                if ends && !spoken.load(Relaxed) {
                    silent.as_mut().reset(Instant::now() + LAST_WORDS.min(header_timeout));
                }
            }
            while connection.as_mut().poll(cx).is_pending() {
                // What it has sent is answered first: told before, it would not be read any more.
                if told || !ends || !spoken.load(Relaxed) {
                    // One that has spoken costs no more looks at a clock.
                    return if spoken.load(Relaxed) { Poll::Pending } else { silent.as_mut().poll(cx) };
                }
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            Poll::Ready(())
        })
        .await;
        drop(permit);
    }
}

fn server(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(Alarms)
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(READ_BUFFER)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    server
}

fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// An IPv4 caller on a dual-stack socket is shown as what it is.
fn caller_address(peer: SocketAddr) -> IpAddr {
    peer.ip().to_canonical()
}

#[cfg(test)]
mod tests;
