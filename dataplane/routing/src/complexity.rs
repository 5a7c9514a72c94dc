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
mod talk;
#[cfg(test)]
mod tests;
mod window;
mod words;

use llm_dialect::chat::{Effort, Output, Plain, ReasoningAmount, Request};

pub use outcome::{Class, Estimate, Signal, Thresholds};
use talk::Talk;

/// How hard the call is.
#[must_use]
pub fn estimate(request: &Request) -> Estimate {
    let effort = request.reasoning.and_then(|reasoning| match reasoning.amount {
        ReasoningAmount::Off | ReasoningAmount::Auto => None,
        ReasoningAmount::Effort(effort) => Some(effort),
        ReasoningAmount::Budget(tokens) => Some(Effort::of_budget(tokens)),
    });
    let mut estimate = weigh(&Talk::of(&request.messages), request.max_tokens, effort);
    weigh_wishes(&mut estimate, request);
    estimate
}

/// How hard a call of text alone is: as `estimate` says it of the same request.
#[must_use]
pub fn estimate_plain(plain: &Plain<'_>) -> Estimate {
    weigh(&Talk::of(&plain.messages), plain.max_tokens, None)
}

fn weigh(talk: &Talk, max_tokens: Option<u64>, effort: Option<Effort>) -> Estimate {
    let mut estimate = Estimate::default();
    estimate.set(Signal::Base, 0.10);
    weigh_task(&mut estimate, talk);
    weigh_talk(&mut estimate, talk);
    weigh_answer(&mut estimate, max_tokens, effort);
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
}

fn weigh_answer(estimate: &mut Estimate, max_tokens: Option<u64>, effort: Option<Effort>) {
    estimate.set(
        Signal::Reasoning,
        match effort {
            None | Some(Effort::Minimal | Effort::Low) => 0.0,
            Some(Effort::Medium) => 0.15,
            Some(Effort::High | Effort::XHigh | Effort::Max) => 0.40,
        },
    );
    // A model that thinks spends the limit on its thoughts.
    let limit = max_tokens.filter(|_| effort.is_none());
    estimate.set(
        Signal::ShortAnswer,
        match limit {
            Some(..=32) => -0.35,
            Some(33..=128) => -0.10,
            _ => 0.0,
        },
    );
}
