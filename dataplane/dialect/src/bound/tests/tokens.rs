//! The bound against real tokenizers: of whatever text, in whatever API, a model is told no more than
//! the bound says.

use proptest::prelude::*;
use serde_json::{Value, json};
use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton};

use super::*;

/// Texts of every kind: any characters, and those that tokenizers have few tokens for.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "\\PC{0,200}",
        "[\u{300}-\u{36f}\u{fdfa}\u{1f468}\u{200d}\u{e0020}-\u{e007f}]{0,60}",
        "[0-9 \n\t\u{a0}\"\\\\]{0,120}",
        "[\u{0}-\u{1f}<|>]{0,60}",
        "[a-z]{0,12}( [A-Z][a-z]{0,9}){0,30}",
    ]
}

/// A call of an API that says a text, calls a tool and has another.
fn call(api: Api, text: &str, values: &[u8]) -> Value {
    let schema = json!({"type": "object", "properties": {"a": {"enum": values}}, "description": text});
    let function = json!({"name": "f", "description": text, "parameters": schema});
    let tools = json!([{"type": "function", "function": function}]);
    let arguments = json!({"a": values, "b": text});
    match api {
        Api::ChatCompletions => json!({"model": "m", "tools": tools, "messages": [
            {"role": "user", "content": text},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function",
                "function": {"name": "f", "arguments": arguments.to_string()}}]},
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": text}]}]}),
        Api::Responses => json!({"model": "m", "instructions": text,
            "tools": [{"type": "function", "name": "f", "parameters": schema}],
            "input": [{"role": "user", "content": [{"type": "input_text", "text": text}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": arguments.to_string()},
                {"type": "function_call_output", "call_id": "c", "output": text}]}),
        Api::Messages => json!({"model": "m", "max_tokens": 9, "system": text,
            "tools": [{"name": "f", "input_schema": schema}],
            "messages": [{"role": "user", "content": text},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": arguments}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": text}]}]}),
        Api::OllamaChat => json!({"model": "m", "tools": tools, "messages": [
            {"role": "user", "content": text},
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]},
            {"role": "tool", "tool_name": "f", "content": text}]}),
        Api::OllamaGenerate => json!({"model": "m", "prompt": text, "system": text}),
        Api::Embeddings | Api::OllamaEmbed => json!({"model": "m", "input": [text, text]}),
        Api::EmbedContent => json!({"content": {"parts": [{"text": text}]}}),
        Api::BatchEmbedContents => json!({"requests": [{"content": {"parts": [{"text": text}]}}]}),
        _ => json!({"systemInstruction": {"parts": [{"text": text}]},
            "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}],
            "contents": [{"role": "user", "parts": [{"text": text}]},
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": arguments}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": text}}}]}]}),
    }
}

/// What a chat template makes of a body, at its most talkative: every text between marks, and
/// everything with structure laid out over many lines.
fn told(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => *out += &format!("<|im_start|>{text}<|im_end|>\n"),
        Value::Array(values) => values.iter().for_each(|value| told(value, out)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "tools" | "tool_calls" | "input" | "args" if !value.is_string() && !is_items(value) => {
                        *out += &format!("{value:#}\n");
                    }
                    "model" | "type" => {}
                    _ => told(value, out),
                }
            }
        }
        _ => {}
    }
}

/// The `input` of embeddings and of responses is no structure of the caller's own.
fn is_items(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|items| items.iter().any(|item| item.is_string() || item.get("role").is_some()))
}

fn count(tokenizer: &CoreBPE, text: &str) -> u64 {
    tokenizer.encode_ordinary(text).len() as u64
}

/// The body with every character of its texts escaped that may be.
fn escaped(body: &Value) -> String {
    body.to_string().chars().fold(String::new(), |mut escaped, c| {
        match c {
            c if c.is_ascii() => escaped.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped += &format!("\\u{unit:04x}")),
        }
        escaped
    })
}

const APIS: [Api; 11] = [
    Api::ChatCompletions,
    Api::Responses,
    Api::Messages,
    Api::GenerateContent,
    Api::StreamGenerateContent,
    Api::OllamaChat,
    Api::OllamaGenerate,
    Api::Embeddings,
    Api::OllamaEmbed,
    Api::EmbedContent,
    Api::BatchEmbedContents,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_tokenizer_makes_more_of_a_call_than_the_bound_says(
        text in text(),
        values in proptest::collection::vec(0_u8..10, 0..40),
    ) {
        for api in APIS {
            let body = call(api, &text, &values);
            let mut said = String::new();
            told(&body, &mut said);
            let tokens = [o200k_base_singleton(), cl100k_base_singleton()].map(|bpe| count(bpe, &said));
            for written in [body.to_string(), escaped(&body)] {
                let (most, _) = most(api, Kind::OpenAI, "m", &written);
                let most = most.unwrap();
                prop_assert!(tokens.iter().all(|tokens| *tokens <= most), "{tokens:?} of {most}: {written}");
            }
        }
    }
}
