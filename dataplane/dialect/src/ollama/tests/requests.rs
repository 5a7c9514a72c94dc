//! Requests but for their messages: settings, tools, the prompt of `/api/generate`, and the limits.

use super::*;
use crate::chat::{Effort, Media, Output, Part, Reasoning, ReasoningAmount, Role, Tool, ToolChoice};

fn with(name: &str, of: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body[name] = of;
    body
}

#[test]
fn settings_survive_a_round_trip() {
    let sent = json!({
        "model": "llama3.2",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {
            "name": "get_weather",
            "description": "The weather",
            "parameters": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
        }}],
        "stream": false,
        "format": {"type": "object", "properties": {"age": {"type": "integer"}}},
        "think": "high",
        "logprobs": true,
        "top_logprobs": 3,
        "options": {
            "num_predict": 100, "temperature": 0.8, "top_p": 0.9, "top_k": 20,
            "presence_penalty": 1.5, "frequency_penalty": 1.0, "seed": 42, "stop": ["\n", "user:"],
        },
    });
    let request = read(&sent);
    assert!(request.leftovers.is_empty());
    assert_eq!(request.max_tokens, Some(100));
    assert_eq!(written(&request), sent);
}

#[test]
fn what_was_not_said_is_not_said() {
    let request = read(&json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}));
    assert!(request.stream);
    assert_eq!(
        written(&request),
        json!({"model": "llama3.2", "messages": [{"role": "user", "content": "hi"}], "stream": true})
    );
}

#[test]
fn values_that_say_nothing_wish_nothing() {
    let request = read(&json!({
        "model": "m",
        "messages": [{"role": "user", "content": "hi", "images": [], "thinking": "", "tool_calls": []}],
        "format": "", "tools": null, "_debug_render_only": false, "logprobs": false, "top_logprobs": 5,
        "options": {"num_predict": -1, "seed": -1, "min_p": 0, "typical_p": 1.0, "repeat_penalty": 1, "mirostat": 0},
    }));
    assert!(request.leftovers.is_empty(), "{:?}", request.leftovers);
    assert_eq!((request.max_tokens, request.seed, request.logprobs), (None, None, None));
    assert!(matches!(request.output, Output::Text));
}

#[test]
fn options_of_the_runtime_are_hints_and_other_samplers_are_wishes() {
    let options = json!({"num_ctx": 4096, "num_gpu": 1, "use_mmap": true, "mirostat_tau": 5.0,
        "min_p": 0.05, "repeat_penalty": 1.1, "mirostat": 2, "repeat_last_n": 33, "new_one": 1});
    let mut body = with("options", options);
    body["keep_alive"] = json!("5m");
    body["truncate"] = json!(true);
    body["x"] = json!(1);
    body["messages"][0]["tool_name"] = json!("f");
    let request = read(&body);
    let mut left = leftovers(&request);
    left.sort_unstable();
    assert_eq!(
        left,
        [
            ("keep_alive", true),
            ("messages[0].tool_name", false),
            ("options.min_p", false),
            ("options.mirostat", false),
            ("options.mirostat_tau", true),
            ("options.new_one", false),
            ("options.num_ctx", true),
            ("options.num_gpu", true),
            ("options.repeat_last_n", false),
            ("options.repeat_penalty", false),
            ("options.use_mmap", true),
            ("truncate", true),
            ("x", false),
        ]
    );
}

#[test]
fn whole_numbers_may_be_written_with_a_point_and_one_stop_without_a_list() {
    let request = read(&with("options", json!({"num_predict": 16.0, "top_k": -1, "stop": "end"})));
    assert_eq!((request.max_tokens, request.top_k), (Some(16), Some(0)));
    assert_eq!(request.stop, ["end"]);
}

#[test]
fn a_value_that_the_api_does_not_know_is_refused_by_its_path() {
    assert_eq!(refused(&with("format", json!("yaml"))), "format");
    assert_eq!(refused(&with("think", json!("hard"))), "think");
    assert_eq!(refused(&with("think", json!(1))), "think");
    assert_eq!(refused(&with("logprobs", json!(1))), "logprobs");
    assert_eq!(refused(&with("top_logprobs", json!(21))), "top_logprobs");
    assert_eq!(refused(&with("options", json!({"temperature": "hot"}))), "options.temperature");
    assert_eq!(refused(&with("options", json!({"stop": [1]}))), "options.stop");
    assert_eq!(refused(&with("tools", json!([{"type": "web"}]))), "tools[0].type");
    assert_eq!(refused(&with("tools", json!([{"function": {}}]))), "tools[0].function.name");
    assert_eq!(refused(&json!({"model": "m", "messages": []})), "messages");
}

