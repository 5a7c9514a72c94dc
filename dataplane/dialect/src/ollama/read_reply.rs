//! A provider's answers, whole and in lines; and what is looked for in lines that only pass.

use std::{borrow::Cow, sync::LazyLock};

use memchr::memmem::{self, Finder};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::errors;
use crate::{
    Garbled,
    chat::{Part, ToolCall},
    event::{Emit, Event, StreamReader},
    frame::Frame,
    reply::{Choice, Finish, Reply, TokenLogprob, Usage},
    skim, tap,
};

/// A string that borrows where it holds no escape; an `Option` of it as well.
#[derive(Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// Parses an object, and no list of its values, which serde would take too.
pub fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Garbled> {
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Garbled::new("it is not a JSON object"));
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// A line of a stream; a whole answer has the same form.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    message: Option<Message<'a>>,
    done: Option<bool>,
    done_reason: Option<Text<'a>>,
    logprobs: Option<Vec<Logprob>>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    thinking: Option<Text<'a>>,
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Logprob {
    token: String,
    logprob: f64,
    top_logprobs: Option<Vec<Alternative>>,
}

#[derive(Deserialize)]
struct Alternative {
    token: String,
    logprob: f64,
}

impl Line<'_> {
    fn usage(&self) -> Option<Usage> {
        usage(self.prompt_eval_count, self.eval_count)
    }

    /// `called`: the answer has tool calls, of which the reason says nothing.
    fn finish(&self, called: bool) -> Finish {
        match self.done_reason.as_ref().map_or("", |reason| reason.0.as_ref()) {
            "length" => Finish::Length,
            "content_filter" => Finish::ContentFilter,
            "refusal" => Finish::Refusal,
            "pause" => Finish::Pause,
            _ if called => Finish::ToolCalls,
            _ => Finish::Stop,
        }
    }
}

impl<'a> Call<'a> {
    /// Servers before 0.12.10 give no ids.
    fn id(&mut self, index: usize) -> Cow<'a, str> {
        match self.id.take() {
            Some(Text(id)) if !id.is_empty() => id,
            _ => ToolCall::made_up_id(index).into(),
        }
    }

    /// A JSON object as text: some servers behind gateways send it in a string.
    fn arguments(&self) -> Cow<'a, str> {
        match self.function.arguments.map(RawValue::get) {
            None | Some("null") => "{}".into(),
            Some(raw) if raw.starts_with('"') => match serde_json::from_str(raw) {
                Ok(Text(text)) if !text.trim().is_empty() => text,
                _ => "{}".into(),
            },
            Some(raw) => raw.into(),
        }
    }
}

/// Ollama leaves out a count of 0: an input that it had cached whole, in older servers.
fn usage(prompt_eval_count: Option<u64>, eval_count: Option<u64>) -> Option<Usage> {
    (prompt_eval_count.is_some() || eval_count.is_some()).then(|| Usage {
        input: prompt_eval_count.unwrap_or(0),
        output: eval_count.unwrap_or(0),
        ..Usage::default()
    })
}

fn logprob(of: Logprob) -> TokenLogprob {
    let top = of.top_logprobs.unwrap_or_default().into_iter();
    TokenLogprob {
        token: of.token,
        logprob: of.logprob,
        top: top.map(|alternative| (alternative.token, alternative.logprob)).collect(),
    }
}

pub fn whole(body: &[u8]) -> Result<Reply, Garbled> {
    let mut line: Line<'_> = object(body)?;
    let message = line.message.take().ok_or(Garbled::new("it has no message"))?;
    let mut parts = Vec::new();
    if let Some(Text(text)) = message.thinking.filter(|thinking| !thinking.0.is_empty()) {
        parts.push(Part::Reasoning { text: text.into_owned(), seal: None });
    }
    if let Some(Text(text)) = message.content.filter(|content| !content.0.is_empty()) {
        parts.push(Part::Text(text.into_owned()));
    }
    let calls = message.tool_calls.unwrap_or_default();
    let finish = line.finish(!calls.is_empty());
    parts.extend(calls.into_iter().enumerate().map(|(index, mut call)| {
        Part::ToolCall(ToolCall {
            id: call.id(index).into_owned(),
            arguments: call.arguments().into_owned(),
            name: call.function.name.0.into_owned(),
            seal: None,
        })
    }));
    let usage = line.usage();
    let logprobs = line.logprobs.unwrap_or_default().into_iter().map(logprob).collect();
    Ok(Reply {
        id: String::new(),
        model: line.model.map(|model| model.0.into_owned()).unwrap_or_default(),
        choices: vec![Choice { parts, finish, logprobs }],
        usage,
    })
}

