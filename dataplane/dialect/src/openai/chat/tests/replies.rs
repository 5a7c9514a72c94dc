//! Whole replies, both ways.

use super::*;
use crate::reply::{Choice, Finish, TokenLogprob};

fn read_reply(body: &Value) -> Reply {
    Chat.read_reply(body.to_string().as_bytes()).unwrap()
}

fn message(message: &Value, finish: &str) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}]})
}

fn write_reply(reply: &Reply) -> Value {
    serde_json::from_slice(&Chat.write_reply(reply, &context())).unwrap()
}

fn seals() -> [Option<Seal>; 2] {
    [
        Some(Seal::new(Dialect::Anthropic, "sig")),
        Some(Seal { redacted: true, ..Seal::new(Dialect::Anthropic, "dark") }),
    ]
}

#[test]
fn a_reply_survives_from_openai_to_openai() {
    let mut text = message(&json!({"role": "assistant", "content": "Hi!", "refusal": null}), "stop");
    text["usage"] = json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2}});
    text["choices"][0]["logprobs"] = json!({"refusal": null, "content": [
        {"token": "Hi!", "logprob": -0.5, "bytes": null,
         "top_logprobs": [{"token": "Ho!", "logprob": -2.0, "bytes": null}]}]});
    let refusal = message(&json!({"role": "assistant", "content": null, "refusal": "No."}), "stop");
    let calls = message(
        &json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}),
        "tool_calls",
    );
    let cut = message(&json!({"role": "assistant", "content": "Hi", "refusal": null}), "length");
    let filtered = message(&json!({"role": "assistant", "content": "", "refusal": null}), "content_filter");
    for body in [text, refusal, calls, cut, filtered] {
        assert_eq!(write_reply(&read_reply(&body)), body);
    }
}

#[test]
fn what_servers_leave_out_and_add_is_tolerated() {
    let reply = read_reply(&json!({"choices": [
        {"index": 1, "message": {"content": "b"}, "finish_reason": "model_length", "x": 1},
        {"index": 0, "message": {"role": "assistant", "content": null, "tool_calls": [
            {"function": {"name": "f"}}, {"id": "", "function": {"name": "g", "arguments": ""}}]},
         "finish_reason": null}], "system_fingerprint": null, "usage": null}));
    assert_eq!((reply.id.as_str(), reply.model.as_str(), reply.usage), ("", "", None));
    assert_eq!(
        reply.choices[0].parts,
        [Part::ToolCall(call("call_0", "f", "{}")), Part::ToolCall(call("call_1", "g", "{}"))]
    );
    assert_eq!(reply.choices[0].finish, Finish::ToolCalls);
    assert_eq!((reply.choices[1].text().as_str(), &reply.choices[1].finish), ("b", &Finish::Length));
    let written = write_reply(&reply);
    assert_eq!((&written["id"], &written["model"]), (&json!("chatcmpl-abc"), &json!("mine")));
}

#[test]
fn a_call_that_was_demanded_by_name_ends_with_calls_and_not_with_stop() {
    let body =
        message(&json!({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}), "stop");
    assert_eq!(read_reply(&body).choices[0].finish, Finish::ToolCalls);
    let body = message(&json!({"refusal": "No."}), "stop");
    assert_eq!(read_reply(&body).choices[0].finish, Finish::Refusal);
}

#[test]
fn thinking_is_read_by_every_name_that_it_goes_by() {
    let plain = [Part::Reasoning { text: "Hm.".to_owned(), seal: None }, Part::Text("Yes.".to_owned())];
    for body in [
        json!({"content": "Yes.", "reasoning_content": "Hm."}),
        json!({"content": "Yes.", "reasoning": "Hm.", "reasoning_content": null}),
        json!({"content": "Yes.", "reasoning": "Hm.", "reasoning_content": "Hm."}),
        json!({"content": "Yes.", "reasoning": "Hm.", "reasoning_details": [
            {"type": "reasoning.summary", "summary": "Hm.", "format": "openai-responses-v1", "index": 0}]}),
        json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
            {"type": "text", "text": "Yes."}]}),
    ] {
        assert_eq!(read_reply(&message(&body, "stop")).choices[0].parts, plain, "{body}");
    }
}

