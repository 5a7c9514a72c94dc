//! The admin port: `/metrics`, `/livez`, `/readyz`, `/debug/config`, what is in force but for its
//! secrets, and `/debug/providers`, what is known of each provider.

pub mod providers;

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::{fleet::Fleet, shared::Shared, worker::ACCEPT_PAUSE};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until it is aborted.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, mostly: to ask again at once would only take the CPU as well.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let response = answer(&request, &shared);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(shared.limits.header_timeout);
            let _broken = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(request: &Request<Incoming>, shared: &Arc<Shared>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match (shared.draining.load(Relaxed), shared.snapshot.load().is_some()) {
            (true, _) => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            (_, false) => text(StatusCode::SERVICE_UNAVAILABLE, "no configuration yet\n"),
            _ => text(StatusCode::OK, "ok\n"),
        },
        "/metrics" => match shared.metrics.exposition() {
            Ok(exposition) => typed(OPENMETRICS, exposition),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        "/debug/config" => match shared.snapshot.load().as_ref() {
            None => text(StatusCode::SERVICE_UNAVAILABLE, "no configuration yet\n"),
            Some(snapshot) => json(&snapshot.document),
        },
        Fleet::PATH => match shared.snapshot.load().as_ref() {
            None => text(StatusCode::SERVICE_UNAVAILABLE, "no configuration yet\n"),
            Some(_) => json(&providers::providers(&shared.healths)),
        },
        _ => text(
            StatusCode::NOT_FOUND,
            "here are /metrics, /livez, /readyz, /debug/config and /debug/providers\n",
        ),
    }
}

fn json(told: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string_pretty(told) {
        Ok(told) => typed("application/json", told + "\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = typed("text/plain; charset=utf-8", body);
    *response.status_mut() = status;
    response
}

fn typed(content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
