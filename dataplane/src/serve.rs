//! The proxy as a whole: two listeners, workers, what they share, and the drain at the end.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use llm_config::Document;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::{
    admin,
    metrics::{Labels, Metrics, Series},
    request_log::{Format, RequestLog, Writer},
    snapshot::Snapshot,
    upstream::client::Clients,
    worker::Worker,
};

/// How a proxy runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where applications call.
    pub listen: SocketAddr,
    /// Where metrics and health are.
    pub admin: SocketAddr,
    pub workers: usize,
    pub request_log: Format,
    pub limits: Limits,
    /// How long calls in flight may take to finish at the end.
    pub drain_timeout: Duration,
}

/// What a caller may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_body_bytes: usize,
    pub max_connections: usize,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// From the first byte, or the end of the call before, to the end of the head.
    pub header_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 * 1024 * 1024,
            max_connections: 4096,
            body_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(75),
        }
    }
}

/// What workers, admin port and configuration share.
#[derive(Debug)]
pub struct Shared {
    pub snapshot: ArcSwapOption<Snapshot>,
    pub metrics: Arc<Metrics>,
    pub clients: Clients,
    pub limits: Limits,
    pub log: RequestLog,
    /// Calls that were refused before they had a route.
    pub unrouted: Arc<Series>,
    pub draining: AtomicBool,
}

/// Puts configuration in force.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

impl Handle {
    /// Checks a document and swaps it in whole; calls in flight go on with what they began with.
    ///
    /// # Errors
    /// Every problem of the document; the one in force stays.
    pub fn install(&self, document: Document) -> Result<(), Vec<String>> {
        let shared = &self.0;
        match Snapshot::build(document, &shared.metrics, &shared.clients) {
            Ok(snapshot) => {
                drop(shared.snapshot.swap(Some(Arc::new(snapshot))));
                shared.metrics.config_updates.inc();
                shared.metrics.forget_unused();
                shared.clients.forget_unused();
                Ok(())
            }
            Err(problems) => {
                shared.metrics.config_refused.inc();
                Err(problems)
            }
        }
    }

    /// Counts an update that could not even be read.
    pub(crate) fn refused(&self) {
        self.0.metrics.config_refused.inc();
    }
}

/// A proxy with its ports taken.
#[derive(Debug)]
pub struct Proxy {
    settings: Settings,
    shared: Arc<Shared>,
    listener: TcpListener,
    admin: TcpListener,
    writer: Writer,
}

impl Proxy {
    /// Takes the ports.
    ///
    /// # Errors
    /// When one can't be had; the error names it.
    pub fn bind(settings: Settings) -> io::Result<Self> {
        let bind = |address: SocketAddr| {
            let listener = TcpListener::bind(address).map_err(|error| {
                io::Error::new(error.kind(), format!("can't listen on {address}: {error}"))
            })?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(listener)
        };
        let (listener, admin) = (bind(settings.listen)?, bind(settings.admin)?);
        let metrics = Arc::new(Metrics::default());
        let (log, writer) = RequestLog::start(settings.request_log, metrics.clone());
        let shared = Arc::new(Shared {
            snapshot: ArcSwapOption::empty(),
            unrouted: metrics.series(&Labels::default()),
            metrics,
            clients: Clients::new(settings.workers),
            limits: settings.limits,
            log,
            draining: AtomicBool::new(false),
        });
        Ok(Self { settings, shared, listener, admin, writer })
    }

    /// Where it listens, for applications and for the admin port.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.listener.local_addr()?, self.admin.local_addr()?))
    }

    /// To put configuration in force, before and while the proxy runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(self.shared.clone())
    }

    /// Serves until `shutdown`, then finishes what is in flight.
    ///
    /// # Errors
    /// When a worker can't be started.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let (stop, stopped) = watch::channel(false);
        let connections = Arc::new(Semaphore::new(self.settings.limits.max_connections));
        let mut workers = Vec::with_capacity(self.settings.workers);
        for index in 0..self.settings.workers {
            let worker = Worker { index, shared: self.shared.clone(), connections: connections.clone() };
            let (listener, stopped) = (self.listener.try_clone()?, stopped.clone());
            let grace = self.settings.drain_timeout;
            let (done, ended) = oneshot::channel();
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                // Nobody listens any more only when the proxy itself is gone.
                let _unheard = done.send(worker.run(listener, stopped, grace));
            })?;
            workers.push(ended);
        }
        drop(self.listener);
        let admin =
            tokio::spawn(admin::serve(tokio::net::TcpListener::from_std(self.admin)?, self.shared.clone()));
        shutdown.await;
        self.shared.draining.store(true, Relaxed);
        let _all_ended = stop.send(true);
        for ended in workers {
            ended.await.map_err(io::Error::other)??;
        }
        admin.abort();
        self.writer.finish();
        Ok(())
    }
}
