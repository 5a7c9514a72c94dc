//! Money from several limits at once: a call gets it from each of them, or from none.
//!
//! What all have at hand is taken without a wait, and all that are short are asked for together. Where others hold what is
//! left, calls wait for one limit after the other, in the order that all calls have, with nothing in hand of those behind
//! it: else two of them could each hold what the other waits for, and neither would be sent.
//!
//! A call that wants one more attempt keeps what its lost ones have reserved. That is as good as spent, by whoever goes first:
//! it is nothing that another could wait for. What is new is taken in order, as for the first attempt. All that two calls can
//! keep from each other is what they have to spare of limits that their next attempts do not count for, and no longer than
//! the wait of either, which is bounded.

use std::sync::Arc;

use llm_config::budget::{Enforcement, OnExceeded, OnLedgerUnavailable};
use llm_ledger::purse::Reservation;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::{patience::Patience, refusal::Refusal, reserved::Held};
use crate::{
    budget::{
        line::{Asked, Line, Shortage},
        slot::{OTHERS, Slot},
        unix_now,
    },
    snapshot::budgets::Budget,
};

/// What a call may take of one limit.
#[derive(Clone)]
pub struct Want<'a> {
    pub budget: &'a Arc<Budget>,
    /// Its place among the budget's.
    pub limit: usize,
    pub line: Arc<Line>,
    /// By each attempt.
    pub each: u64,
    /// What the call has reserved of this line for attempts before.
    pub own: u64,
}

/// Limits of a call that take no allocation.
pub const USUAL: usize = 4;

/// What a call may take of all limits that it counts for.
#[derive(Default)]
pub struct Wants<'a>(pub SmallVec<[Want<'a>; USUAL]>);

/// What it has taken of each.
pub type Taken = SmallVec<[Held; USUAL]>;

/// What has been taken so far, by the places of the wants. It is given back where the call is not sent after all.
#[derive(Default)]
struct Taking(SmallVec<[Option<Held>; USUAL]>);

impl Drop for Taking {
    fn drop(&mut self) {
        self.0.drain(..).flatten().for_each(Held::release);
    }
}

/// What is taken without a wait, from each limit or from none. Nearly all calls find it so.
#[derive(Default)]
pub struct AtHand(Taken);

impl AtHand {
    /// Whether it is there.
    #[inline]
    pub fn takes(&mut self, want: Want<'_>) -> bool {
        let held = want.at_hand();
        let is_there = held.is_some();
        if let Some(held) = held {
            self.0.push(held);
        }
        is_there
    }

    pub fn all(mut self) -> Taken {
        count_passing(&self.0);
        std::mem::take(&mut self.0)
    }
}

impl Drop for AtHand {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Held::release);
    }
}

impl Wants<'_> {
    /// From each limit, or from none.
    ///
    /// # Errors
    /// The first that has too little.
    pub async fn take(&self, patience: &mut Patience) -> Result<Taken, Refusal> {
        let Self(wants) = self;
        let mut taking = Taking::default();
        // All that are short are asked for before any is waited for.
        let mut short: SmallVec<[(usize, Asked); 1]> = SmallVec::new();
        for (place, want) in wants.iter().enumerate() {
            taking.0.push(want.clone().at_hand());
            if taking.0[place].is_none() {
                short.push((place, want.ask(patience)));
            }
        }
        let mut short = short.into_iter();
        while let Some((place, asked)) = short.next() {
            let had = wants[place].had(&asked, Instant::now(), patience).await;
            if matches!(&had, Err(refusal) if refusal.is_of_held()) {
                drop(short);
                taking.in_order(wants, place, asked, patience).await?;
                break;
            }
            taking.0[place] = Some(had?);
        }
        Ok(taking.all())
    }
}

fn count_passing(taken: &Taken) {
    taken.iter().filter(|held| !held.is_covered()).for_each(Held::passes);
}

impl Taking {
    fn all(mut self) -> Taken {
        let taken = std::mem::take(&mut self.0).into_iter().flatten().collect();
        count_passing(&taken);
        taken
    }

    /// Waits for what others hold, from this place on, for which the ledger has answered already.
    async fn in_order(
        &mut self,
        wants: &[Want<'_>],
        from: usize,
        asked: Asked,
        patience: &mut Patience,
    ) -> Result<(), Refusal> {
        for (want, held) in wants.iter().zip(&mut self.0).skip(from) {
            // Nobody waits for what passes without, too.
            if want.waits()
                && let Some(held) = held.take_if(|held| held.is_covered())
            {
                held.release();
            }
        }
        let (mut asked, until) = (Some(asked), patience.until);
        for (want, held) in wants.iter().zip(&mut self.0).skip(from).filter(|(_, held)| held.is_none()) {
            *held = match (asked.take(), want.clone().at_hand()) {
                (_, Some(held)) => Some(held),
                (Some(asked), None) => Some(want.had(&asked, until, patience).await?),
                (None, None) => Some(want.had(&want.ask(patience), until, patience).await?),
            };
        }
        Ok(())
    }
}

impl Want<'_> {
    fn held(&self, line: Arc<Line>, reservation: Option<Reservation>) -> Held {
        Held::new(self.budget, self.limit, line, self.each, reservation)
    }

    fn slot(&self) -> &Arc<Slot> {
        &self.budget.limits[self.limit]
    }

    fn ask(&self, patience: &Patience) -> Asked {
        self.line.ask(self.each, self.own, patience.unanswered_since)
    }

    /// Without a wait; `None` where there is one.
    #[inline]
    fn at_hand(self) -> Option<Held> {
        let reservation = self.line.reserve(self.each);
        if reservation.is_none() && self.waits() {
            return None;
        }
        let Self { budget, limit, line, each, .. } = self;
        Some(Held::new(budget, limit, line, each, reservation))
    }

    /// Whether a call that finds nothing waits for it.
    fn waits(&self) -> bool {
        self.budget.enforcement != Enforcement::Audit && self.budget.on_exceeded != OnExceeded::Warn
    }

    /// Once the ledger has said whether there is any: for what others hold it is waited until then.
    async fn had(&self, asked: &Asked, until: Instant, patience: &mut Patience) -> Result<Held, Refusal> {
        let money = asked.money(until).await;
        let is_unanswered = matches!(money, Err(Shortage::Unavailable)) || !asked.is_answered();
        patience.unanswered_since = is_unanswered.then_some(asked.since);
        let shortage = match money {
            Ok(reservation) => return Ok(self.held(asked.line.clone(), Some(reservation))),
            Err(shortage) => shortage,
        };
        match shortage {
            Shortage::Unavailable if self.budget.on_ledger_unavailable == OnLedgerUnavailable::Allow => {
                Ok(self.held(asked.line.clone(), None))
            }
            // Another line has its money: that of all further values, or that of the next window.
            Shortage::Full | Shortage::Over => {
                let is_over = shortage == Shortage::Over;
                let value = if is_over { asked.line.place.value.as_deref() } else { Some(OTHERS) };
                let other = self.slot().line(value, unix_now());
                if let Some(reservation) = other.reserve(self.each) {
                    return Ok(self.held(other, Some(reservation)));
                }
                let asked = other.ask(self.each, 0, patience.unanswered_since);
                Box::pin(self.had(&asked, until, patience)).await
            }
            shortage => Err(Refusal::short(self.budget, self.slot(), &asked.line, self.each, shortage)),
        }
    }
}

#[cfg(test)]
mod tests;
