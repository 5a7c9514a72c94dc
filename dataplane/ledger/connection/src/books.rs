//! The accounts of an embedded ledger, and which of them have changed since they were kept.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use llm_ledger::{
    Amount, Epoch, Millis,
    account::{Answer, Beginning, Checkpoint, Statement, Totals},
    accounts::{Accounts, Spenders},
    place::Place,
};
use tokio::sync::broadcast;

use crate::Unanswered;

pub(crate) struct Books {
    accounts: Accounts,
    recalls: broadcast::Sender<Arc<str>>,
    now: Millis,
}

impl Books {
    pub(crate) fn in_memory(recalls: broadcast::Sender<Arc<str>>) -> Self {
        Self { accounts: Accounts::default(), recalls, now: 0 }
    }

    pub(crate) fn name(&self) -> Arc<str> {
        "the ledger of this process".into()
    }

    /// The time of all that is done until it is read again.
    pub(crate) fn read_clock(&mut self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    }

    pub(crate) fn state(&mut self, place: &Place, statement: &Statement) -> Answer {
        let (answer, asks) = self.accounts.state(place, statement, self.now);
        if asks {
            // Nobody listens, perhaps.
            let _heard = self.recalls.send(place.key().into());
        }
        answer
    }

    pub(crate) fn open(&mut self, root: &Place, epoch: Epoch, kept: Millis) -> bool {
        self.accounts.open(root, epoch, kept, self.now)
    }

    pub(crate) fn begin(&mut self, place: &Place, beginning: &Beginning, kept: Millis) -> bool {
        self.accounts.begin(place, beginning, kept, self.now)
    }

    pub(crate) fn secure(&mut self, place: &Place, checkpoint: &Checkpoint) -> Option<Amount> {
        self.accounts.secure(place, checkpoint, self.now)
    }

    pub(crate) fn totals(&self, place: &Place) -> Option<Totals> {
        self.accounts.totals(place)
    }

    pub(crate) fn values(&self, root: &Place, most: usize) -> Spenders {
        self.accounts.values(root, most)
    }

    pub(crate) fn kept_within(&self) -> Option<Duration> {
        None
    }

    pub(crate) fn keep(&mut self) -> Result<(), Unanswered> {
        Ok(())
    }

    pub(crate) fn keep_what_must_be(&mut self) -> Result<(), Unanswered> {
        Ok(())
    }
}
