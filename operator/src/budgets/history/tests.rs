//! What is stored of limits that are looked at again and again.

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
    // For 23 hours.
    let mut kept = Kept { window: total(), rolling: Some(23 * 3_600), stored: None };
    assert_eq!(kept.looked(50, "2026-11-26T00:10:00Z"), history("00:00", 0, &[50]));
    assert_eq!(kept.looked(60, "2026-11-26T02:10:00Z"), history("00:00", 0, &[50, 0, 10]));
    // Less than is spent, and too early for any of it to have come back: the ledger has lost its memory.
    assert_eq!(kept.looked(20, "2026-11-26T22:00:00Z"), history("00:00", 0, &[50, 0, 10]));
    // The fifty come back, and five are spent besides.
    assert_eq!(kept.looked(40, "2026-11-26T22:20:00Z"), history("00:00", 0, &[30, 0, 10]));
    assert_eq!(kept.looked(10, "2026-11-26T22:30:00Z"), history("00:00", 0, &[0, 0, 10]));
    let (start, earlier, spent) = kept.looked(15, "2026-11-26T22:40:00Z").unwrap();
    assert_eq!((start.as_str(), earlier, spent.len()), (MIDNIGHT, 0, 23));
    assert_eq!((spent[2], spent[22], spent.iter().sum::<Amount>()), (10, 5, 15));
    let (start, _, spent) = kept.looked(16, "2026-11-27T00:10:00Z").unwrap();
    assert_eq!((start.as_str(), spent.len(), spent[23]), ("2026-11-26T01:00:00Z", 24, 1));
    // All came back.
    assert_eq!(kept.looked(0, "2026-11-29T00:00:00Z").unwrap().2, spent, "time alone writes nothing");
    assert_eq!(kept.looked(7, "2026-11-29T00:00:00Z").unwrap().2.last(), Some(&7));
}

#[test]
fn what_counts_of_a_rolling_limit_is_drawn_once_however_late_it_comes_back() {
    for length in [65, 325, 19_500, 93_600] {
        let begun = at(MIDNIGHT).as_second();
        // Where in its part it is spent, and how late it comes back.
        for (offset, late) in (0..50).flat_map(|offset| [(offset, 0), (offset, 25), (offset, 50)]) {
            let burst_at = begun + offset * length / 1_000;
            let back_at = burst_at + counts_at_least(length) + (length / 26) * late / 50;
            let mut kept = Kept { window: total(), rolling: Some(length), stored: None };
            let mut little = 0;
            let mut now = burst_at;
            while now < burst_at + length * 2 {
                // A token now and then, which come back as well: none of them is missed by much.
                little += 1;
                let spent = little + if now < back_at { 1_000_000 } else { 0 };
                let text = Timestamp::from_second(now).unwrap().to_string();
                if let Some((_, earlier, parts)) = kept.looked(spent, &text) {
                    let bursts = parts.iter().filter(|part| **part >= 1_000_000).count();
                    assert_eq!(bursts, usize::from(now < back_at), "{length}, {offset}, {late}: {parts:?}");
                    assert_eq!(earlier, 0);
                }
                now += (length / 60).max(1);
            }
        }
    }
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
    // Of a rolling limit it comes back, nobody knows when, and before all that is seen from then on.
    let mut kept = Kept { window: total(), rolling: Some(23 * 3_600), stored: None };
    kept.looked(40, "2026-11-26T09:00:00Z");
    spoil(&mut kept, |history| history.step_seconds = 60);
    assert_eq!(kept.looked(42, "2026-11-26T10:00:00Z"), history("10:00", 40, &[2]));
    assert_eq!(kept.looked(12, "2026-11-26T11:00:00Z"), history("10:00", 10, &[2]));
    assert_eq!(kept.looked(3, "2026-11-27T10:00:00Z").unwrap().1, 0, "it has by then");
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
