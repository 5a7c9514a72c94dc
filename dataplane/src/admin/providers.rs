//! `/debug/providers`: what this proxy knows of each model of each provider that it may call. The same
//! types are what [`fleet`](crate::fleet) reads, so that the two can't drift apart.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use llm_routing::breaker::{self, Breaker};
use serde::{Deserialize, Serialize};

use crate::{
    clock,
    error::seconds,
    stage::identify::excerpt,
    upstream::health::{Health, Healths, Outcome},
};

/// One model of one provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderHealth {
    /// `namespace/pool/provider`.
    pub provider: String,
    /// The model by the pool's name.
    pub model: String,
    pub state: State,
    /// While its breaker is open: when a call is let through to see, at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_until_probe: Option<u64>,
    /// The share of calls that went well lately, from 0 to 1.
    pub success_share: f32,
    /// From the start of an attempt to the first byte of its stream, lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_token_ms: Option<f32>,
    pub in_flight: u32,
    pub attempts: Attempts,
    /// How often its breaker opened.
    pub opened: u64,
    /// Retries that were not made, so as not to multiply an outage.
    pub retries_refused: u64,
    /// How much longer it asked to be left alone; 0 mostly.
    pub rests_for_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
}

/// What its breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Closed,
    HalfOpen,
    Open,
}

/// Attempts since the proxy began to serve it, by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempts {
    pub answered: u64,
    pub failed: u64,
    pub rate_limited: u64,
    pub refused: u64,
    pub abandoned: u64,
}

/// The last failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// As RFC 3339 has it, in UTC.
    pub at: String,
    pub message: String,
}

/// All that the configuration in force names, in order; their number is the configuration's.
pub fn providers(healths: &Healths) -> Vec<ProviderHealth> {
    let now = clock::now();
    let all = healths.all();
    all.iter()
        .map(|((provider, model), health, settings)| told(provider, model, health, settings, now))
        .collect()
}

fn told(
    provider: &str,
    model: &str,
    health: &Health,
    settings: &breaker::Settings,
    now: Duration,
) -> ProviderHealth {
    let (state, seconds_until_probe) = state(&health.breaker, settings, now);
    ProviderHealth {
        provider: provider.to_owned(),
        model: model.to_owned(),
        state,
        seconds_until_probe,
        success_share: health.success_share(),
        first_token_ms: health.first_token_ms(),
        per_token_ms: health.per_token_ms(),
        in_flight: health.in_flight.load(Relaxed),
        attempts: Attempts::of(health),
        opened: health.opened.load(Relaxed),
        retries_refused: health.unretried.load(Relaxed),
        rests_for_ms: u64::try_from(health.rests_for(now).as_millis()).unwrap_or(u64::MAX),
        last_error: health.last_error.load().as_ref().map(|error| LastError {
            at: format!("{:.3}", jiff::Timestamp::try_from(error.at).unwrap_or_default()),
            // Providers have a say in it, and some say much.
            message: excerpt(&error.message),
        }),
    }
}

fn state(breaker: &Breaker, settings: &breaker::Settings, now: Duration) -> (State, Option<u64>) {
    match breaker.state(now, settings) {
        breaker::State::Closed => (State::Closed, None),
        breaker::State::HalfOpen => (State::HalfOpen, None),
        breaker::State::Open { until } => (State::Open, Some(seconds(until.saturating_sub(now)))),
    }
}

impl Attempts {
    fn of(health: &Health) -> Self {
        let mut attempts = Self::default();
        for (outcome, count) in Outcome::ALL.into_iter().zip(&health.outcomes) {
            let place = match outcome {
                Outcome::Answered => &mut attempts.answered,
                Outcome::Failed => &mut attempts.failed,
                Outcome::RateLimited => &mut attempts.rate_limited,
                Outcome::Refused => &mut attempts.refused,
                Outcome::Abandoned => &mut attempts.abandoned,
            };
            *place = count.load(Relaxed);
        }
        attempts
    }

    /// How many told whether the provider works.
    pub fn telling(&self) -> u64 {
        self.answered + self.failed
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::{sync::Arc, time::SystemTime};

    use serde_json::json;

    use super::*;
    use crate::upstream::health;

    #[test]
    fn what_is_known_is_told_in_camel_case_and_read_back() {
        let healths = Healths::default();
        let settings = breaker::Settings { failures: 1, ..Default::default() };
        let health = healths.of(&"ai/p/a".into(), &"m".into(), settings);
        let unasked = healths.of(&"ai/p/b".into(), &"m".into(), settings);
        let permit = health.breaker.enter(clock::now(), &settings).unwrap();
        health.breaker.fail(permit, clock::now(), &settings);
        health.outcomes[Outcome::RateLimited as usize].store(2, Relaxed);
        health.outcomes[Outcome::Failed as usize].store(1, Relaxed);
        health.saw(Duration::from_millis(100), 10);
        let message = "said\n".repeat(100);
        health.last_error.store(Some(Arc::new(health::LastError {
            at: SystemTime::UNIX_EPOCH,
            message,
            is_denial: false,
        })));
        let providers = providers(&healths);
        let told = serde_json::to_value(&providers).unwrap();
        assert_eq!(
            told[1],
            json!({
                "provider": "ai/p/b", "model": "m", "state": "closed", "successShare": 1.0, "inFlight": 0,
                "attempts": {"answered": 0, "failed": 0, "rateLimited": 0, "refused": 0, "abandoned": 0},
                "opened": 0, "retriesRefused": 0, "restsForMs": 0,
            }),
            "one that was never asked"
        );
        assert_eq!(told[0]["state"], "open");
        assert!((29..=30).contains(&told[0]["secondsUntilProbe"].as_u64().unwrap()), "{told}");
        assert_eq!(told[0]["perTokenMs"], 10.0);
        assert_eq!(told[0]["attempts"]["rateLimited"], 2);
        assert_eq!(told[0]["lastError"]["at"], "1970-01-01T00:00:00.000Z");
        let message = told[0]["lastError"]["message"].as_str().unwrap();
        assert!(message.chars().count() < 150 && !message.contains('\n'), "{message}");
        assert_eq!(serde_json::from_value::<Vec<ProviderHealth>>(told).unwrap(), providers);
        drop(unasked);
    }
}
