//! The admin port: `/metrics`, `/livez`, `/readyz`, and `/debug/proxies`, which proxies are attached to this
//! replica and what it shows them.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use k8s_openapi::ByteString;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    metrics::Metrics,
    observe::ledger::reread::InForce,
    publish::{
        Targets,
        attached::{Attached, listing::Page},
        server::ServingCertificate,
    },
};

/// How long to wait when the system is out of something, file descriptors for one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What it tells of.
pub struct Told {
    /// The name of this replica.
    pub identity: String,
    pub metrics: Arc<Metrics>,
    pub certificate: Arc<ServingCertificate>,
    pub attached: Arc<Attached>,
    pub targets: watch::Receiver<Option<Arc<Targets>>>,
    pub ledger: watch::Receiver<InForce>,
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, told: Told) {
    let told = Arc::new(told);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "can't accept connections to the admin port");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let told = told.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = answer(request.uri().path(), &told);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
            let _broken = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(path: &str, told: &Told) -> Response<Full<Bytes>> {
    let (status, body) = match path {
        "/livez" => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" if told.certificate.0.load().is_none() => {
            (StatusCode::SERVICE_UNAVAILABLE, "no certificate yet\n".to_owned())
        }
        "/readyz" if told.metrics.ready.get() == 0 => {
            (StatusCode::SERVICE_UNAVAILABLE, "nothing compiled yet\n".to_owned())
        }
        "/readyz" => (StatusCode::OK, "ok\n".to_owned()),
        "/metrics" => match told.metrics.exposition() {
            Ok(exposition) => (StatusCode::OK, exposition),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        "/debug/proxies" => match serde_json::to_string_pretty(&told.page()) {
            Ok(page) => (StatusCode::OK, page + "\n"),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        _ => (StatusCode::NOT_FOUND, "here are /metrics, /livez, /readyz and /debug/proxies\n".to_owned()),
    };
    let content_type = match path {
        "/metrics" => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "/debug/proxies" if status == StatusCode::OK => "application/json",
        _ => "text/plain; charset=utf-8",
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl Told {
    fn page(&self) -> Page {
        let (proxies, omitted) = self.attached.listed(self.targets.borrow().as_deref());
        let certificate = self.certificate.0.load();
        Page {
            replica: self.identity.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            leads: self.metrics.leader.get() == 1,
            certificate: certificate.as_ref().and_then(|key| Some(ByteString(key.cert.first()?.to_vec()))),
            ledger_refused: self.ledger.borrow().trouble(),
            proxies,
            omitted,
        }
    }
}
