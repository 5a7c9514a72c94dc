//! A whole reply: its parts gathered to items, as a stream of the same answer would have them.

use bytes::Bytes;

use crate::{
    Context,
    chat::Part,
    json,
    reply::{Choice, Reply},
};

use super::output::{self, Content, Ending, Item, Logprob, Response};

/// The API has one answer to a call, so that only the first choice is written.
pub fn write(reply: &Reply, context: &Context) -> Bytes {
    let choice = reply.choices.first();
    let mut items = choice.map_or_else(Vec::new, |choice| items(choice, context));
    let ending = choice.map_or(Ending::GOOD, |choice| Ending::of(&choice.finish, &items));
    let len = items.len();
    for (index, item) in items.iter_mut().enumerate() {
        item.close(ending.of_item(index, len));
    }
    let id = output::response_id(&reply.id, context);
    let model = output::model(&reply.model, context);
    json::to_bytes(&Response::new(&id, model, context.created, ending, &items, reply.usage))
}

fn items(choice: &Choice, context: &Context) -> Vec<Item> {
    let mut items = Vec::new();
    for part in &choice.parts {
        match part {
            Part::Text(text) => say(&mut items, context, Content::text, text),
            Part::Refusal(text) => say(&mut items, context, Content::refusal, text),
            Part::Reasoning { text, seal } => {
                items.push(Item::reasoning(context, items.len(), text, seal.as_ref()));
            }
            Part::ToolCall(call) => {
                if call.seal.is_some() {
                    items.push(Item::reasoning(context, items.len(), "", call.seal.as_ref()));
                }
                items.push(Item::call(context, items.len(), &call.id, &call.name, &call.arguments));
            }
            // No answer holds these.
            Part::Image(_)
            | Part::Audio(_)
            | Part::Video(_)
            | Part::Document { .. }
            | Part::ToolResult(_) => {}
        }
    }
    // Of which tokens which text is made, is not told: all are with the first.
    let first = items.iter_mut().find_map(|item| match item {
        Item::Message { content, .. } => content.iter_mut().find_map(|content| match content {
            Content::OutputText { logprobs, .. } => Some(logprobs),
            Content::Refusal { .. } => None,
        }),
        _ => None,
    });
    if let Some(logprobs) = first {
        logprobs.extend(choice.logprobs.iter().map(Logprob::from));
    }
    items
}

/// Adds to the last message's last content, where it is of the same kind; to new ones otherwise.
fn say(items: &mut Vec<Item>, context: &Context, kind: fn() -> Content, text: &str) {
    if text.is_empty() {
        return;
    }
    let mut said = kind();
    said.push(text);
    match items.last_mut() {
        Some(Item::Message { content, .. }) => match content.last_mut() {
            Some(last) if last.is_text() == said.is_text() => last.push(text),
            _ => content.push(said),
        },
        _ => items.push(Item::message(context, items.len(), vec![said])),
    }
}

#[cfg(test)]
mod tests;
