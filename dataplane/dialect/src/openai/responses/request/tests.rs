//! What is read of requests, what is left over, and what is refused.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use serde_json::{Value, json};

use super::*;
use crate::{
    Dialect,
    chat::{Media, ToolCall, ToolResult},
    seal::Seal,
};

fn request(body: &Value) -> Request {
    read(body.to_string().as_bytes()).unwrap()
}

/// A request that asks `hi` and has one field more.
fn with(field: &str, value: Value) -> Request {
    let mut body = json!({"model": "m", "input": "hi"});
    body[field] = value;
    request(&body)
}

fn messages(input: Value) -> Vec<Message> {
    let read = with("input", input);
    assert_eq!(read.leftovers, []);
    read.messages
}

fn left(request: &Request) -> Vec<(&str, bool)> {
    request.leftovers.iter().map(|leftover| (leftover.field.as_str(), leftover.hint)).collect()
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, parts }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn call(id: &str, name: &str, arguments: &str, seal: Option<Seal>) -> Part {
    Part::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into(), seal })
}

fn png() -> Part {
    Part::Image(Media::Inline { media_type: "image/png".into(), data: "iVBORw0=".into() })
}

#[test]
fn a_string_is_a_user_message_and_instructions_come_before_it() {
    let read = request(&json!({"model": "m", "instructions": "Be brief.", "input": "hi"}));
    assert_eq!(
        read.messages,
        [message(Role::System, vec![text("Be brief.")]), message(Role::User, vec![text("hi")])]
    );
    assert_eq!(read.leftovers, []);
    assert!(!read.stream);
}

#[test]
fn messages_are_read_in_either_form_and_every_role() {
    let read = messages(json!([
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"role": "user", "content": "hi"},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "Hello.", "annotations": [], "logprobs": []},
            {"type": "refusal", "refusal": "No."},
        ]},
        {"role": "user", "content": [{"type": "input_text", "text": "why"}]},
    ]));
    assert_eq!(
        read,
        [
            message(Role::System, vec![text("Be brief.")]),
            message(Role::System, vec![text("Be kind.")]),
            message(Role::User, vec![text("hi")]),
            message(Role::Assistant, vec![text("Hello."), Part::Refusal("No.".into())]),
            message(Role::User, vec![text("why")]),
        ]
    );
}

