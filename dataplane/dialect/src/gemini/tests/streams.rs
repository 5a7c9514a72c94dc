//! Streams, both ways and all the way through.

use super::*;
use crate::{
    event::Event,
    frame::Frame,
    gather::Gather,
    reply::{Finish, TokenLogprob, Usage},
    seal::Seal,
    tap::Tap,
    translation::{Broken, Through, Translation},
};

const STREAM: &str = concat!(
    r#"data: {"candidates":[{"content":{"parts":[{"text":"Hm","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5},"modelVersion":"gemini-2.5-flash","responseId":"r1"}"#,
    "\r\n\r\n",
    r#"data: {"candidates":[{"content":{"parts":[{"text":"Gr\u00fc\u00df"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":1,"totalTokenCount":6}}"#,
    "\r\n\r\n",
    r#"data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"x":1}},"thoughtSignature":"AQID"},{"functionCall":{"id":"b","name":"g","args":{}}}],"role":"model"},"index":0}]}"#,
    "\r\n\r\n",
    r#"data: {"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"BAUG"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":4,"thoughtsTokenCount":3,"totalTokenCount":12}}"#,
    "\r\n\r\n",
);

fn events(stream: &str) -> Vec<String> {
    let mut reader = SSE.stream_reader();
    let mut seen = Vec::new();
    for frame in stream.split_inclusive("\n\r\n").flat_map(|frame| frame.split_inclusive("\n\n")) {
        if let Some(frame) = Frame::parse(Framing::Sse, frame.as_bytes()) {
            reader.read(&frame, &mut |event| seen.push(format!("{event:?}"))).unwrap();
        }
    }
    seen
}

