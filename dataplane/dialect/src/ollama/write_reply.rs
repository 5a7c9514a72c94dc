//! Answers as callers get them, whole and in lines, of `/api/chat` and of `/api/generate`: the two
//! differ in where the text stands.

use bytes::Bytes;
use serde::Serialize;

use super::{
    call::{self, Call},
    time,
};
use crate::{
    Context,
    chat::Part,
    event::{Event, StreamWriter},
    json,
    reply::{Choice, Finish, Reply, TokenLogprob, Usage},
};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Chat,
    /// Has no tools, so no calls come.
    Generate,
}

#[derive(Serialize)]
struct Line<'a> {
    model: &'a str,
    created_at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    thinking: &'a str,
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    done_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_eval_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eval_count: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    logprobs: &'a [Logprob<'a>],
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    thinking: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tool_calls: &'a [Call<'a>],
}

#[derive(Serialize)]
struct Logprob<'a> {
    token: &'a str,
    logprob: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    top_logprobs: Vec<Self>,
}

/// What a line says.
#[derive(Clone, Copy, Default)]
struct Said<'a> {
    content: &'a str,
    thinking: &'a str,
    calls: &'a [Call<'a>],
}

impl<'a> Line<'a> {
    fn new(style: Style, model: &'a str, created_at: &'a str, said: Said<'a>) -> Self {
        let Said { content, thinking, calls } = said;
        let (message, response, thinking) = match style {
            Style::Chat => {
                (Some(Message { role: "assistant", content, thinking, tool_calls: calls }), None, "")
            }
            Style::Generate => (None, Some(content), thinking),
        };
        Self {
            model,
            created_at,
            message,
            response,
            thinking,
            done: false,
            done_reason: None,
            prompt_eval_count: None,
            eval_count: None,
            logprobs: &[],
        }
    }

    fn finish(&mut self, finish: &Finish, usage: Option<Usage>) {
        self.done = true;
        self.done_reason = Some(match finish {
            Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls => "stop",
            Finish::Length => "length",
            Finish::ContentFilter => "content_filter",
            Finish::Refusal => "refusal",
            Finish::Pause => "pause",
        });
        self.prompt_eval_count = usage.map(|usage| usage.input);
        self.eval_count = usage.map(|usage| usage.output);
    }
}

fn logprobs(tokens: &[TokenLogprob]) -> Vec<Logprob<'_>> {
    tokens
        .iter()
        .map(|of| Logprob {
            token: &of.token,
            logprob: of.logprob,
            top_logprobs: of
                .top
                .iter()
                .map(|(token, logprob)| Logprob { token, logprob: *logprob, top_logprobs: Vec::new() })
                .collect(),
        })
        .collect()
}

pub fn whole(style: Style, reply: &Reply, context: &Context) -> Bytes {
    let none = Choice::default();
    let choice = reply.choices.first().unwrap_or(&none);
    let (mut content, mut thinking, mut calls) = (String::new(), String::new(), Vec::new());
    for part in &choice.parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => content.push_str(text),
            Part::Reasoning { text, .. } => thinking.push_str(text),
            Part::ToolCall(of) => match Call::new(calls.len(), &of.id, &of.name, &of.arguments) {
                Some(call) => calls.push(call),
                None => content.push_str(&call::broken(&of.name, &of.arguments)),
            },
            _ => {}
        }
    }
    let model = if reply.model.is_empty() { &context.model } else { &reply.model };
    let created_at = time(context.created);
    let said = Said { content: &content, thinking: &thinking, calls: &calls };
    let logprobs = logprobs(&choice.logprobs);
    let mut line = Line::new(style, model, &created_at, said);
    line.finish(&choice.finish, reply.usage);
    line.logprobs = &logprobs;
    json::to_bytes(&line)
}

struct Writer {
    style: Style,
    model: String,
    created_at: String,
    /// Calls whose arguments may still grow.
    open: Vec<Open>,
    /// Calls written.
    calls: usize,
    finish: Option<Finish>,
    usage: Option<Usage>,
    done: bool,
}

struct Open {
    index: u32,
    id: String,
    name: String,
    arguments: String,
}

pub fn writer(style: Style, context: Context) -> Box<dyn StreamWriter> {
    Box::new(Writer {
        style,
        created_at: time(context.created),
        model: context.model,
        open: Vec::new(),
        calls: 0,
        finish: None,
        usage: None,
        done: false,
    })
}

impl StreamWriter for Writer {
    fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { model, .. } if !model.is_empty() => self.model = model.to_string(),
            Event::Text { choice: 0, text } | Event::Refusal { choice: 0, text } => {
                self.say(Said { content: text, ..Said::default() }, out);
            }
            Event::Reasoning { choice: 0, text } => {
                self.say(Said { thinking: text, ..Said::default() }, out);
            }
            Event::ToolCall { choice: 0, index, id, name, .. } => {
                self.write_calls(false, out);
                self.open.push(Open {
                    index: *index,
                    id: id.to_string(),
                    name: name.to_string(),
                    arguments: String::new(),
                });
            }
            Event::Arguments { choice: 0, index, fragment } => {
                if let Some(open) = self.open.iter_mut().find(|open| open.index == *index) {
                    open.arguments.push_str(fragment);
                }
            }
            Event::Logprobs { choice: 0, tokens } => {
                let logprobs = logprobs(tokens);
                let mut line = self.line(Said::default());
                line.logprobs = &logprobs;
                put(&line, out);
            }
            Event::Finish { choice: 0, finish } => {
                self.write_calls(true, out);
                self.finish = Some(finish.clone());
            }
            Event::Usage(usage) => {
                self.usage = Some(*usage);
                if self.finish.is_some() {
                    self.write_done(out);
                }
            }
            // A seal has no place here, a fault is written by `error_event`, and no caller of this
            // API can have asked for a second choice.
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.write_calls(true, out);
        self.write_done(out);
    }
}

impl Writer {
    fn line<'a>(&'a self, said: Said<'a>) -> Line<'a> {
        Line::new(self.style, &self.model, &self.created_at, said)
    }

    fn say(&self, said: Said<'_>, out: &mut Vec<u8>) {
        if !(said.content.is_empty() && said.thinking.is_empty()) {
            put(&self.line(said), out);
        }
    }

    /// Writes the calls that are whole, in order, each once; `all`: nothing more comes, so whatever
    /// is not whole now never will be.
    fn write_calls(&mut self, all: bool, out: &mut Vec<u8>) {
        let whole =
            |open: &Open| all || (!open.arguments.is_empty() && json::arguments(&open.arguments).is_some());
        let count = self.open.iter().take_while(|open| whole(open)).count();
        for open in self.open.drain(..count).collect::<Vec<_>>() {
            let call = Call::new(self.calls, &open.id, &open.name, &open.arguments);
            match &call {
                Some(call) => {
                    let calls = std::slice::from_ref(call);
                    put(&self.line(Said { calls, ..Said::default() }), out);
                    self.calls += 1;
                }
                None => {
                    let content = call::broken(&open.name, &open.arguments);
                    self.say(Said { content: &content, ..Said::default() }, out);
                }
            }
        }
    }

    fn write_done(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let finish = self.finish.take().unwrap_or_default();
        let mut line = self.line(Said::default());
        line.finish(&finish, self.usage);
        put(&line, out);
    }
}

/// Writing to memory can't fail.
fn put(line: &Line<'_>, out: &mut Vec<u8>) {
    if serde_json::to_writer(&mut *out, line).is_ok() {
        out.push(b'\n');
    }
}
