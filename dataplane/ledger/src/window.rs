//! The windows of a limit: from when until when what is spent counts together. By the calendar of a place, where days
//! have 23 and 25 hours, so that every proxy and the operator name the same window without asking each other.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp, ToSpan as _, Unit, Zoned, civil::Weekday, tz::TimeZone};

use crate::{Millis, rolling::Rolling};

/// How long a window is; as text `daily`, or `every3600` and `rolling3600` for one of so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    Hourly,
    Daily,
    /// From Monday.
    Weekly,
    Monthly,
    /// Windows of this length, one after the other since 1970 began in the time zone.
    Every(SignedDuration),
    /// Any stretch of this length: one window that never ends, and that forgets.
    Rolling(SignedDuration),
    /// One, that never ends.
    Total,
}

/// A limit's windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    period: Period,
    zone: TimeZone,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The first instant of it; it names the window.
    pub start: Timestamp,
    /// The first instant behind it; `None`: never.
    pub end: Option<Timestamp>,
}

/// Why there is no such calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalendarError {
    UnknownZone(String),
    /// A window shorter than a minute, longer than a hundred years, or not of whole seconds.
    Length,
}

impl fmt::Display for CalendarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownZone(zone) => {
                write!(f, "'{zone}' is no time zone: it must be a name such as Europe/Berlin or UTC")
            }
            Self::Length => {
                f.write_str("a window must be a minute long at least, and a hundred years at most")
            }
        }
    }
}

impl std::error::Error for CalendarError {}

/// Shorter windows than slices live make no sense.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 36_525);

impl Calendar {
    /// `zone` is a name of the IANA time zone database, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// When there is no such zone, or the length makes no sense.
    pub fn new(period: Period, zone: &str) -> Result<Self, CalendarError> {
        if let Period::Every(length) | Period::Rolling(length) = period
            && (!(SHORTEST..=LONGEST).contains(&length) || length.subsec_nanos() != 0)
        {
            return Err(CalendarError::Length);
        }
        let zone = TimeZone::get(zone).map_err(|_| CalendarError::UnknownZone(zone.to_owned()))?;
        Ok(Self { period, zone })
    }

    /// The window that an instant is in.
    #[must_use]
    pub fn window(&self, now: Timestamp) -> Window {
        let here = now.to_zoned(self.zone.clone());
        // Out of range only where the calendar ends, in the year 9999: the window then does not end.
        self.found(&here).unwrap_or(Window { start: Timestamp::UNIX_EPOCH, end: None })
    }

    fn found(&self, here: &Zoned) -> Result<Window, jiff::Error> {
        let today = here.start_of_day()?;
        let (start, next) = match self.period {
            Period::Hourly => return self.hour(here),
            Period::Daily => (today.clone(), today.tomorrow()?.start_of_day()?),
            Period::Weekly => {
                let since = i64::from(today.weekday().since(Weekday::Monday));
                let monday = today.checked_sub(since.days())?.start_of_day()?;
                (monday.clone(), monday.checked_add(1.week())?.start_of_day()?)
            }
            Period::Monthly => {
                let first = today.first_of_month()?.start_of_day()?;
                (first.clone(), first.checked_add(1.month())?.start_of_day()?)
            }
            Period::Every(length) => return self.every(here.timestamp(), length),
            Period::Rolling(_) | Period::Total => {
                return Ok(Window { start: Timestamp::UNIX_EPOCH, end: None });
            }
        };
        Ok(Window { start: start.timestamp(), end: Some(next.timestamp()) })
    }

    /// An hour of the clock. One that is set back has this hour twice, and they are two windows; where it is moved by
    /// half an hour, the hours on both sides are cut there.
    fn hour(&self, here: &Zoned) -> Result<Window, jiff::Error> {
        let now = here.timestamp();
        let offset = here.offset();
        let into = SignedDuration::from_secs(i64::from(offset.seconds()).rem_euclid(3_600));
        let floor = (now + into).round(hour_floor())? - into;
        let before = self.zone.preceding(now + SignedDuration::from_nanos(1)).next();
        let after = self.zone.following(now).next();
        let start = before.map_or(floor, |before| floor.max(before.timestamp()));
        let end = floor + SignedDuration::from_hours(1);
        let end = after.map_or(end, |after| end.min(after.timestamp()));
        Ok(Window { start, end: Some(end) })
    }

    fn every(&self, now: Timestamp, length: SignedDuration) -> Result<Window, jiff::Error> {
        let origin = jiff::civil::date(1970, 1, 1).to_zoned(self.zone.clone())?.timestamp();
        let since = now.duration_since(origin).as_nanos();
        let count = since.div_euclid(length.as_nanos());
        let start = origin.checked_add(SignedDuration::from_nanos_i128(count * length.as_nanos()))?;
        Ok(Window { start, end: Some(start.checked_add(length)?) })
    }
}

impl Period {
    /// How what was spent comes back, where it does so bit by bit.
    #[must_use]
    pub fn rolling(self) -> Option<Rolling> {
        let Self::Rolling(length) = self else { return None };
        Some(Rolling::new(Millis::try_from(length.as_millis()).unwrap_or(Millis::MAX)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hourly => f.write_str("hourly"),
            Self::Daily => f.write_str("daily"),
            Self::Weekly => f.write_str("weekly"),
            Self::Monthly => f.write_str("monthly"),
            Self::Every(length) => write!(f, "every{}", length.as_secs()),
            Self::Rolling(length) => write!(f, "rolling{}", length.as_secs()),
            Self::Total => f.write_str("total"),
        }
    }
}

/// What names no period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPeriod;

impl FromStr for Period {
    type Err = UnknownPeriod;

