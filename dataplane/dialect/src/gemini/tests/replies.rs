//! Whole replies, both ways.

use super::*;
use crate::{
    chat::{Part, ToolCall},
    reply::{Choice, Finish, TokenLogprob, Usage},
    seal::Seal,
};

fn reply(body: &Value) -> Reply {
    SSE.read_reply(body.to_string().as_bytes()).unwrap()
}

fn finish_of(reason: &str) -> Finish {
    reply(&json!({"candidates": [{"finishReason": reason}]})).choices[0].finish.clone()
}

fn whole() -> Value {
    json!({
        "candidates": [{
            "content": {"role": "model", "parts": [
                {"text": "why", "thought": true, "thoughtSignature": "AQID"},
                {"text": "Paris"},
                {"functionCall": {"id": "c1", "name": "f", "args": {"x": 1}}, "thoughtSignature": "BAUG"},
            ]},
            "finishReason": "STOP",
            "index": 0,
            "logprobsResult": {
                "topCandidates": [{"candidates": [
                    {"token": "Paris", "logProbability": -0.5}, {"token": "Rome", "logProbability": -1.5},
                ]}],
                "chosenCandidates": [{"token": "Paris", "logProbability": -0.5}],
            },
        }],
        "usageMetadata": {
            "promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 3,
            "thoughtsTokenCount": 2, "totalTokenCount": 15,
        },
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r1",
    })
}

#[test]
fn a_reply_is_read_and_written_again_the_same() {
    let read = reply(&whole());
    let own = |value: &str| Some(Seal::new(Dialect::Gemini, value));
    let (id, name, arguments) = ("c1".to_owned(), "f".to_owned(), r#"{"x":1}"#.to_owned());
    let top = vec![("Paris".to_owned(), -0.5), ("Rome".to_owned(), -1.5)];
    assert_eq!(
        read.choices,
        [Choice {
            parts: vec![
                Part::Reasoning { text: "why".to_owned(), seal: own("AQID") },
                Part::Text("Paris".to_owned()),
                Part::ToolCall(ToolCall { id, name, arguments, seal: own("BAUG") }),
            ],
            finish: Finish::ToolCalls,
            logprobs: vec![TokenLogprob { token: "Paris".to_owned(), logprob: -0.5, top }],
        }]
    );
    let usage = Usage { input: 10, cached_input: 4, cache_write: 0, output: 5, reasoning: 2 };
    assert_eq!((read.id.as_str(), read.model.as_str(), read.usage), ("r1", "gemini-2.5-flash", Some(usage)));
    assert_eq!(value(&SSE.write_reply(&read, &context())), whole());
}

#[test]
fn tokens_of_tools_are_input() {
    let read = reply(&json!({
        "candidates": [{}],
        "usageMetadata": {"promptTokenCount": 10, "toolUsePromptTokenCount": 5, "thoughtsTokenCount": null},
    }));
    assert_eq!(read.usage.map(|usage| (usage.input, usage.output)), Some((15, 0)));
}

#[test]
fn calls_without_ids_are_numbered_and_without_arguments_are_empty() {
    let read = reply(&json!({"candidates": [{"content": {"parts": [
        {"functionCall": {"name": "f"}}, {"functionCall": {"name": "g", "args": null}},
    ]}}]}));
    let calls = read.choices[0].parts.iter().map(|part| match part {
        Part::ToolCall(call) => (call.id.as_str(), call.arguments.as_str()),
        _ => ("", ""),
    });
    assert_eq!(calls.collect::<Vec<_>>(), [("call_0", "{}"), ("call_1", "{}")]);
    assert_eq!(read.choices[0].finish, Finish::ToolCalls);
}

#[test]
fn reasons_to_end_are_told_apart() {
    assert_eq!(finish_of("STOP"), Finish::Stop);
    assert_eq!(finish_of("MAX_TOKENS"), Finish::Length);
    for reason in ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"] {
        assert_eq!(finish_of(reason), Finish::ContentFilter);
    }
    for reason in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER", "A_NEW_ONE"] {
        assert_eq!(finish_of(reason), Finish::ContentFilter);
    }
    let called = |reason: &str| {
        let parts = json!([{"functionCall": {"name": "f"}}]);
        let body = json!({"candidates": [{"content": {"parts": parts}, "finishReason": reason}]});
        reply(&body).choices[0].finish.clone()
    };
    assert_eq!(["STOP", "FUNCTION_CALL"].map(called), [Finish::ToolCalls, Finish::ToolCalls]);
    assert_eq!(called("MALFORMED_FUNCTION_CALL"), Finish::ContentFilter);
    let written = |finish| {
        let choices = vec![Choice { finish, ..Choice::default() }];
        value(&SSE.write_reply(&Reply { choices, ..Reply::default() }, &context()))
    };
    let reason = |finish| written(finish)["candidates"][0]["finishReason"].clone();
    for finish in [Finish::Stop, Finish::StopSequence(None), Finish::ToolCalls] {
        assert_eq!(reason(finish), "STOP");
    }
    assert_eq!(reason(Finish::Length), "MAX_TOKENS");
    assert_eq!(reason(Finish::ContentFilter), "SAFETY");
    assert_eq!(reason(Finish::Refusal), "SAFETY");
    assert_eq!(reason(Finish::Pause), "OTHER");
}

#[test]
fn a_refused_prompt_is_a_filtered_answer() {
    let read = reply(&json!({
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3},
    }));
    assert_eq!(read.choices, [Choice { finish: Finish::ContentFilter, ..Choice::default() }]);
    assert_eq!(read.usage.map(|usage| usage.input), Some(3));
}

#[test]
fn what_is_no_reply_is_garbled() {
    for body in ["", "[]", "[{}]", "{}", "{\"candidates\":1}", "null", "\"x\"", "{\"candidates\":[]"] {
        assert!(SSE.read_reply(body.as_bytes()).is_err(), "{body}");
        let usage = (MARKS.usage_of_reply)(body.as_bytes());
        assert_eq!(usage.is_err(), !matches!(body, "{}" | "{\"candidates\":1}"), "{body}");
    }
    let failed = SSE.read_reply(br#"{"error":{"code":500,"message":"Broke."}}"#);
    assert_eq!(failed, Err(Garbled::new("Broke.")));
    let usage = (MARKS.usage_of_reply)(whole().to_string().as_bytes()).unwrap();
    assert_eq!(usage.map(|usage| usage.output), Some(5));
}

#[test]
fn a_reply_of_another_vendor_has_everything_that_the_sdk_needs() {
    let parts = vec![
        Part::Reasoning { text: "why".to_owned(), seal: Some(Seal::new(Dialect::Anthropic, "Eq==")) },
        Part::Refusal("I won't.".to_owned()),
    ];
    let choices = vec![
        Choice { parts, finish: Finish::Refusal, logprobs: Vec::new() },
        Choice { finish: Finish::Length, ..Choice::default() },
    ];
    let written = value(&SSE.write_reply(&Reply { choices, ..Reply::default() }, &context()));
    assert_eq!(
        written,
        json!({
            "candidates": [
                {
                    "content": {"role": "model", "parts": [
                        {"text": "why", "thought": true, "thoughtSignature": "YW50aHJvcGljfnNlYWx+RXE9PQ=="},
                        {"text": "I won't."},
                    ]},
                    "finishReason": "SAFETY", "index": 0,
                },
                {"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "MAX_TOKENS", "index": 1},
            ],
            "modelVersion": "alias",
            "responseId": "made-up",
        })
    );
}
