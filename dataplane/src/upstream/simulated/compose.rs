//! What the simulated provider says, before time is added to it.

use std::time::{SystemTime, UNIX_EPOCH};

use llm_dialect::{
    Context,
    chat::{Output, Part, ReasoningAmount, Request, Role, Tool, ToolCall, ToolChoice},
    event::Event,
    reply::{Choice, Finish, Reply, Usage},
};
use tiktoken_rs::CoreBPE;

use super::{sample, text};
use crate::upstream::count;

/// An answer in pieces of one token each.
#[derive(Debug)]
pub struct Composed {
    id: String,
    created: i64,
    model: String,
    thinking: Vec<String>,
    pieces: Vec<String>,
    calls: Vec<ToolCall>,
    finish: Finish,
    usage: Usage,
}

impl Composed {
    pub fn new(request: &Request, model: String, seed: Option<u64>) -> Self {
        let tokenizer = tiktoken_rs::o200k_base_singleton();
        let texts: Vec<(Role, String)> =
            request.messages.iter().map(|message| (message.role, words(&message.parts))).collect();
        let question = texts
            .iter()
            .rev()
            .find(|(role, text)| *role == Role::User && !text.is_empty())
            .map_or("", |(_, text)| text);
        let mut chance = match seed {
            Some(seed) => {
                let heard: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
                fastrand::Rng::with_seed(text::digest(&heard) ^ seed)
            }
            None => fastrand::Rng::new(),
        };
        let calls = calls(request, question, &mut chance);
        let answer = match &request.output {
            _ if !calls.is_empty() => String::new(),
            Output::Text => text::answer(question, &mut chance),
            Output::JsonObject => {
                serde_json::json!({"answer": text::answer(question, &mut chance)}).to_string()
            }
            Output::JsonSchema(schema) => sample::of_schema(schema.schema.get(), question).to_string(),
        };
        let thinks = request.reasoning.is_some_and(|reasoning| reasoning.amount != ReasoningAmount::Off);
        let thinking = if thinks { pieces(tokenizer, &text::thinking(question), None).0 } else { Vec::new() };
        let limit = request.max_tokens.map(|tokens| usize::try_from(tokens).unwrap_or(usize::MAX));
        let room = limit.map(|limit| limit.saturating_sub(thinking.len()));
        let (pieces, cut) = pieces(tokenizer, &answer, room);
        let of_calls = calls.iter().map(|call| 3 + count::of_text(tokenizer, &call.arguments)).sum::<u64>();
        let finish = match (cut, calls.is_empty()) {
            (true, _) => Finish::Length,
            (false, true) => Finish::Stop,
            (false, false) => Finish::ToolCalls,
        };
        let reasoning = thinking.len() as u64;
        let usage = Usage {
            // Pictures and the like are taken and not counted: there is nothing true to say of them.
            input: count::tokens(request),
            output: reasoning + pieces.len() as u64 + of_calls,
            reasoning,
            ..Usage::default()
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            id: format!("chatcmpl-sim-{:016x}", chance.u64(..)),
            created: i64::try_from(since.as_secs()).unwrap_or_default(),
            model,
            thinking,
            pieces,
            calls,
            finish,
            usage,
        }
    }

    /// Tokens of the answer.
    pub fn tokens(&self) -> usize {
        usize::try_from(self.usage.output).unwrap_or(usize::MAX)
    }

    pub fn context(&self) -> Context {
        Context {
            id: self.id.clone(),
            created: self.created,
            model: self.model.clone(),
            include_usage: false,
        }
    }

    pub fn reply(&self) -> Reply {
        let mut parts = Vec::new();
        if !self.thinking.is_empty() {
            parts.push(Part::Reasoning { text: self.thinking.concat(), seal: None });
        }
        if !self.pieces.is_empty() {
            parts.push(Part::Text(self.pieces.concat()));
        }
        parts.extend(self.calls.iter().cloned().map(Part::ToolCall));
        let choice = Choice { parts, finish: self.finish.clone(), logprobs: Vec::new() };
        Reply {
            id: self.id.clone(),
            model: self.model.clone(),
            choices: vec![choice],
            usage: Some(self.usage),
        }
    }

