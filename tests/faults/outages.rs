//! An outage is not multiplied by retries: their budget holds for all calls together.

use crate::{
    client::{End, ask_for},
    providers::{MODEL, document, failure, provider, says, with_attempts},
};
use harness::{Proxy, RawUpstream, Step};
use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const CALLS: usize = 300;
const AT_ONCE: usize = 10;
/// The budget's, as `RetryBudget` states them: retries in a hundred calls, and per second besides, saved up for 10 s.
const PERCENT: f64 = 20.0;
const FLOOR: f64 = 1.0;
const SAVED: Duration = Duration::from_secs(10);

/// Makes the calls, and answers their ends and how long all of it took.
async fn call_often(proxy: &Proxy) -> (Vec<End>, Duration) {
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..AT_ONCE {
        let url = proxy.chat_url();
        clients.spawn(async move {
            let mut ends = Vec::new();
            for _ in 0..CALLS / AT_ONCE {
                ends.push(ask_for(&url, MODEL, "Hello", client % 2 == 0).await.end);
            }
            ends
        });
    }
    (clients.join_all().await.concat(), began.elapsed())
}

fn failed(ends: &[End], status: u16) -> usize {
    ends.iter().filter(|end| matches!(end, End::Failed { status: found, .. } if *found == status)).count()
}

/// Less than half fails: the breaker, which opens at that share whatever the failures in a row, has no say in this.
#[tokio::test]
async fn retries_are_a_fifth_of_the_calls_and_one_each_second() {
    let asked = AtomicUsize::new(0);
    let main = RawUpstream::answering(move |request| {
        // It begins well: of few outcomes, those of some calls at once may be half by their order alone.
        let place = asked.fetch_add(1, Relaxed);
        let fails = place >= 3 * AT_ONCE && place % 5 < 2;
        if fails { vec![Step::Send(failure(500, "ill"))] } else { says("well", request) }
    })
    .await;
    let document = with_attempts(document(&[provider("main", main.url(), 0, MODEL)]), 5);
    let proxy = Proxy::start(&document, &[]).await;
    let (ends, took) = call_often(&proxy).await;

    let calls = CALLS as f64;
    let retries = main.requests().len() as f64 - calls;
    let bound = calls * PERCENT / 100.0 + FLOOR * (took + SAVED).as_secs_f64();
    println!("{retries} retries of {CALLS} calls within {took:?}; allowed are {bound}");
    assert!(retries <= bound, "{retries} retries, of {bound}");
    assert!(retries >= calls * PERCENT / 100.0 - 1.0, "{retries}: what is allowed is made use of");
    let answered = ends.iter().filter(|end| **end == End::Answered("well".to_owned())).count();
    let failed = failed(&ends, 500);
    assert_eq!(answered + failed, CALLS, "{ends:?}");
    let refused = [("provider", "ai/pool/main")];
    let refused = proxy.metric("llm_gateway_provider_retries_refused_total", &refused).await;
    // Of those that failed; the others have had their five attempts.
    assert!(refused > 0.0 && refused <= failed as f64, "{refused} of {failed}");
}

/// All of it fails: the breaker sees that after 20 calls, whatever the failures in a row that it is set to.
#[tokio::test]
async fn a_provider_that_only_fails_is_hardly_asked() {
    let main = RawUpstream::start([vec![Step::Send(failure(500, "ill"))]]).await;
    let document = document(&[provider("main", main.url(), 0, MODEL)]);
    let proxy = Proxy::start(&document, &[]).await;
    let (ends, took) = call_often(&proxy).await;
    // Its recovery is a second, after which one probe goes out.
    let probes = usize::try_from(took.as_secs()).unwrap() + 1;
    let asked = main.requests().len();
    println!("{asked} attempts of {CALLS} calls within {took:?}");
    assert!((20..=20 + AT_ONCE + probes).contains(&asked), "{asked}");
    assert_eq!(failed(&ends, 500) + failed(&ends, 503), CALLS, "{ends:?}");
}
