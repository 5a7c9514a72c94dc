//! `bench-upstream LISTEN`: a provider of kind OpenAI that gives always the same answer, as fast as
//! hyper can write it. Answers are made once, at the start: on a machine of two cores this program
//! shares its core with wrk.

use std::{
    convert::Infallible,
    error::Error,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::net::TcpListener;

const STREAM: [&str; 2] = ["\"stream\":true", "\"stream\": true"];
const USAGE: [&str; 2] = ["\"include_usage\":true", "\"include_usage\": true"];
const CHUNKS: usize = 64;
/// Tokens of the prompt, as they are billed.
const PROMPT: usize = 190;
const ID: &str = "chatcmpl-BenchFixedAnswer0123456789abcd";
const MODEL: &str = "bench-model-2026-01-01";
const CREATED: u64 = 1_767_225_600;
const WORDS: [&str; 8] = [" the", " measured", " answer", " of", " this", " upstream", " is", " fixed"];

fn main() -> Result<(), Box<dyn Error>> {
    let listen = std::env::args().nth(1).ok_or("use: bench-upstream LISTEN")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(listen.parse()?))
}

async fn serve(listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    let answers = Arc::new(Answers::new());
    let listener = TcpListener::bind(listen).await?;
    println!("ready {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answers = answers.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &answers));
            let _broken = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Reply = Response<Either<Full<Bytes>, Events>>;

async fn answer(request: Request<Incoming>, answers: &Answers) -> Result<Reply, hyper::Error> {
    if request.method() != Method::POST || request.uri().path() != "/v1/chat/completions" {
        let mut reply = Response::new(Either::Left(Full::default()));
        *reply.status_mut() = StatusCode::NOT_FOUND;
        return Ok(reply);
    }
    let body = request.into_body().collect().await?.to_bytes();
    let (content_type, body) = if has(&body, STREAM) {
        let events = if has(&body, USAGE) { &answers.with_usage } else { &answers.without_usage };
        ("text/event-stream; charset=utf-8", Either::Right(Events { all: events.clone(), sent: 0 }))
    } else {
        ("application/json", Either::Left(Full::new(answers.completion.clone())))
    };
    let mut reply = Response::new(body);
    reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    Ok(reply)
}

/// Whether one of the texts is there: to parse each request would only slow down the harness.
fn has(body: &[u8], texts: [&str; 2]) -> bool {
    texts.iter().any(|text| memmem::find(body, text.as_bytes()).is_some())
}

/// What is answered.
struct Answers {
    completion: Bytes,
    with_usage: Arc<[Bytes]>,
    without_usage: Arc<[Bytes]>,
}

impl Answers {
    fn new() -> Self {
        let mut events: Vec<Bytes> = (0..CHUNKS).map(chunk).collect();
        let done = Bytes::from_static(b"data: [DONE]\n\n");
        let without_usage = events.iter().cloned().chain([done.clone()]).collect();
        let usage = usage();
        events.push(event(&format!(r#""choices":[],"usage":{usage}"#)));
        events.push(done);
        Self { completion: completion(), with_usage: events.into(), without_usage }
    }
}

fn chunk(i: usize) -> Bytes {
    let content = WORDS[i % WORDS.len()];
    let finish_reason = if i + 1 == CHUNKS { r#""stop""# } else { "null" };
    event(&format!(
        r#""choices":[{{"index":0,"delta":{{"content":"{content}"}},"finish_reason":{finish_reason}}}]"#
    ))
}

// JSON is written out by hand to have the fields in the order in which OpenAI sends them.

fn event(rest: &str) -> Bytes {
    let head = head("chat.completion.chunk");
    format!("data: {{{head},{rest}}}\n\n").into()
}

/// About 1 KB.
fn completion() -> Bytes {
    let (head, usage) = (head("chat.completion"), usage());
    let content = WORDS.concat().repeat(13);
    let message = format!(r#"{{"role":"assistant","content":"{}"}}"#, content.trim_start());
    let choice = format!(r#"{{"index":0,"message":{message},"finish_reason":"stop"}}"#);
    format!(r#"{{{head},"choices":[{choice}],"usage":{usage}}}"#).into()
}

fn head(object: &str) -> String {
    format!(r#""id":"{ID}","object":"{object}","created":{CREATED},"model":"{MODEL}""#)
}

fn usage() -> String {
    let total = PROMPT + CHUNKS;
    format!(
        r#"{{"prompt_tokens":{PROMPT},"completion_tokens":{CHUNKS},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":0}}}}"#
    )
}

/// A body with one frame for each event.
struct Events {
    all: Arc<[Bytes]>,
    sent: usize,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.all.get(self.sent).cloned();
        self.sent += 1;
        Poll::Ready(next.map(|event| Ok(Frame::data(event))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent >= self.all.len()
    }
}
