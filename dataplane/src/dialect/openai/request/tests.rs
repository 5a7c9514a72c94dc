//! What is decoded, what is refused, and what a body looks like when it is sent on.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;

fn decode(body: &str) -> Result<ChatRequest, Error> {
    ChatRequest::decode(body.as_bytes())
}

fn upstream(body: &str, model: &str) -> String {
    let sent = decode(body).unwrap().upstream_body(&Bytes::copy_from_slice(body.as_bytes()), model);
    String::from_utf8(sent.to_vec()).unwrap()
}

#[test]
fn a_body_passes_through_untouched_when_nothing_must_change() {
    let body = r#" { "x_unknown":1.00e2, "model" : "gpt", "messages":[{"role":"user","content":"hi"}] }"#;
    assert_eq!(upstream(body, "gpt"), body);
    let streamed =
        r#"{"model":"gpt","stream":true,"stream_options":{"include_usage":true,"x":1},"messages":[1]}"#;
    assert_eq!(upstream(streamed, "gpt"), streamed);
}

#[test]
fn only_the_models_name_changes_when_the_provider_knows_another() {
    assert_eq!(
        upstream(r#"{"messages":[{"model":"inner"}],"model":"a\u0062c","n":1}"#, "gpt-\"4\""),
        r#"{"messages":[{"model":"inner"}],"model":"gpt-\"4\"","n":1}"#,
    );
}

#[test]
fn a_stream_asks_for_usage_and_remembers_who_wanted_it() {
    let unsaid = r#"  {"model":"m","messages":[1],"stream":true}"#;
    assert_eq!(
        upstream(unsaid, "m"),
        r#"  {"stream_options":{"include_usage":true},"model":"m","messages":[1],"stream":true}"#,
    );
    assert!(decode(unsaid).unwrap().hides_usage());

    for declined in [r#"{"include_usage":false}"#, "{}", "null"] {
        let body = format!(r#"{{"stream_options":{declined},"model":"m","messages":[1],"stream":true}}"#);
        assert_eq!(
            upstream(&body, "other"),
            r#"{"stream_options":{"include_usage":true},"model":"other","messages":[1],"stream":true}"#,
        );
    }
    let asked = r#"{"model":"m","messages":[1],"stream":true,"stream_options":{"include_usage":true}}"#;
    assert!(!decode(asked).unwrap().hides_usage());
    assert!(!decode(r#"{"model":"m","messages":[1]}"#).unwrap().hides_usage());
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        ("", "invalid_json", None),
        ("[]", "invalid_json", None),
        (r#"{"model":"m""#, "invalid_json", None),
        (r#"{"model":"m","messages":[1]} x"#, "invalid_json", None),
        ("{\"model\":\"m\",\"messages\":[\"\u{1}\"]}", "invalid_json", None),
        (r#"{"messages":[1]}"#, "missing_required_parameter", Some("model")),
        (r#"{"model":7,"messages":[1]}"#, "invalid_value", Some("model")),
        (r#"{"model":"m"}"#, "missing_required_parameter", Some("messages")),
        (r#"{"model":"m","messages":[]}"#, "invalid_value", Some("messages")),
        (r#"{"model":"m","messages":"hi"}"#, "invalid_value", Some("messages")),
        (r#"{"model":"m","messages":[1],"stream":"yes"}"#, "invalid_value", Some("stream")),
        (r#"{"model":"m","messages":[1],"stream_options":3}"#, "invalid_value", Some("stream_options")),
        (r#"{"model":"m","model":"n","messages":[1]}"#, "invalid_value", Some("model")),
    ];
    for (body, code, param) in cases {
        let error = decode(body).unwrap_err();
        assert_eq!((error.code(), error.param()), (code, param), "{body}: {error}");
    }
}

#[test]
fn depth_is_bounded_wherever_it_stands() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    for field in ["messages", "x_unknown"] {
        let body = format!(r#"{{"model":"m","{field}":{}}}"#, deep(100_000));
        assert_eq!(decode(&body).unwrap_err().code(), "request_too_deep");
    }
    let fine = format!(r#"{{"model":"m","messages":[1],"x":{}}}"#, deep(100));
    assert!(decode(&fine).is_ok());
}
