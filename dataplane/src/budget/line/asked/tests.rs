//! How long calls wait for a ledger, by a clock of the test's own; the keeper is the test.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use futures::{FutureExt as _, future::join_all};
use llm_config::budget::{Budget, Limit, Unit, Window};
use llm_ledger::account::{Answer, Left};
use tokio::time::{advance, sleep};

use super::*;
use crate::budget::Purses;

const MILLI: Duration = Duration::from_millis(1);
/// Longer than any of them waits.
const LONG: Duration = Duration::from_secs(60);

/// The line of ten requests.
async fn line() -> (Arc<Purses>, Arc<Line>) {
    // The process's time begins with who asks for it first, by the clock of that test: all of this is long after it.
    let _begun = now();
    advance(Duration::from_secs(24 * 3_600)).await;
    let purses = Arc::new(Purses::default());
    let limit = Limit { window: Window::Total, unit: Unit::Requests, amount: 10 };
    let uid = "u".to_owned();
    let budget = Budget { uid, time_zone: "UTC".to_owned(), limits: vec![limit], ..Budget::default() };
    let slot = purses.slot(&"ai/team".into(), &budget, limit).unwrap();
    let line = slot.line(None, unix_now());
    (purses, line)
}

/// How long a call that comes then waits for money that never comes, in milliseconds.
async fn waits(line: &Arc<Line>, comes_at: Duration) -> u128 {
    sleep(comes_at).await;
    let came = Instant::now();
    let money = line.ask(1, 0, None).money(came + LONG).await;
    assert_eq!(money.map(|_| ()), Err(Shortage::Unavailable));
    came.elapsed().as_millis()
}

#[tokio::test(start_paused = true)]
async fn each_call_waits_for_an_answer_in_its_own_time_until_the_ledger_is_silent() {
    let (_purses, line) = line().await;
    // The keeper says what there is to say, and hears nothing.
    let keeper = async {
        loop {
            let _unheard = line.lease().due(now());
            sleep(MILLI).await;
        }
    };
    let calls = [0, 20, 45, 60, 99, 103, 130, 1_000];
    let waits = join_all(calls.map(|comes_at| waits(&line, comes_at * MILLI)));
    let waited = tokio::select! {
        waited = waits => waited,
        () = keeper => unreachable!("it looks for ever"),
    };
    // Two statements are unanswered after 100 ms: who waits is let go when it looks next, and nobody waits again.
    assert!(waited[..3].iter().all(|waited| (50..=51).contains(waited)), "{waited:?}");
    assert!((30..=51).contains(&waited[3]) && waited[4] <= 26, "{waited:?}");
    assert_eq!(waited[5..], [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn one_answer_that_does_not_come_costs_no_call_that_comes_after_it() {
    let (_purses, line) = line().await;
    line.lease().wait_for(1);
    let _lost = line.lease().due(now()).unwrap();
    advance(49 * MILLI).await;
    let call = line.ask(1, 0, None);
    let mut money = std::pin::pin!(call.money(Instant::now() + LONG));
    assert!(futures::poll!(&mut money).is_pending());
    advance(MILLI).await;
    let statement = line.lease().due(now()).unwrap();
    advance(40 * MILLI).await;
    assert!(futures::poll!(&mut money).is_pending());
    let left = Left { limit: 10, free: 9, spent: 0, short: None };
    line.answered(&Answer::Granted { seq: statement.seq, amount: 1, recall: false, left });
    assert_eq!(money.now_or_never().unwrap().unwrap().amount(), 1);
}
