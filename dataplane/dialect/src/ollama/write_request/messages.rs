//! The messages of a request as the API writes them.
//!
//! A message has one text and, before it, images: where texts and images take turns, the message is
//! cut in several of the same role. Neighbouring messages of the assistant are made one, since
//! Ollama's templates join only their texts and would lose the calls. A result's images follow the
//! turn's results in a message of the user that says which call they belong to.

use std::borrow::Cow;

use serde::Serialize;

use crate::{
    chat::{self, Media, Part, Request, Role, ToolResult},
    ollama::call::{self, Call},
};

#[derive(Default, Serialize)]
pub struct Message<'a> {
    role: &'static str,
    content: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    thinking: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    tool_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tool_call_id: &'a str,
}

/// Between texts that stood apart.
const APART: &str = "\n\n";

#[derive(Default)]
struct Writing<'a> {
    messages: Vec<Message<'a>>,
    /// Messages that wait until all results of the turn are written.
    images: Vec<Message<'a>>,
}

pub fn write(request: &Request) -> Vec<Message<'_>> {
    let mut writing = Writing::default();
    for message in &request.messages {
        match message.role {
            Role::System => writing.say("system", message.parts.iter().collect()),
            Role::User => {
                let mut said = Vec::new();
                for part in &message.parts {
                    match part {
                        Part::ToolResult(result) => writing.result(result, request),
                        part => said.push(part),
                    }
                }
                writing.say("user", said);
            }
            Role::Assistant => writing.answer(message),
        }
    }
    writing.flush();
    writing.messages
}

impl<'a> Writing<'a> {
    fn flush(&mut self) {
        self.messages.append(&mut self.images);
    }

    fn say(&mut self, role: &'static str, parts: Vec<&'a Part>) {
        if parts.is_empty() {
            return;
        }
        self.flush();
        let mut turns: Vec<bool> = parts.iter().map(|part| image(part).is_some()).collect();
        turns.dedup();
        let mixed = turns.len() > 2;
        let mut message = Message { role, ..Message::default() };
        for part in parts {
            if let Some(image) = image(part) {
                if mixed && !message.content.is_empty() {
                    let full = std::mem::replace(&mut message, Message { role, ..Message::default() });
                    self.messages.push(full);
                }
                message.images.push(image);
            } else if let Some(text) = text(part) {
                add(&mut message.content, &text, APART);
            }
        }
        self.messages.push(message);
    }

    fn result(&mut self, result: &'a ToolResult, request: &'a Request) {
        let name = match result.name.as_str() {
            "" => request.tool_of_call(&result.id).unwrap_or_default(),
            name => name,
        };
        let mut content = String::new();
        for text in result.content.iter().filter_map(text) {
            add(&mut content, &text, APART);
        }
        // The API has no other word for a result that is an error.
        if result.is_error {
            content.insert_str(0, "Error: ");
        }
        let images: Vec<&str> = result.content.iter().filter_map(image).collect();
        if !images.is_empty() {
            let content = format!("Images in the result of the tool call {} of {name}:", result.id);
            self.images.push(Message { role: "user", content, images, ..Message::default() });
        }
        self.messages.push(Message {
            role: "tool",
            content,
            tool_name: name,
            tool_call_id: &result.id,
            ..Message::default()
        });
    }

    fn answer(&mut self, from: &'a chat::Message) {
        self.flush();
        let empty = || Message { role: "assistant", ..Message::default() };
        let mut message = self.messages.pop_if(|last| last.role == "assistant").unwrap_or_else(empty);
        let mut new = empty();
        for part in &from.parts {
            match part {
                Part::Reasoning { text, .. } => add(&mut new.thinking, text, APART),
                Part::ToolCall(of) => {
                    match Call::new(message.tool_calls.len(), &of.id, &of.name, &of.arguments) {
                        Some(call) => message.tool_calls.push(call),
                        None => new.content.push_str(&call::broken(&of.name, &of.arguments)),
                    }
                }
                part => {
                    new.images.extend(image(part));
                    new.content.push_str(&text(part).unwrap_or_default());
                }
            }
        }
        add(&mut message.content, &new.content, APART);
        add(&mut message.thinking, &new.thinking, APART);
        message.images.append(&mut new.images);
        // Thinking that is not shown leaves nothing to say.
        if !(message.content.is_empty()
            && message.thinking.is_empty()
            && message.images.is_empty()
            && message.tool_calls.is_empty())
        {
            self.messages.push(message);
        }
    }
}

fn add(to: &mut String, text: &str, between: &str) {
    if !to.is_empty() && !text.is_empty() {
        to.push_str(between);
    }
    to.push_str(text);
}

fn image(part: &Part) -> Option<&str> {
    match part {
        Part::Image(Media::Inline { data, .. }) => Some(data),
        _ => None,
    }
}

fn text(part: &Part) -> Option<Cow<'_, str>> {
    match part {
        Part::Text(text) | Part::Refusal(text) => Some(text.into()),
        Part::Document { media: Media::Text(text), name: None } => Some(text.into()),
        Part::Document { media: Media::Text(text), name: Some(name) } => {
            Some(format!("{name}\n{text}").into())
        }
        _ => None,
    }
}
