//! What has been asked of the ledger, counted, and what became of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Kind, Unanswered};

/// Counts since the connection was made, of all its clones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    pub state: u64,
    pub open: u64,
    pub begin: u64,
    pub secure: u64,
    pub totals: u64,
    pub values: u64,
    /// Of these, those without an answer, by [`Kind`].
    pub timeout: u64,
    pub disconnected: u64,
    pub refused: u64,
}

#[derive(Clone, Copy)]
pub(crate) enum Verb {
    State,
    Open,
    Begin,
    Secure,
    Totals,
    Values,
}

#[derive(Default)]
pub(crate) struct Counters {
    verbs: [AtomicU64; 6],
    kinds: [AtomicU64; 3],
}

impl Counters {
    pub(crate) fn count<T>(&self, verb: Verb, result: Result<T, Unanswered>) -> Result<T, Unanswered> {
        self.verbs[verb as usize].fetch_add(1, Relaxed);
        result.inspect_err(|unanswered| _ = self.kinds[unanswered.kind as usize].fetch_add(1, Relaxed))
    }

    pub(crate) fn read(&self) -> Operations {
        let verb = |verb: Verb| self.verbs[verb as usize].load(Relaxed);
        let kind = |kind: Kind| self.kinds[kind as usize].load(Relaxed);
        Operations {
            state: verb(Verb::State),
            open: verb(Verb::Open),
            begin: verb(Verb::Begin),
            secure: verb(Verb::Secure),
            totals: verb(Verb::Totals),
            values: verb(Verb::Values),
            timeout: kind(Kind::Timeout),
            disconnected: kind(Kind::Disconnected),
            refused: kind(Kind::Refused),
        }
    }
}
