//! What is known of each model of each provider from the calls that it was sent: whether its breaker
//! lets calls through, how often it fails, how long it takes. It outlives snapshots; all workers share
//! it, by atomics alone.

mod trial;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use llm_routing::{
    average::Decaying,
    breaker::{Breaker, Settings},
    quantiles::Quantiles,
    retry_budget::RetryBudget,
};
use tokio::sync::Notify;

use super::gate::Gate;
use crate::{clock, snapshot::Target};

pub use trial::{REFUSES_KEY, Trial};

/// After so long, what was seen counts half.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// A quantile wants more of the past than a mean.
const BEGINS_HALF_LIFE: Duration = Duration::from_secs(300);
/// An answer that is later than so many of all is late.
const USUAL: f32 = 0.95;

/// So many half-lives after a call its time is not known any more, if it was the only one.
const KNOWN_FOR: u16 = 3;

/// How an attempt ended, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider did its part; an error that is the caller's among them.
    Answered,
    /// It failed: no connection, no answer in time, garbage, or an error of its own.
    Failed,
    /// It had too much to do.
    RateLimited,
    /// It refused what another one may take.
    Refused,
    /// The caller went away, or another attempt was first.
    Abandoned,
}

impl Outcome {
    pub const ALL: [Self; 5] =
        [Self::Answered, Self::Failed, Self::RateLimited, Self::Refused, Self::Abandoned];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Why attempts fail: codes of errors, and what a provider or a check says.
pub const FAILURES: [&str; 12] = [
    "provider_unreachable",
    "provider_closed",
    "provider_timeout",
    "provider_first_token_timeout",
    "provider_attempt_timeout",
    "provider_bad_reply",
    "provider_error",
    "provider_refuses_key",
    "stream_failed",
    "stream_broken",
    "stream_idle",
    "check_failed",
];

/// The last failure.
#[derive(Debug)]
pub struct LastError {
    pub at: SystemTime,
    /// What the error's text says; it holds no secret.
    pub message: String,
    /// It refused the gateway's key or account.
    pub is_denial: bool,
}

/// One model of one provider.
#[derive(Debug)]
pub struct Health {
    pub breaker: Breaker,
    pub retries: RetryBudget,
    /// Retries that the budget did not grant.
    pub unretried: AtomicU64,
    /// How often the breaker opened.
    pub opened: AtomicU64,
    pub outcomes: [AtomicU64; Outcome::ALL.len()],
    /// Failures by their reason.
    pub failed_by: [AtomicU64; FAILURES.len()],
    pub in_flight: AtomicU32,
    pub last_error: ArcSwapOption<LastError>,
    failures: Decaying,
    first_token_ms: Decaying,
    per_token_ms: Decaying,
    /// From the start of an attempt until its answer begins, streamed ones and others apart.
    begins: [Quantiles; 2],
    /// What is usual of them, as it was lately.
    usual: [Lately; 2],
    /// Until when it asked to be left alone, in milliseconds.
    not_before: AtomicU64,
    /// Since when nothing is said in the log of its refusing the gateway's credentials, in milliseconds; zero: said
    /// never.
    denial_told: AtomicU64,
    /// Who follows all breakers.
    changed: Arc<Notify>,
}

impl Health {
    fn new(changed: Arc<Notify>) -> Self {
        Self {
            breaker: Breaker::default(),
            retries: RetryBudget::default(),
            unretried: AtomicU64::default(),
            opened: AtomicU64::default(),
            outcomes: Default::default(),
            failed_by: Default::default(),
            in_flight: AtomicU32::default(),
            last_error: ArcSwapOption::empty(),
            failures: Decaying::new(HALF_LIFE),
            first_token_ms: Decaying::new(HALF_LIFE),
            per_token_ms: Decaying::new(HALF_LIFE),
            begins: [Quantiles::new(BEGINS_HALF_LIFE), Quantiles::new(BEGINS_HALF_LIFE)],
            usual: Default::default(),
            not_before: AtomicU64::default(),
            denial_told: AtomicU64::default(),
            changed,
        }
    }

    /// The share of calls that went well of those that it had, from 0 to 1.
    pub fn success_share(&self) -> f32 {
        1.0 - self.failures.get().unwrap_or(0.0)
    }

    /// The share of calls that are expected to go well, from 0 to 1. What was seen long ago counts for little:
    /// who failed then and was not asked since shall be asked again.
    pub fn share_well(&self, now: Duration) -> f32 {
        match self.failures.get() {
            None | Some(0.0) => 1.0,
            Some(failed) => {
                let weight = self.failures.weight(now);
                1.0 - failed * weight / (weight + 1.0)
            }
        }
    }

    /// From the start of an attempt to the first byte of its stream.
    pub fn first_token_ms(&self) -> Option<f32> {
        self.first_token_ms.get()
    }

    /// From one token of a reply to the next.
    pub fn per_token_ms(&self) -> Option<f32> {
        self.per_token_ms.get()
    }

    /// How long a reply of so many tokens takes; `None` where none was seen lately.
    pub fn expected_ms(&self, tokens: f32, now: Duration) -> Option<f32> {
        let per_token = self.per_token_ms.fresh(KNOWN_FOR, now)?;
        Some(self.first_token_ms.get().unwrap_or(0.0) + per_token * tokens)
    }

    /// The time within which 95 of 100 answers began lately; `None` before there were some.
    pub fn usually_within(&self, streamed: bool, now: Duration) -> Option<Duration> {
        let kind = usize::from(streamed);
        let millis = self.usual[kind].at(now, || self.begins[kind].quantile(USUAL, now))?;
        Some(Duration::from_secs_f32(millis / 1e3))
    }

