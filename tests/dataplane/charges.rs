//! What a call is charged when it was sent more than once, broke off, or comes with figures that can't be: by its budget,
//! by the series of its providers, and in the log alike.

use crate::budgets::{at_most, budgeted, code, downgrading, is_charged, limit};
use crate::documents::{call, completion, provider, with_providers};
use harness::http::{json_request, open, post_json};
use harness::{Proxy, RawUpstream, Step, answer, eventually};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{io::AsyncReadExt as _, net::TcpListener};

const SOON: Duration = Duration::from_secs(20);
/// One answer of `completion` by the prices of `document`, in USD.
const COST: f64 = 0.000_23;
const PLENTY: u64 = 1_000_000_000;

async fn good() -> RawUpstream {
    RawUpstream::start([vec![Step::Send(answer(200, &completion("ok")))]]).await
}

/// What the series of a provider has.
async fn cost_of(proxy: &Proxy, provider: &str) -> f64 {
    proxy.metric("llm_gateway_cost_usd_total", &[("provider", provider)]).await
}

#[tokio::test]
async fn an_error_of_the_provider_costs_nothing_though_its_words_break_off() {
    let mut broken = answer(503, &json!({"error": {"message": "overloaded", "type": "server_error"}}));
    broken.truncate(broken.len() - 10);
    let (first, spare) = (RawUpstream::start([vec![Step::Send(broken), Step::Close]]).await, good().await);
    let mut document = budgeted(&[first.url()], &limit("usd", PLENTY), &json!({}));
    let providers = document["pools"]["ai/pool"]["providers"].as_array_mut().unwrap();
    providers.push(provider("spare", spare.url(), 1, 1));
    let proxy = Proxy::start(&document, &[]).await;
    assert!(post_json(&proxy.chat_url(), &at_most(5_000)).await.status.is_success());
    is_charged(&proxy, COST - 1e-9..COST + 1e-9).await;

    let proxy = Proxy::start(&budgeted(&[first.url()], &limit("usd", PLENTY), &json!({})), &[]).await;
    let failed = post_json(&proxy.chat_url(), &at_most(5_000)).await;
    assert_eq!(code(&failed), (503, json!("provider_error")), "{failed:?}");
}

#[tokio::test]
async fn an_error_under_the_status_of_a_success_costs_nothing_and_the_next_is_asked() {
    let error = answer(200, &json!({"error": {"message": "overloaded", "code": 503}}));
    let (first, spare) = (RawUpstream::start([vec![Step::Send(error)]]).await, good().await);
    let mut document = budgeted(&[first.url()], &limit("usd", PLENTY), &json!({}));
    let providers = document["pools"]["ai/pool"]["providers"].as_array_mut().unwrap();
    providers.push(provider("spare", spare.url(), 1, 1));
    let proxy = Proxy::start(&document, &[]).await;
    let answered = post_json(&proxy.chat_url(), &at_most(5_000)).await;
    assert!(answered.status.is_success(), "{answered:?}");
    is_charged(&proxy, COST - 1e-9..COST + 1e-9).await;
    assert_eq!(first.requests().len(), 1);
}

#[tokio::test]
async fn who_hangs_up_between_two_tries_pays_for_none() {
    let failed = answer(503, &json!({"error": {"message": "overloaded", "type": "server_error"}}));
    let good = answer(200, &completion("ok"));
    let upstream = RawUpstream::start([vec![Step::Send(failed)], vec![Step::Send(good)]]).await;
    let more = json!({"enforcement": "Estimated"});
    let mut document = budgeted(&[upstream.url()], &limit("usd", PLENTY), &more);
    document["pools"]["ai/pool"]["retry"] = json!({"attempts": 2, "backoffMs": 15_000});
    let proxy = Proxy::start(&document, &[]).await;
    let asked = tokio::spawn(open(json_request(&proxy.chat_url(), &call())));
    eventually("the first try has failed", SOON, async || {
        let labels = [("provider", "ai/pool/p0"), ("outcome", "failed")];
        let failed = proxy.metric("llm_gateway_provider_attempts_total", &labels).await;
        if failed == 1.0 { Ok(()) } else { Err(format!("{failed} have")) }
    })
    .await;
    asked.abort();
    let line = &proxy.await_requests(1).await[0];
    assert_eq!((&line["status"], &line["cost_usd"]), (&json!(499), &json!("0.000000000")), "{line}");
    assert!(post_json(&proxy.chat_url(), &call()).await.status.is_success());
    is_charged(&proxy, COST - 1e-9..COST + 1e-9).await;
}

