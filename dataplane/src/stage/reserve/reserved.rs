//! What a call has reserved, and what it takes of that in the end. What nobody can say is taken for all that it may
//! have been, where a budget is strict: a provider may bill an attempt whose answer never came.

use std::sync::Arc;

use llm_config::budget::Enforcement;
use llm_dialect::reply::Usage;
use llm_ledger::{Amount, place::Unit, purse::Reservation};
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{
    patience::Patience,
    refusal::Refusal,
    taking::{AtHand, Taken, USUAL, Want, Wants},
};
use crate::{
    budget::{
        line::{Line, Shortage},
        slot::Slot,
        unix_now,
    },
    money::cost,
    snapshot::{Target, budgets::Budget},
};

/// What a call has reserved, of all limits that it counts for.
#[derive(Debug)]
pub struct Reserved {
    held: Taken,
    /// The most tokens of its answer that strict limits were asked for, whoever answers.
    pub longest_of_any: Option<u64>,
    /// Of one more attempt, whichever target it would go to.
    patience: Option<Patience>,
}

/// Of one limit.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    /// Its place among the budget's.
    limit: usize,
    line: Arc<Line>,
    /// What one attempt may take.
    each: Amount,
    /// One for each attempt that is covered, and `None` for a further one that passes without money; empty where the call does.
    reservations: SmallVec<[Option<Reservation>; 1]>,
    /// Attempts that count here and have not ended.
    flying: u32,
    /// Those that may be billed, and whose answer never came.
    lost: u32,
}

/// What is known of the attempt that a call ended with.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// The provider's own figure.
    Reported(Usage),
    /// It broke off, and this was seen of it.
    Seen(Usage),
    /// Its provider ran past what was reserved and was cut off; this was seen of it.
    Cut(Usage),
    /// No provider bills it.
    Nothing,
}

impl Held {
    pub fn new(
        budget: &Arc<Budget>,
        limit: usize,
        line: Arc<Line>,
        each: Amount,
        reservation: Option<Reservation>,
    ) -> Self {
        let mut reservations = SmallVec::new();
        if reservation.is_some() {
            reservations.push(reservation);
        }
        Self { budget: budget.clone(), limit, line, each, reservations, flying: 0, lost: 0 }
    }

    fn slot(&self) -> &Arc<Slot> {
        &self.budget.limits[self.limit]
    }

    /// Whether it has taken anything.
    pub fn is_covered(&self) -> bool {
        !self.reservations.is_empty()
    }

    /// It is sent without.
    pub fn passes(&self) {
        self.slot().counts.passed_without();
    }

    /// The call is not sent.
    pub fn release(mut self) {
        self.charge(0);
    }

    /// Whether one more attempt needs no more than it has. A call is one, however often it is sent.
    fn covers_another(&self) -> bool {
        let passes = self.reservations.is_empty() || self.line.unit == Unit::Requests;
        passes || self.reservations.len() > self.begun()
    }

    /// Attempts that may be billed.
    fn begun(&self) -> usize {
        usize::try_from(self.flying + self.lost).unwrap_or(usize::MAX)
    }

    /// What one more attempt takes, of the line that is there by then.
    fn another(&self) -> Want<'_> {
        let Self { budget, limit, each, .. } = self;
        let line = self.slot().line(self.line.place.value.as_deref(), unix_now());
        let is_own = |reservation: &&Reservation| reservation.is_of(line.purse());
        let own = self.reservations.iter().flatten().filter(is_own).map(Reservation::amount).sum();
        Want { budget, limit: *limit, line, each: *each, own }
    }

    /// What was taken for one more attempt is its own.
    fn add(&mut self, mut another: Self) {
        self.reservations.push(another.reservations.pop().flatten());
    }

    /// The attempt for which more was taken is not sent.
    fn give_back(&mut self) {
        while self.reservations.len() > self.begun().max(1) {
            if let Some(spare) = self.reservations.pop().flatten() {
                spare.settle(0);
                self.line.freed();
            }
        }
    }

    /// For good: nothing is reserved any more.
    fn charge(&mut self, used: Amount) {
        // Each takes a part from where it was reserved: two may be of different lines.
        let (mut rest, last) = (used, self.reservations.iter().rposition(Option::is_some));
        for (i, reservation) in self.reservations.iter_mut().enumerate() {
            let Some(reservation) = reservation.take() else { continue };
            let part = if last == Some(i) { rest } else { rest.min(reservation.amount()) };
            rest -= part;
            reservation.settle(part);
        }
        if rest > 0 {
            self.line.purse().charge(rest);
        }
        self.line.freed();
    }

    /// What the end of a call takes of it.
    fn used(&self, target: Option<&Target>, outcome: Outcome) -> Amount {
        let target = target.filter(|target| self.budget.counts_target(target));
        let mut unknown = self.flying + self.lost;
        let strict = self.budget.enforcement == Enforcement::Strict;
        let known = match outcome {
            Outcome::Reported(usage) => Some(usage),
            Outcome::Seen(usage) if !strict => Some(usage),
            Outcome::Cut(usage) => Some(usage),
            Outcome::Seen(_) | Outcome::Nothing => None,
        };
        let mut used = 0;
        // Between two tries there is nothing that has been seen.
        if let (Some(usage), Some(target), true) = (known, target, self.flying > 0) {
            unknown = unknown.saturating_sub(1);
            used = self.amount(target, usage);
            // It has had all of it, whatever is seen.
            if strict && matches!(outcome, Outcome::Cut(_)) {
                used = used.max(self.each);
            }
        }
        if self.line.unit == Unit::Requests {
            return used.max(Amount::from(unknown > 0));
        }
        used.saturating_add(self.each.saturating_mul(Amount::from(unknown)))
    }

    fn amount(&self, target: &Target, usage: Usage) -> Amount {
        match self.line.unit {
            Unit::Usd => cost(target.price, usage).total,
            Unit::Tokens => usage.input.saturating_add(usage.output),
            Unit::Requests => 1,
        }
    }
}

