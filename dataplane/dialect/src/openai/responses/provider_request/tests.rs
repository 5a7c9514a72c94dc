//! What requests are written as, that a caller could have written them, and what is refused before.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::{Value, json};

use super::*;
use crate::{
    CallerApi, Dialect,
    anthropic::Messages,
    chat::{Effort, Media, Message, Part, Role, ToolCall, ToolResult},
    openai::{
        Chat,
        responses::{LIMITS, Responses},
    },
    seal::Seal,
};

fn written(request: &Request) -> Value {
    written_for(request, "gpt-5")
}

fn written_for(request: &Request, model: &str) -> Value {
    let model = ProviderModel { name: model, max_output_tokens: None };
    serde_json::from_slice(&write(request, model)).unwrap()
}

fn of(messages: Vec<Message>) -> Request {
    Request { messages, ..Request::default() }
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn call(id: &str) -> Part {
    Part::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: r#"{"a":1}"#.into(), seal: None })
}

fn result(id: &str, content: Vec<Part>, is_error: bool) -> Part {
    Part::ToolResult(ToolResult { id: id.into(), name: "f".into(), content, is_error })
}

fn png() -> Part {
    Part::Image(Media::Inline { media_type: "image/png".into(), data: "iVBORw0=".into() })
}

fn thought(text: &str, seal: Option<Seal>) -> Part {
    Part::Reasoning { text: text.into(), seal }
}

fn sealed(value: &str) -> Option<Seal> {
    Some(Seal::new(Dialect::OpenAI, value))
}

/// A conversation with all that the API has a place for.
fn conversation() -> Vec<Message> {
    let pdf = Media::Inline { media_type: "application/pdf".into(), data: "JVBERi0=".into() };
    let elsewhere = Media::Url { url: "https://x/a.pdf".into(), media_type: None };
    let image = Media::Url { url: "https://x/a.png".into(), media_type: None };
    vec![
        message(Role::System, vec![text("Be brief.")]),
        message(
            Role::User,
            vec![
                text("What is this?"),
                png(),
                Part::Image(image),
                Part::Document { media: pdf, name: Some("a.pdf".into()) },
                Part::Document { media: elsewhere, name: None },
            ],
        ),
        message(
            Role::Assistant,
            vec![
                thought("Look.", sealed("gAAA")),
                text("I look."),
                call("a"),
                thought("", sealed("gBBB")),
                call("b"),
            ],
        ),
        message(
            Role::User,
            vec![result("a", vec![text("fine")], false), result("b", vec![text("see"), png()], false)],
        ),
        message(Role::System, vec![text("Be briefer.")]),
        message(Role::User, vec![text("And?")]),
        message(Role::Assistant, vec![text("No."), Part::Refusal("I won't.".into())]),
        message(Role::User, vec![text("Why?")]),
    ]
}

#[test]
fn a_conversation_becomes_items_in_order() {
    let body = written(&of(conversation()));
    let png = json!({"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw0="});
    let call =
        |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{\"a\":1}"});
    assert_eq!(
        body,
        json!({"model": "gpt-5", "include": ["reasoning.encrypted_content"], "store": false, "input": [
            {"type": "message", "role": "system", "content": "Be brief."},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "What is this?"},
                png,
                {"type": "input_image", "detail": "auto", "image_url": "https://x/a.png"},
                {"type": "input_file", "filename": "a.pdf",
                 "file_data": "data:application/pdf;base64,JVBERi0="},
                {"type": "input_file", "file_url": "https://x/a.pdf"},
            ]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Look."}],
             "encrypted_content": "gAAA"},
            {"type": "message", "role": "assistant", "content": "I look."},
            call("a"),
            {"type": "reasoning", "summary": [], "encrypted_content": "gBBB"},
            call("b"),
            {"type": "function_call_output", "call_id": "a", "output": "fine"},
            {"type": "function_call_output", "call_id": "b", "output": [
                {"type": "input_text", "text": "see"},
                png,
            ]},
            {"type": "message", "role": "system", "content": "Be briefer."},
            {"type": "message", "role": "user", "content": "And?"},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "No."},
                {"type": "refusal", "refusal": "I won't."},
            ]},
            {"type": "message", "role": "user", "content": "Why?"},
        ]})
    );
}

