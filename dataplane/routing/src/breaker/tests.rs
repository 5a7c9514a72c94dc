//! The breaker against a model that keeps every outcome, and under threads.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::{
    Barrier,
    atomic::{AtomicU32, Ordering},
};

use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const SETTINGS: Settings =
    Settings { failures: 3, recovery: Duration::from_secs(30), rate: Rate { outcomes: 20, percent: 50 } };

fn opened(at: Duration) -> Breaker {
    let breaker = Breaker::new();
    for expected in [None, None, Some(Change::Opened)] {
        let permit = breaker.enter(at, &SETTINGS).unwrap();
        assert_eq!(breaker.fail(permit, at, &SETTINGS), expected);
    }
    breaker
}

#[test]
fn failures_in_a_row_open_and_the_probe_closes() {
    let breaker = opened(ms(1_000));
    let until = ms(31_000);
    assert_eq!(breaker.state(ms(30_999), &SETTINGS), State::Open { until });
    assert_eq!(breaker.enter(ms(30_999), &SETTINGS), Err(Refused { until }));
    assert_eq!(breaker.state(until, &SETTINGS), State::HalfOpen);
    assert!(breaker.admits(until, &SETTINGS));
    let probe = breaker.enter(until, &SETTINGS).unwrap();
    assert!(probe.is_probe());
    assert_eq!(breaker.state(until, &SETTINGS), State::HalfOpen);
    assert!(!breaker.admits(until, &SETTINGS));
    assert_eq!(breaker.enter(until, &SETTINGS), Err(Refused { until: ms(61_000) }));
    assert_eq!(breaker.succeed(probe, ms(32_000), &SETTINGS), Some(Change::Closed));
    assert_eq!(breaker.state(ms(32_000), &SETTINGS), State::Closed);
    // A permit reports once.
    assert_eq!(breaker.fail(probe, ms(32_000), &SETTINGS), None);
}

#[test]
fn a_success_ends_the_row() {
    let breaker = Breaker::new();
    for _ in 0..5 {
        for failed in [true, true, false] {
            let permit = breaker.enter(ms(0), &Settings::default()).unwrap();
            let settle = if failed { Breaker::fail } else { Breaker::succeed };
            assert_eq!(settle(&breaker, permit, ms(0), &SETTINGS), None);
        }
    }
}

#[test]
fn a_probe_that_fails_opens_for_as_long_again() {
    let breaker = opened(ms(0));
    let probe = breaker.enter(ms(30_000), &SETTINGS).unwrap();
    assert_eq!(breaker.fail(probe, ms(40_000), &SETTINGS), Some(Change::Opened));
    assert_eq!(breaker.state(ms(69_999), &SETTINGS), State::Open { until: ms(70_000) });
    assert!(breaker.enter(ms(70_000), &SETTINGS).unwrap().is_probe());
}

#[test]
fn a_probe_that_is_given_back_goes_to_the_next_call() {
    let breaker = opened(ms(0));
    let probe = breaker.enter(ms(30_000), &SETTINGS).unwrap();
    breaker.abandon(probe);
    assert_eq!(breaker.state(ms(30_000), &SETTINGS), State::HalfOpen);
    let next = breaker.enter(ms(30_000), &SETTINGS).unwrap();
    assert!(next.is_probe());
    assert_eq!(breaker.succeed(probe, ms(30_000), &SETTINGS), None);
    assert_eq!(breaker.succeed(next, ms(30_000), &SETTINGS), Some(Change::Closed));
}

#[test]
fn a_lost_probe_is_replaced_after_another_recovery() {
    let breaker = opened(ms(0));
    let lost = breaker.enter(ms(30_000), &SETTINGS).unwrap();
    assert!(breaker.enter(ms(59_999), &SETTINGS).is_err());
    let next = breaker.enter(ms(60_000), &SETTINGS).unwrap();
    assert_eq!(breaker.fail(lost, ms(60_001), &SETTINGS), None);
    assert_eq!(breaker.succeed(next, ms(60_002), &SETTINGS), Some(Change::Closed));
}

#[test]
fn outcomes_from_before_it_opened_count_no_more() {
    let breaker = Breaker::new();
    let late: Vec<_> = (0..8).map(|_| breaker.enter(ms(0), &SETTINGS).unwrap()).collect();
    for permit in &late[..3] {
        breaker.fail(*permit, ms(0), &SETTINGS);
    }
    assert_eq!(breaker.succeed(late[3], ms(10_000), &SETTINGS), None);
    assert_eq!(breaker.fail(late[4], ms(20_000), &SETTINGS), None);
    assert_eq!(breaker.state(ms(20_000), &SETTINGS), State::Open { until: ms(30_000) });
    let probe = breaker.enter(ms(30_000), &SETTINGS).unwrap();
    assert_eq!(breaker.succeed(late[5], ms(30_000), &SETTINGS), None);
    breaker.succeed(probe, ms(30_000), &SETTINGS);
    for permit in &late[5..] {
        assert_eq!(breaker.fail(*permit, ms(30_000), &SETTINGS), None);
    }
    assert_eq!(breaker.state(ms(30_000), &SETTINGS), State::Closed);
}

