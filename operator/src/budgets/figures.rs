//! What a person sees of a budget: amounts as text, the tightest limit, the phase, and when nothing will be left. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use llm_config::budget::{Limit, Unit, Window};
use llm_crds::{BudgetLimitStatus, BudgetPhase, BudgetSummary, BudgetValueStatus};
use llm_ledger::{Amount, window};

use super::history;

/// Of money and tokens what is left below this part of a limit, no call fits in: a strict one reserves the most that it
/// can cost.
const CRUMB: Amount = 200;
/// Values of `per` that are shown.
pub const TOP: usize = 5;
const NANO: Amount = 1_000_000_000;

/// One limit in its window of now; with `per`, that of the value that has spent most.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Such as `daily-usd`.
    pub name: String,
    pub limit: Limit,
    pub window: window::Window,
    /// Since when each threshold is told of once.
    pub round: Timestamp,
    pub spent: Amount,
    /// With proxies, or gone before the ledger began anew.
    pub reserved: Amount,
    /// What is spent in a second.
    pub pace: f64,
    /// With `per`: how many there are, and who has spent most.
    pub values: Option<(u64, Vec<(String, Amount)>)>,
}

impl Reading {
    pub fn remaining(&self) -> Amount {
        self.limit.amount.saturating_sub(self.spent).saturating_sub(self.reserved)
    }

    /// Whether such a share of it is spent, in parts per million.
    pub fn has_reached(&self, ppm: u32) -> bool {
        if ppm >= 1_000_000 {
            return self.is_exceeded();
        }
        u128::from(self.spent) * 1_000_000 >= u128::from(self.limit.amount) * u128::from(ppm)
    }

    pub fn is_exceeded(&self) -> bool {
        is_exceeded(&self.limit, self.spent)
    }

    /// When nothing will be left, if that is before the window ends. Rounded up, for nobody knows it to the second.
    pub fn exhausted_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_exceeded() || self.pace <= 0.0 {
            return None;
        }
        let seconds = self.limit.amount.saturating_sub(self.spent) as f64 / self.pace;
        let after = SignedDuration::try_from_secs_f64(seconds).ok()?;
        let round = if after < SignedDuration::from_hours(1) { 60 } else { 900 };
        let at = now.checked_add(after).ok()?.as_second();
        let at = Timestamp::from_second(at + (round - at.rem_euclid(round))).ok()?;
        // When a rolling limit's length has passed, what is spent now is there again: who spends no more than all of it in
        // that time never comes to its end.
        let lasts = self.length().is_some_and(|length| {
            after > length || self.pace * length.as_secs_f64() <= self.limit.amount as f64
        });
        (!lasts && self.window.end.is_none_or(|end| at < end)).then_some(at)
    }

    /// How long the stretches of a rolling limit are.
    pub fn length(&self) -> Option<SignedDuration> {
        let Window::Rolling(seconds) = self.limit.window else { return None };
        Some(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
    }

    /// As it is in `status.limits`, of which `before` is stored.
    pub fn status(&self, before: &[BudgetLimitStatus], now: Timestamp) -> BudgetLimitStatus {
        let text = |amount| amount_text(self.limit.unit, amount);
        // With other values of `per`, or none, it is another figure that was stored.
        let before = before.iter().find(|before| {
            before.name == self.name
                && before.start.0 == self.window.start
                && before.values.is_some() == self.values.is_some()
        });
        let top = self.values.iter().flat_map(|(_, top)| top);
        BudgetLimitStatus {
            name: self.name.clone(),
            start: Time(self.window.start),
            end: self.window.end.map(Time),
            limit: text(self.limit.amount),
            spent: text(self.spent),
            reserved: text(self.reserved),
            remaining: text(self.remaining()),
            exhausted_at: self.exhausted_at(now).map(Time),
            history: history::advance(
                before,
                self.limit.unit,
                &self.window,
                history::counts_for(self.limit.window),
                self.spent,
                now,
            ),
            values: self.values.as_ref().map(|(count, _)| i32::try_from(*count).unwrap_or(i32::MAX)),
            top_values: top
                .take(TOP)
                .map(|(value, spent)| BudgetValueStatus { value: value.clone(), spent: text(*spent) })
                .collect(),
        }
    }
}

/// Nothing is left of a limit of which so much is spent, or too little for any call.
#[must_use]
pub fn is_exceeded(limit: &Limit, spent: Amount) -> bool {
    let crumb = if limit.unit == Unit::Requests { 0 } else { limit.amount / CRUMB };
    limit.amount.saturating_sub(spent) <= crumb
}

/// The limit of which the smallest share is left.
pub fn tightest(readings: &[Reading]) -> Option<&Reading> {
    readings.iter().min_by(|a, b| {
        let share = |one: &Reading, other: &Reading| {
            u128::from(one.limit.amount.saturating_sub(one.spent)) * u128::from(other.limit.amount.max(1))
        };
        share(a, b).cmp(&share(b, a))
    })
}

