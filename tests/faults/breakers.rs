//! Breakers: they open after failures, let nothing through but one probe after the recovery, and close by it.

use crate::{
    client::ask,
    providers::{MODEL, document, failure, good, provider, says, with_attempts, with_breaker},
};
use harness::{Proxy, RawUpstream, Step, eventually};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::task::JoinSet;

const FAILURES: u32 = 3;
const RECOVERY: Duration = Duration::from_millis(1_500);
const SOON: Duration = Duration::from_secs(5);
const RESTING: Option<(u16, &str)> = Some((503, "providers_resting"));

/// A provider that fails until it is told to be well.
struct Patient {
    upstream: RawUpstream,
    well: Arc<AtomicBool>,
}

impl Patient {
    async fn start() -> Self {
        let well = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&well);
        let upstream = RawUpstream::answering(move |request| {
            if now.load(Relaxed) { says("well", request) } else { vec![Step::Send(failure(500, "ill"))] }
        });
        Self { upstream: upstream.await, well }
    }

    fn asked(&self) -> usize {
        self.upstream.requests().len()
    }
}

/// As the breaker of provider `main` is shown: 0 closed, 1 half open, 2 open.
async fn await_state(proxy: &Proxy, wanted: f64) {
    let labels = [("provider", "ai/pool/main"), ("model", MODEL)];
    eventually("the state of the breaker", SOON, async || {
        let state = proxy.metric("llm_gateway_provider_breaker_state", &labels).await;
        if state == wanted { Ok(()) } else { Err(format!("{state}, not {wanted}")) }
    })
    .await;
}

async fn attempts(proxy: &Proxy, outcome: &str) -> f64 {
    let labels = [("provider", "ai/pool/main"), ("outcome", outcome)];
    proxy.metric("llm_gateway_provider_attempts_total", &labels).await
}

#[tokio::test]
async fn an_open_breaker_spares_its_provider_and_a_probe_closes_it() {
    let main = Patient::start().await;
    let document = document(&[provider("main", main.upstream.url(), 0, MODEL)]);
    let document = with_breaker(with_attempts(document, 1), FAILURES, RECOVERY);
    let proxy = Proxy::start(&document, &[]).await;
    await_state(&proxy, 0.0).await;
    for streamed in [false, true, false] {
        assert_eq!(ask(&proxy, streamed).await.failed(), Some((500, "ill")));
    }
    for streamed in [false, true] {
        let got = ask(&proxy, streamed).await;
        assert_eq!(got.failed(), RESTING);
        assert!(got.retry_after.is_some_and(|seconds| (1..=2).contains(&seconds)), "{got:?}");
    }
    assert_eq!(main.asked(), 3);
    await_state(&proxy, 2.0).await;
    assert_eq!(attempts(&proxy, "failed").await, 3.0);

    await_state(&proxy, 1.0).await;
    assert_eq!(ask(&proxy, false).await.failed(), Some((500, "ill")), "the probe");
    assert_eq!(ask(&proxy, false).await.failed(), RESTING, "it opens again at once");
    let opened = [("provider", "ai/pool/main")];
    assert_eq!(proxy.metric("llm_gateway_provider_breaker_opened_total", &opened).await, 2.0);

    main.well.store(true, Relaxed);
    await_state(&proxy, 1.0).await;
    assert_eq!(ask(&proxy, true).await.text(), "well");
    await_state(&proxy, 0.0).await;
    for _ in 0..5 {
        assert_eq!(ask(&proxy, false).await.text(), "well");
    }
    assert_eq!((attempts(&proxy, "failed").await, attempts(&proxy, "answered").await), (4.0, 6.0));
    assert_eq!(main.asked(), 10);
}

#[tokio::test]
async fn behind_an_open_breaker_the_spare_answers_alone() {
    let (main, spare) = (Patient::start().await, good("spare").await);
    let providers =
        [provider("main", main.upstream.url(), 0, MODEL), provider("spare", spare.url(), 1, MODEL)];
    // No probe comes in between.
    let document = with_breaker(document(&providers), FAILURES, Duration::from_secs(60));
    let proxy = Proxy::start(&document, &[]).await;
    for call in 0..20 {
        assert_eq!(ask(&proxy, call % 2 == 0).await.text(), "spare");
    }
    assert_eq!((main.asked(), spare.requests().len()), (3, 20));
    let log = proxy.await_requests(20).await;
    let attempts: Vec<u64> = log.iter().map(|line| line["attempts"].as_u64().unwrap()).collect();
    assert_eq!((&attempts[..3], &attempts[3..]), (&[2; 3][..], &[1; 17][..]));
}

#[tokio::test]
async fn while_the_probe_is_out_no_other_call_is_let_through() {
    let main = RawUpstream::answering({
        let asked = AtomicBool::new(false);
        move |request| {
            let first = !asked.swap(true, Relaxed);
            let failed = vec![Step::Send(failure(500, "ill"))];
            if first { failed } else { [vec![Step::Hold], says("well", request)].concat() }
        }
    })
    .await;
    let document = document(&[provider("main", main.url(), 0, MODEL)]);
    let document = with_breaker(with_attempts(document, 1), 1, RECOVERY);
    let proxy = Arc::new(Proxy::start(&document, &[]).await);
    assert_eq!(ask(&proxy, false).await.failed(), Some((500, "ill")));
    await_state(&proxy, 1.0).await;
    let probe = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move { ask(&proxy, false).await }
    });
    main.await_requests(2, SOON).await;
    let mut others = JoinSet::new();
    for call in 0..20 {
        let proxy = Arc::clone(&proxy);
        others.spawn(async move { ask(&proxy, call % 2 == 0).await });
    }
    for got in others.join_all().await {
        assert_eq!(got.failed(), RESTING);
    }
    main.release();
    assert_eq!(probe.await.unwrap().text(), "well");
    assert_eq!(main.requests().len(), 2);
    await_state(&proxy, 0.0).await;
}
