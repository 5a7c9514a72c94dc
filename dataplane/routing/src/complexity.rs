//! How hard a call is: a guess in 0..1, made of what can be seen without a model. Apart from the
//! choice of a target, which only wants the class.
//!
//! What the caller asks now matters most: the length of the instruction, its clauses and terms, and
//! words that are known to speak of hard work or of an errand. What it is to be done with, the system
//! prompt and earlier turns count by their length and number, and little: long is not hard. A result
//! of a tool counts as a step of an agent, whatever its length.
//!
//! The cost is bounded: a few kilobytes of the last message and of the first system message are read,
//! and of a long conversation the end. Nothing is allocated. The same call gives the same estimate on
//! every machine: only sums, products and quotients are taken.
//!
//! It is a guess: of calls that were written after its weights it tells seven in ten right, and the
//! others one class off, mostly too easy. A short question that is hard looks easy.

mod outcome;
mod scan;
mod stems;
#[cfg(test)]
mod tests;
mod window;
mod words;

use llm_dialect::chat::{Effort, Media, Message, Output, Part, ReasoningAmount, Request, Role};
use scan::Found;

pub use outcome::{Class, Estimate, Signal, Thresholds};

/// The most messages that are looked at, from the end, and the most parts of one.
const MESSAGES: usize = 128;
const PARTS: usize = 32;

/// How hard the call is.
#[must_use]
pub fn estimate(request: &Request) -> Estimate {
    let talk = Talk::of(request);
    let mut estimate = Estimate::default();
    estimate.set(Signal::Base, 0.10);
    weigh_task(&mut estimate, &talk);
    weigh_talk(&mut estimate, &talk);
    weigh_wishes(&mut estimate, request);
    estimate
}

/// Towards `most` as `amount` grows, half of it at `half`. Rises with the amount, and never jumps.
fn towards(most: f64, amount: usize, half: f64) -> f64 {
    let amount = amount as f64;
    most * amount / (amount + half)
}

fn weigh_task(estimate: &mut Estimate, talk: &Talk) {
    let Talk { asked, system, .. } = talk;
    let hundredths = |sum: u32| f64::from(sum) / 100.0;
    estimate.set(Signal::Task, towards(0.40, asked.task, 300.0));
    estimate.set(Signal::HardWords, hundredths(asked.words.hard).min(0.60));
    estimate.set(Signal::WorkWords, towards(0.24, asked.words.work as usize, 12.0));
    let easy = hundredths(asked.words.easy + system.words.easy);
    estimate.set(Signal::EasyWords, -easy.min(0.50));
    estimate.set(Signal::Unread, towards(0.30, asked.words.unread as usize, 20.0));
    estimate.set(Signal::Clauses, towards(0.20, asked.words.clauses as usize, 8.0));
    estimate.set(Signal::Terms, towards(0.30, asked.words.terms as usize, 8.0));
    estimate.set(Signal::Numbers, towards(0.12, asked.words.numbers as usize, 8.0));
    estimate.set(Signal::Material, towards(0.10, asked.material, 8192.0));
    estimate.set(Signal::Code, towards(0.20, asked.code as usize, 30.0));
    estimate.set(Signal::Maths, towards(0.40, asked.maths as usize, 4.0));
}

fn weigh_talk(estimate: &mut Estimate, talk: &Talk) {
    let system = talk.system.task + talk.system.material;
    let words = f64::from(talk.system.words.hard + talk.system.words.work) / 100.0;
    estimate.set(Signal::System, towards(0.08, system, 2000.0) + (words * 0.3).min(0.12));
    estimate.set(Signal::History, towards(0.08, talk.turns, 12.0) + towards(0.05, talk.history, 16384.0));
    estimate.set(Signal::Steps, towards(0.40, talk.steps, 6.0));
    estimate.set(Signal::Images, towards(0.30, talk.images, 1.0));
    estimate.set(Signal::Documents, towards(0.40, talk.documents, 1.0));
}

