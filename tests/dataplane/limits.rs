//! What a proxy asks of a provider at most, who waits, and a second candidate for who is late.

use crate::documents::{call, completion, provider, with_providers};
use harness::http::{Answer, post_json};
use harness::{Proxy, RawUpstream, Step, answer, eventually};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    task::{JoinHandle, JoinSet},
};

const SOON: Duration = Duration::from_secs(20);

async fn good(text: &str) -> RawUpstream {
    RawUpstream::start([vec![Step::Send(answer(200, &completion(text)))]]).await
}

/// Answers each call when it is told to.
async fn held(text: &str) -> RawUpstream {
    RawUpstream::start([vec![Step::Hold, Step::Send(answer(200, &completion(text)))]]).await
}

fn limited(url: &str, limits: &Value) -> Value {
    let mut provider = provider("limited", url, 0, 1);
    provider["limits"] = limits.clone();
    provider
}

/// One call at a time, and another waits.
fn one_and_one_waits() -> Value {
    json!({"concurrent": 1, "queue": {"size": 1, "timeoutMs": 20_000}})
}

/// A call, beside what the test does.
fn post(proxy: &Proxy) -> JoinHandle<Answer> {
    let url = proxy.chat_url();
    tokio::spawn(async move { post_json(&url, &call()).await })
}

fn text(answer: &Answer) -> String {
    let json = answer.json();
    json["choices"][0]["message"]["content"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

#[tokio::test]
async fn a_call_that_finds_no_room_goes_to_who_has_some() {
    let (full, spare) = (held("full").await, good("spare").await);
    let providers = [limited(full.url(), &json!({"concurrent": 1})), provider("spare", spare.url(), 1, 1)];
    let proxy = Proxy::start(&with_providers(&providers), &[]).await;
    let first = post(&proxy);
    full.await_requests(1, SOON).await;
    assert_eq!(text(&post_json(&proxy.chat_url(), &call()).await), "spare");
    full.release();
    assert_eq!(text(&first.await.unwrap()), "full");
    assert_eq!((full.requests().len(), spare.requests().len()), (1, 1));
}

#[tokio::test]
async fn who_finds_no_room_anywhere_waits_and_who_finds_no_place_is_told_when_to_come_back() {
    let upstream = held("held").await;
    let limits = one_and_one_waits();
    let proxy = Proxy::start(&with_providers(&[limited(upstream.url(), &limits)]), &[]).await;
    let first = post(&proxy);
    upstream.await_requests(1, SOON).await;
    // One of the two finds the only place, whichever comes first; the other is told at once.
    let (mut second, mut third) = (post(&proxy), post(&proxy));
    let (refused, second) = tokio::select! {
        refused = &mut second => (refused.unwrap(), third),
        refused = &mut third => (refused.unwrap(), second),
    };
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["error"]["code"]),
        (429, &json!("providers_saturated"))
    );
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds != "0"), "{refused:?}");
    assert_eq!(upstream.requests().len(), 1, "one at a time");
    upstream.release();
    assert_eq!(text(&first.await.unwrap()), "held");
    upstream.release();
    assert_eq!(text(&second.await.unwrap()), "held");
}

#[tokio::test]
async fn of_limits_that_proxies_share_each_has_its_part_and_one_alone_has_all() {
    let limits = json!({"scope": "Cluster", "concurrent": 3, "queue": {"size": 0, "timeoutMs": 1}});
    let place = |place: u32| json!({"ai/pool": {"of": 2, "place": place}});
    for (shares, most) in [(Value::Null, 3_u8), (place(0), 2), (place(1), 1), (json!({}), 0)] {
        let upstream = held("held").await;
        let mut document = with_providers(&[limited(upstream.url(), &limits)]);
        document["shares"] = shares;
        let proxy = Proxy::start(&document, &[]).await;
        let of = [("provider", "ai/pool/limited"), ("limit", "concurrent_requests")];
        assert_eq!(proxy.metric("llm_gateway_provider_limit", &of).await, f64::from(most));
        let mut asked: JoinSet<Answer> = (0..=most)
            .map(|_| {
                let url = proxy.chat_url();
                async move { post_json(&url, &call()).await }
            })
            .collect();
        assert_eq!(asked.join_next().await.unwrap().unwrap().status, 429);
        (0..most).for_each(|_| upstream.release());
        while let Some(answered) = asked.join_next().await {
            assert_eq!(text(&answered.unwrap()), "held");
        }
    }
}

