//! Streams: chunks to events, events to chunks, and through both at any cut.

use bytes::Bytes;

use super::*;
use crate::{
    event::Event,
    frame::Frame,
    gather::Gather,
    reply::{Finish, TokenLogprob, Usage},
    translation::{Broken, Through, Translation},
};

fn chunk(delta: &Value, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
    frame(&json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "gpt-4o",
        "choices": [choice], "usage": null}))
}

fn frame(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

fn usage() -> String {
    frame(&json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "gpt-4o",
        "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0}}}))
}

/// All events of a stream, as text.
fn events(stream: &str) -> Vec<String> {
    let mut reader = Chat.stream_reader();
    let mut seen = Vec::new();
    for bytes in stream.split_inclusive("\n\n") {
        let Some(frame) = Frame::parse(Framing::Sse, bytes.as_bytes()) else { continue };
        reader.read(&frame, &mut |event| seen.push(format!("{event:?}"))).unwrap();
    }
    seen
}

fn written_events(events: &[Event<'_>], context: Context) -> Vec<Value> {
    let mut writer = Chat.stream_writer(context);
    let mut out = Vec::new();
    events.iter().for_each(|event| writer.write(event, &mut out));
    writer.end(&mut out);
    let out = String::from_utf8(out).unwrap();
    let frames = out.strip_suffix("data: [DONE]\n\n").unwrap();
    frames
        .split_terminator("\n\n")
        .map(|frame| serde_json::from_str(frame.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

/// The stream from this API to this API, cut into pieces of so many bytes.
fn through(stream: &str, cut: usize) -> (String, Option<Usage>, bool) {
    let mut through = Through::other(Translation::new(
        ProviderApi::framing(&Chat),
        Chat.stream_reader(),
        Chat.stream_writer(context()),
    ));
    let mut out = Gather::default();
    for piece in stream.as_bytes().chunks(cut) {
        through.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
    }
    let ended = through.end(&mut out).unwrap();
    (String::from_utf8(out.take().to_vec()).unwrap(), through.usage(), ended)
}

fn values(stream: &str) -> Vec<Value> {
    let frames = stream.split_terminator("\n\n").map(|frame| frame.strip_prefix("data: ").unwrap());
    frames.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data))).collect()
}

/// A stream with text, reasoning, mixed calls, an escape, and usage, as OpenAI orders them.
fn rich() -> String {
    let call = |index: u32, id: &str, name: &str| {
        json!({"tool_calls": [{"index": index, "id": id, "type": "function",
            "function": {"name": name, "arguments": ""}}]})
    };
    let more = |index: u32, arguments: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]});
    [
        chunk(&json!({"role": "assistant", "content": ""}), None),
        chunk(&json!({"reasoning_content": "Hm, \"ä\"\n"}), None),
        chunk(&json!({"content": "Let me see 🎈"}), None),
        chunk(&call(0, "c1", "weather"), None),
        chunk(&more(0, "{\"at\":"), None),
        chunk(&call(1, "c2", "time"), None),
        chunk(&more(1, "{}"), None),
        chunk(&more(0, "\"Rome\"}"), None),
        chunk(&json!({}), Some("tool_calls")),
        usage(),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat()
}

#[test]
fn any_cut_of_a_stream_gives_the_same_stream() {
    let stream = rich();
    let (whole, usage, ended) = through(&stream, stream.len());
    assert_eq!(values(&whole), values(&stream));
    assert_eq!(
        (usage, ended),
        (Some(Usage { input: 9, cached_input: 3, output: 4, ..Usage::default() }), true)
    );
    for cut in 1..stream.len() {
        assert_eq!(through(&stream, cut), (whole.clone(), usage, true), "cut every {cut}");
    }
}

#[test]
fn events_come_in_order_and_start_comes_once() {
    let stream = [
        frame(&json!({"id": "", "model": "", "choices": [], "prompt_filter_results": []})),
        chunk(&json!({"role": "assistant", "content": "", "refusal": null}), None),
        frame(&json!({"id": "1", "model": "m", "choices": [{"index": 1, "delta": {"content": "b"}}]})),
        chunk(&json!({"refusal": "No."}), None),
        chunk(&json!({}), Some("stop")),
        frame(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2}})),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let usage = Usage { input: 1, output: 2, ..Usage::default() };
    let expected = [
        Event::Start { id: "chatcmpl-1".into(), model: "gpt-4o".into() },
        Event::Text { choice: 1, text: "b".into() },
        Event::Refusal { choice: 0, text: "No.".into() },
        Event::Finish { choice: 0, finish: Finish::Refusal },
        Event::Usage(usage),
    ];
    assert_eq!(events(&stream), expected.map(|event| format!("{event:?}")));
}

