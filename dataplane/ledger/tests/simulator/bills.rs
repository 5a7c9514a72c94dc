//! What may be billed, and what must hold of it.

use llm_ledger::Amount;
use llm_ledger::account::Totals;

use crate::proxy::Share;
use crate::world::World;

/// What may be billed of one account.
#[derive(Clone, Copy, Default)]
pub struct Bill {
    /// What all proxies that there are may be billed, and those that are gone.
    pub exposure: Amount,
    /// Of proxies that are gone: what they were billed, and what may still be.
    pub gone: Amount,
    /// The limit, or what was gone of a higher one when it was lowered.
    pub cap: Amount,
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
        let spent = self.proxies.iter().map(|proxy| proxy.shares[account].lease.purse().spent());
        self.bills[account].gone + spent.sum::<Amount>()
    }

    /// The limit of a ledger is this now. What is committed of a higher one, there or elsewhere, is so already.
    pub(crate) fn limited(&mut self, ledger: usize, limit: Amount) {
        let split = self.now < self.split_until;
        for (account, bill) in self.bills.iter_mut().enumerate() {
            let unknown = self.stored.values.map_or(0, |(ceiling, _)| ceiling);
            let committed = self.ledgers[ledger].totals(&self.places[account]);
            let committed = committed.as_ref().map_or(unknown, Totals::committed).max(limit);
            bill.cap = if split { bill.cap.max(committed) } else { committed };
        }
    }

    pub(crate) fn check(&self, whole: bool) -> Result<(), String> {
        for (account, Bill { exposure, cap, .. }) in self.bills.iter().enumerate() {
            if exposure > cap {
                return Err(format!("{exposure} may be billed of a limit of {cap} of account {account}"));
            }
        }
        if !whole {
            return Ok(());
        }
        for (account, bill) in self.bills.iter().enumerate() {
            let shares = self.proxies.iter().map(|proxy| &proxy.shares[account]);
            let exposure = bill.gone + shares.map(Share::exposure).sum::<Amount>();
            assert_eq!(exposure, bill.exposure, "the simulator's own account");
        }
        for ledger in &self.ledgers {
            if !ledger.is_balanced() {
                return Err(format!("an account is not the sum of its parts: {ledger:?}"));
            }
            for (account, place) in self.places.iter().enumerate() {
                if let Some(totals) = ledger.totals(place) {
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
        let (stored, exposure) = (self.stored.ceiling(account), self.bills[account].exposure);
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
