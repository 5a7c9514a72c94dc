//! What is said of a call: its signals, their sum, and the class that this falls into. Apart from how
//! they are found, because routes and `explain` read only this.

use std::fmt;

/// Something that makes a call harder, or easier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// What every call has.
    Base,
    /// Length of the instruction in the last message of the user.
    Task,
    /// Words of the instruction that speak of hard work: `prove`, `design`.
    HardWords,
    /// Words of the instruction that speak of some work: `write`, `explain`.
    WorkWords,
    /// Words of the instruction, or of the system prompt, that speak of an errand: `typos`, `label`.
    /// Never above zero.
    EasyWords,
    /// Letters of the instruction in scripts whose words are not known: what can't be judged is
    /// rather not sent to the cheapest model.
    Unread,
    /// Commas, questions and the like in the instruction.
    Clauses,
    /// Long words and technical ones in the instruction.
    Terms,
    /// Numbers in the instruction.
    Numbers,
    /// Length of what the instruction is about.
    Material,
    Code,
    Maths,
    /// Length and words of the system prompt.
    System,
    /// Length and number of the earlier turns.
    History,
    /// Calls of tools since the user last said something.
    Steps,
    /// Tools that may be called.
    Tools,
    /// The schema of the answer.
    Schema,
    Images,
    /// Documents, sounds and videos.
    Documents,
    /// How much thinking the caller asks for.
    Reasoning,
    /// The answer is limited to a few tokens. Never above zero.
    ShortAnswer,
}

impl Signal {
    pub const ALL: [Self; 21] = [
        Self::Base,
        Self::Task,
        Self::HardWords,
        Self::WorkWords,
        Self::EasyWords,
        Self::Unread,
        Self::Clauses,
        Self::Terms,
        Self::Numbers,
        Self::Material,
        Self::Code,
        Self::Maths,
        Self::System,
        Self::History,
        Self::Steps,
        Self::Tools,
        Self::Schema,
        Self::Images,
        Self::Documents,
        Self::Reasoning,
        Self::ShortAnswer,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Task => "task",
            Self::HardWords => "hardWords",
            Self::WorkWords => "workWords",
            Self::EasyWords => "easyWords",
            Self::Unread => "unread",
            Self::Clauses => "clauses",
            Self::Terms => "terms",
            Self::Numbers => "numbers",
            Self::Material => "material",
            Self::Code => "code",
            Self::Maths => "maths",
            Self::System => "system",
            Self::History => "history",
            Self::Steps => "steps",
            Self::Tools => "tools",
            Self::Schema => "schema",
            Self::Images => "images",
            Self::Documents => "documents",
            Self::Reasoning => "reasoning",
            Self::ShortAnswer => "shortAnswer",
        }
    }
}

/// What a call was found to be, signal by signal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// In the order of [`Signal::ALL`].
    contributions: [f64; Signal::ALL.len()],
}

impl Estimate {
    /// In 0..=1: the sum of the contributions, cut off there.
    #[must_use]
    pub fn score(&self) -> f64 {
        self.contributions.iter().sum::<f64>().clamp(0.0, 1.0)
    }

    /// The signals that the call has, with what each adds to the score.
    pub fn signals(&self) -> impl Iterator<Item = (Signal, f64)> {
        Signal::ALL.into_iter().zip(self.contributions).filter(|(_, contribution)| *contribution != 0.0)
    }

    pub(super) fn set(&mut self, signal: Signal, contribution: f64) {
        self.contributions[signal as usize] = contribution;
    }
}

/// `0.47 = base 0.10 + task 0.12 + …`
impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.score())?;
        for (index, (signal, contribution)) in self.signals().enumerate() {
            let sign = match (index, contribution < 0.0) {
                (0, _) => "=",
                (_, true) => "-",
                (_, false) => "+",
            };
            write!(f, " {sign} {} {:.2}", signal.as_str(), contribution.abs())?;
        }
        Ok(())
    }
}

/// What tier of model a call deserves: economy, standard, premium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Simple,
    Medium,
    Complex,
}

impl Class {
    pub const ALL: [Self; 3] = [Self::Simple, Self::Medium, Self::Complex];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Medium => "medium",
            Self::Complex => "complex",
        }
    }
}

/// Where a class ends. Both are scores; a score that is one belongs to the class above it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    pub simple: f64,
    pub medium: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { simple: 0.3, medium: 0.6 }
    }
}

impl Thresholds {
    #[must_use]
    pub fn classify(&self, score: f64) -> Class {
        match score {
            score if score < self.simple => Class::Simple,
            score if score < self.medium => Class::Medium,
            _ => Class::Complex,
        }
    }
}