#[test]
fn settings_of_the_moment_hold() {
    let breaker = opened(ms(0));
    let shorter = Settings { recovery: ms(5_000), ..SETTINGS };
    assert_eq!(breaker.state(ms(5_000), &SETTINGS), State::Open { until: ms(30_000) });
    assert_eq!(breaker.state(ms(5_000), &shorter), State::HalfOpen);
}

#[test]
fn extremes_do_no_harm() {
    let settings =
        Settings { failures: u32::MAX, recovery: Duration::MAX, rate: Rate { outcomes: 0, percent: 101 } };
    let breaker = Breaker::new();
    for count in 1..=1023 {
        let permit = breaker.enter(Duration::MAX, &settings).unwrap();
        let change = breaker.fail(permit, Duration::MAX, &settings);
        assert_eq!(change.is_some(), count == 1023, "{count}");
    }
    assert_eq!(breaker.state(Duration::ZERO, &settings), State::Open { until: Duration::MAX });
    let zero = Settings { failures: 0, recovery: Duration::ZERO, ..settings };
    let breaker = Breaker::new();
    let permit = breaker.enter(ms(0), &zero).unwrap();
    assert_eq!(breaker.fail(permit, ms(0), &zero), Some(Change::Opened));
}

/// What the breaker does, with nothing packed and nothing forgotten.
struct Model {
    phase: Phase,
    at: u64,
    row: u32,
    /// Since it closed: the slice, and whether it failed.
    outcomes: Vec<(u64, bool)>,
    permits: u64,
    /// The permits that still count are from this one on.
    valid: u64,
}

#[derive(Clone, Copy)]
struct Held {
    permit: Permit,
    number: u64,
}

impl Model {
    fn turn(&mut self, phase: Phase, now: u64) {
        (self.phase, self.at, self.row, self.valid) = (phase, now, 0, self.permits);
        self.outcomes.clear();
    }

    fn shut(&self, now: u64, settings: &Settings) -> bool {
        matches!(self.phase, Phase::Open | Phase::Probing)
            && now < self.at + u64::try_from(settings.recovery.as_millis()).unwrap()
    }

    fn enter(&mut self, now: u64, settings: &Settings) -> Option<(bool, u64)> {
        if self.shut(now, settings) {
            return None;
        }
        let probe = self.phase != Phase::Closed;
        if probe {
            self.turn(Phase::Probing, now);
        }
        self.permits += 1;
        Some((probe, self.permits - 1))
    }

