//! Streams to callers, of events in the orders of other kinds of provider.

use serde_json::{Value, json};

use crate::{
    CallerApi, Context, Dialect,
    anthropic::Messages,
    event::Event,
    reply::{Finish, Usage},
    seal::Seal,
};

/// The data of what is written for each event, and at the end.
fn written(events: &[Event<'_>]) -> Vec<Vec<Value>> {
    let context = Context { id: "1".to_owned(), model: "asked".to_owned(), ..Context::default() };
    let mut writer = Messages.stream_writer(context);
    let mut steps: Vec<Vec<u8>> = Vec::new();
    for event in events {
        let mut out = Vec::new();
        writer.write(event, &mut out);
        steps.push(out);
    }
    let mut out = Vec::new();
    writer.end(&mut out);
    steps.push(out);
    steps.iter().map(|step| data(std::str::from_utf8(step).unwrap())).collect()
}

fn data(frames: &str) -> Vec<Value> {
    frames
        .split_terminator("\n\n")
        .map(|frame| {
            let (event, data) = frame.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(event.strip_prefix("event: "), data["type"].as_str());
            data
        })
        .collect()
}

fn start() -> Event<'static> {
    Event::Start { id: "chatcmpl-1".into(), model: "gpt".into() }
}

fn text(text: &'static str) -> Event<'static> {
    Event::Text { choice: 0, text: text.into() }
}

fn call(index: u32, id: &'static str) -> Event<'static> {
    Event::ToolCall { choice: 0, index, id: id.into(), name: "look".into(), seal: None }
}

fn arguments(index: u32, fragment: &'static str) -> Event<'static> {
    Event::Arguments { choice: 0, index, fragment: fragment.into() }
}

fn finish(finish: Finish) -> Event<'static> {
    Event::Finish { choice: 0, finish }
}

fn begins(index: u32, content_block: &Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": content_block})
}

fn begins_call(index: u32, id: &str) -> Value {
    begins(index, &json!({"type": "tool_use", "id": id, "name": "look", "input": {}}))
}

fn adds(index: u32, delta: &Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn adds_input(index: u32, fragment: &str) -> Value {
    adds(index, &json!({"type": "input_json_delta", "partial_json": fragment}))
}

fn ends(index: u32) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

/// All that is written between the first frame and the last two.
fn blocks(events: &[Event<'_>]) -> Vec<Value> {
    let all = written(events).concat();
    all[1..all.len() - 2].to_vec()
}

#[test]
fn every_event_is_written_at_once_and_usage_is_told_at_the_end() {
    let usage = Usage { input: 10, cached_input: 4, cache_write: 1, output: 7, reasoning: 2 };
    let steps =
        written(&[start(), text("a"), text(""), text("b"), finish(Finish::Length), Event::Usage(usage)]);
    let counts = json!({"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "output_tokens": 0});
    let message = json!({"id": "chatcmpl-1", "type": "message", "role": "assistant", "model": "gpt",
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": counts});
    assert_eq!(steps[0], [json!({"type": "message_start", "message": message})]);
    let adds_text = |text: &str| adds(0, &json!({"type": "text_delta", "text": text}));
    assert_eq!(steps[1], [begins(0, &json!({"type": "text", "text": ""})), adds_text("a")]);
    assert!(steps[2].is_empty());
    assert_eq!(steps[3], [adds_text("b")]);
    assert_eq!(steps[4], [ends(0)]);
    assert!(steps[5].is_empty());
    let counts = json!({"input_tokens": 5, "cache_creation_input_tokens": 1, "cache_read_input_tokens": 4,
        "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 2}});
    assert_eq!(
        steps[6],
        [
            json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens", "stop_sequence": null},
                "usage": counts}),
            json!({"type": "message_stop"})
        ]
    );
}

#[test]
fn a_stream_without_events_is_still_a_message() {
    let steps = written(&[]);
    let kinds: Vec<&Value> = steps[0].iter().map(|data| &data["type"]).collect();
    assert_eq!(kinds, ["message_start", "message_delta", "message_stop"]);
    assert_eq!(steps[0][0]["message"]["id"], "msg_1");
    assert_eq!(steps[0][0]["message"]["model"], "asked");
}

#[test]
fn thinking_ends_with_its_proof_and_a_proof_alone_is_a_block() {
    let reasoning = |text: &'static str| Event::Reasoning { choice: 0, text: text.into() };
    let sealed = |redacted, value: &str| Event::Sealed {
        choice: 0,
        seal: Seal { redacted, ..Seal::new(Dialect::OpenAI, value) },
    };
    let thinking = json!({"type": "thinking", "thinking": "", "signature": ""});
    let adds_thinking = |index, text: &str| adds(index, &json!({"type": "thinking_delta", "thinking": text}));
    let signs = |index, text: &str| adds(index, &json!({"type": "signature_delta", "signature": text}));
    assert_eq!(
        blocks(&[
            reasoning("a"),
            reasoning("b"),
            sealed(true, "x"),
            sealed(true, "y"),
            sealed(false, "z"),
            reasoning("c"),
            text("d")
        ])[..],
        [
            begins(0, &thinking),
            adds_thinking(0, "a"),
            adds_thinking(0, "b"),
            signs(0, "openai!~seal~x"),
            ends(0),
            begins(1, &json!({"type": "redacted_thinking", "data": "openai!~seal~y"})),
            ends(1),
            begins(2, &thinking),
            signs(2, "openai~seal~z"),
            ends(2),
            begins(3, &thinking),
            adds_thinking(3, "c"),
            ends(3),
            begins(4, &json!({"type": "text", "text": ""})),
            adds(4, &json!({"type": "text_delta", "text": "d"})),
            ends(4),
        ]
    );
}

#[test]
fn calls_in_order_are_written_as_they_come() {
    let steps = written(&[
        text("a"),
        call(0, "x"),
        arguments(0, "{\"a\":"),
        arguments(0, "1}"),
        call(1, "y"),
        arguments(1, "{}"),
        finish(Finish::Stop),
    ]);
    assert_eq!(steps[1], [ends(0), begins_call(1, "x")]);
    assert_eq!(steps[2], [adds_input(1, "{\"a\":")]);
    assert_eq!(steps[3], [adds_input(1, "1}")]);
    assert_eq!(steps[4], [ends(1), begins_call(2, "y")]);
    assert_eq!(steps[5], [adds_input(2, "{}")]);
    assert_eq!(steps[6], [ends(2)]);
    assert_eq!(steps[7][0]["delta"]["stop_reason"], "tool_use");
}

#[test]
fn mixed_arguments_come_one_call_after_the_other() {
    let steps = written(&[
        call(0, "x"),
        call(1, "y"),
        call(2, "z"),
        arguments(1, "{\"b\":2}"),
        arguments(0, "{\"a\":"),
        arguments(0, "1}"),
        finish(Finish::ToolCalls),
    ]);
    assert_eq!(steps[4], [adds_input(0, "{\"a\":")]);
    assert_eq!(
        steps[5],
        [
            adds_input(0, "1}"),
            ends(0),
            begins_call(1, "y"),
            adds_input(1, "{\"b\":2}"),
            ends(1),
            begins_call(2, "z")
        ]
    );
    assert_eq!(steps[6], [ends(2)]);
}

#[test]
fn calls_without_arguments_are_all_written_by_the_end() {
    assert_eq!(
        blocks(&[call(0, "x"), call(1, "y"), finish(Finish::ToolCalls)]),
        [begins_call(0, "x"), ends(0), begins_call(1, "y"), ends(1)]
    );
}

#[test]
fn arguments_that_a_text_parts_are_all_written() {
    assert_eq!(
        blocks(&[call(0, "x"), arguments(0, "{"), text("t"), arguments(0, "}")])[4..],
        [adds(1, &json!({"type": "text_delta", "text": "t"})), adds_input(0, "}"), ends(1),]
    );
}

#[test]
fn the_seal_of_a_call_stands_right_before_it() {
    let sealed = |index, id: &'static str| Event::ToolCall {
        choice: 0,
        index,
        id: id.into(),
        name: "look".into(),
        seal: Some(Seal::new(Dialect::Gemini, id)),
    };
    assert_eq!(
        blocks(&[sealed(0, "x"), sealed(1, "y"), arguments(0, "{}")]),
        [
            begins(0, &json!({"type": "redacted_thinking", "data": "gemini~seal~x"})),
            ends(0),
            begins_call(1, "x"),
            adds_input(1, "{}"),
            ends(1),
            begins(2, &json!({"type": "redacted_thinking", "data": "gemini~seal~y"})),
            ends(2),
            begins_call(3, "y"),
            ends(3),
        ]
    );
}

#[test]
fn a_refusal_is_text_and_the_reason_of_the_end() {
    let steps = written(&[Event::Refusal { choice: 0, text: "No.".into() }, finish(Finish::Stop)]);
    assert_eq!(steps[0][2]["delta"], json!({"type": "text_delta", "text": "No."}));
    assert_eq!(steps[2][0]["delta"]["stop_reason"], "refusal");
    let steps = written(&[finish(Finish::StopSequence(Some("END".to_owned())))]);
    assert_eq!(steps[1][0]["delta"], json!({"stop_reason": "stop_sequence", "stop_sequence": "END"}));
}
