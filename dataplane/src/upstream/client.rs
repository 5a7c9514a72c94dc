//! The servers that are called, one [`Origin`] for each worker and each set of roots to trust. They
//! outlive snapshots: a change of configuration costs no connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::{TryFutureExt as _, future::MapOk};
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

use super::origin::Origin;
use crate::{burst::BurstStream, tls};

/// A provider that does not take a connection within this is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What connects.
pub type Connector = HttpsConnector<InBursts>;
/// What it connects by.
pub type Io = MaybeHttpsStream<TokioIo<BurstStream>>;

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

/// All servers.
#[derive(Debug)]
pub struct Clients {
    workers: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    connectors: HashMap<Trust, Connector>,
    /// By whom to trust, scheme and authority.
    origins: HashMap<(Trust, String), Arc<[Arc<Origin>]>>,
}

impl Clients {
    pub fn new(workers: usize) -> Self {
        Self { workers, known: Mutex::default() }
    }

    /// How many may ask.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The server at a URL, the same each time, once for each worker.
    pub fn get(&self, trust: Trust, at: &Uri) -> Result<Arc<[Arc<Origin>]>, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { connectors, origins } = &mut *known;
        let (Some(scheme), Some(authority)) = (at.scheme_str(), at.authority()) else {
            return Err("endpoint: it must be a URL with a host".to_owned());
        };
        let address = format!("{scheme}://{authority}/");
        let key = (trust, address.to_ascii_lowercase());
        if let Some(found) = origins.get(&key) {
            return Ok(found.clone());
        }
        // Without workers nobody is called, and there may be nobody to trust.
        if self.workers == 0 {
            return Ok(Arc::default());
        }
        let connector = match connectors.get(&key.0) {
            Some(connector) => connector.clone(),
            None => connectors.entry(key.0.clone()).or_insert(connector(tls_config(&key.0)?)).clone(),
        };
        let address: Uri = address.parse().map_err(|error| format!("endpoint: {error}"))?;
        let origin = || Arc::new(Origin::new(connector.clone(), address.clone()));
        let made: Arc<[Arc<Origin>]> = (0..self.workers).map(|_| origin()).collect();
        origins.insert(key, made.clone());
        Ok(made)
    }

    /// Closes the connections that no snapshot has a use for.
    pub fn forget_unused(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { connectors, origins } = &mut *known;
        origins.retain(|_, origin| Arc::strong_count(origin) > 1);
        connectors.retain(|trust, _| origins.keys().any(|(used, _)| used == trust));
    }
}

/// Connects, and writes as [`crate::burst`] does.
#[derive(Clone, Debug)]
pub struct InBursts(HttpConnector);

impl Service<Uri> for InBursts {
    type Response = TokioIo<BurstStream>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = MapOk<<HttpConnector as Service<Uri>>::Future, fn(TokioIo<TcpStream>) -> Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        self.0.call(to).map_ok(|stream| TokioIo::new(BurstStream::new(stream.into_inner())))
    }
}

fn connector(config: ClientConfig) -> Connector {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    http.set_keepalive(Some(Duration::from_secs(60)));
    HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(InBursts(http))
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
