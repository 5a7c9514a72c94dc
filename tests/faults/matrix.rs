//! The faults that a raw socket can have, and what they have to come to.

use crate::{
    cells::{Expect, Row, When},
    providers::{always, chunk, completion, failure, is_streamed, limited},
};
use harness::{RawUpstream, Step, answer, free_port, sse_end, sse_event, sse_head};
use serde_json::json;
use std::time::Duration;

/// What the rows need for as long as they are met.
#[derive(Default)]
pub struct Faults {
    pub rows: Vec<Row>,
    upstreams: Vec<RawUpstream>,
}

impl Faults {
    pub async fn start() -> Self {
        let mut faults = Self::default();
        faults.before_a_reply().await;
        faults.in_place_of_a_reply().await;
        faults.in_the_middle().await;
        faults
    }

    async fn before_a_reply(&mut self) {
        let nobody = format!("http://127.0.0.1:{}", free_port());
        self.rows.push(Row::passed_over("refuses connections", &nobody, 502, "provider_unreachable"));
        let reset = RawUpstream::start([vec![Step::Reset]]).await;
        self.add(reset, |url| Row::passed_over("resets the connection", url, 502, "provider_closed"));
        let closed = RawUpstream::start([vec![Step::Close]]).await;
        self.add(closed, |url| Row::passed_over("closes without a reply", url, 502, "provider_closed"));
        let silent = RawUpstream::start([vec![Step::Stall]]).await;
        self.add(silent, |url| Row::stalled("stalls before headers", url));
        let heads = RawUpstream::answering(|request| vec![Step::Send(head(request)), Step::Stall]).await;
        self.add(heads, |url| Row::stalled("stalls after headers", url));
    }

    async fn in_place_of_a_reply(&mut self) {
        let limit = |attempts, when| Expect::failed(429, "rate_limit_exceeded", attempts, when);
        let spare = || Expect::spare(When::AtOnce);
        let upstream = always(limited(None)).await;
        self.add(upstream, |url| Row::passed_over("429", url, 429, "rate_limit_exceeded"));
        let upstream = always(limited(Some(1))).await;
        let waits = limit(2, When::AfterSecond);
        let cells = [waits.clone(), waits, spare(), spare()];
        self.add(upstream, |url| Row::of("429, Retry-After: 1", url, cells));
        let upstream = always(limited(Some(60))).await;
        let told = limit(1, When::AtOnce);
        let cells = [told.clone(), told, spare(), spare()];
        self.add(upstream, |url| Row::of("429, Retry-After: 60", url, cells));
        for status in [500, 503] {
            let upstream = always(failure(status, "server_error")).await;
            self.add(upstream, |url| Row::passed_over(&status.to_string(), url, status, "server_error"));
        }
        let upstream = RawUpstream::answering(|request| vec![Step::Send(failed_success(request))]).await;
        self.add(upstream, |url| Row::passed_over("200 with an error", url, 503, "server_is_overloaded"));
        let upstream = RawUpstream::answering(|request| {
            vec![Step::Drip(failed_success(request), Duration::from_millis(1))]
        })
        .await;
        self.add(upstream, |url| {
            Row::passed_over("200 with an error, byte by byte", url, 503, "server_is_overloaded")
        });
        let page = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>";
        let upstream = always(page.to_vec()).await;
        self.add(upstream, |url| Row::passed_over("garbage: a page", url, 502, "provider_bad_reply"));
        let upstream =
            RawUpstream::start([vec![Step::Send(b"SSH-2.0-OpenSSH\r\n".to_vec()), Step::Close]]).await;
        self.add(upstream, |url| Row::passed_over("garbage: no HTTP", url, 502, "provider_closed"));
    }

    async fn in_the_middle(&mut self) {
        let closed =
            || [Expect::failed(502, "provider_closed", 2, When::AtOnce), Expect::spare(When::AtOnce)];
        let late = || {
            let late = Expect::failed(504, "provider_timeout", 1, When::AtDeadline);
            [late.clone(), late]
        };
        let upstream = begun_and_then(|_| vec![Step::Stall]).await;
        let silence = Expect::broken("stream_idle", When::AfterIdle);
        self.add(upstream, |url| Row::breaks("stalls in mid-stream", url, late(), silence));
        for (fault, step) in [("resets in mid-stream", Step::Reset), ("closes in mid-stream", Step::Close)] {
            let upstream = begun_and_then(move |_| vec![step.clone()]).await;
            let cut = Expect::broken("stream_broken", When::AtOnce);
            self.add(upstream, |url| Row::breaks(fault, url, closed(), cut));
        }
        let upstream = begun_and_then(|streamed| {
            let rest = [sse_event("<html>"), sse_end()].concat();
            if streamed { vec![Step::Send(rest)] } else { vec![Step::Send(vec![b'<'; 4096])] }
        })
        .await;
        let plain = [Expect::failed(502, "provider_bad_reply", 2, When::AtOnce), Expect::spare(When::AtOnce)];
        let babble = Expect::broken("stream_broken", When::AtOnce);
        self.add(upstream, |url| Row::breaks("garbage in mid-stream", url, plain, babble));
        let upstream = begun_and_then(|streamed| {
            let rest = if streamed { sse_event(&chunk(&"word ".repeat(99))) } else { vec![b' '; 999] };
            vec![Step::Drip(rest, Duration::from_millis(20))]
        })
        .await;
        let slow = Expect::broken("stream_deadline", When::AtDeadline);
        self.add(upstream, |url| Row::breaks("slow drip", url, late(), slow));
    }

    fn add(&mut self, upstream: RawUpstream, row: impl FnOnce(&str) -> Row) {
        self.rows.push(row(upstream.url()));
        self.upstreams.push(upstream);
    }
}

/// The head of a reply, and nothing of its body.
fn head(request: &str) -> Vec<u8> {
    let whole = answer(200, &completion("never"));
    let end = whole.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    if is_streamed(request) { sse_head() } else { whole[..end].to_vec() }
}

/// What an aggregator says of a provider behind it, in place of an answer.
fn failed_success(request: &str) -> Vec<u8> {
    let error = json!({"error": {"message": "No instance has room", "code": "server_is_overloaded"}});
    if is_streamed(request) {
        let alive = b"e\r\n: PROCESSING\n\n\r\n".to_vec();
        [sse_head(), alive, sse_event(&error.to_string()), sse_end()].concat()
    } else {
        answer(200, &error)
    }
}

/// Half of a reply, or a first event, and then these steps.
async fn begun_and_then(steps: impl Fn(bool) -> Vec<Step> + Send + Sync + 'static) -> RawUpstream {
    RawUpstream::answering(move |request| {
        let streamed = is_streamed(request);
        let begun = if streamed {
            [sse_head(), sse_event(&chunk("half "))].concat()
        } else {
            [head(request), b"{\"id\":".to_vec()].concat()
        };
        [vec![Step::Send(begun)], steps(streamed)].concat()
    })
    .await
}
