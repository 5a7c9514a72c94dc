//! Messages: turns, pictures, calls and the results that find them.

use super::*;
use crate::{
    Dialect,
    chat::{Media, Message, Part, Role, ToolCall, ToolResult},
    seal::Seal,
};

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAG0";

fn thread(messages: &Value) -> Request {
    read(&json!({"model": "m", "messages": messages}))
}

fn sent(messages: Vec<Message>) -> Value {
    written(&Request { messages, ..Request::default() })["messages"].clone()
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn picture(data: &str) -> Part {
    Part::Image(Media::Inline { media_type: "image/png".to_owned(), data: data.to_owned() })
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
    Part::ToolCall(ToolCall { id, name, arguments, seal: None })
}

fn result(id: &str, content: Vec<Part>) -> Part {
    Part::ToolResult(ToolResult { id: id.to_owned(), name: String::new(), content, is_error: false })
}

/// Id, name and text of each result.
fn results(request: &Request) -> Vec<(&str, &str, &Part)> {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    parts
        .filter_map(|part| match part {
            Part::ToolResult(of) => Some((of.id.as_str(), of.name.as_str(), &of.content[0])),
            _ => None,
        })
        .collect()
}

fn calls_of(functions: &[&str]) -> Value {
    let of = |name: &&str| json!({"function": {"name": name, "arguments": {}}});
    json!({"role": "assistant", "content": "", "tool_calls": functions.iter().map(of).collect::<Vec<_>>()})
}

#[test]
fn a_conversation_survives_a_round_trip() {
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is it?", "images": [PNG]},
        {"role": "assistant", "content": "Let me see.", "thinking": "A picture.", "tool_calls": [
            {"id": "call_x", "function": {"index": 0, "name": "look", "arguments": {"b": 1.50, "a": [2]}}},
            {"id": "call_y", "function": {"index": 1, "name": "now", "arguments": {}}},
        ]},
        {"role": "tool", "content": "a cat", "tool_name": "look", "tool_call_id": "call_x"},
        {"role": "tool", "content": "noon", "tool_name": "now", "tool_call_id": "call_y"},
        {"role": "assistant", "content": "A cat at noon."},
    ]);
    let request = thread(&messages);
    assert!(request.leftovers.is_empty());
    assert_eq!(sent(request.messages), messages);
}

