//! What a caller may get wrong: each is refused in OpenAI's shape, says what to change, reaches no provider, and is
//! counted.

use crate::documents::{MODEL, call, completion, document};
use bytes::Bytes;
use harness::http::{Answer, get, json_request, post_json, send};
use harness::{Proxy, RawUpstream, Step, answer};
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn upstream() -> RawUpstream {
    RawUpstream::start([vec![Step::Send(answer(200, &completion("unexpected")))]]).await
}

async fn refused_body(proxy: &Proxy, body: impl Into<Bytes>) -> Answer {
    let mut request = json_request(&proxy.chat_url(), &Value::Null);
    *request.body_mut() = body.into();
    send(request).await.unwrap()
}

/// Asserts status, `type`, `code` and `param`, and gives the message.
fn refusal(answer: &Answer, status: u16, code: &str, param: Option<&str>) -> String {
    let body = answer.json();
    assert_eq!(answer.status.as_u16(), status, "{body}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let kind = match status {
        503 => "service_unavailable_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    assert_eq!(body["error"]["type"], kind, "{body}");
    assert_eq!(body["error"]["code"], code, "{body}");
    assert_eq!(body["error"]["param"], param.map_or(Value::Null, Value::from), "{body}");
    body["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_bad_body_is_refused_with_what_is_wrong_with_it() {
    let upstream = upstream().await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &["--max-body-bytes", "2000"]).await;
    let deep = |levels: usize| {
        format!(
            r#"{{"model":"large","messages":[{{"role":"user"}}],"x":{}{}}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };

    let said = refusal(&refused_body(&proxy, r#"{"model":"large","#).await, 400, "invalid_json", None);
    assert!(said.contains("line 1"), "{said}");
    refusal(&refused_body(&proxy, "").await, 400, "invalid_json", None);
    refusal(&refused_body(&proxy, "[1]").await, 400, "invalid_json", None);
    refusal(&refused_body(&proxy, "{} {}").await, 400, "invalid_json", None);
    refusal(&refused_body(&proxy, &b"{\"model\":\"\xff\"}"[..]).await, 400, "invalid_json", None);
    refusal(&refused_body(&proxy, deep(500)).await, 400, "request_too_deep", None);

    let field = |answer: &Answer, code: &str, param: &str| refusal(answer, 400, code, Some(param));
    let messages = json!([{"role": "user", "content": "x"}]);
    let post = async |body: Value| post_json(&proxy.chat_url(), &body).await;
    field(&post(json!({"messages": messages})).await, "missing_required_parameter", "model");
    field(&post(json!({"model": MODEL})).await, "missing_required_parameter", "messages");
    field(&post(json!({"model": 7, "messages": messages})).await, "invalid_value", "model");
    field(&post(json!({"model": MODEL, "messages": []})).await, "invalid_value", "messages");
    field(&post(json!({"model": MODEL, "messages": "x"})).await, "invalid_value", "messages");
    field(
        &post(json!({"model": MODEL, "messages": messages, "stream": "yes"})).await,
        "invalid_value",
        "stream",
    );
    let twice = r#"{"model":"large","model":"small","messages":[{"role":"user"}]}"#;
    field(&refused_body(&proxy, twice).await, "invalid_value", "model");

    let said = refusal(&refused_body(&proxy, "x".repeat(2001)).await, 413, "request_too_large", None);
    assert!(said.contains("2000 bytes"), "{said}");
    assert_eq!(upstream.requests(), [""; 0]);
    assert_eq!(proxy.metric("llm_gateway_requests_total", &[("status_class", "4xx")]).await, 14.0);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_cut_off_at_the_limit() {
    let upstream = upstream().await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &["--max-body-bytes", "2000"]).await;
    let mut socket = TcpStream::connect(proxy.url().trim_start_matches("http://")).await.unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("3e8\r\n{}\r\n", " ".repeat(1000));
    let mut reply = Vec::new();
    loop {
        // The proxy may close while we still write: that is the point.
        let wrote = socket.write_all(chunk.as_bytes()).await;
        match tokio::time::timeout(std::time::Duration::from_millis(20), socket.read_buf(&mut reply)).await {
            Ok(Ok(1..)) => break,
            Ok(_) => panic!("closed without a word"),
            Err(_) => wrote.unwrap(),
        }
    }
    while !reply.ends_with(b"}}") {
        assert_ne!(socket.read_buf(&mut reply).await.unwrap(), 0, "the answer comes whole");
    }
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 413 ") && reply.contains("request_too_large"), "{reply}");
}

#[tokio::test]
async fn a_request_for_something_else_is_told_what_there_is() {
    let upstream = upstream().await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;

    let mut request = json_request(&proxy.chat_url(), &call());
    request.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    let said = refusal(&send(request).await.unwrap(), 415, "unsupported_content_type", None);
    assert!(said.contains("application/json") && said.contains("text/plain"), "{said}");
    let mut request = json_request(&proxy.chat_url(), &call());
    request.headers_mut().remove(header::CONTENT_TYPE);
    refusal(&send(request).await.unwrap(), 415, "unsupported_content_type", None);

    let path = format!("{}/v1/completion", proxy.url());
    let said = refusal(&post_json(&path, &call()).await, 404, "unknown_url", None);
    assert!(said.contains("/v1/completion") && said.contains("/v1/chat/completions"), "{said}");
    let request = Request::builder().method(Method::PUT).uri(proxy.chat_url()).body(Bytes::new()).unwrap();
    let answer = send(request).await.unwrap();
    refusal(&answer, 405, "method_not_allowed", None);
    assert_eq!(answer.header("allow"), Some("POST"));

    let mut typo = call();
    typo["model"] = json!("Lrage");
    let said = refusal(&post_json(&proxy.chat_url(), &typo).await, 404, "model_not_found", Some("model"));
    assert!(said.contains("'Lrage'") && said.contains("Did you mean large?"), "{said}");
    typo["model"] = json!("x".repeat(10_000));
    let said = refusal(&post_json(&proxy.chat_url(), &typo).await, 404, "model_not_found", Some("model"));
    assert!(said.len() < 300, "what a caller sends is not echoed at length: {said}");
    assert_eq!(upstream.requests(), [""; 0]);
}

#[tokio::test]
async fn without_a_route_the_caller_is_told_so() {
    let proxy = Proxy::start(&json!({}), &[]).await;
    let said = refusal(&post_json(&proxy.chat_url(), &call()).await, 404, "model_not_found", Some("model"));
    assert!(said.contains("no LLMRoute"), "{said}");
    let models = get(&format!("{}/v1/models", proxy.url())).await;
    assert_eq!((models.status, models.json()), (StatusCode::OK, json!({"object": "list", "data": []})));
}

#[tokio::test]
async fn a_pool_without_a_usable_provider_is_named() {
    let proxy = Proxy::start(&document(&[]), &[]).await;
    let said = refusal(&post_json(&proxy.chat_url(), &call()).await, 503, "no_provider", None);
    assert!(said.contains("ai/chat"), "{said}");
}
