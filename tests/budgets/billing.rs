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
/// Where a call names no most.
const LONGEST: u64 = 100;

pub struct Provider {
    pub url: String,
    billed: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Provider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let billed = Arc::<AtomicU64>::default();
        let accepting = tokio::spawn(accept(listener, billed.clone()));
        Self { url, billed, accepting }
    }

    /// Nano-USD so far.
    pub fn billed(&self) -> u64 {
        self.billed.load(Relaxed)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, billed: Arc<AtomicU64>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        socket.set_nodelay(true).unwrap();
        let billed = billed.clone();
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, billed.clone()));
            let _gone = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

type Reply = Response<Either<Full<Bytes>, StreamBody<Tokens>>>;

async fn answer(request: Request<Incoming>, billed: Arc<AtomicU64>) -> Result<Reply, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let call: Value = serde_json::from_slice(&body).unwrap();
    let text = call["messages"][0]["content"].as_str().unwrap();
    // About what a tokenizer makes of it.
    let input = text.len().div_ceil(4) as u64 + 7;
    billed.fetch_add(input * INPUT, Relaxed);
    let named = call["max_completion_tokens"].as_u64().or(call["max_tokens"].as_u64());
    let most = named.unwrap_or(LONGEST).min(LONGEST);
    let wanted: u64 = text.rsplit(' ').next().unwrap().parse().unwrap();
    let output = wanted.min(most);
    let made = Made { input, output, made: 0, billed };
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

/// An answer in the making.
struct Made {
    input: u64,
    output: u64,
    made: u64,
    billed: Arc<AtomicU64>,
}

impl Made {
    fn more(&mut self) -> u64 {
        let more = TOGETHER.min(self.output - self.made);
        self.made += more;
        self.billed.fetch_add(more * OUTPUT, Relaxed);
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
