//! The ledger of a run, and the one that some still take for it.

use llm_ledger::account::{Answer, Checkpoint, Statement};
use llm_ledger::accounts::Accounts;
use llm_ledger::{Epoch, Millis};

use crate::broken::Broken;
use crate::network::{Reply, Request};
use crate::world::World;

const KEPT: Millis = 1 << 40;

impl World {
    pub(crate) fn hear(&mut self, ledger: usize, account: usize, mut statement: Statement) -> Answer {
        let seq = statement.seq;
        if self.broken == Some(Broken::StatementsCountTwice) {
            // Later than any.
            statement.seq += self.now * 1_000;
        }
        let now = self.now + self.clocks[ledger];
        let (mut answer, asks) = self.ledgers[ledger].state(&self.places[account], &statement, now);
        if let Answer::Granted { seq: told, .. } = &mut answer {
            *told = seq;
        }
        // Whoever is not cut off hears it at once.
        if asks {
            for index in 0..self.proxies.len() {
                let proxy = &mut self.proxies[index];
                if self.now >= proxy.cut_until {
                    proxy.shares[account].lease.recall();
                }
            }
        }
        answer
    }

    pub(crate) fn serve(&mut self, index: usize, request: Request) -> Reply {
        let now = self.now + self.clocks[index];
        let ledger = &mut self.ledgers[index];
        let root = self.places.len() - 1;
        match request {
            Request::Look => {
                Reply::Standing(self.places.iter().map(|place| ledger.totals(place, now)).collect())
            }
            Request::Open(epoch) => Reply::Opened(ledger.open(&self.places[root], epoch, KEPT, now)),
            Request::Begin(account, mut beginning) => {
                let over = self.broken == Some(Broken::BeginsOverWhatHasBegun) && account == root;
                if over {
                    *ledger = Accounts::default();
                }
                if (over || self.broken == Some(Broken::BeginsWhatIsNotOpened))
                    && let Some(at) = ledger.open(&self.places[root], beginning.epoch, KEPT, now)
                {
                    beginning.opened_at = at;
                }
                let begun = ledger.begin(&self.places[account], &beginning, KEPT, now);
                self.tell(|| format!("ledger {index} begins {account}: {beginning:?}: {begun}"));
                if begun && account == root {
                    self.limited(index, beginning.limit);
                }
                Reply::Done(begun)
            }
            Request::Secure(account, mut checkpoint) => {
                if self.broken == Some(Broken::OlderCheckpointsCount)
                    && let Some(totals) = ledger.totals(&self.places[account], now)
                {
                    checkpoint.revision = checkpoint.revision.max(totals.revision + 1);
                }
                let before = ledger.totals(&self.places[root], now).map(|totals| totals.limit);
                let ceiling = ledger.secure(&self.places[account], &checkpoint, now);
                self.tell(|| format!("ledger {index} secures {account}: {checkpoint:?}: {ceiling:?}"));
                let Checkpoint { limit, .. } = checkpoint;
                if account == root && ceiling.is_some() && before != Some(limit) {
                    self.limited(index, limit);
                }
                Reply::Secured(account, ceiling)
            }
        }
    }

    /// What is said of a dead proxy's, or a silent one's, by a ledger that grants it again.
    pub(crate) fn take_back(&mut self, account: usize, last: Statement, seq: u64) {
        let (ledger, now) = (&mut self.ledgers[self.current], self.now + self.clocks[self.current]);
        let epoch = ledger.totals(&self.places[account], now).map_or(Epoch(0), |totals| totals.epoch);
        let given_back = Statement { seq, epoch, drawn: last.spent, want: 0, need: 0, ..last };
        ledger.state(&self.places[account], &given_back, now);
    }
}
