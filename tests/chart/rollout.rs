//! Nothing is dropped when every proxy is replaced: under constant load of plain and streamed calls, over connections of
//! their own and over connections that are kept, a rolling restart fails no call and cuts no stream.

use crate::release::{Release, WITHIN};
use bytes::Bytes;
use harness::http;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Of each form of call.
const WORKERS: usize = 4;
/// Long enough that some streams are open whenever a proxy is told to stop.
const TOKENS: u32 = 120;

/// Where calls go, and the token that they show.
#[derive(Clone)]
struct Target {
    url: String,
    token: String,
}

impl Target {
    fn request(&self, call: &Value) -> Request<Bytes> {
        http::with_key(http::json_request(&self.url, call), &self.token)
    }
}

/// What one worker has seen.
#[derive(Default)]
struct Seen {
    answered: usize,
    failed: Vec<String>,
}

#[tokio::test]
async fn a_rolling_restart_fails_no_call_and_cuts_no_stream() {
    let release = Release::prepare().await;
    release.put("install", &["--set", "providers.simulated.enabled=true"]).await;
    release.programmed_on("quickstart", 2).await;
    let before = pods(&release).await;
    let target = Target { url: release.chat_url().await, token: release.token().await };

    let stop = Arc::new(AtomicBool::new(false));
    let begin = |form: fn(Target, Arc<AtomicBool>) -> JoinHandle<Seen>| -> Vec<JoinHandle<Seen>> {
        (0..WORKERS).map(|_| form(target.clone(), stop.clone())).collect()
    };
    let forms = [("plain", begin(plain)), ("streamed", begin(streamed)), ("kept alive", begin(kept_alive))];
    release.kubectl(&["rollout", "restart", "deployment/llm-gateway"]).await;
    let timeout = format!("--timeout={}s", WITHIN.as_secs());
    release.kubectl(&["rollout", "status", "deployment/llm-gateway", &timeout]).await;
    // The last of the old ones is still finishing what it has.
    for pod in &before {
        release.kubectl(&["wait", "--for=delete", pod, &timeout]).await;
    }
    stop.store(true, Relaxed);

    let mut failed = Vec::new();
    for (form, workers) in forms {
        let mut answered = 0;
        for worker in workers {
            let seen = worker.await.unwrap();
            answered += seen.answered;
            failed.extend(seen.failed.into_iter().map(|failure| format!("{form}: {failure}")));
        }
        println!("rolling restart: {answered} calls {form}");
        assert!(answered > 2 * WORKERS, "{answered} calls {form} are no load");
    }
    assert!(failed.is_empty(), "{} calls failed:\n{}", failed.len(), failed.join("\n"));
    assert!(pods(&release).await.iter().all(|pod| !before.contains(pod)));
}

async fn pods(release: &Release) -> Vec<String> {
    let pods =
        release.kubectl(&["get", "pods", "-l", "app.kubernetes.io/component=gateway", "-o", "name"]).await;
    pods.lines().map(str::to_owned).collect()
}

fn call(stream: bool) -> Value {
    json!({
        "model": "demo", "stream": stream, "max_tokens": if stream { TOKENS } else { 5 },
        "messages": [{"role": "user", "content": "Tell me a long story."}],
    })
}

/// Calls one after the other until it is told to stop.
async fn repeat(stop: Arc<AtomicBool>, mut once: impl AsyncFnMut() -> Result<(), String>) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Relaxed) {
        match once().await {
            Ok(()) => seen.answered += 1,
            Err(failure) => seen.failed.push(failure),
        }
    }
    seen
}

fn plain(target: Target, stop: Arc<AtomicBool>) -> JoinHandle<Seen> {
    tokio::spawn(repeat(stop, async move || {
        let answer = http::send(target.request(&call(false))).await?;
        whole(answer.status.as_u16(), &answer.body)
    }))
}

fn streamed(target: Target, stop: Arc<AtomicBool>) -> JoinHandle<Seen> {
    tokio::spawn(repeat(stop, async move || {
        let mut stream = http::open(target.request(&call(true))).await?;
        if stream.status != 200 {
            return Err(format!("status {}", stream.status));
        }
        let events = stream.events().await?;
        match events.last().map(String::as_str) {
            Some("[DONE]") => Ok(()),
            last => Err(format!("after {} events the stream ended with {last:?}", events.len())),
        }
    }))
}

/// As the pools of SDKs do: a connection is used until its end is seen, and then there is another.
fn kept_alive(target: Target, stop: Arc<AtomicBool>) -> JoinHandle<Seen> {
    let mut kept: Option<SendRequest<Full<Bytes>>> = None;
    tokio::spawn(repeat(stop, async move || {
        let request = target.request(&call(false));
        let authority = request.uri().authority().unwrap().clone();
        let open = match kept.take() {
            Some(mut open) => open.ready().await.is_ok().then_some(open),
            None => None,
        };
        let mut sender = match open {
            Some(open) => open,
            None => connect(authority.as_str()).await?,
        };
        let (mut head, body) = request.into_parts();
        head.headers.insert("host", authority.as_str().parse().unwrap());
        head.uri = "/v1/chat/completions".parse().unwrap();
        let sent = sender.send_request(Request::from_parts(head, Full::new(body))).await;
        let answer = sent.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
        kept = Some(sender);
        whole(status, &body)
    }))
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, String> {
    let address = format!("{authority}:80");
    let socket = TcpStream::connect(&address).await.map_err(|error| format!("{address}: {error}"))?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .map_err(|error| format!("{error:?}"))?;
    tokio::spawn(connection);
    Ok(sender)
}

fn whole(status: u16, body: &[u8]) -> Result<(), String> {
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let reason = answer.as_ref().and_then(|answer| answer["choices"][0]["finish_reason"].as_str());
    match (status, reason) {
        (200, Some(_)) => Ok(()),
        _ => Err(format!("status {status}: {}", String::from_utf8_lossy(body))),
    }
}
