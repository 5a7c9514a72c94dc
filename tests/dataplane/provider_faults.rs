//! What a provider may do wrong: the caller gets an answer in its dialect, another try is made while that is possible,
//! and what was generated is metered.

use crate::documents::{
    MODEL, call, chunk, completion, document, last_chunk, provider, streamed_call, text_of, usage_chunk,
    with_providers, with_timeouts,
};
use harness::http::{Answer, post_json, post_stream};
use harness::{Proxy, RawUpstream, Step, answer, free_port, sse_end, sse_event, sse_head};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

async fn scripted(script: Vec<Step>) -> RawUpstream {
    RawUpstream::start([script]).await
}

async fn good(text: &str) -> RawUpstream {
    scripted(vec![Step::Send(answer(200, &completion(text)))]).await
}

fn text(answer: &Answer) -> String {
    answer.json()["choices"][0]["message"]["content"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer:?}"))
        .to_owned()
}

/// The last event of a stream that broke: an error as OpenAI's SDKs read it.
fn error_code(events: &[String]) -> String {
    let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    last["error"]["code"].as_str().unwrap_or_else(|| panic!("{last}")).to_owned()
}

#[tokio::test]
async fn a_provider_that_refuses_connections_is_told_as_unreachable() {
    let url = format!("http://127.0.0.1:{}", free_port());
    let proxy = Proxy::start(&document(&[&url]), &[]).await;
    let answer = post_json(&proxy.chat_url(), &call()).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["error"]["code"]),
        (502, &json!("provider_unreachable"))
    );
    let line = &proxy.await_requests(1).await[0];
    assert_eq!((&line["attempts"], &line["cost_usd"]), (&json!(2), &json!("0.000000000")), "{line}");
}

#[tokio::test]
async fn a_provider_that_does_not_answer_in_time_is_given_up() {
    let upstream = scripted(vec![Step::Stall]).await;
    let proxy = Proxy::start(&with_timeouts(document(&[upstream.url()]), 300, 20_000), &[]).await;
    let answer = post_json(&proxy.chat_url(), &call()).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (504, &json!("provider_timeout")));
    upstream.await_peer_closed(SOON).await;
    assert_eq!(upstream.requests().len(), 1, "the time is up: no other try");
}

