//! Which failures another provider takes over, and which one.

use crate::{
    client::{ask, ask_for},
    providers::{FIRST_TOKEN, MODEL, always, document, failure, good, provider},
};
use harness::{Proxy, RawUpstream, Step, answer, eventually, http::post_json};
use serde_json::{Value, json};
use std::time::Duration;

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

/// What vendors say of a key that is not theirs, of an empty account, and of what an account may not do.
fn refusals() -> [(u16, &'static str, Value, &'static str); 7] {
    let openai = |message: &str, code: &str| json!({"error": {"message": message, "type": code, "param": null, "code": code}});
    let anthropic =
        |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}});
    let key = "refuses the key of this gateway";
    let account = "has no credit for the account of this gateway";
    let broke = "Your credit balance is too low to access the Anthropic API.";
    let wrong = json!({"error": {
        "code": 400, "message": format!("API key {KEY} not valid."), "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
    }});
    [
        (401, "OpenAI", openai(&format!("Incorrect API key provided: {FRAGMENT}."), "invalid_api_key"), key),
        (429, "OpenAI", openai("You exceeded your current quota.", "insufficient_quota"), account),
        (402, "OpenAI", openai("Insufficient Balance", "unknown_error"), account),
        (401, "Anthropic", anthropic("authentication_error", "invalid x-api-key"), key),
        (400, "Anthropic", anthropic("invalid_request_error", broke), account),
        (400, "Gemini", wrong, key),
        (
            403,
            "OpenAI",
            openai("Missing scopes: model.request", "permission_error"),
            "does not let the account of this gateway",
        ),
    ]
}

const KEY: &str = "sk-of-the-gateway";
const FRAGMENT: &str = "sk-of-***********eway";

#[tokio::test]
async fn a_refusal_of_the_gateways_key_is_no_401_for_the_caller_and_tells_no_part_of_it() {
    for (status, kind, said, words) in refusals() {
        let main = always(answer(status, &said)).await;
        let mut only = provider("main", main.url(), 0, MODEL);
        only["upstream"]["kind"] = json!(kind);
        let proxy = Proxy::start(&document(&[only]), &[]).await;
        let call =
            json!({"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]});
        for (url, body) in [(proxy.chat_url(), &call), (format!("{}/v1/messages", proxy.url()), &call)] {
            let refused = post_json(&url, body).await;
            let text = refused.json().to_string();
            assert_eq!(refused.status, 502, "{status} of {kind}: {refused:?}");
            assert!(text.contains(words) && text.contains("ai/pool/main"), "{status} of {kind}: {text}");
            assert!(text.contains("provider_refuses_key"), "{status} of {kind}: {text}");
            assert!(!text.contains("sk-of"), "{text}");
            assert_eq!(refused.header("x-should-retry"), Some("false"), "another try would cost time only");
        }
        assert_eq!(main.requests().len(), 2, "{status} of {kind}: each call asks it once");
        let known = proxy.admin("/debug/providers").await.json()[0].clone();
        assert!(known["lastError"]["message"].as_str().unwrap().contains(words), "{known}");
        let counted = if status == 403 { "refused" } else { "failed" };
        assert_eq!(known["attempts"][counted], 2, "{status} of {kind}: {known}");
        let logged = eventually("it is logged", Duration::from_secs(10), async || {
            let logged = proxy.process.stderr();
            let lines = logged.lines().filter(|line| line.contains("credentials"));
            let lines: Vec<String> = lines.map(str::to_owned).collect();
            if lines.is_empty() { Err(logged) } else { Ok(lines) }
        })
        .await;
        assert_eq!(logged.len(), 1, "{status} of {kind}: told when it is new: {logged:?}");
        assert!(!logged[0].contains(KEY) && !logged[0].contains(FRAGMENT), "{logged:?}");
    }
}

#[tokio::test]
async fn what_a_moderator_says_of_a_call_is_told_to_its_caller() {
    let said = json!({"error": {
        "message": "Your chosen model requires moderation and your input was flagged", "code": 403,
        "metadata": {"reasons": ["violence"], "flagged_input": "Hello", "provider_name": "x"},
    }});
    let (main, spare) = (always(answer(403, &said)).await, good("spare").await);
    let providers = [provider("main", main.url(), 0, MODEL), provider("spare", spare.url(), 1, MODEL)];
    let proxy = Proxy::start(&document(&providers), &[]).await;
    let told = post_json(
        &proxy.chat_url(),
        &json!({"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}),
    )
    .await;
    assert_eq!((told.status.as_u16(), told.json()), (403, said));
    assert_eq!(spare.requests().len(), 0);
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
