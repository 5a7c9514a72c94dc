//! One more attempt of a call whose last may be billed all the same: it gets money as the first does, with a wait for the
//! ledger and for what others hold, and by the same rules where there is none.

use crate::budgets::{at_most, budgeted, code, is_charged, limit};
use crate::documents::{completion, provider};
use harness::http::{Answer, post_json};
use harness::{Proxy, RawUpstream, Redis, Step, answer, eventually};
use llm_ledger::account::{Beginning, Checkpoint};
use llm_ledger::place::{LimitId, Place, Unit};
use llm_ledger::window::Period;
use llm_ledger::{Amount, Epoch};
use llm_ledger_connection::Connection;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(5);
const PLENTY: u64 = 1_000_000_000;
/// What an attempt of a thousand tokens reserves by the prices of `document`, in USD; and one answer of `completion`.
const EACH: std::ops::Range<f64> = 0.01..0.012;
const COST: f64 = 0.000_23;

async fn good() -> RawUpstream {
    RawUpstream::start([vec![Step::Send(answer(200, &completion("ok")))]]).await
}

/// One that reads a call, and breaks off when it is released.
async fn breaking() -> RawUpstream {
    RawUpstream::start([vec![Step::Hold, Step::Close]]).await
}

/// Two providers, of which the second is asked when the first has failed, and a limit in nano-USD.
fn pair(first: &RawUpstream, spare: &RawUpstream, amount: u64, more: &Value) -> Value {
    let mut document = budgeted(&[first.url()], &limit("usd", amount), more);
    let providers = document["pools"]["ai/pool"]["providers"].as_array_mut().unwrap();
    providers.push(provider("spare", spare.url(), 1, 1));
    document
}

fn with(mut document: Value, field: &str, value: Value) -> Value {
    document["routes"]["ai/chat"]["rules"][0][field] = value;
    document
}

fn attempt_within(ms: u64) -> Value {
    json!({"requestMs": 20_000, "idleMs": 20_000, "attemptMs": ms})
}

/// A Redis with an account of the budget of `document`, of so many nano-USD: here the test does what the operator does.
async fn ledger(amount: Amount) -> Redis {
    const KEPT: Duration = Duration::from_secs(3_600);
    let redis = Redis::start().await;
    let settings = llm_config::budget::Redis { endpoints: vec![redis.endpoint()], ..Default::default() };
    let ledger = Connection::redis(&settings).unwrap().with_timeout(SOON);
    let limit_id = LimitId { period: Period::Total, unit: Unit::Usd };
    let place = Place { budget: "b".into(), limit: limit_id, start: 0, value: None };
    let epoch = Epoch(1);
    let opened_at = ledger.open(&place, epoch, KEPT).await.unwrap().unwrap();
    let beginning =
        Beginning { epoch, opened_at, limit: amount, revision: 1, strict: true, gone: 0, values: None };
    assert!(ledger.begin(&place, &beginning, KEPT).await.unwrap());
    let checkpoint =
        Checkpoint { epoch, revision: 2, limit: amount, strict: true, ceiling: amount, values: None };
    ledger.secure(&place, &checkpoint).await.unwrap();
    redis
}

fn kept_by(mut document: Value, redis: &Redis) -> Value {
    document["ledger"] = json!({"redis": {"endpoints": [redis.endpoint()]}});
    document
}

fn ask(proxy: &Proxy) -> JoinHandle<Answer> {
    let url = proxy.chat_url();
    tokio::spawn(async move { post_json(&url, &at_most(1_000)).await })
}

async fn further_refused(proxy: &Proxy) -> f64 {
    let labels = [("budget", "ai/team"), ("reason", "further_attempt")];
    proxy.metric("llm_gateway_budget_refusals_total", &labels).await
}

/// Waits until a proxy holds what one attempt has reserved, and no more: what it drew besides has gone back as idle.
async fn holds_one(proxy: &Proxy) {
    let held = async || proxy.metric("llm_gateway_budget_held", &[("budget", "ai/team")]).await;
    eventually("a slice is drawn", SOON, async || {
        let held = held().await;
        if held > EACH.end { Ok(()) } else { Err(format!("{held}")) }
    })
    .await;
    let mut since = None;
    eventually("what is idle has gone back, and the ledger has answered", SOON, async || {
        let held = held().await;
        since = since.filter(|_| EACH.contains(&held)).or_else(|| Some(Instant::now()));
        let quiet = since.is_some_and(|since| since.elapsed() > Duration::from_millis(200));
        if EACH.contains(&held) && quiet { Ok(()) } else { Err(format!("{held}")) }
    })
    .await;
}

