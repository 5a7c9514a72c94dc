//! What callers ask.

use serde_json::{Value, json};

use super::{leftovers, read, sent, try_read};
use crate::{
    CallerApi, Dialect, ProviderApi,
    anthropic::{Messages, read_count_request},
    chat::{Effort, Media, Output, Part, Reasoning, ReasoningAmount, Role, ToolChoice},
    seal::Seal,
};

#[test]
fn what_is_read_is_written_the_same() {
    let body = json!({
        "model": "claude-opus-5", "max_tokens": 1024, "temperature": 0.5, "top_p": 0.9, "top_k": 40,
        "stop_sequences": ["END"], "stream": true, "metadata": {"user_id": "u-1"},
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "high", "format": {"type": "json_schema",
            "schema": {"type": "object", "properties": {}, "additionalProperties": false}}},
        "tools": [{"name": "look", "description": "Looks", "strict": false,
            "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}],
        "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": true},
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "See"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}},
                {"type": "document", "title": "T", "source":
                    {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
                {"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "EqQB"},
                {"type": "redacted_thinking", "data": "EmwK"},
                {"type": "thinking", "thinking": "", "signature": "EqQC"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "x"}},
                {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [
                    {"type": "text", "text": "it is"},
                    {"type": "image", "source": {"type": "url", "url": "https://a.example/c.png"}}]},
                {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": true, "content": [
                    {"type": "text", "text": "no"}]},
                {"type": "text", "text": "Go on."}]}]
    });
    let request = try_read(&body).unwrap();
    assert_eq!(leftovers(&request), []);
    assert!(Messages.limits().check(&request, &Messages).is_ok());
    assert_eq!(sent(&request), body);
}

#[test]
fn strings_stand_for_blocks_and_system_messages_stay_where_they_are() {
    let request = read(json!({
        "model": "m", "system": "S",
        "messages": [
            {"role": "user", "content": "a"}, {"role": "system", "content": "b"},
            {"role": "assistant", "content": "c"},
            {"role": "system", "content": [{"type": "text", "text": "d"}]}]
    }));
    let said: Vec<(Role, &[Part])> =
        request.messages.iter().map(|message| (message.role, message.parts.as_slice())).collect();
    let text = |text: &str| [Part::Text(text.to_owned())];
    assert_eq!(
        said,
        [
            (Role::System, &text("S")[..]),
            (Role::User, &text("a")),
            (Role::System, &text("b")),
            (Role::Assistant, &text("c")),
            (Role::System, &text("d")),
        ]
    );
}

#[test]
fn a_result_knows_the_tool_of_its_call() {
    let request = read(json!({"model": "m", "messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": { }}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "42"}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]}));
    let results: Vec<(&str, usize)> = request
        .messages
        .iter()
        .flat_map(|message| &message.parts)
        .filter_map(|part| match part {
            Part::ToolResult(result) => Some((result.name.as_str(), result.content.len())),
            _ => None,
        })
        .collect();
    assert_eq!(results, [("look", 1), ("look", 0)]);
}

#[test]
fn the_seal_of_another_kind_finds_its_call_again() {
    let request = read(json!({"model": "m", "messages": [{"role": "assistant", "content": [
        {"type": "redacted_thinking", "data": "openai!~seal~enc"},
        {"type": "thinking", "thinking": "Hm", "signature": "gemini~seal~sig"},
        {"type": "redacted_thinking", "data": "gemini~seal~one"},
        {"type": "tool_use", "id": "t", "name": "look", "input": {}},
        {"type": "redacted_thinking", "data": "gemini~seal~two"},
        {"type": "text", "text": "x"}]}]}));
    let foreign = |origin, redacted, value: &str| Some(Seal { origin, redacted, value: value.to_owned() });
    let parts = &request.messages[0].parts;
    let reasoning = |text: &str, seal| Part::Reasoning { text: text.to_owned(), seal };
    assert_eq!(parts[0], reasoning("", foreign(Dialect::OpenAI, true, "enc")));
    assert_eq!(parts[1], reasoning("Hm", foreign(Dialect::Gemini, false, "sig")));
    let Part::ToolCall(call) = &parts[2] else { unreachable!("{parts:?}") };
    assert_eq!(call.seal, foreign(Dialect::Gemini, false, "one"));
    assert_eq!(parts[3], reasoning("", foreign(Dialect::Gemini, false, "two")));
}

