//! Callers behind TLS: the port and its certificate, which changes under open connections.

use crate::documents::{call, chunk, completion, document, last_chunk, streamed_call};
use bytes::Bytes;
use harness::http::{Answer, json_request, post_json};
use harness::https::{Connection, handshake};
use harness::{
    Authority, Process, Proxy, RawUpstream, Scratch, ServingPair, Step, answer, eventually, program, sse_end,
    sse_event, sse_head,
};
use http::{Request, Version};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(10);
const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

async fn start(pair: &ServingPair, upstream: &RawUpstream, more: &[&str]) -> Proxy {
    let arguments = pair.arguments(more);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Proxy::start(&document(&[upstream.url()]), &arguments).await
}

async fn connect(pair: &ServingPair, proxy: &Proxy, version: Version) -> Connection {
    Connection::open(proxy.tls(), &pair.authority, None, version).await.unwrap()
}

fn chat(body: &Value) -> Request<Bytes> {
    json_request("/v1/chat/completions", body)
}

fn hello() -> Vec<Step> {
    vec![Step::Send(answer(200, &completion("hello")))]
}

fn held_stream() -> Vec<Step> {
    let rest = [sse_event(&chunk("two")), sse_event(&last_chunk()), sse_event("[DONE]"), sse_end()].concat();
    vec![Step::Send([sse_head(), sse_event(&chunk("one"))].concat()), Step::Hold, Step::Send(rest)]
}

fn ok(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.json()), (200, completion("hello")));
}

