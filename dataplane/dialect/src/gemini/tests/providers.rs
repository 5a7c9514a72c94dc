//! What is written for providers.

use super::*;
use crate::{
    chat::{
        Effort, Media, Message, Output, OutputSchema, Part, Reasoning, ReasoningAmount, Role, Tool, ToolCall,
        ToolChoice, ToolResult,
    },
    limits::Inexpressible,
    seal::Seal,
};

const FLASH: &str = "gemini-2.5-flash";
const THIRD: &str = "gemini-3-pro-preview";
const UNCHECKED: &str = "skip_thought_signature_validator";

fn asked(messages: Vec<(Role, Vec<Part>)>) -> Request {
    let messages = messages.into_iter().map(|(role, parts)| Message { role, parts }).collect();
    Request { messages, ..Request::default() }
}

fn says(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn call(id: &str, seal: Option<Seal>) -> Part {
    let (id, name, arguments) = (id.to_owned(), "f".to_owned(), r#"{"x":1}"#.to_owned());
    Part::ToolCall(ToolCall { id, name, arguments, seal })
}

fn result(id: &str, content: Vec<Part>, is_error: bool) -> Part {
    Part::ToolResult(ToolResult { id: id.to_owned(), name: String::new(), content, is_error })
}

fn image() -> Part {
    Part::Image(Media::Inline { media_type: "image/png".to_owned(), data: "QQ==".to_owned() })
}

fn own(value: &str) -> Option<Seal> {
    Some(Seal::new(Dialect::Gemini, value))
}

#[test]
fn roles_alternate_and_system_text_stands_apart_in_order() {
    let request = asked(vec![
        (Role::System, vec![says("one")]),
        (Role::User, vec![says("a")]),
        (Role::System, vec![says("two")]),
        (Role::User, vec![says("b"), says("")]),
        (Role::Assistant, vec![Part::Refusal("no".to_owned())]),
        (Role::Assistant, vec![says("c")]),
    ]);
    let written = write(&request, FLASH);
    assert_eq!(
        written,
        json!({
            "systemInstruction": {"parts": [{"text": "one"}, {"text": "two"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
                {"role": "model", "parts": [{"text": "no"}, {"text": "c"}]},
            ],
            "generationConfig": {},
        })
    );
}

#[test]
fn media_go_inline_or_by_url_with_a_type() {
    let url = |url: &str, media_type: Option<&str>| Media::Url {
        url: url.to_owned(),
        media_type: media_type.map(str::to_owned),
    };
    let text = Part::Document { media: Media::Text("body".to_owned()), name: Some("a.txt".to_owned()) };
    let request = asked(vec![(
        Role::User,
        vec![
            image(),
            Part::Image(url("https://a.test/b.JPG#x", None)),
            Part::Document { media: url("https://a.test/b", Some("application/pdf")), name: None },
            Part::Image(url("https://a.test/b", None)),
            text,
        ],
    )]);
    assert_eq!(
        write(&request, FLASH)["contents"][0]["parts"],
        json!([
            {"inlineData": {"mimeType": "image/png", "data": "QQ=="}},
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://a.test/b.JPG#x"}},
            {"fileData": {"mimeType": "application/pdf", "fileUri": "https://a.test/b"}},
            {"fileData": {"fileUri": "https://a.test/b"}},
            {"text": "a.txt:\nbody"},
        ])
    );
}

#[test]
fn results_are_objects_and_stand_together() {
    let request = asked(vec![
        (Role::Assistant, vec![call("1", None), call("2", None), call("3", None)]),
        (Role::User, vec![result("1", vec![says("plain"), image()], false)]),
        (Role::User, vec![result("2", vec![says(r#"{"a": 1}"#)], false)]),
        (Role::User, vec![result("3", vec![says("bad")], true), says("go on")]),
    ]);
    assert_eq!(
        write(&request, FLASH)["contents"],
        json!([
            {"role": "model", "parts": [
                {"functionCall": {"id": "1", "name": "f", "args": {"x": 1}}},
                {"functionCall": {"id": "2", "name": "f", "args": {"x": 1}}},
                {"functionCall": {"id": "3", "name": "f", "args": {"x": 1}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "1", "name": "f", "response": {"result": "plain"}}},
                {"functionResponse": {"id": "2", "name": "f", "response": {"a": 1}}},
                {"functionResponse": {"id": "3", "name": "f", "response": {"error": "bad"}}},
                {"text": "Files in the result of the function call 1 (f):"},
                {"inlineData": {"mimeType": "image/png", "data": "QQ=="}},
                {"text": "go on"},
            ]},
        ])
    );
}

#[test]
fn pictures_go_into_results_where_the_model_takes_them() {
    let gif = Part::Image(Media::Inline { media_type: "image/gif".to_owned(), data: "QQ==".to_owned() });
    let request = asked(vec![(Role::User, vec![result("1", vec![image(), gif], false)])]);
    assert_eq!(
        write(&request, THIRD)["contents"][0]["parts"],
        json!([
            {"functionResponse": {
                "id": "1", "name": "1", "response": {"result": ""},
                "parts": [{"inlineData": {"mimeType": "image/png", "data": "QQ=="}}],
            }},
            {"text": "Files in the result of the function call 1 (1):"},
            {"inlineData": {"mimeType": "image/gif", "data": "QQ=="}},
        ])
    );
}

#[test]
fn seals_go_back_on_their_parts_and_foreign_thinking_is_left_out() {
    let thinks = |text: &str, seal| Part::Reasoning { text: text.to_owned(), seal };
    let request = asked(vec![(
        Role::Assistant,
        vec![
            thinks("foreign", Some(Seal::new(Dialect::Anthropic, "A"))),
            thinks("unsealed", None),
            thinks("mine", own("S0")),
            thinks("", own("S1")),
            says("answer"),
            thinks("", own("S2")),
            call("1", own("S3")),
            call("2", None),
        ],
    )]);
    assert_eq!(
        write(&request, FLASH)["contents"][0]["parts"],
        json!([
            {"text": "mine", "thought": true, "thoughtSignature": "S0"},
            {"text": "", "thoughtSignature": "S1"},
            {"text": "answer", "thoughtSignature": "S2"},
            {"functionCall": {"id": "1", "name": "f", "args": {"x": 1}}, "thoughtSignature": "S3"},
            {"functionCall": {"id": "2", "name": "f", "args": {"x": 1}}},
        ])
    );
}

#[test]
fn the_first_call_of_a_turn_is_signed_for_models_that_demand_it() {
    let signatures = |parts: Vec<Part>, model: &str| -> Vec<Value> {
        let written = write(&asked(vec![(Role::Assistant, parts)]), model);
        let parts = written["contents"][0]["parts"].as_array().unwrap().clone();
        parts.iter().map(|part| part["thoughtSignature"].clone()).collect()
    };
    let foreign = Some(Seal::new(Dialect::Anthropic, "A"));
    for model in [THIRD, "gemini-flash-latest", "models/gemini-4-x"] {
        assert_eq!(
            signatures(vec![call("1", foreign.clone()), call("2", None)], model),
            [json!(UNCHECKED), Value::Null]
        );
    }
    assert_eq!(signatures(vec![call("1", None)], FLASH), [Value::Null]);
    assert_eq!(signatures(vec![call("1", own("S")), call("2", None)], THIRD), [json!("S"), Value::Null]);
    let kept = Part::Reasoning { text: "why".to_owned(), seal: own("S") };
    assert_eq!(signatures(vec![kept, call("1", None)], THIRD), [Value::Null, json!("S")]);
}

#[test]
fn arguments_that_are_no_object_are_kept_as_text() {
    let (id, name, arguments) = ("1".to_owned(), "f".to_owned(), r#"{"cut"#.to_owned());
    let broken = Part::ToolCall(ToolCall { id, name, arguments, seal: None });
    let written = write(&asked(vec![(Role::Assistant, vec![broken])]), FLASH);
    assert_eq!(written["contents"][0]["parts"][0]["functionCall"]["args"], json!({"arguments": "{\"cut"}));
}

#[test]
fn tools_and_their_choice_are_written() {
    let tool = |name: &str, schema: Option<&str>, strict| Tool {
        name: name.to_owned(),
        description: Some("d".to_owned()),
        parameters: schema.map(|schema| serde_json::value::RawValue::from_string(schema.to_owned()).unwrap()),
        strict,
    };
    let config = |choice: Option<ToolChoice>, strict| {
        let tools = vec![tool("f", Some(r#"{"type":"object","properties":{"b":{},"a":{}}}"#), strict)];
        write(&Request { tools, tool_choice: choice, ..asked(vec![(Role::User, vec![says("x")])]) }, FLASH)
    };
    let written = config(None, None);
    assert_eq!(
        written["tools"],
        json!([{"functionDeclarations": [{
            "name": "f", "description": "d",
            "parametersJsonSchema": {"type": "object", "properties": {"b": {}, "a": {}}},
        }]}])
    );
    assert_eq!(written["toolConfig"], Value::Null);
    let mode = |choice, strict| config(choice, strict)["toolConfig"]["functionCallingConfig"].clone();
    assert_eq!(mode(Some(ToolChoice::Auto), None), json!({"mode": "AUTO"}));
    assert_eq!(mode(Some(ToolChoice::None), Some(true)), json!({"mode": "NONE"}));
    assert_eq!(mode(Some(ToolChoice::Required), None), json!({"mode": "ANY"}));
    let named = json!({"mode": "ANY", "allowedFunctionNames": ["f"]});
    assert_eq!(mode(Some(ToolChoice::Named("f".to_owned())), None), named);
    assert_eq!(mode(None, Some(true)), json!({"mode": "VALIDATED"}));
    let tools = vec![tool("f", None, None), tool("g", Some(r#"{"type": "object", "properties": {}}"#), None)];
    let bare = write(&Request { tools, ..asked(vec![]) }, FLASH);
    let declarations = json!([{"name": "f", "description": "d"}, {"name": "g", "description": "d"}]);
    assert_eq!(bare["tools"][0]["functionDeclarations"], declarations);
}

#[test]
fn every_setting_has_its_field() {
    let schema = serde_json::value::RawValue::from_string(r#"{"type":"object"}"#.to_owned()).unwrap();
    let output = OutputSchema { name: "n".to_owned(), description: None, schema, strict: Some(true) };
    let request = Request {
        max_tokens: Some(9),
        temperature: Some(0.5),
        top_p: Some(0.25),
        top_k: Some(3),
        presence_penalty: Some(1.0),
        frequency_penalty: Some(-1.0),
        stop: vec!["x".to_owned()],
        seed: Some(7),
        choices: Some(2),
        output: Output::JsonSchema(output),
        logprobs: Some(4),
        ..asked(vec![])
    };
    assert_eq!(
        write(&request, FLASH)["generationConfig"],
        json!({
            "maxOutputTokens": 9, "temperature": 0.5, "topP": 0.25, "topK": 3, "presencePenalty": 1.0,
            "frequencyPenalty": -1.0, "stopSequences": ["x"], "seed": 7, "candidateCount": 2,
            "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"},
            "responseLogprobs": true, "logprobs": 4,
        })
    );
    let plain = Request { output: Output::JsonObject, logprobs: Some(0), ..asked(vec![]) };
    let config = json!({"responseMimeType": "application/json", "responseLogprobs": true});
    assert_eq!(write(&plain, FLASH)["generationConfig"], config);
}

#[test]
fn thinking_is_told_as_the_model_knows_it() {
    let config = |amount, model: &str| {
        let reasoning = Some(Reasoning { amount, shown: Some(true) });
        let mut config =
            write(&Request { reasoning, ..asked(vec![]) }, model)["generationConfig"]["thinkingConfig"]
                .take();
        assert_eq!(config["includeThoughts"].take(), json!(true));
        config.as_object_mut().unwrap().remove("includeThoughts");
        config
    };
    let effort = |effort| ReasoningAmount::Effort(effort);
    assert_eq!(config(ReasoningAmount::Off, FLASH), json!({"thinkingBudget": 0}));
    assert_eq!(config(ReasoningAmount::Auto, FLASH), json!({"thinkingBudget": -1}));
    assert_eq!(config(effort(Effort::Low), FLASH), json!({"thinkingBudget": 1024}));
    assert_eq!(config(effort(Effort::Medium), FLASH), json!({"thinkingBudget": 8192}));
    assert_eq!(config(effort(Effort::Max), FLASH), json!({"thinkingBudget": 24576}));
    assert_eq!(config(effort(Effort::Max), "gemini-2.5-pro"), json!({"thinkingBudget": 32768}));
    assert_eq!(config(ReasoningAmount::Budget(500), FLASH), json!({"thinkingBudget": 500}));
    assert_eq!(config(ReasoningAmount::Budget(500), THIRD), json!({"thinkingBudget": 500}));
    assert_eq!(config(ReasoningAmount::Auto, THIRD), json!({}));
    assert_eq!(config(ReasoningAmount::Off, THIRD), json!({"thinkingLevel": "LOW"}));
    assert_eq!(config(ReasoningAmount::Off, "gemini-3-flash"), json!({"thinkingLevel": "MINIMAL"}));
    assert_eq!(config(effort(Effort::Medium), THIRD), json!({"thinkingLevel": "MEDIUM"}));
    assert_eq!(config(effort(Effort::XHigh), THIRD), json!({"thinkingLevel": "HIGH"}));
}

#[test]
fn a_count_wraps_the_request_and_names_the_model() {
    let request = asked(vec![(Role::User, vec![says("x")])]);
    let model = ProviderModel { name: FLASH, max_output_tokens: None };
    let written = value(&SSE.write_count_request(&request, model));
    assert_eq!(written["generateContentRequest"]["model"], json!("models/gemini-2.5-flash"));
    assert_eq!(written["generateContentRequest"]["contents"], json!([text("user", "x")]));
    assert_eq!(SSE.read_count(br#"{"totalTokens": 31}"#), Ok(31));
    assert!(SSE.read_count(b"[31]").is_err());
    assert_eq!(SSE.write_count(31), r#"{"totalTokens":31}"#);
}

#[test]
fn the_limits_refuse_what_the_api_has_not() {
    let refused =
        |request: Request| SSE.limits().check(&request, &SSE).map_err(|Inexpressible { field, .. }| field);
    assert_eq!(refused(Request { temperature: Some(2.0), choices: Some(8), ..asked(vec![]) }), Ok(()));
    let field = |field: &str| Err(format!("generationConfig.{field}"));
    assert_eq!(refused(Request { temperature: Some(2.1), ..asked(vec![]) }), field("temperature"));
    assert_eq!(refused(Request { choices: Some(9), ..asked(vec![]) }), field("candidateCount"));
    assert_eq!(refused(Request { stop: vec![String::new(); 6], ..asked(vec![]) }), field("stopSequences"));
    let tool = Tool { name: "f".to_owned(), description: None, parameters: None, strict: None };
    let serial = Request { tools: vec![tool], parallel_tool_calls: Some(false), ..asked(vec![]) };
    assert_eq!(refused(serial), Err("toolConfig.functionCallingConfig".to_owned()));
}

#[test]
fn nothing_but_system_messages_are_the_users_turn() {
    let written = write(&asked(vec![(Role::System, vec![says("one")])]), FLASH);
    assert_eq!(written["contents"], json!([{"role": "user", "parts": [{"text": "one"}]}]));
    assert!(written.get("systemInstruction").is_none());
}

#[test]
fn what_a_caller_wrote_comes_out_the_same_for_a_provider() {
    let body = json!({
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [
            {"role": "user", "parts": [
                {"text": "q"},
                {"inlineData": {"mimeType": "image/png", "data": "QQ=="}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "https://a.test/v"}},
            ]},
            {"role": "model", "parts": [
                {"text": "why", "thought": true, "thoughtSignature": "AQID"},
                {"text": "let me see", "thoughtSignature": "BAUG"},
                {"functionCall": {"id": "1", "name": "f", "args": {"x": 1}}, "thoughtSignature": "BwgJ"},
                {"functionCall": {"id": "2", "name": "g", "args": {}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "1", "name": "f", "response": {"result": "r"}}},
                {"functionResponse": {"id": "2", "name": "g", "response": {"n": 1}, "parts": [
                    {"inlineData": {"mimeType": "image/png", "data": "QQ=="}},
                ]}},
            ]},
        ],
        "tools": [{"functionDeclarations": [
            {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object", "properties": {"x": {}}}},
            {"name": "g"},
        ]}],
        "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}},
        "generationConfig": {
            "temperature": 1.5, "topP": 0.5, "topK": 2, "maxOutputTokens": 5, "stopSequences": ["a"],
            "candidateCount": 1, "seed": 3, "presencePenalty": 0.5, "frequencyPenalty": 0.5,
            "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"},
            "responseLogprobs": true, "logprobs": 2,
            "thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": true},
        },
    });
    assert_eq!(write(&read(&body), THIRD), body);
}
