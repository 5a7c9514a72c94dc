//! What is skimmed of a conversation is what reading it whole says of it.

use std::borrow::Cow;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::chat::{Output, Plain, PlainMessage};

/// The same of a request that was read whole; `None` where it has more than text.
fn plain_of(request: &Request) -> Option<Plain<'_>> {
    let message = |message: &Message| {
        let text = |part: &Part| match part {
            Part::Text(text) => Some(Cow::Owned(text.clone().into_bytes())),
            _ => None,
        };
        let texts = message.parts.iter().map(text).collect::<Option<_>>()?;
        Some(PlainMessage { role: message.role, texts })
    };
    let asks_more =
        !request.tools.is_empty() || request.reasoning.is_some() || !matches!(request.output, Output::Text);
    let messages = request.messages.iter().map(message).collect::<Option<_>>()?;
    (!asks_more).then_some(Plain { messages, max_tokens: request.max_tokens })
}

fn message() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[ -~]{0,40}", Just("料金\n\t\"é\\\u{7f}".to_owned()), Just(String::new())];
    let role = prop::sample::select(vec!["system", "developer", "user", "assistant"]);
    let texts = vec(text.clone(), 1..3).prop_map(|texts| {
        texts.into_iter().map(|text| json!({"type": "text", "text": text})).collect::<Value>()
    });
    let content = prop_oneof![3 => text.prop_map(Value::from), 1 => texts];
    (role, content).prop_map(|(role, content)| json!({"role": role, "content": content}))
}

proptest! {
    #[test]
    fn a_conversation_of_text_is_read_in_one_pass(
        messages in vec(message(), 0..5),
        limit in prop::option::of(0..5_000_u64),
        by in prop::sample::select(vec!["max_tokens", "max_completion_tokens"]),
        pretty: bool,
    ) {
        // An answer's are left out where there are others.
        let is_empty = |texts: &Vec<Value>| texts.len() > 1 && texts.iter().any(|part| part["text"] == "");
        let of_answer = |message: &Value| message["role"] == "assistant" && message["content"].as_array().is_some_and(is_empty);
        let is_more = messages.iter().any(of_answer);
        let body = json!({"model": "m", "messages": messages, by: limit, "temperature": 0.5, "stop": ["a"], "tools": null});
        let body = if pretty { format!("{body:#}") } else { body.to_string() };
        let request = Chat.read_request(body.as_bytes()).unwrap();
        let plain = Chat.read_plain(body.as_bytes());
        prop_assert_eq!(plain, plain_of(&request).filter(|_| !is_more), "{}", body);
    }
}

#[test]
fn what_is_more_than_text_is_left_to_who_reads_it_whole() {
    let user = r#"{"role":"user","content":"a"}"#;
    let with = |fields: &str| format!(r#"{{"messages":[{user}],{fields}}}"#);
    let of = |message: &str| format!(r#"{{"messages":[{user},{message}]}}"#);
    assert!(Chat.read_plain(with(r#""n":2"#).as_bytes()).is_some());
    for body in [
        with(r#""tools":[]"#),
        with(r#""response_format":{"type":"json_object"}"#),
        with(r#""reasoning_effort":"high""#),
        with(r#""max_tokens":1,"max_completion_tokens":2"#),
        with(r#""max_tokens":1,"m\u0061x_tokens":2"#),
        with(r#""max_tokens":1.5"#),
        with(r#""messages":[]"#),
        with(r#""max_tokens":null,"max_tokens":5"#),
        of(r#"{"role":"assistant","content":null,"tool_calls":[]}"#),
        of(r#"{"role":"assistant","content":"a","reasoning_content":"b"}"#),
        of(r#"{"role":"tool","content":"a","tool_call_id":"b"}"#),
        of(r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a"}}]}"#),
        of(r#"{"role":"user","content":[{"type":"text","text":"a","type":"text"}]}"#),
        of(r#"{"role":"user","content":[{"type":"text"}]}"#),
        of(r#"{"role":"user","content":"\ud800"}"#),
        of(r#"{"role":"user"}"#),
        of(r#"{"role":"user","role":"user","content":"a"}"#),
        r#"{"model":"m"}"#.to_owned(),
        "[]".to_owned(),
    ] {
        assert_eq!(Chat.read_plain(body.as_bytes()), None, "{body}");
    }
}