#[tokio::test]
async fn the_first_call_of_a_proxy_is_answered_by_the_second_provider_when_the_first_breaks_off() {
    let (first, spare) = (RawUpstream::start([vec![Step::Close]]).await, good().await);
    let proxy = Proxy::start(&pair(&first, &spare, PLENTY, &json!({})), &[]).await;
    let answered = post_json(&proxy.chat_url(), &at_most(1_000)).await;
    assert!(answered.status.is_success(), "{answered:?}");
    assert_eq!((first.requests().len(), spare.requests().len()), (1, 1));
    is_charged(&proxy, EACH.start + COST..EACH.end + COST).await;
    assert_eq!(further_refused(&proxy).await, 0.0);
}

/// By then, what a proxy with few calls has drawn besides has gone back to the ledger.
#[tokio::test]
async fn a_call_that_stalled_for_seconds_is_answered_by_the_second_provider() {
    let redis = ledger(PLENTY).await;
    for kept_by_redis in [true, false] {
        let (first, spare) = (RawUpstream::start([vec![Step::Stall]]).await, good().await);
        let mut document = with(pair(&first, &spare, PLENTY, &json!({})), "timeouts", attempt_within(3_500));
        if kept_by_redis {
            document = kept_by(document, &redis);
        }
        let proxy = Proxy::start(&document, &[]).await;
        let answered = post_json(&proxy.chat_url(), &at_most(1_000)).await;
        assert!(answered.status.is_success(), "Redis: {kept_by_redis}, {answered:?}");
        is_charged(&proxy, EACH.start + COST..EACH.end + COST).await;
        assert_eq!(further_refused(&proxy).await, 0.0);
    }
}

#[tokio::test]
async fn a_further_attempt_waits_for_what_the_call_of_another_proxy_leaves() {
    // For two attempts and the half of one.
    let amount = 27_000_000;
    let redis = ledger(amount).await;
    let (first, spare) = (breaking().await, good().await);
    let slow = RawUpstream::start([vec![Step::Hold, Step::Send(answer(200, &completion("ok")))]]).await;
    let proxy = Proxy::start(&kept_by(pair(&first, &spare, amount, &json!({})), &redis), &[]).await;
    let document = budgeted(&[slow.url()], &limit("usd", amount), &json!({}));
    let other = Proxy::start(&kept_by(document, &redis), &[]).await;
    let others = ask(&other);
    slow.await_requests(1, SOON).await;
    let asked = ask(&proxy);
    first.await_requests(1, SOON).await;
    // The one waits a second at most: it is not looked what it does till then.
    first.release();
    slow.release();
    let answered = asked.await.unwrap();
    assert!(answered.status.is_success(), "{answered:?}");
    assert!(others.await.unwrap().status.is_success());
    // Of the account: its own two, and the other's.
    is_charged(&proxy, EACH.start + 2.0 * COST..EACH.end + 2.0 * COST).await;
}

#[tokio::test]
async fn what_others_keep_is_waited_for_no_longer_than_for_the_first_nor_beyond_the_deadline() {
    let amount = 27_000_000;
    let millis = Duration::from_millis;
    for (request, lost_after, waits) in [(20_000, 0, millis(1_000)), (3_000, 2_500, millis(500))] {
        let redis = ledger(amount).await;
        let script = vec![Step::Think(millis(lost_after)), Step::Close];
        let (first, spare) = (RawUpstream::start([script]).await, good().await);
        let slow = RawUpstream::start([vec![Step::Stall]]).await;
        let timeouts = json!({"requestMs": request, "idleMs": 20_000});
        let document = with(pair(&first, &spare, amount, &json!({})), "timeouts", timeouts);
        let proxy = Proxy::start(&kept_by(document, &redis), &[]).await;
        let document = budgeted(&[slow.url()], &limit("usd", amount), &json!({}));
        let other = Proxy::start(&kept_by(document, &redis), &[]).await;
        let others = ask(&other);
        slow.await_requests(1, SOON).await;
        let failed = post_json(&proxy.chat_url(), &at_most(1_000)).await;
        let waited = first.arrivals()[0].elapsed().saturating_sub(millis(lost_after));
        assert_eq!(code(&failed), (502, json!("provider_closed")), "{failed:?}");
        let message = failed.json()["error"]["message"].as_str().unwrap().to_owned();
        let why = "It was not tried again: budget ai/team had too little left for another attempt.";
        assert!(message.ends_with(why), "{message}");
        // How exactly, a clock of their own tells the unit tests.
        assert!(waited > waits / 2 && waited < waits + SOON, "{waited:?}");
        assert_eq!(spare.requests().len(), 0);
        others.abort();
    }
}