#[test]
fn documents_of_blocks_are_taken_apart() {
    let request = read(json!({"model": "m", "messages": [{"role": "user", "content": [
        {"type": "document", "title": "T", "citations": {"enabled": false}, "source":
            {"type": "content", "content": "all"}},
        {"type": "document", "source": {"type": "content", "content": [
            {"type": "text", "text": "a"}, {"type": "text", "text": "b"},
            {"type": "image", "source": {"type": "url", "url": "https://a.example"}},
            {"type": "text", "text": "c"}]}}]}]}));
    let text = |text: &str, name: Option<&str>| Part::Document {
        media: Media::Text(text.to_owned()),
        name: name.map(str::to_owned),
    };
    let image = Part::Image(Media::Url { url: "https://a.example".to_owned(), media_type: None });
    assert_eq!(
        request.messages[0].parts,
        [text("all", Some("T")), text("a\n\nb", None), image, text("c", None)]
    );
    assert_eq!(leftovers(&request), []);
}

#[test]
fn what_the_model_does_not_hold_is_named_by_its_path() {
    let cache = json!({"type": "ephemeral"});
    let request = read(json!({
        "model": "m", "service_tier": "auto", "speed": "fast", "container": "c", "mcp_servers": [],
        "cache_control": cache, "inference_geo": null, "metadata": {"user_id": null, "other": 1},
        "system": [{"type": "text", "text": "S", "cache_control": cache}],
        "tools": [
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
            {"type": "custom", "name": "a", "input_schema": {}, "cache_control": cache, "defer_loading": false,
             "allowed_callers": ["direct"], "eager_input_streaming": true},
            {"name": "b", "input_schema": {}, "defer_loading": true, "input_examples": [{}],
             "allowed_callers": ["code_execution_20250825"]}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "x", "citations": [{}], "cache_control": cache},
                {"type": "image", "source": {"type": "file", "file_id": "f"}},
                {"type": "image", "source": {"type": "url", "url": "u"}, "transformations": {}},
                {"type": "document", "citations": {"enabled": true}, "context": "c",
                 "source": {"type": "file", "file_id": "f"}},
                {"type": "search_result", "source": "s", "title": "t", "content": []}]},
            {"role": "assistant", "content": [
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                {"type": "tool_use", "id": "t", "name": "a", "input": {}, "caller": {"type": "direct"}},
                {"type": "tool_use", "id": "u", "name": "a", "input": {}, "toolset_name": "x",
                 "caller": {"type": "code_execution_20250825", "tool_id": "s"}}]}]
    }));
    assert_eq!(
        leftovers(&request),
        [
            ("system[0].cache_control", true),
            ("messages[0].content[0].citations", false),
            ("messages[0].content[0].cache_control", true),
            ("messages[0].content[1].source", false),
            ("messages[0].content[2].transformations", false),
            ("messages[0].content[3].citations", false),
            ("messages[0].content[3].context", false),
            ("messages[0].content[3].source", false),
            ("messages[0].content[4].type", false),
            ("messages[1].content[0].type", false),
            ("messages[1].content[2].caller", false),
            ("messages[1].content[2].toolset_name", false),
            ("tools[0].type", false),
            ("tools[1].cache_control", true),
            ("tools[1].eager_input_streaming", true),
            ("tools[2].defer_loading", false),
            ("tools[2].allowed_callers", false),
            ("tools[2].input_examples", false),
            ("metadata.other", false),
            ("cache_control", true),
            ("container", false),
            ("mcp_servers", false),
            ("service_tier", true),
            ("speed", true),
        ]
    );
    assert_eq!(request.tools.len(), 2);
}

#[test]
fn every_choice_of_tools_is_read() {
    let choice = |choice: Value| {
        let request = read(json!({"model": "m", "messages": [], "tool_choice": choice}));
        (request.tool_choice, request.parallel_tool_calls)
    };
    assert_eq!(choice(json!({"type": "auto"})), (Some(ToolChoice::Auto), None));
    assert_eq!(choice(json!({"type": "none"})), (Some(ToolChoice::None), None));
    assert_eq!(
        choice(json!({"type": "any", "disable_parallel_tool_use": false})),
        (Some(ToolChoice::Required), Some(true))
    );
    assert_eq!(
        choice(json!({"type": "tool", "name": "a", "disable_parallel_tool_use": true})),
        (Some(ToolChoice::Named("a".to_owned())), Some(false))
    );
}

