//! Callers that hang up, read slowly, come in numbers, or speak HTTP/2.

use crate::documents::{call, chunk, completion, document, last_chunk, streamed_call};
use bytes::Bytes;
use harness::http::{json_request, open, post_json, post_stream};
use harness::{Proxy, RawUpstream, Step, answer, eventually, sse_end, sse_event, sse_head};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use std::time::Duration;
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_client_that_hangs_up_in_a_stream_stops_the_provider_and_is_billed() {
    let begun = [sse_head(), sse_event(&chunk("one ")), sse_event(&chunk("two "))].concat();
    let upstream = RawUpstream::start([vec![Step::Send(begun), Step::Stall]]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let mut stream = post_stream(&proxy.chat_url(), &streamed_call()).await;
    stream.event().await.unwrap().unwrap();
    stream.event().await.unwrap().unwrap();
    drop(stream);
    upstream.await_peer_closed(SOON).await;
    let line = &proxy.await_requests(1).await[0];
    assert_eq!((&line["status"], &line["error"]), (&json!(499), &json!("client_closed")), "{line}");
    assert_eq!((&line["output_tokens"], &line["estimated"]), (&json!(2), &json!(true)), "{line}");
    assert_ne!(line["cost_usd"], "0.000000000", "{line}");
    assert_eq!(proxy.metric("llm_gateway_output_tokens_total", &[("model", "large")]).await, 2.0);
    assert!(proxy.metric("llm_gateway_cost_usd_total", &[("model", "large")]).await > 0.0);
}

#[tokio::test]
async fn a_client_that_hangs_up_before_the_answer_stops_the_provider() {
    let upstream = RawUpstream::start([vec![Step::Stall]]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let request = json_request(&proxy.chat_url(), &call());
    let waiting = tokio::spawn(open(request));
    upstream.await_requests(1, SOON).await;
    waiting.abort();
    upstream.await_peer_closed(SOON).await;
    let line = &proxy.await_requests(1).await[0];
    assert_eq!((&line["status"], &line["error"]), (&json!(499), &json!("client_closed")), "{line}");
    assert_ne!(line["input_tokens"], 0, "the provider has read the question: {line}");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_provider_back() {
    const EVENTS: usize = 64;
    let mebibyte = chunk(&"x".repeat(1024 * 1024));
    let mut events = sse_head();
    for _ in 0..EVENTS {
        events.extend(sse_event(&mebibyte));
    }
    events.extend([sse_event(&last_chunk()), sse_event("[DONE]"), sse_end()].concat());
    let upstream = RawUpstream::start([vec![Step::Send(events)]]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &["--workers", "1"]).await;
    let mut stream = post_stream(&proxy.chat_url(), &streamed_call()).await;
    // Another call on the same worker is answered meanwhile: the slow one holds up nobody.
    let refused = post_json(&format!("{}/v1/nowhere", proxy.url()), &json!({})).await;
    assert_eq!(refused.status, 404);
    let mut last = 0;
    eventually("the proxy has taken what it takes", SOON, async || {
        let now = proxy.resident_mib();
        if std::mem::replace(&mut last, now) == now { Ok(()) } else { Err(format!("{now} MiB")) }
    })
    .await;
    assert!(proxy.resident_mib() < 40, "{} MiB for 64 MiB that nobody reads", proxy.resident_mib());
    assert_eq!(proxy.await_requests(1).await.len(), 1, "the stream goes on");
    assert_eq!(stream.events().await.unwrap().len(), EVENTS + 2);
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_their_turn() {
    let upstream = RawUpstream::start([vec![
        Step::Send(sse_head()),
        Step::Hold,
        Step::Send(
            [sse_event(&chunk("x")), sse_event(&last_chunk()), sse_event("[DONE]"), sse_end()].concat(),
        ),
    ]])
    .await;
    let proxy =
        Proxy::start(&document(&[upstream.url()]), &["--workers", "1", "--max-connections", "1"]).await;
    let first = tokio::spawn({
        let url = proxy.chat_url();
        async move { post_stream(&url, &streamed_call()).await.events().await.unwrap().len() }
    });
    upstream.await_requests(1, SOON).await;
    let second = tokio::spawn({
        let url = proxy.chat_url();
        async move { post_stream(&url, &streamed_call()).await.events().await.unwrap().len() }
    });
    upstream.release();
    upstream.release();
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (3, 3));
    assert_eq!(upstream.connections(), 1, "one after the other");
}

#[tokio::test]
async fn http_2_without_tls_carries_many_calls_on_one_connection() {
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let socket = TcpStream::connect(proxy.url().trim_start_matches("http://")).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    let connection = tokio::spawn(connection);
    let calls = (0..20).map(|_| {
        let mut sender = sender.clone();
        let request = Request::post(proxy.chat_url())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(call().to_string())))
            .unwrap();
        tokio::spawn(async move {
            let response = sender.send_request(request).await.unwrap();
            let status = response.status();
            (status, response.into_body().collect().await.unwrap().to_bytes())
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let (status, body) = call.await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status.as_u16(), body), (200, completion("hello")));
    }
    connection.abort();
}
