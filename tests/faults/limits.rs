//! Rate limits: who asks to be left alone is, for as long as it said, and a call waits only as its deadline allows.

use crate::{
    client::{ask, ask_for},
    providers::{
        MODEL, document, failure, good, limited, provider, says, with_attempts, with_breaker,
        with_request_timeout,
    },
};
use harness::{Proxy, RawUpstream, Step, eventually};
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use tokio::task::JoinSet;

const SECOND: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(10);

/// A provider that limits the first call, for a second, and takes the others.
async fn busy_at_first() -> RawUpstream {
    let asked = AtomicBool::new(false);
    RawUpstream::answering(move |request| {
        let first = !asked.swap(true, Relaxed);
        if first { vec![Step::Send(limited(Some(1)))] } else { says("main", request) }
    })
    .await
}

#[tokio::test]
async fn who_asked_for_a_second_gets_it_while_a_spare_answers() {
    let (main, spare) = (busy_at_first().await, good("spare").await);
    let providers = [provider("main", main.url(), 0, MODEL), provider("spare", spare.url(), 1, MODEL)];
    let proxy = Proxy::start(&document(&providers), &[]).await;
    let mut answered_by_spare = 0;
    eventually("the first choice answers again", SOON, async || {
        let text = ask(&proxy, answered_by_spare % 2 == 0).await.text().to_owned();
        answered_by_spare += usize::from(text == "spare");
        if text == "main" { Ok(()) } else { Err(text) }
    })
    .await;
    let asked = main.arrivals();
    assert_eq!(asked.len(), 2);
    assert!(asked[1] - asked[0] >= SECOND, "{:?}", asked[1] - asked[0]);
    assert!(answered_by_spare >= 2, "{answered_by_spare}");
    assert_eq!(spare.requests().len(), answered_by_spare);
}

#[tokio::test]
async fn alone_the_call_waits_and_is_answered() {
    for streamed in [false, true] {
        let main = busy_at_first().await;
        let proxy = Proxy::start(&document(&[provider("main", main.url(), 0, MODEL)]), &[]).await;
        let got = ask(&proxy, streamed).await;
        assert_eq!(got.text(), "main");
        assert!(got.took >= SECOND, "{got:?}");
        assert_eq!(main.requests().len(), 2);
        let attempts = [("provider", "ai/pool/main"), ("outcome", "rate_limited")];
        assert_eq!(proxy.metric("llm_gateway_provider_attempts_total", &attempts).await, 1.0);
        let state = [("provider", "ai/pool/main")];
        let state = proxy.metric("llm_gateway_provider_breaker_state", &state).await;
        assert_eq!(state, 0.0, "a limit is no failure");
    }
}

#[tokio::test]
async fn alone_and_with_no_time_to_wait_the_limit_is_passed_on_at_once() {
    let main = RawUpstream::start([vec![Step::Send(limited(Some(30)))]]).await;
    let document = document(&[provider("main", main.url(), 0, MODEL)]);
    let proxy = Proxy::start(&with_request_timeout(document, SOON), &[]).await;
    let got = ask(&proxy, false).await;
    assert_eq!((got.failed(), got.retry_after), (Some((429, "rate_limit_exceeded")), Some(30)));
    assert!(got.took < SOON, "{got:?}");
    for streamed in [false, true] {
        let got = ask(&proxy, streamed).await;
        assert_eq!(got.failed(), Some((429, "providers_saturated")), "nobody is asked");
        assert!(got.retry_after.is_some_and(|seconds| (20..=33).contains(&seconds)), "{got:?}");
    }
    assert_eq!(main.requests().len(), 1);
}