impl Reserved {
    pub fn new(held: Taken, longest_of_any: Option<u64>) -> Box<Self> {
        Box::new(Self { held, longest_of_any, patience: None })
    }

    /// The most output that a strict budget has reserved of a target's tokens; `None` where none has.
    pub fn longest(&self, target: &Target) -> Option<u64> {
        let is_held = |held: &Held| {
            let Held { budget, line, reservations, .. } = held;
            budget.enforcement == Enforcement::Strict
                && line.unit != Unit::Requests
                && !reservations.is_empty()
                && budget.counts_target(target)
        };
        self.longest_of_any.filter(|_| self.held.iter().any(is_held))
    }

    /// What counts when a target is asked.
    fn counting(&mut self, target: &Target) -> impl Iterator<Item = &mut Held> {
        self.held.iter_mut().filter(|held| held.budget.counts_target(target))
    }

    /// What has too little for one more attempt: that may be billed besides those before it.
    fn short(&self, target: &Target) -> impl Iterator<Item = (usize, &Held)> {
        let held = self.held.iter().enumerate();
        held.filter(|(_, held)| !held.covers_another() && held.budget.counts_target(target))
    }

    /// Whether one more attempt needs no more than the call has.
    pub fn covers_another(&self, target: &Target) -> bool {
        self.short(target).next().is_none()
    }

    /// Takes what one more attempt needs where all of it is at hand; whether it was.
    pub fn another_at_hand(&mut self, target: &Target) -> bool {
        let (places, Wants(wants)) = self.wants(target);
        let mut at_hand = AtHand::default();
        let has_all = wants.into_iter().all(|want| at_hand.takes(want));
        if !has_all {
            return false;
        }
        let taken = at_hand.all();
        self.add(&places, taken);
        true
    }

    /// Takes what one more attempt needs, and waits for it as the first has, though not beyond the call's deadline.
    ///
    /// # Errors
    /// The first limit that has too little.
    pub async fn another(&mut self, target: &Target, deadline: Instant) -> Result<(), Refusal> {
        let all = self.patience.unwrap_or_else(Patience::begin);
        let mut patience = Patience { until: all.until.min(deadline), ..all };
        let (places, wants) = self.wants(target);
        let taken = wants.take(&mut patience).await;
        drop(wants);
        self.patience = Some(Patience { until: all.until, ..patience });
        self.add(&places, taken?);
        Ok(())
    }

    /// What was taken for one more attempt, which is not sent after all, goes back.
    pub fn give_back(&mut self) {
        self.held.iter_mut().for_each(Held::give_back);
    }

    /// The call has no more time in which its ledgers could answer: the first limit that is asked for more.
    pub fn unanswered(&self, target: &Target) -> Option<Refusal> {
        let (_, held) = self.short(target).next()?;
        let Held { budget, line, each, .. } = held;
        Some(Refusal::short(budget, held.slot(), line, *each, Shortage::Unavailable))
    }

    fn wants(&self, target: &Target) -> (SmallVec<[usize; USUAL]>, Wants<'_>) {
        let (places, wants) = self.short(target).map(|(place, held)| (place, held.another())).unzip();
        (places, Wants(wants))
    }

    fn add(&mut self, places: &[usize], taken: Taken) {
        for (place, another) in places.iter().zip(taken) {
            self.held[*place].add(another);
        }
    }

    /// An attempt goes out.
    pub fn asks(&mut self, target: &Target) {
        self.patience = None;
        self.counting(target).for_each(|held| held.flying += 1);
    }

    /// An attempt has ended that nobody bills.
    pub fn costs_nothing(&mut self, target: &Target) {
        self.counting(target).for_each(|held| held.flying = held.flying.saturating_sub(1));
    }

    /// An attempt has ended without its answer: it may be billed.
    pub fn loses(&mut self, target: &Target) {
        self.counting(target).for_each(|held| {
            held.flying = held.flying.saturating_sub(1);
            held.lost += 1;
        });
    }

    /// The call is over.
    pub fn settle(mut self: Box<Self>, target: Option<&Target>, outcome: Outcome) {
        for held in &mut self.held {
            let used = held.used(target, outcome);
            held.charge(used);
        }
    }
}

#[cfg(test)]
mod tests;
