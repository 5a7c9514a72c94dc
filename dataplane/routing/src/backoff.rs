//! How long to wait before a call is tried again, and how long its provider asks to. Apart because it
//! is pure arithmetic: no state, the chance is passed in.

use std::time::{Duration, SystemTime};

/// The longest pause that grows by itself; a provider may ask for more.
pub const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The longest that a provider may ask for; more is taken as this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Over how long the waiters are spread that a provider told the same time, at most.
const SPREAD_MAX: Duration = Duration::from_secs(3);

/// The pause before a retry.
///
/// `attempt` counts the retries, 1 before the first; `base` is doubled with each, up to
/// [`PAUSE_MAX`]. Half of that is waited in any case, and of the other half the share that `draw` is
/// of `u64::MAX`: a retry at once would meet what has just failed, and all retries in one instant
/// would be another fault.
///
/// `retry_after`, what the provider asked for, is never undercut. Up to a tenth of it comes on top by
/// `draw`, at least up to `base` and at most up to 3 s, because others were told the same.
#[must_use]
pub fn delay(attempt: u32, base: Duration, retry_after: Option<Duration>, draw: u64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let pause = base.saturating_mul(1 << doublings).min(PAUSE_MAX);
    let half = pause / 2;
    let pause = half + share(pause - half, draw);
    retry_after.map_or(pause, |after| {
        let spread = (after / 10).max(base).min(SPREAD_MAX);
        pause.max(after.saturating_add(share(spread, draw)))
    })
}

/// From nothing to `whole`, as `draw` is from 0 to `u64::MAX`.
fn share(whole: Duration, draw: u64) -> Duration {
    let nanos = whole.as_nanos() * u128::from(draw) / u128::from(u64::MAX);
    u64::try_from(nanos).map_or(whole, Duration::from_nanos)
}

/// What a `Retry-After` asks for, from `now_unix` on; at most [`RETRY_AFTER_MAX`].
///
/// Read are seconds, also with a fraction as some vendors write them, and the one form of HTTP dates
/// that RFC 9110 lets servers send (`Sun, 06 Nov 1994 08:49:37 GMT`). A date that has passed asks for
/// nothing: zero. `None` for anything else, which is then as if it was not there.
#[must_use]
pub fn parse_retry_after(value: &str, now_unix: SystemTime) -> Option<Duration> {
    let value = value.trim_ascii();
    let after = if value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        // Neither a sign nor an exponent nor a name is left to what is parsed here.
        let seconds: f64 = value.parse().ok()?;
        Duration::try_from_secs_f64(seconds.min(RETRY_AFTER_MAX.as_secs_f64())).ok()?
    } else {
        let now = now_unix.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        date(value)?.saturating_sub(now)
    };
    Some(after.min(RETRY_AFTER_MAX))
}

/// An HTTP date, as the time since 1970; zero if it is before.
fn date(value: &str) -> Option<Duration> {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [(&str, u64); 12] = [
        ("Jan", 31),
        ("Feb", 28),
        ("Mar", 31),
        ("Apr", 30),
        ("May", 31),
        ("Jun", 30),
        ("Jul", 31),
        ("Aug", 31),
        ("Sep", 30),
        ("Oct", 31),
        ("Nov", 30),
        ("Dec", 31),
    ];
    let (weekday, rest) = value.split_once(", ")?;
    let mut parts = rest.strip_suffix(" GMT")?.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let mut parts_of_time = time.split(':');
    let mut of_time = || number(parts_of_time.next()?, 2);
    let (hour, minute, second) = (of_time()?, of_time()?, of_time()?);
    if parts.next().is_some() || parts_of_time.next().is_some() || !DAYS.contains(&weekday) {
        return None;
    }
    let (day, year) = (number(day, 2)?, number(year, 4)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let index = MONTHS.iter().position(|(name, _)| *name == month)?;
    let days_of = |index: usize, days: u64| days + u64::from(leap && index == 1);
    let days = days_of(index, MONTHS.get(index)?.1);
    // A leap second is a second like the next.
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let months: u64 = MONTHS.iter().enumerate().take(index).map(|(i, (_, days))| days_of(i, *days)).sum();
    let Some(years) = year.checked_sub(1970) else { return Some(Duration::ZERO) };
    // The leap days up to the end of the year before, less those before 1970.
    let leap_days = (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 - 477;
    let days = years * 365 + leap_days + months + day - 1;
    Some(Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

/// Of exactly so many digits.
fn number(digits: &str, len: usize) -> Option<u64> {
    let all = digits.len() == len && digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
