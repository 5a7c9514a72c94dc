//! The purse of one limit in one window, for one value, and its calls that wait for money.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use llm_ledger::{
    Amount, Holder, Millis,
    account::{Answer, Left},
    lease::Lease,
    place::Place,
    purse::{Purse, Reservation},
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::slot::Slot;
use crate::clock;

/// What the ledger said lately is taken for true for so long.
const FRESH: Millis = 1_000;
/// Milliseconds by which a clock may be set back without another look at the calendar.
const SET_BACK: i64 = 5_000;
/// How often a call that waits looks whether the ledger has left its lease without an answer.
const LOOK: Duration = Duration::from_millis(10);

/// The line.
#[derive(Debug)]
pub struct Line {
    pub place: Place,
    /// Gone where no configuration has the limit any more.
    pub slot: Weak<Slot>,
    /// The first moment behind the window, in milliseconds since 1970.
    ends: Option<i64>,
    purse: Arc<Purse>,
    lease: Mutex<Lease>,
    /// Rung with each answer of the ledger.
    heard: Notify,
    told: Told,
    /// What calls that wait would reserve together.
    wanted: AtomicU64,
    /// The ledger keeps no account of this value's own.
    full: AtomicBool,
    /// To be rung when a call waits.
    bell: Arc<Notify>,
    /// The revision of the limit that the ledger was told last, where it is kept in this process.
    pub agreed: AtomicU64,
    /// It is being told now.
    pub agreeing: AtomicBool,
}

/// What the ledger said last of all who share the limit.
#[derive(Debug, Default)]
struct Told {
    limit: AtomicU64,
    free: AtomicU64,
    spent: AtomicU64,
    /// By this process's clock, and 1 at least; 0: never.
    at: AtomicU64,
}

/// Why a call gets no money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// It is spent.
    Spent,
    /// What is not spent is in the hands of others' calls, and did not come back in time.
    Held,
    /// The ledger does not answer.
    Unavailable,
    /// The value has no limit of its own: it shares that of further ones.
    Full,
}

impl Line {
    pub fn new(
        place: Place,
        ends: Option<i64>,
        slot: Weak<Slot>,
        bell: Arc<Notify>,
        timeout: Duration,
    ) -> Self {
        let timeout = Millis::try_from(timeout.as_millis()).unwrap_or(Millis::MAX);
        let lease = Lease::new(Holder(fastrand::u64(..)), now()).with_timeout(timeout);
        Self {
            place,
            slot,
            ends,
            purse: lease.purse().clone(),
            lease: Mutex::new(lease),
            heard: Notify::new(),
            told: Told::default(),
            wanted: AtomicU64::new(0),
            full: AtomicBool::new(false),
            bell,
            agreed: AtomicU64::new(0),
            agreeing: AtomicBool::new(false),
        }
    }

    /// Whether this is the window of that moment. A clock that was ahead and is set back must not spend from the next one.
    pub fn is_open(&self, unix_now: i64) -> bool {
        unix_now >= self.place.start.saturating_mul(1_000) - SET_BACK && !self.is_over(unix_now)
    }

    pub fn is_over(&self, unix_now: i64) -> bool {
        self.ends.is_some_and(|ends| unix_now >= ends)
    }

    /// Whether the ledger has not been spoken to for so long.
    pub fn rests_for(&self, how_long: Duration) -> bool {
        let since = now().saturating_sub(self.told.at.load(Acquire));
        u128::from(since) >= how_long.as_millis()
    }

    /// How long until it is over.
    pub fn ends_in(&self, unix_now: i64) -> Option<Duration> {
        let left = self.ends?.saturating_sub(unix_now);
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    pub fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }

    pub fn purse(&self) -> &Arc<Purse> {
        &self.purse
    }

    pub fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this process has drawn and not spent.
    pub fn held(&self) -> Amount {
        self.lease().drawn().saturating_sub(self.purse.spent())
    }

    /// What is known of all who share the limit; `None` before the ledger has said anything.
    pub fn left(&self) -> Option<Left> {
        (self.told.at.load(Acquire) > 0).then(|| Left {
            limit: self.told.limit.load(Relaxed),
            free: self.told.free.load(Relaxed),
            spent: self.told.spent.load(Relaxed),
            short: None,
        })
    }

    /// The ledger has answered.
    pub fn answered(&self, answer: &Answer) {
        match answer {
            Answer::Granted { left, .. } => {
                self.told.limit.store(left.limit, Relaxed);
                self.told.free.store(left.free, Relaxed);
                self.told.spent.store(left.spent, Relaxed);
                self.told.at.store(now().max(1), Release);
            }
            Answer::Full => self.full.store(true, Relaxed),
            Answer::Stale | Answer::Moved(_) | Answer::Closed => {}
        }
        self.lease().answered(answer, now());
        self.heard.notify_waiters();
    }

    /// Sets an amount aside, without waiting.
    pub fn reserve(&self, amount: Amount) -> Option<Reservation> {
        self.purse.reserve(amount)
    }

    /// The same, and waits for money where there may be some: for an answer of the ledger as long as its lease does, and
    /// where it has answered that others hold what is left, until `until`.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn wait_for(&self, amount: Amount, until: Instant) -> Result<Reservation, Shortage> {
        let since = now().saturating_sub(FRESH);
        if self.is_spent(amount, since) {
            return Err(Shortage::Spent);
        }
        let _waiting = Waiting::begin(self, amount);
        loop {
            let heard = self.heard.notified();
            let unanswered = {
                let mut lease = self.lease();
                lease.wait_for(amount);
                lease.crowds(self.wanted.load(Relaxed));
                lease.is_unanswered(now())
            };
            self.bell.notify_one();
            if let Some(reservation) = self.purse.reserve(amount) {
                return Ok(reservation);
            }
            if self.is_full() {
                return Err(Shortage::Full);
            }
            if self.is_spent(amount, since) {
                return Err(Shortage::Spent);
            }
            if unanswered {
                return Err(Shortage::Unavailable);
            }
            let now = Instant::now();
            if now >= until {
                return Err(Shortage::Held);
            }
            // That there is no answer is not told by one.
            let _either = timeout_at(until.min(now + LOOK), heard).await;
        }
    }

    /// Whether the ledger has said since then that there is not so much that nobody has spent.
    fn is_spent(&self, amount: Amount, since: Millis) -> bool {
        let at = self.told.at.load(Acquire);
        at > since
            && self.told.limit.load(Relaxed).saturating_sub(self.told.spent.load(Relaxed)) < amount
            && self.purse.available() < amount
    }

    /// Whether nobody would miss it: its calls are over, and the ledger knows of all.
    pub fn is_settled(&self) -> bool {
        // Its own, and the lease's: each reservation has one too.
        const OWN: usize = 2;
        Arc::strong_count(&self.purse) == OWN && self.lease().is_settled()
    }
}

/// A call that waits; what it waits for is asked for no longer than it does.
struct Waiting<'a> {
    line: &'a Line,
    amount: Amount,
}

impl<'a> Waiting<'a> {
    fn begin(line: &'a Line, amount: Amount) -> Self {
        line.wanted.fetch_add(amount, Relaxed);
        Self { line, amount }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.line.wanted.fetch_sub(self.amount, Relaxed);
        // What others wait for they say again: the lease knows the least that anybody did.
        self.line.lease().wait_no_more();
    }
}

/// The time by which leases go.
pub fn now() -> Millis {
    Millis::try_from(clock::now().as_millis()).unwrap_or(Millis::MAX)
}