#[tokio::test]
async fn an_attempt_whose_answer_never_came_is_in_the_series_of_its_provider_too() {
    let (silent, spare) = (RawUpstream::start([vec![Step::Stall]]).await, good().await);
    let mut document =
        with_providers(&[provider("p0", silent.url(), 0, 1), provider("spare", spare.url(), 1, 1)]);
    document["routes"]["ai/chat"]["rules"][0]["timeouts"]["attemptMs"] = 200.into();
    let proxy = Proxy::start(&document, &[]).await;
    assert!(post_json(&proxy.chat_url(), &call()).await.status.is_success());
    let line = &proxy.await_requests(1).await[0];
    let lost = cost_of(&proxy, "ai/pool/p0").await;
    assert!(lost > 0.000_02 && lost < 0.000_1, "{lost}");
    let cost: f64 = line["cost_usd"].as_str().unwrap().parse().unwrap();
    assert!((cost - lost - COST).abs() < 1e-9, "{lost}: {line}");
}

#[tokio::test]
async fn who_hangs_up_on_two_pays_both() {
    let (first, second) =
        (RawUpstream::start([vec![Step::Stall]]).await, RawUpstream::start([vec![Step::Stall]]).await);
    let mut document =
        with_providers(&[provider("p0", first.url(), 0, 1), provider("spare", second.url(), 1, 1)]);
    document["routes"]["ai/chat"]["rules"][0]["hedging"] = json!({"delayMs": 50});
    let proxy = Proxy::start(&document, &[]).await;
    let asked = tokio::spawn(open(json_request(&proxy.chat_url(), &call())));
    first.await_requests(1, SOON).await;
    second.await_requests(1, SOON).await;
    asked.abort();
    let line = &proxy.await_requests(1).await[0];
    assert_eq!(line["status"], 499, "{line}");
    let (one, other) = (cost_of(&proxy, "ai/pool/p0").await, cost_of(&proxy, "ai/pool/spare").await);
    assert!(one > 0.0 && one == other, "{one} and {other}");
    let cost: f64 = line["cost_usd"].as_str().unwrap().parse().unwrap();
    assert!((cost - one - other).abs() < 1e-9, "{line}");
}

#[tokio::test]
async fn a_try_that_no_money_covers_is_told_with_the_budget_that_has_too_little() {
    let upstream = RawUpstream::start([vec![Step::Stall]]).await;
    // One attempt of a thousand tokens takes some 11 million, so that there is none for another.
    let mut document = budgeted(&[upstream.url()], &limit("usd", 15_000_000), &json!({}));
    document["routes"]["ai/chat"]["rules"][0]["timeouts"]["attemptMs"] = 200.into();
    let proxy = Proxy::start(&document, &[]).await;
    let failed = post_json(&proxy.chat_url(), &at_most(1_000)).await;
    assert_eq!(code(&failed), (504, json!("provider_attempt_timeout")), "{failed:?}");
    let message = failed.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("within the 200 ms of an attempt"), "{message}");
    let why = "It was not tried again: budget ai/team had too little left for another attempt.";
    assert!(message.ends_with(why), "{message}");
    assert_eq!(upstream.requests().len(), 1);
    let refused = [("budget", "ai/team"), ("reason", "further_attempt")];
    assert_eq!(proxy.metric("llm_gateway_budget_refusals_total", &refused).await, 1.0);
    let line = &proxy.await_requests(1).await[0];
    assert_eq!(line["reason"], why, "{line}");
}

#[tokio::test]
async fn figures_that_can_not_be_are_not_charged() {
    for (enforcement, expected) in [("Strict", 0.01..0.013), ("Estimated", 0.000_01..0.013)] {
        let mut reply = completion("ok");
        reply["usage"] = json!({"prompt_tokens": 1_000_000_000_000_000_000_u64, "completion_tokens": 7,
            "total_tokens": 1_000_000_000_000_000_007_u64});
        let upstream = RawUpstream::start([vec![Step::Send(answer(200, &reply))]]).await;
        let more = json!({"enforcement": enforcement});
        let proxy = Proxy::start(&budgeted(&[upstream.url()], &limit("usd", PLENTY), &more), &[]).await;
        assert!(post_json(&proxy.chat_url(), &at_most(1_000)).await.status.is_success());
        is_charged(&proxy, expected).await;
        assert_eq!(proxy.metric("llm_gateway_usage_doubted_total", &[("route", "ai/chat")]).await, 1.0);
        assert!(cost_of(&proxy, "ai/pool/p0").await < 0.01);
        let line = &proxy.await_requests(1).await[0];
        assert_eq!(line["estimated"], true, "{line}");
    }
}

