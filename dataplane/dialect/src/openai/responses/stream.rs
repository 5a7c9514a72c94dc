//! An answer in pieces. The API tells each item twice, as it grows and whole when it is done, and
//! all of them once more at the end: the writer keeps what it has written.

mod frames;

pub use frames::Sequence;

use crate::{
    Context, Dialect,
    event::{Event, StreamWriter},
    reply::{TokenLogprob, Usage},
    seal::Seal,
};

use super::output::{self, Content, Ending, Item, Logprob, Response, Status, Summary};
use frames::{Lifecycle, Place, What, Whole};

/// One stream.
pub struct Writer {
    context: Context,
    id: String,
    model: String,
    sequence: Sequence,
    items: Vec<Item>,
    /// The thinking or the message that grows.
    open: Option<usize>,
    /// The calls that may grow yet, since their arguments come mixed: the number of each among the
    /// calls, and among the items.
    calls: Vec<(u32, usize)>,
    /// Log probabilities of a text that has not come yet.
    logprobs: Vec<Logprob>,
    ending: Ending,
    usage: Option<Usage>,
}

impl StreamWriter for Writer {
    fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model } => {
                self.id = output::response_id(id, &self.context);
                output::model(model, &self.context).clone_into(&mut self.model);
                self.lifecycle("response.created", Ending::NOT_YET, out);
                self.lifecycle("response.in_progress", Ending::NOT_YET, out);
            }
            Event::Text { choice: 0, text } if !text.is_empty() => self.say(Content::text, text, out),
            Event::Refusal { choice: 0, text } if !text.is_empty() => {
                self.say(Content::refusal, text, out);
            }
            Event::Reasoning { choice: 0, text } if !text.is_empty() => self.think(text, out),
            Event::Sealed { choice: 0, seal } => self.seal(seal, out),
            Event::ToolCall { choice: 0, index, id, name, seal } => {
                if let Some(seal) = seal {
                    self.sealed_apart(seal, out);
                }
                self.close_open(out);
                let item = Item::call(&self.context, self.items.len(), id, name, "");
                let item = self.begin(item, out);
                self.calls.push((*index, item));
            }
            Event::Arguments { choice: 0, index, fragment } if !fragment.is_empty() => {
                let call = self.calls.iter().find(|(call, _)| call == index);
                if let Some((_, item)) = call {
                    argue(&mut self.sequence, &mut self.items, *item, fragment, out);
                }
            }
            Event::Logprobs { choice: 0, tokens } => self.logprobs(tokens, out),
            Event::Finish { choice: 0, finish } => {
                self.ending = Ending::of(finish, &self.items);
                self.close_all(out);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            // The API has one answer to a call; and whoever is told of a failure ends the stream.
            _ => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.close_all(out);
        let kind = match self.ending.status {
            Status::Incomplete => "response.incomplete",
            Status::Completed | Status::InProgress => "response.completed",
        };
        self.lifecycle(kind, self.ending, out);
    }
}

impl Writer {
    pub fn new(context: Context) -> Self {
        Self {
            context,
            id: String::new(),
            model: String::new(),
            sequence: Sequence::default(),
            items: Vec::new(),
            open: None,
            calls: Vec::new(),
            logprobs: Vec::new(),
            ending: Ending::GOOD,
            usage: None,
        }
    }

    fn lifecycle(&mut self, kind: &str, ending: Ending, out: &mut Vec<u8>) {
        let Self { id, model, context, items, usage, .. } = self;
        let response = Response::new(id, model, context.created, ending, items, *usage);
        self.sequence.frame(out, kind, &Lifecycle { response });
    }

    fn begin(&mut self, item: Item, out: &mut Vec<u8>) -> usize {
        let output_index = self.items.len();
        self.sequence.frame(out, "response.output_item.added", &Whole { output_index, item: &item });
        self.items.push(item);
        output_index
    }

    /// What is open where `fits`; a new item otherwise.
    fn open(
        &mut self,
        fits: fn(&Item) -> bool,
        new: fn(&Context, usize) -> Item,
        out: &mut Vec<u8>,
    ) -> usize {
        match self.open {
            Some(index) if fits(&self.items[index]) => index,
            _ => {
                self.close_open(out);
                let index = self.begin(new(&self.context, self.items.len()), out);
                self.open = Some(index);
                index
            }
        }
    }

    fn say(&mut self, kind: fn() -> Content, text: &str, out: &mut Vec<u8>) {
        let index = self.open(
            |item| matches!(item, Item::Message { .. }),
            |context, index| Item::message(context, index, Vec::new()),
            out,
        );
        let Self { sequence, items, logprobs, .. } = self;
        let Item::Message { id, content, .. } = &mut items[index] else { return };
        let part = kind();
        if content.last().is_none_or(|last| last.is_text() != part.is_text()) {
            content_done(sequence, id, index, content, out);
            let place = Place::content(id, index, content.len());
            sequence.frame(out, "response.content_part.added", &place.grows(What::Part(&part)));
            content.push(part);
        }
        let place = Place::content(id, index, content.len().saturating_sub(1));
        let Some(last) = content.last_mut() else { return };
        last.push(text);
        match last {
            Content::OutputText { logprobs: all, .. } => {
                let from = all.len();
                all.append(logprobs);
                let delta = place.grows_with(What::Delta(text), &all[from..]);
                sequence.frame(out, "response.output_text.delta", &delta);
            }
            Content::Refusal { .. } => {
                sequence.frame(out, "response.refusal.delta", &place.grows(What::Delta(text)));
            }
        }
    }

