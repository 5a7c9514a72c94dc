//! What may be billed, and what must hold of it.

use std::collections::VecDeque;

use llm_ledger::account::Totals;
use llm_ledger::{Amount, Millis};

use crate::proxy::{Proxy, Share};
use crate::world::World;

/// What may be billed of one account.
#[derive(Clone, Default)]
pub struct Bill {
    /// When calls began that count, and the most that each can be billed for: all that there were, or of a rolling limit
    /// those of the stretch that ends now.
    calls: VecDeque<(Millis, Amount)>,
    /// So many do not count any more.
    past: u64,
    /// The sum of those that count.
    billed: Amount,
    /// What calls may spend that begin now.
    pub available: Amount,
    /// Of proxies, and parts, that are gone: what they were billed, and what may still be.
    pub gone: Amount,
    /// The limit, or what was gone of a higher one when it was lowered.
    pub cap: Amount,
}

impl Bill {
    pub fn new(cap: Amount) -> Self {
        Self { cap, ..Self::default() }
    }

    /// A call begins; gives its number.
    pub fn begins(&mut self, now: Millis, most: Amount) -> u64 {
        self.calls.push_back((now, most));
        self.billed += most;
        self.past + self.calls.len() as u64 - 1
    }

    /// It has cost no more than this.
    pub fn settles(&mut self, number: u64, cost: Amount) {
        let index = number.checked_sub(self.past).and_then(|index| self.calls.get_mut(index as usize));
        if let Some((_, most)) = index {
            self.billed = self.billed - *most + cost;
            *most = cost;
        }
    }

    /// Calls that began so long ago count no more.
    pub fn passes(&mut self, until: Millis) {
        while let Some(&(_, most)) = self.calls.front().filter(|(at, _)| *at <= until) {
            self.calls.pop_front();
            self.billed -= most;
            self.past += 1;
        }
    }

    /// The most that can be billed.
    pub fn exposure(&self) -> Amount {
        self.billed + self.available
    }
}

impl World {
    /// What can be billed by all accounts from which calls are paid.
    pub fn limit(&self) -> Amount {
        self.payers() as Amount * self.limit
    }

    fn payers(&self) -> usize {
        self.stored.values.map_or(1, |(_, most)| 4.min(most as usize + 1))
    }

    /// What the provider has billed so far.
    pub fn billed(&self) -> Amount {
        (0..self.places.len()).map(|account| self.billed_of(account)).sum()
    }

    pub(crate) fn billed_of(&self, account: usize) -> Amount {
        let shares = self.proxies.iter().flat_map(Proxy::all_shares).filter(|share| share.account == account);
        self.bills[account].gone + shares.map(|share| share.lease.purse().spent()).sum::<Amount>()
    }

    /// The limit of a ledger is this now. What is committed of a higher one, there or elsewhere, is so already.
    pub(crate) fn limited(&mut self, ledger: usize, limit: Amount) {
        let split = self.now < self.split_until;
        for (account, bill) in self.bills.iter_mut().enumerate() {
            let unknown = self.stored.values.map_or(0, |(ceiling, _)| ceiling);
            let committed =
                self.ledgers[ledger].totals(&self.places[account], self.now + self.clocks[ledger]);
            let committed = committed.as_ref().map_or(unknown, Totals::committed).max(limit);
            bill.cap = if split { bill.cap.max(committed) } else { committed };
        }
    }

    pub(crate) fn check(&mut self, whole: bool) -> Result<(), String> {
        for (account, bill) in self.bills.iter().enumerate() {
            let (exposure, cap) = (bill.exposure(), bill.cap);
            if exposure > cap {
                return Err(format!("{exposure} may be billed of a limit of {cap} of account {account}"));
            }
        }
        if !whole {
            return Ok(());
        }
        for (account, bill) in self.bills.iter().enumerate() {
            let available =
                self.proxies.iter().map(|proxy| proxy.shares[account].available()).sum::<Amount>();
            let billed = bill.calls.iter().map(|(_, most)| most).sum::<Amount>();
            assert_eq!((billed, available), (bill.billed, bill.available), "the simulator's own account");
            if self.rolling.is_none() {
                let shares = self.proxies.iter().map(|proxy| &proxy.shares[account]);
                assert_eq!(bill.gone + shares.map(Share::billed).sum::<Amount>(), billed, "the same");
            }
        }
        for index in 0..self.ledgers.len() {
            let (ledger, now) = (&mut self.ledgers[index], self.now + self.clocks[index]);
            if !ledger.is_balanced() {
                return Err(format!("an account is not the sum of its parts: {ledger:?}"));
            }
            let totals: Vec<_> = self.places.iter().map(|place| ledger.totals(place, now)).collect();
            for (account, totals) in totals.into_iter().enumerate() {
                if let Some(totals) = totals {
                    self.check_totals(account, &totals)?;
                }
            }
        }
        Ok(())
    }

    fn check_totals(&self, account: usize, totals: &Totals) -> Result<(), String> {
        if totals.committed() + totals.free != totals.limit.max(totals.committed()) {
            return Err(format!("not all of the limit is somewhere: {totals:?}"));
        }
        // What one of an earlier epoch may still grant is a part of what this one takes for gone.
        if totals.epoch != self.stored.epoch {
            return Ok(());
        }
        let (stored, exposure) = (self.stored.ceiling(account), self.bills[account].exposure());
        if exposure > totals.committed() {
            return Err(format!(
                "{exposure} of account {account} may be billed, and less is committed: {totals:?}"
            ));
        }
        if totals.ceiling > stored {
            return Err(format!("{stored} are stored of account {account}, and more is granted: {totals:?}"));
        }
        Ok(())
    }
}
