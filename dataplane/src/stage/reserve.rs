//! Money for a call before it is sent: from each limit that it counts for, or it is not sent. It takes no hop: what a
//! call reserves lies in this process's purses, and only one that finds too little there waits for the ledger.

mod most;
mod refusal;
pub mod reserved;
mod taking;

use std::{sync::Arc, time::Duration};

use llm_config::budget::Enforcement;
use llm_dialect::surface::Task;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::{
    budget::unix_now,
    error::Error,
    snapshot::budgets::{Budget, Spender},
    stage::{decode::Call, route::Plan},
};

use most::Most;
use refusal::Refusal;
use reserved::Reserved;
use taking::{Taken, Want, Wants, at_hand};

/// A call waits no longer than this for money that is in the hands of others: whoever is refused is told to come again
/// in a second at the earliest.
const RETURNS: Duration = Duration::from_secs(1);

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
    let budgets = plan.rule.budgets.iter().filter(|budget| {
        budget.counts(spender) && plan.candidates().any(|candidate| budget.counts_target(&candidate.target))
    });
    let budgets: SmallVec<[&Arc<Budget>; 4]> = budgets.collect();
    if budgets.is_empty() {
        return Ok(None);
    }
    let strict = budgets.iter().any(|budget| budget.enforcement == Enforcement::Strict);
    let mut most = Most::of(call, plan, strict);
    let held = match at_hand(wants(&budgets, &most, spender)).map_err(Refusal::error)? {
        Some(held) => held,
        // Few calls come here: the others need not carry its room.
        None => Box::pin(wait(&budgets, &mut most, spender)).await.map_err(Refusal::error)?,
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
    let until = Instant::now() + RETURNS;
    loop {
        let wants = Wants(wants(budgets, most, spender).collect::<Result<_, _>>()?);
        match wants.take(until).await {
            Err(refusal) if refusal.is_of_output() && most.halves() => {}
            taken => return taken,
        }
    }
}

/// Budgets and their limits stand in the same order for all calls.
fn wants<'b>(
    budgets: &[&'b Arc<Budget>],
    most: &Most<'_, '_>,
    spender: Spender<'_>,
) -> impl Iterator<Item = Result<Want<'b>, Refusal>> {
    let now = unix_now();
    budgets.iter().flat_map(move |budget| {
        let value = budget.value(spender);
        budget.limits.iter().enumerate().map(move |(limit, slot)| {
            let each = most.of_limit(budget, slot.limit.unit)?;
            Ok(Want { budget, limit, line: slot.line(value.as_deref(), now), each, own: 0 })
        })
    })
}