    /// The same as events, each with the tokens that it takes.
    pub fn events(&self) -> Vec<(Event<'_>, usize)> {
        let choice = 0;
        let mut events = vec![(Event::Start { id: (&self.id).into(), model: (&self.model).into() }, 0)];
        let thinking = self.thinking.iter().map(|text| Event::Reasoning { choice, text: text.into() });
        let said = self.pieces.iter().map(|text| Event::Text { choice, text: text.into() });
        events.extend(thinking.chain(said).map(|event| (event, 1)));
        for (index, call) in (0..).zip(&self.calls) {
            let (id, name) = ((&call.id).into(), (&call.name).into());
            events.push((Event::ToolCall { choice, index, id, name, seal: None }, 3));
            // Fragments that end anywhere, as the real ones do.
            for fragment in fragments(&call.arguments) {
                events.push((Event::Arguments { choice, index, fragment: fragment.into() }, 1));
            }
        }
        events.push((Event::Finish { choice, finish: self.finish.clone() }, 0));
        events.push((Event::Usage(self.usage), 0));
        events
    }
}

fn fragments(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.char_indices().nth(5).map_or(rest.len(), |(at, _)| at);
        let (fragment, after) = rest.split_at(end);
        rest = after;
        (!fragment.is_empty()).then_some(fragment)
    })
}

/// The text in pieces of a token each, at most `limit`, and whether that cut it.
fn pieces(tokenizer: &CoreBPE, text: &str, limit: Option<usize>) -> (Vec<String>, bool) {
    let mut tokens: Vec<_> = count::slices(text).flat_map(|slice| tokenizer.encode_ordinary(slice)).collect();
    let cut = limit.is_some_and(|limit| tokens.len() > limit);
    tokens.truncate(limit.unwrap_or(usize::MAX));
    let mut pieces = Vec::with_capacity(tokens.len());
    let mut bytes = Vec::new();
    for token in tokens {
        bytes.extend(tokenizer.decode_bytes(&[token]).unwrap_or_default());
        // A token may end in the middle of a character; the next ones complete it.
        match String::from_utf8(std::mem::take(&mut bytes)) {
            Ok(piece) => pieces.push(piece),
            Err(error) => {
                bytes = error.into_bytes();
                pieces.push(String::new());
            }
        }
    }
    (pieces, cut)
}

/// The words of a message.
fn words(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| match part {
        Part::Text(text) | Part::Refusal(text) => Some(text.clone()),
        Part::ToolResult(result) => Some(words(&result.content)),
        Part::ToolCall(call) => Some(call.arguments.clone()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// The tools that are called: those that the caller demands, else those that the question names. Once
/// the results are there, the answer follows.
fn calls(request: &Request, question: &str, chance: &mut fastrand::Rng) -> Vec<ToolCall> {
    let answered = request
        .messages
        .last()
        .is_some_and(|message| message.parts.iter().any(|part| matches!(part, Part::ToolResult(_))));
    let asked = question.to_lowercase();
    let named = |tool: &&Tool| {
        let name = tool.name.to_lowercase();
        name.split(|c: char| !c.is_alphanumeric()).any(|word| word.len() > 3 && asked.contains(word))
    };
    let mut tools: Vec<&Tool> = match &request.tool_choice {
        Some(ToolChoice::None) => Vec::new(),
        Some(ToolChoice::Named(name)) => request.tools.iter().filter(|tool| tool.name == *name).collect(),
        Some(ToolChoice::Required) => {
            let wanted: Vec<&Tool> = request.tools.iter().filter(named).collect();
            if wanted.is_empty() { request.tools.iter().take(1).collect() } else { wanted }
        }
        Some(ToolChoice::Auto) | None if answered => Vec::new(),
        Some(ToolChoice::Auto) | None => request.tools.iter().filter(named).collect(),
    };
    if request.parallel_tool_calls == Some(false) {
        tools.truncate(1);
    }
    let call = |tool: &Tool| ToolCall {
        id: format!("call_{:016x}", chance.u64(..)),
        name: tool.name.clone(),
        arguments: tool
            .parameters
            .as_ref()
            .map_or_else(|| "{}".to_owned(), |schema| sample::of_schema(schema.get(), question).to_string()),
        seal: None,
    };
    tools.into_iter().map(call).collect()
}
