//! What was spent of a limit when: the parts of its window, as they are in `status.limits[].history`, so that whoever
//! leads goes on with them, and who asks sees them. Pure.
//!
//! Only what is spent changes it, never the time alone: it is written together with the amount that it explains. What is
//! spent while no operator looks goes to the part in which one looks again.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use llm_config::budget::{self, Unit};
use llm_crds::{BudgetHistory, BudgetLimitStatus, nano_usd};
use llm_ledger::{Amount, rolling::Rolling, window::Window};

use super::figures::amount_text;

/// Parts that are kept at most.
const PARTS: i64 = 24;
/// A part of a window that never ends, in seconds.
const HOUR: i64 = 3_600;

/// The parts that count now, in seconds.
#[derive(Clone, Copy)]
struct Stretch {
    /// The first second of the first of them.
    start: i64,
    step: i64,
    /// What was spent before them does not count any more: that of a rolling limit comes back.
    forgets: bool,
}

impl Stretch {
    /// The parts of a window; of one that never ends, the hours of the last day. Of a rolling limit, for how long in
    /// seconds what is spent may count: all of that.
    fn of(window: &Window, rolling: Option<i64>, now: i64) -> Self {
        // Of whole seconds, so that there may be some less than 24.
        let part = |length: i64| (length + PARTS - 1).div_euclid(PARTS).max(1);
        let last = |step: i64| (now.div_euclid(step) - (PARTS - 1)) * step;
        let start = window.start.as_second();
        match (rolling.map(part), window.end) {
            (Some(step), _) => Self { start: last(step), step, forgets: true },
            (None, Some(end)) => Self { start, step: part(end.as_second() - start), forgets: false },
            (None, None) => Self { start: last(HOUR), step: HOUR, forgets: false },
        }
    }

    fn index(self, from: i64, at: i64) -> usize {
        usize::try_from((at - from).div_euclid(self.step)).unwrap_or(0)
    }
}

/// For how long what is spent counts, in seconds, where a limit is rolling.
pub fn counts_for(window: budget::Window) -> Option<i64> {
    let budget::Window::Rolling(seconds) = window else { return None };
    i64::try_from(Rolling::new(seconds.saturating_mul(1_000)).counts_for() / 1_000).ok()
}

/// The same as it is stored, in numbers.
struct History {
    start: i64,
    earlier: Amount,
    spent: Vec<Amount>,
}

impl History {
    /// Nothing where other parts are stored than those of now.
    fn read(stored: &BudgetHistory, unit: Unit, stretch: Stretch) -> Option<Self> {
        let start = stored.start.0.as_second();
        if stored.step_seconds != stretch.step || (start - stretch.start) % stretch.step != 0 {
            return None;
        }
        let spent = stored.spent.iter().map(|text| amount(unit, text)).collect::<Option<Vec<_>>>()?;
        Some(Self { start, earlier: amount(unit, &stored.earlier)?, spent })
    }

    /// Begins with the part of now.
    fn begun(stretch: Stretch, earlier: Amount, now: i64) -> Self {
        let index = (now - stretch.start).div_euclid(stretch.step);
        Self { start: stretch.start + index * stretch.step, earlier, spent: Vec::new() }
    }

    /// All that it tells of.
    fn counted(&self) -> Amount {
        self.spent.iter().fold(self.earlier, |sum, part| sum.saturating_add(*part))
    }

    /// Lets go of the parts before those of now.
    fn leave(&mut self, stretch: Stretch) {
        let gone = stretch.index(self.start, stretch.start).min(self.spent.len());
        let gone_spent: Amount = self.spent.drain(..gone).sum();
        self.earlier = if stretch.forgets { 0 } else { self.earlier.saturating_add(gone_spent) };
        self.start = if self.spent.is_empty() {
            self.start.max(stretch.start)
        } else {
            self.start + stretch.step * i64::try_from(gone).unwrap_or(0)
        };
    }