#[test]
fn calls_are_told_apart_however_a_server_marks_them() {
    let expected = [
        Event::Start { id: "chatcmpl-1".into(), model: "gpt-4o".into() },
        Event::ToolCall { choice: 0, index: 0, id: "a".into(), name: "f".into(), seal: None },
        Event::Arguments { choice: 0, index: 0, fragment: "{\"x\":".into() },
        Event::Arguments { choice: 0, index: 0, fragment: "1}".into() },
        Event::ToolCall { choice: 0, index: 1, id: "b".into(), name: "g".into(), seal: None },
        Event::Arguments { choice: 0, index: 1, fragment: "{}".into() },
        Event::Finish { choice: 0, finish: Finish::ToolCalls },
    ]
    .map(|event| format!("{event:?}"));
    let call = |index: Option<u32>, id: &str, name: &str, arguments: &str| {
        let call = json!({"id": id, "function": {"name": name, "arguments": arguments}});
        let mut call = call.as_object().unwrap().clone();
        index.map(|index| call.insert("index".to_owned(), json!(index)));
        chunk(&json!({"tool_calls": [call]}), None)
    };
    let (first, second, third) = ("{\"x\":", "1}", "{}");
    for (name, calls) in [
        (
            "by index",
            [call(Some(0), "a", "f", first), call(Some(0), "", "", second), call(Some(1), "b", "g", third)],
        ),
        (
            "id and name repeated",
            [call(Some(0), "a", "f", first), call(Some(0), "a", "f", second), call(Some(1), "b", "g", third)],
        ),
        (
            "all of index 0",
            [call(Some(0), "a", "f", first), call(Some(0), "", "", second), call(Some(0), "b", "g", third)],
        ),
        ("no index", [call(None, "a", "f", first), call(None, "", "", second), call(None, "b", "g", third)]),
        (
            "indices with holes",
            [call(Some(3), "a", "f", first), call(Some(3), "", "", second), call(Some(7), "b", "g", third)],
        ),
    ] {
        assert_eq!(events(&(calls.concat() + &chunk(&json!({}), Some("stop")))), expected, "{name}");
    }
    let nameless = call(Some(0), "a", "", "{}");
    let parsed = Frame::parse(Framing::Sse, nameless.as_bytes()).unwrap();
    assert!(Chat.stream_reader().read(&parsed, &mut |_| {}).is_err());
    let idless = events(&(call(None, "", "f", "") + &call(Some(0), "", "f", "{}")));
    assert!(idless[1].contains("\"call_0\"") && idless.len() == 3, "{idless:?}");
}

