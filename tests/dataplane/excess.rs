//! Providers that do not keep the limit of output that they are given, while a strict budget pays for the call: their
//! streams are ended in their place, and an honest one is never cut however small its pieces are.

use crate::budgets::{budgeted, is_charged, limit};
use crate::documents::{MODEL, chunk, completion, last_chunk, streamed_call, text_of, usage_chunk};
use harness::http::{Answer, json_request, post_json, post_stream, send};
use harness::{Proxy, RawUpstream, Step, answer, sse_end, sse_event, sse_head};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
/// Of each call here.
const MOST: u64 = 64;
/// What a strict budget reserves for so many tokens by the prices of `document`, in USD, without the input.
const RESERVED: f64 = 0.000_64;

/// An API: how it is asked, and how its provider goes on and on.
struct Api {
    kind: &'static str,
    path: String,
    body: Value,
    begin: Vec<Value>,
    /// Some text, which stands for `TEXT`.
    piece: Value,
    /// What the client reads at the end.
    ends: &'static [&'static str],
}

const PIECE: usize = 1_000;

fn apis() -> [Api; 4] {
    let message = json!([{"role": "user", "content": "Hello"}]);
    let text = "all work and no play. ".repeat(PIECE / 22 + 1);
    let chunk: Value = serde_json::from_str(&chunk(&text)).unwrap();
    [
        Api {
            kind: "OpenAI",
            path: "/v1/chat/completions".to_owned(),
            body: json!({"model": MODEL, "max_tokens": MOST, "messages": message, "stream": true}),
            begin: vec![],
            piece: chunk,
            ends: &["\"finish_reason\":\"length\"", "data: [DONE]\n\n"],
        },
        Api {
            kind: "Anthropic",
            path: "/v1/messages".to_owned(),
            body: json!({"model": MODEL, "max_tokens": MOST, "messages": message, "stream": true}),
            begin: vec![
                json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
                    "model": MODEL, "content": [], "stop_reason": null, "stop_sequence": null,
                    "usage": {"input_tokens": 9, "output_tokens": 1}}}),
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            ],
            piece: json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
            ends: &[
                "\"type\":\"content_block_stop\"",
                "\"stop_reason\":\"max_tokens\"",
                "{\"type\":\"message_stop\"}\n\n",
            ],
        },
        Api {
            kind: "Gemini",
            path: format!("/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"),
            body: json!({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
                "generationConfig": {"maxOutputTokens": MOST}}),
            begin: vec![],
            piece: json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}],
                "modelVersion": "gemini", "responseId": "r1"}),
            ends: &["\"finishReason\":\"MAX_TOKENS\""],
        },
        Api {
            kind: "Ollama",
            path: "/api/chat".to_owned(),
            body: json!({"model": MODEL, "messages": message, "options": {"num_predict": MOST}}),
            begin: vec![],
            piece: json!({"model": MODEL, "created_at": "2026-11-26T02:00:00Z",
                "message": {"role": "assistant", "content": text}, "done": false}),
            ends: &["\"done\":true", "\"done_reason\":\"length\""],
        },
    ]
}

impl Api {
    fn frame(&self, data: &Value) -> Vec<u8> {
        match self.kind {
            "Ollama" => {
                let line = format!("{data}\n");
                format!("{:x}\r\n{line}\r\n", line.len()).into_bytes()
            }
            _ => sse_event(&data.to_string()),
        }
    }

    /// A stream that goes on past its limit, and never ends.
    fn endless(&self) -> Vec<Step> {
        let head = String::from_utf8(sse_head()).unwrap();
        let head = if self.kind == "Ollama" {
            head.replace("text/event-stream", "application/x-ndjson")
        } else {
            head
        };
        let begin = self.begin.iter().flat_map(|data| self.frame(data));
        let pieces = (0..100).flat_map(|_| self.frame(&self.piece));
        vec![Step::Send(head.into_bytes().into_iter().chain(begin).chain(pieces).collect()), Step::Stall]
    }

