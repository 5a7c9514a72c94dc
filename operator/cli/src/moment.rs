//! When something is, near enough to now to be said by the day.

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

/// Such as `today 17:40 CET`, by the clock of a time zone; of one that is not known here, in UTC.
pub fn moment(at: Timestamp, now: Timestamp, zone: &str) -> String {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone));
    let day = |days: i64| now.date().checked_add(days.days()).ok();
    let clock = at.strftime("%H:%M %Z");
    match Some(at.date()) {
        date if date == day(0) => format!("today {clock}"),
        date if date == day(1) => format!("tomorrow {clock}"),
        date if date == day(-1) => format!("yesterday {clock}"),
        _ => format!("{} {clock}", at.date()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn days_are_those_of_the_time_zone() {
        let said =
            |at: &str, zone: &str| moment(at.parse().unwrap(), "2026-11-26T22:30:00Z".parse().unwrap(), zone);
        assert_eq!(said("2026-11-26T16:40:00Z", "Europe/Berlin"), "today 17:40 CET");
        assert_eq!(said("2026-11-26T23:00:00Z", "Europe/Berlin"), "tomorrow 00:00 CET");
        assert_eq!(said("2026-11-26T23:00:00Z", "UTC"), "today 23:00 UTC");
        assert_eq!(said("2026-11-25T01:00:00Z", "Nowhere/Land"), "yesterday 01:00 UTC");
        assert_eq!(said("2026-12-01T00:00:00Z", "UTC"), "2026-12-01 00:00 UTC");
    }
}
