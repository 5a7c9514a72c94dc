//! Pooled HTTP clients, one for each worker and each set of roots to trust. They outlive snapshots:
//! a change of configuration costs no connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};

use crate::tls;

/// A provider that does not take a connection within this is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are given up before most servers and load balancers do the same.
const POOL_IDLE: Duration = Duration::from_secs(55);
const POOL_MAX_IDLE: usize = 256;

/// A client of one worker.
pub type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// `http` endpoints only: nobody.
    Plaintext,
    /// The system's roots.
    System,
    /// The authorities in this PEM text, and no other.
    Private(Arc<str>),
}

/// All clients.
#[derive(Debug)]
pub struct Clients {
    workers: usize,
    by_trust: Mutex<HashMap<Trust, Arc<[HttpClient]>>>,
}

impl Clients {
    pub fn new(workers: usize) -> Self {
        Self { workers, by_trust: Mutex::default() }
    }

    /// How many may ask.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The clients that trust these roots, the same each time, one for each worker.
    pub fn get(&self, trust: Trust) -> Result<Arc<[HttpClient]>, String> {
        let mut by_trust = self.by_trust.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clients) = by_trust.get(&trust) {
            return Ok(clients.clone());
        }
        // Without workers nobody is called, and there may be nobody to trust.
        if self.workers == 0 {
            return Ok(Arc::default());
        }
        let config = tls_config(&trust)?;
        let clients: Arc<[HttpClient]> = (0..self.workers).map(|_| client(config.clone())).collect();
        by_trust.insert(trust, clients.clone());
        Ok(clients)
    }

    /// Closes the clients that no snapshot holds.
    pub fn forget_unused(&self) {
        let mut by_trust = self.by_trust.lock().unwrap_or_else(PoisonError::into_inner);
        by_trust.retain(|_, clients| Arc::strong_count(clients) > 1);
    }
}

fn client(config: ClientConfig) -> HttpClient {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.set_keepalive(Some(Duration::from_secs(60)));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http);
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_MAX_IDLE)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .http2_adaptive_window(true)
        .build(connector)
}

fn tls_config(trust: &Trust) -> Result<ClientConfig, String> {
    let roots = match trust {
        Trust::Plaintext => RootCertStore::empty(),
        Trust::System => {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(
                    "this machine has no root certificates to trust; install ca-certificates".to_owned()
                );
            }
            roots
        }
        Trust::Private(pem) => tls::roots(pem)?,
    };
    tls::client_config(roots).map_err(|error| format!("tls: {error}"))
}
