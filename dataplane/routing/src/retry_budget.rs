//! How many calls may be tried again. Apart from the breakers because it guards against the opposite:
//! a fault that is everyone's, where retries would multiply the load on what is left.

use std::time::Duration;

use crate::word::Word;

/// How much is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Retries in a hundred calls.
    pub percent: u32,
    /// Retries per second whatever the calls, so that where a call comes now and then it can be
    /// retried too.
    pub floor: u32,
}

impl Default for Settings {
    /// A fifth, and one per second: ten at once after ten quiet seconds, which harms no vendor.
    fn default() -> Self {
        Self { percent: 20, floor: 1 }
    }
}

/// How long the floor's allowance is saved up.
const SAVED: Duration = Duration::from_secs(10);
/// In seconds: what a call earns is lost when the slice after its own ends.
const SLICE: u64 = 5;
/// 24 bits: 2.6 years, after which a slice has its number again.
const SLICES: u64 = 1 << 24;
/// Of a slice, in hundredths of a retry: 52 000 calls at a fifth. What is earned over it is lost.
const EARNED_MAX: u64 = (1 << 20) - 1;
const RETRY: u64 = 100;

/// What the calls of the current slice and of the one before have earned and no retry has spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Earned {
    number: u64,
    current: u64,
    before: u64,
}

impl Earned {
    fn pack(self) -> u64 {
        self.number << 40 | self.current << 20 | self.before
    }

    fn unpack(word: u64) -> Self {
        Self { number: word >> 40, current: word >> 20 & EARNED_MAX, before: word & EARNED_MAX }
    }

    fn at(self, now: Duration) -> Self {
        let number = now.as_secs() / SLICE % SLICES;
        match number.wrapping_sub(self.number) % SLICES {
            0 => self,
            1 => Self { number, current: 0, before: self.current },
            // Of a thread that read its clock before the slice began.
            ahead if ahead == SLICES - 1 => self,
            _ => Self { number, current: 0, before: 0 },
        }
    }

    fn deposit(self, percent: u32) -> Self {
        Self { current: (self.current + u64::from(percent)).min(EARNED_MAX), ..self }
    }

    fn withdraw(self) -> Option<Self> {
        // The older first: it is lost sooner.
        let from_before = self.before.min(RETRY);
        let current = self.current.checked_sub(RETRY - from_before)?;
        Some(Self { current, before: self.before - from_before, ..self })
    }
}

/// When the floor's allowance is saved up again, in nanoseconds: one retry puts it off by its part of
/// a second. `None` if that is too far away for another.
fn withdraw_floor(full: u64, now: Duration, floor: u32) -> Option<u64> {
    let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    let each = 1_000_000_000_u64.div_ceil(u64::from(floor).max(1));
    let next = full.max(now).saturating_add(each);
    let saved = u64::try_from(SAVED.as_nanos()).unwrap_or(u64::MAX);
    (floor > 0 && next <= now.saturating_add(saved)).then_some(next)
}

/// A budget for retries. `now` is the time since some epoch of the process.
///
/// In any time from `a` to `b` there are at most
///
/// ```text
/// percent / 100 × (calls from a − 10 s to b)  +  floor × (b − a + 10 s)
/// ```
///
/// retries, and from the beginning at most `percent / 100 × calls + floor × (b + 10 s)`. Calls that
/// went well pay for those of the next five to ten seconds that do not; what they paid is then lost, so
/// that an hour without a fault buys no storm.
#[derive(Debug)]
pub struct RetryBudget {
    settings: Settings,
    earned: Word,
    /// See [`withdraw_floor`].
    floor: Word,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl RetryBudget {
    /// One whose floor is saved up.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self { settings, earned: Word::new(0), floor: Word::new(0) }
    }

    /// For each call, not for its retries.
    pub fn deposit(&self, now: Duration) {
        self.earned.change(|word| {
            let earned = Earned::unpack(word).at(now).deposit(self.settings.percent);
            (earned.pack(), ())
        });
    }

    /// Whether a call may be tried again; takes the retry out of the budget then.
    #[must_use = "the retry is taken out"]
    pub fn withdraw(&self, now: Duration) -> bool {
        let earned = self.earned.change(|word| match Earned::unpack(word).at(now).withdraw() {
            Some(earned) => (earned.pack(), true),
            None => (word, false),
        });
        earned
            || self.floor.change(|word| match withdraw_floor(word, now, self.settings.floor) {
                Some(next) => (next, true),
                None => (word, false),
            })
    }
}

#[cfg(test)]
mod tests;
