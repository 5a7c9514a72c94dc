//! How much one attempt of a call may take: the most where a budget is strict, else what is expected.

use std::cell::Cell;

use llm_config::budget::Enforcement;
use llm_dialect::bound::{self, Unbounded};
use llm_ledger::{Amount, place::Unit};
use smallvec::{SmallVec, smallvec};

use super::refusal::Refusal;
use crate::{
    money,
    snapshot::{Target, budgets::Budget},
    stage::{decode::Call, route::Plan},
};

/// The most tokens of an answer where neither the call nor its model names any.
const OUTPUT_TOKENS: u64 = 4_096;
/// Fewer tokens are no answer: a call is not cut shorter than this for want of money.
const FEWEST_TOKENS: u64 = 64;

/// The most input and output of one candidate.
type Known = Cell<Option<(u64, u64)>>;

/// What is known of it.
pub struct Most<'c, 'p> {
    call: &'c Call,
    plan: &'c Plan<'p>,
    /// The most tokens of its answer, where the gateway says it.
    cap: Option<u64>,
    /// By candidate, where it was asked before: several limits ask the same.
    known: SmallVec<[Known; 2]>,
    longest: Cell<Option<u64>>,
}

impl<'c, 'p> Most<'c, 'p> {
    /// `strict`: the answer must have a most.
    pub fn of(call: &'c Call, plan: &'c Plan<'p>, strict: bool) -> Self {
        let known = smallvec![Cell::new(None); plan.candidates().len()];
        let mut most = Self { call, plan, cap: None, known, longest: Cell::new(None) };
        if strict {
            let targets = plan.candidates().map(|candidate| &candidate.target);
            most.cap = targets.filter(|target| !most.is_named(target)).map(|target| most.usual(target)).min();
        }
        most
    }

    /// Whether the call names the most of its answer, or has none.
    fn is_named(&self, target: &Target) -> bool {
        self.output(target).is_none_or(|output| output.named.is_some())
    }

    /// The most of an answer where the call names none: what the model gives, or what is left of its window.
    fn usual(&self, target: &Target) -> u64 {
        if let Some(most) = target.max_output_tokens {
            return most;
        }
        let Some(window) = target.context_window else { return OUTPUT_TOKENS };
        let input = self.input(target).unwrap_or(window / 2);
        window.saturating_sub(input).clamp(FEWEST_TOKENS, OUTPUT_TOKENS)
    }

    fn input(&self, target: &Target) -> Result<u64, Unbounded> {
        let Call { api, envelope, body, .. } = self.call;
        let input = bound::input(*api, envelope, &body.bytes, target.kind(), &target.upstream_model);
        input.most(target.context_window)
    }

    /// `None` where no provider is asked. Apart, for all who ask are on the way of each call.
    #[inline(never)]
    fn output(&self, target: &Target) -> Option<bound::Output<'c>> {
        let Call { api, envelope, stream, foreign_seals, .. } = self.call;
        let out = target.answers_by(*api, *stream)?;
        Some(bound::output(*api, envelope, out, *foreign_seals))
    }

    pub fn cap(&self) -> Option<u64> {
        self.cap
    }

    /// The most output that strict limits have been asked for, whoever of the plan answers; `None` where there is none that
    /// is known.
    pub fn longest(&self) -> Option<u64> {
        self.longest.get()
    }

    /// Halves the answer, where it is the gateway's to say and is still an answer then; whether it did.
    pub fn halves(&mut self) -> bool {
        let half = self.cap.map(|cap| cap / 2).filter(|half| *half >= FEWEST_TOKENS);
        self.cap = half.or(self.cap);
        self.known.iter().for_each(|known| known.set(None));
        self.longest.set(None);
        half.is_some()
    }

    /// What one attempt may take of a limit of this unit, whoever of the plan answers.
    ///
    /// # Errors
    /// When the budget is strict, and nobody can say.
    pub fn of_limit(&self, budget: &Budget, unit: Unit) -> Result<Amount, Refusal> {
        if unit == Unit::Requests {
            return Ok(1);
        }
        let mut most = 0;
        for (candidate, known) in self.plan.candidates().zip(&self.known) {
            let target = &candidate.target;
            if !budget.counts_target(target) {
                continue;
            }
            let (input, output) = if budget.enforcement == Enforcement::Strict {
                self.most(target, known).map_err(|unbounded| Refusal::unbounded(budget, unbounded, target))?
            } else {
                self.expected(target)
            };
            most = most.max(match unit {
                Unit::Usd => money::most(target.price, input, output),
                _ => input.saturating_add(output),
            });
        }
        Ok(most)
    }

    fn most(&self, target: &Target, known: &Known) -> Result<(u64, u64), Unbounded> {
        if let Some(most) = known.get() {
            return Ok(most);
        }
        let Some(output) = self.output(target) else { return Ok((0, 0)) };
        let output = output.most(self.cap.or(target.max_output_tokens))?;
        let most = (self.input(target)?, output.unwrap_or(OUTPUT_TOKENS));
        self.longest.set(self.longest.get().max(output));
        known.set(Some(most));
        Ok(most)
    }

    /// Apart from what strict budgets want, which is what most are.
    #[inline(never)]
    fn expected(&self, target: &Target) -> (u64, u64) {
        let (input, output) = target.expected_tokens(self.call.body.bytes.len());
        let named = self.output(target).and_then(|output| output.named);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an expectation")]
        let (input, output) = (input as u64, output as u64);
        (input, named.map_or(output, |named| named.min(output)))
    }
}
