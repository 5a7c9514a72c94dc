//! Constant load on a gateway, as clients of every habit make it, and what came of each call: nothing is tried again.

use bytes::Bytes;
use harness::http;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// The forms of call: over a connection of its own, over one that is kept, streamed for some seconds, streamed for many.
pub const FORMS: [&str; 4] = ["plain", "kept alive", "streamed", "long streams"];
/// Of each form.
const WORKERS: usize = 3;
/// What answers plain calls and short streams.
const MODEL: &str = "demo";
/// What answers long streams, by a few tokens a second.
const SLOW_MODEL: &str = "slow";

/// Where calls go, and the token that they show.
#[derive(Clone)]
pub struct Target {
    pub url: String,
    pub token: String,
}

impl Target {
    pub fn request(&self, call: &Value) -> Request<Bytes> {
        http::with_key(http::json_request(&self.url, call), &self.token)
    }
}

/// What came of calls; each is counted when it ends.
#[derive(Default)]
pub struct Seen {
    /// By form.
    pub answered: [usize; FORMS.len()],
    pub failed: Vec<String>,
}

pub struct Load {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn begin(target: &Target) -> Self {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::new(AtomicBool::new(false)));
        let mut workers = Vec::new();
        for form in 0..FORMS.len() {
            for _ in 0..WORKERS {
                workers.push(tokio::spawn(repeat(form, target.clone(), seen.clone(), stop.clone())));
            }
        }
        Self { seen, stop, workers }
    }

    /// What came of the calls that ended since this was last asked.
    pub fn taken(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// Begins no more calls, and lets those in flight end.
    pub async fn end(&mut self) {
        self.stop.store(true, Relaxed);
        for worker in self.workers.drain(..) {
            worker.await.unwrap();
        }
    }
}

/// One call after the other.
async fn repeat(form: usize, target: Target, seen: Arc<Mutex<Seen>>, stop: Arc<AtomicBool>) {
    let mut kept = None;
    while !stop.load(Relaxed) {
        let result = match FORMS[form] {
            "plain" => plain(&target).await,
            "kept alive" => kept_alive(&target, &mut kept).await,
            "streamed" => streamed(&target, MODEL).await,
            _ => streamed(&target, SLOW_MODEL).await,
        };
        let mut seen = seen.lock().unwrap();
        match result {
            Ok(()) => seen.answered[form] += 1,
            Err(failure) => seen.failed.push(format!("{}: {failure}", FORMS[form])),
        }
    }
}

fn call(model: &str, stream: bool) -> Value {
    let mut call = json!({
        "model": model, "stream": stream, "messages": [{"role": "user", "content": "Tell me a long story."}],
    });
    if !stream {
        call["max_tokens"] = json!(5);
    }
    call
}

async fn plain(target: &Target) -> Result<(), String> {
    let answer = http::send(target.request(&call(MODEL, false))).await?;
    whole(answer.status.as_u16(), &answer.body)
}

async fn streamed(target: &Target, model: &str) -> Result<(), String> {
    let mut stream = http::open(target.request(&call(model, true))).await?;
    if stream.status != 200 {
        return Err(format!("status {}", stream.status));
    }
    let events = stream.events().await?;
    match events.last().map(String::as_str) {
        Some("[DONE]") => Ok(()),
        last => Err(format!("after {} events the stream ended with {last:?}", events.len())),
    }
}

type Kept = SendRequest<Full<Bytes>>;

/// As the pools of SDKs do: a connection is used until its end is seen, and then there is another.
async fn kept_alive(target: &Target, kept: &mut Option<Kept>) -> Result<(), String> {
    let request = target.request(&call(MODEL, false));
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
    head.uri = head.uri.path().parse().unwrap();
    let sent = sender.send_request(Request::from_parts(head, Full::new(body))).await;
    let answer = sent.map_err(|error| format!("{error:?}"))?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
    *kept = Some(sender);
    whole(status, &body)
}

async fn connect(authority: &str) -> Result<Kept, String> {
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