#[derive(Debug, Default)]
struct Reader {
    started: bool,
    /// Tool calls so far: each comes whole, often in a line of its own.
    calls: u32,
}

pub fn reader() -> Box<dyn StreamReader> {
    Box::new(Reader::default())
}

impl StreamReader for Reader {
    fn read(&mut self, frame: &Frame<'_>, emit: &mut Emit<'_>) -> Result<(), Garbled> {
        let mut line: Line<'_> = object(&frame.data)?;
        if let Some(error) = line.error {
            emit(Event::Failed(errors::of_line(error)));
            return Ok(());
        }
        let done = line.done == Some(true);
        if line.message.is_none() && !done {
            return Ok(());
        }
        if !std::mem::replace(&mut self.started, true) {
            let model = line.model.take().map_or(Cow::Borrowed(""), |model| model.0);
            emit(Event::Start { id: "".into(), model });
        }
        let message = line.message.take().unwrap_or_default();
        if let Some(Text(text)) = message.thinking.filter(|thinking| !thinking.0.is_empty()) {
            emit(Event::Reasoning { choice: 0, text });
        }
        if let Some(Text(text)) = message.content.filter(|content| !content.0.is_empty()) {
            emit(Event::Text { choice: 0, text });
        }
        for mut call in message.tool_calls.unwrap_or_default() {
            let index = self.calls;
            self.calls += 1;
            let (id, fragment) = (call.id(index as usize), call.arguments());
            emit(Event::ToolCall { choice: 0, index, id, name: call.function.name.0, seal: None });
            emit(Event::Arguments { choice: 0, index, fragment });
        }
        if let Some(logprobs) = line.logprobs.take().filter(|logprobs| !logprobs.is_empty()) {
            emit(Event::Logprobs { choice: 0, tokens: logprobs.into_iter().map(logprob).collect() });
        }
        if done {
            emit(Event::Finish { choice: 0, finish: line.finish(self.calls > 0) });
            if let Some(usage) = line.usage() {
                emit(Event::Usage(usage));
            }
        }
        Ok(())
    }
}

/// `prompt_eval_count` too. Inside a text the quote would have a backslash before it.
pub fn names_usage(frames: &[u8]) -> bool {
    memmem::find(frames, b"eval_count\"").is_some()
}

pub fn read_usage(line: &[u8], usage: &mut Option<Usage>) -> bool {
    if let Ok(Some(named)) = usage_of_reply(line) {
        *usage = Some(named);
    }
    false
}

/// A message holds its thinking; an answer of `/api/generate` has it beside.
pub fn shows(lines: &[u8]) -> u64 {
    static FIELDS: LazyLock<[Finder<'static>; 3]> =
        LazyLock::new(|| ["\"content\"", "\"response\"", "\"thinking\""].map(Finder::new));
    FIELDS.iter().map(|field| tap::texts(lines, field)).sum()
}

pub fn says_end(frames: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct End {
        done: Option<bool>,
    }
    // The arguments of a call may hold a `done` of their own.
    tap::names_value(frames, b"\"done\"", b't')
        && frames
            .split(|b| *b == b'\n')
            .any(|line| object::<End>(line).is_ok_and(|end| end.done == Some(true)))
}

pub fn usage_of_reply(body: &[u8]) -> Result<Option<Usage>, Garbled> {
    #[derive(Deserialize)]
    struct Counts {
        prompt_eval_count: Option<u64>,
        eval_count: Option<u64>,
    }
    if let Some([prompt, answer]) = skim::whole(body, |skim| skim.counts(["prompt_eval_count", "eval_count"]))
    {
        return Ok(usage(prompt, answer));
    }
    let counts: Counts = object(body)?;
    Ok(usage(counts.prompt_eval_count, counts.eval_count))
}