    fn add(&mut self, amount: Amount, stretch: Stretch, now: i64) {
        // A clock that was set back goes on with the last part.
        let index = stretch.index(self.start, now).max(self.spent.len().saturating_sub(1));
        self.spent.resize(index + 1, 0);
        if let Some(last) = self.spent.last_mut() {
            *last = last.saturating_add(amount);
        }
    }
}

/// The history of a limit of which so much is spent now; `before` is what is stored of it in this window.
///
/// A ledger that has lost its memory tells of less for a while: nothing is counted again until there is more than was
/// counted already. `rolling` is for how many seconds what is spent of a rolling limit may count.
pub fn advance(
    before: Option<&BudgetLimitStatus>,
    unit: Unit,
    window: &Window,
    rolling: Option<i64>,
    spent: Amount,
    now: Timestamp,
) -> Option<BudgetHistory> {
    let now = now.as_second();
    let stretch = Stretch::of(window, rolling, now);
    let stored = before.and_then(|before| before.history.as_ref());
    let known = stored.and_then(|stored| History::read(stored, unit, stretch));
    let is_known = known.is_some();
    let mut history = known.unwrap_or_else(|| {
        // Nobody has looked at this window yet: when it was spent is known only where that is its first part.
        let first = stretch.forgets || stretch.index(stretch.start, now) == 0;
        let unseen = if first { 0 } else { spent };
        let earlier = before.map_or(unseen, |before| amount(unit, &before.spent).unwrap_or(spent));
        History::begun(stretch, earlier, now)
    });
    history.leave(stretch);
    let counted = history.counted();
    if spent <= counted {
        return stored.filter(|_| is_known).cloned();
    }
    history.add(spent - counted, stretch, now);
    let text = |amount: &Amount| amount_text(unit, *amount);
    Some(BudgetHistory {
        start: Time(Timestamp::from_second(history.start).ok()?),
        step_seconds: stretch.step,
        earlier: text(&history.earlier),
        spent: history.spent.iter().map(text).collect(),
    })
}

/// A part of a window, for who looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Spent(Amount),
    /// It is over, and nobody knows what was spent in it.
    Unknown,
    ToCome,
}

/// All parts of a limit's window, in their order, and how many seconds each is long.
#[must_use]
pub fn parts(
    limit: &BudgetLimitStatus,
    unit: Unit,
    rolling: Option<i64>,
    now: Timestamp,
) -> (Vec<Part>, i64) {
    let now = now.as_second();
    let window = Window { start: limit.start.0, end: limit.end.as_ref().map(|end| end.0) };
    let stretch = Stretch::of(&window, rolling, now);
    let end = window.end.map_or(now + 1, |end| end.as_second());
    let known = limit.history.as_ref().and_then(|stored| History::read(stored, unit, stretch));
    let nothing = amount(unit, &limit.spent) == Some(0);
    let part = |start: i64| match &known {
        _ if start > now => Part::ToCome,
        Some(known) if start >= known.start => {
            Part::Spent(known.spent.get(stretch.index(known.start, start)).copied().unwrap_or(0))
        }
        Some(known) if known.earlier == 0 => Part::Spent(0),
        None if nothing => Part::Spent(0),
        Some(_) | None => Part::Unknown,
    };
    let starts = (0..PARTS).map(|index| stretch.start + index * stretch.step);
    (starts.take_while(|start| *start < end).map(part).collect(), stretch.step)
}

