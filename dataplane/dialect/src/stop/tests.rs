//! Streams that are ended in the middle, of every dialect, passed and translated: what their clients
//! read behind what they have.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;
use crate::{
    CallerApi,
    gather::Gather,
    surface::{Api, CallerSide, ProviderSide},
    tap::Tap,
    translation::{Through, Translation},
};

const USAGE: Usage = Usage { input: 9, cached_input: 0, cache_write: 0, output: 4, reasoning: 0 };

const CHAT: &str = concat!(
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"gpt\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"gpt\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one \\\"two\\\"\"},\"finish_reason\":null}]}\n\n",
    ": a sign of life\n\n",
);
const MESSAGES: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":3,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":\"text_delta\",\"text\":\"one two\"}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
);
const GEMINI: &str = "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"one two\"}]},\"index\":0}],\"modelVersion\":\"gemini\",\"responseId\":\"r1\"}\n\n";
const OLLAMA_CHAT: &str = "{\"model\":\"llama\",\"created_at\":\"2025-11-25T02:00:00Z\",\"message\":{\"role\":\"assistant\",\"content\":\"one two\"},\"done\":false}\n";
const OLLAMA_GENERATE: &str =
    "{\"model\":\"llama\",\"created_at\":\"2025-11-25T02:00:00Z\",\"response\":\"one two\",\"done\":false}\n";
const RESPONSES: &str = concat!(
    "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":7,\"status\":\"in_progress\",\"model\":\"gpt\",\"output\":[]}}\n\n",
    "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\",\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}\n\n",
    "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"sequence_number\":2,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":3,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"one \"}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":4,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"two\"}\n\n",
);

/// Every API that streams, with the middle of a stream of it.
const STREAMS: [(Api, &str); 7] = [
    (Api::ChatCompletions, CHAT),
    (Api::Responses, RESPONSES),
    (Api::Messages, MESSAGES),
    (Api::StreamGenerateContent, GEMINI),
    (Api::StreamGenerateArray, GEMINI),
    (Api::OllamaChat, OLLAMA_CHAT),
    (Api::OllamaGenerate, OLLAMA_GENERATE),
];

fn caller(api: Api) -> &'static dyn CallerApi {
    let CallerSide::Chat(caller) = api.caller() else { unreachable!("{api:?} does not stream") };
    caller
}

fn context() -> Context {
    Context { id: "id".to_owned(), created: 8, model: "asked".to_owned(), include_usage: true }
}

fn passing(api: Api) -> Through {
    let tap = Tap::new(api.marks().unwrap(), false);
    let mut through = if api == Api::StreamGenerateArray { Through::array(tap) } else { Through::same(tap) };
    through.limit(MostOutput::of(1_000_000));
    through
}

fn translating(from: Api, to: Api) -> Through {
    let Some(ProviderSide::Chat(provider)) = from.provider() else { unreachable!("{from:?} has no side") };
    let writer = caller(to).stream_writer(context());
    Through::other(Translation::new(provider.framing(), provider.stream_reader(), writer))
}

/// What a caller has of a stream, and the end that is made to it.
fn stopped(api: Api, mut through: Through, stream: &str, cut: usize) -> (String, String) {
    let mut out = Gather::default();
    for piece in stream.as_bytes().chunks(cut) {
        through.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
    }
    assert!(!through.ended());
    let has = out.take();
    through.stop_by_length(caller(api), USAGE, &context(), &mut out);
    let text = |bytes: Bytes| String::from_utf8(bytes.into()).unwrap();
    (text(has), text(out.take()))
}

fn passed(api: Api, stream: &str) -> String {
    let (has, end) = stopped(api, passing(api), stream, stream.len());
    for cut in 1..stream.len() {
        let (again, same) = stopped(api, passing(api), stream, cut);
        assert_eq!((&has, &end), (&again, &same), "cut every {cut}");
    }
    end
}

const END_OF_MESSAGES: &str = concat!(
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":3}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"max_tokens\",\"stop_sequence\":null},\"usage\":{\"input_tokens\":9,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":4}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);
const LAST_OF_GEMINI: &str = "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},\"finishReason\":\"MAX_TOKENS\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":4,\"totalTokenCount\":13},\"modelVersion\":\"gemini\",\"responseId\":\"r1\"}";

