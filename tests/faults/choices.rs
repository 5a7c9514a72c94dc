//! Which failures another provider takes over, and which one.

use crate::{
    client::{ask, ask_for},
    providers::{FIRST_TOKEN, MODEL, always, document, failure, good, provider},
};
use harness::{Proxy, RawUpstream, Step, answer};
use serde_json::{Value, json};

#[tokio::test]
async fn without_fallback_a_call_keeps_to_its_first_choice() {
    let (main, spare) = (always(failure(500, "ill")).await, good("spare").await);
    let providers = [provider("main", main.url(), 0, MODEL), provider("spare", spare.url(), 1, MODEL)];
    let mut document = document(&providers);
    document["routes"]["ai/chat"]["rules"][0]["fallback"] = json!(false);
    let proxy = Proxy::start(&document, &[]).await;
    for streamed in [false, true] {
        assert_eq!(ask(&proxy, streamed).await.failed(), Some((500, "ill")));
    }
    assert_eq!((main.requests().len(), spare.requests().len()), (4, 0), "two attempts of each call");
}

#[tokio::test]
async fn a_stream_that_does_not_begin_in_time_is_handed_over() {
    let (main, spare) = (RawUpstream::start([vec![Step::Stall]]).await, good("spare").await);
    let alone = provider("main", main.url(), 0, MODEL);
    let proxy =
        Proxy::start(&document(&[alone.clone(), provider("spare", spare.url(), 1, MODEL)]), &[]).await;
    let got = ask(&proxy, true).await;
    assert_eq!(got.text(), "spare");
    assert!(got.took >= FIRST_TOKEN, "{got:?}");

    let proxy = Proxy::start(&document(&[alone]), &[]).await;
    assert_eq!(ask(&proxy, true).await.failed(), Some((504, "provider_first_token_timeout")));
}

#[tokio::test]
async fn a_whole_reply_that_takes_too_long_is_handed_over_where_the_route_says_so() {
    let (main, spare) = (RawUpstream::start([vec![Step::Stall]]).await, good("spare").await);
    let alone = provider("main", main.url(), 0, MODEL);
    for (providers, expected) in [
        (vec![alone.clone(), provider("spare", spare.url(), 1, MODEL)], None),
        (vec![alone], Some((504, "provider_attempt_timeout"))),
    ] {
        let mut document = document(&providers);
        document["routes"]["ai/chat"]["rules"][0]["timeouts"]["attemptMs"] = json!(200);
        let proxy = Proxy::start(&document, &[]).await;
        let got = ask(&proxy, false).await;
        match expected {
            None => assert_eq!(got.text(), "spare"),
            expected => assert_eq!(got.failed(), expected),
        }
    }
}

#[tokio::test]
async fn a_revoked_key_is_no_fault_of_the_caller() {
    for status in [401, 402] {
        let (main, spare) = (always(failure(status, "no_key")).await, good("spare").await);
        let providers = [provider("main", main.url(), 0, MODEL), provider("spare", spare.url(), 1, MODEL)];
        let proxy = Proxy::start(&document(&providers), &[]).await;
        for streamed in [false, true] {
            assert_eq!(ask(&proxy, streamed).await.text(), "spare", "{status}");
        }
        assert_eq!(main.requests().len(), 2, "each call asks it once");
    }
}

#[tokio::test]
async fn a_mistake_of_the_caller_is_told_and_not_tried_elsewhere() {
    for status in [400, 413, 422] {
        let (main, spare) = (always(failure(status, "bad_call")).await, good("spare").await);
        let providers = [provider("main", main.url(), 0, MODEL), provider("spare", spare.url(), 1, MODEL)];
        let proxy = Proxy::start(&document(&providers), &[]).await;
        for streamed in [false, true] {
            assert_eq!(ask(&proxy, streamed).await.failed(), Some((status, "bad_call")));
        }
        assert_eq!((main.requests().len(), spare.requests().len()), (2, 0), "{status}");
    }
}

/// What vendors say of a call that is longer than the model reads.
fn too_long() -> [(&'static str, Value); 2] {
    let openai = json!({"error": {
        "message": "This model's maximum context length is 8000 tokens.",
        "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded",
    }});
    let anthropic = json!({"type": "error", "error": {
        "type": "invalid_request_error", "message": "prompt is too long: 9001 tokens > 8000 maximum",
    }});
    [("OpenAI", openai), ("Anthropic", anthropic)]
}

fn with_window(mut provider: Value, tokens: u64) -> Value {
    provider["models"][0]["contextWindow"] = json!(tokens);
    provider
}

#[tokio::test]
async fn a_call_too_long_for_one_model_goes_to_a_larger_one_and_to_none_smaller() {
    for (kind, said) in too_long() {
        let main = always(answer(400, &said)).await;
        let (smaller, same, larger) = (good("smaller").await, good("same").await, good("larger").await);
        let mut first = with_window(provider("main", main.url(), 0, MODEL), 8_000);
        first["upstream"]["kind"] = json!(kind);
        let all = [
            first,
            with_window(provider("smaller", smaller.url(), 1, MODEL), 4_000),
            with_window(provider("same", same.url(), 2, MODEL), 8_000),
            with_window(provider("larger", larger.url(), 3, MODEL), 128_000),
        ];
        let proxy = Proxy::start(&document(&all), &[]).await;
        for streamed in [false, true] {
            assert_eq!(ask(&proxy, streamed).await.text(), "larger", "{kind}");
        }
        let asked = [&main, &smaller, &same, &larger].map(|upstream| upstream.requests().len());
        assert_eq!(asked, [2, 0, 0, 2], "{kind}");

        let proxy = Proxy::start(&document(&all[..3]), &[]).await;
        let got = ask_for(&proxy.chat_url(), MODEL, "Hello", false).await;
        assert_eq!(got.failed().map(|(status, _)| status), Some(400), "{kind}: nobody is larger");
        assert_eq!(main.requests().len(), 3, "{kind}: it would say so again");
    }
}
