//! What an operator of the platform sees: metrics, the request log, health, the configuration in force.

use crate::documents::{COST, call, completion, document, with_providers};
use harness::http::post_json;
use harness::{Proxy, RawUpstream, Step, answer};
use serde_json::json;

#[tokio::test]
async fn calls_tokens_and_cost_are_counted_exactly() {
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    let proxy = Proxy::start(&document(&[upstream.url()]), &[]).await;
    for _ in 0..3 {
        assert!(post_json(&proxy.chat_url(), &call()).await.status.is_success());
    }
    post_json(&proxy.chat_url(), &json!({"model": "nope", "messages": [{"role": "user"}]})).await;
    let series = [("route", "ai/chat"), ("provider", "ai/pool/p0"), ("model", "large")];
    let ok = [series.as_slice(), &[("status_class", "2xx")]].concat();
    assert_eq!(proxy.metric("llm_gateway_requests_total", &ok).await, 3.0);
    assert_eq!(
        proxy.metric("llm_gateway_requests_total", &[("route", ""), ("status_class", "4xx")]).await,
        1.0
    );
    assert_eq!(proxy.metric("llm_gateway_input_tokens_total", &series).await, 300.0);
    assert_eq!(proxy.metric("llm_gateway_output_tokens_total", &series).await, 21.0);
    assert_eq!(proxy.metric("llm_gateway_cost_usd_total", &series).await, 0.00069);
    assert_eq!(proxy.metric("llm_gateway_request_duration_ms_count", &series).await, 3.0);
    let exposition = proxy.admin("/metrics").await;
    assert!(exposition.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(!exposition.text().contains("nope"), "what callers send makes no labels");
    assert!(exposition.text().ends_with("# EOF\n"));

    let lines = proxy.await_requests(4).await;
    let line = &lines[0];
    assert_eq!(
        (&line["route"], &line["provider"], &line["model"]),
        (&json!("ai/chat"), &json!("ai/pool/p0"), &json!("large"))
    );
    assert_eq!(
        (&line["status"], &line["caller"], &line["cost_usd"]),
        (&json!(200), &json!("127.0.0.1"), &json!(COST))
    );
    assert_eq!(
        (&line["input_tokens"], &line["output_tokens"], &line["attempts"]),
        (&json!(100), &json!(7), &json!(1))
    );
    assert!(line["first_byte_ms"].as_f64().unwrap() <= line["duration_ms"].as_f64().unwrap(), "{line}");
    assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    let line = &lines[3];
    assert_eq!(
        (&line["status"], &line["error"], &line["model"]),
        (&json!(404), &json!("model_not_found"), &json!("nope"))
    );
}

#[tokio::test]
async fn the_configuration_is_shown_without_its_keys() {
    let mut document = document(&["http://127.0.0.1:1"]);
    document["pools"]["ai/pool"]["providers"][0]["upstream"]["headers"] = json!({"x-key": "sk-of-a-header"});
    let hash = "0a".repeat(32);
    document["callers"] =
        json!({"shown": {"anonymous": true, "keys": [{"name": "partner", "sha256": &hash}]}});
    let proxy = Proxy::start(&document, &[]).await;
    let shown = proxy.admin("/debug/config").await;
    let mut expected = document;
    expected["pools"]["ai/pool"]["providers"][0]["upstream"]["apiKey"] = json!("[redacted]");
    expected["pools"]["ai/pool"]["providers"][0]["upstream"]["headers"]["x-key"] = json!("[redacted]");
    expected["callers"]["shown"]["keys"][0]["sha256"] = json!("[redacted]");
    assert_eq!(shown.json(), expected);
    assert_eq!(proxy.admin("/livez").await.status, 200);
    assert_eq!(proxy.admin("/nowhere").await.status, 404);
    assert!(!proxy.process.output().contains("sk-of"), "{}", proxy.process.output());
}

#[tokio::test]
async fn a_key_that_can_not_be_sent_is_refused_without_being_shown() {
    let mut provider = crate::documents::provider("p", "http://127.0.0.1:1", 0, 1);
    provider["upstream"]["apiKey"] = json!("sk-secret\nline");
    let scratch = harness::Scratch::new("bad-key");
    let file = scratch.write("config.json", with_providers(&[provider]).to_string());
    let mut command = std::process::Command::new(harness::program("llm-proxy"));
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"]).arg(file);
    let process = harness::Process::start(&command);
    assert_eq!(process.exited(std::time::Duration::from_secs(10)).await.code(), Some(1));
    assert!(process.stderr().contains("apiKey: must be printable"), "{}", process.stderr());
    assert!(!process.stderr().contains("sk-secret"), "{}", process.stderr());
}