#[test]
fn thinking_and_seals_are_read_from_every_field() {
    let stream = [
        chunk(&json!({"reasoning": "a", "reasoning_details": [{"type": "reasoning.text", "text": "a", "index": 0}]}), None),
        chunk(&json!({"reasoning_details": [{"type": "reasoning.text", "text": "b", "index": 0}]}), None),
        chunk(&json!({"reasoning_details": [{"type": "reasoning.text", "signature": "s", "index": 0}]}), None),
        chunk(&json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "c"}]}]}), None),
        chunk(&json!({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": "t"}}}]}), None),
    ]
    .concat();
    let signed = Seal::new(Dialect::OpenAI, r#"{"type":"reasoning.text","index":0,"signature":"s"}"#);
    let seal = Some(Seal::new(Dialect::OpenAI, "t"));
    let expected = [
        Event::Start { id: "chatcmpl-1".into(), model: "gpt-4o".into() },
        Event::Reasoning { choice: 0, text: "a".into() },
        Event::Reasoning { choice: 0, text: "b".into() },
        Event::Sealed { choice: 0, seal: signed },
        Event::Reasoning { choice: 0, text: "c".into() },
        Event::ToolCall { choice: 0, index: 0, id: "c".into(), name: "f".into(), seal },
        Event::Arguments { choice: 0, index: 0, fragment: "{}".into() },
    ];
    assert_eq!(events(&stream), expected.map(|event| format!("{event:?}")));
}

#[test]
fn an_error_in_the_stream_ends_it() {
    let error =
        frame(&json!({"error": {"message": "busy", "type": "server_error", "code": "server_is_overloaded"}}));
    let mut through =
        Through::other(Translation::new(Framing::Sse, Chat.stream_reader(), Chat.stream_writer(context())));
    let mut out = Gather::default();
    let stream = chunk(&json!({"content": "a"}), None) + &error;
    let Err(Broken::Failed(fault)) = through.push(stream.into(), &mut out) else { unreachable!() };
    assert_eq!(
        (fault.kind, fault.status, fault.message.as_str()),
        (crate::FaultKind::Overloaded, 503, "busy")
    );
    assert_eq!(values(std::str::from_utf8(&out.take()).unwrap()).len(), 2, "what was whole before is given");
    let event = String::from_utf8(Chat.error_event(&fault).to_vec()).unwrap();
    assert_eq!(values(&event)[0]["error"]["code"], "server_is_overloaded");
    assert_eq!(events(&event), [format!("{:?}", Event::Failed(fault))]);
}

#[test]
fn a_frame_that_is_no_chunk_is_garbled() {
    for data in ["data: <html>\n\n", "data: 5\n\n", "data: {\"choices\":5}\n\n"] {
        let frame = Frame::parse(Framing::Sse, data.as_bytes()).unwrap();
        assert!(Chat.stream_reader().read(&frame, &mut |_| {}).is_err(), "{data}");
    }
    assert_eq!(events("data: {\"future\":1}\n\n: ping\n\n"), [""; 0]);
}

#[test]
fn a_seal_carries_its_thinking_once_and_comes_back() {
    let signed = Seal::new(Dialect::Anthropic, "sig");
    let redacted = Seal { redacted: true, ..Seal::new(Dialect::Anthropic, "dark") };
    let chunks = written_events(
        &[
            Event::Start { id: "msg_1".into(), model: "claude".into() },
            Event::Reasoning { choice: 0, text: "a".into() },
            Event::Reasoning { choice: 0, text: "b".into() },
            Event::Sealed { choice: 0, seal: signed.clone() },
            Event::Sealed { choice: 0, seal: redacted.clone() },
            Event::Finish { choice: 0, finish: Finish::Stop },
        ],
        Context { include_usage: false, ..context() },
    );
    assert!(chunks.iter().all(|chunk| chunk["id"] == "msg_1" && chunk.get("usage").is_none()));
    let deltas: Vec<_> = chunks.iter().map(|chunk| chunk["choices"][0]["delta"].clone()).collect();
    let details = [
        json!({"type": "reasoning.text", "index": 0, "text": "ab", "signature": "anthropic~seal~sig"}),
        json!({"type": "reasoning.encrypted", "index": 1, "data": "anthropic!~seal~dark"}),
    ];
    assert_eq!(
        deltas,
        [
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_content": "a"}),
            json!({"reasoning_content": "b"}),
            json!({"reasoning_details": [details[0]]}),
            json!({"reasoning_details": [details[1]]}),
            json!({})
        ]
    );
    // As OpenAI's SDKs put them together.
    let kept =
        json!({"role": "assistant", "content": "", "reasoning_content": "ab", "reasoning_details": details});
    let request = read(&json!({"model": "m", "messages": [kept]}));
    assert_eq!(
        request.messages[0].parts,
        [
            Part::Reasoning { text: "ab".to_owned(), seal: Some(signed) },
            Part::Reasoning { text: String::new(), seal: Some(redacted) }
        ]
    );
}

#[test]
fn a_call_without_arguments_has_an_empty_object_and_its_seal() {
    let seal = Some(Seal::new(Dialect::Gemini, "g"));
    let chunks = written_events(
        &[
            Event::Start { id: "".into(), model: "".into() },
            Event::ToolCall { choice: 0, index: 0, id: "a".into(), name: "f".into(), seal },
            Event::ToolCall { choice: 0, index: 1, id: "b".into(), name: "g".into(), seal: None },
            Event::Arguments { choice: 0, index: 1, fragment: "{\"x\":1}".into() },
            Event::Finish { choice: 0, finish: Finish::ToolCalls },
        ],
        context(),
    );
    let calls: Vec<_> =
        chunks.iter().map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0].clone()).collect();
    assert_eq!(
        calls[1..5],
        [
            json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""},
                "extra_content": {"google": {"thought_signature": "gemini~seal~g"}}}),
            json!({"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}),
            json!({"index": 1, "function": {"arguments": "{\"x\":1}"}}),
            json!({"index": 0, "function": {"arguments": "{}"}})
        ]
    );
    assert_eq!(chunks[5]["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!((&chunks[0]["id"], &chunks[0]["model"]), (&json!("chatcmpl-abc"), &json!("mine")));
}

#[test]
fn usage_comes_last_and_only_to_who_asked() {
    let events = [
        Event::Start { id: "1".into(), model: "m".into() },
        Event::Usage(Usage { input: 1, ..Usage::default() }),
        Event::Text { choice: 0, text: "a".into() },
        Event::Usage(Usage { input: 1, output: 1, ..Usage::default() }),
        Event::Finish { choice: 0, finish: Finish::Length },
    ];
    let asked = written_events(&events, context());
    assert_eq!(asked.len(), 4);
    assert_eq!((&asked[3]["choices"], &asked[3]["usage"]["total_tokens"]), (&json!([]), &json!(2)));
    assert!(asked[..3].iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()));
    assert_eq!(asked[2]["choices"][0]["finish_reason"], "length");
    assert_eq!(written_events(&events, Context { include_usage: false, ..context() }).len(), 3);
}

#[test]
fn every_choice_begins_with_its_role_and_has_its_own_tokens() {
    let tokens =
        vec![TokenLogprob { token: "b".to_owned(), logprob: -0.5, top: vec![("c".to_owned(), -2.0)] }];
    let chunks = written_events(
        &[
            Event::Start { id: "1".into(), model: "m".into() },
            Event::Text { choice: 1, text: "b".into() },
            Event::Logprobs { choice: 1, tokens: tokens.clone() },
        ],
        context(),
    );
    let role = json!({"role": "assistant", "content": ""});
    let seen: Vec<_> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0])
        .map(|c| (c["index"].clone(), c["delta"].clone()))
        .collect();
    assert_eq!(
        seen,
        [
            (json!(0), role.clone()),
            (json!(1), role),
            (json!(1), json!({"content": "b"})),
            (json!(1), json!({}))
        ]
    );
    let logprobs = Event::Logprobs { choice: 1, tokens };
    assert_eq!(events(&frame(&chunks[3]))[1], format!("{logprobs:?}"));
}
