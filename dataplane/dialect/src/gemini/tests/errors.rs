//! Errors, both ways; and model lists.

use super::*;
use crate::{FaultKind, api::ListedModel};

fn fault(status: u16, body: &Value) -> Fault {
    read_error(status, body.to_string().as_bytes())
}

#[test]
fn an_error_is_read_with_its_details() {
    let body = json!({"error": {
        "code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"},
        ],
    }});
    let expected = Fault {
        kind: FaultKind::RateLimit,
        status: 429,
        message: "Quota exceeded.".to_owned(),
        code: None,
        param: None,
        retry_after: Some(35),
    };
    assert_eq!(fault(429, &body), expected);
    assert_eq!(fault(429, &json!([body])), expected);
}

#[test]
fn a_bad_key_is_a_matter_of_authentication() {
    let read = fault(
        400,
        &json!({"error": {
            "code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT",
            "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
        }}),
    );
    assert_eq!((read.kind, read.status), (FaultKind::Authentication, 400));
    assert_eq!(read.code.as_deref(), Some("API_KEY_INVALID"));
}

#[test]
fn a_word_is_a_code_where_it_says_more_than_the_kind() {
    let code = |status, word: &str| fault(status, &json!({"error": {"message": "m", "status": word}})).code;
    assert_eq!(code(503, "UNAVAILABLE"), None);
    assert_eq!(code(400, "FAILED_PRECONDITION").as_deref(), Some("FAILED_PRECONDITION"));
    assert_eq!(code(409, "ABORTED").as_deref(), Some("ABORTED"));
}

#[test]
fn kinds_follow_the_word_and_then_the_status() {
    let kind = |status, word: &str| fault(status, &json!({"error": {"message": "m", "status": word}})).kind;
    assert_eq!(kind(400, "INVALID_ARGUMENT"), FaultKind::InvalidRequest);
    assert_eq!(kind(413, "INVALID_ARGUMENT"), FaultKind::TooLarge);
    assert_eq!(kind(403, "PERMISSION_DENIED"), FaultKind::Permission);
    assert_eq!(kind(404, "NOT_FOUND"), FaultKind::NotFound);
    assert_eq!(kind(503, "UNAVAILABLE"), FaultKind::Overloaded);
    assert_eq!(kind(504, "DEADLINE_EXCEEDED"), FaultKind::Timeout);
    assert_eq!(kind(500, "INTERNAL"), FaultKind::Server);
    assert_eq!(kind(499, "CANCELLED"), FaultKind::InvalidRequest);
}

#[test]
fn anything_at_all_gives_a_fault() {
    for body in ["", "<html>", "[]", "null", "{\"error\":", "[{},{}]", "{\"x\":1}"] {
        let read = read_error(503, body.as_bytes());
        assert_eq!((read.kind, read.status), (FaultKind::Overloaded, 503));
        assert!(!read.message.is_empty());
        assert!(!is_error_body(body.as_bytes()));
    }
    assert_eq!(read_error(500, br#"{"error":"plain"}"#).message, "plain");
    assert_eq!(read_error(500, br#"{"error":{"message":7,"details":7}}"#).status, 500);
    assert!(read_error(500, &[b'x'; 10_000]).message.len() <= 500);
}

#[test]
fn an_error_is_written_as_the_vendor_does_and_read_again_the_same() {
    let written = Fault {
        kind: FaultKind::RateLimit,
        status: 429,
        message: "Slow down.".to_owned(),
        code: Some("rate_limit_exceeded".to_owned()),
        param: Some("contents".to_owned()),
        retry_after: Some(7),
    };
    let body = error_body(&written);
    assert_eq!(value(&body)["error"]["status"], "RESOURCE_EXHAUSTED");
    assert!(is_error_body(&body));
    assert!(body.starts_with(b"{\"error\":"));
    assert_eq!(read_error(429, &body), written);
    let overloaded = Fault::of_status(529, "Overloaded");
    assert_eq!(
        value(&error_body(&overloaded)),
        json!({"error": {
            "code": 503, "message": "Overloaded", "status": "UNAVAILABLE",
        }})
    );
}

#[test]
fn an_error_in_a_stream_is_its_last_frame() {
    let broken = Fault::of_status(500, "Broke.");
    let body = String::from_utf8(error_body(&broken).to_vec()).unwrap();
    assert_eq!(SSE.error_event(&broken), format!("data: {body}\n\n"));
    assert_eq!(ARRAY.error_event(&broken), format!(",{body}\n]\n"));
}

#[test]
fn models_are_listed_by_what_they_can_do() {
    let chat = ListedModel {
        name: "fast".to_owned(),
        route: "a/b".to_owned(),
        chat: true,
        embeddings: false,
        max_output_tokens: Some(8192),
    };
    let embedder = ListedModel { chat: false, embeddings: true, max_output_tokens: None, ..chat.clone() };
    let listed = json!({
        "name": "models/fast", "displayName": "fast",
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
        "outputTokenLimit": 8192,
    });
    assert_eq!(value(&model(&chat)), listed);
    let list = value(&model_list(&[chat, embedder]));
    assert_eq!(list["models"][0], listed);
    let methods = json!(["embedContent", "batchEmbedContents"]);
    assert_eq!(list["models"][1]["supportedGenerationMethods"], methods);
}
