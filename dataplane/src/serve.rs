//! The proxy as a whole: its listeners, workers, what they share, and the drain at the end.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    admin,
    budget::keeper,
    listen::{self, Ports},
    request_log::{Format, Writer},
    shared::{Handle, Limits, Shared},
    tls::{
        pair::{Files, Pair},
        serving::Serving,
    },
    upstream::check,
    worker::Worker,
};

/// How a proxy runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where applications call without TLS. One of this and `tls` is needed.
    pub listen: Option<SocketAddr>,
    /// Where they call by TLS.
    pub tls: Option<TlsSettings>,
    /// Where metrics and health are.
    pub admin: SocketAddr,
    pub workers: usize,
    pub request_log: Format,
    pub limits: Limits,
    /// Where budgets are kept that no ledger outside keeps; `None`: in memory.
    pub state: Option<PathBuf>,
    /// How long, at the end, calls are still taken: until those who send them have heard that it ends.
    pub drain_delay: Duration,
    /// How long calls in flight may take to finish behind that.
    pub drain_timeout: Duration,
}

/// A port with TLS.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    pub listen: SocketAddr,
    /// PEM files: the certificate to serve by, with those between it and its authority, and its key.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Where a proxy listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub plain: Option<SocketAddr>,
    pub tls: Option<SocketAddr>,
    pub admin: SocketAddr,
}

/// A proxy with its ports taken.
#[derive(Debug)]
pub struct Proxy {
    settings: Settings,
    shared: Arc<Shared>,
    ports: Ports,
    pair: Option<Arc<Pair>>,
    admin: TcpListener,
    writer: Writer,
}

impl Proxy {
    /// Takes the ports, and reads the certificate to serve by.
    ///
    /// # Errors
    /// When one can't be had; the error names it.
    pub fn bind(settings: Settings) -> io::Result<Self> {
        let bind = |address: SocketAddr| {
            let listener = listen::take(address).map_err(|error| {
                io::Error::new(error.kind(), format!("can't listen on {address}: {error}"))
            })?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(listener)
        };
        let (plain, admin) = (settings.listen.map(bind).transpose()?, bind(settings.admin)?);
        let (shared, writer) =
            Shared::new(settings.workers, settings.limits, settings.request_log, settings.state.clone());
        let (mut tls, mut pair) = (None, None);
        if let Some(TlsSettings { listen, certificate, key }) = &settings.tls {
            let files = Files { certificate: certificate.clone(), key: key.clone() };
            let read = Arc::new(Pair::read(files).map_err(io::Error::other)?);
            let serving = Serving::new(read.clone(), shared.clone()).map_err(io::Error::other)?;
            (tls, pair) = (Some((bind(*listen)?, serving)), Some(read));
        }
        Ok(Self { settings, shared, ports: Ports { plain, tls }, pair, admin, writer })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn addresses(&self) -> io::Result<Addresses> {
        let Ports { plain, tls } = &self.ports;
        Ok(Addresses {
            plain: plain.as_ref().map(TcpListener::local_addr).transpose()?,
            tls: tls.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?,
            admin: self.admin.local_addr()?,
        })
    }

    /// To put configuration in force, before and while the proxy runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.clone())
    }

    /// Serves until `shutdown`, and a little longer; then finishes what is in flight. `farewell` is awaited when nothing is
    /// any more.
    ///
    /// # Errors
    /// When a worker can't be started.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()>,
        farewell: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let (stop, stopped) = watch::channel(false);
        let connections = Arc::new(Semaphore::new(self.settings.limits.max_connections));
        let mut workers = Vec::with_capacity(self.settings.workers);
        for index in 0..self.settings.workers {
            let worker = Worker { index, shared: self.shared.clone(), connections: connections.clone() };
            let (ports, stopped) = (self.ports.try_clone()?, stopped.clone());
            let grace = self.settings.drain_timeout;
            let (done, ended) = oneshot::channel();
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                // Nobody listens any more only when the proxy itself is gone.
                let _unheard = done.send(worker.run(ports, stopped, grace));
            })?;
            workers.push(ended);
        }
        drop(self.ports);
        let admin =
            tokio::spawn(admin::serve(tokio::net::TcpListener::from_std(self.admin)?, self.shared.clone()));
        let checks = tokio::spawn(check::run(self.shared.clone(), self.settings.workers));
        let keeper = tokio::spawn(keeper::run(self.shared.purses.clone()));
        let pair = self.pair.map(|pair| tokio::spawn(pair.keep(self.shared.metrics.tls.clone())));
        shutdown.await;
        checks.abort();
        self.shared.draining.store(true, Relaxed);
        tokio::time::sleep(self.settings.drain_delay).await;
        let _all_ended = stop.send(true);
        for ended in workers {
            ended.await.map_err(io::Error::other)??;
        }
        keeper.abort();
        // Side by side: a pod's grace may be all but over.
        tokio::join!(keeper::finish(&self.shared.purses), farewell);
        pair.inspect(JoinHandle::abort);
        admin.abort();
        self.writer.finish();
        Ok(())
    }
}