#[test]
fn images_and_files_are_taken_from_the_request_and_from_urls() {
    let read = messages(json!([{"role": "user", "content": [
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0=", "detail": "auto"},
        {"type": "input_image", "image_url": "https://x/y.png"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"},
        {"type": "input_file", "file_data": "JVBERi0x"},
        {"type": "input_file", "filename": "b.CSV", "file_data": "YSxi"},
        {"type": "input_file", "file_url": "https://x/y.pdf"},
    ]}]));
    let file = |media_type: &str, data: &str, name: Option<&str>| Part::Document {
        media: Media::Inline { media_type: media_type.into(), data: data.into() },
        name: name.map(Into::into),
    };
    let url = |url: &str| Media::Url { url: url.into(), media_type: None };
    let parts = vec![
        png(),
        Part::Image(url("https://x/y.png")),
        file("application/pdf", "JVBERi0x", Some("a.pdf")),
        file("application/pdf", "JVBERi0x", None),
        file("text/csv", "YSxi", Some("b.CSV")),
        Part::Document { media: url("https://x/y.pdf"), name: None },
    ];
    assert_eq!(read, [message(Role::User, parts)]);
}

#[test]
fn the_items_of_a_turn_come_together_and_results_know_their_tool() {
    let read = messages(json!([
        {"role": "user", "content": "weather?"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Look."}],
         "encrypted_content": "anthropic~seal~sig"},
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "id": "fc_1", "call_id": "call_a", "name": "weather",
         "arguments": "{\"city\":\"Oslo\"}", "status": "completed"},
        {"type": "function_call", "call_id": "call_b", "name": "now", "arguments": ""},
        {"type": "function_call_output", "call_id": "call_b", "output": "noon"},
        {"type": "function_call_output", "call_id": "call_a", "output": [
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0="},
        ]},
    ]));
    let result = |id: &str, name: &str, content: Vec<Part>| {
        Part::ToolResult(ToolResult { id: id.into(), name: name.into(), content, is_error: false })
    };
    let seal = Some(Seal::new(Dialect::Anthropic, "sig"));
    assert_eq!(
        read,
        [
            message(Role::User, vec![text("weather?")]),
            message(
                Role::Assistant,
                vec![
                    Part::Reasoning { text: "Look.".into(), seal },
                    text("I look."),
                    call("call_a", "weather", r#"{"city":"Oslo"}"#, None),
                    call("call_b", "now", "{}", None),
                ]
            ),
            message(
                Role::User,
                vec![
                    result("call_b", "now", vec![text("noon")]),
                    result("call_a", "weather", vec![text("see"), png()]),
                ]
            ),
        ]
    );
}

#[test]
fn a_calls_own_proof_comes_back_to_it_and_no_other_does() {
    let proven = |proof: &str| {
        let read = messages(json!([
            {"type": "reasoning", "id": "rs_0", "summary": [], "encrypted_content": proof},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        ]));
        read.into_iter().flat_map(|message| message.parts).collect::<Vec<_>>()
    };
    let gemini = Seal::new(Dialect::Gemini, "sig");
    assert_eq!(proven("gemini~seal~sig"), [call("a", "f", "{}", Some(gemini))]);
    let redacted = Seal { origin: Dialect::Anthropic, redacted: true, value: "sig".into() };
    for seal in [Seal::new(Dialect::OpenAI, "sig"), Seal::new(Dialect::Anthropic, "sig"), redacted] {
        let parts = proven(&seal.to_text(Dialect::OpenAI));
        let thinking = Part::Reasoning { text: String::new(), seal: Some(seal) };
        assert_eq!(parts, [thinking, call("a", "f", "{}", None)]);
    }
}

#[test]
fn thinking_itself_counts_before_its_summary() {
    let read = messages(json!([
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "short"}],
         "content": [{"type": "reasoning_text", "text": "long"}, {"type": "reasoning_text", "text": "er"}]},
    ]));
    let thinking = Part::Reasoning { text: "long\n\ner".into(), seal: None };
    assert_eq!(read, [message(Role::Assistant, vec![thinking])]);
    let kept = request(&json!({"input": [
        {"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "user", "content": "hi"},
    ]}));
    assert_eq!(left(&kept), [("input[0]", true)]);
}

#[test]
fn sampling_is_read() {
    let read = request(&json!({
        "model": "m", "input": "hi", "stream": true, "max_output_tokens": 64, "temperature": 0.5,
        "top_p": 0.9, "parallel_tool_calls": false, "top_logprobs": 3,
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    }));
    assert!(read.stream);
    assert_eq!((read.max_tokens, read.temperature, read.top_p), (Some(64), Some(0.5), Some(0.9)));
    assert_eq!((read.parallel_tool_calls, read.logprobs), (Some(false), Some(3)));
    assert_eq!(read.leftovers, []);
    assert_eq!(with("include", json!(["message.output_text.logprobs"])).logprobs, Some(0));
    assert_eq!(with("top_logprobs", json!(2)).logprobs, Some(2));
    assert_eq!(with("top_logprobs", json!(0)).logprobs, None);
}