    fn document(&self, url: &str, enforcement: &str) -> Value {
        let mut document =
            budgeted(&[url], &limit("usd", 1_000_000_000), &json!({"enforcement": enforcement}));
        let endpoint = if self.kind == "OpenAI" { format!("{url}/v1") } else { url.to_owned() };
        let upstream = &mut document["pools"]["ai/pool"]["providers"][0]["upstream"];
        *upstream = json!({"kind": self.kind, "endpoint": endpoint, "apiKey": "sk-test"});
        document
    }

    async fn ask(&self, proxy: &Proxy) -> Answer {
        send(json_request(&format!("{}{}", proxy.url(), self.path), &self.body)).await.unwrap()
    }
}

async fn overruns(proxy: &Proxy) -> f64 {
    proxy.metric("llm_gateway_output_overruns_total", &[("route", "ai/chat")]).await
}

#[tokio::test]
async fn a_stream_that_runs_past_what_was_reserved_ends_by_length_in_every_dialect() {
    for api in apis() {
        let upstream = RawUpstream::start([api.endless()]).await;
        let proxy = Proxy::start(&api.document(upstream.url(), "Strict"), &[]).await;
        let read = api.ask(&proxy).await;
        assert_eq!(read.status, 200, "{}: {read:?}", api.kind);
        let text = read.text();
        let end = &text[text.len().saturating_sub(1_500)..];
        for mark in api.ends {
            assert!(end.contains(mark), "{}: {mark} is not in …{end}", api.kind);
        }
        let said = text.matches("all work").count() * 22;
        assert!((64 * 128..).contains(&said), "{}: cut after {said} bytes", api.kind);
        upstream.await_peer_closed(SOON).await;
        is_charged(&proxy, RESERVED..RESERVED * 4.0).await;
        assert_eq!(overruns(&proxy).await, 1.0, "{}", api.kind);
        let line = &proxy.await_requests(1).await[0];
        assert_eq!(line["status"], 200, "{line}");
        assert!(line["error"].is_null(), "{line}");
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.contains("64 were reserved; its stream was ended by the gateway"), "{line}");
    }
}

#[tokio::test]
async fn a_stream_is_cut_as_soon_as_its_provider_counts_too_much_itself_and_pays_what_it_says() {
    let mut counted: Value = serde_json::from_str(&chunk("word")).unwrap();
    counted["usage"] = json!({"prompt_tokens": 10, "completion_tokens": 5_000, "total_tokens": 5_010});
    let events = [sse_head(), sse_event(&chunk("one ")), sse_event(&counted.to_string())];
    let upstream = RawUpstream::start([vec![Step::Send(events.concat()), Step::Stall]]).await;
    let api = &apis()[0];
    let proxy = Proxy::start(&api.document(upstream.url(), "Strict"), &[]).await;
    let read = api.ask(&proxy).await;
    assert!(read.text().contains("word") && read.text().ends_with("data: [DONE]\n\n"), "{read:?}");
    assert!(read.text().contains("\"finish_reason\":\"length\""), "{read:?}");
    is_charged(&proxy, 0.05..0.051).await;
}

#[tokio::test]
async fn without_a_strict_budget_a_stream_goes_on_as_its_provider_likes() {
    let api = &apis()[0];
    let mut steps = api.endless();
    let end = [last_chunk(), usage_chunk(), "[DONE]".to_owned()];
    let end: Vec<u8> = end.iter().flat_map(|event| sse_event(event)).chain(sse_end()).collect();
    steps[1] = Step::Send(end);
    let upstream = RawUpstream::start([steps]).await;
    let proxy = Proxy::start(&api.document(upstream.url(), "Estimated"), &[]).await;
    let read = api.ask(&proxy).await;
    assert_eq!(read.text().matches("\"content\"").count(), 100);
    assert!(read.text().contains("\"finish_reason\":\"stop\""), "{read:?}");
    assert_eq!(overruns(&proxy).await, 0.0);
}