#[tokio::test]
async fn a_provider_that_closes_before_it_answers_is_tried_once_more() {
    let upstream = scripted(vec![Step::Close]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let closed = post_json(&proxy.chat_url(), &call()).await;
    assert_eq!((closed.status.as_u16(), &closed.json()["error"]["code"]), (502, &json!("provider_closed")));
    assert_eq!(upstream.requests().len(), 2);

    let upstream =
        RawUpstream::start([vec![Step::Reset], vec![Step::Send(answer(200, &completion("again")))]]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    assert_eq!(text(&post_json(&proxy.chat_url(), &call()).await), "again");
}

#[tokio::test]
async fn another_provider_takes_over_and_the_lower_tier_only_then() {
    let overloaded = scripted(vec![Step::Send(answer(503, &json!({"error": {"message": "busy"}})))]).await;
    let spare = good("spare").await;
    let providers = [provider("main", overloaded.url(), 0, 1), provider("spare", spare.url(), 1, 1000)];
    let proxy = Proxy::start(&with_providers(&providers), &[]).await;
    for _ in 0..5 {
        assert_eq!(text(&post_json(&proxy.chat_url(), &call()).await), "spare");
    }
    assert_eq!(
        (overloaded.requests().len(), spare.requests().len()),
        (5, 5),
        "each begins at the first tier"
    );
    let line = &proxy.await_requests(5).await[4];
    assert_eq!((&line["provider"], &line["attempts"]), (&json!("ai/pool/spare"), &json!(2)), "{line}");
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_byte_is_taken_over() {
    let broken = scripted(vec![Step::Send(sse_head()), Step::Close]).await;
    let events =
        [sse_head(), sse_event(&chunk("spare")), sse_event(&last_chunk()), sse_event("[DONE]"), sse_end()];
    let spare = scripted(vec![Step::Send(events.concat())]).await;
    let providers = [provider("main", broken.url(), 0, 1), provider("spare", spare.url(), 1, 1)];
    let proxy = Proxy::start(&with_providers(&providers), &[]).await;
    let events = post_stream(&proxy.chat_url(), &streamed_call()).await.events().await.unwrap();
    assert_eq!(text_of(&events), "spare");
}

#[tokio::test]
async fn garbage_in_the_middle_of_a_stream_is_not_taken_for_its_end() {
    let events = [sse_head(), sse_event(&chunk("one ")), sse_event("<html>oops</html>"), sse_end()];
    let upstream = scripted(vec![Step::Send(events.concat())]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let events = post_stream(&proxy.chat_url(), &streamed_call()).await.events().await.unwrap();
    assert_eq!(text_of(&events[..1]), "one ");
    assert!(events.last().unwrap().contains("\"code\":\"stream_broken\""), "{events:?}");

    // A caller of another dialect is told what can't be read, in the words of its own.
    let asked = json!({"model": MODEL, "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let messages = format!("{}/v1/messages", proxy.url());
    let events = post_stream(&messages, &asked).await.events().await.unwrap();
    let last: serde_json::Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!("api_error")), "{events:?}");
    assert_eq!(proxy.await_requests(2).await[1]["error"], "provider_bad_reply");
}

#[tokio::test]
async fn what_the_provider_says_of_an_error_passes_and_is_not_asked_again() {
    let bad_request = json!({"error": {"message": "temperature is too high", "type": "invalid_request_error", "param": "temperature", "code": null}});
    let upstream = scripted(vec![Step::Send(answer(400, &bad_request))]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let passed = post_json(&proxy.chat_url(), &call()).await;
    assert_eq!((passed.status.as_u16(), passed.json()), (400, bad_request));
    assert_eq!(upstream.requests().len(), 1);

    let limited = b"HTTP/1.1 429 Too Many\r\nretry-after: 7\r\nx-ratelimit-remaining-requests: 0\r\nx-internal: secret\r\ncontent-length: 16\r\ncontent-type: application/json\r\n\r\n{\"error\":{\"a\":1}".to_vec();
    let limited = [&limited[..], b"}"].concat();
    let limited =
        String::from_utf8(limited).unwrap().replace("content-length: 16", "content-length: 17").into_bytes();
    let upstream = scripted(vec![Step::Send(limited)]).await;
    // The seven seconds would go beyond the deadline of the call.
    let proxy = Proxy::start(&with_timeouts(document(&[upstream.url()]), 5_000, 5_000), &[]).await;
    let passed = post_json(&proxy.chat_url(), &call()).await;
    assert_eq!(passed.status.as_u16(), 429);
    assert_eq!(passed.header("retry-after"), Some("7"), "the SDKs wait for it");
    assert_eq!(passed.header("x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(passed.header("x-internal"), None);
    assert_eq!(upstream.requests().len(), 1, "who limits rates is not asked again at once");
}

#[tokio::test]
async fn garbage_is_not_passed_on() {
    let html =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>".to_vec();
    for script in [html, answer(200, &json!("a string")), b"SSH-2.0-OpenSSH\r\n".to_vec()] {
        let upstream = scripted(vec![Step::Send(script), Step::Close]).await;
        let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
        for call in [call(), streamed_call()] {
            let answer = post_json(&proxy.chat_url(), &call).await;
            let code = answer.json()["error"]["code"].as_str().unwrap().to_owned();
            assert!(
                answer.status == 502 && ["provider_bad_reply", "provider_closed"].contains(&&*code),
                "{answer:?}"
            );
        }
    }
    let html =
        b"HTTP/1.1 500 Oops\r\ncontent-type: text/html\r\ncontent-length: 13\r\n\r\n<html></html>".to_vec();
    let upstream = scripted(vec![Step::Send(html)]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let answer = post_json(&proxy.chat_url(), &call()).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (500, &json!("provider_error")));
}

#[tokio::test]
async fn a_stream_that_is_cut_off_ends_with_an_error_event_and_is_metered() {
    let begun = [sse_head(), sse_event(&chunk("one ")), sse_event(&chunk("two"))].concat();
    for (i, end) in [Step::Close, Step::Reset].into_iter().enumerate() {
        let upstream = scripted(vec![Step::Send(begun.clone()), Step::Hold, end]).await;
        let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
        let mut stream = post_stream(&proxy.chat_url(), &streamed_call()).await;
        let mut events = vec![stream.event().await.unwrap().unwrap(), stream.event().await.unwrap().unwrap()];
        assert_eq!(text_of(&events), "one two", "nothing is held back");
        upstream.release();
        events.extend(stream.events().await.unwrap());
        assert_eq!(error_code(&events), "stream_broken", "{i}: {events:?}");
        let line = &proxy.await_requests(1).await[0];
        assert_eq!((&line["status"], &line["error"]), (&json!(502), &json!("stream_broken")), "{line}");
        assert_eq!((&line["output_tokens"], &line["estimated"]), (&json!(2), &json!(true)), "{line}");
        assert_ne!(line["cost_usd"], "0.000000000", "{line}");
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_saying_so_is_told_as_broken() {
    let upstream =
        scripted(vec![Step::Send([sse_head(), sse_event(&chunk("half")), sse_end()].concat())]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let events = post_stream(&proxy.chat_url(), &streamed_call()).await.events().await.unwrap();
    assert_eq!(error_code(&events), "stream_broken");
}

#[tokio::test]
async fn silence_in_the_middle_of_a_stream_is_cut_short() {
    let upstream =
        scripted(vec![Step::Send([sse_head(), sse_event(&chunk("one"))].concat()), Step::Stall]).await;
    let proxy = Proxy::start(&with_timeouts(document(&[upstream.url()]), 20_000, 300), &[]).await;
    let events = post_stream(&proxy.chat_url(), &streamed_call()).await.events().await.unwrap();
    assert_eq!(error_code(&events), "stream_idle");
    upstream.await_peer_closed(SOON).await;

    let drip =
        Step::Drip([sse_event(&chunk("a")), sse_event(&chunk("b"))].concat(), Duration::from_millis(40));
    let upstream = scripted(vec![Step::Send([sse_head(), sse_event(&chunk("one"))].concat()), drip]).await;
    let proxy = Proxy::start(&with_timeouts(document(&[upstream.url()]), 700, 20_000), &[]).await;
    let events = post_stream(&proxy.chat_url(), &streamed_call()).await.events().await.unwrap();
    assert_eq!(error_code(&events), "stream_deadline");
}

#[tokio::test]
async fn an_event_of_a_mebibyte_passes_and_one_without_end_does_not() {
    let long = "x".repeat(1024 * 1024);
    let events = [
        sse_head(),
        sse_event(&chunk(&long)),
        sse_event(&last_chunk()),
        sse_event(&usage_chunk()),
        sse_event("[DONE]"),
        sse_end(),
    ];
    let upstream = scripted(vec![Step::Send(events.concat())]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let events = post_stream(&proxy.chat_url(), &streamed_call()).await.events().await.unwrap();
    assert!(text_of(&events) == long);

    let endless = sse_event(&"x".repeat(5 * 1024 * 1024));
    let upstream =
        scripted(vec![Step::Send([sse_head(), sse_event(&chunk("one")), endless].concat()), Step::Stall])
            .await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let mut stream = post_stream(&proxy.chat_url(), &streamed_call()).await;
    assert_eq!(text_of(&[stream.event().await.unwrap().unwrap()]), "one");
    let events = stream.events().await.unwrap();
    assert_eq!(error_code(&events), "provider_bad_reply");
    upstream.await_peer_closed(SOON).await;
}

/// OpenAI's API counts no tokens: the gateway does.
#[tokio::test]
async fn a_count_that_no_provider_was_asked_for_says_nothing_of_any() {
    let upstream = scripted(vec![Step::Stall]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let url = format!("{}/v1/messages/count_tokens", proxy.url());
    let counted = post_json(&url, &call()).await;
    assert_eq!((counted.status.as_u16(), counted.header("x-llm-tokens")), (200, Some("estimated")));
    assert!(counted.json()["input_tokens"].as_u64().unwrap() > 0, "{counted:?}");
    assert_eq!(upstream.requests().len(), 0);
    for outcome in ["answered", "failed", "abandoned"] {
        let labels = [("provider", "ai/pool/p0"), ("outcome", outcome)];
        assert_eq!(
            proxy.metric("llm_gateway_provider_attempts_total", &labels).await,
            0.0,
            "as if it had {outcome}"
        );
    }
}

/// Till then the next provider could have taken the call.
#[tokio::test]
async fn signs_of_life_reach_a_client_that_has_waited_for_long() {
    let said = [sse_event(&chunk("x")), sse_event(&last_chunk()), sse_event("[DONE]"), sse_end()].concat();
    let comment = ": still thinking\n\n";
    let alive = [sse_head(), format!("{:x}\r\n{comment}\r\n", comment.len()).into_bytes()].concat();
    let slow = RawUpstream::start([vec![Step::Send(alive), Step::Hold, Step::Send(said)]]).await;
    let other = RawUpstream::start([vec![Step::Send(answer(200, &completion("other")))]]).await;
    let providers = [provider("slow", slow.url(), 0, 1), provider("other", other.url(), 1, 1)];
    let proxy = Proxy::start(&with_providers(&providers), &[]).await;
    let begun = async {
        let mut stream = post_stream(&proxy.chat_url(), &streamed_call()).await;
        let first = stream.chunk().await.unwrap().unwrap();
        (stream, first)
    };
    let (mut stream, first) = tokio::time::timeout(Duration::from_secs(30), begun).await.unwrap();
    assert_eq!(first, comment, "and nothing more has been said");
    slow.release();
    assert_eq!(stream.events().await.unwrap().last().unwrap(), "[DONE]");
    assert!(other.requests().is_empty());
}