#[test]
fn a_stream_that_passes_ends_as_its_model_would_end_it() {
    let head = r#"data: {"id":"c1","object":"chat.completion.chunk","created":8,"model":"gpt","choices":["#;
    let chat = passed(Api::ChatCompletions, CHAT);
    let chunks: Vec<&str> =
        chat.split_terminator("\n\n").map(|chunk| chunk.trim_start_matches(head)).collect();
    let [finish, usage, mark] = chunks.as_slice() else { unreachable!("{chat}") };
    assert_eq!(*finish, r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null}"#);
    assert!(usage.starts_with(r#"],"usage":{"prompt_tokens":9,"completion_tokens":4"#), "{usage}");
    assert_eq!(*mark, "data: [DONE]");

    assert_eq!(passed(Api::Messages, MESSAGES), END_OF_MESSAGES);
    assert_eq!(passed(Api::StreamGenerateContent, GEMINI), format!("data: {LAST_OF_GEMINI}\n\n"));
    assert_eq!(passed(Api::StreamGenerateArray, GEMINI), format!(",{LAST_OF_GEMINI}\n]\n"));
    let done = r#""done":true,"done_reason":"length","prompt_eval_count":9,"eval_count":4}"#;
    let line = |model: &str, said: &str| {
        format!("{{\"model\":\"{model}\",\"created_at\":\"1970-01-01T00:00:08Z\",{said},{done}\n")
    };
    let said = r#""message":{"role":"assistant","content":""}"#;
    assert_eq!(passed(Api::OllamaChat, OLLAMA_CHAT), line("llama", said));
    assert_eq!(passed(Api::OllamaGenerate, OLLAMA_GENERATE), line("asked", r#""response":"""#));
}

#[test]
fn a_response_that_is_ended_tells_all_its_items_once_more() {
    let end = passed(Api::Responses, RESPONSES);
    let names: Vec<&str> = end.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let done = ["response.output_text.done", "response.content_part.done", "response.output_item.done"];
    assert_eq!(names, [&done[..], &["response.incomplete"]].concat());
    let last: serde_json::Value =
        serde_json::from_str(end.trim_end().rsplit("data: ").next().unwrap()).unwrap();
    let response = &last["response"];
    assert_eq!(response["id"], "resp_1");
    assert_eq!(response["status"], "incomplete");
    assert_eq!(response["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(response["output"][0]["content"][0]["text"], "one two");
    assert_eq!(response["usage"]["output_tokens"], 4);
}

/// What a client reads of a stream: its text, how it ended, and what it took.
fn read(api: Api, stream: &str) -> (String, Vec<Finish>, Option<Usage>) {
    let Some(ProviderSide::Chat(provider)) = api.provider() else { unreachable!("{api:?} has no side") };
    let (mut reader, mut whole) = (provider.stream_reader(), Bytes::copy_from_slice(stream.as_bytes()));
    let (mut text, mut finishes, mut usage) = (String::new(), Vec::new(), None);
    while let Some(bytes) = frame::next(provider.framing(), &mut whole) {
        let Some(frame) = Frame::parse(provider.framing(), &bytes) else { continue };
        let read = reader.read(&frame, &mut |event| match event {
            Event::Text { text: more, .. } => text += &more,
            Event::Finish { finish, .. } => finishes.push(finish),
            Event::Usage(said) => usage = Some(said),
            _ => {}
        });
        read.unwrap();
    }
    (text, finishes, usage)
}

#[test]
fn whatever_provider_and_caller_a_client_reads_an_ordinary_end() {
    let readable = |api: Api| api.provider().is_some();
    for (from, stream) in STREAMS.into_iter().filter(|(from, _)| readable(*from)) {
        for (to, _) in STREAMS.into_iter().filter(|(to, _)| readable(*to)) {
            let through = if from == to { passing(to) } else { translating(from, to) };
            let (has, end) = stopped(to, through, stream, stream.len());
            let (text, finishes, usage) = read(to, &(has + &end));
            assert_eq!(text.replace('"', ""), "one two", "{from:?} to {to:?}");
            assert_eq!(finishes, [Finish::Length], "{from:?} to {to:?}");
            assert_eq!(usage, Some(USAGE), "{from:?} to {to:?}");
        }
    }
}

#[test]
fn a_stream_that_has_not_begun_is_whole_when_it_is_ended() {
    for (to, _) in STREAMS.into_iter().filter(|(to, _)| to.provider().is_some()) {
        for through in [passing(to), translating(Api::Messages, to)] {
            let (has, end) = stopped(to, through, ": a sign of life\n\n", 99);
            let behind = end.split_terminator("\n\n").last().unwrap_or_default();
            assert!(!behind.is_empty(), "{to:?}: {has}{end}");
            assert_eq!(read(to, &end).1, [Finish::Length], "{to:?}: {end}");
        }
    }
    let (_, end) = stopped(Api::StreamGenerateArray, passing(Api::StreamGenerateArray), ": \n\n", 99);
    assert!(end.starts_with('[') && end.ends_with("]\n"), "{end}");
}

#[test]
fn a_choice_that_has_ended_is_not_ended_again() {
    let ended = CHAT.replace("\"finish_reason\":null}]}\n\n:", "\"finish_reason\":\"stop\"}]}\n\ndata: {\"id\":\"c1\",\"choices\":[{\"index\":1,\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\n:");
    let (_, end) = stopped(Api::Messages, translating(Api::ChatCompletions, Api::Messages), &ended, 9999);
    assert!(end.contains("message_stop") && !end.contains("max_tokens"), "its one answer has ended: {end}");
}

/// Every way of a stream, with a most of its output.
fn limited(api: Api, tokens: u64) -> Vec<Through> {
    let mut ways = vec![passing(api)];
    ways.extend(api.provider().map(|_| translating(api, Api::Messages)));
    ways.iter_mut().for_each(|way| way.limit(MostOutput::of(tokens)));
    ways
}

/// The frames of a stream that show text, with another text in them.
fn saying(api: Api, text: &str) -> Bytes {
    let (_, stream) = STREAMS.into_iter().find(|(one, _)| *one == api).unwrap();
    let border = if stream.contains("\n\n") { "\n\n" } else { "\n" };
    let frame = stream.split_inclusive(border).filter(|frame| frame.contains("two")).last().unwrap();
    let said = ["one \\\"two\\\"", "one two", "two"].into_iter().find(|said| frame.contains(said)).unwrap();
    Bytes::from(frame.replace(said, text))
}

#[test]
fn more_text_than_so_many_tokens_can_say_is_too_much_and_no_less() {
    for (api, stream) in STREAMS {
        for mut through in limited(api, 10) {
            let mut out = Gather::default();
            through.push(Bytes::from(stream), &mut out).unwrap();
            let piece = "\\n\\u00e9 ".repeat(20);
            // A line, a letter of two bytes and a blank: four bytes, of which three at least are counted.
            let (mut said, mut pushed) = (0, 0);
            while !through.runs_past() {
                through.push(saying(api, &piece), &mut out).unwrap();
                (said, pushed) = (said + 80, pushed + 1);
                assert!(pushed < 1_000, "{api:?}");
            }
            assert!((42 * 128..4 * 42 * 128).contains(&said), "{api:?}: {said} bytes");
        }
    }
}

#[test]
fn an_answer_that_comes_letter_by_letter_is_never_too_much() {
    for (api, stream) in STREAMS {
        for mut through in limited(api, 10) {
            let mut out = Gather::default();
            through.push(Bytes::from(stream), &mut out).unwrap();
            // Ten tokens of the longest, each letter in JSON of a hundred bytes.
            for _ in 0..10 * 128 {
                through.push(saying(api, "x"), &mut out).unwrap();
                assert!(!through.runs_past(), "{api:?}");
                out.take();
            }
        }
    }
}

#[test]
fn what_the_provider_counts_itself_is_believed_on_the_way_and_nothing_is_stopped_behind_its_end() {
    let counted = |output: u64| {
        CHAT.replace("\"finish_reason\":null}]}\n\n:", &format!("\"finish_reason\":null}}],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{output}}}}}\n\n:"))
    };
    for (output, past) in [(10, false), (42, false), (43, true)] {
        for mut through in limited(Api::ChatCompletions, 10) {
            through.push(counted(output).into(), &mut Gather::default()).unwrap();
            assert_eq!(through.runs_past(), past, "{output}: {through:?}");
        }
    }
    let ended = counted(4_000)
        .replace("\"finish_reason\":null}],\"usage\"", "\"finish_reason\":\"stop\"}],\"usage\"");
    for mut through in limited(Api::ChatCompletions, 10) {
        through.push(ended.clone().into(), &mut Gather::default()).unwrap();
        assert!(!through.runs_past(), "{through:?}");
    }
}

#[test]
fn what_is_no_text_of_the_model_counts_nothing() {
    let signature = "x".repeat(100_000);
    for (api, frame) in [
        (
            Api::Messages,
            format!(
                "data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"signature_delta\",\"signature\":\"{signature}\"}}}}\n\n"
            ),
        ),
        (
            Api::Messages,
            format!(
                "data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"citations_delta\",\"citation\":{{\"cited_text\":\"{signature}\"}}}}}}\n\n"
            ),
        ),
        (
            Api::StreamGenerateContent,
            format!(
                "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"inlineData\":{{\"mimeType\":\"image/png\",\"data\":\"{signature}\"}}}}]}}}}]}}\n\n"
            ),
        ),
        (
            Api::ChatCompletions,
            format!(
                "data: {{\"choices\":[{{\"index\":0,\"message\":{{\"content\":\"{signature}\"}},\"delta\":{{\"audio\":{{\"data\":\"{signature}\"}}}}}}]}}\n\n"
            ),
        ),
    ] {
        let mut through = passing(api);
        through.limit(MostOutput::of(1));
        for _ in 0..2 {
            through.push(frame.clone().into(), &mut Gather::default()).unwrap();
        }
        assert!(!through.runs_past(), "{api:?}: {}", &frame[..80]);
    }
}

/// A stream's ways, of a call for two answers.
fn for_two(api: Api, tokens: u64) -> Vec<Through> {
    let mut ways = limited(api, tokens);
    ways.iter_mut().for_each(|way| way.expect(2));
    ways
}

/// A frame in which each of these choices says its text, or ends.
fn several(api: Api, choices: &[(u32, Option<&str>)]) -> Bytes {
    let choice = |(index, text): &(u32, Option<&str>)| match (api, text) {
        (Api::ChatCompletions, Some(text)) => {
            format!("{{\"index\":{index},\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}")
        }
        (Api::ChatCompletions, None) => {
            format!("{{\"index\":{index},\"delta\":{{}},\"finish_reason\":\"stop\"}}")
        }
        (_, Some(text)) => {
            format!(
                "{{\"index\":{index},\"content\":{{\"role\":\"model\",\"parts\":[{{\"text\":\"{text}\"}}]}}}}"
            )
        }
        (_, None) => format!("{{\"index\":{index},\"finishReason\":\"STOP\"}}"),
    };
    let name = if api == Api::ChatCompletions { "choices" } else { "candidates" };
    let choices: Vec<_> = choices.iter().map(choice).collect();
    format!("data: {{\"id\":\"c1\",\"{name}\":[{}]}}\n\n", choices.join(",")).into()
}

const OF_SEVERAL: [Api; 3] = [Api::ChatCompletions, Api::StreamGenerateContent, Api::StreamGenerateArray];

#[test]
fn one_answer_that_has_ended_lets_no_other_run_past() {
    let text = "all work and no play ".repeat(300);
    for api in OF_SEVERAL {
        // One after the other, and both at once.
        for begun in [vec![(0, Some("done"))], vec![(0, Some("done")), (1, Some("on"))]] {
            for mut through in for_two(api, 10) {
                let mut out = Gather::default();
                through.push(several(api, &begun), &mut out).unwrap();
                through.push(several(api, &[(0, None)]), &mut out).unwrap();
                assert!(!through.ended() && !through.runs_past(), "{api:?}: {through:?}");
                through.push(several(api, &[(1, Some(&text))]), &mut out).unwrap();
                assert!(!through.ended() && through.runs_past(), "{api:?}: {through:?}");
                through.push(several(api, &[(1, None)]), &mut out).unwrap();
                assert!(through.ended() && !through.runs_past(), "{api:?}: {through:?}");
            }
        }
    }
}

#[test]
fn only_answers_that_have_not_ended_are_ended() {
    for api in OF_SEVERAL {
        let mut through = passing(api);
        through.expect(3);
        let mut out = Gather::default();
        for choices in [&[(0, Some("one")), (1, Some("two"))][..], &[(1, None)]] {
            through.push(several(api, choices), &mut out).unwrap();
        }
        out.take();
        through.stop_by_length(caller(api), USAGE, &context(), &mut out);
        let end = String::from_utf8(out.take().into()).unwrap();
        let (name, length) = match api {
            Api::ChatCompletions => ("finish_reason", "length"),
            _ => ("finishReason", "MAX_TOKENS"),
        };
        assert_eq!(end.matches(&format!("\"{name}\":\"{length}\"")).count(), 2, "{api:?}: {end}");
        assert!(!end.contains("\"index\":1"), "{api:?}: {end}");
    }
}

#[test]
fn a_stream_of_fewer_answers_than_were_asked_for_has_an_end() {
    for mark in ["", "data: [DONE]\n\n"] {
        for mut through in for_two(Api::ChatCompletions, 10) {
            let mut out = Gather::default();
            through.push(several(Api::ChatCompletions, &[(0, Some("done"))]), &mut out).unwrap();
            through.push(several(Api::ChatCompletions, &[(0, None)]), &mut out).unwrap();
            through.push(mark.into(), &mut out).unwrap();
            assert_eq!((through.end(&mut out), through.ended()), (Ok(true), true), "{mark}: {through:?}");
        }
        for mut through in for_two(Api::ChatCompletions, 10) {
            let mut out = Gather::default();
            let begun = [(0, Some("done")), (1, Some("on"))];
            through.push(several(Api::ChatCompletions, &begun), &mut out).unwrap();
            through.push(several(Api::ChatCompletions, &[(0, None)]), &mut out).unwrap();
            assert_eq!(through.end(&mut out), Ok(false), "one has broken off: {through:?}");
        }
    }
    let mut refused = passing(Api::StreamGenerateContent);
    refused.expect(2);
    let blocked = "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n";
    refused.push(blocked.into(), &mut Gather::default()).unwrap();
    assert!(refused.ended());
}
