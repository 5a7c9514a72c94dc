//! Streams of providers.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    CallerApi, Context, Dialect, FaultKind, ProviderApi,
    anthropic::{MARKS, Messages},
    event::Event,
    frame::{self, Frame, Framing},
    gather::Gather,
    reply::{Finish, Usage},
    seal::Seal,
    tap::Tap,
    translation::{Broken, Through, Translation},
};

pub fn sse(frames: &[Value]) -> String {
    frames.iter().fold(String::new(), |mut out, data| {
        let _ = write!(out, "event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap());
        out
    })
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "model": "claude-opus-5", "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 25, "cache_read_input_tokens": 100, "output_tokens": 1}}})
}

fn block(index: u32, content_block: &Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": content_block})
}

fn delta(index: u32, delta: &Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn stop(index: u32) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn end(reason: &str) -> [Value; 2] {
    [
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": {"output_tokens": 15, "output_tokens_details": {"thinking_tokens": 6}}}),
        json!({"type": "message_stop"}),
    ]
}

/// Thinking, hidden thinking, text, and two calls.
fn all() -> String {
    let json_delta = |text: &str| json!({"type": "input_json_delta", "partial_json": text});
    let mut frames = vec![
        start(),
        block(0, &json!({"type": "thinking", "thinking": "", "signature": ""})),
        json!({"type": "ping"}),
        delta(0, &json!({"type": "thinking_delta", "thinking": "Hm\n"})),
        delta(0, &json!({"type": "signature_delta", "signature": "EqQB"})),
        stop(0),
        block(1, &json!({"type": "redacted_thinking", "data": "EmwK"})),
        stop(1),
        block(2, &json!({"type": "text", "text": ""})),
        delta(2, &json!({"type": "text_delta", "text": "Hé"})),
        delta(2, &json!({"type": "text_delta", "text": "llo"})),
        stop(2),
        block(3, &json!({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}})),
        delta(3, &json_delta("")),
        delta(3, &json_delta("{\"at\":")),
        delta(3, &json_delta(" \"x}\"}")),
        stop(3),
        block(4, &json!({"type": "tool_use", "id": "toolu_2", "name": "look", "input": {}})),
        stop(4),
    ];
    frames.extend(end("tool_use"));
    sse(&frames)
}

fn events(stream: &str) -> Vec<String> {
    let mut reader = Messages.stream_reader();
    let mut seen = Vec::new();
    let mut whole = Bytes::copy_from_slice(stream.as_bytes());
    while let Some(bytes) = frame::next(Framing::Sse, &mut whole) {
        let frame = Frame::parse(Framing::Sse, &bytes).unwrap();
        reader.read(&frame, &mut |event| seen.push(format!("{event:?}"))).unwrap();
    }
    seen
}

fn shown(events: &[Event<'_>]) -> Vec<String> {
    events.iter().map(|event| format!("{event:?}")).collect()
}

#[test]
fn every_kind_of_block_gives_its_events() {
    let first = Usage { input: 125, cached_input: 100, output: 1, ..Usage::default() };
    let call = |index, id: &'static str| Event::ToolCall {
        choice: 0,
        index,
        id: id.into(),
        name: "look".into(),
        seal: None,
    };
    let arguments =
        |fragment: &'static str| Event::Arguments { choice: 0, index: 0, fragment: fragment.into() };
    let hidden = Seal { redacted: true, ..Seal::new(Dialect::Anthropic, "EmwK") };
    assert_eq!(
        events(&all()),
        shown(&[
            Event::Start { id: "msg_1".into(), model: "claude-opus-5".into() },
            Event::Usage(first),
            Event::Reasoning { choice: 0, text: "Hm\n".into() },
            Event::Sealed { choice: 0, seal: Seal::new(Dialect::Anthropic, "EqQB") },
            Event::Sealed { choice: 0, seal: hidden },
            Event::Text { choice: 0, text: "Hé".into() },
            Event::Text { choice: 0, text: "llo".into() },
            call(0, "toolu_1"),
            arguments("{\"at\":"),
            arguments(" \"x}\"}"),
            call(1, "toolu_2"),
            Event::Usage(Usage { output: 15, reasoning: 6, ..first }),
            Event::Finish { choice: 0, finish: Finish::ToolCalls },
        ])
    );
}

#[test]
fn any_cut_of_a_stream_gives_the_same_bytes() {
    let stream = all();
    let through = |cut: usize| {
        let context = Context::default();
        let translation =
            Translation::new(Framing::Sse, Messages.stream_reader(), Messages.stream_writer(context));
        let mut through = Through::other(translation);
        let mut out = Gather::default();
        for piece in stream.as_bytes().chunks(cut) {
            through.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
        }
        assert!(through.end(&mut out).unwrap());
        (out.take(), through.usage(), through.count())
    };
    let whole = through(stream.len());
    for cut in 1..200 {
        assert_eq!(through(cut), whole, "cut every {cut}");
    }
    // And they say what the provider said.
    let again = String::from_utf8(whole.0.to_vec()).unwrap();
    let said =
        |stream: &str| events(stream).into_iter().filter(|e| !e.starts_with("Usage")).collect::<Vec<_>>();
    assert_eq!(said(&again), said(&stream));
    assert_eq!(events(&again).iter().rev().nth(1), events(&stream).iter().rev().nth(1));
}

#[test]
fn every_end_is_told() {
    for (reason, finish) in [
        ("end_turn", Finish::Stop),
        ("max_tokens", Finish::Length),
        ("pause_turn", Finish::Pause),
        ("refusal", Finish::Refusal),
    ] {
        let mut frames = vec![start()];
        frames.extend(end(reason));
        let told = events(&sse(&frames));
        assert_eq!(told.last(), shown(&[Event::Finish { choice: 0, finish }]).last());
    }
    let refused = json!({"type": "message_delta", "usage": null, "delta": {"stop_reason": "refusal",
        "stop_details": {"type": "refusal", "explanation": "Not this."}}});
    assert_eq!(
        events(&sse(&[start(), refused]))[2..],
        shown(&[
            Event::Refusal { choice: 0, text: "Not this.".into() },
            Event::Finish { choice: 0, finish: Finish::Refusal }
        ])
    );
    let unsaid = events(&sse(&[start(), json!({"type": "message_stop"})]));
    assert_eq!(unsaid.last(), shown(&[Event::Finish { choice: 0, finish: Finish::Stop }]).last());
}

#[test]
fn tools_of_the_vendor_and_frames_of_tomorrow_are_passed_over() {
    let told = events(&sse(&[
        block(0, &json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})),
        delta(0, &json!({"type": "input_json_delta", "partial_json": "{}"})),
        delta(0, &json!({"type": "of_tomorrow", "more": [1]})),
        json!({"type": "of_tomorrow", "index": null}),
        block(1, &json!({"type": "tool_use", "name": "a", "input": {"b": 1}})),
        block(2, &json!({"type": "tool_use", "id": "x", "name": "c", "input": { }})),
    ]));
    let call = |index, id: &'static str, name: &'static str| Event::ToolCall {
        choice: 0,
        index,
        id: id.into(),
        name: name.into(),
        seal: None,
    };
    assert_eq!(
        told,
        shown(&[
            Event::Start { id: "".into(), model: "".into() },
            call(0, "call_0", "a"),
            Event::Arguments { choice: 0, index: 0, fragment: "{\"b\":1}".into() },
            call(1, "x", "c"),
        ])
    );
}

