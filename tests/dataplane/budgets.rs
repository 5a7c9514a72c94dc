//! Budgets of one proxy that keeps its ledger itself: what is refused, what is charged, and what outlasts a crash.

use crate::documents::{MODEL, call, chunk, completion, document, last_chunk, streamed_call, usage_chunk};
use harness::http::{Answer, json_request, post_json, post_stream, send};
use harness::{Proxy, RawUpstream, Scratch, Step, answer, eventually, sse_end, sse_event, sse_head};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);
/// By the prices of `document`, one answer of `completion`, in nano-USD.
const COST: u64 = 230_000;

/// The document with a budget of these fields besides.
pub fn budgeted(providers: &[&str], limits: &Value, more: &Value) -> Value {
    let mut document = document(providers);
    let mut budget = json!({"uid": "b", "timeZone": "UTC", "limits": limits});
    budget.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document["budgets"] = json!({"ai/team": budget});
    document
}

/// Of four requests two are answered by the usual model, and all further ones by another.
pub fn downgrading(provider: &str) -> Value {
    let downgrade = json!({"downgrade": {"fromPpm": 500_000,
        "backends": [{"pool": "ai/cheap", "models": ["small"], "weight": 1}]}});
    let mut document = budgeted(&[provider], &limit("requests", 4), &json!({"onExceeded": downgrade}));
    let mut cheap = document["pools"]["ai/pool"].clone();
    cheap["providers"][0]["models"][0]["name"] = "small".into();
    cheap["providers"][0]["models"][0]["upstreamName"] = "small".into();
    document["pools"]["ai/cheap"] = cheap;
    document
}

pub fn limit(unit: &str, amount: u64) -> Value {
    json!([{"window": "total", "unit": unit, "amount": amount}])
}

pub fn at_most(tokens: u64) -> Value {
    let mut call = call();
    call["max_tokens"] = tokens.into();
    call
}

async fn good() -> RawUpstream {
    RawUpstream::start([vec![Step::Send(answer(200, &completion("ok")))]]).await
}

async fn post_json_with(url: &str, header: (&'static str, &str), body: &Value) -> Answer {
    let mut request = json_request(url, body);
    request.headers_mut().insert(header.0, header.1.parse().unwrap());
    send(request).await.unwrap()
}

pub fn code(answer: &Answer) -> (u16, Value) {
    (answer.status.as_u16(), answer.json()["error"]["code"].clone())
}

#[tokio::test]
async fn of_many_calls_at_once_no_more_pass_than_there_is_money_for() {
    let upstream = good().await;
    let proxy = Proxy::start(&budgeted(&[upstream.url()], &limit("requests", 50), &json!({})), &[]).await;
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let url = proxy.chat_url();
            tokio::spawn(async move { post_json(&url, &call()).await })
        })
        .collect();
    let mut answered = 0;
    for call in calls {
        let answer = call.await.unwrap();
        match answer.status.as_u16() {
            200 => answered += 1,
            429 => assert_eq!(answer.json()["error"]["type"], "insufficient_quota", "{answer:?}"),
            _ => panic!("{answer:?}"),
        }
    }
    assert_eq!((answered, upstream.requests().len()), (50, 50));
    assert_eq!(proxy.metric("llm_gateway_budget_spent", &[("budget", "ai/team")]).await, 50.0);
    let refused = [("budget", "ai/team"), ("limit", "total-requests"), ("reason", "spent")];
    assert_eq!(proxy.metric("llm_gateway_budget_refusals_total", &refused).await, 150.0);
}

