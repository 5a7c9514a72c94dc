//! What whole replies are written as, and that they come back whole as the next request's input.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::{Value, json};

use super::*;
use crate::{
    Dialect,
    chat::{Message, Role, ToolCall},
    reply::{Finish, TokenLogprob, Usage},
    seal::Seal,
};

fn context() -> Context {
    Context { id: "g1".into(), created: 1_700_000_000, model: "asked".into(), include_usage: false }
}

fn written(parts: Vec<Part>, finish: Finish) -> Value {
    let choice = Choice { parts, finish, logprobs: Vec::new() };
    let reply = Reply { choices: vec![choice], ..Reply::default() };
    serde_json::from_slice(&write(&reply, &context())).unwrap()
}

fn call(seal: Option<Seal>) -> Part {
    Part::ToolCall(ToolCall { id: "call_1".into(), name: "f".into(), arguments: "{}".into(), seal })
}

#[test]
fn a_reply_is_a_whole_response_object() {
    let reply = Reply {
        id: "up-1".into(),
        model: "theirs".into(),
        choices: vec![Choice { parts: vec![Part::Text("Hello.".into())], ..Choice::default() }],
        usage: Some(Usage { input: 10, cached_input: 4, cache_write: 2, output: 7, reasoning: 3 }),
    };
    let response: Value = serde_json::from_slice(&write(&reply, &context())).unwrap();
    assert_eq!(
        response,
        json!({
            "id": "resp_up-1", "object": "response", "created_at": 1_700_000_000, "status": "completed",
            "background": false, "error": null, "incomplete_details": null, "instructions": null,
            "max_output_tokens": null, "metadata": null, "model": "theirs",
            "output": [{"id": "msg_g1_0", "type": "message", "status": "completed", "role": "assistant",
                "content": [
                    {"type": "output_text", "annotations": [], "logprobs": [], "text": "Hello."},
                ]}],
            "parallel_tool_calls": true, "previous_response_id": null, "store": false, "temperature": null,
            "tool_choice": "auto", "tools": [], "top_p": null, "truncation": "disabled",
            "usage": {
                "input_tokens": 10,
                "input_tokens_details": {"cache_write_tokens": 2, "cached_tokens": 4},
                "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 17,
            },
        })
    );
}

#[test]
fn counts_of_any_size_have_a_total() {
    let usage = Some(Usage { input: u64::MAX, output: 1, ..Usage::default() });
    let response: Value =
        serde_json::from_slice(&write(&Reply { usage, ..Reply::default() }, &context())).unwrap();
    assert_eq!(response["usage"]["total_tokens"], u64::MAX);
}

#[test]
fn a_reply_without_an_id_or_a_model_has_the_gateways() {
    let response = written(vec![], Finish::Stop);
    assert_eq!((&response["id"], &response["model"]), (&json!("resp_g1"), &json!("asked")));
    assert_eq!((&response["output"], &response["usage"]), (&json!([]), &Value::Null));
}

#[test]
fn thinking_text_refusals_and_calls_are_items_in_order() {
    let anthropic = Seal::new(Dialect::Anthropic, "s");
    let response = written(
        vec![
            Part::Reasoning { text: "Hm.".into(), seal: Some(anthropic) },
            Part::Text("a".into()),
            Part::Text("b".into()),
            Part::Refusal("no".into()),
            call(Some(Seal::new(Dialect::Gemini, "g"))),
            call(None),
        ],
        Finish::ToolCalls,
    );
    let call = |id: &str| {
        json!({"type": "function_call", "id": id, "status": "completed", "call_id": "call_1", "name": "f",
            "arguments": "{}"})
    };
    assert_eq!(
        response["output"],
        json!([
            {"type": "reasoning", "id": "rs_g1_0", "status": "completed",
             "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "anthropic~seal~s"},
            {"type": "message", "id": "msg_g1_1", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "annotations": [], "logprobs": [], "text": "ab"},
                {"type": "refusal", "refusal": "no"},
            ]},
            {"type": "reasoning", "id": "rs_g1_2", "status": "completed", "summary": [],
             "encrypted_content": "gemini~seal~g"},
            call("fc_g1_3"),
            call("fc_g1_4"),
        ])
    );
}

#[test]
fn an_answer_comes_back_whole_in_the_next_request() {
    let redacted = Seal { origin: Dialect::Anthropic, redacted: true, value: "r".into() };
    let parts = vec![
        Part::Reasoning { text: "Hm.".into(), seal: Some(Seal::new(Dialect::Anthropic, "s")) },
        Part::Reasoning { text: String::new(), seal: Some(redacted) },
        Part::Text("a".into()),
        call(Some(Seal::new(Dialect::Gemini, "g"))),
        call(None),
    ];
    let response = written(parts.clone(), Finish::ToolCalls);
    let body = json!({"model": "m", "input": response["output"]}).to_string();
    let request = super::super::request::read(body.as_bytes()).unwrap();
    assert_eq!(request.messages, [Message { role: Role::Assistant, parts }]);
    assert_eq!(request.leftovers, []);
}

#[test]
fn an_ending_is_told_by_status_and_reason() {
    let text = || vec![Part::Text("a".into())];
    let cut = |reason: &str| ("incomplete", json!({ "reason": reason }));
    for (parts, finish, (status, details)) in [
        (text(), Finish::Stop, ("completed", Value::Null)),
        (text(), Finish::StopSequence(None), ("completed", Value::Null)),
        (text(), Finish::Length, cut("max_output_tokens")),
        (text(), Finish::ContentFilter, cut("content_filter")),
        (text(), Finish::Refusal, cut("content_filter")),
        (vec![Part::Refusal("no".into())], Finish::Refusal, ("completed", Value::Null)),
        (text(), Finish::Pause, ("incomplete", Value::Null)),
    ] {
        let response = written(parts, finish.clone());
        assert_eq!(response["status"], status, "{finish:?}");
        assert_eq!(response["incomplete_details"], details, "{finish:?}");
    }
    let response = written(vec![call(None), Part::Text("a".into())], Finish::Length);
    assert_eq!(response["output"][0]["status"], "completed");
    assert_eq!(response["output"][1]["status"], "incomplete");
}

#[test]
fn log_probabilities_stand_with_the_text() {
    let token = TokenLogprob { token: "é".into(), logprob: -0.5, top: vec![("e".into(), -1.0)] };
    let choice = Choice { parts: vec![Part::Text("é".into())], logprobs: vec![token], ..Choice::default() };
    let reply = Reply { choices: vec![choice], ..Reply::default() };
    let response: Value = serde_json::from_slice(&write(&reply, &context())).unwrap();
    assert_eq!(
        response["output"][0]["content"][0]["logprobs"],
        json!([{"token": "é", "bytes": [195, 169], "logprob": -0.5,
            "top_logprobs": [{"token": "e", "bytes": [101], "logprob": -1.0}]}])
    );
}