#[test]
fn a_caller_of_the_api_could_have_written_it() {
    let asked = json!({
        "model": "gpt-5",
        "input": [],
        "tools": [
            {"type": "function", "name": "f", "description": "d", "strict": true,
             "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
            {"type": "function", "name": "g", "strict": false,
             "parameters": {"type": "object", "properties": {}}},
        ],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": false,
        "max_output_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.25,
        "reasoning": {"effort": "xhigh", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "top_logprobs": 3,
        "safety_identifier": "u",
        "store": false,
        "stream": true,
    });
    let mut asked = asked;
    asked["input"] = written(&of(conversation()))["input"].clone();
    let request = Responses.read_request(asked.to_string().as_bytes()).unwrap();
    assert_eq!(request.leftovers, []);
    assert_eq!(request.messages, conversation());
    assert_eq!(LIMITS.check(&request, &Responses), Ok(()));
    assert_eq!(written(&request), asked);
}

#[test]
fn only_its_own_seals_are_sent_back() {
    let foreign = Seal::new(Dialect::Anthropic, "s");
    let mut called = call("a");
    if let Part::ToolCall(call) = &mut called {
        call.seal = sealed("of another server");
    }
    let request = of(vec![message(
        Role::Assistant,
        vec![
            thought("a", Some(foreign)),
            thought("b", None),
            thought("c", sealed(r#"{"type":"reasoning.text","signature":"x"}"#)),
            called,
        ],
    )]);
    assert_eq!(
        written(&request)["input"],
        json!([{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{\"a\":1}"}])
    );
}

#[test]
fn models_that_do_not_think_are_told_nothing_of_thinking() {
    let request = of(vec![message(Role::Assistant, vec![thought("a", sealed("g")), text("b")])]);
    for model in ["gpt-4o", "gpt-4.1-mini", "ft:gpt-4o:me::1", "my-gpt-35-turbo", "gpt-5-chat-latest"] {
        let body = written_for(&request, model);
        assert_eq!(body.get("include"), None, "{model}");
        assert_eq!(body["input"], json!([{"type": "message", "role": "assistant", "content": "b"}]));
    }
    for model in ["gpt-5", "o3", "codex-mini-latest", "gpt-oss-20b", "production"] {
        let body = written_for(&request, model);
        assert_eq!(body["include"], json!(["reasoning.encrypted_content"]), "{model}");
        assert_eq!(body["input"][0]["type"], "reasoning", "{model}");
    }
}

#[test]
fn what_the_api_has_no_place_for_is_said_in_text() {
    let note = Part::Document { media: Media::Text("body".into()), name: Some("n.txt".into()) };
    let request = of(vec![message(
        Role::User,
        vec![
            result("a", vec![text("gone")], true),
            result("b", vec![text("Error 7")], true),
            result("c", vec![png()], true),
            result("d", vec![], false),
            note,
        ],
    )]);
    let input = &written(&request)["input"];
    assert_eq!(input[0]["output"], "Error: gone");
    assert_eq!(input[1]["output"], "Error 7");
    assert_eq!(input[2]["output"][0], json!({"type": "input_text", "text": "Error"}));
    assert_eq!(input[3]["output"], "");
    assert_eq!(input[4]["content"], "n.txt\n\nbody");
}

#[test]
fn a_file_without_a_name_is_given_one() {
    let media = Media::Inline { media_type: "text/csv".into(), data: "YQ==".into() };
    let request = of(vec![message(Role::User, vec![Part::Document { media, name: None }])]);
    assert_eq!(written(&request)["input"][0]["content"][0]["filename"], "document.csv");
}

#[test]
fn thinking_is_asked_for_in_the_apis_words() {
    let reasoning = |amount, shown| {
        let request = Request { reasoning: Some(Reasoning { amount, shown }), ..Request::default() };
        written(&request).get("reasoning").cloned().unwrap_or_default()
    };
    assert_eq!(reasoning(ReasoningAmount::Off, Some(true)), json!({"effort": "none"}));
    assert_eq!(reasoning(ReasoningAmount::Auto, None), Value::Null);
    assert_eq!(reasoning(ReasoningAmount::Auto, Some(true)), json!({"summary": "auto"}));
    assert_eq!(reasoning(ReasoningAmount::Effort(Effort::Max), Some(false)), json!({"effort": "max"}));
    assert_eq!(
        reasoning(ReasoningAmount::Budget(8000), Some(true)),
        json!({"effort": "medium", "summary": "auto"})
    );
}

#[test]
fn tools_say_what_the_api_would_else_assume() {
    let tool = Tool { name: "f".into(), description: None, parameters: None, strict: None };
    let request = Request {
        tools: vec![tool],
        tool_choice: Some(ToolChoice::Required),
        parallel_tool_calls: Some(true),
        ..Request::default()
    };
    let body = written(&request);
    assert_eq!(
        body["tools"],
        json!([{"type": "function", "name": "f", "strict": false,
            "parameters": {"type": "object", "properties": {}}}])
    );
    assert_eq!((&body["tool_choice"], &body["parallel_tool_calls"]), (&json!("required"), &json!(true)));
    for (choice, word) in [(ToolChoice::Auto, "auto"), (ToolChoice::None, "none")] {
        let mut request = Request { tool_choice: Some(choice), ..Request::default() };
        assert_eq!(written(&request).get("tool_choice"), None);
        request.tools.push(Tool { name: "f".into(), description: None, parameters: None, strict: None });
        assert_eq!(written(&request)["tool_choice"], word);
    }
    let bare = Request { parallel_tool_calls: Some(false), ..Request::default() };
    assert_eq!(written(&bare).get("parallel_tool_calls"), None);
}

#[test]
fn the_vendors_bounds_are_kept() {
    let limited = |tokens| {
        let request = Request { max_tokens: Some(tokens), ..Request::default() };
        written(&request)["max_output_tokens"].clone()
    };
    assert_eq!((limited(1), limited(16), limited(17)), (json!(16), json!(16), json!(17)));
    let of_user = |len| {
        let request = Request { user: Some("u".repeat(len)), ..Request::default() };
        written(&request).get("safety_identifier").is_some()
    };
    assert_eq!((of_user(128), of_user(129)), (true, false));
}

#[test]
fn a_json_object_and_a_nameless_schema_are_formats() {
    let output = |output| written(&Request { output, ..Request::default() })["text"]["format"].clone();
    assert_eq!(output(Output::JsonObject), json!({"type": "json_object"}));
    let schema = OutputSchema {
        name: String::new(),
        description: Some("d".into()),
        schema: RawValue::from_string("{}".into()).unwrap(),
        strict: None,
    };
    assert_eq!(
        output(Output::JsonSchema(schema)),
        json!({"type": "json_schema", "name": "answer", "description": "d", "schema": {}})
    );
}

#[test]
fn what_the_api_has_no_field_for_is_refused_in_the_callers_words() {
    let chat = |field: &str, value: Value| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body[field] = value;
        LIMITS.check(&Chat.read_request(body.to_string().as_bytes()).unwrap(), &Chat)
    };
    for (field, value) in [
        ("stop", json!("x")),
        ("seed", json!(1)),
        ("presence_penalty", json!(1)),
        ("frequency_penalty", json!(1)),
        ("n", json!(2)),
    ] {
        let refusal = chat(field, value).unwrap_err();
        assert_eq!((refusal.field.as_str(), refusal.kind), (field, "OpenAI"));
    }
    assert_eq!(chat("temperature", json!(2)), Ok(()));
    let body = json!({"model": "m", "max_tokens": 9, "top_k": 3, "stop_sequences": ["x"],
        "messages": [{"role": "user", "content": "hi"}]});
    let request = Messages.read_request(body.to_string().as_bytes()).unwrap();
    assert_eq!(LIMITS.check(&request, &Messages).unwrap_err().field, "top_k");
    let request = Request { top_k: None, ..request };
    assert_eq!(LIMITS.check(&request, &Messages).unwrap_err().field, "stop_sequences");
    let audio = Media::Inline { media_type: "audio/wav".into(), data: "QQ==".into() };
    let request = of(vec![message(Role::User, vec![Part::Audio(audio)])]);
    assert_eq!(LIMITS.check(&request, &Chat).unwrap_err().field, "input_audio");
}