fn written(caller: Generate, events: &[Event<'_>]) -> String {
    let mut writer = caller.stream_writer(context());
    let mut out = Vec::new();
    events.iter().for_each(|event| writer.write(event, &mut out));
    writer.end(&mut out);
    String::from_utf8(out).unwrap()
}

fn frames(text: &str) -> Vec<Value> {
    let data = |frame: &str| serde_json::from_str(frame.strip_prefix("data: ").unwrap()).unwrap();
    text.split_terminator("\n\n").map(data).collect()
}

fn shown(events: &[Event<'_>]) -> Vec<String> {
    events.iter().map(|event| format!("{event:?}")).collect()
}

fn a_call(index: u32, id: &'static str, seal: Option<Seal>) -> Event<'static> {
    Event::ToolCall { choice: 0, index, id: id.into(), name: "f".into(), seal }
}

fn arguments(index: u32, fragment: &'static str) -> Event<'static> {
    Event::Arguments { choice: 0, index, fragment: fragment.into() }
}

#[test]
fn a_stream_is_read_piece_by_piece() {
    let own = |value: &str| Seal::new(Dialect::Gemini, value);
    let usage = |output, reasoning| Event::Usage(Usage { input: 5, output, reasoning, ..Usage::default() });
    let expected = [
        Event::Start { id: "r1".into(), model: "gemini-2.5-flash".into() },
        Event::Reasoning { choice: 0, text: "Hm".into() },
        usage(0, 0),
        Event::Text { choice: 0, text: "Grüß".into() },
        usage(1, 0),
        a_call(0, "call_0", Some(own("AQID"))),
        arguments(0, r#"{"x":1}"#),
        Event::ToolCall { choice: 0, index: 1, id: "b".into(), name: "g".into(), seal: None },
        arguments(1, "{}"),
        Event::Sealed { choice: 0, seal: own("BAUG") },
        Event::Finish { choice: 0, finish: Finish::ToolCalls },
        usage(7, 3),
    ];
    assert_eq!(events(STREAM), shown(&expected));
}

#[test]
fn a_refused_prompt_ends_the_stream_filtered() {
    let seen = events("data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n");
    let finish = Event::Finish { choice: 0, finish: Finish::ContentFilter };
    assert_eq!(seen, shown(&[Event::Start { id: "".into(), model: "".into() }, finish]));
}

#[test]
fn an_error_in_the_stream_is_a_failure_with_its_own_status() {
    let seen = events("data: {\"error\":{\"code\":503,\"message\":\"m\",\"status\":\"UNAVAILABLE\"}}\n\n");
    assert_eq!(seen, shown(&[Event::Failed(Fault::of_status(503, "m"))]));
    let mut reader = SSE.stream_reader();
    let frame = Frame { event: b"", data: b"[1]".as_slice().into() };
    assert!(reader.read(&frame, &mut |_| {}).is_err());
}

#[test]
fn several_answers_and_their_logprobs_keep_apart() {
    let seen = events(concat!(
        r#"data: {"candidates":[{"index":1,"content":{"parts":[{"text":"b"}]},"logprobsResult":{"chosenCandidates":[{"token":"b","logProbability":-1}]}},{"index":0,"finishReason":"MAX_TOKENS"}]}"#,
        "\n\n",
        r#"data: {"candidates":[{"index":1,"finishReason":"STOP"},{"index":0,"finishReason":"MAX_TOKENS"}]}"#,
        "\n\n",
    ));
    let tokens = vec![TokenLogprob { token: "b".to_owned(), logprob: -1.0, top: Vec::new() }];
    assert_eq!(
        seen[1..],
        shown(&[
            Event::Text { choice: 1, text: "b".into() },
            Event::Logprobs { choice: 1, tokens },
            Event::Finish { choice: 0, finish: Finish::Length },
            Event::Finish { choice: 1, finish: Finish::Stop },
        ])
    );
}

#[test]
fn pieces_are_written_at_once_calls_whole_and_the_end_with_the_usage() {
    let seal = Seal::new(Dialect::Anthropic, "Eq==");
    let usage = Usage { input: 3, cached_input: 1, output: 5, reasoning: 2, ..Usage::default() };
    let text = written(
        SSE,
        &[
            Event::Start { id: "m1".into(), model: "claude".into() },
            Event::Reasoning { choice: 0, text: "why".into() },
            Event::Sealed { choice: 0, seal },
            Event::Text { choice: 0, text: "Hi".into() },
            a_call(0, "1", None),
            a_call(1, "2", Some(Seal::new(Dialect::Gemini, "AQID"))),
            arguments(1, "{\"b\""),
            arguments(0, "{\"a\":1"),
            arguments(1, ":2}"),
            arguments(0, "}"),
            a_call(2, "3", None),
            Event::Finish { choice: 0, finish: Finish::ToolCalls },
            Event::Usage(usage),
        ],
    );
    let frame = |parts: Value| {
        json!({
            "candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}],
            "modelVersion": "claude", "responseId": "m1",
        })
    };
    let mut last = frame(json!([{"text": ""}]));
    last["candidates"][0]["finishReason"] = json!("STOP");
    last["usageMetadata"] = json!({
        "promptTokenCount": 3, "cachedContentTokenCount": 1, "candidatesTokenCount": 3, "thoughtsTokenCount": 2,
        "totalTokenCount": 8,
    });
    assert_eq!(
        frames(&text),
        [
            frame(json!([{"text": "why", "thought": true}])),
            frame(json!([{"text": "", "thought": true, "thoughtSignature": "YW50aHJvcGljfnNlYWx+RXE9PQ=="}])),
            frame(json!([{"text": "Hi"}])),
            frame(json!([
                {"functionCall": {"id": "1", "name": "f", "args": {"a": 1}}},
                {"functionCall": {"id": "2", "name": "f", "args": {"b": 2}}, "thoughtSignature": "AQID"},
                {"functionCall": {"id": "3", "name": "f", "args": {}}},
            ])),
            last,
        ]
    );
}

#[test]
fn an_array_is_json_when_it_ends_and_when_it_breaks() {
    let said = [
        Event::Start { id: "m1".into(), model: "x".into() },
        Event::Text { choice: 0, text: "a\nb".into() },
        Event::Finish { choice: 0, finish: Finish::Length },
    ];
    let whole: Vec<Value> = serde_json::from_str(&written(ARRAY, &said)).unwrap();
    assert_eq!(whole, frames(&written(SSE, &said)));
    let mut writer = ARRAY.stream_writer(context());
    let mut out = Vec::new();
    writer.write(&said[1], &mut out);
    out.extend_from_slice(&ARRAY.error_event(&Fault::of_status(500, "Broke.")));
    let broken: Vec<Value> = serde_json::from_slice(&out).unwrap();
    assert_eq!(broken[1]["error"]["code"], 500);
}

#[test]
fn events_that_pass_through_become_elements_whatever_is_in_them() {
    let mut array = ArrayWriter::default();
    let mut out = Gather::default();
    array.push(Bytes::from_static(b": ping\n\ndata: {\"a\":1}\r\n\r\ndata: {\ndata: \"b\":2}\n\n"), &mut out);
    array.push(error_event(&Fault::of_status(500, "Broke.")), &mut out);
    array.end(&mut out);
    let elements: Vec<Value> = serde_json::from_slice(&out.take()).unwrap();
    assert_eq!(elements[..2], [json!({"a": 1}), json!({"b": 2})]);
    assert_eq!(elements[2]["error"]["message"], "Broke.");
    ArrayWriter::default().end(&mut out);
    assert_eq!(out.take(), "[]\n");
}

fn through(caller: Generate, cut: usize) -> (String, Option<Usage>) {
    let translation = Translation::new(Framing::Sse, SSE.stream_reader(), caller.stream_writer(context()));
    let mut through = Through::other(translation);
    let mut out = Gather::default();
    for piece in STREAM.as_bytes().chunks(cut) {
        through.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
    }
    assert_eq!(through.end(&mut out), Ok(true));
    (String::from_utf8(out.take().to_vec()).unwrap(), through.usage())
}

#[test]
fn any_cut_of_a_stream_gives_the_same() {
    for caller in [SSE, ARRAY] {
        let whole = through(caller, STREAM.len());
        for cut in 1..STREAM.len() {
            assert_eq!(through(caller, cut), whole, "cut every {cut}");
        }
    }
    let (text, usage) = through(SSE, 7);
    assert_eq!(events(&text)[..2], events(STREAM)[..2]);
    assert_eq!(usage.map(|usage| usage.output), Some(7));
}

#[test]
fn a_stream_that_breaks_off_has_not_ended() {
    let translation = Translation::new(Framing::Sse, SSE.stream_reader(), SSE.stream_writer(context()));
    let mut through = Through::other(translation);
    let mut out = Gather::default();
    through.push(Bytes::from_static(&STREAM.as_bytes()[..400]), &mut out).unwrap();
    assert_eq!(through.end(&mut out), Ok(false));
    let failed = b"data: {\"error\":{\"code\":429,\"message\":\"m\"}}\n\n";
    let broken = through.push(Bytes::from_static(failed), &mut out);
    assert!(matches!(broken, Err(Broken::Failed(fault)) if fault.status == 429));
}

#[test]
fn an_array_that_breaks_behind_a_frame_without_a_border_is_still_one() {
    let translation = Translation::new(Framing::Sse, SSE.stream_reader(), ARRAY.stream_writer(context()));
    let mut through = Through::other(translation);
    let mut out = Gather::default();
    let frame = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}";
    through.push(Bytes::from_static(frame.as_bytes()), &mut out).unwrap();
    assert_eq!(through.end(&mut out), Ok(false));
    through.fail(&ARRAY, &Fault::of_status(502, "m"), &mut out);
    let array: Value = serde_json::from_slice(&out.take()).unwrap();
    assert_eq!((&array[1]["error"]["code"], array.as_array().map(Vec::len)), (&json!(502), Some(2)));
}

#[test]
fn a_stream_that_passes_is_tapped_for_its_usage_and_its_end() {
    let mut tap = Tap::new(&MARKS, false);
    let mut out = Gather::default();
    for piece in STREAM.as_bytes().chunks(11) {
        tap.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
    }
    assert!(tap.end(&mut out));
    assert_eq!(out.take(), STREAM);
    assert_eq!((tap.usage().map(|usage| usage.output), tap.count()), (Some(7), 4));
    assert!((MARKS.says_end)(b"data: {\"promptFeedback\": {\"blockReason\": \"SAFETY\"}}\n\n"));
    assert!(!(MARKS.says_end)(br#"data: {"text":"\"finishReason\": \"STOP\"","finishReason":null}"#));
}
