//! Requests: from callers, to providers, and through both.

use super::*;
use crate::chat::{Effort, Output, Reasoning, ReasoningAmount, ToolChoice};

/// What goes in comes out, field by field.
fn survives(body: &Value) {
    assert_eq!(written(&read(body)), *body);
}

/// A request with the fields besides `model` and `messages`.
fn with(fields: &Value) -> Value {
    let mut body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn talk(messages: &Value) -> Value {
    json!({"model": "gpt-4o", "messages": messages})
}

fn left(body: &Value) -> Vec<(String, bool)> {
    read(body).leftovers.into_iter().map(|left| (left.field, left.hint)).collect()
}

#[test]
fn a_conversation_with_everything_survives() {
    survives(&talk(&json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "Look:"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}},
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="}}]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"at\":\"Rome\"}"}},
            {"id": "c2", "type": "function", "function": {"name": "time", "arguments": "{}"},
             "extra_content": {"google": {"thought_signature": "sig"}}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": "noon"},
        {"role": "assistant", "content": "Sunny at noon."},
        {"role": "user", "content": "Now something bad."},
        {"role": "assistant", "content": null, "refusal": "No."},
        {"role": "user", "content": "Why?"}
    ])));
}

#[test]
fn every_setting_survives() {
    survives(&with(&json!({
        "max_completion_tokens": 50, "temperature": 0.5, "top_p": 0.25, "presence_penalty": -1.5,
        "frequency_penalty": 1.0, "stop": ["a", "b"], "seed": -3, "n": 2, "reasoning_effort": "high",
        "logprobs": true, "top_logprobs": 3, "user": "u", "stream": true,
        "stream_options": {"include_usage": true}, "parallel_tool_calls": false,
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "strict": true,
            "parameters": {"type": "object", "properties": {"z": {"type": "number"}, "a": {}}}}},
            {"type": "function", "function": {"name": "g"}}],
        "response_format": {"type": "json_schema", "json_schema":
            {"name": "s", "description": "d", "strict": true, "schema": {"type": "object"}}}})));
    for fields in [
        json!({"response_format": {"type": "json_object"}}),
        json!({"tools": [{"type": "function", "function": {"name": "g"}}], "tool_choice": "required"}),
        json!({"tools": [{"type": "function", "function": {"name": "g"}}], "tool_choice": "none"}),
        json!({"reasoning_effort": "none"}),
        json!({"reasoning_effort": "minimal"}),
        json!({"logprobs": true}),
    ] {
        survives(&with(&fields));
    }
}

#[test]
fn a_schema_keeps_the_order_of_its_properties_and_its_numbers() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"z":1.50,"a":{}}}}]}"#;
    let sent = Chat.write_request(&Chat.read_request(body.as_bytes()).unwrap(), MODEL);
    assert!(String::from_utf8_lossy(&sent).contains(r#""parameters":{"z":1.50,"a":{}}"#));
}

#[test]
fn what_can_be_said_in_several_ways_is_read_in_all() {
    let request = read(&json!({"model": "m", "stop": "x", "max_tokens": 5, "safety_identifier": "s",
        "metadata": {"k": "v"}, "response_format": {"type": "text"}, "top_k": 4, "modalities": ["text"],
        "verbosity": "medium", "logit_bias": {}, "functions": [], "function_call": "auto",
        "top_logprobs": 0, "logprobs": false, "n": null, "stream_options": {"include_usage": true},
        "messages": [{"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "", "audio": null, "annotations": [], "tool_calls": [
                {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "c", "content": ""}]}));
    assert_eq!(request.leftovers, []);
    assert_eq!((request.stop, request.max_tokens), (vec!["x".to_owned()], Some(5)));
    assert_eq!((request.user.as_deref(), request.top_k, request.logprobs), (Some("s"), Some(4), None));
    assert_eq!(request.metadata, [("k".to_owned(), "v".to_owned())]);
    assert!(matches!(request.output, Output::Text));
    let roles: Vec<_> = request.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::Assistant, Role::User]);
    assert_eq!(request.messages[0].parts.len(), 2);
    assert_eq!(request.messages[1].parts, [Part::ToolCall(call("c", "f", "{}"))]);
    let Part::ToolResult(result) = &request.messages[2].parts[0] else { unreachable!() };
    assert_eq!((result.id.as_str(), result.name.as_str()), ("c", "f"));
}

