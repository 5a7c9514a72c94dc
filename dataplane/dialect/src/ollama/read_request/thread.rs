//! The messages of a chat, in order: calls without ids get them, and results find their calls.

use super::{leave_unless_empty, media};
use crate::{
    Invalid,
    chat::{Leftover, Message, Part, Request, Role, ToolCall, ToolResult},
    json::{Node, Object},
};

/// Fields that mean something in messages of one role only.
const OF_ONE_ROLE: [&str; 4] = ["thinking", "tool_calls", "tool_name", "tool_call_id"];

/// The calls so far.
#[derive(Default)]
pub struct Thread {
    calls: Vec<Called>,
    /// Another than the assistant has spoken since the last call: the next one begins a turn.
    fresh: bool,
}

struct Called {
    id: String,
    name: String,
    /// No result without an id belongs to it: it has one, or a later turn has calls of its own.
    closed: bool,
}

impl Thread {
    /// Reads a message, and adds it to the request if it says anything.
    pub fn read(&mut self, node: &Node<'_>, request: &mut Request) -> Result<(), Invalid> {
        let mut fields = node.object()?;
        let role = fields.require("role")?;
        let mut parts = media(&mut fields)?;
        let text = fields.opt("content", Node::string)?.unwrap_or_default();
        let spoken = role.str()?.to_lowercase();
        let role = match spoken.as_str() {
            "system" => Role::System,
            "user" | "tool" => Role::User,
            "assistant" => Role::Assistant,
            _ => return Err(role.invalid("it must be system, user, assistant or tool")),
        };
        if role == Role::Assistant
            && let Some(text) = fields.opt("thinking", Node::string)?.filter(|text| !text.is_empty())
        {
            parts.push(Part::Reasoning { text, seal: None });
        }
        // Empty words are kept only where they are all that the user says.
        if !text.is_empty() || (parts.is_empty() && role == Role::User) {
            parts.push(Part::Text(text));
        }
        if spoken == "tool" {
            parts = vec![Part::ToolResult(self.result(node, &mut fields, parts)?)];
        }
        if role == Role::Assistant
            && let Some(calls) = fields.take("tool_calls")
        {
            for call in calls.array()? {
                parts.push(Part::ToolCall(self.call(&call, &mut request.leftovers)?));
            }
        }
        self.fresh |= role != Role::Assistant;
        leave_unless_empty(&mut fields, &OF_ONE_ROLE, &mut request.leftovers);
        fields.leave(&[], &mut request.leftovers);
        if !parts.is_empty() {
            request.messages.push(Message { role, parts });
        }
        Ok(())
    }

    fn call(&mut self, node: &Node<'_>, leftovers: &mut Vec<Leftover>) -> Result<ToolCall, Invalid> {
        if std::mem::replace(&mut self.fresh, false) {
            self.calls.iter_mut().for_each(|call| call.closed = true);
        }
        let mut fields = node.object()?;
        fields.ignore(&["type"]);
        let id = fields.opt("id", Node::string)?.filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| self.new_id());
        let mut function = fields.require("function")?.object()?;
        function.ignore(&["index"]);
        let name = function.require("name")?.string()?;
        let arguments = function.opt("arguments", |node| node.object().map(|_| node.text().to_owned()))?;
        fields.leave(&[], leftovers);
        function.leave(&[], leftovers);
        self.calls.push(Called { id: id.clone(), name: name.clone(), closed: false });
        Ok(ToolCall { id, name, arguments: arguments.unwrap_or_else(|| "{}".to_owned()), seal: None })
    }

    fn new_id(&self) -> String {
        let taken = |id: &String| self.calls.iter().any(|call| call.id == *id);
        let mut n = self.calls.len();
        loop {
            let id = ToolCall::made_up_id(n);
            if !taken(&id) {
                return id;
            }
            n += 1;
        }
    }

    fn result(
        &mut self,
        node: &Node<'_>,
        fields: &mut Object<'_>,
        content: Vec<Part>,
    ) -> Result<ToolResult, Invalid> {
        let mut word = |name| Ok(fields.opt(name, Node::string)?.filter(|word| !word.is_empty()));
        let id: Option<String> = word("tool_call_id")?;
        // Examples from before `tool_name` have `name`.
        let (tool_name, plain_name): (Option<String>, Option<String>) = (word("tool_name")?, word("name")?);
        let name = tool_name.or(plain_name);
        let call = match (&id, &name) {
            (Some(id), _) => self.calls.iter_mut().rev().find(|call| call.id == *id),
            (None, Some(name)) => self.calls.iter_mut().find(|call| !call.closed && call.name == *name),
            (None, None) => self.calls.iter_mut().find(|call| !call.closed),
        };
        let call = call.ok_or_else(|| node.invalid("it must be the result of a tool call before it"))?;
        call.closed = true;
        Ok(ToolResult { id: call.id.clone(), name: call.name.clone(), content, is_error: false })
    }
}
