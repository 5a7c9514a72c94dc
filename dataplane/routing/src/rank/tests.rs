//! Shares, orders and scores.

use proptest::{
    prelude::{any, prop_assert, prop_assert_eq, proptest},
    strategy::Strategy as _,
};

use super::*;

fn facts(backend: u16, backend_weight: u32, weight: u32) -> Facts {
    Facts { backend, backend_weight, weight, health: 1.0, quality: 0.5, ..Facts::default() }
}

fn indices(order: &Order) -> Vec<usize> {
    order.iter().map(|ranked| ranked.index).collect()
}

fn shares(candidates: &[Facts], place: usize) -> Vec<usize> {
    let mut shares = vec![0; candidates.len()];
    for draw in 0..10_000_u64 {
        shares[rank(Strategy::Weighted, candidates, draw)[place].index] += 1;
    }
    shares
}

#[test]
fn shares_follow_the_weights_in_the_second_place_too() {
    let candidates = [facts(0, 6, 1), facts(1, 3, 1), facts(2, 1, 1)];
    let near = |share: usize, expected: usize| share.abs_diff(expected) < 250;
    let first = shares(&candidates, 0);
    assert!(near(first[0], 6000) && near(first[1], 3000) && near(first[2], 1000), "{first:?}");
    // 0.6 × 3/4 + 0.1 × 3/9 of the second places are the middle one's.
    let second = shares(&candidates, 1);
    assert!(near(second[1], 4833), "{second:?}");
}

#[test]
fn the_drawn_backends_first_model_leads_and_the_named_one_elsewhere_is_next() {
    let at = |backend, model, named, priority| Facts { model, named, priority, ..facts(backend, 1, 1) };
    let candidates = [at(0, 0, true, 1), at(0, 0, true, 0), at(0, 1, false, 0), at(1, 0, true, 0)];
    for draw in 0..200 {
        let order = indices(&rank(Strategy::Weighted, &candidates, draw));
        let expected = if order[0] == 1 { [1, 0, 3, 2] } else { [3, 1, 0, 2] };
        assert_eq!(order, expected);
    }
    let order = indices(&rank(Strategy::Ordered, &candidates, 7));
    assert_eq!(order, [1, 0, 2, 3]);
}

#[test]
fn who_stands_alone_has_the_score_of_the_best() {
    let alone = Facts { cost: 5e6, latency: Some(900.0), quality: 0.6, ..facts(0, 1, 1) };
    let score = rank(Strategy::Scored(Weights::BALANCED), &[alone], 7)[0].score;
    let near = |part: f32, wanted: f32| (part - wanted).abs() < 1e-6;
    assert!(near(score.cost, 1.0) && near(score.latency, 1.0) && near(score.total, 2.6 / 3.0), "{score:?}");
}

#[test]
fn what_the_call_wishes_goes_before_what_the_rule_does() {
    let near = Facts { distance: 0, ..facts(1, 1, 1) };
    let far = Facts { distance: 1, ..facts(0, 1000, 1) };
    let preferred = Facts { preferred: true, ..facts(2, 1, 1) };
    for strategy in [Strategy::Weighted, Strategy::Ordered, Strategy::Scored(Weights::COST)] {
        assert_eq!(indices(&rank(strategy, &[far, near, preferred], 7)), [2, 1, 0], "{strategy:?}");
    }
}

#[test]
fn each_strategy_has_its_favourite() {
    let of = |cost, latency, quality| Facts { cost, latency: Some(latency), quality, ..facts(0, 1, 1) };
    let candidates = [of(1e6, 900.0, 0.5), of(5e6, 100.0, 0.4), of(9e6, 2000.0, 0.99)];
    let first = |weights| rank(Strategy::Scored(weights), &candidates, 1)[0].index;
    assert_eq!((first(Weights::COST), first(Weights::LATENCY), first(Weights::QUALITY)), (0, 1, 2));
}

#[test]
fn health_load_and_priority_count() {
    let good = Facts { cost: 10.0, latency: Some(10.0), ..facts(0, 1, 1) };
    let first = |candidates: &[Facts]| rank(Strategy::Scored(Weights::BALANCED), candidates, 1)[0].index;
    assert_eq!(first(&[Facts { health: 0.4, ..good }, good]), 1);
    assert_eq!(first(&[Facts { in_flight: 9, ..good }, good]), 1);
    assert_eq!(first(&[good, Facts { latency: None, ..good }, Facts { latency: Some(9.0), ..good }]), 1);
    let cheap_but_later = Facts { cost: 1.0, priority: 1, ..good };
    assert_eq!(first(&[cheap_but_later, good]), 1);
    let named = Facts { named: true, cost: 1e9, ..good };
    assert_eq!(first(&[good, named]), 1);
}

fn any_facts() -> impl proptest::strategy::Strategy<Value = Facts> {
    (
        (0..4_u16, 1..100_u32, 0..3_u16, any::<bool>(), 0..3_u32, 1..100_u32),
        (0.0..1e12_f32, proptest::option::of(0.0..1e6_f32), 0.0..=1.0_f32, 0.0..=1.0_f32, 0..10_000_u32),
    )
        .prop_map(
            |(
                (backend, backend_weight, model, named, priority, weight),
                (cost, latency, quality, health, in_flight),
            )| {
                Facts {
                    place: model,
                    distance: u8::from(named),
                    preferred: weight > 50,
                    backend,
                    backend_weight,
                    model,
                    named,
                    priority,
                    weight,
                    cost,
                    latency,
                    quality,
                    health,
                    in_flight,
                }
            },
        )
}

proptest! {
    #[test]
    fn every_candidate_has_one_place_and_a_score_within_bounds(
        candidates in proptest::collection::vec(any_facts(), 0..24), draw: u64, kind in 0..4_usize,
    ) {
        let strategy = [
            Strategy::Weighted, Strategy::Ordered,
            Strategy::Scored(Weights::BALANCED), Strategy::Scored(Weights::COST),
        ][kind];
        let order = rank(strategy, &candidates, draw);
        let mut places = indices(&order);
        places.sort_unstable();
        prop_assert_eq!(places, (0..candidates.len()).collect::<Vec<_>>());
        for Ranked { score, .. } in &order {
            prop_assert!((0.0..=1.001).contains(&score.total), "{:?}", score);
        }
        prop_assert_eq!(&order, &rank(strategy, &candidates, draw), "the same draw, the same order");
    }
}
