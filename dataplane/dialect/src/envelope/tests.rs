//! What is read of a body, what is refused, and what a body looks like when it is sent on.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;

const CHAT: Shape = crate::openai::CHAT_SHAPE;
const PATH: Shape = crate::gemini::BATCH_EMBED_SHAPE;

fn read(body: &str) -> Result<Envelope, Invalid> {
    Envelope::read(&CHAT, body.as_bytes())
}

fn upstream_of(shape: &Shape, body: &str, model: &str) -> String {
    let envelope = Envelope::read(shape, body.as_bytes()).unwrap();
    let sent = envelope.upstream_body(&Bytes::copy_from_slice(body.as_bytes()), model);
    String::from_utf8(sent.to_vec()).unwrap()
}

fn upstream(body: &str, model: &str) -> String {
    upstream_of(&CHAT, body, model)
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
fn a_model_that_the_body_repeats_changes_everywhere() {
    assert_eq!(
        upstream_of(
            &PATH,
            r#"{"model":"models/a","requests":[{"model":"models/a","content":{"model":"x"}},{"y":1},{"model":"models/a"}]}"#,
            "b"
        ),
        r#"{"model":"models/b","requests":[{"model":"models/b","content":{"model":"x"}},{"y":1},{"model":"models/b"}]}"#,
    );
    assert_eq!(
        upstream_of(
            &PATH,
            r#"{"generateContentRequest":{"model":"models/a","contents":[]},"requests":[{}]}"#,
            "b"
        ),
        r#"{"generateContentRequest":{"model":"models/b","contents":[]},"requests":[{}]}"#,
    );
}

#[test]
fn a_stream_asks_for_usage_and_remembers_who_wanted_it() {
    let unsaid = r#"  {"model":"m","messages":[1],"stream":true}"#;
    assert_eq!(
        upstream(unsaid, "m"),
        r#"  {"stream_options":{"include_usage":true},"model":"m","messages":[1],"stream":true}"#,
    );
    assert!(!read(unsaid).unwrap().wants_usage());

    for declined in [r#"{"include_usage":false}"#, "{}", "null"] {
        let body = format!(r#"{{"stream_options":{declined},"model":"m","messages":[1],"stream":true}}"#);
        assert_eq!(
            upstream(&body, "other"),
            r#"{"stream_options":{"include_usage":true},"model":"other","messages":[1],"stream":true}"#,
        );
    }
    for (declined, wished) in [
        (r#"{"x":1,"include_usage": false}"#, r#"{"x":1,"include_usage": true}"#),
        (r#"{ "x":1}"#, r#"{"include_usage":true, "x":1}"#),
        (r#"{"include_usage":null,"x":1}"#, r#"{"include_usage":true,"x":1}"#),
    ] {
        let body = |options: &str| {
            format!(r#"{{"stream_options":{options},"model":"m","messages":[1],"stream":true}}"#)
        };
        assert_eq!(upstream(&body(declined), "m"), body(wished), "other options stay");
    }
    let asked = r#"{"model":"m","messages":[1],"stream":true,"stream_options":{"include_usage":true}}"#;
    assert!(read(asked).unwrap().wants_usage());
}

#[test]
fn what_is_wrong_is_named() {
    let json = |body: &str| matches!(read(body), Err(Invalid::Json { .. }));
    for body in
        ["", "[]", r#"{"model":"m""#, r#"{"model":"m","messages":[1]} x"#, "{\"messages\":[\"\u{1}\"]}"]
    {
        assert!(json(body), "{body}: {:?}", read(body));
    }
    let cases = [
        (r#"{"messages":[1]}"#, "model"),
        (r#"{"model":7,"messages":[1]}"#, "model"),
        (r#"{"model":"m"}"#, "messages"),
        (r#"{"model":"m","messages":[]}"#, "messages"),
        (r#"{"model":"m","messages":"hi"}"#, "messages"),
        (r#"{"model":"m","messages":[1],"stream":"yes"}"#, "stream"),
        (r#"{"model":"m","messages":[1],"stream_options":3}"#, "stream_options"),
        (r#"{"model":"m","model":"n","messages":[1]}"#, "model"),
    ];
    for (body, param) in cases {
        let error = read(body).unwrap_err();
        assert_eq!(error.param(), Some(param), "{body}: {error}");
    }
}

#[test]
fn depth_is_bounded_wherever_it_stands() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    for field in ["messages", "x_unknown"] {
        let body = format!(r#"{{"model":"m","{field}":{}}}"#, deep(100_000));
        assert_eq!(read(&body), Err(Invalid::TooDeep));
    }
    let body = format!(r#"{{"requests":{}}}"#, deep(100_000));
    assert_eq!(Envelope::read(&PATH, body.as_bytes()), Err(Invalid::TooDeep));
    let fine = format!(r#"{{"model":"m","messages":[1],"x":{}}}"#, deep(100));
    assert!(read(&fine).is_ok());
}
