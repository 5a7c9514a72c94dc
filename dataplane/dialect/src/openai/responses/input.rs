//! The items of `input`, to messages. Items are smaller than turns: thinking, a message and each
//! tool call stand for themselves, and here come together again.

use crate::{
    Dialect, Invalid,
    chat::{Message, Part, Request, Role, ToolCall, ToolResult},
    json::{Node, Object, Shape},
    seal::Seal,
};

use super::content;

pub fn read(input: &Node<'_>, request: &mut Request) -> Result<(), Invalid> {
    if input.shape() != Shape::Array {
        let parts = content::read(input, Role::User, request)?;
        request.messages.push(Message { role: Role::User, parts });
        return Ok(());
    }
    let items = input.array()?;
    if items.is_empty() {
        return Err(input.invalid("it must have at least one element"));
    }
    items.iter().try_for_each(|node| item(node, request))
}

fn item(node: &Node<'_>, request: &mut Request) -> Result<(), Invalid> {
    let mut object = node.object()?;
    let kind = object.take("type");
    let role = object.take("role");
    match (kind.as_ref().map(Node::str).transpose()?.as_deref(), &role) {
        (None | Some("message"), Some(role)) => message(&mut object, role, request),
        (Some("message"), None) => object.require("role").map(|_| ()),
        (Some("function_call"), _) => function_call(&mut object, request),
        (Some("function_call_output"), _) => function_call_output(&mut object, request),
        (Some("reasoning"), _) => reasoning(&mut object, request),
        _ => {
            // An item of another kind, or nothing but the id of one that the vendor keeps.
            let path = kind.map_or_else(|| node.path(), |kind| kind.path());
            request.left_over(path);
            return Ok(());
        }
    }?;
    // What the API told the caller of the item.
    object.ignore(&["id", "status"]);
    object.leave(&["phase"], &mut request.leftovers);
    Ok(())
}

fn message(object: &mut Object<'_>, role: &Node<'_>, request: &mut Request) -> Result<(), Invalid> {
    let role = match role.str()?.as_ref() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" | "developer" => Role::System,
        _ => return Err(role.invalid("it must be user, assistant, system or developer")),
    };
    let parts = content::read(&object.require("content")?, role, request)?;
    if role == Role::Assistant {
        answer(request, parts);
    } else {
        request.messages.push(Message { role, parts });
    }
    Ok(())
}

/// Adds to the model's turn.
fn answer(request: &mut Request, parts: impl IntoIterator<Item = Part>) {
    match request.messages.last_mut() {
        Some(last) if last.role == Role::Assistant => last.parts.extend(parts),
        _ => request.messages.push(Message { role: Role::Assistant, parts: parts.into_iter().collect() }),
    }
}

fn function_call(object: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    direct_caller(object, request)?;
    let arguments = object.require("arguments")?.str()?;
    let arguments = if arguments.trim().is_empty() { "{}".into() } else { arguments.into_owned() };
    let id = object.require("call_id")?;
    let call = ToolCall {
        id: id.string()?,
        name: object.require("name")?.string()?,
        arguments,
        seal: seal_of_call(request),
    };
    if call.id.is_empty() {
        return Err(id.invalid("it must not be empty"));
    }
    answer(request, [Part::ToolCall(call)]);
    Ok(())
}

/// A call's own proof has no place in the API: replies carry it in an item before the call. Only
/// Gemini proves calls; another's proof without a text is of thinking that was not shown.
fn seal_of_call(request: &mut Request) -> Option<Seal> {
    let last = request.messages.last_mut()?;
    let is_calls = |part: &mut Part| {
        matches!(part, Part::Reasoning { text, seal: Some(seal) }
            if text.is_empty() && seal.origin == Dialect::Gemini && !seal.redacted)
    };
    match last.parts.pop_if(is_calls)? {
        Part::Reasoning { seal, .. } => seal,
        _ => None,
    }
}

fn function_call_output(object: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    direct_caller(object, request)?;
    let id = object.require("call_id")?.string()?;
    let name = match object.opt("name", Node::string)? {
        Some(name) => name,
        None => request.tool_of_call(&id).unwrap_or_default().to_owned(),
    };
    let content = content::read(&object.require("output")?, Role::User, request)?;
    let result = Part::ToolResult(ToolResult { id, name, content, is_error: false });
    match request.messages.last_mut() {
        Some(last) if matches!(last.parts.last(), Some(Part::ToolResult(_))) => last.parts.push(result),
        _ => request.messages.push(Message { role: Role::User, parts: vec![result] }),
    }
    Ok(())
}

/// Calls that a program at the vendor made can't be told to anybody else.
fn direct_caller(object: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    if let Some(caller) = object.take("caller")
        && caller.object()?.require("type")?.str()? != "direct"
    {
        request.left_over(caller.path());
    }
    Ok(())
}

fn reasoning(object: &mut Object<'_>, request: &mut Request) -> Result<(), Invalid> {
    let summary = texts(object, "summary")?;
    // Open models show the thinking itself, which then counts, and not what it is about.
    let thinking = texts(object, "content")?;
    let text = if thinking.is_empty() { summary } else { thinking }.join("\n\n");
    let seal = object
        .opt("encrypted_content", Node::string)?
        .filter(|seal| !seal.is_empty())
        .map(|seal| Seal::from_text(Dialect::OpenAI, &seal));
    if text.is_empty() && seal.is_none() {
        // The thinking is with the vendor, under an id.
        request.left_over_hint(object.path());
        return Ok(());
    }
    answer(request, [Part::Reasoning { text, seal }]);
    Ok(())
}

fn texts(object: &mut Object<'_>, field: &str) -> Result<Vec<String>, Invalid> {
    let Some(list) = object.take(field) else { return Ok(Vec::new()) };
    list.array()?.iter().map(|node| node.object()?.require("text")?.string()).collect()
}