/// How a budget stands whose thresholds are these, in parts per million.
pub fn phase(readings: &[Reading], thresholds: &[u32]) -> BudgetPhase {
    if readings.iter().any(Reading::is_exceeded) {
        return BudgetPhase::Exceeded;
    }
    let lowest = thresholds.iter().min();
    if lowest.is_some_and(|lowest| readings.iter().any(|reading| reading.has_reached(*lowest))) {
        BudgetPhase::Warning
    } else {
        BudgetPhase::Active
    }
}

/// What `kubectl get` prints of these.
pub fn summary(readings: &[Reading]) -> BudgetSummary {
    let Some(tight) = tightest(readings) else { return BudgetSummary::default() };
    let short = |amount| short_text(&tight.limit, amount);
    let all = readings.iter().map(|reading| {
        format!("{} of {}", short_text(&reading.limit, reading.spent), limit_text(&reading.limit))
    });
    BudgetSummary {
        limit: Some(limit_text(&tight.limit)),
        spent: Some(short(tight.spent)),
        reserved: Some(short(tight.reserved)),
        remaining: Some(short(tight.remaining())),
        resets: Some(match (tight.window.end, tight.length()) {
            (Some(end), _) => end.to_string(),
            (None, Some(_)) => "rolling".to_owned(),
            (None, None) => "never".to_owned(),
        }),
        all: Some(all.collect::<Vec<_>>().join(", ")),
        ..BudgetSummary::default()
    }
}

/// An amount to the unit: USD as in `12.50`.
pub fn amount_text(unit: Unit, amount: Amount) -> String {
    if unit != Unit::Usd {
        return amount.to_string();
    }
    let fraction = format!("{:09}", amount % NANO);
    let digits = fraction.trim_end_matches('0').len().max(2);
    format!("{}.{}", amount / NANO, fraction.get(..digits).unwrap_or(&fraction))
}

/// An amount as a column has room for it.
#[must_use]
pub fn short_text(limit: &Limit, amount: Amount) -> String {
    if limit.unit != Unit::Usd {
        return amount.to_string();
    }
    // Down to about a ten thousandth of what is watched; rounded down, as what is left must be.
    let digits = if limit.amount >= 100 * NANO { 2 } else { 4 };
    let fraction = format!("{:09}", amount % NANO);
    format!("${}.{}", amount / NANO, fraction.get(..digits).unwrap_or(&fraction))
}

/// Such as `$100.00/day`, `500000 tokens/6h`, `$5.00/24h rolling` and `10 requests in all`.
#[must_use]
pub fn limit_text(limit: &Limit) -> String {
    let amount = match limit.unit {
        Unit::Usd => format!("${}", amount_text(limit.unit, limit.amount)),
        Unit::Tokens => format!("{} tokens", limit.amount),
        Unit::Requests => format!("{} requests", limit.amount),
    };
    match limit.window {
        Window::Hourly => format!("{amount}/hour"),
        Window::Daily => format!("{amount}/day"),
        Window::Weekly => format!("{amount}/week"),
        Window::Monthly => format!("{amount}/month"),
        Window::Every(seconds) => format!("{amount}/{}", span_text(seconds)),
        Window::Rolling(seconds) => format!("{amount}/{} rolling", span_text(seconds)),
        Window::Total => format!("{amount} in all"),
    }
}