/// A call that began before another one was told so, and comes to it as its second choice.
#[tokio::test]
async fn who_asked_for_a_second_is_no_second_choice_either() {
    let asked = AtomicUsize::new(0);
    let main = RawUpstream::answering(move |request| match asked.fetch_add(1, Relaxed) {
        0 | 1 => vec![Step::Hold, Step::Send(failure(500, "ill"))],
        _ => says("main", request),
    })
    .await;
    let spare = busy_at_first().await;
    let providers = [provider("main", main.url(), 0, MODEL), provider("spare", spare.url(), 1, MODEL)];
    let proxy = Proxy::start(&with_attempts(document(&providers), 4), &[]).await;
    let mut calls = JoinSet::new();
    for streamed in [false, true] {
        let url = proxy.chat_url();
        calls.spawn(async move { ask_for(&url, MODEL, "Hello", streamed).await });
    }
    main.await_requests(2, SOON).await;
    main.release();
    let limited = [("provider", "ai/pool/spare"), ("outcome", "rate_limited")];
    eventually("the limit is known", SOON, async || {
        let count = proxy.metric("llm_gateway_provider_attempts_total", &limited).await;
        if count == 1.0 { Ok(()) } else { Err(count.to_string()) }
    })
    .await;
    main.release();
    for got in calls.join_all().await {
        assert_eq!(got.text(), "main", "tried again");
    }
    let asked = spare.arrivals();
    assert!(asked.len() == 1 || asked[1] - asked[0] >= SECOND, "after {:?}", asked[1] - asked[0]);
}

/// All who wait for the end of a limit would come in its first instant, and run into the next.
#[tokio::test]
async fn who_asked_for_a_second_is_not_met_by_all_who_waited() {
    const WAITING: usize = 40;
    let main = RawUpstream::start([vec![Step::Send(limited(Some(1)))]]).await;
    let document = document(&[provider("main", main.url(), 0, MODEL)]);
    let proxy = Proxy::start(&document, &[]).await;
    let mut calls = JoinSet::new();
    let mut call = |streamed| {
        let url = proxy.chat_url();
        calls.spawn(async move { ask_for(&url, MODEL, "Hello", streamed).await });
    };
    call(false);
    let limited = [("provider", "ai/pool/main"), ("outcome", "rate_limited")];
    eventually("the limit is known", SOON, async || {
        let count = proxy.metric("llm_gateway_provider_attempts_total", &limited).await;
        if count == 1.0 { Ok(()) } else { Err(count.to_string()) }
    })
    .await;
    (0..WAITING).for_each(|client| call(client % 2 == 0));
    for got in calls.join_all().await {
        let told = [Some((429, "rate_limit_exceeded")), Some((429, "providers_saturated"))];
        assert!(told.contains(&got.failed()) && got.retry_after.is_some(), "{got:?}");
    }
    // Once more after the first second, and once after the next: each time by those who come before it has said so.
    let arrivals = main.arrivals();
    assert!(
        arrivals.len() <= WAITING,
        "{:?}",
        arrivals.iter().map(|at| *at - arrivals[0]).collect::<Vec<_>>()
    );
}

/// What is left of its time is no measure of the provider: its breaker would open because of the limit after all.
#[tokio::test]
async fn a_call_that_has_waited_long_says_nothing_of_who_then_lacks_the_time() {
    let main = RawUpstream::start([vec![Step::Send(limited(Some(1)))], vec![Step::Stall]]).await;
    let document = document(&[provider("main", main.url(), 0, MODEL)]);
    let document = with_breaker(document, 1, SOON);
    let proxy = Proxy::start(&with_request_timeout(document, SECOND + SECOND / 2), &[]).await;
    assert_eq!(ask(&proxy, false).await.failed(), Some((504, "provider_timeout")));
    assert_eq!(main.requests().len(), 2);
    let labels = [("provider", "ai/pool/main")];
    assert_eq!(proxy.metric("llm_gateway_provider_breaker_opened_total", &labels).await, 0.0);
    // A call that was given all of its time does.
    assert_eq!(ask(&proxy, false).await.failed(), Some((504, "provider_timeout")));
    assert_eq!(proxy.metric("llm_gateway_provider_breaker_opened_total", &labels).await, 1.0);
}
