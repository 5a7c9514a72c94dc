//! One candidate after the other against what the call asks, what it wishes, and what is known of the
//! candidate now: its facts, or why it is left out.

use std::{fmt, sync::atomic::Ordering::Relaxed, time::Duration};

use llm_config::{Capability, Strategy, Tier};
use llm_dialect::surface::Task;
use llm_routing::{
    complexity::{Class, Estimate, Thresholds},
    rank::Facts,
};

use super::Fitness;
use crate::{
    error::Error,
    money,
    snapshot::{
        Snapshot, Target, is_name_of,
        served::{Candidate, Served},
    },
    stage::{decode::Call, identify::excerpt, wish::Wishes},
};

/// Why a candidate is left out.
#[derive(Clone, Debug, PartialEq)]
pub enum Exclusion {
    /// It can't be told of all that the call asks.
    Unfit,
    ByCaller,
    Lacks(Capability),
    /// It is expected to cost so much, in nano-USD.
    TooDear(f32),
    /// It is expected to take so long, in milliseconds.
    TooSlow(f32),
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit => f.write_str("it can't be told of all that the call asks"),
            Self::ByCaller => f.write_str("the caller excludes it"),
            Self::Lacks(capability) => write!(f, "it lacks the capability {capability:?}"),
            Self::TooDear(nano) => write!(f, "it is expected to cost {} USD", money::expected_usd(*nano)),
            Self::TooSlow(time) => write!(f, "it is expected to take {time:.0} ms"),
        }
    }
}

/// What candidates are weighed by.
pub struct Scales<'c> {
    call: &'c Call,
    wishes: &'c Wishes,
    fitness: Fitness<'c>,
    /// The tier that the call is hard enough for.
    tier: Option<Tier>,
    /// Now, where what is known of a candidate now matters.
    live: Option<Duration>,
}

impl<'c> Scales<'c> {
    /// # Errors
    /// When the caller prefers what there is not, or names a provider that exists nowhere: of a name that is
    /// misspelt, the call would go to who was to be left out.
    pub fn new(
        (call, wishes): (&'c Call, &'c Wishes),
        strategy: Strategy,
        (snapshot, served): (&Snapshot, &Served),
        estimate: Option<Estimate>,
        now: Duration,
    ) -> Result<Self, Error> {
        let scored = !matches!(strategy, Strategy::Weighted | Strategy::Ordered);
        let bounded = wishes.max_cost.is_some() || wishes.max_latency.is_some();
        let tier = estimate.and_then(|estimate| tier(served, estimate));
        let fitness = Fitness::new(call);
        let live = (scored || bounded || wishes.explained()).then_some(now);
        let scales = Self { call, wishes, fitness, tier, live };
        for (wish, names) in [("preferProviders", &wishes.prefer), ("excludeProviders", &wishes.exclude)] {
            let answers =
                |name: &str| served.candidates.iter().any(|candidate| is_named(&candidate.target, name));
            let unknown = names.iter().find(|name| !answers(name) && !snapshot.has_provider(name));
            if let Some(name) = unknown {
                let (name, there_are) = (excerpt(name), providers(served));
                return Err(
                    scales.unmet(wish, format!("there is no provider '{name}'; for it answer: {there_are}"))
                );
            }
        }
        if !wishes.prefer.is_empty()
            && !served.candidates.iter().any(|candidate| scales.prefers(&candidate.target))
        {
            let there_are = format!("no such provider answers for it; there are: {}", providers(served));
            return Err(scales.unmet("preferProviders", there_are));
        }
        Ok(scales)
    }

    /// What is known of a candidate, or why it is left out.
    pub fn weigh(&self, candidate: &Candidate) -> Result<Facts, Exclusion> {
        let target = &candidate.target;
        if !self.fitness.fits(target) {
            return Err(Exclusion::Unfit);
        }
        if self.wishes.exclude.iter().any(|name| is_named(target, name)) {
            return Err(Exclusion::ByCaller);
        }
        let lacks = |capability: &&Capability| !target.capabilities.contains(capability);
        if let Some(capability) = self.wishes.require.iter().find(lacks) {
            return Err(Exclusion::Lacks(*capability));
        }
        let mut facts = Facts {
            distance: self.tier.map_or(0, |wanted| distance(wanted, target.tier)),
            preferred: self.prefers(target),
            ..candidate.facts
        };
        if let Some(now) = self.live {
            self.see(target, now, &mut facts);
            self.bound(&facts)?;
        }
        Ok(facts)
    }

