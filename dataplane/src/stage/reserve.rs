//! Money for a call before it is sent: from each limit that it counts for, or it is not sent. It takes no hop: what a
//! call reserves lies in this process's purses, and only one that finds too little there waits for the ledger.

mod most;
mod refusal;
pub mod reserved;

use std::{sync::Arc, time::Duration};

use llm_config::budget::{Enforcement, OnExceeded, OnLedgerUnavailable};
use llm_dialect::surface::Task;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::{
    budget::{
        line::{Line, Shortage},
        slot::{OTHERS, Slot},
        unix_now,
    },
    error::Error,
    snapshot::budgets::{Budget, Spender},
    stage::{decode::Call, route::Plan},
};

use most::Most;
use refusal::Refusal;
use reserved::{Held, Reserved};

/// A call waits no longer than this for money that is in the hands of others.
const RETURNS: Duration = Duration::from_millis(500);

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
    let until = Instant::now() + RETURNS;
    let held = loop {
        match take(&budgets, &most, spender, until).await {
            Ok(held) => break held,
            Err(refusal) if refusal.is_of_output() && most.halves() => {}
            Err(refusal) => return Err(refusal.error()),
        }
    };
    let cap = most.cap();
    if let Some(tokens) = cap {
        call.cap_output(tokens);
    }
    Ok(Some(Box::new(Reserved::new(held))))
}

/// From each limit, or from none.
async fn take(
    budgets: &[&Arc<Budget>],
    most: &Most<'_, '_>,
    spender: Spender<'_>,
    until: Instant,
) -> Result<SmallVec<[Held; 2]>, Refusal> {
    let now = unix_now();
    let mut taking = Taking::default();
    for budget in budgets {
        let value = budget.value(spender);
        for slot in &budget.limits {
            let line = slot.line(value.as_deref(), now);
            let each = most.of_limit(budget, slot.limit.unit)?;
            taking.0.push(from_line(budget, slot, line, each, until).await?);
        }
    }
    Ok(std::mem::take(&mut taking.0))
}

/// What has been taken for a call that may not be sent after all: it is given back.
#[derive(Default)]
struct Taking(SmallVec<[Held; 2]>);

impl Drop for Taking {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Held::release);
    }
}

async fn from_line(
    budget: &Arc<Budget>,
    slot: &Arc<Slot>,
    line: Arc<Line>,
    each: u64,
    until: Instant,
) -> Result<Held, Refusal> {
    let hold = |reservation| Held::new(budget, slot, line.clone(), each, reservation);
    if let Some(reservation) = line.reserve(each) {
        return Ok(hold(Some(reservation)));
    }
    if budget.enforcement == Enforcement::Audit || budget.on_exceeded == OnExceeded::Warn {
        slot.counts.passed_without();
        return Ok(hold(None));
    }
    match line.wait_for(each, until).await {
        Ok(reservation) => Ok(hold(Some(reservation))),
        Err(Shortage::Unavailable) if budget.on_ledger_unavailable == OnLedgerUnavailable::Allow => {
            slot.counts.passed_without();
            Ok(hold(None))
        }
        Err(Shortage::Full) => {
            let others = slot.line(Some(OTHERS), unix_now());
            Box::pin(from_line(budget, slot, others, each, until)).await
        }
        Err(shortage) => Err(Refusal::short(budget, slot, &line, each, shortage)),
    }
}