#[test]
fn what_has_no_place_is_left_over_by_its_path() {
    let wishes = json!({"model": "m", "audio": {"voice": "x"}, "functions": [{"name": "f"}],
        "function_call": {"name": "f"}, "logit_bias": {"5": 1}, "modalities": ["text", "audio"],
        "verbosity": "low", "web_search_options": {}, "future": 1,
        "tools": [{"type": "custom", "custom": {"name": "c"}}],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {}},
        "messages": [{"role": "function", "name": "f", "content": "x"},
            {"role": "user", "name": "Bob", "content": [{"type": "file", "file": {"file_id": "f1"}}]},
            {"role": "assistant", "content": null, "audio": {"id": "a"},
             "function_call": {"name": "f", "arguments": "{}"},
             "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "c", "input": "x"}}]}]});
    let fields: Vec<_> =
        left(&wishes).into_iter().inspect(|(_, hint)| assert!(!hint)).map(|(f, _)| f).collect();
    assert_eq!(
        fields,
        [
            "messages[0]",
            "messages[1].content[0].file.file_id",
            "messages[1].name",
            "messages[2].tool_calls[0]",
            "messages[2].audio",
            "messages[2].function_call",
            "tools[0]",
            "tool_choice",
            "logit_bias",
            "modalities",
            "verbosity",
            "functions",
            "function_call",
            "audio",
            "future",
            "web_search_options"
        ]
    );
    let refused = CHAT_LIMITS.check(&read(&wishes), &Chat).unwrap_err();
    assert_eq!(refused.field, "messages[0]");
}

#[test]
fn hints_are_left_over_and_refuse_nothing() {
    let body = json!({"model": "m", "store": true, "service_tier": "flex", "prompt_cache_key": "k",
        "prediction": {"type": "content", "content": "x"}, "user": "u", "safety_identifier": "s",
        "stream_options": {"include_obfuscation": false},
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": "https://x/y", "detail": "low"}}]}]});
    let left = left(&body);
    assert!(left.iter().all(|(_, hint)| *hint), "{left:?}");
    for field in [
        "messages[0].content[0].cache_control",
        "messages[0].content[1].image_url.detail",
        "stream_options.include_obfuscation",
        "user",
        "store",
    ] {
        assert!(left.iter().any(|(left, _)| left == field), "{field}");
    }
    assert_eq!(CHAT_LIMITS.check(&read(&body), &Chat), Ok(()));
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    let user = json!([{"role": "user", "content": "x"}]);
    let cases = [
        (with(&json!({"temperature": "hot"})), "temperature"),
        (with(&json!({"max_tokens": 1, "max_completion_tokens": 2})), "max_tokens"),
        (with(&json!({"n": 0})), "n"),
        (with(&json!({"stop": 4})), "stop"),
        (with(&json!({"reasoning_effort": "lots"})), "reasoning_effort"),
        (with(&json!({"top_logprobs": 2})), "top_logprobs"),
        (with(&json!({"logprobs": true, "top_logprobs": 21})), "top_logprobs"),
        (with(&json!({"tool_choice": "some"})), "tool_choice"),
        (with(&json!({"tools": [{"function": {"name": "f"}}]})), "tools[0].type"),
        (with(&json!({"tools": [{"type": "function", "function": {}}]})), "tools[0].function.name"),
        (with(&json!({"response_format": {"type": "xml"}})), "response_format.type"),
        (
            with(&json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}})),
            "response_format.json_schema.schema",
        ),
        (with(&json!({"metadata": {"a": 1}})), "metadata.a"),
        (talk(&json!([user[0], {"content": "x"}])), "messages[1].role"),
        (talk(&json!([{"role": "robot", "content": "x"}])), "messages[0].role"),
        (talk(&json!([{"role": "user"}])), "messages[0].content"),
        (talk(&json!([{"role": "user", "content": 5}])), "messages[0].content"),
        (talk(&json!([{"role": "user", "content": [{"type": "smell"}]}])), "messages[0].content[0].type"),
        (
            talk(&json!([{"role": "system", "content": [{"type": "image_url"}]}])),
            "messages[0].content[0].type",
        ),
        (
            talk(
                &json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "AAAA"}}]}]),
            ),
            "messages[0].content[0].image_url.url",
        ),
        (
            talk(&json!([{"role": "user", "content": [{"type": "file", "file": {}}]}])),
            "messages[0].content[0].file.file_data",
        ),
        (talk(&json!([{"role": "tool", "content": "x"}])), "messages[0].tool_call_id"),
        (
            talk(&json!([{"role": "assistant", "tool_calls": [{"id": "", "type": "function",
            "function": {"name": "f", "arguments": ""}}]}])),
            "messages[0].tool_calls[0].id",
        ),
    ];
    for (body, param) in cases {
        let error = Chat.read_request(body.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.param(), Some(param), "{error}");
    }
}

