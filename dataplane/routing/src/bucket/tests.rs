//! No minute holds more than its quota, whatever is taken when and by how many threads.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// How many single ones fit.
fn taken(bucket: &Bucket, per_minute: u64, now: Duration) -> u64 {
    (0..).take_while(|_| bucket.take(1, per_minute, now).is_ok()).count() as u64
}

#[test]
fn a_tenth_at_once_and_the_rest_over_the_minute() {
    let bucket = Bucket::new();
    assert_eq!(taken(&bucket, 600, secs(0)), 60);
    let wait = bucket.take(1, 600, secs(0)).unwrap_err();
    assert!(wait > ms(109) && wait < ms(110), "{wait:?}");
    assert!(bucket.take(1, 600, wait - Duration::from_nanos(1)).is_err());
    assert_eq!(bucket.take(1, 600, wait), Ok(()));
    // 540 come back in a minute; a minute is full of what is taken as it comes.
    let rest: u64 = (1..60_000).map(|at| taken(&bucket, 600, ms(at))).sum();
    assert_eq!(61 + rest, 600);
}

#[test]
fn small_quotas_come_back_too() {
    for per_minute in 1..=30 {
        let bucket = Bucket::new();
        let all: u64 = (0..6_000).map(|at| taken(&bucket, per_minute, ms(at * 100))).sum();
        assert!(all >= per_minute * 9 && all <= per_minute * 10, "{per_minute}: {all}");
    }
    assert_eq!(Bucket::new().take(1, 0, secs(0)), Err(MINUTE));
    assert_eq!(Bucket::new().take(0, 0, secs(0)), Ok(()));
}

#[test]
fn large_ones_wait_for_a_quiet_time_and_not_for_ever() {
    let bucket = Bucket::new();
    // A new bucket has been quiet.
    assert_eq!(bucket.take(30_000, 100_000, secs(0)), Ok(()));
    let wait = bucket.take(30_000, 100_000, secs(0)).unwrap_err();
    assert!(wait > secs(33) && wait < secs(34), "{wait:?}");
    assert_eq!(bucket.take(30_000, 100_000, wait), Ok(()));
    // More than the whole quota is the whole quota.
    let wait = bucket.take(u64::MAX, 100_000, secs(40)).unwrap_err();
    assert!(wait < secs(120), "{wait:?}");
    assert_eq!(bucket.take(u64::MAX, 100_000, secs(40) + wait), Ok(()));
}

#[test]
fn what_is_given_back_can_be_taken() {
    let bucket = Bucket::new();
    assert_eq!(bucket.take(10_000, 100_000, secs(0)), Ok(()));
    bucket.give_back(4_000, 100_000);
    assert!(bucket.take(4_001, 100_000, secs(0)).is_err());
    assert_eq!(bucket.take(4_000, 100_000, secs(0)), Ok(()));
    // Nobody gets more by giving more back.
    bucket.give_back(u64::MAX, 100_000);
    assert_eq!(taken(&bucket, 100, secs(10)), 10);
}

#[test]
fn what_is_charged_is_waited_for_and_bounded() {
    let bucket = Bucket::new();
    bucket.charge(91, 100, secs(0));
    assert_eq!(taken(&bucket, 100, ms(54_000)), 0);
    assert_eq!(taken(&bucket, 100, ms(54_100)), 1);
    for _ in 0..3 {
        bucket.charge(u64::MAX, 100, secs(60));
    }
    // A debt is not forgiven by a clock that is behind.
    bucket.charge(1, 100, secs(0));
    assert_eq!(taken(&bucket, 100, secs(173)), 0);
    assert_eq!(taken(&bucket, 100, secs(180)), 10);
}

#[test]
fn extremes_do_no_harm() {
    for per_minute in [1, 2, u64::MAX] {
        let bucket = Bucket::new();
        assert_eq!(bucket.take(u64::MAX, per_minute, Duration::MAX), Ok(()));
        bucket.charge(u64::MAX, per_minute, Duration::MAX);
        bucket.give_back(u64::MAX, per_minute);
        bucket.charge(u64::MAX, per_minute, Duration::ZERO);
        _ = bucket.take(1, per_minute, Duration::ZERO);
    }
}

/// What happened: when, and how much was taken, given back or charged.
#[derive(Clone, Copy, Debug)]
enum Event {
    Take(u64),
    GiveBack(u64),
    Charge(u64),
}

