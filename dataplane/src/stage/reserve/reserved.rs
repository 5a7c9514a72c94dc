//! What a call has reserved, and what it takes of that in the end. What nobody can say is taken for all that it may
//! have been, where a budget is strict: a provider may bill an attempt whose answer never came.

use std::sync::Arc;

use llm_config::budget::Enforcement;
use llm_dialect::reply::Usage;
use llm_ledger::{Amount, place::Unit, purse::Reservation};
use smallvec::SmallVec;

use crate::{
    budget::{line::Line, slot::Slot, unix_now},
    money::cost,
    snapshot::{Target, budgets::Budget},
};

/// What a call has reserved, of all limits that it counts for.
#[derive(Debug)]
pub struct Reserved {
    held: SmallVec<[Held; 2]>,
    /// The most tokens of its answer.
    longest: Option<u64>,
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
        slot: &Arc<Slot>,
        line: Arc<Line>,
        each: Amount,
        reservation: Option<Reservation>,
    ) -> Self {
        let reservations = reservation.into_iter().collect();
        Self { budget: budget.clone(), slot: slot.clone(), line, each, reservations, flying: 0, lost: 0 }
    }

    /// Whether it has taken anything.
    pub fn is_covered(&self) -> bool {
        !self.reservations.is_empty()
    }

    /// The call is not sent.
    pub fn release(self) {
        self.charge(0);
    }

    /// Whether there is money for one more attempt. A call is one, however often it is sent.
    fn covers_another(&mut self) -> bool {
        let attempts = usize::try_from(self.flying + self.lost + 1).unwrap_or(usize::MAX);
        let passes = self.reservations.is_empty() || self.slot.limit.unit == Unit::Requests;
        while !passes && self.reservations.len() < attempts {
            // One that is over has given back what it had.
            let now = unix_now();
            let next = self.line.is_over(now).then(|| self.slot.line(self.line.place.value.as_deref(), now));
            let line = next.as_ref().unwrap_or(&self.line);
            let Some(another) = line.reserve(self.each) else {
                self.slot.counts.refused_another();
                return false;
            };
            self.reservations.push(another);
        }
        true
    }

    fn charge(self, used: Amount) {
        if self.reservations.is_empty() && used > 0 {
            self.line.purse().charge(used);
        }
        // Each takes a part from where it was reserved: two may be of different lines.
        let (mut rest, last) = (used, self.reservations.len().saturating_sub(1));
        for (i, reservation) in self.reservations.into_iter().enumerate() {
            let part = if i == last { rest } else { rest.min(reservation.amount()) };
            rest -= part;
            reservation.settle(part);
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
        if self.slot.limit.unit == Unit::Requests {
            return used.max(Amount::from(unknown > 0));
        }
        used.saturating_add(self.each.saturating_mul(Amount::from(unknown)))
    }

    fn amount(&self, target: &Target, usage: Usage) -> Amount {
        match self.slot.limit.unit {
            Unit::Usd => cost(target.price, usage).total,
            Unit::Tokens => usage.input.saturating_add(usage.output),
            Unit::Requests => 1,
        }
    }
}

impl Reserved {
    pub fn new(held: SmallVec<[Held; 2]>, longest: Option<u64>) -> Self {
        Self { held, longest }
    }

    /// The most output that a strict budget has reserved of a target's tokens; `None` where none has.
    pub fn longest(&self, target: &Target) -> Option<u64> {
        let is_held = |held: &Held| {
            let Held { budget, slot, reservations, .. } = held;
            budget.enforcement == Enforcement::Strict
                && slot.limit.unit != Unit::Requests
                && !reservations.is_empty()
                && budget.counts_target(target)
        };
        self.longest.filter(|_| self.held.iter().any(is_held))
    }

    /// What counts when a target is asked.
    fn counting(&mut self, target: &Target) -> impl Iterator<Item = &mut Held> {
        self.held.iter_mut().filter(|held| held.budget.counts_target(target))
    }

    /// Whether one more attempt may be sent: it may be billed besides those before it.
    ///
    /// # Errors
    /// The budget that has too little left for it.
    pub fn covers_another(&mut self, target: &Target) -> Result<(), Arc<str>> {
        for held in self.counting(target) {
            if !held.covers_another() {
                return Err(held.budget.name.clone());
            }
        }
        Ok(())
    }

    /// An attempt goes out.
    pub fn asks(&mut self, target: &Target) {
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
    pub fn settle(self, target: Option<&Target>, outcome: Outcome) {
        for held in self.held {
            let used = held.used(target, outcome);
            held.charge(used);
        }
    }
}
