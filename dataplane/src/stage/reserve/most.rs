//! How much one attempt of a call may take: the most where a budget is strict, else what is expected.

use std::sync::Arc;

use llm_config::budget::Enforcement;
use llm_dialect::bound::{self, Unbounded};
use llm_ledger::{Amount, place::Unit};

use super::refusal::Refusal;
use crate::{
    money,
    snapshot::{Target, budgets::Budget},
    stage::{decode::Call, route::Plan},
};

/// The most tokens of an answer where neither the call nor its model names any.
const OUTPUT_TOKENS: u64 = 4_096;

/// What is known of it.
pub struct Most<'c, 'p> {
    call: &'c Call,
    plan: &'c Plan<'p>,
    /// The most tokens of its answer, where the gateway says it.
    cap: Option<u64>,
}

impl<'c, 'p> Most<'c, 'p> {
    /// `strict`: the answer must have a most.
    pub fn of(call: &'c Call, plan: &'c Plan<'p>, strict: bool) -> Self {
        let is_named = |target: &Target| {
            let out = target.answers_by(call.api, call.stream);
            out.is_none_or(|out| bound::output(call.api, &call.envelope, out).named.is_some())
        };
        let targets = || plan.candidates().map(|candidate| &candidate.target);
        let most = |target: &Arc<Target>| {
            target.max_output_tokens.or(target.context_window).unwrap_or(OUTPUT_TOKENS)
        };
        let unnamed = strict && !targets().all(|target| is_named(target));
        let cap = targets().map(most).min().filter(|_| unnamed);
        Self { call, plan, cap }
    }

    pub fn cap(&self) -> Option<u64> {
        self.cap
    }

    /// Halves the answer, where it is the gateway's to say and has so many tokens left then; whether it did.
    pub fn halves(&mut self, least: u64) -> bool {
        let half = self.cap.map(|cap| cap / 2).filter(|half| *half >= least);
        self.cap = half.or(self.cap);
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
        for candidate in self.plan.candidates() {
            let target = &candidate.target;
            if !budget.counts_target(target) {
                continue;
            }
            let (input, output) = if budget.enforcement == Enforcement::Strict {
                self.most(target).map_err(|unbounded| Refusal::unbounded(budget, &unbounded, target))?
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

    fn most(&self, target: &Target) -> Result<(u64, u64), Unbounded> {
        let Call { api, envelope, body, .. } = self.call;
        let Some(out) = target.answers_by(*api, self.call.stream) else { return Ok((0, 0)) };
        let input = bound::input(*api, envelope, &body.bytes, target.kind(), &target.upstream_model);
        let input = input.most(target.context_window)?;
        let of_model = match (target.max_output_tokens, self.cap) {
            (Some(most), Some(cap)) => Some(most.min(cap)),
            (most, cap) => most.or(cap),
        };
        let output = bound::output(*api, envelope, out).most(of_model)?;
        Ok((input, output.unwrap_or(OUTPUT_TOKENS)))
    }

    fn expected(&self, target: &Target) -> (u64, u64) {
        let (input, output) = target.expected_tokens(self.call.body.bytes.len());
        let out = target.answers_by(self.call.api, self.call.stream);
        let named = out.and_then(|out| bound::output(self.call.api, &self.call.envelope, out).named);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an expectation")]
        let (input, output) = (input as u64, output as u64);
        (input, named.map_or(output, |named| named.min(output)))
    }
}