#[tokio::test]
async fn who_is_refused_reads_the_figures_in_its_own_dialect() {
    let upstream = good().await;
    let daily = json!([{"window": "daily", "unit": "usd", "amount": COST}]);
    let proxy = Proxy::start(&budgeted(&[upstream.url()], &daily, &json!({})), &[]).await;
    let refused = post_json(&proxy.chat_url(), &at_most(1_000)).await;
    assert_eq!(code(&refused), (429, json!("budget_exceeded")));
    let error = &refused.json()["error"];
    assert_eq!(error["type"], "insufficient_quota");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with("Budget ai/team has too little left: 0.00 USD of 0.00023 USD (daily) are spent, and this call may take 0.01"),
        "{message}"
    );
    assert!(message.contains("It begins anew in "), "{message}");
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&seconds), "{seconds}");

    let url = format!("{}/v1/messages", proxy.url());
    let refused = post_json_with(&url, ("anthropic-version", "2023-06-01"), &at_most(1_000)).await;
    assert_eq!(refused.status.as_u16(), 402);
    assert_eq!(refused.json()["error"]["type"], "billing_error", "{refused:?}");
    assert_eq!(upstream.requests().len(), 0, "nobody was asked");
    let line = &proxy.await_requests(2).await[0];
    assert_eq!(line["error"], "budget_exceeded", "{line}");
    assert!(line["reason"].as_str().unwrap().starts_with("Budget ai/team has too little left"), "{line}");
}

#[tokio::test]
async fn who_is_refused_by_a_rolling_limit_reads_that_what_is_spent_comes_back_bit_by_bit() {
    let upstream = good().await;
    let limits = json!([{"window": {"rolling": 60}, "unit": "requests", "amount": 2}]);
    let proxy = Proxy::start(&budgeted(&[upstream.url()], &limits, &json!({})), &[]).await;
    for _ in 0..2 {
        assert!(post_json(&proxy.chat_url(), &call()).await.status.is_success());
    }
    let refused = post_json(&proxy.chat_url(), &call()).await;
    assert_eq!(code(&refused), (429, json!("budget_exceeded")));
    assert_eq!(
        refused.json()["error"]["message"],
        "Budget ai/team has too little left: 2 requests of 2 requests in any 1 min are spent, and this call may take 1 requests. What is spent comes back 1 min later, bit by bit: try again in 3 s."
    );
    assert_eq!(refused.header("retry-after"), Some("3"));
}

/// Of a minute a proxy spends two and a half seconds as one holder, and goes on as another.
#[tokio::test]
async fn what_is_spent_of_a_rolling_limit_counts_whichever_part_it_was_spent_in() {
    let upstream = good().await;
    let limits = json!([{"window": {"rolling": 60}, "unit": "requests", "amount": 1_000_000}]);
    let proxy = Proxy::start(&budgeted(&[upstream.url()], &limits, &json!({})), &[]).await;
    let (begun, mut calls) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(6) {
        assert!(post_json(&proxy.chat_url(), &call()).await.status.is_success());
        calls += 1;
    }
    eventually("all are counted", SOON, async || {
        let spent = spent(&proxy).await;
        if spent == f64::from(calls) { Ok(()) } else { Err(format!("{spent} of {calls}")) }
    })
    .await;
}

#[tokio::test]
async fn a_call_that_names_no_most_of_its_answer_gets_what_there_is_money_for() {
    let upstream = good().await;
    // For 1,000 tokens of output by the prices of the document, and some of input.
    let money = limit("usd", 11_000_000);
    let proxy = Proxy::start(&budgeted(&[upstream.url()], &money, &json!({})), &[]).await;
    let answer = post_json(&proxy.chat_url(), &call()).await;
    assert!(answer.status.is_success(), "{answer:?}");
    let sent = &upstream.requests()[0];
    let body: Value = serde_json::from_str(sent.split_once("\r\n\r\n").unwrap().1).unwrap();
    let capped = body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64()).unwrap();
    assert!((64..=1_000).contains(&capped), "{body}");
}

/// A stream of some tokens, without an end and without a figure.
fn cut_stream() -> Vec<Step> {
    let events = [sse_head(), sse_event(&chunk("a")), sse_event(&chunk("b")), sse_event(&chunk("c"))];
    vec![Step::Send(events.concat()), Step::Stall]
}

async fn spent(proxy: &Proxy) -> f64 {
    proxy.metric("llm_gateway_budget_spent", &[("budget", "ai/team")]).await
}

