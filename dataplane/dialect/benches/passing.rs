//! What a call costs that passes between a caller and a provider of the same API: nanoseconds for each
//! reading of its body and of its reply. Apart from the benchmark of the whole proxy, whose noise is
//! larger than any of these.
//!
//! With the name of a case and a count it runs only that case, so often: under callgrind the difference
//! of two counts is exact.

use std::{env, hint::black_box, time::Instant};

use bytes::Bytes;
use llm_dialect::{
    CallerApi as _, Dialect, bound,
    envelope::Envelope,
    gather::Gather,
    openai::Chat,
    surface::{Api, Kind},
    tap::Tap,
};
use serde_json::json;

const MODEL: &str = "bench-model";
const SENTENCE: &str = "Say in plain words what this gateway costs for each call that passes through it. ";
const ESCAPED: &str =
    "Say in plain words what this \"gateway\" costs for each call that passes through it.\n";
/// Long enough to drown the clock's own cost.
const MEASURED_NS: u128 = 100_000_000;

struct Case {
    name: &'static str,
    run: Box<dyn Fn()>,
}

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    for Case { name, run } in cases() {
        match args.as_slice() {
            [only, count] if only == name => (0..count.parse().unwrap_or(1)).for_each(|_| run()),
            [_, _] => {}
            _ => println!("{name:<24} {:>12.1} ns", nanoseconds(&run)),
        }
    }
}

/// The best of five rounds: what else the machine does can only add to it.
fn nanoseconds(run: &dyn Fn()) -> f64 {
    let round = |calls: u32| {
        let start = Instant::now();
        (0..calls).for_each(|_| run());
        start.elapsed().as_nanos()
    };
    let mut calls = 1;
    while round(calls) < MEASURED_NS / 5 {
        calls *= 2;
    }
    (0..5).map(|_| round(calls)).min().unwrap_or_default() as f64 / f64::from(calls)
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |name, run: Box<dyn Fn()>| cases.push(Case { name, run });
    for (name, size) in [("envelope-1k", 1 << 10), ("envelope-16k", 16 << 10), ("envelope-1m", 1 << 20)] {
        let body = chat(SENTENCE, size);
        case(name, Box::new(move || drop(black_box(Envelope::read(shape(), black_box(&body))))));
    }
    let body = chat(ESCAPED, 1 << 10);
    case("envelope-1k-escaped", Box::new(move || drop(black_box(Envelope::read(shape(), black_box(&body))))));
    let body =
        chat("Sagen Sie, was diese Übersetzung für jeden Aufruf kostet: 料金はいくらですか。\n", 16 << 10);
    case("envelope-16k-utf8", Box::new(move || drop(black_box(Envelope::read(shape(), black_box(&body))))));
    // Where a rule wants to know how difficult a call is, it is read though it passes: of text alone, or whole.
    for (plain, whole, size) in [("plain-1k", "meaning-1k", 1 << 10), ("plain-16k", "meaning-16k", 16 << 10)]
    {
        let body = chat(SENTENCE, size);
        let same = body.clone();
        case(plain, Box::new(move || drop(black_box(Chat.read_plain(black_box(&body))))));
        case(whole, Box::new(move || drop(black_box(Chat.read_request(black_box(&same))))));
    }
    // The bound alone costs nothing that could be measured: it is noted as the envelope is read.
    for (name, size) in [("bound-1k", 1 << 10), ("bound-4k", 4 << 10), ("bound-100k", 100 << 10)] {
        let body = chat(SENTENCE, size);
        case(name, Box::new(move || _ = black_box(most(black_box(&body)))));
    }
    let chunk = Bytes::from(format!("data: {}\n\n", chunk()));
    case("tap-chunks-100", Box::new(move || pass_chunks(&chunk, 100)));
    let mut usage = |name, api: Api, reply: Bytes| {
        case(name, Box::new(move || drop(black_box(api.usage_of_reply(black_box(&reply))))));
    };
    usage("usage-openai-1k", Api::ChatCompletions, completion(1 << 10).to_string().into());
    usage("usage-openai-64k", Api::ChatCompletions, completion(64 << 10).to_string().into());
    let pretty = format!("{:#}", completion(1 << 10));
    usage("usage-openai-1k-pretty", Api::ChatCompletions, pretty.into());
    usage("usage-responses-1k", Api::Responses, response().to_string().into());
    usage("usage-anthropic-1k", Api::Messages, message().to_string().into());
    usage("usage-gemini-1k", Api::GenerateContent, generated().to_string().into());
    usage("usage-ollama-1k", Api::OllamaChat, answered().to_string().into());
    usage("usage-embeddings-64k", Api::Embeddings, embeddings().to_string().into());

    let body = chat(SENTENCE, 1 << 10);
    if let Ok(envelope) = Envelope::read(shape(), &body) {
        case(
            "upstream-body",
            Box::new(move || drop(black_box(envelope.upstream_body(&body, black_box(MODEL))))),
        );
    }
    for (name, dialect) in [("seals-openai-1k", Dialect::OpenAI), ("seals-gemini-1k", Dialect::Gemini)] {
        let body = chat(SENTENCE, 1 << 10);
        case(
            name,
            Box::new(move || {
                black_box(dialect.keeps_foreign_seals(black_box(&body)));
            }),
        );
    }
    cases
}

