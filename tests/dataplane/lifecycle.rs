//! Start and end: what is refused at the start, and what is finished at the end.

use crate::documents::{call, chunk, completion, document, last_chunk, streamed_call};
use harness::http::{post_json, post_stream};
use harness::{
    Process, Proxy, RawUpstream, Scratch, Step, answer, eventually, program, sse_end, sse_event, sse_head,
};
use serde_json::json;
use std::process::Command;
use std::time::Duration;
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(10);

fn held_stream() -> Vec<Step> {
    let rest = [sse_event(&chunk("two")), sse_event(&last_chunk()), sse_event("[DONE]"), sse_end()].concat();
    vec![Step::Send([sse_head(), sse_event(&chunk("one"))].concat()), Step::Hold, Step::Send(rest)]
}

#[tokio::test]
async fn sigterm_finishes_the_streams_in_flight_and_takes_no_more() {
    let upstream = RawUpstream::start([held_stream()]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let mut stream = post_stream(&proxy.chat_url(), &streamed_call()).await;
    stream.event().await.unwrap().unwrap();
    proxy.process.terminate();
    eventually("not ready any more", SOON, async || match proxy.readiness().await {
        Err(said) if said.contains("draining") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    eventually("new connections are refused", SOON, async || {
        match TcpStream::connect(proxy.url().trim_start_matches("http://")).await {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(proxy.process.is_running(), "a stream is in flight");
    upstream.release();
    assert_eq!(stream.events().await.unwrap().last().unwrap(), "[DONE]");
    drop(stream);
    assert!(proxy.process.exited(SOON).await.success());
    assert_eq!(proxy.requests().len(), 1, "the last line is out");
}

#[tokio::test]
async fn calls_that_come_while_others_hear_of_the_end_are_answered() {
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &["--drain-delay-seconds", "600"]).await;
    let before = post_json(&proxy.chat_url(), &call()).await;
    assert_eq!((before.status.as_u16(), before.header("connection")), (200, None));
    proxy.process.terminate();
    eventually("not ready any more", SOON, async || match proxy.readiness().await {
        Err(said) if said.contains("draining") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let then = post_json(&proxy.chat_url(), &call()).await;
    assert_eq!((then.status.as_u16(), then.header("connection")), (200, Some("close")));
}

#[tokio::test]
async fn a_drain_ends_when_its_time_is_up() {
    let upstream = RawUpstream::start([held_stream()]).await;
    let proxy = Proxy::start(
        &document(&[upstream.url()]),
        &["--drain-delay-seconds", "1", "--drain-timeout-seconds", "1"],
    )
    .await;
    let mut stream = post_stream(&proxy.chat_url(), &streamed_call()).await;
    stream.event().await.unwrap().unwrap();
    proxy.process.terminate();
    assert!(proxy.process.exited(SOON).await.success());
    assert!(proxy.process.stderr().contains("still in flight"));
    let line = &proxy.requests()[0];
    assert_eq!(line["output_tokens"], 1, "what was cut off is metered: {line}");
}

#[tokio::test]
async fn a_document_that_can_not_be_run_is_refused_with_every_problem() {
    let scratch = Scratch::new("bad-config");
    let mut bad = document(&["http://127.0.0.1:1"]);
    bad["routes"]["ai/chat"]["rules"][0]["backends"][0]["pool"] = json!("ai/lost");
    bad["pools"]["ai/pool"]["providers"][0]["weight"] = json!(0);
    let mut unknown = document(&["http://127.0.0.1:1"]);
    unknown["quotas"] = json!({});
    for (document, wanted) in [
        (bad.to_string(), &["no pool `ai/lost`", "weight: must be above 0"][..]),
        (unknown.to_string(), &["unknown field `quotas`"][..]),
        ("{".to_owned(), &["config.json", "EOF"][..]),
    ] {
        let file = scratch.write("config.json", document);
        let mut command = Command::new(program("llm-proxy"));
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"]).arg(file);
        let process = Process::start(&command);
        assert_eq!(process.exited(SOON).await.code(), Some(1));
        for wanted in wanted {
            assert!(process.stderr().contains(wanted), "{wanted}: {}", process.stderr());
        }
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(program("llm-proxy"));
    command.args(["--listen", &address, "--admin", "127.0.0.1:0", "--config", "/dev/null"]);
    let process = Process::start(&command);
    assert_eq!(process.exited(SOON).await.code(), Some(1));
    assert!(process.stderr().contains(&format!("can't listen on {address}")), "{}", process.stderr());
}
