//! What a proxy may spend now, shared by its calls: two words, changed without a lock.

use std::sync::{
    Arc,
    atomic::{
        AtomicI64, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

use crate::Amount;

/// A proxy's share of one limit.
#[derive(Debug, Default)]
pub struct Purse {
    /// Neither reserved nor spent. Below zero where a call cost more than it had reserved.
    available: AtomicI64,
    /// Ever, in this window. It grows before what a call leaves becomes available: who reads both takes no
    /// part of a call for free.
    spent: AtomicU64,
    /// The largest call of late. One that is refused will not come back for a slice of its size.
    largest: AtomicU64,
}

/// What a call may cost. One that is dropped has cost all of it: nobody has said otherwise.
#[derive(Debug)]
#[must_use = "a call that is not settled costs all that it reserved"]
pub struct Reservation {
    purse: Arc<Purse>,
    amount: Amount,
}

impl Purse {
    /// Sets an amount aside; `None` where there is not so much.
    pub fn reserve(self: &Arc<Self>, amount: Amount) -> Option<Reservation> {
        let wanted = i64::try_from(amount).ok()?;
        // Nothing can be had from a purse that owes, too.
        let enough = |available: i64| (wanted == 0 || available >= wanted).then(|| available - wanted);
        self.available.fetch_update(AcqRel, Acquire, enough).ok()?;
        if self.largest.load(Relaxed) < amount {
            self.largest.fetch_max(amount, Relaxed);
        }
        Some(Reservation { purse: self.clone(), amount })
    }

    /// A call that has reserved nothing has cost this, be it there or not: what comes next pays for it.
    pub fn charge(&self, used: Amount) {
        self.settle(0, used);
    }

    /// What calls could reserve now.
    pub fn available(&self) -> Amount {
        u64::try_from(self.available.load(Acquire)).unwrap_or(0)
    }

    /// What calls have cost.
    pub fn spent(&self) -> Amount {
        self.spent.load(Acquire)
    }

    /// The largest call since `take_largest` was asked.
    pub(crate) fn largest(&self) -> Amount {
        self.largest.load(Relaxed)
    }

    /// The largest call since this was last asked.
    pub(crate) fn take_largest(&self) -> Amount {
        self.largest.swap(0, Relaxed)
    }

    pub(crate) fn put(&self, amount: Amount) {
        self.available.fetch_add(i64::try_from(amount).unwrap_or(i64::MAX), AcqRel);
    }

    /// Takes out up to so much of what is available; gives how much that was.
    pub(crate) fn take(&self, most: Amount) -> Amount {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let taken = |available: i64| available.clamp(0, most);
        let before =
            self.available.fetch_update(AcqRel, Acquire, |available| Some(available - taken(available)));
        u64::try_from(before.map_or(0, taken)).unwrap_or(0)
    }

    fn settle(&self, reserved: Amount, used: Amount) {
        self.spent.fetch_add(used, AcqRel);
        let signed = |amount: Amount| i64::try_from(amount).unwrap_or(i64::MAX);
        self.available.fetch_add(signed(reserved).saturating_sub(signed(used)), AcqRel);
    }
}

impl Reservation {
    /// Whether it was set aside there.
    #[must_use]
    pub fn is_of(&self, purse: &Arc<Purse>) -> bool {
        Arc::ptr_eq(&self.purse, purse)
    }

    /// The most that it was for.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// The call is over and has cost this.
    pub fn settle(mut self, used: Amount) {
        self.purse.settle(self.amount, used);
        self.amount = 0;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.purse.settle(self.amount, self.amount);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn calls_at_once_never_reserve_more_than_there_is() {
        let purse = Arc::new(Purse::default());
        purse.put(1_000);
        let kept: Vec<Vec<Reservation>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| std::iter::from_fn(|| purse.reserve(7)).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let reserved: Amount = kept.iter().flatten().map(Reservation::amount).sum();
        assert_eq!((reserved, purse.available()), (994, 6));
        for reservation in kept.into_iter().flatten() {
            reservation.settle(2);
        }
        assert_eq!((purse.spent(), purse.available()), (284, 716));
    }

    #[test]
    fn a_call_that_nobody_settles_has_cost_all_and_one_that_ran_past_is_owed() {
        let purse = Arc::new(Purse::default());
        purse.put(10);
        drop(purse.reserve(4).unwrap());
        assert_eq!((purse.spent(), purse.available()), (4, 6));
        purse.reserve(6).unwrap().settle(9);
        assert_eq!((purse.spent(), purse.available(), purse.take(5)), (13, 0, 0));
        // What comes next pays for it.
        purse.put(5);
        assert_eq!((purse.available(), purse.take(9), purse.available()), (2, 2, 0));
        purse.charge(3);
        purse.put(4);
        assert_eq!((purse.spent(), purse.available(), purse.take(1)), (16, 1, 1));
        assert_eq!(purse.take_largest(), 6);
        assert!(purse.reserve(8).is_none());
        assert_eq!(purse.take_largest(), 0);
    }
}