#[test]
fn thinking_and_effort_are_one_wish() {
    let wish = |fields: Value| {
        let mut body = json!({"model": "m", "messages": []});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let request = read(body);
        let left = leftovers(&request).into_iter().map(|(field, hint)| (field.to_owned(), hint)).next();
        (request.reasoning, left)
    };
    let of = |amount, shown| Some(Reasoning { amount, shown });
    let high = ReasoningAmount::Effort(Effort::High);
    let effort = json!({"effort": "high"});
    let field = |hint| Some(("output_config.effort".to_owned(), hint));
    assert_eq!(wish(json!({})), (None, None));
    assert_eq!(wish(json!({"output_config": effort})), (of(high, None), None));
    assert_eq!(
        wish(json!({"output_config": effort, "thinking": {"type": "adaptive", "display": "omitted"}})),
        (of(high, Some(false)), None)
    );
    assert_eq!(
        wish(json!({"thinking": {"type": "adaptive", "display": "summarized"}})),
        (of(ReasoningAmount::Auto, Some(true)), None)
    );
    assert_eq!(
        wish(json!({"output_config": effort, "thinking": {"type": "enabled", "budget_tokens": 2048}})),
        (of(ReasoningAmount::Budget(2048), None), field(true))
    );
    assert_eq!(
        wish(json!({"output_config": effort, "thinking": {"type": "disabled"}})),
        (of(ReasoningAmount::Off, None), field(false))
    );
    assert_eq!(
        wish(json!({"thinking": {"type": "between_tools"}})),
        (None, Some(("thinking.type".to_owned(), false)))
    );
}

#[test]
fn edits_that_only_clear_thinking_are_a_hint() {
    let hint = |edits: Value| {
        let request = read(json!({"model": "m", "messages": [], "context_management": {"edits": edits}}));
        leftovers(&request)[0].1
    };
    assert!(hint(json!([{"type": "clear_thinking_20251015", "keep": "all"}])));
    assert!(!hint(json!([{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}])));
}

#[test]
fn an_output_schema_is_read_as_it_stands() {
    let request = read(json!({"model": "m", "messages": [], "output_config": {"format":
        {"type": "json_schema", "schema": {"type": "object"}}}}));
    let Output::JsonSchema(output) = &request.output else { unreachable!("{:?}", request.output) };
    assert_eq!((output.name.as_str(), output.schema.get()), ("", r#"{"type":"object"}"#));
}

#[test]
fn an_unfit_field_is_named_by_its_path() {
    let message = |content: Value| json!([{"role": "user", "content": content}]);
    for (field, body) in [
        ("max_tokens", json!({"model": "m", "messages": []})),
        ("messages", json!({"model": "m", "max_tokens": 1})),
        ("max_tokens", json!({"max_tokens": "1", "messages": []})),
        ("messages[0].role", json!({"max_tokens": 1, "messages": [{"role": "tool", "content": ""}]})),
        ("messages[0].content", json!({"max_tokens": 1, "messages": message(json!(1))})),
        (
            "messages[0].content[0].text",
            json!({"max_tokens": 1, "messages": message(json!([{"type": "text"}]))}),
        ),
        (
            "messages[0].content[0].input",
            json!({"max_tokens": 1, "messages": message(json!([
                {"type": "tool_use", "id": "t", "name": "n", "input": "x"}]))}),
        ),
        ("system[0].type", json!({"max_tokens": 1, "messages": [], "system": [{"type": "image"}]})),
        ("tool_choice.type", json!({"max_tokens": 1, "messages": [], "tool_choice": {"type": "x"}})),
        ("tools[0].input_schema", json!({"max_tokens": 1, "messages": [], "tools": [{"name": "a"}]})),
        (
            "output_config.effort",
            json!({"max_tokens": 1, "messages": [], "output_config": {"effort": "minimal"}}),
        ),
        ("stop_sequences", json!({"max_tokens": 1, "messages": [], "stop_sequences": "x"})),
        ("thinking.budget_tokens", json!({"max_tokens": 1, "messages": [], "thinking": {"type": "enabled"}})),
    ] {
        assert_eq!(try_read(&body).unwrap_err().param(), Some(field), "{body}");
    }
}

#[test]
fn a_count_needs_no_limit() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]}).to_string();
    assert_eq!(read_count_request(body.as_bytes()).unwrap().max_tokens, None);
    assert!(CallerApi::read_request(&Messages, body.as_bytes()).is_err());
}
