//! The bound that the budget promises, over every stretch of time and under threads.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn withdrawn(budget: &RetryBudget, wanted: u64, now: Duration) -> u64 {
    (0..wanted).map(|_| u64::from(budget.withdraw(now))).sum()
}

#[test]
fn a_fifth_of_the_calls_and_the_floor() {
    let budget = RetryBudget::default();
    assert_eq!(withdrawn(&budget, 100, ms(0)), 10);
    (0..1_000).for_each(|_| budget.deposit(ms(1_000)));
    assert_eq!(withdrawn(&budget, 1_000, ms(1_000)), 200 + 1);
    assert_eq!(withdrawn(&budget, 1_000, ms(4_000)), 3);
}

#[test]
fn what_is_earned_lasts_five_to_ten_seconds() {
    let budget = RetryBudget::new(Settings { percent: 20, floor: 0 });
    (0..50).for_each(|_| budget.deposit(ms(4_999)));
    assert_eq!(withdrawn(&budget, 1, ms(9_999)), 1);
    assert_eq!(withdrawn(&budget, 1, ms(10_000)), 0);
    (0..3).for_each(|_| budget.deposit(ms(14_000)));
    (0..2).for_each(|_| budget.deposit(ms(15_000)));
    // A retry is paid by two slices together, and by a clock that is a little behind.
    assert_eq!(withdrawn(&budget, 2, ms(14_999)), 1);
}

#[test]
fn the_floor_comes_back_one_by_one() {
    let budget = RetryBudget::new(Settings { percent: 0, floor: 4 });
    assert_eq!(withdrawn(&budget, 100, ms(0)), 40);
    assert_eq!(withdrawn(&budget, 100, ms(249)), 0);
    assert_eq!(withdrawn(&budget, 100, ms(250)), 1);
    assert_eq!(withdrawn(&budget, 100, ms(3_600_000)), 40);
}

#[test]
fn extremes_do_no_harm() {
    let budget = RetryBudget::new(Settings { percent: u32::MAX, floor: u32::MAX });
    budget.deposit(Duration::MAX);
    assert!(budget.withdraw(Duration::MAX));
    assert_eq!(withdrawn(&budget, 20_000, Duration::ZERO).cmp(&0), std::cmp::Ordering::Greater);
}

/// Some retries at a time, calls at a time.
fn events() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let wait = prop_oneof![Just(0), 0..200_u64, 0..12_000_u64];
    prop::collection::vec((wait, 0..30_u64, 0..12_u64), 1..60)
}

proptest! {
    #[test]
    fn no_stretch_of_time_has_more(events in events(), percent in 0..60_u32, floor in 0..4_u32) {
        let budget = RetryBudget::new(Settings { percent, floor });
        let (mut now, mut log) = (0, vec![]);
        for (wait, calls, wanted) in events {
            now += wait;
            (0..calls).for_each(|_| budget.deposit(ms(now)));
            log.push((now, calls, withdrawn(&budget, wanted, ms(now))));
        }
        for (i, &(start, ..)) in log.iter().enumerate() {
            for &(end, ..) in &log[i..] {
                let sum = |from: u64, count: fn(&(u64, u64, u64)) -> u64| -> u64 {
                    log.iter().filter(|(at, ..)| (from..=end).contains(at)).map(count).sum()
                };
                let (retries, calls) = (sum(start, |e| e.2), sum(start.saturating_sub(10_000), |e| e.1));
                // In hundred-thousandths, to stay exact.
                let bound = u64::from(percent) * calls * 1_000 + u64::from(floor) * (end - start + 10_000) * 100;
                prop_assert!(retries * 100_000 <= bound, "{retries} in {start}..={end} of {calls}");
            }
        }
    }

    /// The budget is not mean either: what is just earned can be spent.
    #[test]
    fn what_is_earned_can_be_spent(calls in 0..2_000_u64, at in 0..100_000_u64, later in 0..5_000_u64) {
        let budget = RetryBudget::new(Settings { percent: 20, floor: 0 });
        (0..calls).for_each(|_| budget.deposit(ms(at)));
        prop_assert_eq!(withdrawn(&budget, 2_000, ms(at + later)), calls / 5);
    }

    #[test]
    fn what_is_earned_survives_its_word(word in any::<u64>()) {
        prop_assert_eq!(Earned::unpack(word).pack(), word);
    }
}

#[test]
fn threads_together_keep_the_bound() {
    let budget = RetryBudget::default();
    let (clock, calls, retries) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (budget, clock, calls, retries) = (&budget, &clock, &calls, &retries);
            scope.spawn(move || {
                for i in 0..20_000_u64 {
                    // Twenty seconds in all, by clocks that differ by up to 70 ms.
                    let now = ms(100 + clock.fetch_add(1, Ordering::Relaxed) / 8 - thread * 10);
                    if i % 3 == 0 {
                        calls.fetch_add(1, Ordering::Relaxed);
                        budget.deposit(now);
                    }
                    if budget.withdraw(now) {
                        retries.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (calls, retries) = (calls.into_inner(), retries.into_inner());
    assert!(retries <= calls / 5 + 31, "{retries} of {calls}");
    // All wanted more, so nearly all of it is spent.
    assert!(retries >= calls / 5 * 9 / 10, "{retries} of {calls}");
}
