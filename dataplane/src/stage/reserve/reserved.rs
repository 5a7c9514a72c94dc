//! What a call has reserved, and what it takes of that in the end. What nobody can say is taken for all that it may
//! have been, where a budget is strict: a provider may bill an attempt whose answer never came.

use std::sync::Arc;

use llm_config::budget::Enforcement;
use llm_dialect::reply::Usage;
use llm_ledger::{Amount, place::Unit, purse::Reservation};
use smallvec::SmallVec;

use crate::{
    budget::{line::Line, slot::Slot},
    money::cost,
    snapshot::{Target, budgets::Budget},
};

/// What a call has reserved, of all limits that it counts for.
#[derive(Debug)]
pub struct Reserved {
    held: SmallVec<[Held; 2]>,
    /// Attempts that have not ended.
    flying: u32,
    /// Attempts that may be billed, and whose answer never came.
    lost: u32,
}

/// Of one limit.
#[derive(Debug)]
pub struct Held {
    budget: Arc<Budget>,
    slot: Arc<Slot>,
    line: Arc<Line>,
    /// What one attempt may take.
    each: Amount,
    /// One for each attempt that is covered; none where the call passes without money.
    reservations: SmallVec<[Reservation; 1]>,
}

/// What is known of the attempt that a call ended with.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// The provider's own figure.
    Reported(Usage),
    /// It broke off, and this was seen of it.
    Seen(Usage),
    /// No provider bills it.
    Nothing,
}

impl Held {
    pub fn new(
        budget: &Arc<Budget>,
        slot: &Arc<Slot>,
        line: Arc<Line>,
        each: Amount,
        reservation: Option<Reservation>,
    ) -> Self {
        let reservations = reservation.into_iter().collect();
        Self { budget: budget.clone(), slot: slot.clone(), line, each, reservations }
    }

    /// The call is not sent.
    pub fn release(self) {
        self.charge(0);
    }

    /// Whether there is money for so many attempts. A call is one, however often it is sent.
    fn covers(&mut self, attempts: usize) -> bool {
        let passes = self.reservations.is_empty() || self.slot.limit.unit == Unit::Requests;
        while !passes && self.reservations.len() < attempts {
            let Some(another) = self.line.reserve(self.each) else { return false };
            self.reservations.push(another);
        }
        true
    }

    fn charge(self, used: Amount) {
        let mut reservations = self.reservations.into_iter();
        match reservations.next() {
            Some(first) => first.settle(used),
            None if used > 0 => self.line.purse().charge(used),
            None => {}
        }
        reservations.for_each(|further| further.settle(0));
    }

    /// What the end of a call takes of it.
    fn used(&self, target: Option<&Target>, outcome: Outcome, mut unknown: u32) -> Amount {
        let strict = self.budget.enforcement == Enforcement::Strict;
        let known = match outcome {
            Outcome::Reported(usage) => Some(usage),
            Outcome::Seen(usage) if !strict => Some(usage),
            Outcome::Seen(_) | Outcome::Nothing => None,
        };
        let mut used = 0;
        if let (Some(usage), Some(target)) = (known, target) {
            unknown = unknown.saturating_sub(1);
            used = self.amount(target, usage);
        }
        if self.slot.limit.unit == Unit::Requests {
            return used.max(Amount::from(unknown > 0));
        }
        used.saturating_add(self.each.saturating_mul(Amount::from(unknown)))
    }

    fn amount(&self, target: &Target, usage: Usage) -> Amount {
        if !self.budget.counts_target(target) {
            return 0;
        }
        match self.slot.limit.unit {
            Unit::Usd => cost(target.price, usage).total,
            Unit::Tokens => usage.input.saturating_add(usage.output),
            Unit::Requests => 1,
        }
    }
}

impl Reserved {
    pub fn new(held: SmallVec<[Held; 2]>) -> Self {
        Self { held, flying: 0, lost: 0 }
    }

    /// Whether one more attempt may be sent: it may be billed besides those before it.
    pub fn covers_another(&mut self) -> bool {
        let attempts = usize::try_from(self.flying + self.lost + 1).unwrap_or(usize::MAX);
        self.held.iter_mut().all(|held| held.covers(attempts))
    }

    /// An attempt goes out.
    pub fn asks(&mut self) {
        self.flying += 1;
    }

    /// An attempt has ended that nobody bills.
    pub fn costs_nothing(&mut self) {
        self.flying = self.flying.saturating_sub(1);
    }

    /// An attempt has ended without its answer: it may be billed.
    pub fn loses(&mut self) {
        self.flying = self.flying.saturating_sub(1);
        self.lost += 1;
    }

    /// The call is over.
    pub fn settle(self, target: Option<&Target>, outcome: Outcome) {
        let unknown = self.flying + self.lost;
        for held in self.held {
            let used = held.used(target, outcome, unknown);
            held.charge(used);
        }
    }
}
