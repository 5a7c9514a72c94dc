//! A way to the API server on which some requests fail, as they do when it has too much to do or its store is away.
//! Everything else goes through as it is, watches included.

use crate::installation::Installation;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Requests whose path and query hold this are answered with this status.
type Fault = Arc<Mutex<Option<(&'static str, u16)>>>;

pub struct Gate {
    /// That of the installation's operator, but through the gate.
    pub kubeconfig: String,
    fault: Fault,
    _serving: JoinSet<()>,
}

impl Gate {
    pub async fn start(installation: &Installation) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let text = std::fs::read_to_string(&installation.kubeconfig).unwrap();
        let mut kubeconfig: Value = serde_json::from_str(&text).unwrap();
        kubeconfig["clusters"][0]["cluster"] = json!({ "server": url });
        let kubeconfig = installation.scratch.write("gate.kubeconfig", kubeconfig.to_string());

        let own = Kubeconfig::from_yaml(&text).unwrap();
        let own = kube::Config::from_custom_kubeconfig(own, &KubeConfigOptions::default()).await.unwrap();
        let client = kube::Client::try_from(own).unwrap();
        let fault = Fault::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, client, fault.clone()));
        Self { kubeconfig: kubeconfig.to_str().unwrap().to_owned(), fault, _serving: serving }
    }

    /// From now on requests with `part` in path and query are answered with `status`.
    pub fn fail(&self, part: &'static str, status: u16) {
        *self.fault.lock().unwrap() = Some((part, status));
    }

    pub fn open(&self) {
        *self.fault.lock().unwrap() = None;
    }
}

async fn serve(listener: TcpListener, client: kube::Client, fault: Fault) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (client, fault) = (client.clone(), fault.clone());
        connections.spawn(async move {
            let service = service_fn(|request| pass(client.clone(), fault.clone(), request));
            let _broken = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

async fn pass(
    client: kube::Client,
    fault: Fault,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let fault = *fault.lock().unwrap();
    if let Some((part, code)) = fault
        && request.uri().to_string().contains(part)
    {
        let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "message": "later", "reason": "Later"});
        return Ok(Response::builder()
            .status(code)
            .body(Body::from(status.to_string().into_bytes()))
            .unwrap());
    }
    let (mut parts, body) = request.into_parts();
    // The client has its own, for the same account.
    parts.headers.remove(http::header::HOST);
    parts.headers.remove(http::header::AUTHORIZATION);
    let body = body.collect().await.unwrap().to_bytes();
    let answered = client.send(Request::from_parts(parts, Body::from(body.to_vec()))).await;
    Ok(answered.unwrap_or_else(|error| {
        Response::builder().status(502).body(Body::from(error.to_string().into_bytes())).unwrap()
    }))
}
