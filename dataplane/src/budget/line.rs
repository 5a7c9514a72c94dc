//! The purse of one limit in one window, for one value, and its calls that wait for money.

mod asked;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use llm_ledger::{
    Amount, Holder, Millis,
    account::{Answer, Left},
    lease::Lease,
    place::{Place, Unit},
    purse::{Purse, Reservation},
};
use tokio::sync::Notify;

use super::{bell::Bell, slot::Slot};
use crate::clock;

use asked::Waiting;
pub use asked::{Asked, Shortage};

/// What the ledger said lately is taken for true for so long.
const FRESH: Millis = 1_000;
/// Milliseconds by which a clock may be set back without another look at the calendar.
const SET_BACK: i64 = 5_000;
/// Milliseconds after the end of a window in which nobody listens any more to what was spent in it.
const LOST: i64 = 3_600_000;

/// The line. In the order as written: what each call looks at lies together.
#[derive(Debug)]
#[repr(C)]
pub struct Line {
    purse: Arc<Purse>,
    pub unit: Unit,
    /// How many calls wait.
    waiters: AtomicU32,
    /// The first moment of the window, and the first behind it, in milliseconds since 1970. Of a rolling limit: of its part.
    window: (i64, Option<i64>),
    part: Option<Part>,
    pub place: Place,
    /// The name of the place.
    pub key: Box<str>,
    /// Gone where no configuration has the limit any more.
    pub slot: Weak<Slot>,
    lease: Mutex<Lease>,
    /// How long an answer of the ledger is waited for.
    timeout: Duration,
    /// Rung when there may be money: with each answer of the ledger, and where a call leaves some.
    heard: Notify,
    told: Told,
    waiting: Mutex<Waiting>,
    /// Somebody has looked at what the ledger said, since the keeper was here last.
    looked_at: AtomicBool,
    /// The ledger keeps no account of this value's own.
    full: AtomicBool,
    bell: Arc<Bell>,
    /// The keeper is to look at it, and has not yet.
    pub rung: AtomicBool,
    /// The revision of the limit that the ledger was told last, where it is kept in this process.
    pub agreed: AtomicU64,
    /// It is being told now.
    pub agreeing: AtomicBool,
}

/// A part of a rolling limit's length, which is spent as one holder; by a clock that nobody sets.
#[derive(Clone, Copy, Debug)]
struct Part {
    length: Millis,
    over_at: Millis,
    /// From then on what was spent in it counts for nothing. Who told the ledger of it would be taken for somebody new.
    lost_at: Millis,
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

impl Line {
    pub fn new(
        place: Place,
        window: (i64, Option<i64>),
        slot: Weak<Slot>,
        bell: Arc<Bell>,
        timeout: Duration,
    ) -> Self {
        let millis = Millis::try_from(timeout.as_millis()).unwrap_or(Millis::MAX);
        let now = now();
        let part = place.rolling().map(|rolling| Part {
            length: rolling.part(),
            over_at: now + rolling.part(),
            lost_at: now + rolling.length(),
        });
        let lease = Lease::new(Holder(fastrand::u64(..)), now).with_timeout(millis);
        let lease = match part {
            Some(part) => lease.until(part.over_at),
            None => lease,
        };
        Self {
            purse: lease.purse().clone(),
            unit: place.limit.unit,
            waiters: AtomicU32::new(0),
            window,
            part,
            key: place.key().into(),
            place,
            slot,
            lease: Mutex::new(lease),
            timeout,
            heard: Notify::new(),
            told: Told::default(),
            waiting: Mutex::default(),
            looked_at: AtomicBool::new(false),
            full: AtomicBool::new(false),
            bell,
            rung: AtomicBool::new(false),
            agreed: AtomicU64::new(0),
            agreeing: AtomicBool::new(false),
        }
    }

    /// Whether this is the window of that moment. A clock that was ahead and is set back must not spend from the next one.
    pub fn is_open(&self, unix_now: i64) -> bool {
        unix_now >= self.window.0 - SET_BACK && !self.is_over(unix_now)
    }