    /// What is known of it now.
    fn see(&self, target: &Target, now: Duration, facts: &mut Facts) {
        let Target { price, health, .. } = target;
        let (input, output) = target.expected_tokens(self.call.body.bytes.len());
        #[expect(clippy::cast_precision_loss, reason = "an expectation, not a bill")]
        let (input_price, output_price) = (price.input as f32, price.output as f32);
        facts.cost = (input * input_price + output * output_price) / 1e6;
        facts.latency = health.expected_ms(output, now);
        facts.health = health.share_well(now);
        facts.in_flight = health.in_flight.load(Relaxed);
    }

    fn bound(&self, facts: &Facts) -> Result<(), Exclusion> {
        #[expect(clippy::cast_precision_loss, reason = "against an expectation")]
        if self.wishes.max_cost.is_some_and(|most| facts.cost > most as f32)
            && self.call.api.task() != Task::Count
        {
            return Err(Exclusion::TooDear(facts.cost));
        }
        match (facts.latency, self.wishes.max_latency) {
            (Some(ms), Some(most)) if ms > most.as_secs_f32() * 1e3 => Err(Exclusion::TooSlow(ms)),
            _ => Ok(()),
        }
    }

    fn prefers(&self, target: &Target) -> bool {
        self.wishes.prefer.iter().any(|name| is_named(target, name))
    }

    /// Why no candidate is left: the first wish that excluded one that could have answered.
    pub fn refusal(self, served: &Served, excluded: &[(&Candidate, Exclusion)]) -> Error {
        let by_wish = excluded.iter().map(|(_, exclusion)| exclusion).find(|why| **why != Exclusion::Unfit);
        let least = |of: fn(&Exclusion) -> Option<f32>| {
            excluded.iter().filter_map(|(_, exclusion)| of(exclusion)).fold(f32::INFINITY, f32::min)
        };
        match by_wish {
            None => self.fitness.refusal(served),
            Some(Exclusion::Unfit | Exclusion::ByCaller) => {
                let reason = format!("nobody else answers for it; there are: {}", providers(served));
                self.unmet("excludeProviders", reason)
            }
            Some(Exclusion::Lacks(capability)) => self.unmet(
                "requireCapabilities",
                format!("no model of its rule has the capability {capability:?}, as its ProviderPool says"),
            ),
            Some(Exclusion::TooDear(_)) => {
                let cheapest = least(|why| match why {
                    Exclusion::TooDear(nano) => Some(*nano),
                    _ => None,
                });
                let cheapest = money::expected_usd(cheapest);
                self.unmet("maxCostUsd", format!("the call is expected to cost at least {cheapest} USD"))
            }
            Some(Exclusion::TooSlow(_)) => {
                let quickest = least(|why| match why {
                    Exclusion::TooSlow(ms) => Some(*ms),
                    _ => None,
                });
                self.unmet("maxLatencyMs", format!("the call is expected to take at least {quickest:.0} ms"))
            }
        }
    }

    fn unmet(&self, wish: &'static str, reason: String) -> Error {
        let model = excerpt(&self.call.model);
        Error::WishUnmet { wish: self.wishes.by(wish).to_owned(), model, reason }
    }
}

/// Whether a caller means the provider of a target.
fn is_named(target: &Target, name: &str) -> bool {
    is_name_of(&target.provider.name, name)
}

/// The names of all providers that may answer.
fn providers(served: &Served) -> String {
    let mut names: Vec<&str> =
        served.candidates.iter().map(|candidate| &*candidate.target.provider.name).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// The tier that a call is hard enough for.
fn tier(served: &Served, estimate: Estimate) -> Option<Tier> {
    let thresholds = served.rule.complexity?;
    let part = |ppm: u32| f64::from(ppm) / 1e6;
    let thresholds = Thresholds { simple: part(thresholds.simple_ppm), medium: part(thresholds.medium_ppm) };
    Some(match thresholds.classify(estimate.score()) {
        Class::Simple => Tier::Economy,
        Class::Medium => Tier::Standard,
        Class::Complex => Tier::Premium,
    })
}

/// How far a model's tier is from the one that is wanted: better ones are nearer than worse ones.
fn distance(wanted: Tier, tier: Option<Tier>) -> u8 {
    match tier {
        None => 5,
        Some(tier) if tier >= wanted => tier as u8 - wanted as u8,
        Some(tier) => 2 + (wanted as u8 - tier as u8),
    }
}
