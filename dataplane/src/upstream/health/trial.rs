//! One attempt, and what it tells of its provider.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use llm_dialect::reply::Usage;
use llm_routing::{
    average::Decaying,
    breaker::{Change, Permit, Refused},
};

use super::{FAILURES, LastError, Outcome, millis};
use crate::{
    clock,
    snapshot::{Provider, Target},
    upstream::gate::Inside,
};

/// One of [`FAILURES`].
pub const REFUSES_KEY: &str = "provider_refuses_key";

/// What is told again in a log, where it goes on.
const NEWS_AFTER: Duration = Duration::from_secs(60);

/// One attempt, from the moment that the breaker let it through until its outcome is known. One that
/// is dropped was given up by its caller, and tells nothing of the provider.
#[derive(Debug)]
#[must_use]
pub struct Trial {
    target: Arc<Target>,
    pub(super) permit: Permit,
    inside: Option<Inside>,
    /// What is no call is not.
    pub(super) is_counted: bool,
    began: Duration,
    first_token: Option<Duration>,
    outcome: Outcome,
}

impl Trial {
    /// Begins an attempt now.
    ///
    /// # Errors
    /// When the breaker is open.
    pub fn begin(target: &Arc<Target>, inside: Inside, now: Duration) -> Result<Self, Refused> {
        match Self::start(target, now) {
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

    pub(super) fn start(target: &Arc<Target>, now: Duration) -> Result<Self, Refused> {
        let health = &target.health;
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
    pub fn first_token(&mut self, now: Duration) {
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
    pub fn answered(mut self, usage: Option<Usage>, now: Duration) {
        self.outcome = Outcome::Answered;
        let health = &self.target.health;
        health.failures.observe(0.0, now);
        // What counts tokens writes nothing, and is no measure of what does.
        if self.first_token.is_none() && usage.is_some_and(|usage| usage.input > 0 || usage.output > 0) {
            health.begins[0].observe(millis(now.saturating_sub(self.began)), now);
        }
        if let (Some(usage), Some(inside)) = (usage, &self.inside) {
            inside.took(usage.input.saturating_add(usage.output), now);
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
        self.noted(message, reason == REFUSES_KEY);
        self.changed(health.breaker.fail(self.permit, now, &self.target.breaker));
    }

    /// It has too much to do, and asks to be left alone for so long.
    pub fn rate_limited(mut self, retry_after: Option<Duration>) {
        self.outcome = Outcome::RateLimited;
        if let Some(how_long) = retry_after {
            self.target.health.rest(how_long, clock::now());
        }
    }

    fn noted(&self, message: String, is_denial: bool) {
        let last = LastError { at: SystemTime::now(), message, is_denial };
        self.target.health.last_error.store(Some(Arc::new(last)));
    }

    /// Whose provider it is.
    pub fn provider(&self) -> &Provider {
        &self.target.provider
    }

    /// Whether the log has not told lately that it refuses the gateway's credentials; from now on it has.
    pub fn denial_is_news(&self) -> bool {
        let now = u64::try_from(clock::now().as_millis()).unwrap_or(u64::MAX).max(1);
        let is_old = |told: u64| told == 0 || now.saturating_sub(told) >= NEWS_AFTER.as_millis() as u64;
        let told = &self.target.health.denial_told;
        told.fetch_update(Relaxed, Relaxed, |told| is_old(told).then_some(now)).is_ok()
    }

    /// It refused what another may take.
    pub fn refused(mut self) {
        self.outcome = Outcome::Refused;
    }

    /// The same, with why, for who looks at its health.
    pub fn denied(self, message: String) {
        self.noted(message, false);
        self.refused();
    }

    /// The gateway has answered in its place: it was not asked, and that says nothing of it.
    pub fn unasked(mut self) {
        self.is_counted = false;
        if let Some(inside) = self.inside.take() {
            inside.unused();
        }
    }

    /// Another was asked later and was first, with so many tokens where it answered whole. That this one takes as long at
    /// least is known; but it has not failed, for a provider may be slower than another and well.
    pub fn outrun(self, streamed: bool, tokens: Option<u64>) {
        let (health, now) = (&self.target.health, clock::now());
        let took = millis(now.saturating_sub(self.began));
        // Less than is usual says nothing of how late the latest are.
        if health.usually_within(streamed, now).is_none_or(|usual| took >= millis(usual)) {
            health.begins[usize::from(streamed)].observe(took, now);
        }
        let at_least = |mean: &Decaying, took: f32| mean.observe(took.max(mean.get().unwrap_or(0.0)), now);
        if streamed {
            at_least(&health.first_token_ms, took);
            // What it took after that stays known.
            health.per_token_ms.get().inspect(|_| at_least(&health.per_token_ms, 0.0));
        } else if let Some(tokens) = tokens.filter(|tokens| *tokens > 0) {
            let first = health.first_token_ms.get().unwrap_or(0.0);
            #[expect(clippy::cast_precision_loss, reason = "a mean, not a bill")]
            at_least(&health.per_token_ms, (took - first).max(0.0) / tokens as f32);
        }
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
            inside.took_nothing();
        }
        if !matches!(self.outcome, Outcome::Answered | Outcome::Failed) {
            health.breaker.abandon(self.permit);
        }
    }
}