    /// A machine that slept may have a clock that did too, and another that did not.
    pub fn is_over(&self, unix_now: i64) -> bool {
        self.window.1.is_some_and(|ends| unix_now >= ends)
            || self.part.is_some_and(|part| now() >= part.over_at)
    }

    /// Whether nobody listens any more to what was spent.
    pub fn is_lost(&self, unix_now: i64) -> bool {
        match self.part {
            Some(part) => now() >= part.lost_at,
            None => self.is_over(unix_now - LOST),
        }
    }

    /// Whether what the ledger said of it is of now, if it has said anything. Of a rolling limit it stays so for a while
    /// when no call comes.
    pub fn is_current(&self, unix_now: i64) -> bool {
        let lately = |part: Part| !self.rests_for(Duration::from_millis(part.length));
        self.is_open(unix_now) || self.part.is_some_and(lately)
    }

    /// It takes the place of another of the same rolling limit: what the ledger said to that one holds here.
    pub fn follows(&self, before: &Self) {
        if self.part.is_some() {
            self.told.limit.store(before.told.limit.load(Relaxed), Relaxed);
            self.told.free.store(before.told.free.load(Relaxed), Relaxed);
            self.told.spent.store(before.told.spent.load(Relaxed), Relaxed);
            self.told.at.store(before.told.at.load(Acquire), Release);
            self.agreed.store(before.agreed.load(Relaxed), Relaxed);
        }
    }

    /// Whether the ledger has not been spoken to for so long.
    pub fn rests_for(&self, how_long: Duration) -> bool {
        let since = now().saturating_sub(self.told.at.load(Acquire));
        u128::from(since) >= how_long.as_millis()
    }

    /// How long until the window is over; `None`: it never is.
    pub fn ends_in(&self, unix_now: i64) -> Option<Duration> {
        let left = self.window.1.filter(|_| self.part.is_none())?.saturating_sub(unix_now);
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    /// How long until something of what is spent may be there again; `None`: it never is.
    pub fn comes_back_in(&self, unix_now: i64) -> Option<Duration> {
        let part = self.part.map(|part| Duration::from_millis(part.length));
        part.or_else(|| self.ends_in(unix_now))
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

    /// The same for who decides by it: it is kept fresh for as long as somebody does.
    pub fn look(&self) -> Option<Left> {
        if !self.looked_at.load(Relaxed) {
            self.looked_at.store(true, Relaxed);
        }
        self.left()
    }

    /// Whether somebody has, since this was asked last.
    pub fn was_looked_at(&self) -> bool {
        self.looked_at.swap(false, Relaxed)
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

    /// A call has left some of what it had reserved.
    pub fn freed(&self) {
        if self.waiters.load(Relaxed) > 0 {
            self.heard.notify_waiters();
        }
    }

    /// Has the ledger asked at once for what is not in the purse. What the call has for itself comes back to nobody
    /// before it ends; it waits since then for an answer, where it does already.
    pub fn ask(self: &Arc<Self>, amount: Amount, own: Amount, since: Option<Millis>) -> Asked {
        self.waits(|waiting| waiting.comes(amount));
        self.waiters.fetch_add(1, Relaxed);
        let at = now();
        let asked = Asked { line: self.clone(), amount, own, at, since: since.unwrap_or(at) };
        // What was said a moment ago may settle it.
        if !asked.is_spent() {
            self.bell.ring(self);
        }
        asked
    }

    fn waits(&self, change: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut waiting);
        let (least, together) = waiting.needs();
        self.lease().needs(least, together);
    }

    fn has_answered_since(&self, at: Millis) -> bool {
        self.told.at.load(Acquire) >= at.max(1)
    }

    fn timeout(&self) -> Millis {
        Millis::try_from(self.timeout.as_millis()).unwrap_or(Millis::MAX)
    }

    /// Whether nobody would miss it: its calls are over, and the ledger knows of all.
    pub fn is_settled(&self) -> bool {
        // Its own, and the lease's: each reservation has one too.
        const OWN: usize = 2;
        Arc::strong_count(&self.purse) == OWN && self.lease().is_settled()
    }
}

/// The time by which leases go.
pub fn now() -> Millis {
    Millis::try_from(clock::now().as_millis()).unwrap_or(Millis::MAX)
}