#[test]
fn tools_and_every_choice_of_them_are_read() {
    let read = with(
        "tools",
        json!([
            {"type": "function", "name": "f", "description": "d", "strict": true, "defer_loading": false,
             "allowed_callers": ["direct"],
             "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}},
            {"type": "function", "name": "g", "parameters": null, "strict": null},
        ]),
    );
    assert_eq!(read.leftovers, []);
    let [f, g] = &read.tools[..] else { unreachable!("two tools were given") };
    assert_eq!((f.name.as_str(), f.description.as_deref(), f.strict), ("f", Some("d"), Some(true)));
    let parameters: Value = serde_json::from_str(f.parameters.as_ref().unwrap().get()).unwrap();
    assert_eq!(parameters, json!({"type": "object", "properties": {"b": {}, "a": {}}}));
    assert!(g.name == "g" && g.parameters.is_none() && g.strict.is_none());

    for (choice, meant) in [
        (json!("auto"), ToolChoice::Auto),
        (json!("none"), ToolChoice::None),
        (json!("required"), ToolChoice::Required),
        (json!({"type": "function", "name": "f"}), ToolChoice::Named("f".into())),
    ] {
        let read = with("tool_choice", choice);
        assert_eq!((read.tool_choice, read.leftovers), (Some(meant), vec![]));
    }
}

#[test]
fn the_form_of_the_answer_is_read() {
    let of = |format: Value| {
        let read = with("text", json!({"format": format, "verbosity": "medium"}));
        assert_eq!(read.leftovers, []);
        read.output
    };
    assert!(matches!(of(json!({"type": "text"})), Output::Text));
    assert!(matches!(of(json!({"type": "json_object"})), Output::JsonObject));
    let schema = json!({"type": "json_schema", "name": "n", "strict": true, "schema": {"type": "object"}});
    let Output::JsonSchema(read) = of(schema) else { unreachable!("a schema was given") };
    assert_eq!((read.name.as_str(), read.strict), ("n", Some(true)));
    assert_eq!(read.schema.get(), r#"{"type":"object"}"#);
}

#[test]
fn thinking_is_asked_for_by_effort_and_shown_by_summary() {
    let of = |reasoning: Value| with("reasoning", reasoning).reasoning;
    let some = |amount, shown| Some(Reasoning { amount, shown });
    assert_eq!(of(json!({"effort": "none"})), some(ReasoningAmount::Off, None));
    let high = ReasoningAmount::Effort(Effort::High);
    assert_eq!(of(json!({"effort": "high", "summary": "auto"})), some(high, Some(true)));
    assert_eq!(of(json!({"generate_summary": "auto"})), some(ReasoningAmount::Auto, Some(true)));
    assert_eq!(of(json!({"effort": null, "summary": null})), None);
    assert_eq!(left(&with("reasoning", json!({"summary": "concise"}))), [("reasoning.summary", true)]);
}

#[test]
fn the_user_and_the_callers_notes_are_kept() {
    let read = request(&json!({
        "input": "hi", "user": "u", "safety_identifier": "s", "metadata": {"a": "1", "b": "2"},
    }));
    assert_eq!(read.user.as_deref(), Some("s"));
    assert_eq!(read.metadata, [("a".into(), "1".into()), ("b".into(), "2".into())]);
    assert_eq!(left(&read), [("user", true)]);
    assert_eq!(with("user", json!("u")).user.as_deref(), Some("u"));
}

#[test]
fn what_is_so_anyhow_is_no_wish() {
    for (field, value) in [
        ("background", json!(false)),
        ("truncation", json!("disabled")),
        ("store", json!(false)),
        ("previous_response_id", json!(null)),
        ("max_tool_calls", json!(3)),
        ("reasoning", json!({"context": "auto", "mode": "standard"})),
    ] {
        assert_eq!(with(field, value).leftovers, [], "{field}");
    }
}

#[test]
fn hints_and_wishes_are_left_over_by_path() {
    for (field, value, path, hint) in [
        ("store", json!(true), "store", true),
        ("prompt_cache_key", json!("k"), "prompt_cache_key", true),
        ("service_tier", json!("auto"), "service_tier", true),
        ("service_tier", json!("priority"), "service_tier", false),
        ("include", json!(["file_search_call.results"]), "include[0]", true),
        ("stream_options", json!({"include_obfuscation": true}), "stream_options.include_obfuscation", true),
        ("previous_response_id", json!("resp_1"), "previous_response_id", false),
        ("conversation", json!("conv_1"), "conversation", false),
        ("prompt", json!({"id": "p"}), "prompt", false),
        ("background", json!(true), "background", false),
        ("truncation", json!("auto"), "truncation", false),
        ("text", json!({"verbosity": "low"}), "text.verbosity", false),
        ("tools", json!([{"type": "web_search"}]), "tools[0].type", false),
        ("tool_choice", json!({"type": "file_search"}), "tool_choice.type", false),
        ("reasoning", json!({"mode": "pro"}), "reasoning.mode", false),
        ("top_k", json!(3), "top_k", false),
    ] {
        assert_eq!(left(&with(field, value)), [(path, hint)], "{field}");
    }
    for (item, path, hint) in [
        (json!({"type": "item_reference", "id": "msg_1"}), "input[0].type", false),
        (json!({"id": "msg_1"}), "input[0]", false),
        (json!({"type": "web_search_call", "id": "ws_1", "status": "completed"}), "input[0].type", false),
        (json!({"role": "assistant", "content": "x", "phase": "commentary"}), "input[0].phase", true),
    ] {
        assert_eq!(left(&request(&json!({"input": [item]}))), [(path, hint)]);
    }
    let image = |more: Value| {
        let mut image = json!({"type": "input_image"});
        image.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"input": [{"role": "user", "content": [image]}]})
    };
    for (more, path, hint) in [
        (json!({"file_id": "file-1"}), "input[0].content[0].file_id", false),
        (json!({"image_url": "https://x", "detail": "low"}), "input[0].content[0].detail", true),
        (
            json!({"image_url": "https://x", "prompt_cache_breakpoint": {"mode": "explicit"}}),
            "input[0].content[0].prompt_cache_breakpoint",
            true,
        ),
    ] {
        assert_eq!(left(&request(&image(more))), [(path, hint)]);
    }
    let system = json!({"input": [{"role": "system", "content": [
        {"type": "input_image", "image_url": "https://x"},
    ]}]});
    assert_eq!(left(&request(&system)), [("input[0].content[0].type", false)]);
}

