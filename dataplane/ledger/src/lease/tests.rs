//! A lease alone, with a ledger that answers as the test says.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;
use crate::account::Left;

fn granted(lease: &mut Lease, amount: Amount, now: Millis) -> Statement {
    let statement = lease.due(now).unwrap();
    lease
        .answered(&Answer::Granted { seq: statement.seq, amount, recall: false, left: Left::default() }, now);
    statement
}

/// A lease in the ledger's epoch with so much at hand, for a call that waits.
fn lease(amount: Amount) -> Lease {
    let mut lease = Lease::new(Holder(1), 0);
    assert!(lease.purse().reserve(amount).is_none());
    lease.wait_for(amount);
    assert_eq!(granted(&mut lease, amount, 0).need, amount);
    lease.wait_no_more();
    lease
}

#[test]
fn nothing_is_asked_before_the_first_call_and_then_at_once() {
    let mut lease = Lease::new(Holder(1), 0);
    assert_eq!(lease.due(10_000), None);
    lease.wait_for(30);
    let statement = lease.due(10_000).unwrap();
    assert_eq!((statement.need, statement.seq, statement.drawn), (30, 1, 0));
    // One at a time.
    assert_eq!(lease.due(10_001), None);
}

#[test]
fn what_was_spent_is_told_once_a_second_and_a_slice_follows_the_pace() {
    let mut lease = lease(1_000);
    let mut told = Vec::new();
    for tenth in 1..=50 {
        let now = tenth * 100;
        lease.purse().reserve(10).unwrap().settle(10);
        if let Some(statement) = lease.due(now) {
            lease.answered(
                &Answer::Granted {
                    seq: statement.seq,
                    amount: statement.want,
                    recall: false,
                    left: Left::default(),
                },
                now,
            );
            told.push((now, statement.spent));
        }
    }
    // Some 100 a second: two seconds' worth, and the largest call, is enough to hold.
    assert!((4..=12).contains(&told.len()), "{told:?}");
    let available = lease.purse().available();
    assert!((50..=500).contains(&available), "{available}");
}

/// What calls of 10 each meet that come at one pace.
#[derive(Debug, Default)]
struct Met {
    waits: u32,
    given_back: u32,
    most_at_hand: Amount,
    last_want: Amount,
}

impl Met {
    /// A call each `pause`, which lasts so long; the keeper looks every 50 ms, and who waits has the ledger asked at once.
    fn calls(
        lease: &mut Lease,
        (from, until): (Millis, Millis),
        (pause, length): (Millis, Millis),
        grants: impl Fn(&Statement) -> Amount,
    ) -> Self {
        let mut met = Self::default();
        let mut in_flight = std::collections::VecDeque::new();
        let says = |lease: &mut Lease, met: &mut Self, now| {
            let drawn = lease.drawn();
            let Some(statement) = lease.due(now) else { return false };
            met.given_back += u32::from(statement.drawn < drawn);
            met.last_want = statement.want;
            let (seq, amount) = (statement.seq, grants(&statement));
            lease.answered(&Answer::Granted { seq, amount, recall: false, left: Left::default() }, now);
            met.most_at_hand = met.most_at_hand.max(lease.purse().available());
            true
        };
        for now in from..until {
            while in_flight.front().is_some_and(|(ends, _)| *ends <= now) {
                let (_, call): (_, crate::purse::Reservation) = in_flight.pop_front().unwrap();
                call.settle(10);
            }
            if now % 50 == 0 {
                says(lease, &mut met, now);
            }
            if now % pause == 0 {
                let call = lease.purse().reserve(10).unwrap_or_else(|| {
                    met.waits += 1;
                    lease.needs(10, 10);
                    assert!(says(lease, &mut met, now), "the ledger is not asked at {now}");
                    lease.wait_no_more();
                    lease.purse().reserve(10).unwrap()
                });
                in_flight.push_back((now + length, call));
            }
        }
        in_flight.into_iter().for_each(|(_, call)| call.settle(10));
        met
    }
}

/// One that has given back all that it had.
fn rested() -> Lease {
    let mut lease = lease(10);
    assert_eq!(granted(&mut lease, 0, 9_900).drawn, 0);
    lease
}

/// There is plenty.
fn all(statement: &Statement) -> Amount {
    statement.want.max(statement.need)
}

#[test]
fn few_calls_wait_when_many_come_after_a_rest() {
    let mut lease = rested();
    let met = Met::calls(&mut lease, (10_000, 10_250), (1, 0), all);
    assert!(met.waits <= 10 && met.given_back == 0, "{met:?}");
    let met = Met::calls(&mut lease, (10_250, 13_000), (1, 0), all);
    assert!(met.waits <= 8 && met.most_at_hand <= 30_000, "{met:?}");
}

