//! What streams are read as, whatever a server leaves out, and that the caller's side of the API writes
//! what is read.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::{
    CallerApi, Context, Dialect, FaultKind, ProviderApi,
    anthropic::Messages,
    frame::{self, Framing},
    gather::Gather,
    openai::responses::Responses,
    reply::{Finish, Usage},
    seal::Seal,
    translation::{Through, Translation},
};

fn frames(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
        .collect()
}

fn events(stream: &str) -> Vec<Event<'static>> {
    let mut reader = Reader::default();
    let mut seen = Vec::new();
    let mut whole = Bytes::copy_from_slice(stream.as_bytes());
    while let Some(bytes) = frame::next(Framing::Sse, &mut whole) {
        let frame = Frame::parse(Framing::Sse, &bytes).unwrap();
        reader.read(&frame, &mut |event| seen.push(owned(event))).unwrap();
    }
    seen
}

fn owned(event: Event<'_>) -> Event<'static> {
    let own = |text: Cow<'_, str>| Cow::<'static, str>::Owned(text.into_owned());
    match event {
        Event::Start { id, model } => Event::Start { id: own(id), model: own(model) },
        Event::Text { choice, text } => Event::Text { choice, text: own(text) },
        Event::Refusal { choice, text } => Event::Refusal { choice, text: own(text) },
        Event::Reasoning { choice, text } => Event::Reasoning { choice, text: own(text) },
        Event::ToolCall { choice, index, id, name, seal } => {
            Event::ToolCall { choice, index, id: own(id), name: own(name), seal }
        }
        Event::Arguments { choice, index, fragment } => {
            Event::Arguments { choice, index, fragment: own(fragment) }
        }
        Event::Sealed { choice, seal } => Event::Sealed { choice, seal },
        Event::Logprobs { choice, tokens } => Event::Logprobs { choice, tokens },
        Event::Finish { choice, finish } => Event::Finish { choice, finish },
        Event::Usage(usage) => Event::Usage(usage),
        Event::Failed(fault) => Event::Failed(fault),
    }
}

const fn start() -> Event<'static> {
    Event::Start { id: Cow::Borrowed("resp_1"), model: Cow::Borrowed("gpt-5") }
}

fn text(text: &str) -> Event<'static> {
    Event::Text { choice: 0, text: text.to_owned().into() }
}

fn thinking(text: &str) -> Event<'static> {
    Event::Reasoning { choice: 0, text: text.to_owned().into() }
}

fn sealed(proof: &str) -> Event<'static> {
    Event::Sealed { choice: 0, seal: Seal::new(Dialect::OpenAI, proof) }
}

fn call(index: u32, id: &str) -> Event<'static> {
    Event::ToolCall { choice: 0, index, id: id.to_owned().into(), name: "f".into(), seal: None }
}

fn arguments(index: u32, fragment: &str) -> Event<'static> {
    Event::Arguments { choice: 0, index, fragment: fragment.to_owned().into() }
}

fn finish(finish: Finish) -> Event<'static> {
    Event::Finish { choice: 0, finish }
}

fn created() -> Value {
    let response = json!({"id": "resp_1", "model": "gpt-5", "status": "in_progress", "output": [],
        "tools": [{"type": "function"}], "error": null, "usage": null});
    json!({"type": "response.created", "sequence_number": 0, "response": response})
}

fn added(output_index: u64, item: &Value) -> Value {
    json!({"type": "response.output_item.added", "output_index": output_index, "item": item})
}

fn done(output_index: u64, item: &Value) -> Value {
    json!({"type": "response.output_item.done", "output_index": output_index, "item": item})
}

fn delta(kind: &str, output_index: u64, delta: &str) -> Value {
    json!({"type": format!("response.{kind}.delta"), "output_index": output_index, "item_id": "x",
        "delta": delta, "obfuscation": "zzz"})
}

fn function(id: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "id": "fc", "call_id": id, "name": "f", "arguments": arguments})
}

fn completed() -> Value {
    json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": [],
        "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
            "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 14}}})
}

const USAGE: Usage = Usage { input: 9, cached_input: 3, cache_write: 2, output: 5, reasoning: 1 };