/// An amount as a status has it.
#[must_use]
pub fn amount(unit: Unit, text: &str) -> Option<Amount> {
    if unit == Unit::Usd { nano_usd(text).ok() } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    const MIDNIGHT: &str = "2026-11-26T00:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn day() -> Window {
        Window { start: at(MIDNIGHT), end: Some(at("2026-11-27T00:00:00Z")) }
    }

    fn total() -> Window {
        Window { start: Timestamp::UNIX_EPOCH, end: None }
    }

    /// A limit as it is stored again and again.
    struct Kept {
        window: Window,
        rolling: Option<i64>,
        stored: Option<BudgetLimitStatus>,
    }

    impl Kept {
        /// Of a window in which nothing was spent when it was first looked at.
        fn of(window: Window) -> Self {
            let mut kept = Self { window, rolling: None, stored: None };
            assert_eq!(kept.looked(0, MIDNIGHT), None);
            kept
        }

        fn looked(&mut self, spent: Amount, now: &str) -> Option<(String, Amount, Vec<Amount>)> {
            let now = at(now);
            let history = advance(self.stored.as_ref(), Unit::Tokens, &self.window, self.rolling, spent, now);
            self.stored = Some(BudgetLimitStatus {
                name: "of-a-test".to_owned(),
                start: Time(self.window.start),
                end: self.window.end.map(Time),
                limit: "1000".to_owned(),
                spent: spent.to_string(),
                reserved: "0".to_owned(),
                remaining: "0".to_owned(),
                exhausted_at: None,
                history: history.clone(),
                values: None,
                top_values: vec![],
            });
            let BudgetHistory { start, earlier, spent, .. } = history?;
            let number = |text: &String| text.parse().unwrap();
            Some((start.0.to_string(), number(&earlier), spent.iter().map(number).collect()))
        }
    }

    fn history(start: &str, earlier: Amount, spent: &[Amount]) -> Option<(String, Amount, Vec<Amount>)> {
        Some((format!("2026-11-26T{start}:00Z"), earlier, spent.to_vec()))
    }

    #[test]
    fn what_is_spent_goes_to_the_part_of_now_and_time_alone_changes_nothing() {
        let mut kept = Kept::of(day());
        assert_eq!(kept.looked(0, "2026-11-26T07:00:00Z"), None);
        assert_eq!(kept.looked(5, "2026-11-26T09:00:00Z"), history("09:00", 0, &[5]));
        assert_eq!(kept.looked(8, "2026-11-26T09:59:59Z"), history("09:00", 0, &[8]));
        assert_eq!(kept.looked(8, "2026-11-26T12:00:00Z"), history("09:00", 0, &[8]));
        assert_eq!(kept.looked(10, "2026-11-26T12:30:00Z"), history("09:00", 0, &[8, 0, 0, 2]));
        // A clock that was set back.
        assert_eq!(kept.looked(11, "2026-11-26T10:00:00Z"), history("09:00", 0, &[8, 0, 0, 3]));
        let last = kept.looked(12, "2026-11-26T23:59:59Z").unwrap();
        assert_eq!((last.2.len(), last.2.iter().sum::<Amount>()), (15, 12));
    }

    #[test]
    fn a_ledger_that_has_lost_its_memory_makes_no_part_smaller_and_none_larger() {
        let mut kept = Kept::of(day());
        let before = kept.looked(100, "2026-11-26T09:00:00Z");
        for (spent, now) in [(0, "10:00"), (40, "11:00"), (100, "12:00")] {
            assert_eq!(kept.looked(spent, &format!("2026-11-26T{now}:00Z")), before, "{spent}");
        }
        assert_eq!(kept.looked(101, "2026-11-26T12:00:00Z"), history("09:00", 0, &[100, 0, 0, 1]));
    }

    #[test]
    fn a_window_that_turns_begins_anew_and_what_was_spent_unseen_is_earlier() {
        let mut kept = Kept::of(Window { start: at("2026-11-25T00:00:00Z"), end: Some(at(MIDNIGHT)) });
        kept.looked(70, "2026-11-25T20:00:00Z");
        // What is stored is of another window: whoever asks passes it over.
        let mut kept = Kept { window: day(), rolling: None, stored: None };
        assert_eq!(kept.looked(3, "2026-11-26T00:00:01Z"), history("00:00", 0, &[3]));
        let mut late = Kept { window: day(), rolling: None, stored: None };
        assert_eq!(late.looked(3, "2026-11-26T05:00:00Z"), None);
        assert_eq!(late.looked(4, "2026-11-26T05:10:00Z"), history("05:00", 3, &[1]));
    }

    #[test]
    fn what_never_ends_has_the_hours_of_the_last_day() {
        let mut kept = Kept::of(total());
        for hour in 0..24 {
            kept.looked(hour + 1, &format!("2026-11-26T{hour:02}:15:00Z"));
        }
        let (start, earlier, spent) = kept.looked(24, "2026-11-27T03:00:00Z").unwrap();
        assert_eq!((start.as_str(), earlier, spent), (MIDNIGHT, 0, vec![1; 24]), "until something is spent");
        let (start, earlier, spent) = kept.looked(30, "2026-11-27T03:00:00Z").unwrap();
        assert_eq!((start.as_str(), earlier, spent.len()), ("2026-11-26T04:00:00Z", 4, 24));
        assert_eq!(spent[19..], [1, 0, 0, 0, 6]);
        // After a week nothing of it is left but the sum.
        let (start, earlier, spent) = kept.looked(31, "2026-12-04T03:00:00Z").unwrap();
        assert_eq!((start.as_str(), earlier, spent.last()), ("2026-12-03T04:00:00Z", 30, Some(&1)));
        assert_eq!((spent.len(), spent.iter().sum::<Amount>()), (24, 1));
    }

    #[test]
    fn parts_are_of_whole_seconds_and_no_more_than_twenty_four() {
        for (seconds, step) in [(60, 3), (61, 3), (3_600, 150), (25 * 3_600, 3_750), (30 * 86_400, 108_000)] {
            let start = at(MIDNIGHT);
            let end = Timestamp::from_second(start.as_second() + seconds).unwrap();
            let stretch = Stretch::of(&Window { start, end: Some(end) }, None, start.as_second());
            assert_eq!(stretch.step, step);
            assert!(stretch.index(stretch.start, end.as_second() - 1) < 24, "{seconds}");
        }
    }

    #[test]
    fn what_comes_back_of_a_rolling_limit_is_forgotten_and_what_is_spent_then_is_seen() {
        // For 24 hours.
        let mut kept = Kept { window: total(), rolling: Some(86_400), stored: None };
        assert_eq!(kept.looked(50, "2026-11-26T00:10:00Z"), history("00:00", 0, &[50]));
        assert_eq!(kept.looked(60, "2026-11-26T02:10:00Z"), history("00:00", 0, &[50, 0, 10]));
        // The fifty came back, and five were spent besides.
        let (start, earlier, spent) = kept.looked(15, "2026-11-27T00:10:00Z").unwrap();
        assert_eq!((start.as_str(), earlier, spent.len()), ("2026-11-26T01:00:00Z", 0, 24));
        assert_eq!((spent[1], spent[23], spent.iter().sum::<Amount>()), (10, 5, 15));
        // All came back.
        assert_eq!(kept.looked(0, "2026-11-29T00:00:00Z").unwrap().2, spent, "time alone writes nothing");
        assert_eq!(kept.looked(7, "2026-11-29T00:00:00Z").unwrap().2.last(), Some(&7));
    }

    /// Written by an older version, or by hand.
    #[test]
    fn what_is_stored_otherwise_is_earlier() {
        let mut kept = Kept::of(day());
        kept.looked(40, "2026-11-26T09:00:00Z");
        let spoil = |kept: &mut Kept, change: fn(&mut BudgetHistory)| {
            change(kept.stored.as_mut().unwrap().history.as_mut().unwrap());
        };
        spoil(&mut kept, |history| history.step_seconds = 60);
        assert_eq!(kept.looked(42, "2026-11-26T10:00:00Z"), history("10:00", 40, &[2]));
        spoil(&mut kept, |history| history.spent[0] = "much".to_owned());
        assert_eq!(kept.looked(43, "2026-11-26T11:00:00Z"), history("11:00", 42, &[1]));
    }

    #[test]
    fn money_is_told_as_such() {
        let stored = BudgetHistory {
            start: Time(at(MIDNIGHT)),
            step_seconds: 3_600,
            earlier: "0.00".to_owned(),
            spent: vec!["0.25".to_owned()],
        };
        let stretch = Stretch::of(&day(), None, at(MIDNIGHT).as_second());
        assert_eq!(History::read(&stored, Unit::Usd, stretch).unwrap().spent, [250_000_000]);
        let first = advance(None, Unit::Usd, &day(), None, 1_000_001, at(MIDNIGHT)).unwrap();
        assert_eq!(first.spent, ["0.001000001"]);
    }
}