#[test]
fn what_was_asked_for_in_a_hurry_fades_when_the_hurry_does() {
    let mut lease = rested();
    let met = Met::calls(&mut lease, (10_000, 10_240), (1, 0), all);
    assert!(met.most_at_hand >= 1_000, "{met:?}");
    let met = Met::calls(&mut lease, (10_250, 16_250), (250, 0), all);
    assert!(met.given_back <= 10, "{met:?}");
    let available = lease.purse().available();
    assert!(available <= 600, "{available} at hand");
}

/// None of them has cost anything before it ends.
#[test]
fn calls_that_last_keep_what_is_at_hand() {
    for (pause, waits) in [(10, 40), (50, 20)] {
        let mut lease = rested();
        let met = Met::calls(&mut lease, (10_000, 18_000), (pause, 8_000), all);
        assert!(met.waits <= waits && met.given_back == 0 && met.most_at_hand <= 2_000, "{pause}: {met:?}");
    }
}

#[test]
fn where_there_is_little_nobody_asks_for_more_because_calls_wait() {
    let mut lease = rested();
    // The pace is not measured in so short a time.
    let met = Met::calls(&mut lease, (9_910, 10_010), (1, 0), all);
    assert!(met.last_want >= 100, "{met:?}");
    let asks = |lease: &mut Lease| {
        while lease.purse().reserve(10).is_some() {}
        lease.needs(10, 10);
        let statement = (10_010..10_100).find_map(|now| lease.due(now)).unwrap();
        let (seq, amount) = (statement.seq, statement.need);
        lease.answered(&Answer::Granted { seq, amount, recall: false, left: Left::default() }, 10_010);
        statement.want
    };
    let before = asks(&mut lease);
    assert!(before >= 100, "{before}");
    let wants = [(); 4].map(|()| asks(&mut lease));
    assert!(wants.iter().all(|want| *want <= 20), "{wants:?}");
}

#[test]
fn when_nobody_waits_any_more_or_others_do_the_hurry_is_over() {
    let mut lease = rested();
    lease.needs(10, 1_000);
    assert_eq!(granted(&mut lease, 1_000, 9_910).want, 1_000);
    lease.wait_no_more();
    while lease.purse().reserve(10).is_some() {}
    let statement = granted(&mut lease, 10, 9_911);
    assert!(statement.want <= 20, "all that waited have it: {statement:?}");
    let met = Met::calls(&mut lease, (9_912, 10_000), (1, 0), all);
    assert!(met.last_want >= 100, "{met:?}");
    lease.recall();
    granted(&mut lease, 0, 10_000);
    lease.needs(10, 10);
    let statement = lease.due(10_000).unwrap();
    assert!(statement.want <= 20, "others wait too: {statement:?}");
}

#[test]
fn idle_money_goes_back() {
    let mut lease = lease(100);
    lease.purse().reserve(10).unwrap().settle(4);
    assert!(lease.due(500).is_none_or(|statement| statement.drawn > 0));
    let statement = (1..20).find_map(|i| lease.due(i * 500).filter(|statement| statement.drawn == 4));
    assert_eq!(statement.unwrap().spent, 4);
    assert_eq!((lease.purse().available(), lease.drawn()), (0, 4));
}

/// Its calls may last long after.
#[test]
fn when_no_call_begins_any_more_all_goes_back_at_once_and_nothing_is_asked_for() {
    let mut lease = lease(100).until(1_000);
    let call = lease.purse().reserve(40).unwrap();
    lease.wait_for(500);
    assert_eq!(granted(&mut lease, 0, 900).need, 440);
    let statement = granted(&mut lease, 0, 1_000);
    assert_eq!((statement.drawn, statement.need, statement.want), (40, 0, 0));
    assert_eq!((1_001..9_000).find_map(|now| lease.due(now)), None);
    call.settle(10);
    let statement = (9_000..11_000).find_map(|now| lease.due(now)).unwrap();
    assert_eq!((statement.drawn, statement.spent, statement.want), (10, 10, 0));
}

#[test]
fn an_answer_that_comes_late_never_counts() {
    let mut lease = Lease::new(Holder(1), 0);
    lease.wait_for(30);
    let first = lease.due(0).unwrap();
    let second = lease.due(TIMEOUT).unwrap();
    assert!(second.seq > first.seq);
    lease.answered(
        &Answer::Granted { seq: first.seq, amount: 30, recall: false, left: Left::default() },
        5_000,
    );
    assert_eq!(lease.purse().available(), 0);
    lease.answered(
        &Answer::Granted { seq: second.seq, amount: 30, recall: false, left: Left::default() },
        5_000,
    );
    assert_eq!((lease.purse().available(), lease.drawn(), lease.unanswered_since()), (30, 30, None));
}

