//! The accounts of an embedded ledger, and which of them have changed since they were kept.
//!
//! What is granted is on disk before it is answered. What only says that less is held or more is spent may wait for a
//! while: a process that is killed before has lost money of its own, and never made any.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use llm_ledger::{
    Amount, Epoch, Millis,
    account::{Answer, Beginning, Checkpoint, Statement, Totals},
    accounts::{Accounts, Spenders},
    place::Place,
};
use tokio::sync::broadcast;

use crate::{
    Kind, Unanswered,
    store::{Change, Store},
};

/// What may wait waits no longer.
const LAZY: Duration = Duration::from_secs(1);
/// Between two attempts to read what is on disk after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Between two looks for windows that are over.
const SWEEP: Duration = Duration::from_secs(3_600);

pub(crate) struct Books {
    accounts: Accounts,
    recalls: broadcast::Sender<Arc<str>>,
    now: Millis,
    store: Option<Store>,
    /// Not kept yet, and since when.
    changed: BTreeSet<Place>,
    changed_at: Option<Instant>,
    /// Something of it must be kept before it is answered.
    urgent: bool,
    /// Why nothing can be kept, and when that was tried last.
    broken: Option<(String, Instant)>,
    works: Arc<AtomicBool>,
    swept_at: Instant,
}

impl Books {
    pub(crate) fn open(
        directory: Option<&Path>,
        recalls: broadcast::Sender<Arc<str>>,
    ) -> Result<Self, String> {
        let (store, records) = directory.map(Store::open).transpose()?.unzip();
        let mut accounts = Accounts::restored(records.unwrap_or_default());
        accounts.bury();
        let mut books = Self {
            accounts,
            recalls,
            now: now(),
            store,
            changed: BTreeSet::new(),
            changed_at: None,
            urgent: false,
            broken: None,
            works: Arc::new(AtomicBool::new(true)),
            swept_at: Instant::now(),
        };
        books.sweep()?;
        Ok(books)
    }

    pub(crate) fn name(&self) -> Arc<str> {
        match &self.store {
            Some(store) => store.file().to_string_lossy().into(),
            None => "the ledger in memory".into(),
        }
    }

    /// Whether what is granted can be kept.
    pub(crate) fn works(&self) -> Arc<AtomicBool> {
        self.works.clone()
    }

    pub(crate) fn state(&mut self, place: &Place, statement: &Statement) -> Answer {
        let (answer, asks) = self.accounts.state(place, statement, self.now);
        match answer {
            Answer::Granted { amount, .. } => self.changed(place, amount > 0),
            Answer::Stale | Answer::Moved(_) | Answer::Closed | Answer::Full => {}
        }
        if asks {
            // Nobody listens, perhaps.
            let _heard = self.recalls.send(place.key().into());
        }
        answer
    }

    pub(crate) fn open_root(&mut self, root: &Place, epoch: Epoch, kept: Millis) -> Option<Millis> {
        let opened = self.accounts.open(root, epoch, kept, self.now);
        self.changed(&root.root(), opened.is_some());
        opened
    }

    pub(crate) fn begin(&mut self, place: &Place, beginning: &Beginning, kept: Millis) -> bool {
        let begun = self.accounts.begin(place, beginning, kept, self.now);
        self.changed(place, begun);
        begun
    }

    pub(crate) fn secure(&mut self, place: &Place, checkpoint: &Checkpoint) -> Option<Amount> {
        let ceiling = self.accounts.secure(place, checkpoint, self.now);
        self.changed(place, ceiling.is_some());
        ceiling
    }

    /// What leaves the account of a rolling limit with it need not be kept: it leaves it in the next life, too.
    pub(crate) fn totals(&mut self, place: &Place) -> Option<Totals> {
        self.accounts.totals(place, self.now)
    }

    pub(crate) fn values(&mut self, root: &Place, most: usize) -> Spenders {
        self.accounts.values(root, most, self.now)
    }

    fn changed(&mut self, place: &Place, urgent: bool) {
        if self.store.is_some() {
            self.changed.insert(place.clone());
            self.changed_at.get_or_insert_with(Instant::now);
            self.urgent |= urgent;
        }
    }

    /// What has changed waits no longer.
    pub(crate) fn hurry(&mut self) {
        self.urgent = true;
    }

    /// How long what has changed may wait yet; `None` where nothing has.
    pub(crate) fn waits(&self) -> Option<Duration> {
        Some(LAZY.saturating_sub(self.changed_at?.elapsed()))
    }

    /// Before some operations: what the time is, and what is on disk if that is not sure.
    pub(crate) fn prepare(&mut self) {
        self.now = now();
        if let (Some((_, tried_at)), Some(store)) = (&self.broken, &mut self.store)
            && tried_at.elapsed() >= RETRY
        {
            match store.reopen() {
                Ok(records) => {
                    self.accounts = Accounts::restored(records);
                    self.broken = None;
                    self.works.store(true, Relaxed);
                    tracing::info!("{}: the ledger is kept again", store.file().display());
                }
                Err(why) => self.broken = Some((why, Instant::now())),
            }
        }
        if self.broken.is_none() && self.swept_at.elapsed() >= SWEEP {
            self.swept_at = Instant::now();
            self.forget();
        }
    }

    /// After them: keeps what must be, or has waited for long; all of it where `all` is asked.
    pub(crate) fn keep(&mut self, all: bool) -> Result<(), Unanswered> {
        let due = all || self.urgent || self.waits().is_some_and(|left| left.is_zero());
        let name = self.name();
        let refused = |why: &str| Err(Unanswered::of(Kind::Refused, &name, why));
        match &mut self.store {
            None => Ok(()),
            // What is on disk is read anew before anything else is done with it.
            Some(_) if let Some((why, _)) = &self.broken => {
                self.changed.clear();
                (self.changed_at, self.urgent) = (None, false);
                refused(why)
            }
            Some(store) if due => {
                let record = |place: Place| -> Change { (place.key(), self.accounts.record(&place)) };
                let changes: Vec<_> = std::mem::take(&mut self.changed).into_iter().map(record).collect();
                (self.changed_at, self.urgent) = (None, false);
                let written = store.write(&changes);
                written.or_else(|why| {
                    tracing::error!("{name}: {why}");
                    self.works.store(false, Relaxed);
                    let refused = refused(&why);
                    self.broken = Some((why, Instant::now()));
                    refused
                })
            }
            Some(_) => Ok(()),
        }
    }

    /// Forgets windows that are over.
    fn forget(&mut self) -> bool {
        let before = self.accounts.places();
        self.accounts.expire(self.now);
        let over = before.iter().filter(|place| self.accounts.record(place).is_none());
        let over: Vec<Place> = over.cloned().collect();
        over.iter().for_each(|place| self.changed(place, false));
        !over.is_empty()
    }

    /// Once at the start: forgets, and takes the room back.
    fn sweep(&mut self) -> Result<(), String> {
        if self.forget() {
            self.keep(true).map_err(|why| why.to_string())?;
            let name = self.name();
            let shrunk = self.store.as_mut().map_or(Ok(()), Store::shrink);
            shrunk.map_err(|why| format!("{name}: {why}"))?;
        }
        Ok(())
    }
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
