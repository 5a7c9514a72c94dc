//! How much to think, and how much to say: two wishes that the API ties together, since thinking
//! counts towards `max_tokens`.
//!
//! `max_tokens` is the caller's, else the model's own as the manifest says it, else
//! [`DEFAULT_MAX_TOKENS`]. A budget is an upper bound, so it is lowered to fit below `max_tokens`; only
//! where `max_tokens` leaves no room for the least budget that the API takes is it raised, by that
//! budget.
//!
//! Which words a model understands depends on its age: the older ones know budgets, the newer ones
//! efforts, and each refuses the other. A wish in the wrong word is said in the right one.

use serde::Serialize;

use crate::{
    ProviderModel,
    chat::{Effort, Reasoning, ReasoningAmount, Request},
};

/// What every model since Claude 4 can give.
pub const DEFAULT_MAX_TOKENS: u64 = 32_000;

/// The least budget that the API takes.
pub const MIN_BUDGET: u64 = 1024;

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Thinking {
    Enabled {
        budget_tokens: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        display: Option<&'static str>,
    },
    Adaptive {
        #[serde(skip_serializing_if = "Option::is_none")]
        display: Option<&'static str>,
    },
    Disabled,
}

/// What a request says of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub max_tokens: u64,
    pub thinking: Option<Thinking>,
    pub effort: Option<&'static str>,
}

/// In which words a model is told how much to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    Budgets,
    Efforts,
    Both,
}

impl Plan {
    pub fn new(request: &Request, model: ProviderModel<'_>) -> Self {
        let max_tokens = request.max_tokens.or(model.max_output_tokens).unwrap_or(DEFAULT_MAX_TOKENS);
        let Some(Reasoning { amount, shown }) = request.reasoning else {
            return Self { max_tokens, thinking: None, effort: None };
        };
        let display = shown.map(|shown| if shown { "summarized" } else { "omitted" });
        let adaptive = |effort| Self { max_tokens, thinking: Some(Thinking::Adaptive { display }), effort };
        match (amount, Words::of(model.name)) {
            (ReasoningAmount::Off | ReasoningAmount::Budget(0), _) => {
                Self { max_tokens, thinking: Some(Thinking::Disabled), effort: None }
            }
            (ReasoningAmount::Auto, Words::Budgets) => {
                Self::enabled(of_effort(Effort::Medium, max_tokens), max_tokens, display)
            }
            (ReasoningAmount::Effort(effort), Words::Budgets) => {
                Self::enabled(of_effort(effort, max_tokens), max_tokens, display)
            }
            (ReasoningAmount::Budget(budget), Words::Efforts) => {
                adaptive(Some(level(Effort::of_budget(budget))))
            }
            (ReasoningAmount::Budget(budget), _) => Self::enabled(budget, max_tokens, display),
            (ReasoningAmount::Auto, _) => adaptive(None),
            (ReasoningAmount::Effort(effort), _) => adaptive(Some(level(effort))),
        }
    }

    fn enabled(budget: u64, max_tokens: u64, display: Option<&'static str>) -> Self {
        let (budget_tokens, max_tokens) = if max_tokens > MIN_BUDGET {
            (budget.clamp(MIN_BUDGET, max_tokens - 1), max_tokens)
        } else {
            (MIN_BUDGET, MIN_BUDGET + max_tokens)
        };
        Self { max_tokens, thinking: Some(Thinking::Enabled { budget_tokens, display }), effort: None }
    }
}

/// An effort is no number of tokens, so that a quarter of them can be kept for the answer.
fn of_effort(effort: Effort, max_tokens: u64) -> u64 {
    effort.budget().min(max_tokens / 4 * 3)
}

fn level(effort: Effort) -> &'static str {
    if effort == Effort::Minimal { Effort::Low.as_str() } else { effort.as_str() }
}

