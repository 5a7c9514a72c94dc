//! Whole replies, both ways.

use super::*;
use crate::{
    chat::{Part, ToolCall},
    reply::{Choice, Finish, TokenLogprob, Usage},
    seal::Seal,
};

fn choice(parts: Vec<Part>, finish: Finish) -> Reply {
    let choices = vec![Choice { parts, finish, logprobs: Vec::new() }];
    let usage = Some(Usage { input: 26, cached_input: 20, output: 298, reasoning: 8, ..Usage::default() });
    Reply { choices, usage, ..Reply::default() }
}

fn chat(reply: &Reply) -> Value {
    value(&Chat.write_reply(reply, &context()))
}

#[test]
fn a_reply_of_the_documentation_is_read() {
    let sent = json!({
        "model": "llama3.2", "created_at": "2024-07-22T20:33:28.123648Z",
        "message": {"role": "assistant", "content": "Let me see.", "thinking": "Hm.", "images": null, "tool_calls": [
            {"function": {"name": "get_current_weather", "arguments": {"format": "celsius", "location": "Paris, FR"}}},
            {"id": "call_lyywui55", "function": {"index": 1, "name": "now", "arguments": null}},
        ]},
        "done_reason": "stop", "done": true, "total_duration": 885095291, "load_duration": 3753500,
        "prompt_eval_count": 122, "prompt_eval_duration": 328493000, "eval_count": 33, "eval_duration": 552222000,
        "logprobs": [{"token": "Let", "logprob": -0.5, "bytes": [76], "top_logprobs": [{"token": "I", "logprob": -1.5}]}],
    });
    let reply = Chat.read_reply(&body(&sent)).unwrap();
    let call = |id: &str, name: &str, arguments: &str| {
        let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
        Part::ToolCall(ToolCall { id, name, arguments, seal: None })
    };
    let [choice] = &reply.choices[..] else { unreachable!() };
    assert_eq!(
        choice.parts,
        [
            Part::Reasoning { text: "Hm.".to_owned(), seal: None },
            Part::Text("Let me see.".to_owned()),
            call("call_0", "get_current_weather", r#"{"format":"celsius","location":"Paris, FR"}"#),
            call("call_lyywui55", "now", "{}"),
        ]
    );
    assert_eq!(choice.finish, Finish::ToolCalls);
    let logprob = TokenLogprob { token: "Let".to_owned(), logprob: -0.5, top: vec![("I".to_owned(), -1.5)] };
    assert_eq!(choice.logprobs, [logprob]);
    assert_eq!(reply.usage, Some(Usage { input: 122, output: 33, ..Usage::default() }));
    assert_eq!((reply.id.as_str(), reply.model.as_str()), ("", "llama3.2"));
}

#[test]
fn reasons_map_both_ways() {
    let reason = |reason: Value| {
        let sent = json!({"message": {"content": "x"}, "done": true, "done_reason": reason});
        Chat.read_reply(&body(&sent)).unwrap().choices[0].finish.clone()
    };
    assert_eq!(reason(json!("length")), Finish::Length);
    assert_eq!(reason(Value::Null), Finish::Stop);
    assert_eq!(reason(json!("load")), Finish::Stop);
    for finish in [Finish::Stop, Finish::Length, Finish::ContentFilter, Finish::Refusal, Finish::Pause] {
        let sent = chat(&choice(vec![], finish.clone()));
        assert_eq!(reason(sent["done_reason"].clone()), finish);
    }
    assert_eq!(chat(&choice(vec![], Finish::StopSequence(Some("x".to_owned()))))["done_reason"], "stop");
    assert_eq!(chat(&choice(vec![], Finish::ToolCalls))["done_reason"], "stop");
}

#[test]
fn a_reply_is_written_with_all_that_the_api_has() {
    let parts = vec![
        Part::Reasoning { text: "Hm.".to_owned(), seal: Some(Seal::new(Dialect::Anthropic, "sig")) },
        Part::Text("Let me see.".to_owned()),
        Part::ToolCall(ToolCall {
            id: "toolu_1".to_owned(),
            name: "look".to_owned(),
            arguments: "{\n  \"at\": \"a\\nb\"\r\n}".to_owned(),
            seal: None,
        }),
    ];
    let mut reply = choice(parts, Finish::ToolCalls);
    reply.choices[0].logprobs =
        vec![TokenLogprob { token: "Let".to_owned(), logprob: -0.5, top: vec![("I".to_owned(), -1.5)] }];
    let written = Chat.write_reply(&reply, &context());
    // Go clients cut even a whole reply at its line ends.
    assert!(!written.contains(&b'\n'));
    assert_eq!(
        value(&written),
        json!({
            "model": "assistant", "created_at": CREATED,
            "message": {"role": "assistant", "content": "Let me see.", "thinking": "Hm.", "tool_calls": [
                {"id": "toolu_1", "function": {"index": 0, "name": "look", "arguments": {"at": "a\nb"}}},
            ]},
            "done": true, "done_reason": "stop", "prompt_eval_count": 26, "eval_count": 298,
            "logprobs": [{"token": "Let", "logprob": -0.5, "top_logprobs": [{"token": "I", "logprob": -1.5}]}],
        })
    );
}

#[test]
fn what_is_no_answer_and_no_whole_call_is_told_as_text() {
    let refusal = choice(vec![Part::Refusal("I can't.".to_owned())], Finish::Refusal);
    assert_eq!(chat(&refusal)["message"], json!({"role": "assistant", "content": "I can't."}));
    let cut =
        ToolCall { id: "a".to_owned(), name: "f".to_owned(), arguments: r#"{"x"#.to_owned(), seal: None };
    let cut = choice(vec![Part::ToolCall(cut)], Finish::Length);
    assert_eq!(
        chat(&cut)["message"],
        json!({"role": "assistant", "content": r#"{"name":"f","arguments":{"x"#})
    );
}

#[test]
fn a_generated_reply_has_its_text_at_the_top() {
    let mut reply = choice(
        vec![Part::Reasoning { text: "Hm.".to_owned(), seal: None }, Part::Text("Blue.".to_owned())],
        Finish::Stop,
    );
    reply.model = "big".to_owned();
    assert_eq!(
        value(&Generate.write_reply(&reply, &context())),
        json!({
            "model": "big", "created_at": CREATED, "response": "Blue.", "thinking": "Hm.", "done": true,
            "done_reason": "stop", "prompt_eval_count": 26, "eval_count": 298,
        })
    );
}

#[test]
fn a_body_that_is_no_reply_is_garbled() {
    for garbled in [&b"[]"[..], b"", b"<html>", b"{\"message\":", b"{}", br#"{"error":"x"}"#] {
        assert!(Chat.read_reply(garbled).is_err());
    }
    assert!((MARKS.usage_of_reply)(b"[]").is_err());
}

#[test]
fn usage_in_a_whole_reply_is_found() {
    let of = |text: &str| (MARKS.usage_of_reply)(text.as_bytes()).unwrap();
    let usage = Usage { input: 3, output: 5, ..Usage::default() };
    assert_eq!(of(r#"{"response":"x","done":true,"prompt_eval_count":3,"eval_count":5}"#), Some(usage));
    assert_eq!(of(r#"{"done":true,"done_reason":"load"}"#), None);
    // What was cached whole is not counted by older servers.
    assert_eq!(of(r#"{"done":true,"eval_count":5}"#), Some(Usage { input: 0, ..usage }));
}