    fn settle(&mut self, held: Held, failed: bool, now: u64, settings: &Settings) -> Option<Change> {
        if held.number < self.valid || !matches!(self.phase, Phase::Closed | Phase::Probing) {
            return None;
        }
        if self.phase == Phase::Probing {
            let (phase, change) =
                if failed { (Phase::Open, Change::Opened) } else { (Phase::Closed, Change::Closed) };
            self.turn(phase, now);
            return Some(change);
        }
        self.outcomes.push((now / 5_000, failed));
        self.row = if failed { self.row + 1 } else { 0 };
        let seen = self.outcomes.iter().filter(|(slice, _)| slice + 1 >= now / 5_000);
        let (all, bad) = seen.fold((0, 0), |(all, bad), (_, failed)| (all + 1, bad + u32::from(*failed)));
        let tripped = all >= settings.rate.outcomes && bad * 100 >= all * settings.rate.percent;
        (failed && (tripped || self.row >= settings.failures)).then(|| {
            self.turn(Phase::Open, now);
            Change::Opened
        })
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Enter,
    Settle { which: prop::sample::Index, failed: bool },
    Abandon { which: prop::sample::Index },
    Set(Settings),
}

fn settings() -> impl Strategy<Value = Settings> {
    (1..7_u32, 1..20_000_u64, 3..12_u32, 30..110_u32).prop_map(|(failures, recovery, outcomes, percent)| {
        Settings { failures, recovery: ms(recovery), rate: Rate { outcomes, percent } }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<prop::sample::Index>;
    prop_oneof![
        2 => (0..3_000_u64).prop_map(Step::Wait),
        1 => (0..40_000_u64).prop_map(Step::Wait),
        8 => Just(Step::Enter),
        7 => (which(), any::<bool>()).prop_map(|(which, failed)| Step::Settle { which, failed }),
        1 => which().prop_map(|which| Step::Abandon { which }),
        1 => settings().prop_map(Step::Set),
    ]
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(first in settings(), steps in prop::collection::vec(step(), 1..400)) {
        let (breaker, mut settings, mut now, mut held) = (Breaker::new(), first, 0, Vec::<Held>::new());
        let mut model = Model { phase: Phase::Closed, at: 0, row: 0, outcomes: vec![], permits: 0, valid: 0 };
        for step in steps {
            match step {
                Step::Wait(ms) => now += ms,
                Step::Set(new) => settings = new,
                Step::Enter => {
                    let (entered, expected) = (breaker.enter(ms(now), &settings), model.enter(now, &settings));
                    prop_assert_eq!(entered.ok().map(Permit::is_probe), expected.map(|(probe, _)| probe));
                    if let (Ok(permit), Some((_, number))) = (entered, expected) {
                        held.push(Held { permit, number });
                    }
                }
                Step::Settle { which, failed } if !held.is_empty() => {
                    let one = held.swap_remove(which.index(held.len()));
                    let settle = if failed { Breaker::fail } else { Breaker::succeed };
                    let change = settle(&breaker, one.permit, ms(now), &settings);
                    prop_assert_eq!(change, model.settle(one, failed, now, &settings));
                }
                Step::Abandon { which } if !held.is_empty() => {
                    let one = held.swap_remove(which.index(held.len()));
                    breaker.abandon(one.permit);
                    if model.phase == Phase::Probing && one.number >= model.valid {
                        model.phase = Phase::Ready;
                    }
                }
                Step::Settle { .. } | Step::Abandon { .. } => {}
            }
            prop_assert_eq!(breaker.admits(ms(now), &settings), !model.shut(now, &settings));
            let state = match model.phase {
                Phase::Closed => State::Closed,
                Phase::Open if model.shut(now, &settings) => {
                    State::Open { until: ms(model.at) + settings.recovery }
                }
                _ => State::HalfOpen,
            };
            prop_assert_eq!(breaker.state(ms(now), &settings), state);
        }
    }

    #[test]
    fn a_circuit_survives_its_word(word in any::<u64>()) {
        prop_assert_eq!(Circuit::unpack(word).pack(), word);
    }

    /// Whatever clocks say, a breaker that is left alone for a recovery lets a call through.
    #[test]
    fn it_is_never_wedged(times in prop::collection::vec((0..100_000_u64, 0..4_u8), 1..200)) {
        let (breaker, mut held) = (Breaker::new(), vec![]);
        for &(now, what) in &times {
            match (what, held.pop()) {
                (0, Some(permit)) => _ = breaker.succeed(permit, ms(now), &SETTINGS),
                (1, Some(permit)) => _ = breaker.fail(permit, ms(now), &SETTINGS),
                (_, one) => held.extend(one.into_iter().chain(breaker.enter(ms(now), &SETTINGS).ok())),
            }
        }
        let last = times.iter().map(|(now, _)| *now).max().unwrap();
        prop_assert!(breaker.enter(ms(last) + SETTINGS.recovery, &SETTINGS).is_ok());
    }
}

#[test]
fn of_many_threads_one_is_the_probe() {
    const THREADS: u32 = 8;
    const ROUNDS: u32 = 3_000;
    let (breaker, barrier) = (opened(ms(0)), Barrier::new(THREADS as usize));
    let probes: Vec<_> = (0..ROUNDS).map(|_| AtomicU32::new(0)).collect();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for (round, probes) in (1..).zip(&probes) {
                    barrier.wait();
                    let now = ms(round * 30_000);
                    let Ok(permit) = breaker.enter(now, &SETTINGS) else { continue };
                    assert!(permit.is_probe());
                    probes.fetch_add(1, Ordering::Relaxed);
                    // Fails at once, or is lost; either way there is another a recovery later.
                    if round % 2 == 0 {
                        assert_eq!(breaker.fail(permit, now, &SETTINGS), Some(Change::Opened));
                    }
                }
            });
        }
    });
    assert!(probes.iter().all(|probes| probes.load(Ordering::Relaxed) == 1));
}

#[test]
fn of_many_threads_one_opens_and_one_closes() {
    const THREADS: u64 = 8;
    let (breaker, barrier) = (Breaker::new(), Barrier::new(THREADS as usize));
    let (opened, closed) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..1_000 {
                    let now = ms(round * 60_000);
                    let permit = breaker.enter(now, &SETTINGS).unwrap();
                    barrier.wait();
                    if breaker.fail(permit, now, &SETTINGS) == Some(Change::Opened) {
                        opened.fetch_add(1, Ordering::Relaxed);
                    }
                    barrier.wait();
                    let later = now + SETTINGS.recovery;
                    if let Ok(probe) = breaker.enter(later, &SETTINGS).as_ref()
                        && breaker.succeed(*probe, later, &SETTINGS) == Some(Change::Closed)
                    {
                        closed.fetch_add(1, Ordering::Relaxed);
                    }
                    barrier.wait();
                }
            });
        }
    });
    assert_eq!((opened.into_inner(), closed.into_inner()), (1_000, 1_000));
}