/// Waits until so much is spent, in the unit of the limit.
pub async fn is_charged(proxy: &Proxy, within: std::ops::Range<f64>) {
    eventually("the call is charged", SOON, async || {
        let spent = spent(proxy).await;
        if within.contains(&spent) { Ok(()) } else { Err(format!("{spent} is not in {within:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_hangs_up_pays_the_most_where_a_budget_is_strict_and_what_was_seen_where_it_is_not() {
    for (enforcement, expected) in [("Strict", 0.05..0.06), ("Estimated", 0.000_04..0.001)] {
        let upstream = RawUpstream::start([cut_stream()]).await;
        let more = json!({"enforcement": enforcement});
        let proxy =
            Proxy::start(&budgeted(&[upstream.url()], &limit("usd", 1_000_000_000), &more), &[]).await;
        let mut call = streamed_call();
        call["max_tokens"] = 5_000.into();
        let mut stream = post_stream(&proxy.chat_url(), &call).await;
        stream.event().await.unwrap();
        drop(stream);
        upstream.await_peer_closed(SOON).await;
        eventually("the call is charged", SOON, async || {
            let spent = spent(&proxy).await;
            if expected.contains(&spent) { Ok(()) } else { Err(format!("{enforcement}: {spent}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn a_stream_that_ends_well_costs_what_its_provider_says() {
    let events = [
        sse_head(),
        sse_event(&chunk("a")),
        sse_event(&last_chunk()),
        sse_event(&usage_chunk()),
        sse_event("[DONE]"),
        sse_end(),
    ];
    let upstream = RawUpstream::start([vec![Step::Send(events.concat())]]).await;
    let money = limit("usd", 1_000_000_000);
    let proxy = Proxy::start(&budgeted(&[upstream.url()], &money, &json!({})), &[]).await;
    assert!(post_json(&proxy.chat_url(), &streamed_call()).await.status.is_success());
    eventually("the call is charged", SOON, async || {
        let spent = spent(&proxy).await;
        if (spent - COST as f64 / 1e9).abs() < 1e-12 { Ok(()) } else { Err(format!("{spent}")) }
    })
    .await;
}

#[tokio::test]
async fn what_is_spent_is_known_again_after_a_crash() {
    let upstream = good().await;
    let state = Scratch::new("state");
    let arguments = ["--state-dir", state.path().to_str().unwrap()];
    let limits = limit("requests", 10);
    let document = budgeted(&[upstream.url()], &limits, &json!({}));
    let proxy = Proxy::start(&document, &arguments).await;
    for _ in 0..4 {
        assert!(post_json(&proxy.chat_url(), &call()).await.status.is_success());
    }
    proxy.process.kill();
    proxy.process.exited(SOON).await;
    let proxy = Proxy::start(&document, &arguments).await;
    let mut answered = 4;
    while post_json(&proxy.chat_url(), &call()).await.status.is_success() {
        answered += 1;
    }
    // What it held when it was killed may have been spent: it stays gone.
    assert!((5..=10).contains(&answered), "{answered}");
    assert_eq!(upstream.requests().len(), answered);
}

#[tokio::test]
async fn each_user_has_a_limit_of_its_own_and_those_beyond_the_bound_share_one() {
    let upstream = good().await;
    let more = json!({"per": ["user"], "maxValues": 2});
    let proxy = Proxy::start(&budgeted(&[upstream.url()], &limit("requests", 2), &more), &[]).await;
    let ask = async |user: &str| {
        let answer = post_json_with(&proxy.chat_url(), ("x-llm-user", user), &call()).await;
        answer.status.as_u16()
    };
    for user in ["a", "b"] {
        assert_eq!([ask(user).await, ask(user).await, ask(user).await], [200, 200, 429], "{user}");
    }
    assert_eq!([ask("c").await, ask("d").await, ask("c").await, ask("e").await], [200, 200, 429, 429]);
}

#[tokio::test]
async fn only_calls_in_its_scope_count() {
    let upstream = good().await;
    let more = json!({"scope": {"metadata": {"project": "search"}}});
    let proxy = Proxy::start(&budgeted(&[upstream.url()], &limit("requests", 1), &more), &[]).await;
    let ask = async |project: &str| {
        let answer = post_json_with(&proxy.chat_url(), ("x-llm-project", project), &call()).await;
        answer.status.as_u16()
    };
    assert_eq!([ask("search").await, ask("search").await, ask("other").await], [200, 429, 200]);
}

#[tokio::test]
async fn a_budget_that_warns_or_audits_refuses_nothing_and_counts_all() {
    for more in [json!({"onExceeded": "warn"}), json!({"enforcement": "Audit"})] {
        let upstream = good().await;
        let proxy = Proxy::start(&budgeted(&[upstream.url()], &limit("requests", 2), &more), &[]).await;
        for _ in 0..5 {
            assert!(post_json(&proxy.chat_url(), &call()).await.status.is_success(), "{more}");
        }
        eventually("all are counted", SOON, async || {
            let spent = spent(&proxy).await;
            if spent == 5.0 { Ok(()) } else { Err(format!("{spent}")) }
        })
        .await;
        let passed = proxy.metric("llm_gateway_budget_unreserved_total", &[("budget", "ai/team")]).await;
        assert!(passed >= 3.0, "{passed}");
    }
}

#[tokio::test]
async fn an_attempt_whose_answer_never_came_is_paid_besides_the_one_that_answered() {
    let (silent, spare) = (RawUpstream::start([vec![Step::Stall]]).await, good().await);
    let mut document = budgeted(&[silent.url()], &limit("usd", 1_000_000_000), &json!({}));
    let spare = crate::documents::provider("spare", spare.url(), 1, 1);
    document["pools"]["ai/pool"]["providers"].as_array_mut().unwrap().push(spare);
    document["routes"]["ai/chat"]["rules"][0]["timeouts"]["attemptMs"] = 200.into();
    let proxy = Proxy::start(&document, &[]).await;
    assert!(post_json(&proxy.chat_url(), &at_most(5_000)).await.status.is_success());
    eventually("both are charged", SOON, async || {
        let spent = spent(&proxy).await;
        if (0.050_2..0.06).contains(&spent) { Ok(()) } else { Err(format!("{spent}")) }
    })
    .await;
}

#[tokio::test]
async fn a_budget_that_runs_out_sends_calls_to_something_cheaper() {
    let upstream = good().await;
    let proxy = Proxy::start(&downgrading(upstream.url()), &[]).await;
    let mut models = Vec::new();
    for _ in 0..4 {
        let answer = post_json(&proxy.chat_url(), &call()).await;
        assert!(answer.status.is_success(), "{answer:?}");
        let by = answer.header("x-llm-downgraded-by").map(str::to_owned);
        models.push((answer.header("x-llm-model").unwrap().to_owned(), by));
        let told = models.len() as f64;
        eventually("the ledger has heard of it", SOON, async || {
            let spent = spent(&proxy).await;
            if spent == told { Ok(()) } else { Err(format!("{spent}")) }
        })
        .await;
    }
    let usual = (MODEL.to_owned(), None);
    let cheaper = ("small".to_owned(), Some("ai/team".to_owned()));
    assert_eq!(models, [usual.clone(), usual, cheaper.clone(), cheaper]);
    assert_eq!(code(&post_json(&proxy.chat_url(), &call()).await).0, 429);
}

#[tokio::test]
async fn what_nobody_can_bound_is_refused_by_a_strict_budget() {
    let upstream = good().await;
    let money = limit("usd", 1_000_000_000);
    let proxy = Proxy::start(&budgeted(&[upstream.url()], &money, &json!({})), &[]).await;
    let file = json!({"type": "file", "file": {"file_id": "file-1"}});
    let call = json!({"model": MODEL, "messages": [{"role": "user", "content": [file]}]});
    let refused = post_json(&proxy.chat_url(), &call).await;
    assert_eq!(code(&refused), (400, json!("cost_unbounded")), "{refused:?}");
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("contextWindow"), "{refused:?}");
}