    /// As if a call had taken so long for so many tokens.
    #[cfg(test)]
    pub fn saw(&self, took: Duration, tokens: u16) {
        self.per_token_ms.observe(millis(took) / f32::from(tokens), clock::now());
    }

    /// A check of the provider went well, or why it did not: as a call that did nothing else.
    pub fn checked(target: &Arc<Target>, found: &Result<(), String>) {
        let now = clock::now();
        let Ok(mut trial) = Trial::start(target, now) else { return };
        trial.is_counted = false;
        let is_denied = target.health.last_error.load().as_ref().is_some_and(|last| last.is_denial);
        match found {
            // A list of models may be had without a key, and without credit: only a call tells that they are mended.
            Ok(()) if is_denied => {}
            // That a server is there does not undo what its models fail.
            Ok(()) if trial.permit.is_probe() => trial.answered(None, now),
            Ok(()) => {}
            Err(problem) => trial.failed("check_failed", problem.clone()),
        }
    }

    /// How much longer it asked to be left alone.
    pub fn rests_for(&self, now: Duration) -> Duration {
        Duration::from_millis(self.not_before.load(Relaxed)).saturating_sub(now)
    }

    /// It asked to be left alone for so long.
    pub fn rest(&self, how_long: Duration, now: Duration) {
        // Rounded up: a moment too early is too early.
        let until = (now + how_long).as_nanos().div_ceil(1_000_000);
        let until = u64::try_from(until).unwrap_or(u64::MAX);
        self.not_before.fetch_max(until, Relaxed);
    }
}

/// A figure that many counters make: calls of one moment need it once.
#[derive(Debug, Default)]
struct Lately {
    /// The moment above the bits of the figure.
    known: AtomicU64,
}

impl Lately {
    /// Moments of so many milliseconds, as a power of two.
    const MOMENT_BITS: u32 = 4;

    /// The figure of this moment, or what `make` makes of it. That there is none yet is not kept.
    fn at(&self, now: Duration, make: impl FnOnce() -> Option<f32>) -> Option<f32> {
        let moment = (now.as_millis() as u64 >> Self::MOMENT_BITS) + 1;
        let known = self.known.load(Relaxed);
        if known != 0 && known >> 32 == moment & u64::from(u32::MAX) {
            return Some(f32::from_bits(known as u32));
        }
        let made = make()?;
        self.known.store(moment << 32 | u64::from(made.to_bits()), Relaxed);
        Some(made)
    }
}

/// `namespace/pool/provider`, and the pool's name of the model.
pub type Key = (Arc<str>, Arc<str>);

/// Every model of every provider, with the breaker's settings in force.
#[derive(Debug, Default)]
pub struct Healths {
    models: Mutex<BTreeMap<Key, (Arc<Health>, Settings)>>,
    gates: Mutex<BTreeMap<Arc<str>, Arc<Gate>>>,
    changed: Arc<Notify>,
}

impl Healths {
    /// The same each time.
    pub fn of(&self, provider: &Arc<str>, model: &Arc<str>, settings: Settings) -> Arc<Health> {
        let mut all = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || (Arc::new(Health::new(self.changed.clone())), settings);
        let (health, in_force) = all.entry((provider.clone(), model.clone())).or_insert_with(make);
        *in_force = settings;
        health.clone()
    }

    /// The room at a provider, the same each time.
    pub fn gate(&self, provider: &Arc<str>) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(provider.clone()).or_default().clone()
    }

    /// The room at each provider.
    pub fn gates(&self) -> Vec<(Arc<str>, Arc<Gate>)> {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.iter().map(|(provider, gate)| (provider.clone(), gate.clone())).collect()
    }

    /// All of them.
    pub fn all(&self) -> Vec<(Key, Arc<Health>, Settings)> {
        let all = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(key, (health, settings))| (key.clone(), health.clone(), *settings)).collect()
    }

    /// Forgets those that no snapshot holds.
    pub fn forget_unused(&self) {
        let mut all = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.len();
        all.retain(|_, (health, _)| Arc::strong_count(health) > 1);
        if all.len() < before {
            self.changed.notify_one();
        }
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
    }

    /// Returns when a breaker has opened or closed since it last did; what happens while nobody waits
    /// is kept, as one. That time makes a breaker half-open is no change: it is still not closed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn millis(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_to_be_left_alone_is_left_alone_for_all_of_it() {
        let (health, us) = (Health::new(Arc::default()), Duration::from_micros);
        health.rest(Duration::from_secs(1), us(5_000_900));
        assert!(health.rests_for(us(6_000_899)) > Duration::ZERO);
        assert_eq!(health.rests_for(us(6_001_000)), Duration::ZERO);
    }

    #[test]
    fn a_figure_is_made_once_for_a_moment_and_anew_for_the_next() {
        let (lately, ms) = (Lately::default(), Duration::from_millis);
        assert_eq!(lately.at(ms(0), || None), None);
        // That there was none is no answer for who asks next.
        assert_eq!(lately.at(ms(0), || Some(1.5)), Some(1.5));
        assert_eq!(lately.at(ms(15), || Some(2.0)), Some(1.5));
        assert_eq!(lately.at(ms(16), || Some(2.0)), Some(2.0));
        // A worker whose clock was read before.
        assert_eq!(lately.at(ms(15), || Some(3.0)), Some(3.0));
        assert_eq!(lately.at(Duration::MAX, || None), None);
    }
}
