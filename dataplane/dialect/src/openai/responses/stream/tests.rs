//! What streams are written as: which events, in which order, and that all of them agree with the
//! response at the end and with the whole reply of the same answer.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::{
    CallerApi, Fault, Garbled,
    chat::{Part, ToolCall},
    event::{Emit, StreamReader},
    frame::{Frame, Framing},
    gather::Gather,
    openai::responses::Responses,
    reply::{Choice, Finish, Reply},
    translation::{Broken, Through, Translation},
};

/// A provider whose lines are events: a word and what belongs to it.
struct Script;

impl StreamReader for Script {
    fn read(&mut self, frame: &Frame<'_>, emit: &mut Emit<'_>) -> Result<(), Garbled> {
        let line = std::str::from_utf8(&frame.data).unwrap();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let choice = 0;
        let text = rest.into();
        emit(match word {
            "start" => Event::Start { id: "up-1".into(), model: "theirs".into() },
            "text" => Event::Text { choice, text },
            "other" => Event::Text { choice: 1, text },
            "refuse" => Event::Refusal { choice, text },
            "think" => Event::Reasoning { choice, text },
            "seal" => Event::Sealed { choice, seal: Seal::from_text(Dialect::OpenAI, rest) },
            "call" => {
                let mut words = rest.split(' ');
                Event::ToolCall {
                    choice,
                    index: words.next().unwrap().parse().unwrap(),
                    id: words.next().unwrap().into(),
                    name: words.next().unwrap().into(),
                    seal: words.next().map(|seal| Seal::from_text(Dialect::OpenAI, seal)),
                }
            }
            "args" => {
                let (index, fragment) = rest.split_once(' ').unwrap();
                Event::Arguments { choice, index: index.parse().unwrap(), fragment: fragment.into() }
            }
            "logprob" => Event::Logprobs { choice, tokens: vec![token(rest)] },
            "usage" => Event::Usage(Usage { input: 10, output: 7, ..Usage::default() }),
            "fail" => Event::Failed(Fault::of_status(500, rest)),
            "stop" => Event::Finish { choice, finish: Finish::Stop },
            "other-stop" => Event::Finish { choice: 1, finish: Finish::Stop },
            "calls" => Event::Finish { choice, finish: Finish::ToolCalls },
            "length" => Event::Finish { choice, finish: Finish::Length },
            "refused" => Event::Finish { choice, finish: Finish::Refusal },
            _ => return Err(Garbled::new(line.to_owned())),
        });
        Ok(())
    }
}

fn token(token: &str) -> TokenLogprob {
    TokenLogprob { token: token.to_owned(), logprob: -0.5, top: Vec::new() }
}

fn context() -> Context {
    Context { id: "g1".into(), created: 1_700_000_000, model: "asked".into(), include_usage: false }
}

/// What is written of a script that comes in pieces, and whether it came to its end.
fn through(script: &str, cut: usize) -> (Result<bool, Broken>, Bytes) {
    let writer = Responses.stream_writer(context());
    let translation = Translation::new(Framing::Lines, Box::new(Script), writer);
    let mut through = Through::other(translation);
    let mut out = Gather::default();
    let pieces = script.as_bytes().chunks(cut);
    let ended = pieces
        .map(Bytes::copy_from_slice)
        .try_for_each(|piece| through.push(piece, &mut out))
        .and_then(|()| through.end(&mut out));
    (ended, out.take())
}

/// The data of the frames, after a look at what is true of all of them.
fn frames(bytes: &Bytes) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.split_terminator("\n\n")
        .enumerate()
        .map(|(number, frame)| {
            let (event, data) = frame.split_once("\ndata: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["type"], event.strip_prefix("event: ").unwrap());
            assert_eq!(data["sequence_number"], number);
            data
        })
        .collect()
}

/// The events of a script, the same for every cut.
fn events(script: &[&str]) -> Vec<Value> {
    let script = script.join("\n");
    let (ended, whole) = through(&script, script.len());
    assert_eq!(ended, Ok(true));
    for cut in 1..script.len() {
        assert_eq!(through(&script, cut), (Ok(true), whole.clone()), "cut every {cut}");
    }
    let events = frames(&whole);
    agree(&events);
    events
}

