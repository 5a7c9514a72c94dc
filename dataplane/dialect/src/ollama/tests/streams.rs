//! Streams: lines to events, events to lines, any cut of them, and what is found in those that pass.

use bytes::Bytes;

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
    r#"{"model":"qwen3","created_at":"2025-01-01T00:00:00.1Z","message":{"role":"assistant","content":"","thinking":"H\u00e4."},"done":false}"#,
    "\n",
    r#"{"model":"qwen3","created_at":"2025-01-01T00:00:00.2Z","message":{"role":"assistant","content":"Let me"},"done":false,"logprobs":[{"token":"Let","logprob":-0.5,"bytes":[76]}]}"#,
    "\r\n",
    r#"{"model":"qwen3","created_at":"2025-01-01T00:00:00.3Z","message":{"role":"assistant","content":" see.\n"},"done":false}"#,
    "\n\n",
    r#"{"model":"qwen3","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"look","arguments":{"done":true,"eval_count":1}}}]},"done":false}"#,
    "\n",
    r#"{"model":"qwen3","message":{"role":"assistant","content":"","tool_calls":[{"id":"call_9","function":{"index":1,"name":"now","arguments":{}}}]},"done":false}"#,
    "\n",
    r#"{"model":"qwen3","created_at":"2025-01-01T00:00:01Z","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"total_duration":4883583458,"prompt_eval_count":26,"eval_count":282,"eval_duration":4535599000}"#,
);

/// What the caller gets of it.
fn expected() -> [Value; 7] {
    let line =
        |message: Value| json!({"model": "qwen3", "created_at": CREATED, "message": message, "done": false});
    let mut token = line(json!({"role": "assistant", "content": ""}));
    token["logprobs"] = json!([{"token": "Let", "logprob": -0.5}]);
    let call = |id: &str, index: u32, name: &str, arguments: Value| {
        let call = json!({"id": id, "function": {"index": index, "name": name, "arguments": arguments}});
        line(json!({"role": "assistant", "content": "", "tool_calls": [call]}))
    };
    let mut done = line(json!({"role": "assistant", "content": ""}));
    done["done"] = json!(true);
    done["done_reason"] = json!("stop");
    done["prompt_eval_count"] = json!(26);
    done["eval_count"] = json!(282);
    [
        line(json!({"role": "assistant", "content": "", "thinking": "Hä."})),
        line(json!({"role": "assistant", "content": "Let me"})),
        token,
        line(json!({"role": "assistant", "content": " see.\n"})),
        call("call_0", 0, "look", json!({"done": true, "eval_count": 1})),
        call("call_9", 1, "now", json!({})),
        done,
    ]
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(value).collect()
}

fn translate(text: &str, cut: usize) -> (Result<bool, Broken>, Bytes) {
    let framing = ProviderApi::framing(&Chat);
    let translation = Translation::new(framing, Chat.stream_reader(), Chat.stream_writer(context()));
    let mut through = Through::other(translation);
    let mut out = Gather::default();
    for piece in text.as_bytes().chunks(cut) {
        if let Err(broken) = through.push(Bytes::copy_from_slice(piece), &mut out) {
            return (Err(broken), out.take());
        }
    }
    let end = through.end(&mut out);
    (end, out.take())
}

/// Writes events; gives what each of them wrote, and what `end` did.
fn write(api: &dyn CallerApi, events: &[Event<'_>]) -> Vec<Vec<Value>> {
    let mut writer = api.stream_writer(context());
    let mut step = |event: Option<&Event<'_>>| {
        let mut out = Vec::new();
        match event {
            Some(event) => writer.write(event, &mut out),
            None => writer.end(&mut out),
        }
        assert!(out.is_empty() || out.ends_with(b"\n"));
        lines(&out)
    };
    let mut steps: Vec<_> = events.iter().map(|event| step(Some(event))).collect();
    steps.push(step(None));
    steps
}

