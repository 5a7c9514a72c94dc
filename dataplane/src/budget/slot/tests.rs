//! The lines of a limit follow each other, by clocks of the test's own.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use llm_ledger::account::Answer;
use tokio::time::{Duration, Instant, advance};

use super::*;
use crate::budget::line;

const UNIX_NOW: i64 = 1_795_651_200_000;
/// Milliseconds: of the four minutes below a twenty-fourth.
const PART: i64 = 10_000;

/// Ten requests in any four minutes.
async fn slot() -> (Arc<Purses>, Arc<Slot>) {
    // The process's time begins with who asks for it first, by the clock of that test: all of this is long after it.
    let _begun = line::now();
    advance(Duration::from_secs(24 * 3_600)).await;
    let purses = Arc::new(Purses::default());
    let limit = Limit { window: Window::Rolling(240), unit: config::budget::Unit::Requests, amount: 10 };
    let budget = config::Budget {
        uid: "u".to_owned(),
        time_zone: "UTC".to_owned(),
        limits: vec![limit],
        ..config::Budget::default()
    };
    let slot = purses.slot(&"ai/team".into(), &budget, limit).unwrap();
    (purses, slot)
}

fn granted(line: &Line) -> Answer {
    let statement = line.lease().due(line::now()).unwrap();
    let left = Left { limit: 10, free: 4, spent: 6, short: None };
    Answer::Granted { seq: statement.seq, amount: statement.need, recall: false, left }
}

#[tokio::test(start_paused = true)]
async fn each_part_of_a_rolling_limit_is_spent_by_a_line_of_its_own() {
    let (_purses, slot) = slot().await;
    let first = slot.line(None, UNIX_NOW);
    assert_eq!((&*first.place.key(), first.place.start), ("llm:{u}:rolling240-requests:0", 0));
    assert!(Arc::ptr_eq(&first, &slot.line(None, UNIX_NOW + PART - 1)));
    // Whichever clock says so, and one that is set back.
    let second = slot.line(None, UNIX_NOW + PART);
    assert!(!Arc::ptr_eq(&first, &second) && second.place == first.place);
    assert!(Arc::ptr_eq(&second, &slot.line(None, UNIX_NOW + PART - 5_000)));
    let third = slot.line(None, UNIX_NOW);
    assert!(!Arc::ptr_eq(&second, &third));
    advance(Duration::from_millis(PART.unsigned_abs())).await;
    assert!(third.is_over(UNIX_NOW));
    assert!(!Arc::ptr_eq(&third, &slot.line(None, UNIX_NOW)));
    assert_eq!(
        (third.ends_in(UNIX_NOW), third.comes_back_in(UNIX_NOW)),
        (None, Some(Duration::from_secs(10)))
    );
    // What was spent in it counts for as long as the limit is.
    advance(Duration::from_secs(229)).await;
    assert!(!third.is_lost(UNIX_NOW));
    advance(Duration::from_secs(1)).await;
    assert!(third.is_lost(UNIX_NOW));
}

#[tokio::test(start_paused = true)]
async fn a_line_knows_what_the_ledger_said_to_the_one_before_it() {
    let (_purses, slot) = slot().await;
    let first = slot.line(None, UNIX_NOW);
    first.lease().wait_for(1);
    first.answered(&granted(&first));
    advance(Duration::from_millis(PART.unsigned_abs() - 1)).await;
    let second = slot.line(None, UNIX_NOW + PART);
    assert!(first.reserve(1).is_some() && second.reserve(1).is_none(), "each has its own money");
    assert_eq!((second.left().unwrap().spent, slot.left(None).unwrap().spent), (6, 6));
    advance(Duration::from_millis(2)).await;
    assert!(slot.left(None).is_none(), "that was a part ago");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_over_gives_back_at_once_and_lets_go_of_who_waits() {
    let (_purses, slot) = slot().await;
    let begun_at = unix_now();
    let line = slot.line(None, begun_at);
    line.lease().wait_for(1);
    line.answered(&granted(&line));
    let asked = line.ask(2, 0, None);
    let money = asked.money(Instant::now() + Duration::from_secs(60)).await;
    assert_eq!(money.map(|_| ()), Err(Shortage::Over));
    drop(asked);
    assert!(line.is_over(begun_at));
    let statement = line.lease().due(line::now()).unwrap();
    assert_eq!((statement.drawn, statement.need, statement.want), (0, 0, 0));
}

#[test]
fn values_of_a_window_that_is_over_take_nobodys_place() {
    const DAY: i64 = 24 * 3_600 * 1_000;
    let limit = Limit { window: Window::Daily, unit: config::budget::Unit::Requests, amount: 10 };
    let budget = config::Budget {
        uid: "b".into(),
        time_zone: "UTC".into(),
        per: vec![config::budget::Dimension::User],
        max_values: 2,
        limits: vec![limit],
        ..config::Budget::default()
    };
    let purses = Arc::new(Purses::default());
    let slot = purses.slot(&"ai/team".into(), &budget, limit).unwrap();
    slot.agree(&budget, limit);
    let value =
        |user: usize, day: i64| slot.line(Some(&format!("user-{user}")), day * DAY).place.value.clone();
    let own = |user: usize| Some(format!("user-{user}").into());
    for user in 0..5 {
        assert_eq!(value(user, 1), own(user));
    }
    assert_eq!(value(5, 1).as_deref(), Some(OTHERS), "of twice as many some have no account");
    // None of the five has been told to the ledger: they stay.
    for user in 5..10 {
        assert_eq!(value(user, 2), own(user));
    }
    assert_eq!(value(10, 2).as_deref(), Some(OTHERS));
}
