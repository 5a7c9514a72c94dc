//! Which provider gets a call, and what of the call it gets.

use crate::documents::{
    MODEL, call, chunk, completion, document, last_chunk, provider, streamed_call, usage_chunk,
    with_providers,
};
use harness::http::{get, json_request, post_json, post_stream, send};
use harness::{Proxy, RawUpstream, Step, answer, sse_end, sse_event, sse_head};
use http::header;
use serde_json::{Value, json};

async fn good() -> RawUpstream {
    RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await
}

fn stream() -> Vec<u8> {
    let events = [chunk("hel"), chunk("lo"), last_chunk(), usage_chunk(), "[DONE]".to_owned()];
    [sse_head(), events.iter().flat_map(|event| sse_event(event)).collect(), sse_end()].concat()
}

fn body_of(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn a_call_passes_byte_by_byte_but_for_the_model_and_the_keys() {
    let upstream = good().await;
    let mut document = document(&[upstream.url()]);
    document["pools"]["ai/pool"]["providers"][0]["models"][0]["upstreamName"] =
        json!("vendor/large-\"2026\"");
    let proxy = Proxy::start(&document, &[]).await;

    let body = "{ \"temperature\":1.10 , \"x_own\":{\"b\":1e300,\"a\":[\"\\u00e9\",null]},\n \"model\" : \"la\\u0072ge\", \"messages\":[{\"content\":\"Hi\",\"role\":\"user\"}] , \"seed\":12345678901234567890}";
    let mut request = json_request(&proxy.chat_url(), &Value::Null);
    *request.body_mut() = body.into();
    request.headers_mut().insert(header::AUTHORIZATION, "Bearer sk-of-the-caller".parse().unwrap());
    request.headers_mut().insert("x-platform-secret", "s".parse().unwrap());
    request
        .headers_mut()
        .insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap());
    let reply = send(request).await.unwrap();
    assert_eq!(reply.json(), completion("hello"), "so does the answer");

    let sent = &upstream.requests()[0];
    assert_eq!(body_of(sent), body.replace("\"la\\u0072ge\"", "\"vendor/large-\\\"2026\\\"\""));
    let head = sent.split_once("\r\n\r\n").unwrap().0.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/chat/completions http/1.1"), "{head}");
    assert!(head.contains("authorization: bearer sk-of-p0") && !head.contains("sk-of-the-caller"), "{head}");
    assert!(head.contains("traceparent: 00-0af7") && !head.contains("x-platform-secret"), "{head}");
}

#[tokio::test]
async fn usage_is_asked_for_in_every_stream_and_shown_to_who_asked() {
    let upstream = RawUpstream::start([vec![Step::Send(stream())]]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let hidden = post_stream(&proxy.chat_url(), &streamed_call()).await.events().await.unwrap();
    assert_eq!(hidden, [chunk("hel"), chunk("lo"), last_chunk(), "[DONE]".to_owned()]);
    let mut asking = streamed_call();
    asking["stream_options"] = json!({"include_usage": true});
    let shown = post_stream(&proxy.chat_url(), &asking).await.events().await.unwrap();
    assert_eq!(shown, [chunk("hel"), chunk("lo"), last_chunk(), usage_chunk(), "[DONE]".to_owned()]);

    let wished: Value = serde_json::from_str(body_of(upstream.requests()[0].as_str())).unwrap();
    assert_eq!(wished["stream_options"], json!({"include_usage": true}));
    for line in proxy.await_requests(2).await {
        assert_eq!((&line["input_tokens"], &line["output_tokens"]), (&json!(100), &json!(7)), "{line}");
        assert_eq!(
            (&line["cost_usd"], &line["estimated"]),
            (&json!(crate::documents::COST), &Value::Null),
            "{line}"
        );
    }
}

#[tokio::test]
async fn calls_are_shared_by_weight() {
    let (often, seldom) = (good().await, good().await);
    let providers = [provider("often", often.url(), 0, 3), provider("seldom", seldom.url(), 0, 1)];
    let proxy = Proxy::start(&with_providers(&providers), &[]).await;
    for _ in 0..400 {
        assert!(post_json(&proxy.chat_url(), &call()).await.status.is_success());
    }
    // 300 are expected; by chance alone it is over 60 off once in some 10^11 runs.
    let often = often.requests().len();
    assert!((240..=360).contains(&often), "{often} of 400");
    assert_eq!(often + seldom.requests().len(), 400);
}

#[tokio::test]
async fn backends_share_a_model_and_one_of_weight_0_gets_nothing() {
    let (a, b, idle) = (good().await, good().await, good().await);
    let pool = |url: &str| json!({"providers": [provider("p", url, 0, 1)]});
    let backend = |pool: &str, weight: u32| json!({"pool": pool, "models": [MODEL], "weight": weight});
    let document = json!({
        "routes": {"ai/chat": {"rules": [{
            "models": [MODEL, "alias"],
            "backends": [backend("ai/a", 1), backend("ai/b", 1), backend("ai/idle", 0)],
            "timeouts": {"requestMs": 20_000, "idleMs": 20_000},
        }]}},
        "pools": {"ai/a": pool(a.url()), "ai/b": pool(b.url()), "ai/idle": pool(idle.url())},
    });
    let proxy = Proxy::start(&document, &[]).await;
    let mut by_alias = call();
    by_alias["model"] = json!("alias");
    for _ in 0..60 {
        assert!(post_json(&proxy.chat_url(), &by_alias).await.status.is_success());
    }
    assert!(!a.requests().is_empty() && !b.requests().is_empty());
    assert_eq!(idle.requests().len(), 0);
    let sent: Value = serde_json::from_str(body_of(&a.requests()[0])).unwrap();
    assert_eq!(sent["model"], MODEL, "the alias is the platform's own");
    let models = get(&format!("{}/v1/models", proxy.url())).await.json();
    let ids: Vec<&str> =
        models["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["alias", MODEL]);
}

#[tokio::test]
async fn connections_to_a_provider_are_used_again() {
    let upstream = good().await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &["--workers", "1"]).await;
    for _ in 0..10 {
        assert!(post_json(&proxy.chat_url(), &call()).await.status.is_success());
    }
    assert_eq!(upstream.connections(), 1);
}