    fn from_str(text: &str) -> Result<Self, UnknownPeriod> {
        Ok(match text {
            "hourly" => Self::Hourly,
            "daily" => Self::Daily,
            "weekly" => Self::Weekly,
            "monthly" => Self::Monthly,
            "total" => Self::Total,
            _ => {
                let of = |prefix: &str| {
                    let seconds = text.strip_prefix(prefix)?.parse::<u32>().ok()?;
                    Some(SignedDuration::from_secs(seconds.into()))
                };
                let every = of("every").map(Self::Every);
                every.or_else(|| of("rolling").map(Self::Rolling)).ok_or(UnknownPeriod)?
            }
        })
    }
}

fn hour_floor() -> jiff::TimestampRound {
    jiff::TimestampRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Floor)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn window(period: Period, zone: &str, now: &str) -> (String, String) {
        let window = Calendar::new(period, zone).unwrap().window(now.parse().unwrap());
        (window.start.to_string(), window.end.map(|end| end.to_string()).unwrap_or_default())
    }

    fn is(period: Period, zone: &str, now: &str, start: &str, end: &str) {
        assert_eq!(window(period, zone, now), (start.to_owned(), end.to_owned()), "{period:?} {zone} {now}");
    }

    #[test]
    fn windows_begin_and_end_by_the_calendar_of_the_place() {
        let berlin = "Europe/Berlin";
        is(Period::Daily, berlin, "2026-11-26T22:59:59Z", "2026-11-25T23:00:00Z", "2026-11-26T23:00:00Z");
        is(Period::Daily, berlin, "2026-11-26T23:00:00Z", "2026-11-26T23:00:00Z", "2026-11-27T23:00:00Z");
        is(Period::Weekly, berlin, "2026-11-26T10:00:00Z", "2026-11-22T23:00:00Z", "2026-11-29T23:00:00Z");
        is(Period::Weekly, "UTC", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z");
        is(Period::Monthly, berlin, "2028-02-29T23:30:00Z", "2028-02-29T23:00:00Z", "2028-03-31T22:00:00Z");
        is(
            Period::Hourly,
            "Asia/Kolkata",
            "2026-11-26T10:29:59Z",
            "2026-11-26T09:30:00Z",
            "2026-11-26T10:30:00Z",
        );
        for period in [Period::Total, Period::Rolling(SignedDuration::from_hours(24))] {
            is(period, berlin, "2026-11-26T10:29:59Z", "1970-01-01T00:00:00Z", "");
        }
    }

    #[test]
    fn days_are_as_long_as_daylight_saving_makes_them() {
        let berlin = "Europe/Berlin";
        // 23 hours, and 25.
        is(Period::Daily, berlin, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        is(Period::Daily, berlin, "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        is(Period::Weekly, berlin, "2026-10-25T12:00:00Z", "2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z");
        is(Period::Monthly, berlin, "2026-03-31T12:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z");
        // Two o'clock comes twice.
        is(Period::Hourly, berlin, "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z");
        is(Period::Hourly, berlin, "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z");
        // A day that begins at one o'clock.
        is(
            Period::Daily,
            "Asia/Beirut",
            "2026-03-29T10:00:00Z",
            "2026-03-28T22:00:00Z",
            "2026-03-29T21:00:00Z",
        );
        // A day that there is not.
        is(
            Period::Daily,
            "Pacific/Apia",
            "2011-12-30T09:59:59Z",
            "2011-12-29T10:00:00Z",
            "2011-12-30T10:00:00Z",
        );
    }

    /// Whatever the zone does, the windows follow each other without a gap and without counting an instant twice.
    #[test]
    fn windows_follow_each_other() {
        let periods = [
            Period::Hourly,
            Period::Daily,
            Period::Weekly,
            Period::Monthly,
            Period::Every(SignedDuration::from_mins(433)),
        ];
        for zone in
            ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Beirut", "Pacific/Apia"]
        {
            for period in periods {
                let calendar = Calendar::new(period, zone).unwrap();
                let mut at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
                let until: Timestamp = "2027-02-01T00:00:00Z".parse().unwrap();
                let mut window = calendar.window(at);
                while at < until {
                    let end = window.end.unwrap();
                    assert!(window.start <= at && at < end, "{zone} {period:?} {at}: {window:?}");
                    assert_eq!(
                        calendar.window(end - SignedDuration::from_nanos(1)),
                        window,
                        "{zone} {period:?}"
                    );
                    let next = calendar.window(end);
                    assert_eq!(next.start, end, "{zone} {period:?} after {window:?}");
                    (at, window) = (end, next);
                }
            }
        }
    }

    #[test]
    fn what_is_no_calendar_is_refused() {
        let refused = |period, zone| Calendar::new(period, zone).unwrap_err();
        assert_eq!(
            refused(Period::Daily, "Europe/Bärlin"),
            CalendarError::UnknownZone("Europe/Bärlin".to_owned())
        );
        let fraction = SignedDuration::from_millis(60_500);
        for length in
            [SignedDuration::from_secs(59), SignedDuration::from_secs(-60), fraction, SignedDuration::MAX]
        {
            assert_eq!(refused(Period::Every(length), "UTC"), CalendarError::Length);
            assert_eq!(refused(Period::Rolling(length), "UTC"), CalendarError::Length);
        }
    }
}
