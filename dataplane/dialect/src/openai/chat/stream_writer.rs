//! Events to a caller's stream of chunks. What is the same in all chunks of a stream is written once,
//! at its start, and copied.

use serde::Serialize;

use super::{
    finish,
    logprobs::WrittenLogprobs,
    reasoning::{ExtraContent, WrittenDetail},
    reply::id_of,
    usage::WrittenUsage,
};
use crate::{
    Context, Dialect,
    event::{Event, StreamWriter},
    reply::Usage,
};

pub struct Writer {
    context: Context,
    chunks: Chunks,
    choices: Vec<State>,
    usage: Option<Usage>,
}

/// What all chunks begin and end with.
struct Chunks {
    head: Vec<u8>,
    tail: &'static [u8],
}

/// What is known of a choice.
struct State {
    choice: u32,
    refused: bool,
    /// The thinking that no seal has come for.
    thinking: String,
    /// Entries of `reasoning_details`.
    details: usize,
    /// For each tool call, whether it has arguments.
    calls: Vec<(u32, bool)>,
}

#[derive(Serialize)]
struct Head<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<WrittenLogprobs<'a>>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_details: Option<[WrittenDetail<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[DeltaCall<'a>; 1]>,
}

#[derive(Default, Serialize)]
struct DeltaCall<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: DeltaFunction<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<ExtraContent>,
}

#[derive(Default, Serialize)]
struct DeltaFunction<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

impl Chunks {
    fn new(id: &str, model: &str, context: &Context) -> Self {
        let id = id_of(id, context);
        let model = if model.is_empty() { &context.model } else { model };
        let head = Head { id: &id, object: "chat.completion.chunk", created: context.created, model };
        let mut head = [b"data: ".as_slice(), &crate::json::to_bytes(&head)].concat();
        // The object stays open for the choices.
        head.pop();
        head.extend_from_slice(b",\"choices\":[");
        // Who wants usage is told in every other chunk that it is not there yet.
        let tail: &[u8] = if context.include_usage { b"],\"usage\":null}\n\n" } else { b"]}\n\n" };
        Self { head, tail }
    }

    fn write(&self, choice: &ChunkChoice<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        put(choice, out);
        out.extend_from_slice(self.tail);
    }

    fn delta(&self, index: u32, delta: Delta<'_>, out: &mut Vec<u8>) {
        self.write(&ChunkChoice { index, delta, logprobs: None, finish_reason: None }, out);
    }

    fn usage(&self, usage: Usage, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"],\"usage\":");
        put(&WrittenUsage::from(usage), out);
        out.extend_from_slice(b"}\n\n");
    }
}

/// Strings, numbers and structs: serde_json refuses none of them, and a vector takes all.
fn put(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).unwrap_or_default();
}

impl Writer {
    pub fn new(context: Context) -> Self {
        Self { chunks: Chunks::new("", "", &context), context, choices: Vec::new(), usage: None }
    }

    /// A choice begins with the role.
    fn choice(&mut self, choice: u32, out: &mut Vec<u8>) -> (&Chunks, &mut State) {
        let known = self.choices.iter().position(|state| state.choice == choice);
        let at = known.unwrap_or_else(|| {
            let delta = Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
            self.chunks.delta(choice, delta, out);
            self.choices.push(State {
                choice,
                refused: false,
                thinking: String::new(),
                details: 0,
                calls: Vec::new(),
            });
            self.choices.len() - 1
        });
        (&self.chunks, &mut self.choices[at])
    }
}

impl StreamWriter for Writer {
    fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model } => {
                self.chunks = Chunks::new(id, model, &self.context);
                self.choice(0, out);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            // Whoever drives the stream ends it with the error.
            Event::Failed(_) => {}
            Event::Text { choice, .. }
            | Event::Refusal { choice, .. }
            | Event::Reasoning { choice, .. }
            | Event::Sealed { choice, .. }
            | Event::ToolCall { choice, .. }
            | Event::Arguments { choice, .. }
            | Event::Logprobs { choice, .. }
            | Event::Finish { choice, .. } => {
                let (chunks, state) = self.choice(*choice, out);
                state.write(event, chunks, out);
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(usage) = self.usage.filter(|_| self.context.include_usage) {
            self.chunks.usage(usage, out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

impl State {
    fn write(&mut self, event: &Event<'_>, chunks: &Chunks, out: &mut Vec<u8>) {
        let none = Delta::default;
        let delta = match event {
            Event::Text { text, .. } => Delta { content: Some(text), ..none() },
            Event::Refusal { text, .. } => {
                self.refused = true;
                Delta { refusal: Some(text), ..none() }
            }
            Event::Reasoning { text, .. } => {
                self.thinking.push_str(text);
                Delta { reasoning_content: Some(text), ..none() }
            }
            Event::Sealed { seal, .. } => {
                let text = if seal.redacted { String::new() } else { std::mem::take(&mut self.thinking) };
                let detail = WrittenDetail::new(self.details, &text, Some(seal));
                self.details += 1;
                chunks.delta(self.choice, Delta { reasoning_details: Some([detail]), ..none() }, out);
                return;
            }
            Event::ToolCall { index, id, name, seal, .. } => {
                self.calls.push((*index, false));
                let signature = seal.as_ref().map(|seal| seal.to_text(Dialect::OpenAI));
                let call = DeltaCall {
                    index: *index,
                    id: Some(id),
                    r#type: Some("function"),
                    function: DeltaFunction { name: Some(name), arguments: "" },
                    extra_content: signature.map(ExtraContent::new),
                };
                Delta { tool_calls: Some([call]), ..none() }
            }
            Event::Arguments { index, fragment, .. } => {
                let call = self.calls.iter_mut().find(|(call, _)| call == index);
                call.into_iter().for_each(|(_, has)| *has |= !fragment.trim().is_empty());
                arguments(*index, fragment)
            }
            Event::Logprobs { tokens, .. } => {
                let logprobs = WrittenLogprobs::of(tokens);
                let choice = ChunkChoice { index: self.choice, delta: none(), logprobs, finish_reason: None };
                chunks.write(&choice, out);
                return;
            }
            Event::Finish { finish, .. } => {
                // Arguments are JSON to every client, and nothing at all is none.
                for (index, _) in self.calls.iter().filter(|(_, has)| !has) {
                    chunks.delta(self.choice, arguments(*index, "{}"), out);
                }
                let finish_reason = Some(finish::write(finish, self.refused));
                let choice = ChunkChoice { index: self.choice, delta: none(), logprobs: None, finish_reason };
                chunks.write(&choice, out);
                return;
            }
            Event::Start { .. } | Event::Usage(_) | Event::Failed(_) => return,
        };
        chunks.delta(self.choice, delta, out);
    }
}

fn arguments(index: u32, fragment: &str) -> Delta<'_> {
    let function = DeltaFunction { name: None, arguments: fragment };
    Delta { tool_calls: Some([DeltaCall { index, function, ..DeltaCall::default() }]), ..Delta::default() }
}