/// What grew is what is told to be whole, and what stands in the response at the end.
fn agree(events: &[Value]) {
    let output = &events.last().unwrap()["response"]["output"];
    let mut grown = std::collections::BTreeMap::<String, String>::new();
    let mut done = 0;
    for event in events {
        let kind = event["type"].as_str().unwrap();
        let place = |kind: &str| {
            format!("{kind} {} {} {}", event["output_index"], event["content_index"], event["item_id"])
        };
        if let Some(kind) = kind.strip_suffix(".delta") {
            grown.entry(place(kind)).or_default().push_str(event["delta"].as_str().unwrap());
        } else if kind == "response.output_item.done" {
            assert_eq!(
                &event["item"],
                &output[usize::try_from(event["output_index"].as_u64().unwrap()).unwrap()]
            );
            done += 1;
        } else if let Some(kind) = kind.strip_suffix(".done")
            && !kind.ends_with("_part")
        {
            let whole = ["text", "refusal", "arguments"].iter().find_map(|field| event[field].as_str());
            assert_eq!(grown.remove(&place(kind)).unwrap_or_default(), whole.unwrap());
        }
    }
    assert_eq!(grown.len(), 0, "{grown:?}");
    assert_eq!(done, output.as_array().unwrap().len());
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap().strip_prefix("response.").unwrap()).collect()
}

/// The output at the end of the stream of `script`, which the whole reply of `parts` has too.
fn same(script: &[&str], parts: Vec<Part>, finish: Finish) {
    let events = events(script);
    let choice = Choice { parts, finish, logprobs: Vec::new() };
    let usage = Some(Usage { input: 10, output: 7, ..Usage::default() });
    let reply = Reply { id: "up-1".into(), model: "theirs".into(), choices: vec![choice], usage };
    let whole: Value = serde_json::from_slice(&Responses.write_reply(&reply, &context())).unwrap();
    assert_eq!(events.last().unwrap()["response"], whole);
}

#[test]
fn a_text_grows_in_its_message_and_the_usage_is_at_the_end() {
    let events = events(&["start", "text Hel", "text lo.", "stop", "usage"]);
    assert_eq!(
        kinds(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ]
    );
    let created = &events[0]["response"];
    assert_eq!((&created["id"], &created["model"]), (&json!("resp_up-1"), &json!("theirs")));
    assert_eq!((&created["status"], &created["output"]), (&json!("in_progress"), &json!([])));
    assert_eq!(
        events[2]["item"],
        json!({"type": "message", "id": "msg_g1_0", "status": "in_progress", "role": "assistant",
            "content": []})
    );
    let empty = json!({"type": "output_text", "annotations": [], "logprobs": [], "text": ""});
    assert_eq!(events[3]["part"], empty);
    assert_eq!(
        events[5],
        json!({"type": "response.output_text.delta", "sequence_number": 5, "item_id": "msg_g1_0",
            "output_index": 0, "content_index": 0, "delta": "lo.", "logprobs": []})
    );
    assert_eq!(events[6]["text"], "Hello.");
    let response = &events[9]["response"];
    assert_eq!(response["status"], "completed");
    assert_eq!(response["usage"]["total_tokens"], 17);
}

#[test]
fn usage_may_come_before_the_finish() {
    let events = events(&["start", "text a", "usage", "stop"]);
    assert_eq!(events.last().unwrap()["response"]["usage"]["input_tokens"], 10);
}

