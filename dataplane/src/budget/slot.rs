//! One limit of a budget, over its windows and values.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{
            AtomicBool, AtomicI64, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use arc_swap::ArcSwapOption;
use jiff::{SignedDuration, Timestamp};
use llm_config::{
    self as config,
    budget::{Enforcement, Limit, Window},
};
use llm_ledger::{
    Amount, Epoch,
    account::{Beginning, Checkpoint, Left, Values},
    place::{LimitId, Place, Unit},
    window::{Calendar, CalendarError, Period},
};

use super::{
    Purses,
    line::{Line, Shortage},
    unix_now,
};

/// The value of all that have no limit of their own.
pub const OTHERS: &str = "*";

/// Milliseconds in which no room is looked for where there was none: it takes a walk through all values.
const CROWDED: i64 = 500;

/// What makes a limit the same one in another configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlotKey {
    budget: Arc<str>,
    limit: LimitId,
    zone: Box<str>,
}

impl SlotKey {
    pub fn of(budget: &config::Budget, limit: Limit) -> Self {
        let unit = match limit.unit {
            config::budget::Unit::Usd => Unit::Usd,
            config::budget::Unit::Tokens => Unit::Tokens,
            config::budget::Unit::Requests => Unit::Requests,
        };
        let period = match limit.window {
            Window::Hourly => Period::Hourly,
            Window::Daily => Period::Daily,
            Window::Weekly => Period::Weekly,
            Window::Monthly => Period::Monthly,
            Window::Every(seconds) => {
                Period::Every(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
            }
            Window::Rolling(seconds) => {
                Period::Rolling(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
            }
            Window::Total => Period::Total,
        };
        let limit = LimitId { period, unit };
        Self { budget: budget.uid.as_str().into(), limit, zone: budget.time_zone.as_str().into() }
    }
}

/// The limit. In the order as written: what each call looks at lies together.
#[derive(Debug)]
#[repr(C)]
pub struct Slot {
    /// The line that all share.
    shared: ArcSwapOption<Line>,
    pub limit: LimitId,
    /// `namespace/name` of the Budget.
    pub name: Arc<str>,
    budget: Arc<str>,
    calendar: Calendar,
    purses: Weak<Purses>,
    itself: Weak<Self>,
    /// What the configuration says of it; each change has a later revision.
    amount: AtomicU64,
    strict: AtomicBool,
    most_values: AtomicU32,
    revision: AtomicU64,
    values: RwLock<HashMap<Box<str>, Arc<Line>>>,
    /// Who opens a line has it: each is opened once.
    opening: Mutex<()>,
    /// Until then nobody counts the values again: there are too many.
    crowded_until: AtomicI64,
    pub counts: Counts,
}

/// What became of calls at this limit.
#[derive(Debug, Default)]
pub struct Counts {
    /// Refused, by reason.
    pub spent: AtomicU64,
    pub held: AtomicU64,
    pub unavailable: AtomicU64,
    /// Further attempts of a call that were not sent.
    pub another: AtomicU64,
    /// Let pass without money.
    pub unreserved: AtomicU64,
}

impl Counts {
    pub fn refused(&self, shortage: Shortage) {
        let count = match shortage {
            Shortage::Spent => &self.spent,
            Shortage::Held => &self.held,
            Shortage::Unavailable => &self.unavailable,
            Shortage::Full | Shortage::Over => return,
        };
        count.fetch_add(1, Relaxed);
    }

    pub fn refused_another(&self) {
        self.another.fetch_add(1, Relaxed);
    }

    pub fn passed_without(&self) {
        self.unreserved.fetch_add(1, Relaxed);
    }
}

impl Slot {
    pub fn new(name: Arc<str>, key: &SlotKey, purses: &Arc<Purses>) -> Result<Arc<Self>, CalendarError> {
        let calendar = Calendar::new(key.limit.period, &key.zone)?;
        Ok(Arc::new_cyclic(|itself| Self {
            name,
            limit: key.limit,
            budget: key.budget.clone(),
            calendar,
            purses: Arc::downgrade(purses),
            itself: itself.clone(),
            amount: AtomicU64::default(),
            strict: AtomicBool::default(),
            most_values: AtomicU32::default(),
            revision: AtomicU64::default(),
            shared: ArcSwapOption::default(),
            values: RwLock::default(),
            opening: Mutex::default(),
            crowded_until: AtomicI64::default(),
            counts: Counts::default(),
        }))
    }

    /// Takes over what a configuration says.
    pub fn agree(&self, budget: &config::Budget, limit: Limit) {
        let strict = budget.enforcement == Enforcement::Strict;
        let most = if budget.per.is_empty() { 0 } else { budget.max_values };
        let changed = self.amount.swap(limit.amount, Relaxed) != limit.amount;
        let changed = self.strict.swap(strict, Relaxed) != strict || changed;
        let changed = self.most_values.swap(most, Relaxed) != most || changed;
        if changed || self.revision() == 0 {
            self.revise(0);
        }
    }

    /// What it says has a later revision now than any before, and than `known`: those of earlier processes among them.
    pub fn revise(&self, known: u64) {
        let now = u64::try_from(unix_now()).unwrap_or(0);
        let later = now.max(known.saturating_add(1)).max(self.revision() + 1);
        self.revision.store(later, Release);
    }

    /// The line of a value, or the one that all share.
    pub fn line(&self, value: Option<&str>, unix_now: i64) -> Arc<Line> {
        match value {
            None => match &*self.shared.load() {
                Some(line) if line.is_open(unix_now) => line.clone(),
                _ => self.open(None, unix_now),
            },
            Some(value) => {
                let found = self.value(value);
                match found {
                    Some(line) if line.is_full() && value != OTHERS => self.line(Some(OTHERS), unix_now),
                    Some(line) if line.is_open(unix_now) => line,
                    _ => self.open(Some(value), unix_now),
                }
            }
        }
    }

    /// What the ledger said last of it in this window, for who decides by it.
    pub fn left(&self, value: Option<&str>) -> Option<Left> {
        let line = match value {
            None => self.shared.load_full(),
            Some(value) => self.value(value),
        };
        let line = line.filter(|line| line.is_current(unix_now()))?;
        if line.is_full() { self.left(Some(OTHERS)) } else { line.look() }
    }

    fn value(&self, value: &str) -> Option<Arc<Line>> {
        self.values.read().unwrap_or_else(PoisonError::into_inner).get(value).cloned()
    }

    /// How many values have a line in this window, exactly where there are more than twice the most: those of windows that
    /// are over stay until the ledger knows of all that they have spent, and take nobody's place.
    fn open_values(&self, unix_now: i64, most: usize) -> usize {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        if values.len() <= most.saturating_mul(2) {
            return values.len();
        }
        values.values().filter(|line| line.is_open(unix_now)).count()
    }

    fn open(&self, value: Option<&str>, unix_now: i64) -> Arc<Line> {
        let is_own = value.is_some_and(|value| value != OTHERS);
        if is_own && unix_now < self.crowded_until.load(Relaxed) {
            return self.line(Some(OTHERS), unix_now);
        }
        let opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have been here first.
        let found = match value {
            None => self.shared.load_full(),
            Some(value) => self.value(value),
        };
        if let Some(line) = found.as_ref().filter(|line| line.is_open(unix_now)) {
            return line.clone();
        }
        let most = usize::try_from(self.most_values.load(Relaxed)).unwrap_or(usize::MAX);
        // The ledger keeps accounts of so many in a window: of twice as many here, most have none.
        if is_own && self.open_values(unix_now, most) > most.saturating_mul(2) {
            self.crowded_until.store(unix_now.saturating_add(CROWDED), Relaxed);
            drop(opening);
            tracing::debug!(budget = %self.name, value, "shares the limit of further values");
            return self.line(Some(OTHERS), unix_now);
        }
        let now = Timestamp::from_millisecond(unix_now).unwrap_or_default();
        let window = self.calendar.window(now);
        let place = Place {
            budget: self.budget.clone(),
            limit: self.limit,
            start: window.start.as_second(),
            value: value.map(Into::into),
        };
        let purses = self.purses.upgrade();
        let bell = purses.as_ref().map(|purses| purses.bell.clone()).unwrap_or_default();
        let timeout = purses.as_ref().map_or(super::TIMEOUT, |purses| purses.timeout());
        let window = match place.rolling() {
            None => (window.start.as_millisecond(), window.end.map(Timestamp::as_millisecond)),
            Some(rolling) => (unix_now, Some(unix_now.saturating_add_unsigned(rolling.part()))),
        };
        let line = Arc::new(Line::new(place, window, self.itself.clone(), bell, timeout));
        if let Some(before) = found {
            line.follows(&before);
        }
        match value {
            None => self.shared.store(Some(line.clone())),
            Some(value) => {
                let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
                values.insert(value.into(), line.clone());
            }
        }
        if let Some(purses) = purses {
            purses.look_after(&line);
        }
        line
    }

    /// The lines that it has now, with their values.
    pub fn lines(&self) -> Vec<Arc<Line>> {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        self.shared.load_full().into_iter().chain(values.values().cloned()).collect()
    }

    /// Lets go of a line that nobody misses, where no call has it in hand; whether it did.
    pub fn lets_go(&self, line: &Arc<Line>, unix_now: i64) -> bool {
        let is_missed = !line.is_settled() && !line.is_lost(unix_now);
        // The keeper has one; so has this, where the line is the one in use.
        let Some(value) = &line.place.value else {
            let used = self.shared.load().as_ref().is_some_and(|shared| Arc::ptr_eq(shared, line));
            return Arc::strong_count(line) <= 1 + usize::from(used) && !is_missed;
        };
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        let used = values.get(&**value).is_some_and(|used| Arc::ptr_eq(used, line));
        let let_go = Arc::strong_count(line) <= 1 + usize::from(used) && !is_missed;
        if let_go && used {
            values.remove(&**value);
        }
        let_go
    }

    /// Of what the configuration says last.
    pub fn revision(&self) -> u64 {
        self.revision.load(Acquire)
    }

    /// How its accounts begin, and what holds for them now, where the ledger is kept in this process. All of the limit
    /// may be gone by what is stored: that is the ledger itself.
    pub fn beginning(&self) -> (Beginning, Checkpoint) {
        // First the revision: what changes meanwhile has a later one.
        let (epoch, revision) = (Epoch(1), self.revision());
        let (limit, strict): (Amount, bool) = (self.amount.load(Relaxed), self.strict.load(Relaxed));
        let most = u64::from(self.most_values.load(Relaxed));
        let values = (most > 0).then_some(Values { ceiling: limit, gone: 0, most });
        let beginning =
            Beginning { epoch, opened_at: 0, limit, revision: revision - 1, strict, gone: 0, values };
        let values = (most > 0).then_some((limit, most));
        (beginning, Checkpoint { epoch, revision, limit, strict, ceiling: limit, values })
    }
}

#[cfg(test)]
mod tests;
