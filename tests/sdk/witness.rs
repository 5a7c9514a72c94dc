//! Stands between the proxy and the provider mock and keeps what the proxy sent: the mock's journal leaves pictures
//! and schemas out for three of the four dialects. It also answers what the mock has not: embeddings of Gemini (in
//! batches, as its SDKs ask for them) and of Ollama (by the API of today).

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use llm_dialect::surface::Kind;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A running witness; it ends with its connections when it is dropped.
pub struct Witness {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    accepting: JoinHandle<()>,
}

struct Seen {
    kind: Kind,
    body: String,
}

impl Witness {
    pub async fn start(mock: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mock: Arc<str> = mock.trim_start_matches("http://").into();
        let accepting = tokio::spawn(accept(listener, mock, Arc::clone(&seen)));
        Self { url, seen, accepting }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The bodies for providers of a kind that hold `tag`.
    pub fn bodies(&self, kind: Kind, tag: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let wanted = seen.iter().filter(|seen| seen.kind == kind && seen.body.contains(tag));
        wanted.map(|seen| seen.body.clone()).collect()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

type Body = Either<Full<Bytes>, Incoming>;

async fn accept(listener: TcpListener, mock: Arc<str>, seen: Arc<Mutex<Vec<Seen>>>) {
    // The set aborts its connections when this task is aborted.
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (mock, seen) = (Arc::clone(&mock), Arc::clone(&seen));
        connections.spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&mock), Arc::clone(&seen), request));
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // A connection that breaks is what some of the tests are about.
            let _ = server.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

async fn answer(
    mock: Arc<str>,
    seen: Arc<Mutex<Vec<Seen>>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = head.uri.path();
    seen.lock().unwrap().push(Seen { kind: kind(path), body: String::from_utf8_lossy(&body).into_owned() });
    if let Some(embedded) = embed(path, &body) {
        let body = Either::Left(Full::from(embedded.to_string()));
        return Ok(Response::builder().header("content-type", "application/json").body(body).unwrap());
    }
    let socket = TcpStream::connect(&*mock).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let reply = sender.send_request(Request::from_parts(head, Full::new(body))).await?;
    Ok(reply.map(Either::Right))
}

fn kind(path: &str) -> Kind {
    match path {
        path if path.starts_with("/v1beta/") => Kind::Gemini,
        path if path.starts_with("/api/") => Kind::Ollama,
        "/v1/messages" => Kind::Anthropic,
        _ => Kind::OpenAI,
    }
}

/// A vector for each text, in the shape of the API; `None` for what the mock can answer.
fn embed(path: &str, body: &[u8]) -> Option<Value> {
    const VECTOR: [f32; 4] = [0.5, -0.25, 0.125, 1.0];
    let read = || serde_json::from_slice::<Value>(body).unwrap();
    if path.ends_with(":batchEmbedContents") {
        let count = read()["requests"].as_array().unwrap().len();
        return Some(json!({"embeddings": vec![json!({"values": VECTOR}); count]}));
    }
    if path == "/api/embed" {
        let count = read()["input"].as_array().unwrap().len();
        return Some(json!({
            "model": "main", "embeddings": vec![VECTOR; count],
            "total_duration": 1, "load_duration": 1, "prompt_eval_count": count,
        }));
    }
    None
}
