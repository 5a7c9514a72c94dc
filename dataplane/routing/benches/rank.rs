//! How long it takes to order the candidates of a rule, for every call that has several.

use divan::{Bencher, black_box};
use llm_routing::rank::{Facts, Strategy, Weights, rank};

const STRATEGIES: [(&str, Strategy); 3] = [
    ("weighted", Strategy::Weighted),
    ("ordered", Strategy::Ordered),
    ("balanced", Strategy::Scored(Weights::BALANCED)),
];

fn main() {
    divan::main();
}

/// Three backends of two models at two providers each.
fn candidates() -> Vec<Facts> {
    (0..12_u16)
        .map(|i| Facts {
            place: i,
            backend: i / 4,
            backend_weight: u32::from(i / 4) * 10 + 1,
            model: i % 4 / 2,
            named: i % 4 < 2,
            priority: u32::from(i % 2),
            weight: u32::from(i) + 1,
            cost: f32::from(i) * 1e5,
            latency: (i % 3 > 0).then(|| 300.0 + f32::from(i)),
            quality: 0.5,
            health: 1.0,
            in_flight: u32::from(i),
            ..Facts::default()
        })
        .collect()
}

#[divan::bench(args = STRATEGIES.map(|(name, _)| name))]
fn twelve(bencher: Bencher<'_, '_>, name: &str) {
    let strategy = STRATEGIES.into_iter().find(|(known, _)| *known == name).map(|(_, strategy)| strategy);
    let (strategy, candidates) = (strategy.unwrap_or(Strategy::Ordered), candidates());
    let mut draw = 0;
    bencher.bench_local(|| {
        draw += 1;
        rank(black_box(strategy), black_box(&candidates), draw)
    });
}