fn call(index: u32, name: &'static str) -> Event<'static> {
    Event::ToolCall { choice: 0, index, id: format!("id_{index}").into(), name: name.into(), seal: None }
}

fn arguments(index: u32, fragment: &'static str) -> Event<'static> {
    Event::Arguments { choice: 0, index, fragment: fragment.into() }
}

fn finish(finish: Finish) -> Event<'static> {
    Event::Finish { choice: 0, finish }
}

/// Name and arguments of the calls in lines.
fn calls(lines: &[Value]) -> Vec<(String, Value)> {
    let calls = lines.iter().filter_map(|line| line["message"]["tool_calls"].as_array()).flatten();
    calls
        .map(|call| &call["function"])
        .map(|function| (function["name"].as_str().unwrap().to_owned(), function["arguments"].clone()))
        .collect()
}

#[test]
fn any_cut_of_a_stream_gives_the_same_lines() {
    for cut in 1..=STREAM.len() {
        let (end, out) = translate(STREAM, cut);
        assert_eq!((end, lines(&out)), (Ok(true), expected().to_vec()), "cut every {cut}");
    }
}

#[test]
fn events_come_in_the_order_of_the_stream() {
    let mut reader = Chat.stream_reader();
    let mut seen = Vec::new();
    for line in STREAM.lines().filter(|line| !line.is_empty()) {
        let frame = Frame::parse(Framing::Lines, line.as_bytes()).unwrap();
        reader.read(&frame, &mut |event| seen.push(format!("{event:?}"))).unwrap();
    }
    let usage = Event::Usage(Usage { input: 26, output: 282, ..Usage::default() });
    assert_eq!(seen[0], r#"Start { id: "", model: "qwen3" }"#);
    assert_eq!(seen.iter().filter(|event| event.starts_with("Start")).count(), 1);
    assert_eq!(seen[5], r#"ToolCall { choice: 0, index: 0, id: "call_0", name: "look", seal: None }"#);
    assert_eq!(seen[6], r#"Arguments { choice: 0, index: 0, fragment: "{\"done\":true,\"eval_count\":1}" }"#);
    assert_eq!(seen[9..], [format!("{:?}", finish(Finish::ToolCalls)), format!("{usage:?}")]);
}

#[test]
fn a_stream_without_its_last_line_has_not_ended() {
    let cut = STREAM.rfind("{\"model\"").unwrap();
    assert_eq!(translate(&STREAM[..cut], 64).0, Ok(false));
    assert_eq!(translate(&STREAM[..cut + 40], 64).0, Ok(false));
}

#[test]
fn an_error_in_a_line_fails_the_stream() {
    let (end, out) = translate("{\"message\":{\"content\":\"a\"}}\n{\"error\":\"out of memory\"}\n", 7);
    let Err(Broken::Failed(fault)) = end else { unreachable!() };
    assert_eq!((fault.status, fault.message.as_str()), (500, "out of memory"));
    assert_eq!(lines(&out).len(), 1);
}

#[test]
fn a_line_that_is_no_object_is_garbled_and_one_of_another_kind_is_passed_over() {
    assert!(matches!(translate("[1]\n", 9).0, Err(Broken::Garbled(_))));
    assert_eq!(translate("{\"status\":\"warming up\"}\n", 99), (Ok(false), Bytes::new()));
}

#[test]
fn text_is_written_at_once_and_what_has_no_place_is_not() {
    let steps = write(
        &Chat,
        &[
            Event::Start { id: "x".into(), model: "".into() },
            Event::Reasoning { choice: 0, text: "Hm.".into() },
            Event::Sealed { choice: 0, seal: Seal::new(Dialect::Anthropic, "sig") },
            Event::Text { choice: 0, text: "Hi".into() },
            Event::Refusal { choice: 0, text: "No.".into() },
            Event::Text { choice: 1, text: "Other".into() },
            Event::Logprobs { choice: 0, tokens: vec![TokenLogprob::default()] },
        ],
    );
    let count: Vec<usize> = steps.iter().map(Vec::len).collect();
    assert_eq!(count, [0, 1, 0, 1, 1, 0, 1, 1]);
    assert_eq!(steps[1][0]["message"], json!({"role": "assistant", "content": "", "thinking": "Hm."}));
    assert_eq!(steps[3][0]["model"], "assistant");
    assert_eq!(steps[4][0]["message"]["content"], "No.");
}

#[test]
fn the_last_line_has_the_finish_and_the_last_usage_whichever_came_first() {
    let usage = |output| Event::Usage(Usage { input: 3, output, ..Usage::default() });
    let after = write(&Chat, &[finish(Finish::Length), usage(5)]);
    assert_eq!((after[0].len(), after[1].len(), after[2].len()), (0, 1, 0));
    assert_eq!((&after[1][0]["done_reason"], &after[1][0]["eval_count"]), (&json!("length"), &json!(5)));
    let before = write(&Chat, &[usage(1), usage(5), finish(Finish::Stop)]);
    assert_eq!((before[2].len(), before[3].len()), (0, 1));
    assert_eq!((&before[3][0]["done"], &before[3][0]["eval_count"]), (&json!(true), &json!(5)));
    let never = write(&Chat, &[finish(Finish::Stop)]);
    assert!(never[1][0]["done"] == true && never[1][0].get("eval_count").is_none());
}

#[test]
fn a_call_is_written_whole_when_the_next_begins_and_the_last_at_the_finish() {
    let steps = write(
        &Chat,
        &[
            call(0, "look"),
            arguments(0, "{\n\"at\":"),
            arguments(0, "\"a\\nb\"}"),
            call(1, "now"),
            arguments(1, ""),
            finish(Finish::ToolCalls),
        ],
    );
    assert!(steps[..3].iter().all(Vec::is_empty));
    assert_eq!(calls(&steps[3]), [("look".to_owned(), json!({"at": "a\nb"}))]);
    assert_eq!(calls(&steps[5]), [("now".to_owned(), json!({}))]);
    assert_eq!(steps[5][0]["message"]["tool_calls"][0]["function"]["index"], 1);
    assert_eq!(steps[6][0]["done_reason"], "stop");
}

#[test]
fn arguments_of_several_calls_may_come_mixed() {
    let steps = write(
        &Chat,
        &[
            call(0, "f"),
            call(1, "g"),
            arguments(1, "{\"b\""),
            arguments(0, "{\"a\":"),
            arguments(1, ":2}"),
            arguments(0, "1}"),
            finish(Finish::ToolCalls),
        ],
    );
    assert_eq!(calls(&steps[6]), [("f".to_owned(), json!({"a": 1})), ("g".to_owned(), json!({"b": 2}))]);
}

#[test]
fn half_a_call_is_told_as_text() {
    let steps = write(&Chat, &[call(0, "f"), arguments(0, "{\"a"), finish(Finish::Length)]);
    assert_eq!(steps[2][0]["message"]["content"], r#"{"name":"f","arguments":{"a"#);
    assert_eq!(steps[3][0]["done_reason"], "length");
}

#[test]
fn a_generated_stream_has_its_text_at_the_top() {
    let text = |text: &'static str| Event::Text { choice: 0, text: text.into() };
    let thought = Event::Reasoning { choice: 0, text: "Hm.".into() };
    let steps = write(&Generate, &[thought, text("Blue"), finish(Finish::Stop)]);
    let line = |response: &str| json!({"model": "assistant", "created_at": CREATED, "response": response, "done": false});
    let mut thinking = line("");
    thinking["thinking"] = json!("Hm.");
    let mut done = line("");
    done["done"] = json!(true);
    done["done_reason"] = json!("stop");
    assert_eq!(steps.concat(), [thinking, line("Blue"), done]);
}

#[test]
fn a_stream_that_passes_tells_its_usage_and_its_end() {
    for cut in [1, 7, 100, STREAM.len()] {
        let mut tap = Tap::new(&MARKS, true);
        let mut out = Gather::default();
        for piece in STREAM.as_bytes().chunks(cut) {
            tap.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
        }
        assert!(tap.end(&mut out));
        assert_eq!(tap.usage(), Some(Usage { input: 26, output: 282, ..Usage::default() }));
        assert_eq!(
            lines(&out.take()),
            STREAM.lines().filter(|l| !l.is_empty()).map(|l| value(l.as_bytes())).collect::<Vec<_>>()
        );
    }
    // Neither the arguments of a call nor a text are the end.
    let inner = r#"{"message":{"content":"\"done\":true","tool_calls":[{"function":{"arguments":{"done":true}}}]},"done":false}"#;
    assert!(!(MARKS.says_end)(inner.as_bytes()));
    assert!((MARKS.says_end)(b"{\"done\": false}\n{\"done\" : true}\n"));
    assert!(!(MARKS.names_usage)(br#"{"message":{"content":"\"eval_count\""}}"#));
}