#[test]
fn thinking_grows_in_its_summary_and_is_done_with_its_proof() {
    let events =
        events(&["start", "think H", "think m.", "seal anthropic~seal~s", "text a", "stop", "usage"]);
    assert_eq!(
        kinds(&events)[2..9],
        [
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
        ]
    );
    assert_eq!(
        events[4],
        json!({"type": "response.reasoning_summary_text.delta", "sequence_number": 4,
            "item_id": "rs_g1_0", "output_index": 0, "summary_index": 0, "delta": "H"})
    );
    assert_eq!(
        events[8]["item"],
        json!({"type": "reasoning", "id": "rs_g1_0", "status": "completed",
            "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "anthropic~seal~s"})
    );
}

#[test]
fn a_call_grows_in_its_arguments_and_one_without_any_has_an_empty_object() {
    let events = events(&["start", "call 0 call_a f", "calls", "usage"]);
    assert_eq!(
        kinds(&events)[2..6],
        [
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
        ]
    );
    assert_eq!(events[2]["item"]["arguments"], "");
    assert_eq!(
        events[5]["item"],
        json!({"type": "function_call", "id": "fc_g1_0", "status": "completed", "call_id": "call_a",
            "name": "f", "arguments": "{}"})
    );
}

#[test]
fn arguments_of_parallel_calls_may_come_mixed() {
    let call = |id: &str, arguments: &str, seal| {
        Part::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into(), seal })
    };
    same(
        &[
            "start",
            "text I call.",
            "call 0 a f gemini~seal~g",
            "args 0 {\"x\":",
            "call 1 b f",
            "args 1 {\"y\"",
            "args 0 1}",
            "args 1 :2}",
            "usage",
            "calls",
        ],
        vec![
            Part::Text("I call.".into()),
            call("a", r#"{"x":1}"#, Some(Seal::new(Dialect::Gemini, "g"))),
            call("b", r#"{"y":2}"#, None),
        ],
        Finish::ToolCalls,
    );
}

#[test]
fn proofs_text_and_refusals_come_in_any_order_and_stay_in_it() {
    let redacted = Seal { origin: Dialect::Anthropic, redacted: true, value: "r".into() };
    let thinking = |text: &str, seal| Part::Reasoning { text: text.into(), seal };
    same(
        &[
            "start",
            "think a",
            "seal anthropic!~seal~r",
            "seal anthropic~seal~s",
            "text b",
            "refuse c",
            "think d",
            "text e",
            "refused",
            "usage",
        ],
        vec![
            thinking("a", None),
            thinking("", Some(redacted)),
            thinking("", Some(Seal::new(Dialect::Anthropic, "s"))),
            Part::Text("b".into()),
            Part::Refusal("c".into()),
            thinking("d", None),
            Part::Text("e".into()),
        ],
        Finish::Refusal,
    );
}

#[test]
fn a_refusal_grows_as_one() {
    let events = events(&["start", "refuse I", "refuse  won't.", "refused", "usage"]);
    assert_eq!(
        kinds(&events)[2..8],
        [
            "output_item.added",
            "content_part.added",
            "refusal.delta",
            "refusal.delta",
            "refusal.done",
            "content_part.done",
        ]
    );
    assert_eq!(events[6]["refusal"], "I won't.");
    assert!(events[5].get("logprobs").is_none());
    assert_eq!(events.last().unwrap()["response"]["status"], "completed");
}

#[test]
fn what_is_cut_off_is_incomplete() {
    same(&["start", "text a", "length", "usage"], vec![Part::Text("a".into())], Finish::Length);
    let events = events(&["start", "text a", "call 0 x f", "length", "usage"]);
    let last = &events.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    let output = &last["response"]["output"];
    assert_eq!((&output[0]["status"], &output[1]["status"]), (&json!("completed"), &json!("incomplete")));
    assert_eq!(output[1]["arguments"], "");
}

#[test]
fn log_probabilities_leave_with_their_text_or_right_after_it() {
    let of = |script: &[&str]| {
        let events = events(script);
        let deltas: Vec<(String, usize)> = events
            .iter()
            .filter(|event| event["type"] == "response.output_text.delta")
            .map(|event| {
                let logprobs = event["logprobs"].as_array().unwrap().len();
                (event["delta"].as_str().unwrap().to_owned(), logprobs)
            })
            .collect();
        let whole = events.last().unwrap()["response"]["output"][0]["content"][0]["logprobs"].clone();
        let tokens: Vec<Value> = whole.as_array().unwrap().iter().map(|t| t["token"].clone()).collect();
        assert_eq!(tokens, [json!("a"), json!("b")]);
        deltas
    };
    let delta = |text: &str, logprobs| (text.to_owned(), logprobs);
    assert_eq!(
        of(&["start", "logprob a", "text a", "logprob b", "text b", "stop"]),
        [delta("a", 1), delta("", 1), delta("b", 0)]
    );
    assert_eq!(
        of(&["start", "text a", "logprob a", "text b", "logprob b", "stop"]),
        [delta("a", 0), delta("", 1), delta("b", 0), delta("", 1)]
    );
}

#[test]
fn empty_pieces_and_other_answers_are_not_written() {
    let events = events(&["start", "text ", "think ", "other x", "args 7 x", "other-stop", "stop"]);
    assert_eq!(kinds(&events), ["created", "in_progress", "completed"]);
}

#[test]
fn a_failure_ends_what_is_written_and_leaves_the_word_to_the_error_event() {
    let (ended, written) = through("start\ntext a\nfail It broke.\n", 5);
    assert_eq!(ended, Err(Broken::Failed(Fault::of_status(500, "It broke."))));
    assert_eq!(frames(&written).last().unwrap()["type"], "response.output_text.delta");
}
