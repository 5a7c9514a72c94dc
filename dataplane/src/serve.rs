//! The proxy as a whole: two listeners, workers, what they share, and the drain at the end.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::sync::{Semaphore, oneshot, watch};

use crate::{
    admin,
    request_log::{Format, Writer},
    shared::{Handle, Limits, Shared},
    upstream::check,
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
    /// How long, at the end, calls are still taken: until those who send them have heard that it ends.
    pub drain_delay: Duration,
    /// How long calls in flight may take to finish behind that.
    pub drain_timeout: Duration,
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
        let (shared, writer) = Shared::new(settings.workers, settings.limits, settings.request_log);
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
        Handle::new(self.shared.clone())
    }

    /// Serves until `shutdown`, and a little longer; then finishes what is in flight.
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
        let checks = tokio::spawn(check::run(self.shared.clone(), self.settings.workers));
        shutdown.await;
        checks.abort();
        self.shared.draining.store(true, Relaxed);
        tokio::time::sleep(self.settings.drain_delay).await;
        let _all_ended = stop.send(true);
        for ended in workers {
            ended.await.map_err(io::Error::other)??;
        }
        admin.abort();
        self.writer.finish();
        Ok(())
    }
}
