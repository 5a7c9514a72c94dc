//! Candidates to an order: who is asked first, and who takes over. Pure: what is known of each comes
//! in, chance is a number, and the scores come out, so that a choice can be explained.

use std::cmp::Ordering;

use smallvec::SmallVec;

/// Rules have this many candidates at most without an allocation.
const INLINE: usize = 16;
/// In-flight calls at which a candidate counts as half loaded.
const HALF_LOADED: f32 = 32.0;

/// How the order is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Strategy {
    Weighted,
    Ordered,
    Scored(Weights),
}

/// How much each part of a score counts; they add up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    pub cost: f32,
    pub latency: f32,
    pub quality: f32,
}

impl Weights {
    pub const BALANCED: Self = Self { cost: 1.0 / 3.0, latency: 1.0 / 3.0, quality: 1.0 / 3.0 };
    // The other two decide among equals.
    pub const COST: Self = Self { cost: 0.9, latency: 0.05, quality: 0.05 };
    pub const LATENCY: Self = Self { cost: 0.05, latency: 0.9, quality: 0.05 };
    pub const QUALITY: Self = Self { cost: 0.05, latency: 0.05, quality: 0.9 };
}

/// What is known of a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// Its place among all candidates of its rule, whoever of them can answer: by it chance is drawn, so
    /// that the same draw makes the same choice when another is left out.
    pub place: u16,
    /// How far it is from the tier that the call is for.
    pub distance: u8,
    /// The caller prefers it.
    pub preferred: bool,
    /// The place of its backend in the rule.
    pub backend: u16,
    /// The backend's share.
    pub backend_weight: u32,
    /// The place of its model among those of the backend, the one that was asked for first.
    pub model: u16,
    /// It is the model that was asked for.
    pub named: bool,
    /// The provider's tier, lowest first.
    pub priority: u32,
    /// The provider's share.
    pub weight: u32,
    /// What the call is expected to cost, in nano-USD.
    pub cost: f32,
    /// How long it is expected to take, in milliseconds; `None` before the first call.
    pub latency: Option<f32>,
    /// From 0 to 1.
    pub quality: f32,
    /// The share of calls that went well lately, from 0 to 1.
    pub health: f32,
    /// Calls that it is busy with.
    pub in_flight: u32,
}

impl Facts {
    /// What the call wishes goes before what the rule does: less is closer to it.
    fn wish(&self) -> (u8, bool) {
        (self.distance, !self.preferred)
    }
}

/// A score, each part from 0 to 1, and what it adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// The cheapest candidate's cost against this one's.
    pub cost: f32,
    /// The quickest candidate's time against this one's. One that was never asked counts as the
    /// quickest, so that it is asked once.
    pub latency: f32,
    pub quality: f32,
    pub health: f32,
    /// What is left for another call.
    pub room: f32,
    pub total: f32,
}

/// A candidate in its place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Its index in what was given.
    pub index: usize,
    pub score: Score,
}

/// Candidates, the first choice first.
pub type Order = SmallVec<[Ranked; INLINE]>;

/// Orders candidates. `draw` is a random number: the same one makes the same choice among weights.
#[must_use]
pub fn rank(strategy: Strategy, candidates: &[Facts], draw: u64) -> Order {
    let mut order = Order::new();
    order.extend((0..candidates.len()).map(|index| Ranked { index, score: Score::default() }));
    match strategy {
        // A score is told also of who stands alone: none at all would read as a bad one.
        Strategy::Ordered | Strategy::Weighted if candidates.len() < 2 => {}
        Strategy::Ordered => sort(&mut order, |index| {
            let facts = candidates.get(index)?;
            let provider = provider_turn(facts, draw);
            Some((facts.wish(), facts.backend, facts.model, facts.priority, provider))
        }),
        Strategy::Weighted => {
            let lead = lead(candidates, draw);
            sort(&mut order, |index| {
                let facts = candidates.get(index)?;
                let class = match (facts.backend, facts.model) == lead {
                    true => 0,
                    false => 2 - u8::from(facts.named),
                };
                let backend = backend_turn(facts, draw);
                let provider = provider_turn(facts, draw);
                Some((facts.wish(), class, backend, facts.model, facts.priority, provider))
            });
        }
        Strategy::Scored(weights) => {
            let best = Best::of(candidates);
            for ranked in &mut order {
                if let Some(facts) = candidates.get(ranked.index) {
                    ranked.score = best.score(facts, weights);
                }
            }
            let any_named = candidates.iter().any(|facts| facts.named);
            order.sort_by(|a, b| {
                let key = |ranked: &Ranked| {
                    candidates
                        .get(ranked.index)
                        .map(|facts| (facts.wish(), any_named && !facts.named, facts.priority))
                        .unwrap_or_default()
                };
                key(a).cmp(&key(b)).then(b.score.total.total_cmp(&a.score.total))
            });
        }
    }
    order
}

