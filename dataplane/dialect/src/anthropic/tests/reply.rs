//! Replies that come whole.

use serde_json::{Value, json};

use crate::{
    CallerApi, Context, Dialect, ProviderApi,
    anthropic::{MARKS, Messages, model, model_list},
    api::ListedModel,
    chat::{Part, ToolCall},
    reply::{Choice, Finish, Reply, Usage},
    seal::Seal,
};

fn read(body: &Value) -> Reply {
    Messages.read_reply(body.to_string().as_bytes()).unwrap()
}

fn written(reply: &Reply) -> Value {
    let context = Context { id: "1".to_owned(), model: "asked".to_owned(), ..Context::default() };
    serde_json::from_slice(&Messages.write_reply(reply, &context)).unwrap()
}

fn of_parts(parts: Vec<Part>, finish: Finish) -> Value {
    let choices = vec![Choice { parts, finish, logprobs: Vec::new() }];
    written(&Reply { choices, ..Reply::default() })
}

#[test]
fn what_is_read_is_written_the_same() {
    let body = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "EmwK"},
            {"type": "thinking", "thinking": "", "signature": "EqQC"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": 1.50}},
            {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {}}],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 10, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4,
            "output_tokens": 20, "output_tokens_details": {"thinking_tokens": 5}}
    });
    let reply = read(&body);
    assert_eq!(
        reply.usage,
        Some(Usage { input: 17, cached_input: 4, cache_write: 3, output: 20, reasoning: 5 })
    );
    assert_eq!(written(&reply), body);
}

#[test]
fn every_reason_of_the_end_is_read_and_written() {
    for (reason, finish, back) in [
        ("end_turn", Finish::Stop, "end_turn"),
        ("max_tokens", Finish::Length, "max_tokens"),
        ("model_context_window_exceeded", Finish::Length, "max_tokens"),
        ("stop_sequence", Finish::StopSequence(Some("END".to_owned())), "stop_sequence"),
        ("tool_use", Finish::ToolCalls, "tool_use"),
        ("pause_turn", Finish::Pause, "pause_turn"),
        ("refusal", Finish::Refusal, "refusal"),
        ("of_tomorrow", Finish::Stop, "end_turn"),
    ] {
        let sequence = (reason == "stop_sequence").then_some("END");
        let reply = read(&json!({"content": [], "stop_reason": reason, "stop_sequence": sequence}));
        assert_eq!(reply.choices[0].finish, finish);
        let body = written(&reply);
        assert_eq!((&body["stop_reason"], &body["stop_sequence"]), (&json!(back), &json!(sequence)));
    }
    assert_eq!(of_parts(vec![], Finish::ContentFilter)["stop_reason"], "refusal");
}

#[test]
fn a_refusal_is_told_with_its_explanation() {
    let reply = read(&json!({"content": [{"type": "text", "text": "I"}], "stop_reason": "refusal",
        "stop_details": {"type": "refusal", "category": "bio", "explanation": "Not this."}}));
    let said = [Part::Text("I".to_owned()), Part::Refusal("Not this.".to_owned())];
    assert_eq!(reply.choices[0].parts, said);
    let body = of_parts(vec![Part::Refusal("No.".to_owned())], Finish::Stop);
    assert_eq!(body["content"], json!([{"type": "text", "text": "No."}]));
    assert_eq!(body["stop_reason"], "refusal");
}

#[test]
fn a_call_ends_the_turn_whatever_the_provider_says_of_the_end() {
    let call = ToolCall {
        id: "call_0".to_owned(),
        name: "look".to_owned(),
        arguments: "[1]".to_owned(),
        seal: Some(Seal::new(Dialect::Gemini, "sig")),
    };
    let body = of_parts(vec![Part::Text(String::new()), Part::ToolCall(call)], Finish::Stop);
    assert_eq!(body["stop_reason"], "tool_use");
    assert_eq!(
        body["content"],
        json!([
            {"type": "redacted_thinking", "data": "gemini~seal~sig"},
            {"type": "tool_use", "id": "call_0", "name": "look", "input": {"arguments": "[1]"}}
        ])
    );
    assert_eq!((&body["id"], &body["model"]), (&json!("msg_1"), &json!("asked")));
    assert_eq!(body["usage"]["input_tokens"], 0);
}

#[test]
fn thinking_of_others_is_kept_with_its_origin() {
    let thought = |text: &str, redacted, seal: bool| Part::Reasoning {
        text: text.to_owned(),
        seal: seal.then(|| Seal { redacted, ..Seal::new(Dialect::OpenAI, "enc") }),
    };
    let parts = vec![thought("a", false, false), thought("b", true, true), thought("", true, true)];
    assert_eq!(
        of_parts(parts, Finish::Stop)["content"],
        json!([
            {"type": "thinking", "thinking": "a", "signature": ""},
            {"type": "thinking", "thinking": "b", "signature": "openai!~seal~enc"},
            {"type": "redacted_thinking", "data": "openai!~seal~enc"}
        ])
    );
}

#[test]
fn missing_and_new_fields_are_no_matter() {
    let reply = read(&json!({"id": null, "new": [1], "content": [
        {"type": "tool_use", "name": "a"}, {"type": "tool_use", "id": "", "name": "b", "input": null},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, {"type": "text"}]}));
    let call = |id: &str, name: &str| {
        let (id, name, arguments) = (id.to_owned(), name.to_owned(), "{}".to_owned());
        Part::ToolCall(ToolCall { id, name, arguments, seal: None })
    };
    assert_eq!(reply.choices[0].parts, [call("call_0", "a"), call("call_1", "b"), Part::Text(String::new())]);
    assert_eq!((reply.usage, &reply.choices[0].finish), (None, &Finish::Stop));
}

#[test]
fn what_is_no_message_is_garbled() {
    for body in ["", "[]", "null", "{}", "<html>", r#"{"type":"error","error":{}}"#, r#"{"content":[]"#] {
        assert!(Messages.read_reply(body.as_bytes()).is_err(), "{body}");
        assert!((MARKS.usage_of_reply)(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn models_are_listed_as_the_vendor_lists_them() {
    let listed = |name: &str| ListedModel {
        name: name.to_owned(),
        route: "a/b".to_owned(),
        chat: true,
        embeddings: false,
        max_output_tokens: None,
    };
    let one: Value = serde_json::from_slice(&model(&listed("x"))).unwrap();
    assert_eq!(
        one,
        json!({"type": "model", "id": "x", "display_name": "x", "created_at": "1970-01-01T00:00:00Z",
            "lifecycle": "active", "max_tokens": null})
    );
    let all: Value = serde_json::from_slice(&model_list(&[listed("x"), listed("y")])).unwrap();
    assert_eq!(
        (&all["first_id"], &all["last_id"], &all["has_more"]),
        (&json!("x"), &json!("y"), &json!(false))
    );
    assert_eq!(all["data"][0], one);
    let none: Value = serde_json::from_slice(&model_list(&[])).unwrap();
    assert_eq!(none, json!({"data": [], "has_more": false, "first_id": null, "last_id": null}));
}