#[test]
fn thinking_maps_both_ways() {
    let amount = |think: Value| read(&with("think", think)).reasoning.unwrap();
    assert_eq!(amount(json!(false)), Reasoning { amount: ReasoningAmount::Off, shown: None });
    assert_eq!(amount(json!(true)), Reasoning { amount: ReasoningAmount::Auto, shown: Some(true) });
    assert_eq!(amount(json!("max")).amount, ReasoningAmount::Effort(Effort::Max));
    let think = |amount| {
        let reasoning = Some(Reasoning { amount, shown: None });
        written(&Request { reasoning, ..Request::default() })["think"].clone()
    };
    assert_eq!(think(ReasoningAmount::Off), false);
    assert_eq!(think(ReasoningAmount::Auto), true);
    assert_eq!(think(ReasoningAmount::Effort(Effort::Minimal)), "low");
    assert_eq!(think(ReasoningAmount::Effort(Effort::XHigh)), "high");
    assert_eq!(think(ReasoningAmount::Effort(Effort::Max)), "max");
    assert_eq!(think(ReasoningAmount::Budget(0)), false);
    assert_eq!(think(ReasoningAmount::Budget(1024)), "low");
    assert_eq!(think(ReasoningAmount::Budget(8000)), "medium");
    assert_eq!(think(ReasoningAmount::Budget(31_999)), "high");
    assert_eq!(think(ReasoningAmount::Budget(100_000)), "max");
}

#[test]
fn json_of_any_form_is_asked_for_by_name() {
    let request = read(&with("format", json!("json")));
    assert!(matches!(request.output, Output::JsonObject));
    assert_eq!(written(&request)["format"], "json");
}

#[test]
fn no_tool_is_called_where_none_is_offered() {
    let tool = Tool { name: "now".to_owned(), description: None, parameters: None, strict: None };
    let mut request = Request { tools: vec![tool], ..Request::default() };
    let function = &written(&request)["tools"][0]["function"];
    assert_eq!(*function, json!({"name": "now", "parameters": {"type": "object", "properties": {}}}));
    request.tool_choice = Some(ToolChoice::None);
    assert!(written(&request).get("tools").is_none());
}

#[test]
fn a_prompt_is_a_chat_of_one_message() {
    let png = "iVBORw0KGgoAAAANSUhEUgAAAG0";
    let body = body(&json!({
        "model": "m", "prompt": "What is it?", "system": "Be brief.", "images": [png], "suffix": "",
        "template": "", "context": [], "raw": false, "format": "json", "options": {"seed": 1},
    }));
    let request = Generate.read_request(&body).unwrap();
    assert!(request.leftovers.is_empty() && request.stream);
    assert_eq!((request.messages[0].role, request.messages.len()), (Role::System, 2));
    let image = Part::Image(Media::Inline { media_type: "image/png".to_owned(), data: png.to_owned() });
    assert_eq!(request.messages[1].parts, [image, Part::Text("What is it?".to_owned())]);
    assert_eq!(request.seed, Some(1));
}

#[test]
fn what_only_a_prompt_can_ask_for_is_left_over() {
    let sent = json!({"model": "m", "prompt": "x", "suffix": "y", "template": "{{ .Prompt }}", "context": [1],
        "raw": true, "width": 10});
    let request = Generate.read_request(&body(&sent)).unwrap();
    let all = [("suffix", false), ("template", false), ("context", false), ("raw", false), ("width", false)];
    assert_eq!(leftovers(&request), all);
    let load = Generate.read_request(br#"{"model":"m","prompt":""}"#);
    assert_eq!(load.unwrap_err().param(), Some("prompt"));
    let twice =
        Generate.read_request(br#"{"model":"m","prompt":"x","format":{"type":"object","type":"array"}}"#);
    assert_eq!(twice.unwrap_err().param(), Some("format"));
}

#[test]
fn what_the_api_cannot_express_is_refused() {
    let limits = Chat.limits();
    let check = |request: Request| limits.check(&request, &Chat).map_err(|refusal| refusal.field);
    let tools = || vec![Tool { name: "f".to_owned(), description: None, parameters: None, strict: None }];
    assert_eq!(check(Request { temperature: Some(7.0), top_k: Some(0), ..Request::default() }), Ok(()));
    let choice = |choice| Request { tools: tools(), tool_choice: Some(choice), ..Request::default() };
    assert_eq!(check(choice(ToolChoice::Auto)), Ok(()));
    assert_eq!(check(choice(ToolChoice::None)), Ok(()));
    assert_eq!(check(choice(ToolChoice::Required)), Err("tool_choice".to_owned()));
    assert_eq!(check(choice(ToolChoice::Named("f".to_owned()))), Err("tool_choice".to_owned()));
    let serial = Request { tools: tools(), parallel_tool_calls: Some(false), ..Request::default() };
    assert_eq!(check(serial), Err("parallel_tool_calls".to_owned()));
    assert_eq!(check(Request { choices: Some(2), ..Request::default() }), Err("n".to_owned()));
    let part = |part| {
        let messages = vec![chat::Message { role: Role::User, parts: vec![part] }];
        Request { messages, ..Request::default() }
    };
    let url = || Media::Url { url: "https://x/y.png".to_owned(), media_type: None };
    let inline = || Media::Inline { media_type: "x/y".to_owned(), data: "AAAA".to_owned() };
    assert_eq!(check(part(Part::Image(inline()))), Ok(()));
    assert_eq!(check(part(Part::Image(url()))), Err("messages.images".to_owned()));
    assert_eq!(check(part(Part::Audio(inline()))), Err("messages.images".to_owned()));
    assert_eq!(check(part(Part::Video(inline()))), Err("messages.images".to_owned()));
    let document = |media| part(Part::Document { media, name: None });
    assert_eq!(check(document(inline())), Err("messages.images".to_owned()));
    assert_eq!(check(document(Media::Text("x".to_owned()))), Ok(()));
    assert_eq!(check(read(&with("x", json!(1)))), Err("x".to_owned()));
}
