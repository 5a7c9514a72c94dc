//! Proxies, a ledger, operators and what they store, on a network that loses, doubles and delays, with clocks that run as they like:
//! whatever crashes, no more is billed than the limit, and no amount is in two places. The state machines are the real
//! ones; a seed is a whole run, and gives the same run again.
//!
//! `SEEDS=100000` runs more of them; `SEED=17` runs one, and tells what happens. The figures go to `target/simulator.md`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod bills;
mod broken;
mod faults;
mod ledgers;
mod network;
mod operator;
mod parts;
mod proxy;
mod report;
mod world;

use broken::Broken;
use report::{cells, percent};
use std::collections::BTreeMap;
use world::{Faults, World};

const SEEDS: u64 = 10_000;
/// A broken rule shows in fewer.
const SEEDS_OF_BROKEN: u64 = 5_000;

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(SEEDS),
    }
}

/// Runs of one kind, as far as they have come.
#[derive(Default)]
struct Sum {
    seeds: u64,
    steps: u64,
    calls: u64,
    refused_in_vain: u64,
    billed: u64,
    limits: u64,
    faults: BTreeMap<&'static str, u64>,
}

impl Sum {
    fn add(&mut self, world: &World) {
        self.seeds += 1;
        self.steps += world.steps;
        self.calls += world.calls;
        self.refused_in_vain += world.refused_in_vain;
        self.billed += world.billed();
        self.limits += world.limit();
        for (fault, times) in world.faults_made() {
            *self.faults.entry(fault).or_default() += times;
        }
    }

    /// What is told of it; `in_vain` is what of all calls was refused though there was money, where that is a figure.
    fn report(&self, title: &'static str, in_vain: &str) {
        let header =
            cells(["seeds", "steps", "calls", "billed of all limits", "refused though there was money"]);
        let [seeds, steps, calls] = [self.seeds, self.steps, self.calls].map(|count| count.to_string());
        let row = vec![seeds, steps, calls, percent(self.billed, self.limits), in_vain.to_owned()];
        report::add(title, &[header, row]);
    }
}

#[test]
fn whatever_breaks_the_limit_holds_and_no_money_is_lost() {
    let mut sum = Sum::default();
    for seed in seeds() {
        let mut world = World::new(seed, Faults::All, None);
        if let Err(violation) = world.run() {
            panic!("SEED={seed}: {violation}");
        }
        sum.add(&world);
    }
    sum.report("Everything breaks: no limit was passed, and no money lost", "-");
    let faults = sum.faults.iter().map(|(fault, times)| vec![(*fault).to_owned(), times.to_string()]);
    let rows: Vec<_> = std::iter::once(cells(["what broke", "times"])).chain(faults).collect();
    report::add("Faults of these runs", &rows);
}

/// Wherever a stretch of the length begins.
#[test]
fn whatever_breaks_a_rolling_limit_holds_in_any_stretch_of_its_length() {
    let mut sum = Sum::default();
    for seed in seeds() {
        let mut world = World::rolling(seed, Faults::All, None);
        if let Err(violation) = world.run() {
            panic!("SEED={seed}: {violation}");
        }
        sum.add(&world);
    }
    sum.report("Everything breaks: no rolling limit was passed in any stretch of its length", "-");
}

#[test]
fn where_nothing_breaks_what_was_spent_of_a_rolling_limit_comes_back() {
    const LENGTHS: u64 = 6;
    let mut sum = Sum::default();
    for seed in 0..100 {
        let mut world = World::rolling(seed, Faults::None, None);
        if let Err(violation) = world.run_lengths(LENGTHS) {
            panic!("SEED={seed}: {violation}");
        }
        sum.add(&world);
    }
    let Sum { billed, limits, .. } = sum;
    sum.report("Nothing breaks, for six lengths of a rolling limit", "-");
    // There is not always somebody to spend it.
    assert!(billed >= limits * LENGTHS / 2, "{billed} of {limits}");
}

#[test]
fn where_nothing_breaks_the_last_of_it_can_be_spent() {
    let mut sum = Sum::default();
    for seed in 0..200 {
        let mut world = World::new(seed, Faults::None, None);
        if let Err(violation) = world.run_dry() {
            panic!("SEED={seed}: {violation}");
        }
        sum.add(&world);
    }
    let Sum { billed, limits, refused_in_vain: refused, calls, .. } = sum;
    sum.report("Nothing breaks, and calls come until none finds money", &percent(refused, calls));
    assert!(billed * 100 >= limits * 97, "{billed} of {limits}");
    assert!(refused * 100 < calls, "{refused} of {calls} calls were refused though there was money");
}

/// Each rule that the promise rests on, broken on purpose.
#[test]
fn a_rule_that_is_broken_is_found_out() {
    let mut rows = vec![cells(["rule broken on purpose", "caught with seed", "by"])];
    let of = |broken: Broken| if Broken::OF_ROLLING.contains(&broken) { World::rolling } else { World::new };
    for broken in Broken::ALL.into_iter().chain(Broken::OF_ROLLING) {
        let caught = (0..SEEDS_OF_BROKEN)
            .find_map(|seed| of(broken)(seed, Faults::All, Some(broken)).run().err().map(|why| (seed, why)));
        let (seed, why) = caught.unwrap_or_else(|| panic!("{broken:?} is not found out"));
        // What an account looks like is for who runs the seed.
        let why = why.split(": ").next().unwrap_or_default();
        rows.push(vec![format!("{broken:?}"), seed.to_string(), why.to_owned()]);
    }
    report::add("Rules that the promise rests on", &rows);
}
