//! Money for a call before it is sent: from each limit that it counts for, or it is not sent. It takes no hop: what a
//! call reserves lies in this process's purses, and only one that finds too little there waits for the ledger.

mod most;
mod refusal;
pub mod reserved;

use std::{sync::Arc, time::Duration};

use llm_config::budget::{Enforcement, OnExceeded, OnLedgerUnavailable};
use llm_dialect::surface::Task;
use llm_ledger::purse::Reservation;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::{
    budget::{
        line::{Asked, Line, Shortage},
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
    let (cap, longest) = (most.cap(), most.longest());
    if let Some(tokens) = cap {
        call.cap_output(tokens);
    }
    Ok(Some(Box::new(Reserved::new(held, longest))))
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
    // All that are short are asked for before any is waited for.
    let mut short: SmallVec<[(Want<'_>, Asked); 1]> = SmallVec::new();
    for budget in budgets {
        let value = budget.value(spender);
        for slot in &budget.limits {
            let line = slot.line(value.as_deref(), now);
            let each = most.of_limit(budget, slot.limit.unit)?;
            let want = Want { budget, slot, each };
            match line.reserve(each) {
                Some(reservation) => taking.0.push(want.held(line, Some(reservation))),
                None if want.waits() => short.push((want, line.ask(each))),
                None => taking.0.push(want.passes(line)),
            }
        }
    }
    for (want, asked) in short {
        taking.0.push(want.had(asked, until).await?);
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

/// What a call may take of one limit.
#[derive(Clone, Copy)]
struct Want<'a> {
    budget: &'a Arc<Budget>,
    slot: &'a Arc<Slot>,
    /// By each attempt.
    each: u64,
}

impl Want<'_> {
    fn held(self, line: Arc<Line>, reservation: Option<Reservation>) -> Held {
        Held::new(self.budget, self.slot, line, self.each, reservation)
    }

    fn passes(self, line: Arc<Line>) -> Held {
        self.slot.counts.passed_without();
        self.held(line, None)
    }

    /// Whether a call that finds nothing waits for it.
    fn waits(self) -> bool {
        self.budget.enforcement != Enforcement::Audit && self.budget.on_exceeded != OnExceeded::Warn
    }

    async fn had(self, asked: Asked, until: Instant) -> Result<Held, Refusal> {
        let shortage = match asked.money(until).await {
            Ok(reservation) => return Ok(self.held(asked.line.clone(), Some(reservation))),
            Err(shortage) => shortage,
        };
        match shortage {
            Shortage::Unavailable if self.budget.on_ledger_unavailable == OnLedgerUnavailable::Allow => {
                Ok(self.passes(asked.line.clone()))
            }
            // Another line has its money: that of all further values, or that of the next window.
            Shortage::Full | Shortage::Over => {
                let is_over = shortage == Shortage::Over;
                let value = if is_over { asked.line.place.value.as_deref() } else { Some(OTHERS) };
                let other = self.slot.line(value, unix_now());
                match other.reserve(self.each) {
                    Some(reservation) => Ok(self.held(other, Some(reservation))),
                    None => Box::pin(self.had(other.ask(self.each), until)).await,
                }
            }
            shortage => Err(Refusal::short(self.budget, self.slot, &asked.line, self.each, shortage)),
        }
    }
}
