//! Errors, read and written.

use serde_json::{Value, json};

use crate::{
    CallerApi, Dialect, Fault, FaultKind,
    anthropic::{Messages, error_body, is_error_body, read_error},
};

fn body(kind: &str) -> Vec<u8> {
    json!({"type": "error", "error": {"type": kind, "message": "Why"}, "request_id": "req_1"})
        .to_string()
        .into_bytes()
}

#[test]
fn every_type_of_error_keeps_its_meaning() {
    for (status, word, kind) in [
        (400, "invalid_request_error", FaultKind::InvalidRequest),
        (401, "authentication_error", FaultKind::Authentication),
        (402, "billing_error", FaultKind::Billing),
        (403, "permission_error", FaultKind::Permission),
        (404, "not_found_error", FaultKind::NotFound),
        (413, "request_too_large", FaultKind::TooLarge),
        (429, "rate_limit_error", FaultKind::RateLimit),
        (500, "api_error", FaultKind::Server),
        (504, "timeout_error", FaultKind::Timeout),
        (529, "overloaded_error", FaultKind::Overloaded),
    ] {
        let fault = read_error(status, &body(word));
        assert_eq!((fault.kind, fault.status, fault.message.as_str()), (kind, status, "Why"));
        assert_eq!(fault.code, None, "the kind says it");
        let written: Value = serde_json::from_slice(&error_body(&fault)).unwrap();
        assert_eq!(
            written,
            json!({"type": "error", "error": {"type": word, "message": "Why"}, "request_id": null})
        );
        assert!(is_error_body(&error_body(&fault)));
    }
}

#[test]
fn who_has_no_money_left_is_told_from_who_asks_wrongly() {
    let sent = json!({"type": "error", "error": {"type": "invalid_request_error",
        "message": "Your credit balance is too low to access the Anthropic API."}});
    assert_eq!(read_error(400, sent.to_string().as_bytes()).kind, FaultKind::Billing);
}

#[test]
fn codes_are_kept_both_ways() {
    let sent = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "M",
        "details": {"error_code": "ramp_limit_exceeded"}}});
    let fault = read_error(429, sent.to_string().as_bytes());
    assert_eq!(fault.code.as_deref(), Some("ramp_limit_exceeded"));
    let written: Value = serde_json::from_slice(&error_body(&fault)).unwrap();
    assert_eq!(written["error"], sent["error"]);
}

#[test]
fn callers_of_another_dialect_get_their_own_codes() {
    let code = |status, word| {
        let written = Dialect::OpenAI.error_body(&read_error(status, &body(word)));
        serde_json::from_slice::<Value>(&written).unwrap()["error"]["code"].clone()
    };
    assert_eq!(code(429, "rate_limit_error"), "rate_limit_exceeded");
    assert_eq!(code(402, "billing_error"), "insufficient_quota");
    assert_eq!(code(503, "of_tomorrow"), "of_tomorrow");
}

#[test]
fn any_body_gives_a_fault_with_its_status() {
    let page = format!("<html>{}", "x".repeat(9000));
    for (status, body, kind) in [
        (502, page.as_bytes(), FaultKind::Server),
        (429, b"".as_slice(), FaultKind::RateLimit),
        (404, b"[1]", FaultKind::NotFound),
        (400, br#"{"type":"error","error":null}"#, FaultKind::InvalidRequest),
        (503, br#"{"error":{"type":"of_tomorrow","message":null}}"#, FaultKind::Overloaded),
    ] {
        let fault = read_error(status, body);
        assert_eq!((fault.kind, fault.status), (kind, status));
        assert!(fault.message.len() <= 500);
    }
}

#[test]
fn only_the_vendors_errors_are_taken_for_such() {
    assert!(is_error_body(&body("api_error")));
    for body in ["", "{}", "[]", r#"{"error":{"message":"m","type":"t"}}"#, r#"{"type":"error","error":{}}"#]
    {
        assert!(!is_error_body(body.as_bytes()), "{body}");
    }
}

#[test]
fn a_stream_breaks_with_an_event_of_its_own() {
    let fault = Fault::of_status(503, "Gone");
    assert_eq!(
        Messages.error_event(&fault).as_ref(),
        b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Gone\"},\"request_id\":null}\n\n"
    );
}
