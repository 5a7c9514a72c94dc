//! Calls that wait for money of a line.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::Ordering::{Acquire, Relaxed},
    },
    time::Duration,
};

use llm_ledger::{Amount, Millis, lease::RETRY, purse::Reservation};
use tokio::time::{Instant, timeout_at};

use super::{FRESH, Line, Told, now};
use crate::budget::unix_now;

/// How often a call that waits has the ledger asked again.
const AGAIN: Duration = Duration::from_millis(RETRY);

/// Why a call gets no money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// It is spent, or the call has it itself.
    Spent,
    /// What is not spent is in the hands of others' calls, and did not come back in time.
    Held,
    /// The ledger does not answer.
    Unavailable,
    /// The value has no limit of its own: it shares that of further ones.
    Full,
    /// The line's time is over: there is another.
    Over,
}

/// What calls wait for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    amounts: BTreeMap<Amount, u32>,
    together: Amount,
}

impl Waiting {
    pub fn comes(&mut self, amount: Amount) {
        *self.amounts.entry(amount).or_default() += 1;
        self.together = self.together.saturating_add(amount);
    }

    pub fn leaves(&mut self, amount: Amount) {
        if let Some(count) = self.amounts.get_mut(&amount) {
            *count -= 1;
            if *count == 0 {
                self.amounts.remove(&amount);
            }
        }
        self.together = self.together.saturating_sub(amount);
    }

    /// The least that is of use, and what would serve all.
    pub fn needs(&self) -> (Amount, Amount) {
        (self.amounts.keys().next().copied().unwrap_or(0), self.together)
    }
}

/// A call that the ledger has been asked for; for no longer than there is this.
#[derive(Debug)]
pub struct Asked {
    pub line: Arc<Line>,
    pub(super) amount: Amount,
    /// What it has reserved here already.
    pub(super) own: Amount,
    pub(super) at: Millis,
    /// Since when the call waits for an answer that has not come, of this ledger or another.
    pub since: Millis,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.line.waiters.fetch_sub(1, Relaxed);
        self.line.waits(|waiting| waiting.leaves(self.amount));
    }
}

impl Asked {
    /// Waits for money where there may be some: for an answer of the ledger no longer than its lease would, and where it
    /// has answered that others hold what is left, until `until`.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn money(&self, until: Instant) -> Result<Reservation, Shortage> {
        let Self { line, amount, .. } = self;
        loop {
            let heard = line.heard.notified();
            if let Some(reservation) = line.purse.reserve(*amount) {
                return Ok(reservation);
            }
            if line.is_full() {
                return Err(Shortage::Full);
            }
            if line.is_over(unix_now()) {
                return Err(Shortage::Over);
            }
            if self.is_spent() {
                return Err(Shortage::Spent);
            }
            let (this, millis, is_answered) = (Instant::now(), now(), self.is_answered());
            let gives_up_at = self.gives_up_at(millis, is_answered);
            let gives_up = gives_up_at.is_some_and(|at| millis >= at);
            // What others hold comes back by the ledger, and from nobody else; what calls of this process do, at once.
            if gives_up && !(is_answered && this < until && self.is_held_here()) {
                return Err(Shortage::Unavailable);
            }
            if is_answered && this >= until {
                return Err(Shortage::Held);
            }
            let mut again = this + AGAIN;
            if is_answered {
                again = again.min(until);
            }
            if let Some(at) = gives_up_at.filter(|_| !gives_up) {
                again = again.min(this + Duration::from_millis(at - millis));
            }
            line.bell.ring(line);
            // That there is no answer is not told by one.
            let _either = timeout_at(again, heard).await;
        }
    }

    /// Whether the ledger has said anything since it was asked.
    pub fn is_answered(&self) -> bool {
        self.line.has_answered_since(self.at)
    }

    /// When it has waited for an answer for as long as it may, where it waits for one; a ledger that is silent gets none
    /// of its time.
    fn gives_up_at(&self, now: Millis, is_answered: bool) -> Option<Millis> {
        let lease = self.line.lease();
        if lease.is_silent(now) {
            return Some(now);
        }
        let since = if is_answered { lease.unanswered_since()?.max(self.at) } else { self.since };
        Some(since + self.line.timeout())
    }

    /// Whether other calls of this process have so much between them.
    fn is_held_here(&self) -> bool {
        let Self { line, amount, own, .. } = self;
        line.held() >= amount.saturating_add(*own)
    }

    /// Whether the ledger has said lately that there is not so much that nobody has spent, nor this call for itself.
    pub(super) fn is_spent(&self) -> bool {
        let Self { line, amount, own, at, .. } = self;
        let Told { limit, spent, at: told_at, .. } = &line.told;
        told_at.load(Acquire) > at.saturating_sub(FRESH)
            && limit.load(Relaxed).saturating_sub(spent.load(Relaxed)) < amount.saturating_add(*own)
            && line.purse.available() < *amount
    }
}

#[cfg(test)]
mod tests;