/// Calls that come after it have their own time to wait; where a second one does not come, they need not.
#[test]
fn one_answer_that_does_not_come_is_asked_for_again_at_once_and_two_are_silence() {
    let mut lease = Lease::new(Holder(1), 0);
    lease.wait_for(30);
    assert_eq!(lease.due(100).unwrap().seq, 1);
    assert_eq!(lease.due(100 + TIMEOUT - 1), None);
    assert_eq!(lease.due(100 + TIMEOUT).unwrap().seq, 2);
    let second_is_late = 100 + 2 * TIMEOUT;
    assert_eq!((lease.unanswered_since(), lease.is_silent(second_is_late - 1)), (Some(100), false));
    assert!(lease.is_silent(second_is_late));
    assert_eq!(lease.due(second_is_late), None, "it is left alone for a while");
    let statement = lease.due(second_is_late + RETRY).unwrap();
    assert!(lease.is_silent(second_is_late + RETRY));
    let (seq, left) = (statement.seq, Left::default());
    lease.answered(&Answer::Granted { seq, amount: 30, recall: false, left }, second_is_late + RETRY);
    assert_eq!((lease.unanswered_since(), lease.is_silent(10_000)), (None, false));
}

#[test]
fn a_ledger_that_began_anew_is_told_all_again_and_one_that_is_away_ever_less_often() {
    let mut lease = lease(30);
    lease.wait_for(40);
    let statement = lease.due(100).unwrap();
    assert_eq!((statement.epoch, statement.need), (Epoch(0), 10));
    lease.answered(&Answer::Moved(Epoch(7)), 100);
    let statement = lease.due(100).unwrap();
    assert_eq!((statement.epoch, statement.drawn, statement.need), (Epoch(7), 30, 10));
    let asked = (101..30_000).filter(|now| lease.due(*now).is_some()).count();
    assert!((10..30).contains(&asked), "{asked} times in half a minute");
    // What it holds it may spend all the while.
    assert!(lease.purse().reserve(30).is_some());
}

#[test]
fn what_others_wait_for_goes_back_at_once_but_not_what_a_call_here_waits_for() {
    let mut lease = lease(100);
    lease.purse().reserve(30).unwrap().settle(30);
    lease.recall();
    let statement = granted(&mut lease, 0, 10);
    assert_eq!((statement.drawn, statement.spent, statement.want), (30, 30, 0));
    lease.wait_for(50);
    granted(&mut lease, 20, 20);
    lease.recall();
    // It is told with its next answer who goes first.
    let statement = lease.due(1_000).unwrap();
    assert_eq!((statement.drawn, statement.need), (50, 30));
}

/// Calls that are counted and not refused go on when nothing is left; there is no use in asking each time.
#[test]
fn a_slice_that_is_not_there_is_asked_for_once_a_second() {
    let mut lease = lease(100);
    let mut asked = 0;
    for now in (0..10_000).step_by(10) {
        lease.purse().charge(5);
        if lease.due(now).is_some() {
            asked += 1;
            let seq = lease.seq;
            let left = Left::default();
            lease.answered(&Answer::Granted { seq, amount: 0, recall: false, left }, now);
        }
    }
    assert!((9..=12).contains(&asked), "{asked} times in ten seconds");
}

/// A limit whose calls all go to something cheaper has none that would ask.
#[test]
fn what_somebody_decides_by_is_asked_once_a_second_for_as_long_as_it_is_looked_at() {
    let mut lease = lease(100);
    lease.purse().reserve(100).unwrap().settle(100);
    let mut asked = Vec::new();
    for now in (0..20_000).step_by(50) {
        if now < 10_000 {
            lease.ask_about();
        }
        if let Some(statement) = lease.due(now) {
            let (seq, left) = (statement.seq, Left::default());
            lease.answered(&Answer::Granted { seq, amount: 0, recall: false, left }, now);
            asked.push(now);
        }
    }
    let late = |from: Millis, to: Millis| asked.iter().filter(|now| (from..to).contains(*now)).count();
    assert!((4..=6).contains(&late(5_000, 10_000)), "{asked:?}");
    assert!(late(12_000, 20_000) == 0, "{asked:?}");
}

#[test]
fn a_value_without_an_account_is_asked_for_again_after_a_while() {
    let mut lease = Lease::new(Holder(1), 0);
    lease.wait_for(30);
    lease.due(0).unwrap();
    lease.answered(&Answer::Full, 10);
    assert_eq!(lease.unanswered_since(), None);
    assert_eq!(lease.due(10 + LONGEST_PAUSE - 1), None);
    assert_eq!(lease.due(10 + LONGEST_PAUSE).unwrap().need, 30);
}

/// A burst that meets a proxy which has rested is served in one go, and not call by call.
#[test]
fn all_calls_that_wait_are_asked_for_at_once_also_after_a_rest() {
    let mut lease = Lease::new(Holder(1), 0);
    lease.needs(30, 3_000);
    let statement = lease.due(10_000).unwrap();
    assert_eq!((statement.need, statement.want), (30, 3_000));
}
