//! The connections to a server, with a server that says what each test wants.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use http::Version;
use http_body_util::BodyExt as _;
use hyper::{server::conn::http2 as serving, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    tls,
    upstream::client::{Clients, Trust},
};

struct Server(TcpListener);

impl Server {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn place(&self) -> Uri {
        format!("http://{}/a?b=c", self.0.local_addr().unwrap()).parse().unwrap()
    }

    fn origin(&self) -> Arc<Origin> {
        Clients::new(1).get(Trust::Plaintext, &self.place()).unwrap()[0].clone()
    }

    async fn accept(&self) -> TcpStream {
        self.0.accept().await.unwrap().0
    }
}

/// Reads a request without a body.
async fn asked(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn says(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn call(server: &Server, origin: &Arc<Origin>) -> Result<Response<Received>, Failure> {
    origin.send(&server.place().into(), Request::new(Full::default()), &Sent::default()).await
}

async fn text(response: Response<Received>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

fn idle(origin: &Origin) -> usize {
    origin.lock().idle.len()
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn one_connection_serves_call_after_call() {
    let server = Server::start().await;
    let origin = server.origin();
    let serve = async {
        let mut stream = server.accept().await;
        for _ in 0..3 {
            let head = asked(&mut stream).await;
            assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
            let host = format!("host: {}\r\n", server.0.local_addr().unwrap());
            assert!(head.contains(&host), "{head}");
            says(&mut stream, OK).await;
        }
        stream
    };
    let calls = async {
        for _ in 0..3 {
            assert_eq!(text(call(&server, &origin).await.unwrap()).await, "ok");
            assert_eq!(idle(&origin), 1);
        }
    };
    let (_open, ()) = tokio::join!(serve, calls);
}

#[tokio::test]
async fn calls_at_the_same_time_have_connections_of_their_own() {
    let server = Server::start().await;
    let origin = server.origin();
    let serve = async {
        let mut streams = [server.accept().await, server.accept().await];
        for stream in &mut streams {
            asked(stream).await;
            says(stream, OK).await;
        }
        streams
    };
    let calls = async { tokio::join!(call(&server, &origin), call(&server, &origin)) };
    let (_open, (first, second)) = tokio::join!(serve, calls);
    assert_eq!(idle(&origin), 0);
    drop((text(first.unwrap()).await, text(second.unwrap()).await));
    assert_eq!(idle(&origin), 2);
}

#[tokio::test]
async fn a_body_comes_as_it_is_sent() {
    let server = Server::start().await;
    let origin = server.origin();
    let (to_server, mut read) = tokio::sync::mpsc::channel(1);
    let serve = async {
        let mut stream = server.accept().await;
        asked(&mut stream).await;
        says(&mut stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        for piece in ["one", "two", "six"] {
            says(&mut stream, &format!("3\r\n{piece}\r\n")).await;
            assert_eq!(read.recv().await, Some(Bytes::from(piece)));
        }
        says(&mut stream, "0\r\n\r\n").await;
        stream
    };
    let calls = async {
        let mut body = call(&server, &origin).await.unwrap().into_body();
        while let Some(frame) = body.frame().await {
            to_server.send(frame.unwrap().into_data().unwrap()).await.unwrap();
        }
    };
    let (_open, ()) = tokio::join!(serve, calls);
    assert_eq!(idle(&origin), 1);
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_is_given_up_before_it_is_wanted() {
    let server = Server::start().await;
    let origin = server.origin();
    let calls = async {
        let mut stream = server.accept().await;
        asked(&mut stream).await;
        says(&mut stream, OK).await;
        stream
    };
    let (stream, response) = tokio::join!(calls, call(&server, &origin));
    text(response.unwrap()).await;
    assert_eq!(idle(&origin), 1);
    drop(stream);
    while idle(&origin) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_to_its_end_closes_its_connection() {
    let server = Server::start().await;
    let origin = server.origin();
    let serve = async {
        let mut stream = server.accept().await;
        asked(&mut stream).await;
        says(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
        stream
    };
    let (mut stream, response) = tokio::join!(serve, call(&server, &origin));
    drop(response.unwrap());
    assert_eq!(idle(&origin), 0);
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_call_that_is_dropped_closes_its_connection() {
    let server = Server::start().await;
    let origin = server.origin();
    let mut stream = tokio::select! {
        stream = async {
            let mut stream = server.accept().await;
            asked(&mut stream).await;
            stream
        } => stream,
        _ = call(&server, &origin) => unreachable!("nothing has been answered"),
    };
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_that_is_idle_for_a_minute_is_given_up() {
    let server = Server::start().await;
    let origin = server.origin();
    let serve = async {
        let mut stream = server.accept().await;
        asked(&mut stream).await;
        says(&mut stream, OK).await;
        stream
    };
    let (mut stream, response) = tokio::join!(serve, call(&server, &origin));
    text(response.unwrap()).await;
    tokio::time::pause();
    let from = Instant::now();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    let took = from.elapsed();
    assert!((50..=56).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn a_server_that_is_away_or_hangs_up_is_told_apart() {
    let server = Server::start().await;
    let origin = server.origin();
    let serve = async { drop(server.accept().await) };
    let ((), hung_up) = tokio::join!(serve, call(&server, &origin));
    assert_eq!(hung_up.map(drop), Err(Failure::Closed));
    let (place, away) = (server.place(), origin);
    drop(server);
    let sent = away.send(&place.into(), Request::new(Full::default()), &Sent::default()).await;
    assert_eq!(sent.map(drop), Err(Failure::Unreachable));
}

/// Serves HTTP/2 by TLS, and says in each body what was asked for.
async fn serve_http2(listener: TcpListener, tls: TlsAcceptor, accepted: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tls.accept(listener.accept().await.unwrap().0).await.unwrap();
        accepted.fetch_add(1, Relaxed);
        let service = service_fn(async |request: Request<Incoming>| {
            let asked = format!("{} {:?}", request.uri(), request.version());
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(asked)))
        });
        let builder = serving::Builder::new(TokioExecutor::new());
        connections.spawn(builder.serve_connection(TokioIo::new(stream), service));
    }
}

#[tokio::test]
async fn calls_share_a_connection_of_http2_and_have_another_when_it_is_gone() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let place: Uri = format!("https://localhost:{}/a?b=c", address.port()).parse().unwrap();
    let trust = Trust::Private(key.cert.pem().into());
    let origin = Clients::new(1).get(trust, &place).unwrap()[0].clone();
    let accepted = Arc::new(AtomicUsize::new(0));
    let call = async || {
        let response = origin
            .send(&place.clone().into(), Request::new(Full::default()), &Sent::default())
            .await
            .unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(text(response).await, format!("{place} HTTP/2.0"));
    };
    let serving = tokio::spawn(serve_http2(listener, config.clone(), accepted.clone()));
    call().await;
    tokio::join!(call(), call());
    assert_eq!(accepted.load(Relaxed), 1);
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    let listener = TcpListener::bind(address).await.unwrap();
    let serving = tokio::spawn(serve_http2(listener, config, accepted.clone()));
    while origin.lock().shared.as_ref().is_some_and(|(shared, _)| shared.is_ready()) {
        tokio::task::yield_now().await;
    }
    call().await;
    assert_eq!(accepted.load(Relaxed), 2);
    serving.abort();
}