/// Amounts in thousandths of the quota, and milliseconds.
fn events() -> impl Strategy<Value = Vec<(u64, u64, Event)>> {
    let wait = prop_oneof![Just(0), 0..500_u64, 0..20_000_u64];
    let event = prop_oneof![
        6 => (1..120_u64).prop_map(Event::Take),
        2 => (1..1_100_u64).prop_map(Event::Take),
        2 => (1..100_u64).prop_map(Event::GiveBack),
        1 => (1..300_u64).prop_map(Event::Charge),
    ];
    prop::collection::vec((wait, 0..50_u64, event), 1..150)
}

/// Of all windows of 60 seconds that begin at an event, the most that any holds.
fn most(log: &[(u64, i128)]) -> i128 {
    let mut log = log.to_vec();
    log.sort_by_key(|(at, _)| *at);
    let sums: Vec<i128> = std::iter::once(0)
        .chain(log.iter().scan(0, |sum, (_, n)| {
            *sum += n;
            Some(*sum)
        }))
        .collect();
    let before = |time: u64| sums[log.partition_point(|(at, _)| *at < time)];
    log.iter().map(|(start, _)| before(start + 60_000) - before(*start)).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn no_minute_has_more(events in events(), per_minute in prop_oneof![1..40_u64, 1..2_000_000_u64]) {
        let (bucket, mut now, mut log, mut outstanding) = (Bucket::new(), 50, vec![], 0_u64);
        for (wait, behind, event) in events {
            now += wait;
            let amount = |thousandths: u64| (per_minute * thousandths / 1_000).max(1);
            match event {
                Event::Take(n) => {
                    let (n, at) = (amount(n), now - behind);
                    let n = n.min(per_minute);
                    match bucket.take(n, per_minute, ms(at)) {
                        Ok(()) => {
                            log.push((at, i128::from(n)));
                            outstanding += n;
                        }
                        Err(wait) => {
                            prop_assert!(wait < 4 * MINUTE);
                            prop_assert!(bucket.take(n, per_minute, ms(at) + wait / 2).is_err());
                        }
                    }
                }
                Event::GiveBack(n) => {
                    let n = amount(n).min(outstanding);
                    outstanding -= n;
                    bucket.give_back(n, per_minute);
                    log.push((now, -i128::from(n)));
                }
                // Was not asked for, so it is no part of what is promised; it must not loosen it either.
                Event::Charge(n) => bucket.charge(amount(n), per_minute, ms(now)),
            }
        }
        prop_assert!(most(&log) <= i128::from(per_minute), "{} of {per_minute}", most(&log));
    }

    #[test]
    fn what_is_told_to_wait_fits_then(
        sizes in prop::collection::vec(1..1_200_u64, 1..20),
        per_minute in 1..1_000_u64,
    ) {
        let (bucket, mut now) = (Bucket::new(), Duration::ZERO);
        for n in sizes {
            if let Err(wait) = bucket.take(n, per_minute, now) {
                prop_assert!(wait < 2 * MINUTE + secs(10), "{wait:?}");
                now += wait;
                prop_assert_eq!(bucket.take(n, per_minute, now), Ok(()));
            }
        }
    }

    /// Whoever takes what fits at each moment gets nine tenths.
    #[test]
    fn a_steady_load_gets_its_part(per_minute in 10..500_u64) {
        let bucket = Bucket::new();
        let all: u64 = (0..1_200).map(|tick| taken(&bucket, per_minute, ms(tick * 250))).sum();
        prop_assert!(all >= per_minute * 5 * 9 / 10 && all <= per_minute * 5, "{all}");
    }
}

#[test]
fn threads_together_keep_to_the_quota() {
    const PER_MINUTE: u64 = 5_000;
    let (bucket, clock, log) = (Bucket::new(), AtomicU64::new(0), Mutex::new(vec![]));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (bucket, clock, log) = (&bucket, &clock, &log);
            scope.spawn(move || {
                let mut own = vec![];
                for i in 0..20_000_u64 {
                    // Two minutes and forty seconds, by clocks that differ by up to 70 ms.
                    let now = 100 + clock.fetch_add(1, Ordering::Relaxed) - thread * 10;
                    let n = 1 + i % 7 * thread;
                    if bucket.take(n, PER_MINUTE, ms(now)).is_ok() {
                        own.push((now, i128::from(n)));
                    }
                }
                log.lock().unwrap().extend(own);
            });
        }
    });
    let log = log.into_inner().unwrap();
    let all: i128 = log.iter().map(|(_, n)| n).sum();
    assert!(most(&log) <= i128::from(PER_MINUTE), "{}", most(&log));
    assert!(all > i128::from(PER_MINUTE) * 2, "{all}");
}