/// Calls that go to something cheaper, which the budget does not count, leave its limit as it is.
#[tokio::test]
async fn a_limit_by_which_calls_are_downgraded_is_asked_about_for_as_long_as_there_are_such_calls() {
    let upstream = good().await;
    let mut document = downgrading(upstream.url());
    document["budgets"]["ai/team"]["scope"] = json!({"models": ["large"]});
    let proxy = Proxy::start(&document, &[]).await;
    let ask = async || {
        let answer = post_json(&proxy.chat_url(), &call()).await;
        answer.header("x-llm-downgraded-by").map(str::to_owned)
    };
    eventually("calls are downgraded", SOON, async || ask().await.ok_or("not yet".to_owned())).await;
    eventually("all that is idle has gone back", SOON, async || {
        let held = proxy.metric("llm_gateway_budget_held", &[("budget", "ai/team")]).await;
        if held == 0.0 { Ok(()) } else { Err(format!("{held} are held")) }
    })
    .await;
    let state =
        async || proxy.metric("llm_gateway_budget_ledger_operations_total", &[("operation", "state")]).await;
    let before = state().await;
    // Once a second or so; what is idle would be told of a few times at most.
    eventually("the ledger is asked", 4 * SOON, async || {
        assert_eq!(ask().await.as_deref(), Some("ai/team"));
        let asked = state().await - before;
        if asked >= 8.0 { Ok(()) } else { Err(format!("{asked} times")) }
    })
    .await;
}

/// Takes connections, and says nothing in them: TLS never comes about.
async fn unconnected() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn an_attempt_that_was_never_connected_costs_nothing_however_it_is_given_up() {
    let rule = |document: &mut Value, field: &str, value: Value| {
        document["routes"]["ai/chat"]["rules"][0][field] = value;
    };
    for hedged in [true, false] {
        let ((_listener, silent), spare) = (unconnected().await, good().await);
        let mut document = budgeted(&[&silent], &limit("usd", PLENTY), &json!({}));
        let providers = document["pools"]["ai/pool"]["providers"].as_array_mut().unwrap();
        providers.push(provider("spare", spare.url(), 1, 1));
        if hedged {
            rule(&mut document, "hedging", json!({"delayMs": 50}));
        } else {
            rule(&mut document, "timeouts", json!({"requestMs": 20_000, "idleMs": 20_000, "attemptMs": 200}));
        }
        let proxy = Proxy::start(&document, &[]).await;
        assert!(post_json(&proxy.chat_url(), &at_most(5_000)).await.status.is_success());
        is_charged(&proxy, COST - 1e-9..COST + 1e-9).await;
        assert_eq!(cost_of(&proxy, "ai/pool/p0").await, 0.0, "hedged: {hedged}");
        let line = &proxy.await_requests(1).await[0];
        assert_eq!((&line["cost_usd"], &line["attempts"]), (&json!("0.000230000"), &json!(2)), "{line}");
    }
}

#[tokio::test]
async fn a_failure_that_ends_the_call_is_of_who_failed_and_the_other_is_not_charged() {
    let refusal = answer(400, &json!({"error": {"message": "no", "type": "invalid_request_error"}}));
    let first = RawUpstream::start([vec![Step::Hold, Step::Send(refusal)]]).await;
    let (listener, silent) = unconnected().await;
    let mut document = budgeted(&[first.url()], &limit("usd", PLENTY), &json!({}));
    let providers = document["pools"]["ai/pool"]["providers"].as_array_mut().unwrap();
    providers.push(provider("spare", &silent, 1, 1));
    document["routes"]["ai/chat"]["rules"][0]["hedging"] = json!({"delayMs": 50});
    let proxy = Proxy::start(&document, &[]).await;
    let url = proxy.chat_url();
    let asked = tokio::spawn(async move { post_json(&url, &at_most(5_000)).await });
    let (mut connection, _) = listener.accept().await.unwrap();
    connection.read_u8().await.unwrap();
    first.release();
    assert_eq!(asked.await.unwrap().status, 400);
    let line = &proxy.await_requests(1).await[0];
    assert_eq!((&line["provider"], &line["attempts"]), (&json!("ai/pool/p0"), &json!(2)), "{line}");
    assert_eq!(line["cost_usd"], "0.000000000", "{line}");
    is_charged(&proxy, 0.0..1e-9).await;
}

#[tokio::test]
async fn who_hangs_up_before_a_provider_is_connected_pays_nothing() {
    let (listener, silent) = unconnected().await;
    let proxy = Proxy::start(&budgeted(&[&silent], &limit("usd", PLENTY), &json!({})), &[]).await;
    let asked = tokio::spawn(open(json_request(&proxy.chat_url(), &at_most(5_000))));
    let (mut connection, _) = listener.accept().await.unwrap();
    connection.read_u8().await.unwrap();
    asked.abort();
    let line = &proxy.await_requests(1).await[0];
    assert_eq!((&line["status"], &line["cost_usd"]), (&json!(499), &json!("0.000000000")), "{line}");
    assert_eq!(cost_of(&proxy, "ai/pool/p0").await, 0.0);
    // What it had reserved is there for others, all of it.
    is_charged(&proxy, 0.0..1e-9).await;
}
