//! What is known of each model of each provider from the calls that it was sent: whether its breaker
//! lets calls through, how often it fails, how long it takes. It outlives snapshots; all workers share
//! it, by atomics alone.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use llm_dialect::reply::Usage;
use llm_routing::{
    average::Decaying,
    breaker::{Breaker, Change, Permit, Refused, Settings},
    quantiles::Quantiles,
    retry_budget::RetryBudget,
};
use tokio::sync::Notify;

use super::gate::{Gate, Inside};
use crate::{clock, snapshot::Target};

/// After so long, what was seen counts half.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// A quantile wants more of the past than a mean.
const BEGINS_HALF_LIFE: Duration = Duration::from_secs(300);
/// An answer that is later than so many of all is late.
const USUAL: f32 = 0.95;

/// With less weight than this, in calls, a time is not known any more: an eighth of one call, which is
/// three minutes after it.
const KNOWN: f32 = 0.125;

/// What is told again in a log, where it goes on.
const NEWS_AFTER: Duration = Duration::from_secs(60);

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
    /// Until when it asked to be left alone, in milliseconds.
    not_before: AtomicU64,
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
            not_before: AtomicU64::default(),
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
        let weight = self.failures.weight(now);
        1.0 - self.failures.get().unwrap_or(0.0) * weight / (weight + 1.0)
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
        let per_token = self.per_token_ms.get().filter(|_| self.per_token_ms.weight(now) >= KNOWN)?;
        Some(self.first_token_ms.get().unwrap_or(0.0) + per_token * tokens)
    }

    /// The time within which 95 of 100 answers began lately; `None` before there were some.
    pub fn usually_within(&self, streamed: bool, now: Duration) -> Option<Duration> {
        let millis = self.begins[usize::from(streamed)].quantile(USUAL, now)?;
        Some(Duration::from_secs_f32(millis / 1e3))
    }

    /// As if a call had taken so long for so many tokens.
    #[cfg(test)]
    pub fn saw(&self, took: Duration, tokens: u16) {
        self.per_token_ms.observe(millis(took) / f32::from(tokens), clock::now());
    }

    /// A check of the provider went well, or why it did not: as a call that did nothing else.
    pub fn checked(target: &Arc<Target>, found: &Result<(), String>) {
        let Ok(mut trial) = Trial::start(target) else { return };
        trial.is_counted = false;
        match found {
            // That a server is there does not undo what its models fail.
            Ok(()) if trial.permit.is_probe() => trial.answered(None),
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
        let until = u64::try_from((now + how_long).as_millis()).unwrap_or(u64::MAX);
        self.not_before.fetch_max(until, Relaxed);
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

/// One attempt, from the moment that the breaker let it through until its outcome is known. One that
/// is dropped was given up by its caller, and tells nothing of the provider.
#[derive(Debug)]
#[must_use]
pub struct Trial {
    target: Arc<Target>,
    permit: Permit,
    inside: Option<Inside>,
    /// What is no call is not.
    is_counted: bool,
    began: Duration,
    first_token: Option<Duration>,
    outcome: Outcome,
}

impl Trial {
    /// Begins an attempt.
    ///
    /// # Errors
    /// When the breaker is open.
    pub fn begin(target: &Arc<Target>, inside: Inside) -> Result<Self, Refused> {
        match Self::start(target) {
            Ok(mut trial) => {
                trial.inside = Some(inside);
                Ok(trial)
            }
            Err(refused) => {
                inside.unused();
                Err(refused)
            }
        }
    }

    fn start(target: &Arc<Target>) -> Result<Self, Refused> {
        let (health, now) = (&target.health, clock::now());
        let permit = health.breaker.enter(now, &target.breaker)?;
        health.in_flight.fetch_add(1, Relaxed);
        let target = target.clone();
        Ok(Self {
            target,
            permit,
            inside: None,
            is_counted: true,
            began: now,
            first_token: None,
            outcome: Outcome::Abandoned,
        })
    }

    /// The first byte of a stream is here. A probe has succeeded by that: the end of the stream may be
    /// minutes away.
    pub fn first_token(&mut self) {
        let now = clock::now();
        self.first_token = Some(now);
        let health = &self.target.health;
        let took = millis(now.saturating_sub(self.began));
        health.first_token_ms.observe(took, now);
        health.begins[1].observe(took, now);
        if self.permit.is_probe() {
            self.changed(health.breaker.succeed(self.permit, now, &self.target.breaker));
            if let Ok(permit) = health.breaker.enter(now, &self.target.breaker) {
                self.permit = permit;
            }
        }
    }

    /// The provider did its part, and counted so much, if it is known.
    pub fn answered(mut self, usage: Option<Usage>) {
        self.outcome = Outcome::Answered;
        let (health, now) = (&self.target.health, clock::now());
        health.failures.observe(0.0, now);
        // What counts tokens writes nothing, and is no measure of what does.
        if self.first_token.is_none() && usage.is_some_and(|usage| usage.input > 0 || usage.output > 0) {
            health.begins[0].observe(millis(now.saturating_sub(self.began)), now);
        }
        if let (Some(usage), Some(inside)) = (usage, &self.inside) {
            inside.took(usage.input.saturating_add(usage.output));
        }
        if let Some(tokens) = usage.map(|usage| usage.output).filter(|tokens| *tokens > 0) {
            let took = match self.first_token {
                Some(first) => millis(now.saturating_sub(first)),
                None => {
                    let first = health.first_token_ms.get().unwrap_or(0.0);
                    (millis(now.saturating_sub(self.began)) - first).max(0.0)
                }
            };
            #[expect(clippy::cast_precision_loss, reason = "a mean, not a bill")]
            health.per_token_ms.observe(took / tokens as f32, now);
        }
        self.changed(health.breaker.succeed(self.permit, now, &self.target.breaker));
    }

    /// The provider failed, by one of [`FAILURES`].
    pub fn failed(mut self, reason: &str, message: String) {
        self.outcome = Outcome::Failed;
        let (health, now) = (&self.target.health, clock::now());
        let counts = FAILURES.iter().zip(&health.failed_by);
        if let Some((_, count)) = counts.into_iter().find(|(known, _)| **known == reason) {
            count.fetch_add(1, Relaxed);
        }
        health.failures.observe(1.0, now);
        health.last_error.store(Some(Arc::new(LastError { at: SystemTime::now(), message })));
        self.changed(health.breaker.fail(self.permit, now, &self.target.breaker));
    }

    /// It has too much to do, and asks to be left alone for so long.
    pub fn rate_limited(mut self, retry_after: Option<Duration>) {
        self.outcome = Outcome::RateLimited;
        if let Some(how_long) = retry_after {
            self.target.health.rest(how_long, clock::now());
        }
    }

    /// Whose provider it is.
    pub fn provider(&self) -> &str {
        &self.target.provider.name
    }

    /// Whether it did not fail of this lately.
    pub fn is_news(&self, message: &str) -> bool {
        let last = self.target.health.last_error.load();
        let is_old = |last: &LastError| last.at.elapsed().is_ok_and(|since| since > NEWS_AFTER);
        last.as_ref().is_none_or(|last| last.message != message || is_old(last))
    }

    /// It refused what another may take.
    pub fn refused(mut self) {
        self.outcome = Outcome::Refused;
    }

    /// The same, with why, for who looks at its health.
    pub fn denied(self, message: String) {
        self.target.health.last_error.store(Some(Arc::new(LastError { at: SystemTime::now(), message })));
        self.refused();
    }

    /// The gateway has answered in its place: it was not asked, and that says nothing of it.
    pub fn unasked(mut self) {
        self.is_counted = false;
        if let Some(inside) = self.inside.take() {
            inside.unused();
        }
    }

    /// Another was first: that it would have been later is known.
    pub fn outrun(self, streamed: bool) {
        let now = clock::now();
        self.target.health.begins[usize::from(streamed)].observe(millis(now.saturating_sub(self.began)), now);
    }

    fn changed(&self, change: Option<Change>) {
        let Target { health, provider, labels, .. } = &*self.target;
        match change {
            Some(Change::Opened) => {
                health.opened.fetch_add(1, Relaxed);
                let error = health.last_error.load();
                let error = error.as_ref().map_or("", |error| error.message.as_str());
                tracing::warn!(provider = %provider.name, model = %labels.model, error, "breaker opened");
            }
            Some(Change::Closed) => {
                tracing::info!(provider = %provider.name, model = %labels.model, "breaker closed");
            }
            None => return,
        }
        health.changed.notify_one();
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let health = &self.target.health;
        health.in_flight.fetch_sub(1, Relaxed);
        if self.is_counted {
            health.outcomes[self.outcome as usize].fetch_add(1, Relaxed);
        }
        // A provider that has not answered has counted no tokens.
        if matches!(self.outcome, Outcome::Failed | Outcome::RateLimited | Outcome::Refused)
            && let Some(inside) = &self.inside
        {
            inside.took(0);
        }
        if !matches!(self.outcome, Outcome::Answered | Outcome::Failed) {
            health.breaker.abandon(self.permit);
        }
    }
}

fn millis(duration: Duration) -> f32 {
    duration.as_secs_f32() * 1e3
}
