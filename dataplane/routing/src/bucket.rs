//! The rate limit of a vendor's quota per minute. Apart from the retries' budget because it is a promise
//! to someone else: over it the vendor refuses, and may count what it refused.

use std::time::Duration;

use crate::word::Word;

const MINUTE: Duration = Duration::from_secs(60);
const MINUTE_NANOS: u64 = 60_000_000_000;
/// How far a debt may put off the next call.
const DEBT_MAX: u64 = 2 * MINUTE_NANOS;

/// An allowance per minute, of calls or of tokens.
///
/// In no 60 seconds is more taken, less what is given back in them, than `per_minute`: wherever the
/// vendor's minute begins, it holds. So what is saved up in quiet times (a tenth, at least one) and what
/// comes back within a minute must be the quota *together*; the price is that a steady load gets nine
/// tenths of it. More than a tenth at once is let through when the bucket has been full for as long as
/// that more takes to come back; loads of such pieces alone get less, down to a little under a half.
///
/// `now` is the time since some epoch of the process; the bound holds for the times as they were passed
/// in, in whatever order. `per_minute` may differ from call to call: what was taken before keeps the
/// time to come back that it was taken at.
///
/// It is GCRA: the one thing stored is when all that was taken is back.
#[derive(Debug)]
pub struct Bucket {
    /// In nanoseconds, plus a minute: a new bucket has been full for that long.
    full: Word,
}

impl Default for Bucket {
    fn default() -> Self {
        Self::new()
    }
}

fn nanos(now: Duration) -> u64 {
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).saturating_add(MINUTE_NANOS)
}

/// How long `n` takes to come back, and how long what may be saved up: in nanoseconds, either rounded
/// to the safe side. `per_minute` is not zero.
///
/// Less than a whole one over the quota within less than 60 seconds is none over it, so what is saved up
/// and what comes back may be one more than the quota: a quota of one would never come back without. A
/// hundredth of that one goes to what is saved up, lest it be short by the nanoseconds of the rounding.
fn times(n: u64, per_minute: u64) -> (u64, u64) {
    let burst = (per_minute / 10).max(1);
    let hundredths = |n: u64| u128::from(n) * 100;
    let rate = hundredths(per_minute - burst) + 99;
    let back = (hundredths(n) * u128::from(MINUTE_NANOS)).div_ceil(rate);
    let saved = (hundredths(burst) + 1) * u128::from(MINUTE_NANOS) / rate;
    (u64::try_from(back).unwrap_or(u64::MAX), u64::try_from(saved).unwrap_or(u64::MAX))
}

/// When the bucket is full after `n` more; else, in nanoseconds, how long until `n` fits.
fn take(full: u64, n: u64, per_minute: u64, now: u64) -> Result<u64, u64> {
    let (back, saved) = times(n, per_minute);
    // The bucket may have been full since before now, which is what more than is saved up needs.
    match full.saturating_add(back).saturating_sub(now.saturating_add(saved)) {
        0 => Ok(full.max(now).saturating_add(back)),
        early => Err(early),
    }
}

impl Bucket {
    /// One that has been full for long.
    #[must_use]
    pub const fn new() -> Self {
        Self { full: Word::new(0) }
    }

    /// Takes `n`, all or nothing. More than `per_minute` is taken as `per_minute`: whether it is too
    /// much is for the vendor to say, and here it must not wait for ever.
    ///
    /// # Errors
    /// How long until `n` fits if nothing else is taken meanwhile: up to a minute after all that was
    /// taken is back. Nobody queues: a large `n` may lose to small ones again and again. Of a quota of
    /// zero nothing fits; it is worth another look in a minute.
    pub fn take(&self, n: u64, per_minute: u64, now: Duration) -> Result<(), Duration> {
        if n == 0 {
            return Ok(());
        }
        if per_minute == 0 {
            return Err(MINUTE);
        }
        self.full.change(|full| match take(full, n.min(per_minute), per_minute, nanos(now)) {
            Ok(next) => (next, Ok(())),
            Err(early) => (full, Err(Duration::from_nanos(early))),
        })
    }

    /// Of what was taken, `n` was not used.
    pub fn give_back(&self, n: u64, per_minute: u64) {
        if per_minute > 0 {
            let (back, _) = times(n.min(per_minute), per_minute);
            self.full.change(|full| (full.saturating_sub(back), ()));
        }
    }

    /// `n` more was used than was taken. Whoever comes next waits for it: up to two minutes, what is
    /// owed beyond is forgotten.
    pub fn charge(&self, n: u64, per_minute: u64, now: Duration) {
        if per_minute > 0 {
            let (now, (back, _)) = (nanos(now), times(n, per_minute));
            self.full.change(|full| {
                let next = full.max(now).saturating_add(back).min(now.saturating_add(DEBT_MAX));
                (next.max(full), ())
            });
        }
    }
}

#[cfg(test)]
mod tests;
