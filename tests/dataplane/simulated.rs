//! Kind Simulated: real enough to try everything without a key.

use crate::documents::{MODEL, text_of, with_providers};
use harness::Proxy;
use harness::http::{Answer, post_json, post_stream};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn simulated(settings: &Value) -> Value {
    let mut upstream = json!({"kind": "Simulated", "latencyMs": 0, "timeToFirstTokenMs": 0, "tokensPerSecond": 100_000, "errorPpm": 0, "errorStatus": 503});
    upstream.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let mut provider = crate::documents::provider("sim", "", 0, 1);
    provider["upstream"] = upstream;
    with_providers(&[provider])
}

fn asking(question: &str) -> Value {
    json!({"model": MODEL, "messages": [{"role": "user", "content": question}]})
}

async fn ask(proxy: &Proxy, question: &str) -> Answer {
    post_json(&proxy.chat_url(), &asking(question)).await
}

fn text(answer: &Answer) -> String {
    answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_seed_makes_answers_repeatable_and_the_prompt_varies_them() {
    let settings = json!({"seed": 7});
    let (one, other) =
        (Proxy::start(&simulated(&settings), &[]).await, Proxy::start(&simulated(&settings), &[]).await);
    let seas = text(&ask(&one, "Tell me of the seas").await);
    assert_eq!(seas, text(&ask(&one, "Tell me of the seas").await));
    assert_eq!(seas, text(&ask(&other, "Tell me of the seas").await), "on every proxy");
    assert_ne!(seas, text(&ask(&one, "Tell me of the hills").await));

    let mut streamed = asking("Tell me of the seas");
    streamed["stream"] = json!(true);
    let events = post_stream(&one.chat_url(), &streamed).await.events().await.unwrap();
    assert_eq!(text_of(&events), seas, "streamed or not");
}

#[tokio::test]
async fn tokens_are_counted_as_openai_counts_them_and_limits_hold() {
    let proxy = Proxy::start(&simulated(&json!({"seed": 7})), &[]).await;
    // 3 for the frame of a message and 3 for the answer's, 1 for the role, and "Hello world" are 2.
    let usage = ask(&proxy, "Hello world").await.json()["usage"].clone();
    assert_eq!(usage["prompt_tokens"], 9, "{usage}");
    let mut limited = asking("Hello world");
    limited["max_tokens"] = json!(3);
    let answer = post_json(&proxy.chat_url(), &limited).await.json();
    assert_eq!(
        (&answer["usage"]["completion_tokens"], &answer["choices"][0]["finish_reason"]),
        (&json!(3), &json!("length"))
    );
    let lines = proxy.await_requests(2).await;
    assert_eq!((&lines[1]["input_tokens"], &lines[1]["output_tokens"]), (&json!(9), &json!(3)));
    // 9 × 2 + 3 × 10 millionths of a dollar.
    assert_eq!(lines[1]["cost_usd"], "0.000048000");
}

#[tokio::test]
async fn time_passes_as_the_manifest_says() {
    let settings = json!({"seed": 7, "latencyMs": 100, "timeToFirstTokenMs": 200, "tokensPerSecond": 20});
    let proxy = Proxy::start(&simulated(&settings), &[]).await;
    let mut streamed = asking("Hello world");
    streamed["stream"] = json!(true);
    streamed["max_tokens"] = json!(5);
    let began = Instant::now();
    let mut stream = post_stream(&proxy.chat_url(), &streamed).await;
    stream.event().await.unwrap().unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(300),
        "latency and time to first token: {:?}",
        began.elapsed()
    );
    stream.events().await.unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(500),
        "and four more tokens at 50 ms: {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn errors_come_at_their_rate_and_on_the_same_calls() {
    let always = Proxy::start(&simulated(&json!({"errorPpm": 1_000_000})), &[]).await;
    let answer = ask(&always, "Hello").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (503, &json!("provider_error")));

    let settings = json!({"errorPpm": 700_000, "seed": 7});
    let pattern = async || {
        let proxy = Proxy::start(&simulated(&settings), &[]).await;
        let mut pattern = Vec::new();
        for _ in 0..40 {
            pattern.push(ask(&proxy, "Hello").await.status.as_u16());
        }
        pattern
    };
    let first = pattern().await;
    // Each call has two tries, so about half of them fail.
    assert!(first.contains(&200) && first.contains(&503), "{first:?}");
    assert_eq!(first, pattern().await);
}

#[tokio::test]
async fn what_it_does_not_do_is_said() {
    let proxy = Proxy::start(&simulated(&json!({})), &[]).await;
    let mut two = asking("Hello");
    two["n"] = json!(2);
    let answer = post_json(&proxy.chat_url(), &two).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["param"]), (400, &json!("n")));
}
