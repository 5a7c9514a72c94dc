//! What whole replies are read as, and that the caller's side of the API writes what is read.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::{Value, json};

use super::*;
use crate::{CallerApi, Context, FaultKind, openai::responses::Responses};

fn response(output: &Value) -> Value {
    json!({"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "error": null,
        "incomplete_details": null, "model": "gpt-5-2025", "output": output, "usage": null})
}

fn choice(response: &Value) -> Choice {
    let mut reply = read(response.to_string().as_bytes()).unwrap();
    assert_eq!(reply.choices.len(), 1);
    reply.choices.remove(0)
}

fn text(text: &str) -> Value {
    json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "annotations": [], "text": text}]})
}

fn call(id: &Value, arguments: &str) -> Value {
    json!({"type": "function_call", "id": "fc_1", "call_id": id, "name": "f", "arguments": arguments})
}

fn called(id: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into(), seal: None })
}

#[test]
fn a_response_is_read_whole() {
    let mut body = response(&json!([
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA", "summary": [
            {"type": "summary_text", "text": "One."},
            {"type": "summary_text", "text": "Two."},
        ]},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gBBB"},
        {"type": "reasoning", "id": "rs_3", "summary": []},
        {"type": "web_search_call", "id": "ws_1", "action": {}},
        text("Hello."),
        call(&json!("call_a"), "{\"a\":1}"),
        call(&json!("call_b"), ""),
    ]));
    body["usage"] = json!({"input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 27});
    let sealed = |proof: &str| Some(Seal::new(Dialect::OpenAI, proof));
    assert_eq!(
        read(body.to_string().as_bytes()).unwrap(),
        Reply {
            id: "resp_1".into(),
            model: "gpt-5-2025".into(),
            choices: vec![Choice {
                parts: vec![
                    Part::Reasoning { text: "One.\n\nTwo.".into(), seal: sealed("gAAA") },
                    Part::Reasoning { text: String::new(), seal: sealed("gBBB") },
                    Part::Text("Hello.".into()),
                    called("call_a", "{\"a\":1}"),
                    called("call_b", "{}"),
                ],
                finish: Finish::ToolCalls,
                logprobs: Vec::new(),
            }],
            usage: Some(Usage { input: 20, cached_input: 4, cache_write: 2, output: 7, reasoning: 3 }),
        }
    );
}

#[test]
fn an_ending_is_read_of_status_and_reason() {
    let refusal = json!({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]});
    let cut = |reason: Value| ("incomplete", json!({ "reason": reason }));
    for (item, (status, details), finish) in [
        (text("a"), ("completed", Value::Null), Finish::Stop),
        (call(&json!("c"), "{}"), ("completed", Value::Null), Finish::ToolCalls),
        (refusal, ("completed", Value::Null), Finish::Refusal),
        (text("a"), cut(json!("max_output_tokens")), Finish::Length),
        (text("a"), cut(json!("content_filter")), Finish::ContentFilter),
        (text("a"), cut(json!("max_messages")), Finish::Length),
        (text("a"), cut(Value::Null), Finish::Pause),
        (text("a"), ("incomplete", Value::Null), Finish::Pause),
    ] {
        let mut body = response(&json!([item]));
        body["status"] = json!(status);
        body["incomplete_details"] = details;
        assert_eq!(choice(&body).finish, finish, "{body}");
    }
}

#[test]
fn open_models_show_the_thinking_itself() {
    let body = response(&json!([{"type": "reasoning", "id": "rs_1", "encrypted_content": null,
        "summary": [{"type": "summary_text", "text": "About."}],
        "content": [{"type": "reasoning_text", "text": "Hm."}]}]));
    assert_eq!(choice(&body).parts, [Part::Reasoning { text: "Hm.".into(), seal: None }]);
}

#[test]
fn what_servers_leave_out_is_made_up_or_empty() {
    let reply = read(br#"{"output":[{"type":"message","content":null}]}"#).unwrap();
    assert_eq!(reply, Reply { choices: vec![Choice::default()], ..Reply::default() });
    let calls = response(&json!([call(&Value::Null, "{}"), call(&json!(""), "{}")]));
    assert_eq!(choice(&calls).parts, [called("call_0", "{}"), called("call_1", "{}")]);
}

#[test]
fn log_probabilities_are_read_in_order() {
    let token = |token: &str| {
        json!({"token": token, "bytes": [97], "logprob": -0.5, "top_logprobs": [
            {"token": "b", "bytes": [98], "logprob": -1.0},
        ]})
    };
    let body = response(&json!([{"type": "message", "content": [
        {"type": "output_text", "text": "a", "logprobs": [token("a")]},
        {"type": "output_text", "text": "c", "logprobs": [token("c")]},
    ]}]));
    let token =
        |token: &str| TokenLogprob { token: token.into(), logprob: -0.5, top: vec![("b".into(), -1.0)] };
    assert_eq!(choice(&body).logprobs, [token("a"), token("c")]);
}

#[test]
fn what_is_no_answer_is_garbled() {
    let mut failed = response(&json!([]));
    failed["status"] = json!("failed");
    let mut told = failed.clone();
    told["error"] = json!({"code": "server_error", "message": "It broke."});
    for (body, says) in [
        (told.to_string(), "It broke."),
        (failed.to_string(), "gave the answer up"),
        (response(&json!([{"type": "function_call"}])).to_string(), "names no function"),
        ("[]".to_owned(), ""),
        ("<html>".to_owned(), ""),
        (r#"{"id":"resp_1"}"#.to_owned(), "no output"),
        (r#"{"output":[{"id":"x"}]}"#.to_owned(), "type"),
    ] {
        let garbled = read(body.as_bytes()).unwrap_err();
        assert!(garbled.to_string().contains(says), "{garbled}");
    }
}

#[test]
fn what_a_caller_is_written_is_read_as_the_same() {
    let parts = vec![
        Part::Reasoning { text: "Hm.".into(), seal: Some(Seal::new(Dialect::OpenAI, "gAAA")) },
        Part::Text("a".into()),
        Part::Refusal("no".into()),
        called("call_a", "{\"a\":1}"),
        called("call_b", "{}"),
    ];
    let reply = |parts: Vec<Part>, finish| Reply {
        id: "resp_1".into(),
        model: "m".into(),
        choices: vec![Choice {
            parts,
            finish,
            logprobs: vec![TokenLogprob { token: "a".into(), logprob: -0.5, top: vec![("b".into(), -1.0)] }],
        }],
        usage: Some(Usage { input: 9, cached_input: 3, cache_write: 2, output: 5, reasoning: 1 }),
    };
    for (parts, finish) in [
        (parts.clone(), Finish::ToolCalls),
        (parts[..3].to_vec(), Finish::Refusal),
        (parts[..2].to_vec(), Finish::Stop),
        (parts[..2].to_vec(), Finish::Length),
        (parts[..2].to_vec(), Finish::ContentFilter),
        (parts[..2].to_vec(), Finish::Pause),
    ] {
        let reply = reply(parts, finish);
        let body = Responses.write_reply(&reply, &Context::default());
        assert_eq!(read(&body).unwrap(), reply);
    }
}

#[test]
fn an_error_is_read_as_openais() {
    let body =
        br#"{"error":{"message":"Too fast.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
    let fault = Dialect::OpenAI.read_error(429, body);
    assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::RateLimit, "Too fast."));
}
