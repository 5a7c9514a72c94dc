//! Callers that send nothing, half of something, or too much at once, and callers that take nothing: none of them
//! holds a connection, a provider or memory for good.

use crate::documents::{MODEL, call, chunk, completion, document, streamed_call};
use harness::http::{json_request, post_json, send};
use harness::{Proxy, RawUpstream, Step, answer, eventually, sse_event, sse_head};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(10);

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.url().trim_start_matches("http://")).await.unwrap()
}

#[tokio::test]
async fn a_connection_without_a_call_makes_room_for_one_with() {
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    let arguments = ["--max-connections", "1", "--workers", "1", "--header-timeout-seconds", "1"];
    let proxy = Proxy::start(&document(&[upstream.url()]), &arguments).await;
    // Nothing at all; the beginning of what may be HTTP/2; half a head.
    for begun in ["", "PRI * HTTP", "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"] {
        let mut silent = connect(&proxy).await;
        silent.write_all(begun.as_bytes()).await.unwrap();
        let answered = tokio::time::timeout(SOON, post_json(&proxy.chat_url(), &call())).await;
        assert_eq!(answered.unwrap_or_else(|_| panic!("held by {begun:?}")).status, 200);
        let mut rest = Vec::new();
        // The proxy has closed it, in good order or not.
        let _ended = silent.read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("unexpected")))]]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &["--body-timeout-seconds", "1"]).await;
    let mut slow = connect(&proxy).await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut reply = String::new();
    slow.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
    assert!(reply.contains("\"code\":\"request_timeout\""), "{reply}");
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_client_that_takes_no_byte_is_hung_up_on_and_billed() {
    let mut events = sse_head();
    for _ in 0..64 {
        events.extend(sse_event(&chunk(&"x".repeat(1024 * 1024))));
    }
    let upstream = RawUpstream::start([vec![Step::Send(events), Step::Stall]]).await;
    let arguments = ["--workers", "1", "--write-timeout-seconds", "1"];
    let proxy = Proxy::start(&document(&[upstream.url()]), &arguments).await;
    let mut client = connect(&proxy).await;
    let body = streamed_call().to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let line = &proxy.await_requests(1).await[0];
    assert_eq!((&line["status"], &line["error"]), (&json!(499), &json!("client_closed")), "{line}");
    assert_ne!(line["output_tokens"], 0, "{line}");
    upstream.await_peer_closed(SOON).await;
    drop(client);
}

#[tokio::test]
async fn bodies_that_the_memory_does_not_hold_are_told_so_and_others_are_answered() {
    let upstream =
        RawUpstream::start([vec![Step::Hold, Step::Send(answer(200, &completion("hello")))]]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &["--max-buffered-bytes", "3000000"]).await;
    let large =
        |size: usize| json!({"model": MODEL, "messages": [{"role": "user", "content": "x".repeat(size)}]});
    let held = tokio::spawn(send(json_request(&proxy.chat_url(), &large(600_000))));
    upstream.await_requests(1, SOON).await;
    let refused = post_json(&proxy.chat_url(), &large(600_000)).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["error"]["code"], "gateway_busy");
    upstream.release();
    assert_eq!(held.await.unwrap().unwrap().status, 200);
    // What was held is given back.
    eventually("room for the next", SOON, async || {
        upstream.release();
        match send(json_request(&proxy.chat_url(), &large(600_000))).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