#[test]
fn a_providers_seals_come_back_to_it_as_they_were() {
    let details = json!([
        {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0, "text": "Hm.", "signature": "s"},
        {"type": "reasoning.encrypted", "id": "rs_1", "format": "openai-responses-v1", "index": 1, "data": "d"}]);
    let extra = json!({"google": {"thought_signature": "t"}});
    let body = json!({"role": "assistant", "content": null, "reasoning": "Hm.", "reasoning_details": details,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"},
            "extra_content": extra}]});
    let reply = read_reply(&message(&body, "tool_calls"));
    let parts = reply.choices[0].parts.clone();
    assert_eq!(parts.len(), 3, "the text of an entry is not told twice: {parts:?}");

    let sent = |parts| {
        written(&Request { messages: vec![Message { role: Role::Assistant, parts }], ..Request::default() })
    };
    let back = &sent(parts)["messages"][0];
    assert_eq!((&back["reasoning_details"], &back["tool_calls"][0]["extra_content"]), (&details, &extra));

    // The same, kept by a caller of this API in between.
    let kept = write_reply(&reply)["choices"][0]["message"].clone();
    let request = read(&json!({"model": "m", "messages": [kept]}));
    let back = &written(&request)["messages"][0];
    assert_eq!((&back["reasoning_details"], &back["tool_calls"][0]["extra_content"]), (&details, &extra));
}

#[test]
fn a_callers_message_comes_back_as_it_was_given() {
    let [signed, redacted] = seals();
    let gemini = Some(Seal::new(Dialect::Gemini, "g"));
    let parts = vec![
        Part::Reasoning { text: "Hm.".to_owned(), seal: signed.clone() },
        Part::Reasoning { text: String::new(), seal: redacted },
        Part::Reasoning { text: String::new(), seal: signed },
        Part::Text("Yes.".to_owned()),
        Part::ToolCall(ToolCall { seal: gemini, ..call("c", "f", "{}") }),
    ];
    let choice = Choice { parts: parts.clone(), finish: Finish::ToolCalls, logprobs: Vec::new() };
    let written = write_reply(&Reply { choices: vec![choice], ..Reply::default() });
    let message = &written["choices"][0]["message"];
    assert_eq!(message["reasoning_content"], "Hm.");
    assert_eq!(
        message["reasoning_details"][1],
        json!({"type": "reasoning.encrypted", "index": 1, "data": "anthropic!~seal~dark"})
    );
    let request = read(&json!({"model": "m", "messages": [message]}));
    assert_eq!(
        (request.messages[0].parts.as_slice(), request.leftovers.as_slice()),
        (parts.as_slice(), &[][..])
    );
}

#[test]
fn finish_reasons_that_openai_has_no_word_for() {
    let finish = |finish, parts| {
        let choices = vec![Choice { parts, finish, logprobs: Vec::new() }];
        write_reply(&Reply { choices, ..Reply::default() })["choices"][0]["finish_reason"].clone()
    };
    assert_eq!(finish(Finish::StopSequence(Some("x".to_owned())), vec![]), "stop");
    assert_eq!(finish(Finish::Refusal, vec![Part::Refusal("No.".to_owned())]), "stop");
    assert_eq!(finish(Finish::Refusal, vec![]), "content_filter");
    assert_eq!(finish(Finish::Pause, vec![]), "length");
}

#[test]
fn what_is_no_chat_completion_is_refused() {
    for body in [
        "",
        "<html>",
        "[]",
        "{}",
        r#"{"choices":[]}"#,
        r#"{"choices":[{"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"message":{"tool_calls":[{"id":"c","function":{}}]}}]}"#,
    ] {
        assert!(Chat.read_reply(body.as_bytes()).is_err(), "{body}");
    }
    let error = Chat.read_reply(br#"{"error":{"message":"upstream is down","code":502}}"#).unwrap_err();
    assert!(error.0.contains("upstream is down"), "{error}");
}

#[test]
fn tokens_without_alternatives_and_of_refusals_are_read() {
    let mut body = message(&json!({"content": "a"}), "stop");
    body["choices"][0]["logprobs"] = json!({"content": null, "refusal": [
        {"token": "a", "logprob": -1}, {"token": "b", "logprob": null}]});
    let token = |token: &str, logprob| TokenLogprob { token: token.to_owned(), logprob, top: Vec::new() };
    assert_eq!(read_reply(&body).choices[0].logprobs, [token("a", -1.0), token("b", -9999.0)]);
}