#[tokio::test]
async fn an_honest_provider_that_sends_letter_by_letter_is_not_cut() {
    // Many more pieces, and many more bytes of JSON, than tokens: words of sixteen letters, each one token.
    let word = "responsibilities";
    let pieces = word.chars().cycle().take(16 * MOST as usize);
    let letters: Vec<u8> = pieces.flat_map(|letter| sse_event(&chunk(&letter.to_string()))).collect();
    let end = [last_chunk(), usage_chunk(), "[DONE]".to_owned()];
    let end: Vec<u8> = end.iter().flat_map(|event| sse_event(event)).collect();
    let upstream =
        RawUpstream::start([vec![Step::Send([sse_head(), letters, end, sse_end()].concat())]]).await;
    let proxy = Proxy::start(&apis()[0].document(upstream.url(), "Strict"), &[]).await;
    let mut call = streamed_call();
    call["max_tokens"] = MOST.into();
    let events = post_stream(&proxy.chat_url(), &call).await.events().await.unwrap();
    assert_eq!(text_of(&events), word.repeat(MOST as usize));
    assert!(events.iter().any(|event| event.contains("\"finish_reason\":\"stop\"")), "{:?}", events.last());
    assert_eq!(overruns(&proxy).await, 0.0);
}

#[tokio::test]
async fn a_whole_reply_that_ran_past_is_charged_as_told_and_said_to_have() {
    let mut reply = completion("more than was asked for");
    reply["usage"] = json!({"prompt_tokens": 10, "completion_tokens": 5_000, "total_tokens": 5_010});
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &reply))]]).await;
    let proxy = Proxy::start(&apis()[0].document(upstream.url(), "Strict"), &[]).await;
    let call =
        json!({"model": MODEL, "max_tokens": MOST, "messages": [{"role": "user", "content": "Hello"}]});
    assert!(post_json(&proxy.chat_url(), &call).await.status.is_success());
    is_charged(&proxy, 0.05..0.051).await;
    assert_eq!(overruns(&proxy).await, 1.0);
    let line = &proxy.await_requests(1).await[0];
    assert!(line["reason"].as_str().unwrap().contains("it is charged as told"), "{line}");
}

/// The first of two answers has ended, and the other goes on and on.
#[tokio::test]
async fn the_end_of_one_answer_lets_no_other_run_past() {
    let said = |index: u32, content: &str, finish: Value| {
        let mut event: Value = serde_json::from_str(&chunk(content)).unwrap();
        event["choices"][0]["index"] = index.into();
        event["choices"][0]["finish_reason"] = finish;
        sse_event(&event.to_string())
    };
    let text = "all work and no play. ".repeat(PIECE / 22 + 1);
    let mut events = [sse_head(), said(0, "short", Value::Null), said(0, "", json!("stop"))].concat();
    events.extend((0..100).flat_map(|_| said(1, &text, Value::Null)));
    let upstream = RawUpstream::start([vec![Step::Send(events), Step::Stall]]).await;
    let proxy = Proxy::start(&apis()[0].document(upstream.url(), "Strict"), &[]).await;
    let mut call = streamed_call();
    (call["n"], call["max_tokens"]) = (2.into(), (MOST / 2).into());
    let events = post_stream(&proxy.chat_url(), &call).await.events().await.unwrap();
    upstream.await_peer_closed(SOON).await;
    let ends = events.iter().filter(|event| *event != "[DONE]").filter_map(|event| {
        let event: Value = serde_json::from_str(event).unwrap();
        let choice = event["choices"].get(0)?.clone();
        let reason = choice["finish_reason"].as_str()?.to_owned();
        Some((choice["index"].as_u64()?, reason))
    });
    assert_eq!(ends.collect::<Vec<_>>(), [(0, "stop".to_owned()), (1, "length".to_owned())]);
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    is_charged(&proxy, RESERVED..RESERVED * 4.0).await;
    assert_eq!(overruns(&proxy).await, 1.0);
}
