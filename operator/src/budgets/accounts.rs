//! The accounts that a budget has now: of each limit one for the present window, and one for the next, which is begun
//! ahead of time: an operator that is away when the window turns keeps nobody from spending. Where there is no next window,
//! as of rolling limits, there is one. Pure.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use llm_config::budget::{Budget, Limit, Unit, Window as Length};
use llm_ledger::{
    place::{self, LimitId, Place},
    window::{Calendar, Period, Window},
};

/// Calls end after their window, and are told to it.
const LINGERS: Duration = Duration::from_secs(24 * 3_600);
/// What never ends is kept for so long.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3_600);

/// One limit in one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub limit: Limit,
    pub window: Window,
    /// Of all calls, or the root of the accounts of all values.
    pub place: Place,
    /// Whether it is the present window, and not the next.
    pub is_now: bool,
    /// Since when each threshold is told of once: of a rolling limit there are the windows that it would have by the
    /// calendar.
    pub round: Timestamp,
}

impl Account {
    /// The name of its limit, such as `daily-usd`.
    pub fn name(&self) -> String {
        self.place.limit.to_string()
    }

    /// How long the ledger keeps it.
    pub fn kept(&self, now: Timestamp) -> Duration {
        let left = self.window.end.map(|end| end.duration_since(now));
        let left = left.map(|left| Duration::try_from(left).unwrap_or_default());
        left.map_or(LONGEST, |left| left.saturating_add(LINGERS))
    }
}

/// All of them. Those of a limit whose calendar there is not are left out: such a budget is not accepted.
pub fn of(budget: &Budget, now: Timestamp) -> Vec<Account> {
    let uid: Arc<str> = budget.uid.as_str().into();
    let of_limit = |limit: &Limit| {
        let id = id(limit);
        let calendar = Calendar::new(id.period, &budget.time_zone).ok()?;
        let account = |window: Window, is_now| Account {
            limit: *limit,
            window,
            place: Place { budget: uid.clone(), limit: id, start: window.start.as_second(), value: None },
            is_now,
            round: match id.period {
                Period::Rolling(length) => Calendar::new(Period::Every(length), &budget.time_zone)
                    .map_or(window.start, |calendar| calendar.window(now).start),
                _ => window.start,
            },
        };
        let present = calendar.window(now);
        let next = present.end.map(|end| account(calendar.window(end), false));
        Some([Some(account(present, true)), next].into_iter().flatten())
    };
    budget.limits.iter().filter_map(of_limit).flatten().collect()
}

fn id(limit: &Limit) -> LimitId {
    let period = match limit.window {
        Length::Hourly => Period::Hourly,
        Length::Daily => Period::Daily,
        Length::Weekly => Period::Weekly,
        Length::Monthly => Period::Monthly,
        Length::Every(seconds) => {
            Period::Every(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
        }
        Length::Rolling(seconds) => {
            Period::Rolling(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
        }
        Length::Total => Period::Total,
    };
    let unit = match limit.unit {
        Unit::Usd => place::Unit::Usd,
        Unit::Tokens => place::Unit::Tokens,
        Unit::Requests => place::Unit::Requests,
    };
    LimitId { period, unit }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn starts(length: Length, zone: &str, now: &str) -> Vec<(String, String, u64, bool)> {
        let limits = vec![Limit { window: length, unit: Unit::Tokens, amount: 1 }];
        let budget = Budget { uid: "u".to_owned(), time_zone: zone.to_owned(), limits, ..Budget::default() };
        let now: Timestamp = now.parse().unwrap();
        let of_one = |account: Account| {
            let hours = account.kept(now).as_secs() / 3_600;
            (account.name(), account.window.start.to_string(), hours, account.is_now)
        };
        of(&budget, now).into_iter().map(of_one).collect()
    }

    fn row(name: &str, start: &str, hours: u64, is_now: bool) -> (String, String, u64, bool) {
        (name.to_owned(), start.to_owned(), hours, is_now)
    }

    #[test]
    fn each_limit_has_the_present_window_and_the_next_one() {
        assert_eq!(
            starts(Length::Daily, "Europe/Berlin", "2026-10-24T22:00:00Z"),
            [
                row("daily-tokens", "2026-10-24T22:00:00Z", 25 + 24, true),
                row("daily-tokens", "2026-10-25T23:00:00Z", 49 + 24, false),
            ]
        );
        assert_eq!(
            starts(Length::Every(3_600), "UTC", "2026-11-26T12:30:00Z"),
            [
                row("every3600-tokens", "2026-11-26T12:00:00Z", 24, true),
                row("every3600-tokens", "2026-11-26T13:00:00Z", 25, false),
            ]
        );
        assert_eq!(
            starts(Length::Total, "UTC", "2026-11-26T12:30:00Z"),
            [row("total-tokens", "1970-01-01T00:00:00Z", 10 * 366 * 24, true)]
        );
        assert_eq!(starts(Length::Daily, "Europe/Bärlin", "2026-11-26T12:30:00Z"), []);
    }

    /// What is told of one day in its time zone is told again on the next.
    #[test]
    fn a_rolling_limit_has_one_account_and_tells_of_its_thresholds_by_the_calendar() {
        let rolling = Length::Rolling(86_400);
        assert_eq!(
            starts(rolling, "UTC", "2026-11-26T12:30:00Z"),
            [row("rolling86400-tokens", "1970-01-01T00:00:00Z", 10 * 366 * 24, true)]
        );
        let limits = vec![Limit { window: rolling, unit: Unit::Tokens, amount: 1 }];
        let budget = Budget { time_zone: "Asia/Tokyo".to_owned(), limits, ..Budget::default() };
        let round = |now: &str| of(&budget, now.parse().unwrap())[0].round.to_string();
        assert_eq!(round("2026-11-26T14:59:59Z"), "2026-11-25T15:00:00Z");
        assert_eq!(round("2026-11-26T15:00:00Z"), "2026-11-26T15:00:00Z");
    }

    /// With it the windows are others, and what was spent in those of before counts for them no more.
    #[test]
    fn a_time_zone_that_changes_makes_other_windows() {
        let start = |zone| starts(Length::Daily, zone, "2026-11-26T12:00:00Z")[0].1.clone();
        assert_eq!(
            (start("UTC"), start("Asia/Tokyo")),
            ("2026-11-26T00:00:00Z".to_owned(), "2026-11-25T15:00:00Z".to_owned())
        );
    }
}
