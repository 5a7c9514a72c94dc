//! What a reply says of how it came about.

use crate::documents::{
    MODEL, call, chunk, completion, document, last_chunk, streamed_call, text_of, usage_chunk,
};
use harness::http::{json_request, post_json, send};
use harness::{Proxy, RawUpstream, Step, answer, sse_end, sse_event, sse_head};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn streaming() -> RawUpstream {
    let events = [chunk("hel"), chunk("lo"), last_chunk(), usage_chunk(), "[DONE]".to_owned()];
    let stream = [sse_head(), events.iter().flat_map(|event| sse_event(event)).collect(), sse_end()].concat();
    RawUpstream::start([vec![Step::Send(stream)]]).await
}

/// A call in bytes, and all bytes of its answer.
async fn raw(proxy: &Proxy, headers: &str, body: &Value) -> String {
    let address = proxy.url().strip_prefix("http://").unwrap();
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let body = body.to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn every_reply_names_who_answered_and_what_it_took() {
    let broken = RawUpstream::start([
        vec![Step::Close],
        vec![Step::Send(answer(200, &completion("hello")))],
        vec![Step::Send(answer(400, &json!({"error": {"message": "no"}})))],
    ])
    .await;
    let proxy = Proxy::start(&document(&[broken.url()]), &[]).await;
    let good = post_json(&proxy.chat_url(), &call()).await;
    let header = |name: &str| good.header(name).unwrap_or_else(|| panic!("no {name}: {good:?}")).to_owned();
    assert_eq!((header("x-llm-provider").as_str(), header("x-llm-model").as_str()), ("ai/pool/p0", MODEL));
    // `COST`, and the 16 tokens, about, of the question that the one who closed has read and may bill.
    assert_eq!(header("x-llm-cost-usd"), "0.000262000");
    assert_eq!(header("x-llm-retries"), "1");
    header("x-llm-latency-ms").parse::<u64>().unwrap();
    let line = &proxy.await_requests(1).await[0];
    assert_eq!(line["request_id"], header("x-llm-request-id"), "the log has the same");
    assert_eq!(good.header("x-llm-routing"), None, "nobody asked");
    assert_eq!(good.json(), completion("hello"), "and the body is the provider's own");

    let refused = post_json(&proxy.chat_url(), &call()).await;
    assert_eq!((refused.status.as_u16(), refused.header("x-llm-provider")), (400, Some("ai/pool/p0")));
    let unknown = post_json(&proxy.chat_url(), &json!({"model": "none", "messages": [{}]})).await;
    assert!(unknown.status == 404 && unknown.header("x-llm-request-id").is_some(), "{unknown:?}");
}

#[tokio::test]
async fn who_asks_is_told_the_decision_in_the_body_and_in_a_header() {
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let mut request = json_request(&proxy.chat_url(), &call());
    request.headers_mut().insert("x-llm-explain", "true".parse().unwrap());
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.headers_mut().insert("traceparent", trace.parse().unwrap());
    let told = send(request).await.unwrap();
    assert_eq!(told.header("x-llm-routing"), Some("strategy=Weighted rule=ai/chat/0; ai/pool/p0/large"));
    let mut body = told.json();
    let gateway = body.as_object_mut().unwrap().remove("llm_gateway").unwrap();
    assert_eq!(body, completion("hello"));
    assert_eq!((&gateway["provider"], &gateway["model"]), (&json!("ai/pool/p0"), &json!(MODEL)));
    // 60 fresh tokens at 2, 40 cached at 1, 7 out at 10, in millionths of a USD.
    assert_eq!(
        gateway["cost"],
        json!({"inputCost": 0.000_16, "outputCost": 0.000_07, "totalCost": 0.000_23, "currency": "USD"})
    );
    let metadata = &gateway["metadata"];
    assert_eq!((&metadata["retryCount"], &metadata["cacheStatus"]), (&json!(0), &json!("disabled")));
    assert_eq!(metadata["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(metadata["routingDecision"]["winner"], json!({"provider": "ai/pool/p0", "model": MODEL}));
    assert_eq!(metadata["routingDecision"]["candidates"][0]["provider"], "ai/pool/p0");
}

#[tokio::test]
async fn who_asks_is_told_the_decision_of_a_refusal_too() {
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    let mut document = document(&[upstream.url()]);
    document["pools"]["ai/pool"]["providers"][0]["upstream"]["kind"] = json!("Anthropic");
    let proxy = Proxy::start(&document, &[]).await;
    let mut wishful = call();
    wishful["logit_bias"] = json!({"1": 2});
    let asked = async |explain: &str| {
        let mut request = json_request(&proxy.chat_url(), &wishful);
        request.headers_mut().insert("x-llm-explain", explain.parse().unwrap());
        send(request).await.unwrap()
    };
    let told = asked("true").await;
    let (status, mut body) = (told.status.as_u16(), told.json());
    let decision = body["llm_gateway"]["metadata"]["routingDecision"].take();
    assert_eq!((status, &body["error"]["param"]), (400, &json!("logit_bias")));
    let candidate = &decision["candidates"][0];
    assert_eq!(
        (&candidate["provider"], &decision["winner"]),
        (&json!("ai/pool/p0"), &Value::Null),
        "{decision}"
    );
    let why = "it can't be told of all that the call asks";
    assert_eq!(candidate["excluded"], why);
    assert!(told.header("x-llm-routing").unwrap().ends_with(&format!("ai/pool/p0/large excluded: {why}")));
    assert!(asked("false").await.json().get("llm_gateway").is_none());
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn a_stream_tells_at_its_end_what_it_knows_only_there() {
    let upstream = streaming().await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let plain = raw(&proxy, "", &streamed_call()).await;
    assert!(plain.contains("x-llm-provider: ai/pool/p0") && !plain.contains("x-llm-cost-usd"), "{plain}");
    assert!(plain.ends_with("0\r\n\r\n"), "no trailers: {plain}");

    let trailing = raw(&proxy, "te: trailers\r\n", &streamed_call()).await;
    let (head, rest) = trailing.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("trailer: x-llm-cost-usd, x-llm-latency-ms"), "{head}");
    let trailers = rest.rsplit_once("\r\n0\r\n").unwrap().1;
    assert!(trailers.contains(&format!("x-llm-cost-usd: {}", crate::documents::COST)), "{trailing}");

    let explained = raw(&proxy, "x-llm-explain: true\r\n", &streamed_call()).await;
    let comment = explained.lines().find_map(|line| line.strip_prefix(": llm_gateway ")).unwrap();
    let gateway: Value = serde_json::from_str(comment).unwrap();
    assert!(explained.contains("x-llm-routing: strategy=Weighted"), "{explained}");
    assert_eq!(gateway["cost"]["totalCost"], json!(0.000_23), "{gateway}");
    assert!(explained.find("[DONE]").unwrap() < explained.find(": llm_gateway").unwrap(), "it is the last");
    let mut request = json_request(&proxy.chat_url(), &streamed_call());
    request.headers_mut().insert("x-llm-explain", "true".parse().unwrap());
    let events = harness::http::open(request).await.unwrap().events().await.unwrap();
    assert_eq!(text_of(&events), "hello", "a client of events does not see it");
}

#[tokio::test]
async fn who_called_and_what_for_is_logged_and_errors_are_counted_by_their_code() {
    let upstream = RawUpstream::start([vec![Step::Close]]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    let mut request = json_request(&proxy.chat_url(), &call());
    request.headers_mut().insert("x-llm-user", "someone".parse().unwrap());
    request.headers_mut().insert("x-llm-project", "search".parse().unwrap());
    assert_eq!(send(request).await.unwrap().status, 502);
    let line = &proxy.await_requests(1).await[0];
    assert_eq!((&line["user"], &line["project"]), (&json!("someone"), &json!("search")), "{line}");
    assert_eq!(line["feature"], Value::Null);
    let metrics = proxy.admin("/metrics").await;
    for wanted in [
        "llm_gateway_request_errors_total{code=\"provider_closed\"} 1",
        "llm_gateway_provider_failures_total{provider=\"ai/pool/p0\",model=\"large\",reason=\"provider_closed\"} 2",
    ] {
        assert!(metrics.text().lines().any(|line| line == wanted), "{wanted}\n{}", metrics.text());
    }
}
