//! The mean against one that keeps all samples.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;

use super::*;

const HALF_LIFE: Duration = Duration::from_secs(10);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn the_first_samples_average() {
    let mean = Decaying::new(HALF_LIFE);
    assert_eq!((mean.get(), mean.weight(ms(0))), (None, 0.0));
    for (value, expected) in [(100.0, 100.0), (0.0, 50.0), (20.0, 40.0)] {
        mean.observe(value, ms(5_000));
        assert!((mean.get().unwrap() - expected).abs() < 0.02, "{:?}", mean.get());
    }
    assert!((mean.weight(ms(5_000)) - 3.0).abs() < 0.01);
    assert!((mean.weight(ms(15_000)) - 1.5).abs() < 0.01);
}

#[test]
fn after_a_half_life_a_sample_weighs_half() {
    let mean = Decaying::new(HALF_LIFE);
    mean.observe(30.0, ms(0));
    mean.observe(0.0, ms(10_000));
    assert!((mean.get().unwrap() - 10.0).abs() < 0.01);
    // A day later nothing is left of it but the value.
    assert!((mean.get().unwrap() - 10.0).abs() < 0.01 && mean.weight(ms(86_400_000)) < 1e-9);
    mean.observe(7.0, ms(86_400_000));
    assert!((mean.get().unwrap() - 7.0).abs() < 1e-5);
}

#[test]
fn it_is_fresh_as_long_as_its_weight_says() {
    let mean = Decaying::new(HALF_LIFE);
    assert_eq!(mean.fresh(3, ms(0)), None);
    mean.observe(30.0, ms(5_000));
    for (now, fresh) in [(0, true), (5_000, true), (34_990, true), (35_010, false), (86_400_000, false)] {
        assert_eq!(mean.fresh(3, ms(now)).is_some(), fresh, "{now}");
    }
    assert!((mean.fresh(0, ms(5_000)).unwrap() - 30.0).abs() < 0.01);
    // Two weigh as much as one for a half-life more.
    mean.observe(30.0, ms(5_000));
    assert!(mean.fresh(3, ms(44_990)).is_some() && mean.fresh(3, ms(45_010)).is_none());
}

#[test]
fn a_rate_moves_at_any_traffic() {
    let rate = Decaying::new(HALF_LIFE);
    // A thousand a second for two minutes, then a tenth of them fail.
    (0..120_000).for_each(|i| rate.observe(0.0, ms(i)));
    assert_eq!(rate.get(), Some(0.0));
    (120_000..240_000).for_each(|i| rate.observe(f32::from(u8::from(i % 10 == 0)), ms(i)));
    assert!((rate.get().unwrap() - 0.1).abs() < 0.005, "{:?}", rate.get());
    assert!(rate.weight(ms(240_000)) > 8_000.0);
}

#[test]
fn extremes_do_no_harm() {
    let mean = Decaying::new(Duration::ZERO);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        mean.observe(value, ms(0));
    }
    assert_eq!(mean.get(), None);
    for now in [Duration::MAX, Duration::ZERO, ms(1), Duration::MAX] {
        mean.observe(f32::MAX, now);
        mean.observe(-1.0, now);
        assert!(mean.get().unwrap().is_finite() && mean.weight(now) >= 1.0);
    }
}

#[test]
fn what_is_of_years_ago_weighs_nothing() {
    let mean = Decaying::new(HALF_LIFE);
    (0..1_000).for_each(|_| mean.observe(1.0, ms(0)));
    for days in [1, 100, 1_000, 1_900] {
        assert!(mean.weight(Duration::from_secs(days * 86_400)) < 1e-9, "{days}");
    }
}

proptest! {
    #[test]
    fn it_is_the_mean_of_all_samples(
        samples in prop::collection::vec((0.0..1_000_f64, 0..3_000_u64, 0..50_u64), 1..200),
        start in 0..100_000_000_u64,
    ) {
        let mean = Decaying::new(HALF_LIFE);
        let (mut now, mut log) = (start + 50, vec![]);
        for (value, wait, behind) in samples {
            now += wait;
            // Threads read the clock in another order.
            let at = now - behind;
            mean.observe(value as f32, ms(at));
            log.push((value, at));
        }
        let weights: Vec<_> = log.iter().map(|(_, at)| (-((now - at) as f64) / 10_000.0).exp2()).collect();
        let all: f64 = weights.iter().sum();
        let expected = log.iter().zip(&weights).map(|((value, _), weight)| value * weight).sum::<f64>() / all;
        prop_assert!((f64::from(mean.get().unwrap()) - expected).abs() < 2.0, "{:?} {expected}", mean.get());
        prop_assert!((f64::from(mean.weight(ms(now))) / all - 1.0).abs() < 0.01);
    }

    #[test]
    fn it_stays_within_its_samples(
        samples in prop::collection::vec((5.0..9.0_f32, any::<u64>()), 1..100),
    ) {
        let mean = Decaying::new(HALF_LIFE);
        for (value, now) in samples {
            mean.observe(value, ms(now));
            prop_assert!((4.999..9.001).contains(&mean.get().unwrap()));
        }
    }

    #[test]
    fn a_mean_survives_its_word(value in 0.0..1e30_f32, height in 0..=HEIGHT_MASK) {
        let back = Mean::unpack(Mean { value, height }.pack()).unwrap();
        prop_assert_eq!(back.height, height);
        prop_assert!((back.value - value).abs() <= value * 1e-6);
        prop_assert_eq!(Mean::unpack(back.pack()), Some(back));
    }
}

#[test]
fn no_sample_of_any_thread_is_lost() {
    let mean = Decaying::new(HALF_LIFE);
    std::thread::scope(|scope| {
        for value in 0..4_u8 {
            let mean = &mean;
            scope.spawn(move || (0..500).for_each(|_| mean.observe(value.into(), ms(1))));
        }
    });
    assert!((mean.get().unwrap() - 1.5).abs() < 0.1, "{:?}", mean.get());
    assert!((mean.weight(ms(1)) / 2_000.0 - 1.0).abs() < 0.05, "{}", mean.weight(ms(1)));
}
