//! Money for a call before it is sent: from each limit that it counts for, or it is not sent. It takes no hop: what a
//! call reserves lies in this process's purses, and only one that finds too little there waits for the ledger.

mod most;
mod patience;
mod refusal;
pub mod reserved;
mod taking;

use std::sync::Arc;

use llm_config::budget::Enforcement;
use llm_dialect::surface::Task;
use smallvec::SmallVec;

use crate::{
    budget::unix_now,
    error::Error,
    snapshot::budgets::{Budget, Spender},
    stage::{decode::Call, route::Plan},
};

use most::Most;
use patience::Patience;
use refusal::Refusal;
use reserved::Reserved;
use taking::{AtHand, Taken, USUAL, Want, Wants};

/// Reserves what the call may cost. One that names no most of its output gets one, where a budget is strict: what its
/// models give at most, or what there is money for.
///
/// # Errors
/// When a budget has too little, or nobody can say how much the call may cost.
pub async fn reserve(
    call: &mut Call,
    plan: &Plan<'_>,
    spender: Spender<'_>,
) -> Result<Option<Box<Reserved>>, Error> {
    if plan.rule.budgets.is_empty() || call.api.task() == Task::Count {
        return Ok(None);
    }
    let mut budgets: SmallVec<[&Arc<Budget>; USUAL]> = SmallVec::new();
    for budget in &plan.rule.budgets {
        let mut targets = plan.candidates().map(|candidate| &candidate.target);
        if budget.counts(spender) && targets.any(|target| budget.counts_target(target)) {
            budgets.push(budget);
        }
    }
    if budgets.is_empty() {
        return Ok(None);
    }
    let strict = budgets.iter().any(|budget| budget.enforcement == Enforcement::Strict);
    let mut most = Most::of(call, plan, strict);
    let mut at_hand = AtHand::default();
    let has_all = each_want(&budgets, &most, spender, |want| at_hand.takes(want)).map_err(Refusal::error)?;
    let held = if has_all {
        at_hand.all()
    } else {
        drop(at_hand);
        // Few calls come here: the others need not carry its room.
        Box::pin(wait(&budgets, &mut most, spender)).await.map_err(Refusal::error)?
    };
    let (cap, longest) = (most.cap(), most.longest());
    if let Some(tokens) = cap {
        call.cap_output(tokens);
    }
    Ok(Some(Reserved::new(held, longest)))
}

/// From each limit, or from none; where there is too little, for a shorter answer.
async fn wait(
    budgets: &[&Arc<Budget>],
    most: &mut Most<'_, '_>,
    spender: Spender<'_>,
) -> Result<Taken, Refusal> {
    let mut patience = Patience::begin();
    loop {
        let mut wants = Wants::default();
        each_want(budgets, most, spender, |want| {
            wants.0.push(want);
            true
        })?;
        match wants.take(&mut patience).await {
            Err(refusal) if refusal.is_of_output() && most.halves() => {}
            taken => return taken,
        }
    }
}

/// Tells what the call may take of each limit, until `take` says no; whether it never did. Budgets and their limits stand
/// in the same order for all calls.
fn each_want<'b>(
    budgets: &[&'b Arc<Budget>],
    most: &Most<'_, '_>,
    spender: Spender<'_>,
    mut take: impl FnMut(Want<'b>) -> bool,
) -> Result<bool, Refusal> {
    let now = unix_now();
    for budget in budgets {
        let value = budget.value(spender);
        for (limit, slot) in budget.limits.iter().enumerate() {
            let each = most.of_limit(budget, slot.limit.unit)?;
            let line = slot.line(value.as_deref(), now);
            if !take(Want { budget, limit, line, each, own: 0 }) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
