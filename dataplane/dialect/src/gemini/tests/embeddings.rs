//! Embeddings, from both ends.

use super::*;
use crate::{
    EmbeddingCaller, EmbeddingProvider,
    embedding::{Input, Reply, Request},
};

fn content(text: &str) -> Value {
    json!({"parts": [{"text": text}]})
}

fn embed(caller: &dyn EmbeddingCaller, body: &Value) -> Request {
    caller.read_request(body.to_string().as_bytes()).unwrap()
}

#[test]
fn one_text_is_read_with_its_wishes() {
    let request = embed(
        &Embed,
        &json!({
            "model": "models/e", "content": content("x"), "task_type": "RETRIEVAL_DOCUMENT", "title": "t",
            "outputDimensionality": 256,
        }),
    );
    assert_eq!(request.inputs, [Input::Text("x".to_owned())]);
    assert_eq!((request.task.as_deref(), request.title.as_deref()), (Some("RETRIEVAL_DOCUMENT"), Some("t")));
    assert_eq!((request.dimensions, request.single), (Some(256), true));
    assert!(request.leftovers.is_empty());
}

#[test]
fn a_batch_comes_out_the_same_for_a_provider() {
    let one = |text: &str| json!({"model": "models/e", "content": content(text), "taskType": "CLUSTERING", "outputDimensionality": 3});
    let body = json!({"requests": [one("a"), one("b")]});
    let request = embed(&BatchEmbed, &body);
    let written = BatchEmbed.write_request(&request, ProviderModel { name: "e", max_output_tokens: None });
    assert_eq!(value(&written), body);
    assert!(BatchEmbed.limits().check(&request).is_ok());
}

#[test]
fn what_has_no_place_is_left_by_its_path() {
    let request = embed(
        &BatchEmbed,
        &json!({"requests": [
            {"content": content("a"), "taskType": "CLUSTERING"},
            {"content": {"parts": [{"inlineData": {}}]}, "taskType": "RETRIEVAL_QUERY", "x": 1},
            {"content": content("c")},
        ]}),
    );
    let left: Vec<_> = request.leftovers.iter().map(|left| left.field.as_str()).collect();
    let expected =
        ["requests[1].content.parts[0].inlineData", "requests[1].x", "requests[1].taskType", "taskType"];
    assert_eq!(left, expected);
    assert!(BatchEmbed.limits().check(&request).is_err());
    let missing = BatchEmbed.read_request(br#"{"requests":[{}]}"#).unwrap_err();
    assert_eq!(missing.param(), Some("requests[0].content"));
}

#[test]
fn vectors_are_read_and_written() {
    let body =
        br#"{"embeddings":[{"values":[0.1,-2]},{"values":[3.5]}],"usageMetadata":{"promptTokenCount":4}}"#;
    let reply = BatchEmbed.read_reply(body).unwrap();
    let vectors = vec![vec![0.1, -2.0], vec![3.5]];
    assert_eq!(reply, Reply { model: String::new(), vectors, input_tokens: Some(4) });
    assert_eq!(embed_usage(body).unwrap().map(|usage| usage.input), Some(4));
    assert_eq!(embed_usage(b"{}"), Ok(None));
    assert!(embed_usage(b"[]").is_err());
    assert!(BatchEmbed.read_reply(b"{}").is_err());
    let request = Request::default();
    let batch = BatchEmbed.write_reply(&reply, &request, &context());
    assert_eq!(
        batch,
        r#"{"embeddings":[{"values":[0.1,-2.0]},{"values":[3.5]}],"usageMetadata":{"promptTokenCount":4}}"#,
    );
    let one = Embed.write_reply(&Reply { input_tokens: None, ..reply }, &request, &context());
    assert_eq!(one, r#"{"embedding":{"values":[0.1,-2.0]}}"#);
}
