//! What is read of callers.

use super::*;
use crate::{
    chat::{
        Effort, Media, Message, Output, Part, Reasoning, ReasoningAmount, Role, ToolCall, ToolChoice,
        ToolResult,
    },
    seal::Seal,
};

fn of_contents(contents: &Value) -> Vec<Message> {
    read(&json!({"contents": contents})).messages
}

fn left(body: &Value) -> Vec<(String, bool)> {
    read(body).leftovers.into_iter().map(|left| (left.field, left.hint)).collect()
}

#[test]
fn a_conversation_keeps_its_roles_and_its_order() {
    let request = read(&json!({
        "model": "models/x",
        "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}]},
        "contents": [{"parts": [{"text": "Hi"}]}, text("model", "Hello"), text("user", "Bye")],
    }));
    let expected =
        [(Role::System, "Be brief."), (Role::User, "Hi"), (Role::Assistant, "Hello"), (Role::User, "Bye")];
    let said = |(role, text): (Role, &str)| Message { role, parts: vec![Part::Text(text.to_owned())] };
    assert_eq!(request.messages, expected.map(said));
    assert!(request.leftovers.is_empty());
}

#[test]
fn single_objects_and_snake_case_are_taken_as_the_api_takes_them() {
    let request = read(&json!({
        "system_instruction": {"parts": {"text": "s"}},
        "contents": {"parts": {"inline_data": {"mime_type": "image/png", "data": "-_-_QQ"}}},
        "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}},
        "generation_config": {"top_p": 0.5, "top_k": 40.0, "max_output_tokens": 7, "candidate_count": 2},
    }));
    let image = Media::Inline { media_type: "image/png".to_owned(), data: "+/+/QQ==".to_owned() };
    assert_eq!(request.messages[1].parts, [Part::Image(image)]);
    assert_eq!(request.tool_choice, Some(ToolChoice::Named("f".to_owned())));
    let numbers = (request.top_p, request.top_k, request.max_tokens, request.choices);
    assert_eq!(numbers, (Some(0.5), Some(40), Some(7), Some(2)));
    assert!(request.leftovers.is_empty());
}

#[test]
fn media_are_told_apart_by_type_or_by_what_the_url_says() {
    let url = |url: &str, media_type: Option<&str>| Media::Url {
        url: url.to_owned(),
        media_type: media_type.map(str::to_owned),
    };
    let messages = of_contents(&json!([{"role": "user", "parts": [
        {"fileData": {"fileUri": "https://a.test/x.jpg?v=1"}},
        {"fileData": {"fileUri": "https://a.test/x", "mimeType": "audio/mp3"}},
        {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "QQ==", "displayName": "a.pdf"}},
    ]}]));
    let document = Media::Inline { media_type: "application/pdf".to_owned(), data: "QQ==".to_owned() };
    assert_eq!(
        messages[0].parts,
        [
            Part::Image(url("https://a.test/x.jpg?v=1", None)),
            Part::Audio(url("https://a.test/x", Some("audio/mp3"))),
            Part::Video(url("https://www.youtube.com/watch?v=1", None)),
            Part::Document { media: document, name: Some("a.pdf".to_owned()) },
        ]
    );
}

