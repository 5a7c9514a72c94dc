//! A provider that bills as real ones do: what it has read, and each token that it has made, whether anybody reads it
//! or not. It stops when it learns that its reader has gone.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// In nano-USD for a token.
pub const INPUT: u64 = 2_000;
pub const OUTPUT: u64 = 10_000;
/// Tokens that come together.
const TOGETHER: u64 = 4;
const PACE: Duration = Duration::from_millis(20);
/// Tokens that the model gives at most, where a call names no fewer.
pub const OF_MODEL: u64 = 100;

pub struct Provider {
    pub url: String,
    till: Arc<Till>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Till {
    billed: AtomicU64,
    /// The most that the calls which run now can cost yet.
    reserved: AtomicU64,
    running: AtomicU64,
}

impl Provider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let till = Arc::<Till>::default();
        let accepting = tokio::spawn(accept(listener, till.clone()));
        Self { url, till, accepting }
    }

    /// Nano-USD so far.
    pub fn billed(&self) -> u64 {
        self.till.billed.load(Relaxed)
    }

    /// The calls that run now, and the most that they can cost yet, in nano-USD.
    pub fn running(&self) -> (u64, u64) {
        (self.till.running.load(Relaxed), self.till.reserved.load(Relaxed))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, till: Arc<Till>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        socket.set_nodelay(true).unwrap();
        let till = till.clone();
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, till.clone()));
            let _gone = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

type Reply = Response<Either<Full<Bytes>, StreamBody<Tokens>>>;

async fn answer(request: Request<Incoming>, till: Arc<Till>) -> Result<Reply, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let call: Value = serde_json::from_slice(&body).unwrap();
    let text = call["messages"][0]["content"].as_str().unwrap();
    // About what a tokenizer makes of it.
    let input = text.len().div_ceil(4) as u64 + 7;
    let named = call["max_completion_tokens"].as_u64().or(call["max_tokens"].as_u64());
    let most = named.unwrap_or(OF_MODEL).min(OF_MODEL);
    let wanted: u64 = text.rsplit(' ').next().unwrap().parse().unwrap();
    let output = wanted.min(most);
    let made = Made::begin(input, output, most_of(body.len(), most), till);
    if call["stream"] == true {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reply = Response::new(Either::Right(StreamBody::new(Tokens { made, pace, ended: false })));
        return Ok(with_type(reply, "text/event-stream"));
    }
    let whole = made.whole().await;
    Ok(with_type(Response::new(Either::Left(Full::from(whole.to_string()))), "application/json"))
}

fn with_type(mut reply: Reply, content_type: &'static str) -> Reply {
    reply.headers_mut().insert("content-type", content_type.parse().unwrap());
    reply
}

/// The most that a call with a body of so many bytes can cost, in nano-USD, as a strict budget reserves it.
pub fn most_of(body: usize, output: u64) -> u64 {
    (body as u64 + llm_dialect::bound::PREAMBLE) * INPUT + output * OUTPUT
}

/// An answer in the making.
struct Made {
    input: u64,
    output: u64,
    made: u64,
    /// What is reserved for it and not billed.
    reserved: u64,
    till: Arc<Till>,
}

impl Made {
    fn begin(input: u64, output: u64, most: u64, till: Arc<Till>) -> Self {
        let reserved = most - input * INPUT;
        till.running.fetch_add(1, Relaxed);
        till.reserved.fetch_add(reserved, Relaxed);
        till.billed.fetch_add(input * INPUT, Relaxed);
        Self { input, output, made: 0, reserved, till }
    }

    fn more(&mut self) -> u64 {
        let more = TOGETHER.min(self.output - self.made);
        self.made += more;
        self.till.billed.fetch_add(more * OUTPUT, Relaxed);
        self.till.reserved.fetch_sub(more * OUTPUT, Relaxed);
        self.reserved -= more * OUTPUT;
        more
    }

    fn usage(&self) -> Value {
        let total = self.input + self.made;
        json!({"prompt_tokens": self.input, "completion_tokens": self.made, "total_tokens": total})
    }

    /// It is made to its end, whoever waits for it.
    async fn whole(mut self) -> Value {
        tokio::spawn(async move {
            while self.made < self.output {
                self.more();
                tokio::time::sleep(PACE / 4).await;
            }
            json!({
                "id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": self.usage(),
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}],
            })
        })
        .await
        .unwrap()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.till.reserved.fetch_sub(self.reserved, Relaxed);
        self.till.running.fetch_sub(1, Relaxed);
    }
}

/// A streamed answer.
struct Tokens {
    made: Made,
    pace: Interval,
    ended: bool,
}

impl futures::Stream for Tokens {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        std::task::ready!(self.pace.poll_tick(cx));
        let event = |choices: Value, usage: Value| {
            let event = json!({
                "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": choices, "usage": usage,
            });
            format!("data: {event}\n\n")
        };
        let text = if self.made.made < self.made.output {
            let more = usize::try_from(self.made.more()).unwrap();
            let delta = json!({"content": "x ".repeat(more)});
            event(json!([{"index": 0, "delta": delta, "finish_reason": null}]), Value::Null)
        } else {
            self.ended = true;
            let last = event(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), Value::Null);
            format!("{last}{}data: [DONE]\n\n", event(json!([]), self.made.usage()))
        };
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }
}