#[test]
fn an_error_in_the_stream_breaks_it() {
    let mut stream = sse(&[start()]);
    stream += "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let writer = Messages.stream_writer(Context::default());
    let translation = Translation::new(Framing::Sse, Messages.stream_reader(), writer);
    let mut through = Through::other(translation);
    let mut out = Gather::default();
    let Err(Broken::Failed(fault)) = through.push(stream.into(), &mut out) else { unreachable!() };
    assert_eq!((fault.kind, fault.status), (FaultKind::Overloaded, 529));
    assert!(out.take().starts_with(b"event: message_start\n"));
}

#[test]
fn what_is_no_event_is_garbled() {
    for data in ["[DONE]", "[]", "{", r#"{"type":1}"#] {
        let frame = Frame { event: b"", data: data.as_bytes().into() };
        assert!(Messages.stream_reader().read(&frame, &mut |_| {}).is_err(), "{data}");
    }
}

#[test]
fn a_tap_adds_up_what_both_frames_say_and_sees_the_end() {
    let stream = all();
    for cut in [1, 7, 100, stream.len()] {
        let mut tap = Tap::new(&MARKS, false);
        let mut out = Gather::default();
        for piece in stream.as_bytes().chunks(cut) {
            tap.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
        }
        assert!(tap.end(&mut out));
        assert_eq!(out.take(), stream.as_bytes());
        assert_eq!(
            tap.usage(),
            Some(Usage { input: 125, cached_input: 100, output: 15, reasoning: 6, cache_write: 0 })
        );
    }
}

#[test]
fn a_model_that_speaks_of_the_end_does_not_end() {
    for text in ["message_stop", "\"type\":\"message_stop\"", "\"message_stop\""] {
        let said = sse(&[delta(0, &json!({"type": "text_delta", "text": text}))]);
        assert!(!(MARKS.says_end)(said.as_bytes()), "{said}");
    }
    assert!((MARKS.says_end)(b"data: {\"type\" : \"message_stop\"}\n\n"));
}
