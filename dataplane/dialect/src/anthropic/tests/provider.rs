//! What providers are sent.

use serde_json::{Value, json, value::RawValue};

use super::{sent, sent_to};
use crate::{
    Dialect, ProviderApi, ProviderModel,
    anthropic::Messages,
    api::CountApi,
    chat::{
        Effort, Media, Message, Output, OutputSchema, Part, Reasoning, ReasoningAmount, Request, Role, Tool,
        ToolCall, ToolChoice, ToolResult,
    },
    limits::Feature,
    seal::Seal,
};

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn message(role: Role, parts: impl Into<Vec<Part>>) -> Message {
    Message { role, parts: parts.into() }
}

fn user(said: &str) -> Message {
    message(Role::User, [text(said)])
}

fn call(id: &str, arguments: &str) -> Part {
    let (id, name, arguments) = (id.to_owned(), "look".to_owned(), arguments.to_owned());
    Part::ToolCall(ToolCall { id, name, arguments, seal: Some(Seal::new(Dialect::Gemini, "sig")) })
}

fn result(id: &str, content: impl Into<Vec<Part>>) -> Part {
    let (id, name, content) = (id.to_owned(), "look".to_owned(), content.into());
    Part::ToolResult(ToolResult { id, name, content, is_error: false })
}

fn tool(parameters: Option<&str>, strict: Option<bool>) -> Tool {
    let parameters = parameters.map(|text| RawValue::from_string(text.to_owned()).unwrap());
    Tool { name: "look".to_owned(), description: None, parameters, strict }
}

fn messages(messages: impl Into<Vec<Message>>) -> Value {
    let request = Request { messages: messages.into(), ..Request::default() };
    sent(&request)["messages"].take()
}

#[test]
fn the_least_request_says_the_least() {
    let request = Request { messages: vec![user("Hi")], ..Request::default() };
    let said = json!([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]);
    assert_eq!(sent(&request), json!({"model": "claude-opus-5", "max_tokens": 32_000, "messages": said}));
    let model = ProviderModel { name: "m", max_output_tokens: Some(8192) };
    let body: Value = serde_json::from_slice(&Messages.write_request(&request, model)).unwrap();
    assert_eq!(body["max_tokens"], 8192);
}

#[test]
fn system_messages_go_before_the_turns_and_neighbours_are_one_turn() {
    let request = Request {
        messages: vec![
            message(Role::System, [text("a")]),
            user("b"),
            message(Role::System, [text("c")]),
            user("d"),
            message(Role::Assistant, [text("e ")]),
            message(Role::Assistant, [Part::Refusal("f \n".to_owned())]),
        ],
        ..Request::default()
    };
    let body = sent(&request);
    let block = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(body["system"], json!([block("a"), block("c")]));
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [block("b"), block("d")]},
            {"role": "assistant", "content": [block("e "), block("f")]}
        ])
    );
}

#[test]
fn a_call_of_system_messages_alone_is_the_users_turn() {
    let request = Request { messages: vec![message(Role::System, [text("a")])], ..Request::default() };
    let body = sent(&request);
    assert_eq!(body.get("system"), None);
    assert_eq!(body["messages"], json!([{"role": "user", "content": [{"type": "text", "text": "a"}]}]));
}

#[test]
fn what_says_nothing_is_left_out() {
    let thought = Part::Reasoning { text: "x".to_owned(), seal: Some(Seal::new(Dialect::Anthropic, "s")) };
    let said = messages([
        user("a"),
        message(Role::Assistant, [text(" \n")]),
        message(Role::User, [text(""), text("b")]),
        message(Role::Assistant, [thought.clone()]),
        user("b2"),
        message(Role::Assistant, [text("c"), thought]),
    ]);
    assert_eq!(
        said,
        json!([
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"},
                {"type": "text", "text": "b2"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "c"}]}
        ])
    );
}

#[test]
fn results_come_first_and_ids_fit_the_same_way_on_both_sides() {
    let image = Part::Image(Media::Inline { media_type: "image/jpg".to_owned(), data: "/9j/".to_owned() });
    let said = messages([
        message(Role::Assistant, [call("call:1/é", "{\"a\": 1}"), call("call_2", "")]),
        message(Role::User, [text("and"), result("call:1/é", [text("x"), image])]),
        message(Role::User, [result("call_2", [text("")])]),
    ]);
    assert_eq!(
        said,
        json!([
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "call_3a1_2f_c3_a9", "name": "look", "input": {"a": 1}},
                {"type": "tool_use", "id": "call_2", "name": "look", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_3a1_2f_c3_a9", "content": [
                    {"type": "text", "text": "x"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/"}}]},
                {"type": "tool_result", "tool_use_id": "call_2"},
                {"type": "text", "text": "and"}]}
        ])
    );
}

