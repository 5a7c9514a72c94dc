//! What this process may spend of limits that it shares with others: a purse in memory for each limit, window and
//! value, and one task that fills them from the ledger. It outlives configurations: what a call has reserved under the
//! last one is money all the same.
//!
//! - [`line`]: the purse of one limit in one window, for one value.
//! - [`slot`]: one limit over its windows and values.
//! - [`bell`]: what a call that finds its purse empty rings.
//! - [`keeper`]: the task that speaks to the ledger.

pub mod bell;
pub mod keeper;
pub mod line;
pub mod slot;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwapOption;
use llm_config::{self as config, Document, Ledger};
use llm_ledger::{lease, window::CalendarError};
use llm_ledger_connection::{Connection, Operations};

use bell::Bell;
use line::Line;
use slot::{Slot, SlotKey};

/// No call waits longer for a ledger that does not answer.
const TIMEOUT: Duration = Duration::from_millis(lease::TIMEOUT);
/// One within this process answers when its disk has; there is none else to ask.
const EMBEDDED_TIMEOUT: Duration = Duration::from_secs(2);

/// All purses of this process.
#[derive(Debug, Default)]
pub struct Purses {
    slots: Mutex<HashMap<SlotKey, Weak<Slot>>>,
    /// What the keeper looks after.
    lines: Mutex<Vec<Arc<Line>>>,
    bell: Arc<Bell>,
    connection: ArcSwapOption<Connected>,
    /// Where a ledger within this process keeps what must not be lost; `None`: in memory.
    directory: Option<PathBuf>,
}

/// The ledger, and what leads there.
#[derive(Debug)]
struct Connected {
    settings: Option<Ledger>,
    connection: Connection,
}

impl Purses {
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self { directory, ..Self::default() }
    }

    /// One limit of a budget, as it was in the last configuration where it was there.
    pub fn slot(
        self: &Arc<Self>,
        name: &Arc<str>,
        budget: &config::Budget,
        limit: config::budget::Limit,
    ) -> Result<Arc<Slot>, CalendarError> {
        let key = SlotKey::of(budget, limit);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&key).and_then(Weak::upgrade) {
            return Ok(slot);
        }
        let slot = Slot::new(name.clone(), &key, self)?;
        slots.insert(key, Arc::downgrade(&slot));
        Ok(slot)
    }

    /// Goes to the ledger that a document names, or keeps it here where it names none. What purses hold stays in them:
    /// the next statement of each tells the ledger, be it the same by another password or another one.
    ///
    /// # Errors
    /// Why it can't be had.
    pub fn connect(&self, document: &Document) -> Result<(), String> {
        if document.budgets.is_empty() {
            return Ok(());
        }
        let now = self.connection.load();
        if now.as_ref().is_some_and(|now| now.settings == document.ledger) {
            return Ok(());
        }
        let connection = match &document.ledger {
            Some(Ledger::Redis(redis)) => Connection::redis(redis),
            None => Connection::embedded(self.directory.as_deref())
                .map(|connection| connection.with_timeout(EMBEDDED_TIMEOUT)),
        };
        let mut connection = connection.map_err(|problem| format!("ledger: {problem}"))?;
        if let Some(now) = now.as_ref() {
            connection = connection.instead_of(&now.connection);
        }
        let settings = document.ledger.clone();
        self.connection.store(Some(Arc::new(Connected { settings, connection })));
        Ok(())
    }

    /// What was asked of the ledger that is in use.
    pub fn operations(&self) -> Option<Operations> {
        self.connection.load().as_ref().map(|connected| connected.connection.operations())
    }

    /// How long an answer of the ledger is waited for.
    fn timeout(&self) -> Duration {
        let embedded = self.connection.load().as_ref().is_some_and(|now| now.settings.is_none());
        if embedded { EMBEDDED_TIMEOUT } else { TIMEOUT }
    }

    /// Forgets limits that no configuration has any more.
    pub fn forget_unused(&self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| slot.strong_count() > 0);
    }

    /// The limits in force.
    pub fn slots(&self) -> Vec<Arc<Slot>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().filter_map(Weak::upgrade).collect()
    }

    fn look_after(&self, line: &Arc<Line>) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
        self.bell.ring(line);
    }
}

/// Milliseconds since 1970: windows are those of the calendar.
pub fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