#[test]
fn arguments_stay_as_they_were_written() {
    let body = br#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f","arguments":{"b":1.50,"a":1e400}}}]}]}"#;
    let request = Chat.read_request(body).unwrap();
    assert_eq!(request.messages[0].parts, [call("call_0", "f", r#"{"b":1.50,"a":1e400}"#)]);
    let sent = Chat.write_request(&request, MODEL);
    assert!(String::from_utf8(sent.to_vec()).unwrap().contains(r#""arguments":{"b":1.50,"a":1e400}"#));
}

#[test]
fn results_without_ids_find_their_calls_by_name_and_then_by_order() {
    let request = thread(&json!([
        calls_of(&["weather", "clock", "weather"]),
        {"role": "tool", "content": "rain", "tool_name": "weather"},
        {"role": "tool", "content": "sun", "name": "weather"},
        {"role": "tool", "content": "noon"},
    ]));
    let found = [
        ("call_0", "weather", &text("rain")),
        ("call_2", "weather", &text("sun")),
        ("call_1", "clock", &text("noon")),
    ];
    assert_eq!(results(&request), found);
}

#[test]
fn a_later_turn_closes_the_calls_that_got_no_result() {
    let request = thread(&json!([
        calls_of(&["f", "f"]),
        {"role": "tool", "content": "1"},
        {"role": "assistant", "content": "Once more."},
        calls_of(&["f"]),
        {"role": "tool", "content": "2", "tool_name": "f"},
    ]));
    assert_eq!(results(&request), [("call_0", "f", &text("1")), ("call_2", "f", &text("2"))]);
    // As a client that keeps each line of a stream has them: several messages, one turn.
    let request = thread(&json!([
        calls_of(&["f"]), calls_of(&["g"]), {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"},
    ]));
    assert_eq!(results(&request), [("call_0", "f", &text("1")), ("call_1", "g", &text("2"))]);
}

#[test]
fn a_made_up_id_is_never_one_that_is_taken() {
    let request = thread(&json!([
        {"role": "assistant", "tool_calls": [
            {"id": "call_1", "function": {"name": "f"}}, {"function": {"name": "f"}},
        ]},
        {"role": "tool", "content": "b", "tool_call_id": "call_2"},
        {"role": "tool", "content": "a", "tool_name": "f"},
    ]));
    assert_eq!(request.messages[0].parts, [call("call_1", "f", "{}"), call("call_2", "f", "{}")]);
    assert_eq!(results(&request), [("call_2", "f", &text("b")), ("call_1", "f", &text("a"))]);
}

#[test]
fn a_result_without_a_call_is_refused() {
    let refused = |last: Value| refused(&json!({"model": "m", "messages": [calls_of(&["f"]), last]}));
    for result in [json!({"tool_name": "g"}), json!({"tool_call_id": "x"})] {
        let mut message = json!({"role": "tool", "content": "1"});
        message.as_object_mut().unwrap().extend(result.as_object().unwrap().clone());
        assert_eq!(refused(message), "messages[1]");
    }
}

#[test]
fn a_message_that_the_api_does_not_know_is_refused_by_its_path() {
    let refused = |message: Value| refused(&json!({"model": "m", "messages": [message]}));
    assert_eq!(refused(json!({"role": "bot", "content": "x"})), "messages[0].role");
    assert_eq!(refused(json!({"content": "x"})), "messages[0].role");
    assert_eq!(refused(json!({"role": "user", "content": [1]})), "messages[0].content");
    assert_eq!(refused(json!({"role": "user", "images": ["QkFE"]})), "messages[0].images[0]");
    let call = json!({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]});
    assert_eq!(refused(call), "messages[0].tool_calls[0].function.arguments");
}

#[test]
fn a_picture_is_known_by_its_first_bytes() {
    let kinds = [
        (PNG, "image/png"),
        ("/9j/4AAQSkZJRg", "image/jpeg"),
        ("R0lGODlhAQABAAAAACw=", "image/gif"),
        ("UklGRiQAAABXRUJQVlA4IA==", "image/webp"),
        ("UklGRiT//wFXRUJQVlA4IA==", "image/webp"),
    ];
    for (data, kind) in kinds {
        let request = thread(&json!([{"role": "USER", "content": "x", "images": [data]}]));
        let media = Media::Inline { media_type: kind.to_owned(), data: data.to_owned() };
        assert_eq!(request.messages[0].parts, [Part::Image(media), text("x")]);
    }
    let request = thread(&json!([{"role": "user", "content": "x", "images": ["UklGRiQAAABXQVZFZm10IA=="]}]));
    assert!(matches!(&request.messages[0].parts[0], Part::Audio(_)));
}

#[test]
fn a_message_that_says_nothing_is_left_out_unless_it_is_the_users() {
    let request = thread(&json!([{"role": "assistant", "content": ""}, {"role": "user"}]));
    assert_eq!(request.messages, [Message { role: Role::User, parts: vec![text("")] }]);
}

#[test]
fn texts_and_pictures_keep_their_order() {
    let said = |parts| sent(vec![Message { role: Role::User, parts }]);
    let one = json!([{"role": "user", "content": "What?", "images": ["A", "B"]}]);
    assert_eq!(said(vec![picture("A"), picture("B"), text("What?")]), one);
    assert_eq!(said(vec![text("What?"), picture("A"), picture("B")]), one);
    assert_eq!(
        said(vec![text("First:"), picture("A"), text("Second:"), picture("B")]),
        json!([
            {"role": "user", "content": "First:"},
            {"role": "user", "content": "Second:", "images": ["A"]},
            {"role": "user", "content": "", "images": ["B"]},
        ])
    );
    let document = Part::Document { media: Media::Text("1,2".to_owned()), name: Some("a.csv".to_owned()) };
    assert_eq!(
        said(vec![document, text("Sum it.")]),
        json!([{"role": "user", "content": "a.csv\n1,2\n\nSum it."}])
    );
}

#[test]
fn neighbours_of_the_assistant_are_one_message_with_all_its_calls() {
    let of = |parts| Message { role: Role::Assistant, parts };
    let seal = Some(Seal::new(Dialect::Anthropic, "sig"));
    let messages = vec![
        of(vec![
            Part::Reasoning { text: "Hm.".to_owned(), seal: seal.clone() },
            text("One"),
            text(" moment."),
        ]),
        of(vec![call("a", "f", "{}")]),
        of(vec![call("b", "g", ""), Part::Refusal("No.".to_owned())]),
        Message { role: Role::User, parts: vec![text("And?")] },
        // Thinking that nobody can read.
        of(vec![Part::Reasoning { text: String::new(), seal }]),
    ];
    assert_eq!(
        sent(messages),
        json!([
            {"role": "assistant", "content": "One moment.\n\nNo.", "thinking": "Hm.", "tool_calls": [
                {"id": "a", "function": {"index": 0, "name": "f", "arguments": {}}},
                {"id": "b", "function": {"index": 1, "name": "g", "arguments": {}}},
            ]},
            {"role": "user", "content": "And?"},
        ])
    );
}

#[test]
fn pictures_of_results_follow_all_results_and_name_their_call() {
    let failed =
        ToolResult { id: "b".to_owned(), name: "g".to_owned(), content: vec![text("gone")], is_error: true };
    let messages = vec![
        Message { role: Role::Assistant, parts: vec![call("a", "f", "{}"), call("b", "g", "{}")] },
        Message { role: Role::User, parts: vec![result("a", vec![text("seen"), picture("A")])] },
        Message { role: Role::User, parts: vec![Part::ToolResult(failed), text("Go on.")] },
    ];
    assert_eq!(
        sent(messages).as_array().unwrap()[1..],
        [
            json!({"role": "tool", "content": "seen", "tool_name": "f", "tool_call_id": "a"}),
            json!({"role": "tool", "content": "Error: gone", "tool_name": "g", "tool_call_id": "b"}),
            json!({"role": "user", "content": "Images in the result of the tool call a of f:", "images": ["A"]}),
            json!({"role": "user", "content": "Go on."}),
        ]
    );
}

#[test]
fn a_call_with_broken_arguments_is_told_as_text() {
    let messages = vec![Message { role: Role::Assistant, parts: vec![call("a", "f", r#"{"x":"#)] }];
    assert_eq!(sent(messages), json!([{"role": "assistant", "content": r#"{"name":"f","arguments":{"x":"#}]));
}