#[test]
fn arguments_that_are_no_object_stand_whole_in_one() {
    for arguments in ["[1,2]", "{\"a\":", "plain \"text\"", "3"] {
        let said = messages([message(Role::Assistant, [call("a", arguments)])]);
        assert_eq!(said[0]["content"][0]["input"], json!({"arguments": arguments}));
    }
}

#[test]
fn thinking_goes_back_only_to_who_thought_it() {
    let thought = |text: &str, seal| Part::Reasoning { text: text.to_owned(), seal };
    let own = Seal::new(Dialect::Anthropic, "sig");
    let hidden = Seal { redacted: true, ..Seal::new(Dialect::Anthropic, "data") };
    let parts = [
        thought("a", Some(own)),
        thought("", Some(hidden)),
        thought("b", None),
        thought("c", Some(Seal::new(Dialect::OpenAI, "enc"))),
        text("d"),
    ];
    assert_eq!(
        messages([message(Role::Assistant, parts)])[0]["content"],
        json!([
            {"type": "thinking", "thinking": "a", "signature": "sig"},
            {"type": "redacted_thinking", "data": "data"},
            {"type": "text", "text": "d"}
        ])
    );
}

#[test]
fn documents_of_text_are_text_however_they_came() {
    let inline = |media_type: &str, data: &str| Part::Document {
        media: Media::Inline { media_type: media_type.to_owned(), data: data.to_owned() },
        name: Some("n".to_owned()),
    };
    let parts =
        [inline("text/markdown", "w6kgIyBB"), inline("text/plain", "YQ=="), inline("text/plain", "?")];
    let plain = |data: &str| json!({"type": "text", "media_type": "text/plain", "data": data});
    let said = messages([message(Role::User, parts)]);
    let sources: Vec<&Value> =
        said[0]["content"].as_array().unwrap().iter().map(|block| &block["source"]).collect();
    let unread = json!({"type": "base64", "media_type": "text/plain", "data": "?"});
    assert_eq!(sources, [&plain("é # A"), &plain("a"), &unread]);
    assert_eq!(said[0]["content"][0]["title"], "n");
}