#[test]
fn thinking_text_and_mixed_calls_are_told_as_they_come() {
    let mut second = delta("reasoning_summary_text", 0, "Two.");
    second["summary_index"] = json!(1);
    let mut first = delta("reasoning_summary_text", 0, "One.");
    first["summary_index"] = json!(0);
    let mut said = delta("output_text", 1, "Hi");
    said["logprobs"] = json!([{"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Ho"}]}]);
    let stream = frames(&[
        created(),
        json!({"type": "response.in_progress", "response": {"id": "resp_1", "model": "gpt-5"}}),
        added(0, &json!({"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "part"})),
        first,
        json!({"type": "response.reasoning_summary_text.done", "output_index": 0, "text": "One."}),
        second,
        done(
            0,
            &json!({"type": "reasoning", "id": "rs", "encrypted_content": "gAAA",
            "summary": [{"text": "One."}, {"text": "Two."}]}),
        ),
        added(1, &json!({"type": "message", "id": "msg", "content": []})),
        json!({"type": "response.content_part.added", "output_index": 1, "part": {"type": "output_text"}}),
        said,
        delta("output_text", 1, " there"),
        done(1, &json!({"type": "message", "content": [{"type": "output_text", "text": "Hi there"}]})),
        json!({"type": "response.new_kind", "delta": {"a": 1}, "item": 7, "logprobs": "x"}),
        json!({"type": "keepalive"}),
        added(2, &function("call_a", "")),
        added(3, &function("call_b", "")),
        delta("function_call_arguments", 3, "{\"b\":"),
        delta("function_call_arguments", 2, "{\"a\":1}"),
        delta("function_call_arguments", 3, "2}"),
        done(2, &function("call_a", "{\"a\":1}")),
        done(3, &function("call_b", "{\"b\":2}")),
        completed(),
    ]) + "data: [DONE]\n\n";
    let token = TokenLogprob { token: "Hi".into(), logprob: -0.5, top: vec![("Ho".into(), -9999.0)] };
    assert_eq!(
        events(&stream),
        [
            start(),
            thinking("One."),
            thinking("\n\nTwo."),
            sealed("gAAA"),
            text("Hi"),
            Event::Logprobs { choice: 0, tokens: vec![token] },
            text(" there"),
            call(0, "call_a"),
            call(1, "call_b"),
            arguments(1, "{\"b\":"),
            arguments(0, "{\"a\":1}"),
            arguments(1, "2}"),
            finish(Finish::ToolCalls),
            Event::Usage(USAGE),
        ]
    );
}

#[test]
fn what_grew_unseen_is_told_when_it_is_done() {
    let stream = frames(&[
        created(),
        done(0, &json!({"type": "reasoning", "content": [{"text": "Hm."}], "summary": []})),
        done(
            1,
            &json!({"type": "message", "content": [
                {"type": "output_text", "text": "a"},
                {"type": "refusal", "refusal": "no"},
            ]}),
        ),
        added(2, &json!({"type": "function_call", "name": ""})),
        delta("function_call_arguments", 2, "{}"),
        done(2, &json!({"type": "function_call", "name": "f", "arguments": "{}"})),
        json!({"type": "response.completed"}),
    ]);
    assert_eq!(
        events(&stream),
        [
            start(),
            thinking("Hm."),
            text("a"),
            Event::Refusal { choice: 0, text: "no".into() },
            call(0, "call_0"),
            arguments(0, "{}"),
            finish(Finish::ToolCalls),
        ]
    );
}

#[test]
fn of_two_kinds_of_thinking_the_first_is_told() {
    let stream = frames(&[
        delta("reasoning_text", 0, "Hm"),
        delta("reasoning_summary_text", 0, "About."),
        delta("reasoning_text", 0, "."),
        done(0, &json!({"type": "reasoning", "content": [{"text": "Hm."}]})),
    ]);
    let begin = Event::Start { id: "".into(), model: "".into() };
    assert_eq!(events(&stream), [begin, thinking("Hm"), thinking(".")]);
}

#[test]
fn an_ending_is_told_once_with_its_reason() {
    let incomplete = |reason: &str| json!({"type": "response.incomplete", "response": {"incomplete_details": {"reason": reason}}});
    for (end, told) in [
        (incomplete("max_output_tokens"), Finish::Length),
        (incomplete("content_filter"), Finish::ContentFilter),
        (json!({"type": "response.incomplete", "response": {"incomplete_details": null}}), Finish::Pause),
        (json!({"type": "response.completed", "response": {}}), Finish::Stop),
    ] {
        let stream = frames(&[created(), end.clone(), end]);
        assert_eq!(events(&stream), [start(), finish(told)]);
    }
    let refused = frames(&[created(), delta("refusal", 0, "No."), completed()]);
    assert_eq!(events(&refused)[2], finish(Finish::Refusal));
}

#[test]
fn a_failure_is_told_in_any_of_its_forms() {
    let failed = json!({"code": "rate_limit_exceeded", "message": "Slow."});
    for (event, kind, message) in [
        (json!({"type": "response.failed", "response": {"error": failed}}), FaultKind::RateLimit, "Slow."),
        (
            json!({"type": "error", "code": "invalid_image_url", "message": "m", "param": null}),
            FaultKind::InvalidRequest,
            "m",
        ),
        (
            json!({"type": "error", "error": {"type": "insufficient_quota", "message": "n", "code": null}}),
            FaultKind::Billing,
            "n",
        ),
        (
            json!({"type": "response.failed", "response": {"error": null}}),
            FaultKind::Server,
            "The provider gave the answer up and did not say why.",
        ),
        (json!({"type": "", "error": {"message": "vLLM"}}), FaultKind::Server, "vLLM"),
    ] {
        let seen = events(&frames(&[event]));
        let [Event::Failed(fault)] = seen.as_slice() else { unreachable!("{seen:?}") };
        assert_eq!((fault.kind, fault.message.as_str()), (kind, message));
    }
    let fault = crate::Fault::of_status(503, "Busy.");
    let frame = String::from_utf8(Responses.error_event(&fault).to_vec()).unwrap();
    let seen = events(&frame);
    let [Event::Failed(read)] = seen.as_slice() else { unreachable!("{seen:?}") };
    assert_eq!((read.kind, read.message.as_str()), (FaultKind::Overloaded, "Busy."));
}

#[test]
fn a_frame_that_is_not_json_is_garbled() {
    let frame = Frame { event: b"", data: Cow::Borrowed(b"<html>") };
    assert!(Reader::default().read(&frame, &mut |_| {}).is_err());
}

#[test]
fn what_a_caller_is_written_is_read_as_the_same() {
    let told = [
        start(),
        thinking("One "),
        thinking("two."),
        sealed("gAAA"),
        text("Hi"),
        text(" there"),
        Event::Refusal { choice: 0, text: "no".into() },
        call(0, "call_a"),
        call(1, "call_b"),
        arguments(1, "{\"b\":"),
        arguments(0, "{}"),
        arguments(1, "2}"),
        finish(Finish::ToolCalls),
        Event::Usage(USAGE),
    ];
    let mut writer = Responses.stream_writer(Context::default());
    let mut out = Vec::new();
    for event in &told {
        writer.write(event, &mut out);
    }
    writer.end(&mut out);
    assert_eq!(events(std::str::from_utf8(&out).unwrap()), told);
}

#[test]
fn any_cut_gives_a_caller_of_another_api_the_same() {
    let stream = frames(&[
        created(),
        delta("reasoning_summary_text", 0, "Hé."),
        done(0, &json!({"type": "reasoning", "encrypted_content": "gAAA"})),
        delta("output_text", 1, "Grüß"),
        added(2, &function("call_a", "")),
        delta("function_call_arguments", 2, "{\"a\":1}"),
        done(2, &function("call_a", "{\"a\":1}")),
        completed(),
    ]);
    let through = |cut: usize| {
        let writer = Messages.stream_writer(Context { id: "g1".into(), ..Context::default() });
        let mut through = Through::other(Translation::new(Framing::Sse, Responses.stream_reader(), writer));
        let mut out = Gather::default();
        for piece in stream.as_bytes().chunks(cut) {
            through.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
        }
        assert_eq!(through.end(&mut out), Ok(true));
        assert_eq!(through.usage(), Some(USAGE));
        out.take()
    };
    let whole = through(stream.len());
    let written = std::str::from_utf8(&whole).unwrap();
    for part in ["Hé.", "openai~seal~gAAA", "Grüß", "call_a", "tool_use", "message_stop"] {
        assert!(written.contains(part), "{part} in {written}");
    }
    for cut in 1..stream.len() {
        assert_eq!(through(cut), whole, "cut every {cut}");
    }
}
