//! What passes by from providers that speak the API, errors, and refusals in the caller's words.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::{Value, json};

use super::*;
use crate::Dialect;
use crate::{
    envelope::Envelope,
    gather::Gather,
    limits::{Limits, Takes},
    tap::Tap,
};

static TAPPED: Marks = MARKS;

fn tapped(stream: &str) -> (Option<Usage>, bool) {
    let mut seen = Vec::new();
    for cut in 1..=stream.len() {
        let mut tap = Tap::new(&TAPPED, true);
        let mut out = Gather::default();
        for piece in stream.as_bytes().chunks(cut) {
            tap.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
        }
        let ended = tap.end(&mut out);
        assert_eq!(out.take(), stream.as_bytes());
        seen.push((tap.usage(), ended));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    seen[0]
}

#[test]
fn a_stream_passes_by_with_its_usage_and_its_end() {
    let begin = concat!(
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n",
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",",
        "\"delta\":\"{\\\"type\\\":\\\"response.completed\\\",\\\"usage\\\":{}}\"}\n\n",
    );
    assert_eq!(tapped(begin), (None, false));
    let usage = r#"{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":17}"#;
    let counted = Usage { input: 10, cached_input: 4, cache_write: 0, output: 7, reasoning: 3 };
    for (kind, colon) in
        [("response.completed", ":"), ("response.incomplete", ": "), ("response.failed", " : ")]
    {
        let end = format!("data: {{\"type\"{colon}\"{kind}\",\"response\":{{\"usage\":{usage}}}}}\n\n");
        assert_eq!(tapped(&format!("{begin}{end}")), (Some(counted), true), "{kind}");
    }
}

#[test]
fn usage_is_read_of_a_whole_reply() {
    let read = |body: &str| (MARKS.usage_of_reply)(body.as_bytes());
    let usage = Usage { input: 1, output: 2, ..Usage::default() };
    let body =
        r#"{"object":"response","usage":{"input_tokens":1,"output_tokens":2,"input_tokens_details":null}}"#;
    assert_eq!(read(body), Ok(Some(usage)));
    assert_eq!(read(r#"{"object":"response"}"#), Ok(None));
    assert!(read("<html>").is_err());
    assert!(read("[]").is_err());
}

#[test]
fn the_envelope_takes_input_in_any_form() {
    for body in [
        r#"{"model":"m","input":"hi"}"#,
        r#"{"model":"m","input":[{"role":"user","content":"hi"}],"stream":false}"#,
        r#"{"model":"m","prompt":{"id":"p"}}"#,
    ] {
        let envelope = Envelope::read(&SHAPE, body.as_bytes()).unwrap();
        assert_eq!((envelope.model.as_ref(), envelope.stream), ("m", false));
        let body = Bytes::from(body.replace("\"stream\":false", "\"stream\":true"));
        assert_eq!(Envelope::read(&SHAPE, &body).unwrap().upstream_body(&body, "m"), body);
    }
    assert!(Envelope::read(&SHAPE, br#"{"input":"hi"}"#).is_err());
}

#[test]
fn an_error_event_is_read_by_the_types_and_raised_by_the_sdks() {
    let mut fault = Fault::of_status(500, "It broke.");
    fault.code = Some("boom".into());
    let frame = String::from_utf8(Responses.error_event(&fault).to_vec()).unwrap();
    let data = frame.strip_prefix("event: error\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let top =
        json!({"type": "error", "sequence_number": 0, "code": "boom", "message": "It broke.", "param": null});
    for (name, value) in top.as_object().unwrap() {
        assert_eq!(&data[name], value, "{name}");
    }
    assert_eq!(data["error"]["message"], "It broke.");
    assert_eq!(data["error"]["code"], "boom");
    assert!(Dialect::OpenAI.is_error_body(&Dialect::OpenAI.error_body(&fault)));
}

#[test]
fn what_a_provider_cannot_do_is_refused_in_the_callers_words() {
    let nothing = Limits {
        kind: "None",
        max_temperature: 1.0,
        top_k: false,
        penalties: false,
        stop: 0,
        seed: false,
        choices: 1,
        json_object: false,
        json_schema: false,
        reasoning: false,
        logprobs: false,
        tools: false,
        tool_choice: false,
        serial_tool_calls: false,
        image: Takes::NOTHING,
        audio: Takes::NOTHING,
        video: Takes::NOTHING,
        document: Takes::INLINE,
        user: true,
    };
    let tool = json!([{"type": "function", "name": "f", "parameters": {}}]);
    let content = |part: Value| json!([{"role": "user", "content": [part]}]);
    for (field, value, refused) in [
        ("temperature", json!(1.5), "temperature"),
        ("text", json!({"format": {"type": "json_object"}}), "text.format"),
        ("reasoning", json!({"effort": "low"}), "reasoning"),
        ("top_logprobs", json!(1), "top_logprobs"),
        ("tools", tool, "tools"),
        ("tool_choice", json!("required"), "tool_choice"),
        ("conversation", json!("conv_1"), "conversation"),
        ("input", content(json!({"type": "input_image", "image_url": "https://x"})), "input_image"),
        ("input", content(json!({"type": "input_file", "file_url": "https://x"})), "input_file"),
    ] {
        let mut body = json!({"model": "m", "input": "hi"});
        body[field] = value;
        let request = Responses.read_request(body.to_string().as_bytes()).unwrap();
        let refusal = nothing.check(&request, &Responses).unwrap_err();
        assert_eq!(refusal.field, refused);
    }
    let serial = Limits { tools: true, ..nothing };
    let body =
        json!({"input": "hi", "tools": [{"type": "function", "name": "f"}], "parallel_tool_calls": false});
    let request = Responses.read_request(body.to_string().as_bytes()).unwrap();
    assert_eq!(serial.check(&request, &Responses).unwrap_err().field, "parallel_tool_calls");
}

#[test]
fn sound_is_not_counted_as_text() {
    let event = |kind: &str| format!(r#"data: {{"type":"response.{kind}.delta","delta":"AAAA"}}"#);
    assert_eq!((MARKS.shows)(event("output_text").as_bytes()), 4);
    assert_eq!((MARKS.shows)(event("function_call_arguments").as_bytes()), 4);
    assert_eq!((MARKS.shows)(event("audio").as_bytes()), 0);
}