#[test]
fn what_is_wrong_is_named() {
    for (body, param) in [
        (json!({"model": "m"}), "input"),
        (json!({"input": null}), "input"),
        (json!({"input": []}), "input"),
        (json!({"input": 7}), "input"),
        (json!({"input": [{"role": "bot", "content": "x"}]}), "input[0].role"),
        (json!({"input": [{"type": "message", "content": "x"}]}), "input[0].role"),
        (json!({"input": [{"role": "user"}]}), "input[0].content"),
        (json!({"input": [{"type": "function_call", "call_id": "a", "name": "f"}]}), "input[0].arguments"),
        (
            json!({"input": [{"type": "function_call", "call_id": "", "name": "f", "arguments": ""}]}),
            "input[0].call_id",
        ),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}),
            "input[0].content[0].image_url",
        ),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,x"}]}]}),
            "input[0].content[0].image_url",
        ),
        (json!({"input": "x", "tool_choice": "any"}), "tool_choice"),
        (json!({"input": "x", "reasoning": {"effort": "huge"}}), "reasoning.effort"),
        (
            json!({"input": "x", "text": {"format": {"type": "json_schema", "name": "n"}}}),
            "text.format.schema",
        ),
        (json!({"input": "x", "metadata": {"a": 1}}), "metadata.a"),
        (json!({"input": "x", "temperature": "hot"}), "temperature"),
        (json!({"input": "x", "tools": [{"type": "function", "parameters": {}}]}), "tools[0].name"),
    ] {
        let error = read(body.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.param(), Some(param), "{body}: {error}");
    }
    // Something else says what is asked, and that is what is refused then.
    assert_eq!(left(&request(&json!({"prompt": {"id": "p"}}))), [("prompt", false)]);
}