impl Words {
    /// By the version in the model's name. The vendor's new models all know efforts; other vendors
    /// who speak the API get what the caller said.
    fn of(model: &str) -> Self {
        let Some((_, name)) = model.split_once("claude") else { return Self::Both };
        // A date is no part of the version.
        let number = |part: &str| part.parse::<u32>().ok().filter(|_| part.len() <= 2);
        let mut parts = name.split(['-', '.', '@', ':', '_']).skip_while(|part| number(part).is_none());
        let version = (parts.next().and_then(number), parts.next().and_then(number).unwrap_or(0));
        match version {
            (Some(major), minor) if (major, minor) < (4, 6) => Self::Budgets,
            (Some(4), 6) => Self::Both,
            _ => Self::Efforts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_told_in_the_words_of_its_age() {
        for (name, words) in [
            ("claude-3-7-sonnet-20250219", Words::Budgets),
            ("claude-opus-4-20250514", Words::Budgets),
            ("claude-sonnet-4@20250514", Words::Budgets),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", Words::Budgets),
            ("anthropic/claude-sonnet-4.5", Words::Budgets),
            ("claude-opus-4-6", Words::Both),
            ("claude-opus-4-7", Words::Efforts),
            ("claude-opus-4-10", Words::Efforts),
            ("claude-opus-5", Words::Efforts),
            ("claude-fable-5-1", Words::Efforts),
            ("claude-mythos-preview", Words::Efforts),
            ("kimi-k2", Words::Both),
        ] {
            assert_eq!(Words::of(name), words, "{name}");
        }
    }

    fn plan(name: &str, max_tokens: Option<u64>, of_model: Option<u64>, amount: ReasoningAmount) -> Plan {
        let reasoning = Some(Reasoning { amount, shown: None });
        let request = Request { max_tokens, reasoning, ..Request::default() };
        Plan::new(&request, ProviderModel { name, max_output_tokens: of_model })
    }

    #[test]
    fn a_budget_fits_below_the_limit() {
        let budgeted = |max_tokens, of_model, amount| {
            let plan = plan("claude-sonnet-4-5", max_tokens, of_model, amount);
            match plan.thinking {
                Some(Thinking::Enabled { budget_tokens, .. }) => (budget_tokens, plan.max_tokens),
                _ => (0, plan.max_tokens),
            }
        };
        let budget = ReasoningAmount::Budget;
        assert_eq!(budgeted(Some(4000), None, budget(2000)), (2000, 4000));
        assert_eq!(budgeted(Some(4000), None, budget(9000)), (3999, 4000));
        assert_eq!(budgeted(Some(4000), None, budget(5)), (1024, 4000));
        assert_eq!(budgeted(Some(500), None, budget(9000)), (1024, 1524));
        assert_eq!(budgeted(None, None, budget(0)), (0, DEFAULT_MAX_TOKENS));
        assert_eq!(budgeted(None, Some(64_000), ReasoningAmount::Effort(Effort::Max)), (32_768, 64_000));
        assert_eq!(budgeted(None, None, ReasoningAmount::Effort(Effort::Max)), (24_000, 32_000));
        assert_eq!(budgeted(None, None, ReasoningAmount::Auto), (8192, 32_000));
    }

    #[test]
    fn efforts_are_said_as_such_and_budgets_as_efforts_where_those_are_not_known() {
        let said = |name, amount| {
            let plan = plan(name, Some(4000), None, amount);
            (plan.thinking, plan.effort)
        };
        let adaptive = Some(Thinking::Adaptive { display: None });
        assert_eq!(said("claude-opus-5", ReasoningAmount::Effort(Effort::Minimal)), (adaptive, Some("low")));
        let adaptive = Some(Thinking::Adaptive { display: None });
        assert_eq!(said("claude-opus-5", ReasoningAmount::Budget(8000)), (adaptive, Some("medium")));
        let adaptive = Some(Thinking::Adaptive { display: None });
        assert_eq!(said("claude-opus-5", ReasoningAmount::Auto), (adaptive, None));
        assert_eq!(said("claude-opus-5", ReasoningAmount::Off), (Some(Thinking::Disabled), None));
    }
}