fn most(body: &Bytes) -> Option<(u64, Option<u64>)> {
    let envelope = Envelope::read(shape(), body).ok()?;
    let input = bound::input(Api::ChatCompletions, &envelope, body, Kind::OpenAI, MODEL);
    let output = bound::output(Api::ChatCompletions, &envelope, Api::ChatCompletions, false);
    Some((input.most(Some(128_000)).ok()?, output.most(None).ok()?))
}

fn pass_chunks(chunk: &Bytes, count: usize) {
    let Some(marks) = Api::ChatCompletions.marks() else { return };
    let (mut tap, mut out) = (Tap::new(marks, true), Gather::default());
    for _ in 0..count {
        let _ = black_box(tap.push(black_box(chunk.clone()), &mut out));
        black_box(out.take());
    }
    black_box(tap.count());
}

fn shape() -> &'static llm_dialect::envelope::Shape {
    Api::ChatCompletions.shape()
}

fn text(sentence: &str, size: usize) -> String {
    sentence.repeat(size.div_ceil(sentence.len()))
}

/// A conversation of about `size` bytes, in turns of a kilobyte at most.
fn chat(sentence: &str, size: usize) -> Bytes {
    let turn = json!({"role": "user", "content": text(sentence, 800)});
    let turns = vec![turn; size.div_ceil(1024)];
    json!({"model": MODEL, "messages": turns, "temperature": 0.2, "max_tokens": 256}).to_string().into()
}

fn completion(size: usize) -> serde_json::Value {
    json!({
        "id": "chatcmpl-0123456789abcdef", "object": "chat.completion", "created": 1_760_000_000,
        "model": MODEL,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text(SENTENCE, size - 500), "refusal": null},
            "logprobs": null, "finish_reason": "stop",
        }],
        "usage": {
            "prompt_tokens": 190, "completion_tokens": 64, "total_tokens": 254,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details":
                {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0},
        },
        "service_tier": "default", "system_fingerprint": "fp_44709d6fcb",
    })
}

fn chunk() -> serde_json::Value {
    json!({
        "id": "chatcmpl-0123456789abcdef", "object": "chat.completion.chunk", "created": 1_760_000_000,
        "model": MODEL, "system_fingerprint": "fp_44709d6fcb",
        "choices": [{"index": 0, "delta": {"content": " gateway"}, "logprobs": null, "finish_reason": null}],
        "usage": null,
    })
}

fn response() -> serde_json::Value {
    json!({
        "id": "resp_0123456789abcdef", "object": "response", "created_at": 1_760_000_000,
        "status": "completed",
        "model": MODEL,
        "output": [{
            "type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": text(SENTENCE, 500), "annotations": []}],
        }],
        "usage": {
            "input_tokens": 190, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 64,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 254,
        },
    })
}

fn message() -> serde_json::Value {
    json!({
        "id": "msg_0123456789abcdef", "type": "message", "role": "assistant", "model": MODEL,
        "content": [{"type": "text", "text": text(SENTENCE, 600)}], "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 190, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "output_tokens": 64, "service_tier": "standard",
        },
    })
}

fn generated() -> serde_json::Value {
    json!({
        "candidates": [{
            "content": {"role": "model", "parts": [{"text": text(SENTENCE, 600)}]}, "finishReason": "STOP",
        }],
        "usageMetadata": {"promptTokenCount": 190, "candidatesTokenCount": 64, "totalTokenCount": 254},
        "modelVersion": MODEL, "responseId": "0123456789abcdef",
    })
}

fn answered() -> serde_json::Value {
    json!({
        "model": MODEL, "created_at": "2025-11-25T02:00:00Z",
        "message": {"role": "assistant", "content": text(SENTENCE, 600)}, "done": true, "done_reason": "stop",
        "total_duration": 4_883_583_458_u64, "prompt_eval_count": 190, "eval_count": 64,
    })
}

/// Three vectors of 1024 numbers.
fn embeddings() -> serde_json::Value {
    let vector: Vec<f64> = (0..1024).map(|i| f64::from(i - 512) / 7919.0).collect();
    let data: Vec<_> =
        (0..3).map(|i| json!({"object": "embedding", "index": i, "embedding": vector})).collect();
    json!({"object": "list", "data": data, "model": MODEL, "usage": {"prompt_tokens": 8, "total_tokens": 8}})
}