fn weigh_wishes(estimate: &mut Estimate, request: &Request) {
    estimate.set(Signal::Tools, towards(0.20, request.tools.len(), 6.0));
    estimate.set(
        Signal::Schema,
        match &request.output {
            Output::Text => 0.0,
            Output::JsonObject => 0.02,
            Output::JsonSchema(schema) => 0.02 + towards(0.15, schema.schema.get().len(), 1200.0),
        },
    );
    let effort = request.reasoning.and_then(|reasoning| match reasoning.amount {
        ReasoningAmount::Off | ReasoningAmount::Auto => None,
        ReasoningAmount::Effort(effort) => Some(effort),
        ReasoningAmount::Budget(tokens) => Some(Effort::of_budget(tokens)),
    });
    estimate.set(
        Signal::Reasoning,
        match effort {
            None | Some(Effort::Minimal | Effort::Low) => 0.0,
            Some(Effort::Medium) => 0.15,
            Some(Effort::High | Effort::XHigh | Effort::Max) => 0.40,
        },
    );
    // A model that thinks spends the limit on its thoughts.
    let limit = request.max_tokens.filter(|_| effort.is_none());
    estimate.set(
        Signal::ShortAnswer,
        match limit {
            Some(..=32) => -0.35,
            Some(33..=128) => -0.10,
            _ => 0.0,
        },
    );
}

/// What is seen of a conversation.
#[derive(Debug, Default)]
struct Talk {
    /// The last message in which the user says something.
    asked: Found,
    images: usize,
    documents: usize,
    system: Found,
    /// Calls of tools behind the last message of the user.
    steps: usize,
    /// Messages before it, without system messages.
    turns: usize,
    /// Bytes of their text.
    history: usize,
}

impl Talk {
    fn of(request: &Request) -> Self {
        let mut talk = Self::default();
        let mut asked = false;
        let (early, late) = request.messages.split_at(request.messages.len().saturating_sub(MESSAGES));
        for message in late.iter().rev() {
            match message.role {
                Role::System => talk.system(message),
                Role::User if !asked && says(message) => {
                    asked = true;
                    talk.ask(message);
                }
                _ if asked => talk.earlier(message),
                _ => talk.steps += parts(message).filter(|part| matches!(part, Part::ToolCall(_))).count(),
            }
        }
        talk.turns += early.len();
        if let Some(first) = early.first().filter(|first| first.role == Role::System) {
            talk.system(first);
        }
        talk
    }

    fn ask(&mut self, message: &Message) {
        // A question that stands behind long texts comes before the bound is reached.
        let texts = || parts(message).filter_map(text);
        if let Some(last) = texts().last() {
            self.asked.look(last);
        }
        let others = texts().count().saturating_sub(1);
        texts().take(others).for_each(|text| self.asked.look(text));
        for part in parts(message) {
            match part {
                Part::Image(_) => self.images += 1,
                Part::Document { media: Media::Text(text), .. } => self.asked.material += text.len(),
                Part::Document { .. } | Part::Audio(_) | Part::Video(_) => self.documents += 1,
                _ => {}
            }
        }
    }

    fn system(&mut self, message: &Message) {
        parts(message).filter_map(text).for_each(|text| self.system.look(text));
    }

    fn earlier(&mut self, message: &Message) {
        self.turns += 1;
        self.history += parts(message).filter_map(text).map(str::len).sum::<usize>();
    }
}

fn parts(message: &Message) -> impl Iterator<Item = &Part> {
    message.parts.iter().take(PARTS)
}

fn text(part: &Part) -> Option<&str> {
    if let Part::Text(text) = part { Some(text) } else { None }
}

/// Whether the user says something, beside giving results of tools.
fn says(message: &Message) -> bool {
    parts(message).any(|part| !matches!(part, Part::ToolResult(_)))
}