#[test]
fn tools_have_a_schema_of_an_object() {
    let tools = vec![
        tool(None, Some(true)),
        tool(Some(r#"{"properties":{"b":{},"a":{}}}"#), Some(false)),
        tool(Some(r#"{"type":"object","properties":{"n":{"minimum":1}}}"#), Some(true)),
    ];
    let request = Request { tools, ..Request::default() };
    let body = Messages.write_request(&request, ProviderModel { name: "m", max_output_tokens: None });
    let body = std::str::from_utf8(&body).unwrap();
    let written = &body[body.find("\"tools\"").unwrap()..];
    assert_eq!(
        written,
        concat!(
            r#""tools":[{"name":"look","input_schema":{"type":"object","properties":{},"additionalProperties":false},"strict":true},"#,
            r#"{"name":"look","input_schema":{"type":"object","properties":{"b":{},"a":{}}},"strict":false},"#,
            r#"{"name":"look","input_schema":{"type":"object","properties":{"n":{"description":"{minimum: 1}"}},"#,
            r#""additionalProperties":false},"strict":true}]}"#
        )
    );
}

#[test]
fn every_choice_of_tools_is_written() {
    let choice = |tool_choice, parallel_tool_calls, tools| {
        sent(&Request { tool_choice, parallel_tool_calls, tools, ..Request::default() })["tool_choice"].take()
    };
    let some = || vec![tool(None, None)];
    let named = Some(ToolChoice::Named("a".to_owned()));
    assert_eq!(choice(None, None, some()), Value::Null);
    assert_eq!(choice(None, Some(true), some()), Value::Null);
    assert_eq!(choice(None, Some(false), some()), json!({"type": "auto", "disable_parallel_tool_use": true}));
    assert_eq!(choice(Some(ToolChoice::None), Some(false), some()), json!({"type": "none"}));
    assert_eq!(choice(Some(ToolChoice::Auto), None, some()), json!({"type": "auto"}));
    assert_eq!(choice(Some(ToolChoice::Auto), Some(false), vec![]), Value::Null);
    assert_eq!(choice(Some(ToolChoice::Required), None, some()), json!({"type": "any"}));
    assert_eq!(
        choice(named, Some(false), some()),
        json!({"type": "tool", "name": "a", "disable_parallel_tool_use": true})
    );
}

#[test]
fn an_answers_schema_is_closed_and_keeps_its_description() {
    let schema = RawValue::from_string(r#"{"type":"object","properties":{}}"#.to_owned()).unwrap();
    let (name, description) = ("n".to_owned(), Some("d".to_owned()));
    let output = Output::JsonSchema(OutputSchema { name, description, schema, strict: None });
    let amount = ReasoningAmount::Effort(Effort::XHigh);
    let reasoning = Some(Reasoning { amount, shown: Some(true) });
    let body = sent(&Request { output, reasoning, ..Request::default() });
    assert_eq!(body["thinking"], json!({"type": "adaptive", "display": "summarized"}));
    assert_eq!(
        body["output_config"],
        json!({"effort": "xhigh", "format": {"type": "json_schema", "schema":
            {"type": "object", "properties": {}, "additionalProperties": false, "description": "d"}}})
    );
}

#[test]
fn a_budget_is_sent_to_models_that_know_it() {
    let reasoning = Some(Reasoning { amount: ReasoningAmount::Budget(4096), shown: Some(false) });
    let body = sent_to("claude-haiku-4-5", &Request { reasoning, ..Request::default() });
    assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 4096, "display": "omitted"}));
}

#[test]
fn a_count_is_asked_for_with_what_takes_tokens_only() {
    let request = Request {
        messages: vec![message(Role::System, [text("s")]), user("a")],
        tools: vec![tool(None, None)],
        tool_choice: Some(ToolChoice::Auto),
        reasoning: Some(Reasoning { amount: ReasoningAmount::Effort(Effort::Low), shown: None }),
        max_tokens: Some(5),
        temperature: Some(0.1),
        stop: vec!["x".to_owned()],
        user: Some("u".to_owned()),
        stream: true,
        ..Request::default()
    };
    let model = ProviderModel { name: "m", max_output_tokens: None };
    let body: Value = serde_json::from_slice(&Messages.write_count_request(&request, model)).unwrap();
    let mut fields: Vec<&String> = body.as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(fields, ["messages", "model", "output_config", "system", "thinking", "tool_choice", "tools"]);
}

#[test]
fn counts_are_read_and_written() {
    assert_eq!(Messages.write_count(7).as_ref(), br#"{"input_tokens":7}"#);
    assert_eq!(Messages.read_count(br#"{"input_tokens":7}"#), Ok(7));
    assert!(Messages.read_count(b"{}").is_err());
    assert!(Messages.read_count(b"[7]").is_err());
}

#[test]
fn what_the_api_lacks_is_refused() {
    let media = || Media::Inline { media_type: "x/y".to_owned(), data: "aa==".to_owned() };
    let of_part = |part| Request { messages: vec![message(Role::User, [part])], ..Request::default() };
    for (feature, request) in [
        (Feature::Temperature, Request { temperature: Some(1.5), ..Request::default() }),
        (Feature::Seed, Request { seed: Some(1), ..Request::default() }),
        (Feature::Choices, Request { choices: Some(2), ..Request::default() }),
        (Feature::PresencePenalty, Request { presence_penalty: Some(0.5), ..Request::default() }),
        (Feature::FrequencyPenalty, Request { frequency_penalty: Some(0.5), ..Request::default() }),
        (Feature::Logprobs, Request { logprobs: Some(0), ..Request::default() }),
        (Feature::JsonObject, Request { output: Output::JsonObject, ..Request::default() }),
        (Feature::Audio, of_part(Part::Audio(media()))),
        (Feature::Video, of_part(Part::Video(media()))),
    ] {
        let refused = Messages.limits().check(&request, &Messages).unwrap_err();
        assert_eq!(
            (refused.kind, refused.field.as_str()),
            ("Anthropic", crate::CallerApi::field(&Messages, feature))
        );
    }
}