/// Waits until so many calls wait for room at the provider `limited`.
async fn await_waiting(proxy: &Proxy, wanted: f64) {
    eventually(&format!("{wanted} wait"), SOON, async || {
        let waiting = proxy.metric("llm_gateway_provider_waiting", &[("provider", "ai/pool/limited")]).await;
        if waiting == wanted { Ok(()) } else { Err(waiting.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn who_waits_is_taken_by_whoever_has_room_first() {
    let (first, second) = (held("first").await, held("second").await);
    let limits = one_and_one_waits();
    let mut providers = [limited(first.url(), &limits), limited(second.url(), &limits)];
    providers[1]["name"] = json!("second");
    providers[1]["priority"] = json!(1);
    let proxy = Proxy::start(&with_providers(&providers), &[]).await;
    let (to_first, to_second) = (post(&proxy), post(&proxy));
    first.await_requests(1, SOON).await;
    second.await_requests(1, SOON).await;
    let waits = post(&proxy);
    await_waiting(&proxy, 1.0).await;
    second.release();
    second.await_requests(2, SOON).await;
    await_waiting(&proxy, 0.0).await;
    second.release();
    assert_eq!(text(&waits.await.unwrap()), "second");
    assert_eq!(first.requests().len(), 1, "whose only call has not ended");
    first.release();
    let texts = [text(&to_first.await.unwrap()), text(&to_second.await.unwrap())];
    assert!(texts.contains(&"first".to_owned()) && texts.contains(&"second".to_owned()), "{texts:?}");
}

#[tokio::test]
async fn who_has_waited_for_one_that_fails_waits_for_the_others() {
    let slow = held("slow").await;
    let failure = answer(500, &json!({"error": {"message": "down", "type": "server_error"}}));
    let first = vec![Step::Hold, Step::Send(answer(200, &completion("failing")))];
    let failing = RawUpstream::start([first, vec![Step::Send(failure)]]).await;
    let limits = one_and_one_waits();
    let mut providers = [limited(slow.url(), &limits), limited(failing.url(), &limits)];
    providers[1]["name"] = json!("failing");
    providers[1]["priority"] = json!(1);
    let proxy = Proxy::start(&with_providers(&providers), &[]).await;
    let asked = [post(&proxy), post(&proxy)];
    slow.await_requests(1, SOON).await;
    failing.await_requests(1, SOON).await;
    let waits = post(&proxy);
    await_waiting(&proxy, 1.0).await;
    failing.release();
    failing.await_requests(2, SOON).await;
    await_waiting(&proxy, 1.0).await;
    slow.release();
    slow.await_requests(2, SOON).await;
    slow.release();
    assert_eq!(text(&waits.await.unwrap()), "slow");
    for asked in asked {
        assert_eq!(asked.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn who_was_refused_and_then_waits_in_vain_is_told_how_long_it_took() {
    let full = held("full").await;
    let failure = answer(500, &json!({"error": {"message": "down", "type": "server_error"}}));
    let failing = RawUpstream::start([vec![Step::Send(failure)]]).await;
    let limits = json!({"concurrent": 1, "queue": {"size": 1, "timeoutMs": 300}});
    let providers = [limited(full.url(), &limits), provider("failing", failing.url(), 1, 1)];
    let proxy = Proxy::start(&with_providers(&providers), &[]).await;
    let first = post(&proxy);
    full.await_requests(1, SOON).await;
    let refused = post_json(&proxy.chat_url(), &call()).await;
    assert_eq!(refused.status, 500, "{refused:?}");
    let took: u64 = refused.header("x-llm-latency-ms").unwrap().parse().unwrap();
    assert!(took >= 300, "{took} ms, of which 300 in the queue");
    full.release();
    assert_eq!(text(&first.await.unwrap()), "full");
}

#[tokio::test]
async fn who_waits_and_hangs_up_leaves_its_place_to_the_next() {
    let upstream = held("held").await;
    let limits = one_and_one_waits();
    let proxy = Proxy::start(&with_providers(&[limited(upstream.url(), &limits)]), &[]).await;
    let first = post(&proxy);
    upstream.await_requests(1, SOON).await;
    let mut hasty = TcpStream::connect(proxy.url().strip_prefix("http://").unwrap()).await.unwrap();
    let (host, body) = ("host: x\r\ncontent-type: application/json", call().to_string());
    let head =
        format!("POST /v1/chat/completions HTTP/1.1\r\n{host}\r\ncontent-length: {}\r\n\r\n", body.len());
    hasty.write_all((head + &body).as_bytes()).await.unwrap();
    await_waiting(&proxy, 1.0).await;
    drop(hasty);
    await_waiting(&proxy, 0.0).await;
    let line = &proxy.await_requests(1).await[0];
    assert_eq!((&line["status"], &line["error"]), (&json!(499), &json!("client_closed")), "{line}");

    let next = post(&proxy);
    await_waiting(&proxy, 1.0).await;
    upstream.release();
    assert_eq!(text(&first.await.unwrap()), "held");
    upstream.await_requests(2, SOON).await;
    upstream.release();
    assert_eq!(text(&next.await.unwrap()), "held");
    assert_eq!(upstream.requests().len(), 2, "who hung up was sent nowhere");
}

#[tokio::test]
async fn a_minutes_allowance_is_not_passed() {
    let upstream = good("ok").await;
    let limits = json!({"requestsPerMinute": 20, "queue": {"size": 10, "timeoutMs": 100}});
    let proxy = Proxy::start(&with_providers(&[limited(upstream.url(), &limits)]), &[]).await;
    let mut refused = None;
    for _ in 0..30 {
        let answer = post_json(&proxy.chat_url(), &call()).await;
        if !answer.status.is_success() {
            refused = Some(answer);
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.json()["error"]["code"], "providers_saturated");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=4).contains(&seconds), "there is room again in about three seconds: {seconds}");
    assert!(upstream.requests().len() < 10, "a tenth at once, then one each three seconds");
}

#[tokio::test]
async fn a_second_candidate_answers_for_a_first_that_is_late_and_both_are_paid() {
    let (late, spare) = (RawUpstream::start([vec![Step::Stall]]).await, good("spare").await);
    let providers = [provider("late", late.url(), 0, 1), provider("spare", spare.url(), 1, 1)];
    let mut document = with_providers(&providers);
    document["routes"]["ai/chat"]["rules"][0]["hedging"] = json!({"delayMs": 100});
    let proxy = Proxy::start(&document, &[]).await;
    let answered = post_json(&proxy.chat_url(), &call()).await;
    assert_eq!(text(&answered), "spare");
    assert_eq!(answered.header("x-llm-provider"), Some("ai/pool/spare"));
    late.await_peer_closed(SOON).await;
    let line = &proxy.await_requests(1).await[0];
    assert_eq!((&line["provider"], &line["attempts"]), (&json!("ai/pool/spare"), &json!(2)), "{line}");
    // The spare's 100 and 7 tokens by its prices, and what the late one has read.
    let cost: f64 = line["cost_usd"].as_str().unwrap().parse().unwrap();
    assert!(cost > 0.000_230 && cost < 0.000_300, "{line}");
    // That it is slow is known, though it never came to answer: it took longer than the spare was waited for.
    let told = proxy.admin("/debug/providers").await.json();
    assert_eq!(
        (&told[0]["provider"], &told[0]["successShare"]),
        (&json!("ai/pool/late"), &json!(1.0)),
        "{told}"
    );
    assert!(told[0]["perTokenMs"].as_f64().unwrap() > 100.0 / 7.0, "{told}");
    let metrics = proxy.admin("/metrics").await;
    let counted = |labels: &str| metrics.text().lines().any(|line| line.starts_with(labels));
    assert!(
        counted(
            "llm_gateway_provider_attempts_total{provider=\"ai/pool/late\",model=\"large\",outcome=\"abandoned\"} 1"
        ),
        "{}",
        metrics.text()
    );
}

#[tokio::test]
async fn a_first_that_fails_while_the_second_is_asked_leaves_the_answer_to_it() {
    let failing =
        RawUpstream::start([vec![Step::Hold, Step::Send(answer(500, &json!({"error": {"message": "x"}})))]])
            .await;
    let second = held("second").await;
    let providers = [provider("failing", failing.url(), 0, 1), provider("second", second.url(), 1, 1)];
    let mut document = with_providers(&providers);
    document["routes"]["ai/chat"]["rules"][0]["hedging"] = json!({"delayMs": 50});
    let proxy = Proxy::start(&document, &[]).await;
    let asked = post(&proxy);
    second.await_requests(1, SOON).await;
    failing.release();
    second.release();
    assert_eq!(text(&asked.await.unwrap()), "second");
    assert_eq!((failing.requests().len(), second.requests().len()), (1, 1));
}

#[tokio::test]
async fn checks_leave_a_dead_provider_alone_before_a_call_waits_and_try_it_again() {
    let (mut dead, spare) = (good("alive").await, good("spare").await);
    dead.die().await;
    let providers = [provider("dead", dead.url(), 0, 1), provider("spare", spare.url(), 1, 1)];
    let mut document = with_providers(&providers);
    document["pools"]["ai/pool"]["healthCheck"] = json!({"intervalMs": 1000});
    document["pools"]["ai/pool"]["circuitBreaker"] = json!({"failures": 1, "recoveryMs": 3000});
    let proxy = Proxy::start(&document, &[]).await;
    let state = async |wanted: &str| {
        let line = format!(
            "llm_gateway_provider_breaker_state{{provider=\"ai/pool/dead\",model=\"large\"}} {wanted}"
        );
        let metrics = proxy.admin("/metrics").await;
        if metrics.text().lines().any(|found| found == line) {
            Ok(())
        } else {
            Err(metrics.text().to_owned())
        }
    };
    eventually("the breaker opens without a call", SOON, async || state("2").await).await;
    assert_eq!(text(&post_json(&proxy.chat_url(), &call()).await), "spare");
    assert_eq!(proxy.await_requests(1).await[0]["attempts"], 1, "no call was sent to the dead one");

    dead.revive().await;
    eventually("the breaker closes without a call", SOON, async || state("0").await).await;
    let check = &dead.requests()[0];
    assert!(check.starts_with("GET /v1/models ") && check.contains("Bearer sk-of-dead"), "{check}");
    assert_eq!(text(&post_json(&proxy.chat_url(), &call()).await), "alive");
}

/// Its list of models is had without the key, as some vendors' is.
#[tokio::test]
async fn a_check_does_not_bring_calls_back_to_a_provider_that_refuses_the_key() {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = mended.clone();
    let denies = RawUpstream::answering(move |request| {
        let answer = if request.starts_with("GET ") {
            answer(200, &json!({"object": "list", "data": []}))
        } else if is_mended.load(SeqCst) {
            answer(200, &completion("mended"))
        } else {
            answer(401, &json!({"error": {"message": "bad key", "type": "invalid_request_error"}}))
        };
        vec![Step::Send(answer)]
    })
    .await;
    let spare = good("spare").await;
    let providers = [provider("denies", denies.url(), 0, 1), provider("spare", spare.url(), 1, 1)];
    let mut document = with_providers(&providers);
    document["pools"]["ai/pool"]["healthCheck"] = json!({"intervalMs": 1000});
    document["pools"]["ai/pool"]["circuitBreaker"] = json!({"failures": 1, "recoveryMs": 200});
    let proxy = Proxy::start(&document, &[]).await;
    assert_eq!(text(&post_json(&proxy.chat_url(), &call()).await), "spare");
    let checks = || denies.requests().iter().filter(|request| request.starts_with("GET ")).count();
    let before = checks();
    eventually("two more checks", SOON, async || match checks() - before {
        2.. => Ok(()),
        few => Err(few.to_string()),
    })
    .await;
    let state = async || {
        let labels = [("provider", "ai/pool/denies"), ("model", "large")];
        proxy.metric("llm_gateway_provider_breaker_state", &labels).await
    };
    assert!(state().await > 0.0, "only a call tells that the key is taken");
    mended.store(true, SeqCst);
    assert_eq!(text(&post_json(&proxy.chat_url(), &call()).await), "mended");
    assert_eq!(state().await, 0.0);
}
