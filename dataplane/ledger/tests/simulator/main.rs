//! Proxies, a ledger, operators and what they store, on a network that loses, doubles and delays, with clocks that run as they like:
//! whatever crashes, no more is billed than the limit, and no amount is in two places. The state machines are the real
//! ones; a seed is a whole run, and gives the same run again.
//!
//! `SEEDS=100000` runs more of them; `SEED=17` runs one, and tells what happens.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod bills;
mod broken;
mod faults;
mod ledgers;
mod network;
mod operator;
mod proxy;
mod world;

use broken::Broken;
use world::{Faults, World};

/// Of each kind of run.
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

#[test]
fn whatever_breaks_the_limit_holds_and_no_money_is_lost() {
    let (mut spent, mut limits) = (0, 0);
    for seed in seeds() {
        let mut world = World::new(seed, Faults::All, None);
        if let Err(violation) = world.run() {
            panic!("SEED={seed}: {violation}");
        }
        spent += world.billed();
        limits += world.limit();
    }
    println!("{} seeds: billed {:.1} % of all limits", seeds().count(), percent(spent, limits));
}

#[test]
fn where_nothing_breaks_the_last_of_it_can_be_spent() {
    let (mut spent, mut limits, mut refused, mut calls) = (0, 0, 0, 0);
    for seed in 0..200 {
        let mut world = World::new(seed, Faults::None, None);
        if let Err(violation) = world.run_dry() {
            panic!("SEED={seed}: {violation}");
        }
        spent += world.billed();
        limits += world.limit();
        refused += world.refused_in_vain;
        calls += world.calls;
    }
    println!(
        "billed {:.2} % of the limits; {:.3} % of {calls} calls refused though there was money",
        percent(spent, limits),
        percent(refused, calls)
    );
    assert!(spent * 100 >= limits * 97, "{spent} of {limits}");
    assert!(refused * 100 < calls, "{refused} of {calls} calls were refused though there was money");
}

fn percent(part: u64, of: u64) -> f64 {
    part as f64 * 100.0 / of as f64
}

/// Each rule that the promise rests on, broken on purpose.
#[test]
fn a_rule_that_is_broken_is_found_out() {
    for broken in Broken::ALL {
        let caught = (0..SEEDS_OF_BROKEN)
            .find_map(|seed| World::new(seed, Faults::All, Some(broken)).run().err().map(|why| (seed, why)));
        let (seed, why) = caught.unwrap_or_else(|| panic!("{broken:?} is not found out"));
        println!("{broken:?}: SEED={seed}: {why}");
    }
}