#[tokio::test]
async fn a_ledger_that_does_not_answer_ends_the_wait_as_the_budget_says() {
    for (rule, passes) in [("Deny", false), ("Allow", true)] {
        let redis = ledger(PLENTY).await;
        let (first, spare) = (breaking().await, good().await);
        let document = pair(&first, &spare, PLENTY, &json!({"onLedgerUnavailable": rule}));
        let proxy = Proxy::start(&kept_by(document, &redis), &[]).await;
        let asked = ask(&proxy);
        first.await_requests(1, SOON).await;
        holds_one(&proxy).await;
        redis.pause();
        first.release();
        let answer = asked.await.unwrap();
        if passes {
            assert!(answer.status.is_success(), "{answer:?}");
            let passed = proxy.metric("llm_gateway_budget_unreserved_total", &[("budget", "ai/team")]).await;
            assert_eq!(passed, 1.0);
        } else {
            assert_eq!(code(&answer), (502, json!("provider_closed")), "{answer:?}");
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            let why = "It was not tried again: budget ai/team could not be asked for money for another attempt, as its ledger did not answer.";
            assert!(message.ends_with(why), "{message}");
            assert_eq!(proxy.await_requests(1).await[0]["reason"], why);
            assert!(further_refused(&proxy).await > 0.0);
        }
        assert_eq!(spare.requests().len(), usize::from(passes));
        redis.resume();
        let answered = if passes { COST } else { 0.0 };
        is_charged(&proxy, EACH.start + answered..EACH.end + answered).await;
    }
}

/// The first choice is full, the second breaks off, and the first has room again.
#[tokio::test]
async fn who_waits_for_room_after_a_lost_attempt_is_answered_and_pays_both() {
    let full = RawUpstream::start([vec![Step::Hold, Step::Send(answer(200, &completion("ok")))]]).await;
    let breaking = RawUpstream::start([vec![Step::Close]]).await;
    let mut document = pair(&full, &breaking, PLENTY, &json!({}));
    document["pools"]["ai/pool"]["providers"][0]["limits"] =
        json!({"concurrent": 1, "queue": {"size": 1, "timeoutMs": 20_000}});
    document["pools"]["ai/pool"]["retry"] = json!({"attempts": 1, "backoffMs": 20});
    let proxy = Proxy::start(&document, &[]).await;
    let first = ask(&proxy);
    full.await_requests(1, SOON).await;
    let second = ask(&proxy);
    breaking.await_requests(1, SOON).await;
    (0..2).for_each(|_| full.release());
    for answered in [first.await.unwrap(), second.await.unwrap()] {
        assert!(answered.status.is_success(), "{answered:?}");
    }
    assert_eq!((full.requests().len(), breaking.requests().len()), (2, 1));
    is_charged(&proxy, EACH.start + 2.0 * COST..EACH.end + 2.0 * COST).await;
    assert_eq!(further_refused(&proxy).await, 0.0);
}

#[tokio::test]
async fn a_hedge_that_has_no_money_at_hand_is_not_sent_and_its_provider_is_asked_when_the_first_has_failed() {
    let (first, spare) = (RawUpstream::start([vec![Step::Stall]]).await, good().await);
    let document = with(pair(&first, &spare, PLENTY, &json!({})), "timeouts", attempt_within(4_500));
    // By then, what is idle has gone back.
    let proxy = Proxy::start(&with(document, "hedging", json!({"delayMs": 3_700})), &[]).await;
    let answered = post_json(&proxy.chat_url(), &at_most(1_000)).await;
    assert!(answered.status.is_success(), "{answered:?}");
    let apart = spare.arrivals()[0] - first.arrivals()[0];
    assert!(apart > Duration::from_millis(4_400), "{apart:?}");
    assert_eq!(further_refused(&proxy).await, 0.0);
}