/// A Go duration, as in the spec.
#[must_use]
pub fn span_text(seconds: u64) -> String {
    let parts = [(seconds / 3_600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn reading(window: Window, unit: Unit, amount: Amount, spent: Amount, reserved: Amount) -> Reading {
        let span = window::Window {
            start: at("2026-11-26T00:00:00Z"),
            end: (!matches!(window, Window::Total | Window::Rolling(_))).then(|| at("2026-11-27T00:00:00Z")),
        };
        Reading {
            name: "of-a-test".to_owned(),
            limit: Limit { window, unit, amount },
            window: span,
            round: span.start,
            spent,
            reserved,
            pace: 0.0,
            values: None,
        }
    }

    #[test]
    fn the_tightest_limit_is_the_one_of_which_the_smallest_share_is_left() {
        let readings = [
            reading(Window::Monthly, Unit::Usd, 2_000 * NANO, 1_000 * NANO, 0),
            reading(Window::Daily, Unit::Usd, 100 * NANO, 60 * NANO + 5_999_999, 12 * NANO),
            reading(Window::Every(23_400), Unit::Requests, 50, 20, 1),
        ];
        let shown = summary(&readings);
        let columns = [&shown.limit, &shown.spent, &shown.reserved, &shown.remaining, &shown.resets];
        assert_eq!(
            columns.map(|text| text.as_deref().unwrap()),
            ["$100.00/day", "$60.00", "$12.00", "$27.99", "2026-11-27T00:00:00Z"]
        );
        assert_eq!(
            shown.all.unwrap(),
            "$1000.00 of $2000.00/month, $60.00 of $100.00/day, 20 of 50 requests/6h30m"
        );
        assert_eq!(summary(&[]), BudgetSummary::default());
        let total = summary(&[reading(Window::Total, Unit::Tokens, 9, 10, 0)]);
        assert_eq!(
            (total.limit.unwrap(), total.remaining.unwrap(), total.resets.unwrap()),
            ("9 tokens in all".to_owned(), "0".to_owned(), "never".to_owned())
        );
        let rolling = summary(&[reading(Window::Rolling(86_400), Unit::Usd, 5 * NANO, NANO, 0)]);
        assert_eq!(
            (rolling.limit.unwrap(), rolling.remaining.unwrap(), rolling.resets.unwrap()),
            ("$5.00/24h rolling".to_owned(), "$4.0000".to_owned(), "rolling".to_owned())
        );
    }

    #[test]
    fn a_phase_is_that_of_the_worst_limit() {
        let thresholds = [900_000, 500_000];
        let of = |spent: &[(Unit, Amount)]| {
            let readings: Vec<_> =
                spent.iter().map(|(unit, spent)| reading(Window::Daily, *unit, 1_000, *spent, 0)).collect();
            phase(&readings, &thresholds)
        };
        assert_eq!(of(&[]), BudgetPhase::Active);
        assert_eq!(of(&[(Unit::Usd, 499), (Unit::Requests, 0)]), BudgetPhase::Active);
        assert_eq!(of(&[(Unit::Usd, 499), (Unit::Requests, 500)]), BudgetPhase::Warning);
        // No call fits into the last of it, but for one that is counted as such.
        assert_eq!(of(&[(Unit::Usd, 994)]), BudgetPhase::Warning);
        assert_eq!(of(&[(Unit::Usd, 995)]), BudgetPhase::Exceeded);
        assert_eq!(of(&[(Unit::Requests, 999)]), BudgetPhase::Warning);
        assert_eq!(of(&[(Unit::Requests, 1_000), (Unit::Usd, 0)]), BudgetPhase::Exceeded);
        assert_eq!(phase(&[reading(Window::Daily, Unit::Usd, 0, 0, 0)], &[]), BudgetPhase::Exceeded);
        assert_eq!(phase(&[reading(Window::Daily, Unit::Usd, 100, 99, 0)], &[]), BudgetPhase::Active);
    }

    #[test]
    fn when_nothing_will_be_left_is_told_only_where_that_is_before_the_window_ends() {
        let now = at("2026-11-26T12:00:00Z");
        let projected = |spent, pace| {
            let reading = Reading { pace, ..reading(Window::Daily, Unit::Tokens, 10_000, spent, 0) };
            reading.exhausted_at(now).map(|at| at.to_string())
        };
        assert_eq!(projected(5_000, 1.0).unwrap(), "2026-11-26T13:30:00Z");
        assert_eq!(projected(9_000, 1.0).unwrap(), "2026-11-26T12:17:00Z");
        assert_eq!(projected(5_000, 0.1), None, "after midnight");
        assert_eq!(projected(5_000, 0.0), None);
        assert_eq!(projected(5_000, 1e-300), None);
        assert_eq!(projected(10_000, 1.0), None, "it is spent");
        let total = Reading { pace: 0.1, ..reading(Window::Total, Unit::Tokens, 10_000, 5_000, 0) };
        assert_eq!(total.exhausted_at(now), Some(at("2026-11-27T02:00:00Z")));
        // Of one in whose length more would be spent than there is, and of one that gets it back as fast.
        let rolling = |pace| {
            let reading = reading(Window::Rolling(10_000), Unit::Tokens, 10_000, 9_000, 0);
            Reading { pace, ..reading }.exhausted_at(now)
        };
        assert_eq!(rolling(1.1), Some(at("2026-11-26T12:16:00Z")));
        assert_eq!(rolling(1.0), None);
    }

    #[test]
    fn amounts_are_told_to_the_unit_and_of_values_those_that_spent_most() {
        let texts = [0, 1, 12_500_000_000, 12_345_000_000].map(|amount| amount_text(Unit::Usd, amount));
        assert_eq!(texts, ["0.00", "0.000000001", "12.50", "12.345"]);
        let top = (0..9).map(|n| (format!("user-{n}"), NANO - n)).collect();
        let values = Some((40, top));
        let reading = Reading { values, ..reading(Window::Daily, Unit::Usd, 2 * NANO, NANO, NANO / 4) };
        let shown = reading.status(&[], at("2026-11-26T12:00:00Z"));
        assert_eq!((shown.values, shown.top_values.len()), (Some(40), TOP));
        assert_eq!(
            (shown.top_values[1].value.as_str(), shown.top_values[1].spent.as_str()),
            ("user-1", "0.999999999")
        );
        assert_eq!((shown.remaining.as_str(), shown.reserved.as_str()), ("0.75", "0.25"));
    }
}
