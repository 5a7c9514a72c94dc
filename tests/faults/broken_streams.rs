//! A stream that breaks in the middle says so in the dialect of whoever asked: no SDK takes it for a whole reply.

use crate::providers::{MODEL, chunk, document, provider};
use harness::{
    Proxy, RawUpstream, Step,
    http::{Answer, json_request, send},
    sse_end, sse_event, sse_head,
};
use serde_json::{Value, json};

/// An API: its path, how it is asked, and where its error stands in the last event.
struct Api {
    name: &'static str,
    path: String,
    body: Value,
    message: &'static str,
}

fn apis() -> [Api; 5] {
    let message = json!([{"role": "user", "content": "Hello"}]);
    let api = |name, path: &str, body, message| Api { name, path: path.to_owned(), body, message };
    [
        api(
            "chat completions",
            "/v1/chat/completions",
            json!({"model": MODEL, "messages": message, "stream": true}),
            "/error/message",
        ),
        api(
            "responses",
            "/v1/responses",
            json!({"model": MODEL, "input": "Hello", "stream": true}),
            "/message",
        ),
        api(
            "messages",
            "/v1/messages",
            json!({"model": MODEL, "max_tokens": 9, "messages": message, "stream": true}),
            "/error/message",
        ),
        api(
            "streamGenerateContent",
            &format!("/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"),
            json!({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}),
            "/error/message",
        ),
        api("Ollama's chat", "/api/chat", json!({"model": MODEL, "messages": message}), "/error"),
    ]
}

/// The data of the last event, or the last line.
fn last(answer: &Answer) -> Value {
    let line = answer.text().lines().rfind(|line| !line.is_empty()).unwrap();
    let data = line.strip_prefix("data:").unwrap_or(line);
    serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

#[tokio::test]
async fn every_dialect_is_told_of_a_stream_that_breaks() {
    let ends = [
        (Step::Reset, "broke off"),
        (Step::Close, "broke off"),
        (Step::Stall, "silent for 500 ms"),
        (
            Step::Send([sse_event("{\"error\": {\"message\": \"overloaded\"}}"), sse_end()].concat()),
            "overloaded",
        ),
    ];
    for (end, says) in ends {
        let begun = [sse_head(), sse_event(&chunk("half of "))].concat();
        let upstream = RawUpstream::start([vec![Step::Send(begun), end]]).await;
        let proxy = Proxy::start(&document(&[provider("main", upstream.url(), 0, MODEL)]), &[]).await;
        for api in apis() {
            let url = format!("{}{}", proxy.url(), api.path);
            let answer = send(json_request(&url, &api.body)).await.unwrap();
            assert_eq!(answer.status, 200, "{}: {answer:?}", api.name);
            assert!(answer.text().contains("half of "), "{}: {answer:?}", api.name);
            let last = last(&answer);
            let told = last.pointer(api.message).and_then(Value::as_str).unwrap_or_default();
            assert!(!told.is_empty(), "{}: {last}", api.name);
            assert!(answer.text().contains(says), "{}: {says} is not in {answer:?}", api.name);
        }
        assert_eq!(upstream.requests().len(), apis().len(), "no other attempt: {says}");
    }
}