#[test]
fn calls_without_ids_are_numbered_and_their_results_find_them_by_name() {
    let messages = of_contents(&json!([
        {"role": "model", "parts": [
            {"functionCall": {"name": "f", "args": {"x": 1}}},
            {"functionCall": {"name": "g"}},
            {"functionCall": {"name": "f", "args": {}}},
        ]},
        {"role": "function", "parts": [
            {"functionResponse": {"name": "f", "response": {"result": "one"}}},
            {"functionResponse": {"name": "f", "response": {"error": "no"}}},
            {"functionResponse": {"name": "g", "response": {"a": {"b": 2}}, "parts": [
                {"inlineData": {"mimeType": "image/png", "data": "QQ=="}},
            ]}},
        ]},
    ]));
    let call = |id: &str, name: &str, arguments: &str| {
        let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
        Part::ToolCall(ToolCall { id, name, arguments, seal: None })
    };
    assert_eq!(
        messages[0].parts,
        [call("call_0", "f", r#"{"x":1}"#), call("call_1", "g", "{}"), call("call_2", "f", "{}"),]
    );
    let result = |id: &str, name: &str, content: Vec<Part>, is_error| {
        Part::ToolResult(ToolResult { id: id.to_owned(), name: name.to_owned(), content, is_error })
    };
    let image = Media::Inline { media_type: "image/png".to_owned(), data: "QQ==".to_owned() };
    let text = |text: &str| Part::Text(text.to_owned());
    assert_eq!(messages[1].role, Role::User);
    assert_eq!(
        messages[1].parts,
        [
            result("call_0", "f", vec![text("one")], false),
            result("call_2", "f", vec![text("no")], true),
            result("call_1", "g", vec![text(r#"{"a":{"b":2}}"#), Part::Image(image)], false),
        ]
    );
}

#[test]
fn given_ids_are_kept() {
    let messages = of_contents(&json!([
        {"role": "model", "parts": [
            {"functionCall": {"id": "a", "name": "f", "args": {}}},
            {"functionCall": {"id": "b", "name": "f", "args": {}}},
        ]},
        {"parts": [
            {"functionResponse": {"id": "b", "name": "f", "response": {}}},
            {"functionResponse": {"name": "f", "response": {}}},
        ]},
    ]));
    let ids = messages[1].parts.iter().map(|part| match part {
        Part::ToolResult(result) => result.id.as_str(),
        _ => "",
    });
    assert_eq!(ids.collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn thinking_in_pieces_is_one_with_its_seal_and_calls_keep_theirs() {
    let foreign = Seal::new(Dialect::Anthropic, "Eq==");
    let kept = signature::write(&foreign);
    let messages = of_contents(&json!([{"role": "model", "parts": [
        {"text": "a", "thought": true},
        {"text": "b", "thought": true},
        {"text": "", "thought": true, "thoughtSignature": kept},
        {"text": "said", "thoughtSignature": "AQID"},
        {"functionCall": {"id": "1", "name": "f", "args": {}}, "thought_signature": "BAUG"},
    ]}]));
    let own = |value: &str| Some(Seal::new(Dialect::Gemini, value));
    let (id, name, arguments) = ("1".to_owned(), "f".to_owned(), "{}".to_owned());
    assert_eq!(
        messages[0].parts,
        [
            Part::Reasoning { text: "ab".to_owned(), seal: Some(foreign) },
            Part::Text("said".to_owned()),
            Part::Reasoning { text: String::new(), seal: own("AQID") },
            Part::ToolCall(ToolCall { id, name, arguments, seal: own("BAUG") }),
        ]
    );
}

#[test]
fn a_streamed_turn_that_the_sdk_gives_back_by_frames_is_one_again() {
    let frame = |part: Value| json!({"role": "model", "parts": [part]});
    let seal = Seal::new(Dialect::Anthropic, "Eq==");
    let messages = of_contents(&json!([
        text("user", "q"),
        frame(json!({"text": "wh", "thought": true})),
        frame(json!({"text": "y", "thought": true})),
        frame(json!({"text": "", "thought": true, "thoughtSignature": signature::write(&seal)})),
        frame(json!({"text": "Hi"})),
        frame(json!({"text": " there"})),
        frame(json!({"text": ""})),
        text("user", "a"),
        text("user", "b"),
    ]));
    let said =
        [Part::Reasoning { text: "why".to_owned(), seal: Some(seal) }, Part::Text("Hi there".to_owned())];
    assert_eq!(messages[1].parts, said);
    assert_eq!(messages.len(), 4);
}

#[test]
fn tools_carry_either_kind_of_schema() {
    let request = read(&json!({"contents": [text("user", "x")], "tools": [{"functionDeclarations": [
        {"name": "f", "description": "d", "parameters": {"type": "OBJECT", "properties": {"x": {"type": "STRING"}}}},
        {"name": "g", "parametersJsonSchema": {"type": "object", "$defs": {}}},
        {"name": "h", "response_json_schema": {"type": "string"}},
    ]}]}));
    assert!(request.leftovers.iter().all(|left| left.hint));
    let schemas: Vec<_> =
        request.tools.iter().map(|tool| tool.parameters.as_ref().map(|schema| schema.get())).collect();
    assert_eq!(
        schemas,
        [
            Some(r#"{"properties":{"x":{"type":"string"}},"type":"object"}"#),
            Some(r#"{"$defs":{},"type":"object"}"#),
            None,
        ]
    );
}

#[test]
fn every_mode_of_calling_is_read() {
    let choice = |config: Value| {
        let request = read(&json!({
            "contents": [text("user", "x")],
            "tools": [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}],
            "toolConfig": {"functionCallingConfig": config},
        }));
        (request.tool_choice, request.tools[0].strict, request.leftovers.len())
    };
    assert_eq!(choice(json!({"mode": "AUTO"})), (Some(ToolChoice::Auto), None, 0));
    assert_eq!(choice(json!({"mode": "NONE"})), (Some(ToolChoice::None), None, 0));
    assert_eq!(choice(json!({"mode": "ANY"})), (Some(ToolChoice::Required), None, 0));
    assert_eq!(choice(json!({"mode": "VALIDATED"})), (Some(ToolChoice::Auto), Some(true), 0));
    let one = json!({"mode": "ANY", "allowedFunctionNames": ["g"]});
    assert_eq!(choice(one), (Some(ToolChoice::Named("g".to_owned())), None, 0));
    let several = json!({"mode": "ANY", "allowedFunctionNames": ["f", "g"]});
    assert_eq!(choice(several), (Some(ToolChoice::Required), None, 1));
    assert_eq!(choice(json!({})), (None, None, 0));
}

#[test]
fn the_form_of_the_answer_is_read() {
    let output =
        |config: Value| read(&json!({"contents": [text("user", "x")], "generationConfig": config})).output;
    assert!(matches!(output(json!({"responseMimeType": "text/plain"})), Output::Text));
    assert!(matches!(output(json!({"responseMimeType": "application/json"})), Output::JsonObject));
    let schema = |output| match output {
        Output::JsonSchema(output) => output.schema.get().to_owned(),
        _ => String::new(),
    };
    let own = json!({"responseMimeType": "application/json", "responseSchema": {"type": "INTEGER"}});
    assert_eq!(schema(output(own)), r#"{"type":"integer"}"#);
    let standard = json!({"responseMimeType": "application/json", "responseJsonSchema": {"const": 1}});
    assert_eq!(schema(output(standard)), r#"{"const":1}"#);
}

#[test]
fn thinking_is_read_from_budgets_and_levels() {
    let reasoning = |config: Value| {
        read(&json!({"contents": [text("user", "x")], "generationConfig": {"thinkingConfig": config}}))
            .reasoning
    };
    let of = |amount, shown| Some(Reasoning { amount, shown });
    assert_eq!(reasoning(json!({"thinkingBudget": 0})), of(ReasoningAmount::Off, None));
    assert_eq!(reasoning(json!({"thinkingBudget": -1})), of(ReasoningAmount::Auto, None));
    let shown = json!({"thinkingBudget": 512, "includeThoughts": true});
    assert_eq!(reasoning(shown), of(ReasoningAmount::Budget(512), Some(true)));
    let low = of(ReasoningAmount::Effort(Effort::Low), None);
    assert_eq!(reasoning(json!({"thinkingLevel": "LOW"})), low);
    assert_eq!(reasoning(json!({"thinking_level": "low"})), low);
    assert_eq!(reasoning(json!({"includeThoughts": true})), of(ReasoningAmount::Auto, Some(true)));
    assert_eq!(reasoning(json!({"includeThoughts": false})), None);
}

#[test]
fn what_has_no_place_is_left_by_its_path() {
    let body = json!({
        "contents": [{"role": "model", "parts": [
            {"executableCode": {"code": "1"}},
            {"text": "x", "partMetadata": {}, "videoMetadata": {"fps": 1}},
            {"fileData": {"fileUri": "gs://bucket/x.png"}},
        ]}],
        "tools": [{"googleSearch": {}}],
        "cachedContent": "cachedContents/1",
        "safetySettings": [
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_LOW_AND_ABOVE"},
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"},
        ],
        "labels": {"team": "a"},
        "serviceTier": "flex",
        "generationConfig": {"speechConfig": {}, "responseModalities": ["TEXT", "IMAGE"]},
    });
    let wish = |field: &str| (field.to_owned(), false);
    let hint = |field: &str| (field.to_owned(), true);
    assert_eq!(
        left(&body),
        [
            wish("contents[0].parts[0].executableCode"),
            hint("contents[0].parts[1].partMetadata"),
            wish("contents[0].parts[1].videoMetadata"),
            wish("contents[0].parts[2].fileData.fileUri"),
            wish("tools[0].googleSearch"),
            wish("generationConfig.responseModalities"),
            wish("generationConfig.speechConfig"),
            wish("safetySettings[0]"),
            hint("safetySettings[1]"),
            wish("cachedContent"),
            hint("serviceTier"),
        ]
    );
    assert_eq!(read(&body).metadata, [("team".to_owned(), "a".to_owned())]);
}

#[test]
fn a_count_may_hold_the_whole_request() {
    let request = read(&json!({"generateContentRequest": {
        "model": "models/x", "contents": [text("user", "x")], "cachedContent": "c",
    }}));
    assert_eq!(request.messages.len(), 1);
    assert_eq!(request.leftovers[0].field, "generateContentRequest.cachedContent");
}

#[test]
fn what_is_wrong_is_named() {
    let user = || text("user", "x");
    let config = |config: Value| json!({"contents": [user()], "generationConfig": config});
    let cases = [
        (json!({}), "contents"),
        (json!({"contents": []}), "contents"),
        (json!({"contents": [{"role": "system", "parts": []}]}), "contents[0].role"),
        (json!({"contents": [{"parts": [{"text": 1}]}]}), "contents[0].parts[0].text"),
        (
            json!({"contents": [{"parts": [{"inlineData": {"data": ""}}]}]}),
            "contents[0].parts[0].inlineData.mimeType",
        ),
        (
            json!({"contents": [{"parts": [{"functionResponse": {"name": "f"}}]}]}),
            "contents[0].parts[0].functionResponse.name",
        ),
        (config(json!({"topK": 1.5})), "generationConfig.topK"),
        (config(json!({"logprobs": 3})), "generationConfig.logprobs"),
        (config(json!({"responseJsonSchema": "object"})), "generationConfig.responseJsonSchema"),
        (config(json!({"responseMimeType": "text/x.enum"})), "generationConfig.responseMimeType"),
        (
            config(json!({"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}})),
            "generationConfig.thinkingConfig.thinkingLevel",
        ),
        (
            config(json!({"thinkingConfig": {"thinkingBudget": -2}})),
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        (
            json!({"contents": [user()], "toolConfig": {"functionCallingConfig": {"mode": "SOME"}}}),
            "toolConfig.functionCallingConfig.mode",
        ),
    ];
    for (body, param) in cases {
        assert_eq!(try_read(&body).unwrap_err().param(), Some(param), "{body}");
    }
}