    /// Where a text is open they are of it and leave at once, with an empty fragment.
    fn logprobs(&mut self, tokens: &[TokenLogprob], out: &mut Vec<u8>) {
        self.logprobs.extend(tokens.iter().map(Logprob::from));
        if let Some(index) = self.open
            && let Item::Message { content, .. } = &self.items[index]
            && content.last().is_some_and(Content::is_text)
        {
            self.say(Content::text, "", out);
        }
    }

    fn think(&mut self, text: &str, out: &mut Vec<u8>) {
        let index = self.open(
            |item| matches!(item, Item::Reasoning { .. }),
            |context, index| Item::reasoning(context, index, "", None),
            out,
        );
        let Self { sequence, items, .. } = self;
        let Item::Reasoning { id, summary, .. } = &mut items[index] else { return };
        let place = Place::summary(id, index);
        if summary.is_empty() {
            let part = Summary { text: String::new() };
            let added = place.grows(What::Summary(&part));
            sequence.frame(out, "response.reasoning_summary_part.added", &added);
            summary.push(part);
        }
        summary[0].text.push_str(text);
        sequence.frame(out, "response.reasoning_summary_text.delta", &place.grows(What::Delta(text)));
    }

    /// With its proof a piece of thinking is complete.
    fn seal(&mut self, seal: &Seal, out: &mut Vec<u8>) {
        if !seal.redacted
            && let Some(index) = self.open
            && let Item::Reasoning { encrypted_content, .. } = &mut self.items[index]
        {
            *encrypted_content = Some(seal.to_text(Dialect::OpenAI));
            self.close_open(out);
        } else {
            self.sealed_apart(seal, out);
        }
    }

    /// An item for the proof alone.
    fn sealed_apart(&mut self, seal: &Seal, out: &mut Vec<u8>) {
        self.close_open(out);
        let item = Item::reasoning(&self.context, self.items.len(), "", Some(seal));
        let index = self.begin(item, out);
        self.close(index, Status::Completed, out);
    }

    fn close_open(&mut self, out: &mut Vec<u8>) {
        if let Some(index) = self.open.take() {
            self.close(index, Status::Completed, out);
        }
    }

    fn close_all(&mut self, out: &mut Vec<u8>) {
        let mut open: Vec<usize> = self.calls.drain(..).map(|(_, item)| item).collect();
        open.extend(self.open.take());
        open.sort_unstable();
        for index in open {
            self.close(index, self.ending.of_item(index, self.items.len()), out);
        }
    }

    fn close(&mut self, index: usize, status: Status, out: &mut Vec<u8>) {
        let Self { sequence, items, .. } = self;
        match &items[index] {
            Item::Reasoning { id, summary, .. } => summary_done(sequence, id, index, summary, out),
            Item::Message { id, content, .. } => content_done(sequence, id, index, content, out),
            Item::FunctionCall { arguments, .. } => {
                // A call that was cut off before its arguments came, is not one without arguments.
                if arguments.is_empty() && status == Status::Completed {
                    argue(sequence, items, index, "{}", out);
                }
                arguments_done(sequence, &items[index], index, out);
            }
        }
        let item = &mut items[index];
        item.close(status);
        sequence.frame(out, "response.output_item.done", &Whole { output_index: index, item });
    }
}

fn argue(sequence: &mut Sequence, items: &mut [Item], index: usize, fragment: &str, out: &mut Vec<u8>) {
    if let Item::FunctionCall { id, arguments, .. } = &mut items[index] {
        arguments.push_str(fragment);
        let delta = Place::item(id, index).grows(What::Delta(fragment));
        sequence.frame(out, "response.function_call_arguments.delta", &delta);
    }
}

fn arguments_done(sequence: &mut Sequence, item: &Item, index: usize, out: &mut Vec<u8>) {
    if let Item::FunctionCall { id, arguments, .. } = item {
        let done = Place::item(id, index).grows(What::Arguments(arguments));
        sequence.frame(out, "response.function_call_arguments.done", &done);
    }
}

fn summary_done(sequence: &mut Sequence, id: &str, index: usize, summary: &[Summary], out: &mut Vec<u8>) {
    let Some(part) = summary.last() else { return };
    let place = Place::summary(id, index);
    sequence.frame(out, "response.reasoning_summary_text.done", &place.grows(What::Text(&part.text)));
    sequence.frame(out, "response.reasoning_summary_part.done", &place.grows(What::Summary(part)));
}

fn content_done(sequence: &mut Sequence, id: &str, index: usize, content: &[Content], out: &mut Vec<u8>) {
    let Some(part) = content.last() else { return };
    let place = Place::content(id, index, content.len() - 1);
    match part {
        Content::OutputText { logprobs, text, .. } => {
            let done = place.grows_with(What::Text(text), logprobs);
            sequence.frame(out, "response.output_text.done", &done);
        }
        Content::Refusal { refusal } => {
            sequence.frame(out, "response.refusal.done", &place.grows(What::Refusal(refusal)));
        }
    }
    sequence.frame(out, "response.content_part.done", &place.grows(What::Part(part)));
}

#[cfg(test)]
mod tests;