fn sort<K: PartialOrd>(order: &mut Order, key: impl Fn(usize) -> Option<K>) {
    // A key is made once: its logarithms cost more than the whole of the sorting.
    let mut keyed: SmallVec<[(Option<K>, Ranked); INLINE]> =
        order.iter().map(|ranked| (key(ranked.index), *ranked)).collect();
    keyed.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal));
    order.iter_mut().zip(keyed).for_each(|(place, (_, ranked))| *place = ranked);
}

/// The backend that is drawn, and its model that stands first.
fn lead(candidates: &[Facts], draw: u64) -> (u16, u16) {
    let turn = |facts: &Facts| (facts.wish(), backend_turn(facts, draw), facts.model);
    candidates
        .iter()
        .min_by(|a, b| turn(a).partial_cmp(&turn(b)).unwrap_or(Ordering::Equal))
        .map(|facts| (facts.backend, facts.model))
        .unwrap_or_default()
}

fn backend_turn(facts: &Facts, draw: u64) -> f32 {
    turn(facts.backend_weight, draw, u64::from(facts.backend) | 1 << 32)
}

fn provider_turn(facts: &Facts, draw: u64) -> f32 {
    turn(facts.weight, draw, facts.place.into())
}

/// A moment drawn for one of many, at a rate that is its weight: it comes first as often as its weight
/// is of all weights, and so does the first of those that are left.
fn turn(weight: u32, draw: u64, salt: u64) -> f32 {
    let bits = mixed(draw ^ mixed(salt)) >> 40;
    #[expect(clippy::cast_precision_loss, reason = "24 bits are exact, and weights need no more digits")]
    let (unit, weight) = ((bits as f32 + 0.5) / 16_777_216.0, weight as f32);
    -unit.ln() / weight
}

/// Spreads a number over all bits: the finalizer of `SplitMix64` (Steele, Lea, Flood 2014).
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The best figures of all candidates.
struct Best {
    cost: f32,
    latency: f32,
}

impl Best {
    fn of(candidates: &[Facts]) -> Self {
        let least = |figures: &mut dyn Iterator<Item = f32>| figures.fold(f32::INFINITY, f32::min);
        Self {
            cost: least(&mut candidates.iter().map(|facts| facts.cost)),
            latency: least(&mut candidates.iter().filter_map(|facts| facts.latency)),
        }
    }

    fn score(&self, facts: &Facts, weights: Weights) -> Score {
        // One more of each, so that nothing is divided by 0: a nano-USD, a millisecond.
        let cost = (self.cost + 1.0) / (facts.cost + 1.0);
        let latency = facts.latency.map_or(1.0, |latency| (self.latency + 1.0) / (latency + 1.0));
        let quality = facts.quality;
        #[expect(clippy::cast_precision_loss, reason = "a share, not a count")]
        let room = HALF_LOADED / (HALF_LOADED + facts.in_flight as f32);
        let worth = weights.cost * cost + weights.latency * latency + weights.quality * quality;
        // Load matters little until it is great: it decides among those that are nearly as good.
        let total = worth * facts.health * (0.75 + 0.25 * room);
        Score { cost, latency, quality, health: facts.health, room, total }
    }
}

#[cfg(test)]
mod tests;