#[tokio::test]
async fn calls_are_answered_by_tls_beside_the_plain_port_and_without_it() {
    let pair = ServingPair::new();
    for only in [&[][..], &["--tls-only"]] {
        let upstream = RawUpstream::answering(|request| {
            if request.contains("\"stream\":true") {
                vec![Step::Send(
                    [sse_head(), sse_event(&chunk("one")), sse_event("[DONE]"), sse_end()].concat(),
                )]
            } else {
                hello()
            }
        })
        .await;
        let proxy = start(&pair, &upstream, only).await;
        for version in VERSIONS {
            let mut connection = connect(&pair, &proxy, version).await;
            ok(&connection.send(chat(&call())).await.unwrap());
            let mut stream = connection.request(chat(&streamed_call())).await.unwrap();
            assert_eq!(stream.events().await.unwrap().last().unwrap(), "[DONE]", "{version:?}");
            ok(&connection.send(chat(&call())).await.unwrap());
        }
        if only.is_empty() {
            ok(&post_json(&proxy.chat_url(), &call()).await);
        } else {
            let said = proxy.process.stderr();
            assert!(said.contains("\"tls\"") && !said.contains("\"listen\":"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_new_certificate_serves_new_connections_and_cuts_no_stream() {
    let pair = ServingPair::new();
    let upstream = RawUpstream::start([held_stream(), hello(), hello()]).await;
    let proxy = start(&pair, &upstream, &[]).await;
    let mut before = connect(&pair, &proxy, Version::HTTP_2).await;
    let mut stream = before.request(chat(&streamed_call())).await.unwrap();
    stream.event().await.unwrap().unwrap();
    let until = proxy.metric("llm_gateway_tls_certificate_not_after_seconds", &[]).await;
    assert!(until > 0.0);
    pair.renew();
    let mut after = eventually("the new certificate serves", SOON, async || {
        let connection = connect(&pair, &proxy, Version::HTTP_2).await;
        if connection.certificate == before.certificate {
            Err("the old one".to_owned())
        } else {
            Ok(connection)
        }
    })
    .await;
    ok(&after.send(chat(&call())).await.unwrap());
    ok(&before.send(chat(&call())).await.unwrap());
    upstream.release();
    assert_eq!(stream.events().await.unwrap().last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn a_certificate_that_can_not_be_used_leaves_the_last_good_one_and_is_told() {
    let pair = ServingPair::new();
    let upstream = RawUpstream::start([hello()]).await;
    let proxy = start(&pair, &upstream, &[]).await;
    let first = connect(&pair, &proxy, Version::HTTP_2).await.certificate.clone();
    let (one, other) = (pair.authority.server(&["localhost"]), pair.authority.server(&["localhost"]));
    let cases = [
        ("-----BEGIN CERTIFICATE-----\n?", one.key.as_str(), "tls.crt"),
        ("", &one.key, "holds no PEM certificate"),
        (&one.certificate, "", "tls.key"),
        (&one.certificate, &other.key, "is not the key of the certificate"),
    ];
    for (broken, (certificate, key, said)) in cases.into_iter().enumerate() {
        pair.write(certificate, key);
        eventually("it is counted and told", SOON, async || {
            let counted = proxy.metric("llm_gateway_tls_certificate_refused_total", &[]).await;
            let stderr = proxy.process.stderr();
            let told = stderr.lines().last().unwrap_or_default().contains(said);
            // Both files may be looked at between the two writes.
            if counted >= (broken + 1) as f64 && told { Ok(()) } else { Err(format!("{counted} {stderr}")) }
        })
        .await;
        assert_eq!(connect(&pair, &proxy, Version::HTTP_2).await.certificate, first);
    }
    pair.write(&one.certificate, &one.key);
    eventually("a good one serves again", SOON, async || {
        let connection = connect(&pair, &proxy, Version::HTTP_11).await;
        if connection.certificate == first { Err("the first one".to_owned()) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn slow_handshakes_end_in_time_and_hold_up_no_other_port() {
    let pair = ServingPair::new();
    let upstream = RawUpstream::answering(|_| hello()).await;
    let arguments = ["--workers", "1", "--max-connections", "8", "--header-timeout-seconds", "3"];
    let proxy = start(&pair, &upstream, &arguments).await;
    // More than a quarter of the connections: the rest wait for their turn.
    let mut silent = Vec::new();
    for begun in [&b""[..], b"\x16\x03\x01", b"\x16", b""] {
        let mut socket = TcpStream::connect(proxy.tls()).await.unwrap();
        socket.write_all(begun).await.unwrap();
        silent.push(socket);
    }
    let timeouts = [("reason", "timeout")];
    let failed = "llm_gateway_tls_handshake_failures_total";
    ok(&post_json(&proxy.chat_url(), &call()).await);
    assert_eq!(proxy.metric(failed, &timeouts).await, 0.0, "the plain port did not wait for them");
    let mut connection = tokio::time::timeout(SOON, connect(&pair, &proxy, Version::HTTP_11)).await.unwrap();
    ok(&connection.send(chat(&call())).await.unwrap());
    assert!(proxy.metric(failed, &timeouts).await >= 2.0, "those before had no more than their time");
    for mut socket in silent {
        let mut rest = Vec::new();
        let _ended = socket.read_to_end(&mut rest).await;
    }
    assert_eq!(proxy.metric(failed, &timeouts).await, 4.0);
}

#[tokio::test]
async fn a_call_without_tls_is_told_to_use_it() {
    let pair = ServingPair::new();
    let upstream = RawUpstream::start([hello()]).await;
    let proxy = start(&pair, &upstream, &["--tls-only"]).await;
    let refused = post_json(&format!("http://{}/v1/chat/completions", proxy.tls()), &call()).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("call it by https"), "{refused:?}");
    // It is counted once the client has gone.
    eventually("it is counted", SOON, async || {
        let plaintext = [("reason", "plaintext")];
        let counted = proxy.metric("llm_gateway_tls_handshake_failures_total", &plaintext).await;
        if counted == 1.0 { Ok(()) } else { Err(format!("{counted}")) }
    })
    .await;
    let stranger = handshake(proxy.tls(), &Authority::new(), None, Version::HTTP_2).await.unwrap_err();
    assert!(stranger.contains("certificate"), "{stranger}");
}

#[tokio::test]
async fn sigterm_finishes_the_streams_of_tls_connections_too() {
    for version in VERSIONS {
        let pair = ServingPair::new();
        let upstream = RawUpstream::start([held_stream()]).await;
        let proxy = start(&pair, &upstream, &["--tls-only"]).await;
        let mut connection = connect(&pair, &proxy, version).await;
        let mut stream = connection.request(chat(&streamed_call())).await.unwrap();
        stream.event().await.unwrap().unwrap();
        proxy.process.terminate();
        eventually("new connections are refused", SOON, async || {
            match TcpStream::connect(proxy.tls()).await {
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        assert!(proxy.process.is_running(), "a stream is in flight");
        upstream.release();
        assert_eq!(stream.events().await.unwrap().last().unwrap(), "[DONE]");
        assert!(proxy.process.exited(SOON).await.success());
        assert_eq!(proxy.requests().len(), 1, "the last line is out");
    }
}

#[tokio::test]
async fn files_that_can_not_be_served_by_are_named_at_the_start() {
    let pair = ServingPair::new();
    let scratch = Scratch::new("config");
    let config = scratch.write("config.json", json!({}).to_string());
    let other = pair.authority.server(&["localhost"]);
    std::fs::write(pair.file("tls.key"), &other.key).unwrap();
    let refused = |arguments: Vec<String>| {
        let mut command = Command::new(program("llm-proxy"));
        command.args(["--admin", "127.0.0.1:0", "--config"]).arg(&config).args(arguments);
        Process::start(&command)
    };
    let process = refused(pair.arguments(&["--tls-only"]));
    assert!(!process.exited(SOON).await.success());
    assert!(process.stderr().contains("tls.key is not the key of the certificate"), "{}", process.stderr());
    std::fs::remove_file(pair.file("tls.crt")).unwrap();
    let process = refused(pair.arguments(&["--tls-only"]));
    assert!(!process.exited(SOON).await.success());
    assert!(process.stderr().contains("can't read"), "{}", process.stderr());
    for (arguments, said) in [
        (vec!["--tls-only".to_owned()], "--tls-listen"),
        (vec!["--tls-listen".to_owned(), "127.0.0.1:0".to_owned()], "--tls-certificate"),
        (pair.arguments(&["--tls-only", "--listen", "127.0.0.1:0"]), "--listen"),
    ] {
        let process = refused(arguments);
        assert_eq!(process.exited(SOON).await.code(), Some(2));
        assert!(process.stderr().contains(said), "{}", process.stderr());
    }
}
