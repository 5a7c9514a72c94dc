//! Quantiles against the sorted samples themselves.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;

use super::*;

const HALF_LIFE: Duration = Duration::from_secs(60);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn filled(samples: impl IntoIterator<Item = f32>, now: Duration) -> Quantiles {
    let quantiles = Quantiles::new(HALF_LIFE);
    samples.into_iter().for_each(|ms| quantiles.observe(ms, now));
    quantiles
}

fn near(found: Option<f32>, exact: f32) -> bool {
    let ratio = found.unwrap() / exact;
    (0.8999..1.1099).contains(&ratio)
}

#[test]
fn there_is_none_of_a_few() {
    let quantiles = filled([5.0; 19], secs(0));
    assert_eq!(quantiles.quantile(0.5, secs(0)), None);
    quantiles.observe(5.0, secs(0));
    assert!(near(quantiles.quantile(0.5, secs(0)), 5.0));
    assert_eq!(quantiles.quantile(f32::NAN, secs(0)), None);
    // Nor of twenty that weigh ten.
    assert_eq!(quantiles.quantile(0.5, secs(60)), None);
}

#[test]
fn the_range_is_a_millisecond_to_ten_minutes() {
    for ms in [1.0, 1.3, 17.0, 1_000.0, 59_999.0, 600_000.0] {
        let quantiles = filled([ms; 20], secs(0));
        for q in [-1.0, 0.0, 0.5, 1.0, 2.0] {
            assert!(near(quantiles.quantile(q, secs(0)), ms), "{ms}");
        }
    }
    for (ms, as_if) in
        [(0.0, 1.1), (-3.0, 1.1), (f32::NAN, 1.1), (1e9, 570_000.0), (f32::INFINITY, 570_000.0)]
    {
        assert!(near(filled([ms; 20], secs(0)).quantile(0.5, secs(0)), as_if), "{ms}");
    }
}

#[test]
fn what_is_old_gives_way() {
    let quantiles = filled([100.0; 1_000], secs(0));
    // Two half-lives later it weighs 250, against 251.
    (0..251).for_each(|_| quantiles.observe(5_000.0, secs(120)));
    assert!(near(quantiles.quantile(0.495, secs(120)), 100.0));
    assert!(near(quantiles.quantile(0.505, secs(120)), 5_000.0));
    assert!(near(quantiles.quantile(0.505, secs(300)), 5_000.0));
    assert_eq!(quantiles.quantile(0.5, secs(420)), None);
    assert_eq!(quantiles.quantile(0.5, Duration::MAX), None);
}

#[test]
fn extremes_do_no_harm() {
    let quantiles = Quantiles::new(Duration::ZERO);
    for now in [Duration::MAX, Duration::ZERO, secs(7)] {
        (0..20).for_each(|_| quantiles.observe(9.0, now));
        assert!(near(quantiles.quantile(0.5, now), 9.0));
    }
}

proptest! {
    #[test]
    fn a_quantile_is_near_the_sample_of_its_rank(
        logs in prop::collection::vec(0.0..19.19_f32, 20..400),
        q in 0.0..=1.0_f32,
        start in 0..1_000_000_u64,
    ) {
        let mut samples: Vec<f32> = logs.into_iter().map(f32::exp2).collect();
        let quantiles = filled(samples.iter().copied(), secs(start));
        samples.sort_by(f32::total_cmp);
        let rank = (f64::from(q) * samples.len() as f64).ceil().max(1.0) as usize;
        let found = quantiles.quantile(q, secs(start));
        prop_assert!(near(found, samples[rank - 1]), "{found:?} for {}", samples[rank - 1]);
    }

    /// Against samples that keep their weights: the sample found has its rank, give or take a bucket.
    #[test]
    fn weights_halve_by_time(
        samples in prop::collection::vec((0.0..19.19_f32, 0..30_u64), 100..400),
        q in 0.0..=1.0_f32,
    ) {
        let quantiles = Quantiles::new(HALF_LIFE);
        let (mut now, mut log) = (0, vec![]);
        for (ms, wait) in samples {
            now += wait / 10;
            quantiles.observe(ms.exp2(), secs(now));
            log.push((ms.exp2(), now / 60));
        }
        let weigh = |below: f32| -> f64 {
            let samples = log.iter().filter(|(ms, _)| *ms <= below);
            samples.map(|(_, number)| (-((now / 60 - number) as f64)).exp2()).sum()
        };
        let all = weigh(f32::MAX);
        match quantiles.quantile(q, secs(now)) {
            None => prop_assert!(all < 21.0),
            Some(found) => {
                let (half, share) = ((WIDTH / 2.0).exp2() * 1.001, f64::from(q));
                prop_assert!(weigh(found * half) / all >= share - 0.01);
                prop_assert!(weigh(found / half) / all <= share + 0.01);
            }
        }
    }
}

#[test]
fn no_sample_of_any_thread_is_lost_while_nothing_is_halved() {
    let quantiles = Quantiles::new(HALF_LIFE);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5_000).for_each(|i| quantiles.observe((i % 500) as f32, secs(59))));
        }
    });
    let all: u32 = quantiles.counts.iter().map(|count| count.load(Relaxed) / SAMPLE).sum();
    assert_eq!(all, 20_000);
}
