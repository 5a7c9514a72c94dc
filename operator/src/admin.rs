//! The admin port: `/metrics`, `/livez` and `/readyz`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::{metrics::Metrics, publish::server::ServingCertificate};

/// How long to wait when the system is out of something, file descriptors for one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, certificate: Arc<ServingCertificate>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "can't accept connections to the admin port");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (metrics, certificate) = (metrics.clone(), certificate.clone());
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = answer(request.uri().path(), &metrics, &certificate);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
            let _broken = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(path: &str, metrics: &Metrics, certificate: &ServingCertificate) -> Response<Full<Bytes>> {
    let (status, body) = match path {
        "/livez" => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" if certificate.0.load().is_none() => {
            (StatusCode::SERVICE_UNAVAILABLE, "no certificate yet\n".to_owned())
        }
        "/readyz" if metrics.ready.get() == 0 => {
            (StatusCode::SERVICE_UNAVAILABLE, "nothing compiled yet\n".to_owned())
        }
        "/readyz" => (StatusCode::OK, "ok\n".to_owned()),
        "/metrics" => match metrics.exposition() {
            Ok(exposition) => (StatusCode::OK, exposition),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        _ => (StatusCode::NOT_FOUND, "here are /metrics, /livez and /readyz\n".to_owned()),
    };
    let content_type = match path {
        "/metrics" => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