#[test]
fn a_file_is_read_with_and_without_a_data_url() {
    let file = |file: Value| {
        let body = talk(&json!([{"role": "user", "content": [{"type": "file", "file": file}]}]));
        read(&body).messages.remove(0).parts.remove(0)
    };
    let inline = |media_type: &str, name: Option<&str>| Part::Document {
        media: Media::Inline { media_type: media_type.to_owned(), data: "QQ==".to_owned() },
        name: name.map(str::to_owned),
    };
    assert_eq!(file(json!({"file_data": "QQ=="})), inline("application/pdf", None));
    assert_eq!(file(json!({"file_data": "QQ==", "filename": "a.TXT"})), inline("text/plain", Some("a.TXT")));
    assert_eq!(file(json!({"file_data": "data:text/csv;base64,QQ=="})), inline("text/csv", None));
}

#[test]
fn thinking_comes_back_with_its_seals() {
    let anthropic = Seal::new(Dialect::Anthropic, "sig");
    let redacted = Seal { redacted: true, ..Seal::new(Dialect::Anthropic, "dark") };
    let parts = |message: Value| read(&talk(&json!([message]))).messages.remove(0).parts;
    assert_eq!(
        parts(json!({"role": "assistant", "content": "b", "reasoning_content": "a", "reasoning_details": [
            {"type": "reasoning.text", "index": 0, "text": "a", "signature": "anthropic~seal~sig"},
            {"type": "reasoning.encrypted", "index": 1, "data": "anthropic!~seal~dark"}]})),
        [
            Part::Reasoning { text: "a".to_owned(), seal: Some(anthropic) },
            Part::Reasoning { text: String::new(), seal: Some(redacted) },
            Part::Text("b".to_owned())
        ]
    );
    let plain = [Part::Reasoning { text: "a".to_owned(), seal: None }, Part::Text("b".to_owned())];
    for name in ["reasoning_content", "reasoning"] {
        assert_eq!(parts(json!({"role": "assistant", "content": "b", name: "a"})), plain);
    }
    let seal = parts(json!({"role": "assistant", "tool_calls": [{"id": "c", "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "gemini~seal~s"}}}]}));
    assert_eq!(
        seal,
        [Part::ToolCall(ToolCall { seal: Some(Seal::new(Dialect::Gemini, "s")), ..call("c", "f", "{}") })]
    );
}

#[test]
fn only_the_providers_own_thinking_goes_to_a_provider() {
    let reasoning = |text: &str, seal: Option<Seal>| Part::Reasoning { text: text.to_owned(), seal };
    let own = Seal::new(Dialect::OpenAI, r#"{"type":"reasoning.text","format":"f","signature":"s"}"#);
    let encrypted = Seal::new(Dialect::OpenAI, r#"{"type":"reasoning.encrypted","id":"r","data":"d"}"#);
    let gemini = ToolCall { seal: Some(Seal::new(Dialect::Gemini, "s")), ..call("c", "f", "{}") };
    let message = |parts| Message { role: Role::Assistant, parts };
    let request = Request {
        messages: vec![
            message(vec![reasoning("foreign", Some(Seal::new(Dialect::Anthropic, "x")))]),
            Message { role: Role::User, parts: vec![Part::Text("go on".to_owned())] },
            message(vec![
                reasoning("a", Some(own)),
                reasoning("", Some(encrypted)),
                reasoning("of the Responses API", Some(Seal::new(Dialect::OpenAI, "gAAAAA"))),
                reasoning("bare", None),
                Part::ToolCall(gemini),
            ]),
        ],
        ..Request::default()
    };
    assert_eq!(
        written(&request)["messages"],
        json!([
            {"role": "user", "content": "go on"},
            {"role": "assistant", "content": null,
             "reasoning_details": [
                {"type": "reasoning.text", "format": "f", "text": "a", "signature": "s"},
                {"type": "reasoning.encrypted", "id": "r", "data": "d"}],
             "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
        ])
    );
}

#[test]
fn results_follow_their_calls_at_once_and_their_pictures_after_them() {
    let result = |id: &str, content, is_error| {
        Part::ToolResult(ToolResult { id: id.to_owned(), name: "look".to_owned(), content, is_error })
    };
    let image = || Part::Image(Media::Inline { media_type: "image/png".to_owned(), data: "QQ==".to_owned() });
    let text = |text: &str| Part::Text(text.to_owned());
    let user = |parts| Message { role: Role::User, parts };
    let assistant = |parts| Message { role: Role::Assistant, parts };
    let request = Request {
        messages: vec![
            assistant(vec![Part::ToolCall(call("a", "look", "{}"))]),
            assistant(vec![Part::ToolCall(call("b", "look", "{}"))]),
            user(vec![text("first"), result("a", vec![text("seen"), image()], false)]),
            user(vec![result("b", vec![image()], true), text("last")]),
        ],
        ..Request::default()
    };
    let url = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}});
    let function = json!({"name": "look", "arguments": "{}"});
    assert_eq!(
        written(&request)["messages"],
        json!([
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": function},
                {"id": "b", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "a", "content": "seen"},
            {"role": "tool", "tool_call_id": "b", "content": "Error: The result is in the next message of the user."},
            {"role": "user", "content": [
                {"type": "text", "text": "From the result of tool call a (look):"}, url,
                {"type": "text", "text": "From the result of tool call b (look):"}, url]},
            {"role": "user", "content": "first"},
            {"role": "user", "content": "last"}
        ])
    );
}

#[test]
fn a_failed_result_says_so_once() {
    let content = |text: &str| {
        let content = vec![Part::Text(text.to_owned())];
        let result = ToolResult { id: "a".to_owned(), name: "f".to_owned(), content, is_error: true };
        let messages = vec![Message { role: Role::User, parts: vec![Part::ToolResult(result)] }];
        written(&Request { messages, ..Request::default() })["messages"][0]["content"].clone()
    };
    assert_eq!(content("no such file"), "Error: no such file");
    assert_eq!(content("ERROR 5"), "ERROR 5");
}

#[test]
fn a_text_document_is_a_text_and_a_nameless_file_gets_a_name() {
    let document = |media, name: Option<&str>| Part::Document { media, name: name.map(str::to_owned) };
    let inline = Media::Inline { media_type: "application/pdf".to_owned(), data: "QQ==".to_owned() };
    let parts = vec![
        document(Media::Text("body".to_owned()), Some("a.txt")),
        document(Media::Text("bare".to_owned()), None),
        document(inline, None),
    ];
    let messages = vec![Message { role: Role::User, parts }];
    assert_eq!(
        written(&Request { messages, ..Request::default() })["messages"][0]["content"],
        json!([
            {"type": "text", "text": "a.txt\n\nbody"},
            {"type": "text", "text": "bare"},
            {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,QQ=="}}
        ])
    );
}

#[test]
fn the_limit_of_tokens_goes_by_the_name_that_the_models_server_knows() {
    let request = Request { max_tokens: Some(9), ..Request::default() };
    for (name, field) in [("gpt-5", "max_completion_tokens"), ("llama-3.3-70b", "max_tokens")] {
        let sent = Chat.write_request(&request, ProviderModel { name, max_output_tokens: None });
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        assert_eq!(sent, json!({"model": name, "messages": [], field: 9}));
    }
}

#[test]
fn reasoning_by_budget_and_by_the_models_own_mind() {
    let sent = |amount| {
        let reasoning = Some(Reasoning { amount, shown: Some(true) });
        written(&Request { reasoning, ..Request::default() }).get("reasoning_effort").cloned()
    };
    assert_eq!(sent(ReasoningAmount::Budget(8000)), Some(json!("medium")));
    assert_eq!(sent(ReasoningAmount::Effort(Effort::Max)), Some(json!("max")));
    assert_eq!(sent(ReasoningAmount::Auto), None);
}

#[test]
fn a_choice_of_tools_is_not_sent_without_tools() {
    let request = Request {
        tool_choice: Some(ToolChoice::Auto),
        parallel_tool_calls: Some(true),
        ..Request::default()
    };
    assert_eq!(written(&request), json!({"model": "gpt-4o", "messages": []}));
    let request = Request { tool_choice: Some(ToolChoice::Required), ..Request::default() };
    assert_eq!(written(&request)["tool_choice"], "required", "for the provider to refuse");
}

#[test]
fn what_the_api_cannot_express_is_refused_by_the_callers_name() {
    let media =
        |kind: &str, value: Value| talk(&json!([{"role": "user", "content": [{"type": kind, kind: value}]}]));
    let video = media("video_url", json!({"url": "https://example.com/a.mp4"}));
    let remote = media("file", json!({"file_data": "https://example.com/a.pdf", "filename": "a.pdf"}));
    let cases = [
        (with(&json!({"top_k": 5})), "top_k"),
        (with(&json!({"temperature": 2.5})), "temperature"),
        (with(&json!({"n": 129})), "n"),
        (with(&json!({"stop": ["a", "b", "c", "d", "e"]})), "stop"),
        (video, "video_url"),
        (remote.clone(), "file"),
    ];
    for (body, field) in cases {
        assert_eq!(CHAT_LIMITS.check(&read(&body), &Chat).unwrap_err().field, field);
    }
    assert_eq!(SIMULATED_LIMITS.check(&read(&remote), &Chat), Ok(()));
    for (body, field) in [(with(&json!({"n": 2})), "n"), (with(&json!({"logprobs": true})), "logprobs")] {
        assert_eq!(CHAT_LIMITS.check(&read(&body), &Chat), Ok(()));
        let refused = SIMULATED_LIMITS.check(&read(&body), &Chat).unwrap_err();
        assert_eq!((refused.field.as_str(), refused.kind), (field, "Simulated"));
    }
}
