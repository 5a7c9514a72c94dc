//! What several proxies know of their providers, as one: a provider that is down for one of them only
//! has another trouble than one that is down for all.

use std::collections::BTreeMap;

use serde::Serialize;

pub use crate::admin::providers::{LastError, ProviderHealth, State};

/// Some proxies, by what their admin ports told.
#[derive(Debug, Default, Serialize)]
pub struct Fleet {
    /// Those that told.
    pub reached: Vec<String>,
    pub unreachable: Vec<Unreachable>,
    /// By provider and model.
    pub providers: Vec<Provider>,
}

/// A proxy that told nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreachable {
    pub admin: String,
    pub reason: String,
}

/// One model of one provider, as all proxies that may call it know it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    pub provider: String,
    pub model: String,
    /// How many proxies have it in which state.
    pub states: States,
    /// Until the first of those that have it open looks again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_until_probe: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_second: Option<f32>,
    /// The share of calls that failed lately, from 0 to 1; none before the first call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_share: Option<f32>,
    pub in_flight: u64,
    /// The longest that it asked to be left alone.
    pub rests_for_ms: u64,
    /// The latest of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
}

/// Proxies by the state that one's breaker has with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct States {
    pub closed: usize,
    pub half_open: usize,
    pub open: usize,
}

impl Fleet {
    /// Where a proxy tells what it knows.
    pub const PATH: &str = "/debug/providers";

    /// Of what each proxy told there, by where it was asked.
    pub fn of(answers: impl IntoIterator<Item = (String, Result<impl AsRef<[u8]>, String>)>) -> Self {
        let mut fleet = Self::default();
        let mut told = Vec::new();
        for (admin, answer) in answers {
            let read = answer.and_then(|text| {
                serde_json::from_slice::<Vec<ProviderHealth>>(text.as_ref())
                    .map_err(|error| format!("answered no list of providers: {error}"))
            });
            match read {
                Ok(providers) => {
                    fleet.reached.push(admin);
                    told.extend(providers);
                }
                Err(reason) => fleet.unreachable.push(Unreachable { admin, reason }),
            }
        }
        fleet.providers = together(told);
        fleet
    }
}

/// What is told of the same one, made one.
fn together(told: Vec<ProviderHealth>) -> Vec<Provider> {
    let mut by_name: BTreeMap<(String, String), Vec<ProviderHealth>> = BTreeMap::new();
    for health in told {
        by_name.entry((health.provider.clone(), health.model.clone())).or_default().push(health);
    }
    by_name.into_iter().map(|((provider, model), told)| Provider::new(provider, model, &told)).collect()
}

impl Provider {
    fn new(provider: String, model: String, told: &[ProviderHealth]) -> Self {
        let mut states = States::default();
        for health in told {
            match health.state {
                State::Closed => states.closed += 1,
                State::HalfOpen => states.half_open += 1,
                State::Open => states.open += 1,
            }
        }
        let asked =
            |health: &ProviderHealth| (health.attempts.telling() > 0).then_some(1.0 - health.success_share);
        let latest = told
            .iter()
            .filter_map(|health| health.last_error.as_ref())
            .max_by_key(|error| error.at.parse::<jiff::Timestamp>().unwrap_or_default());
        Self {
            provider,
            model,
            states,
            seconds_until_probe: told.iter().filter_map(|health| health.seconds_until_probe).min(),
            first_token_ms: mean(told, |health| health.first_token_ms),
            tokens_per_second: mean(told, |health| health.per_token_ms)
                .filter(|ms| *ms > 0.0)
                .map(|ms| 1e3 / ms),
            error_share: mean(told, asked),
            in_flight: told.iter().map(|health| u64::from(health.in_flight)).sum(),
            rests_for_ms: told.iter().map(|health| health.rests_for_ms).max().unwrap_or_default(),
            last_error: latest.cloned(),
        }
    }

    /// Its state in a few words: for one proxy and for many that agree, that; else on how many of them
    /// what is worse than closed.
    #[must_use]
    pub fn state(&self) -> String {
        let States { closed, half_open, open } = self.states;
        let all = closed + half_open + open;
        let seconds = self.seconds_until_probe.filter(|_| open > 0);
        let probe = seconds.map(|seconds| format!(", probe in {seconds} s")).unwrap_or_default();
        let mut state = match (half_open, open) {
            (0, 0) => "closed".to_owned(),
            (0, open) if open == all => format!("open{probe}"),
            (half_open, 0) if half_open == all => "half-open".to_owned(),
            (0, open) => format!("open on {open} of {all}{probe}"),
            (half_open, 0) => format!("half-open on {half_open} of {all}"),
            (half_open, open) => format!("open on {open}, half-open on {half_open} of {all}{probe}"),
        };
        if self.rests_for_ms > 0 {
            state += &format!(", rests {} s", self.rests_for_ms.div_ceil(1000));
        }
        state
    }
}

/// What those know that know it; who has called it more often has more to say.
fn mean(told: &[ProviderHealth], of: impl Fn(&ProviderHealth) -> Option<f32>) -> Option<f32> {
    let (mut sum, mut weight) = (0.0, 0.0);
    for health in told {
        if let Some(value) = of(health) {
            #[expect(clippy::cast_precision_loss, reason = "a weight, not a count")]
            let times = health.attempts.telling().max(1) as f32;
            sum += value * times;
            weight += times;
        }
    }
    (weight > 0.0).then(|| sum / weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::providers::Attempts;

    fn health(model: &str, state: State, answered: u64) -> ProviderHealth {
        ProviderHealth {
            provider: "ai/p/a".to_owned(),
            model: model.to_owned(),
            state,
            seconds_until_probe: (state == State::Open).then_some(answered),
            success_share: 1.0,
            first_token_ms: None,
            per_token_ms: None,
            in_flight: 2,
            attempts: Attempts { answered, ..Attempts::default() },
            opened: 0,
            retries_refused: 0,
            rests_for_ms: 0,
            last_error: None,
        }
    }

    fn states(states: &[State]) -> String {
        together(states.iter().map(|state| health("m", *state, 7)).collect())[0].state()
    }

    #[test]
    fn proxies_that_agree_are_one_and_the_others_are_counted() {
        use State::{Closed, HalfOpen, Open};
        for (given, shown) in [
            (&[Closed][..], "closed"),
            (&[Closed, Closed], "closed"),
            (&[HalfOpen], "half-open"),
            (&[Open, Open], "open, probe in 7 s"),
            (&[Closed, Open, Closed], "open on 1 of 3, probe in 7 s"),
            (&[Closed, HalfOpen], "half-open on 1 of 2"),
            (&[Open, HalfOpen, Closed], "open on 1, half-open on 1 of 3, probe in 7 s"),
        ] {
            assert_eq!(states(given), shown);
        }
        let resting = ProviderHealth { rests_for_ms: 1500, ..health("m", Closed, 1) };
        assert_eq!(together(vec![resting])[0].state(), "closed, rests 2 s");
    }

    #[test]
    fn means_are_of_those_that_know_and_weigh_by_their_calls() {
        let busy = ProviderHealth {
            success_share: 0.5,
            first_token_ms: Some(100.0),
            per_token_ms: Some(10.0),
            ..health("m", State::Closed, 30)
        };
        let calm = ProviderHealth { first_token_ms: Some(200.0), ..health("m", State::Closed, 10) };
        let rows = together(vec![health("z", State::Closed, 0), busy, health("m", State::Closed, 0), calm]);
        let names: Vec<&str> = rows.iter().map(|row| row.model.as_str()).collect();
        assert_eq!(names, ["m", "z"], "in order");
        assert_eq!((rows[0].first_token_ms, rows[0].tokens_per_second), (Some(125.0), Some(100.0)));
        assert_eq!((rows[0].error_share, rows[0].in_flight), (Some(0.375), 6));
        assert_eq!((rows[1].error_share, rows[1].first_token_ms), (None, None), "never asked");
    }

    #[test]
    fn the_latest_error_is_shown() {
        let failed = |at: &str| ProviderHealth {
            last_error: Some(LastError { at: at.to_owned(), message: at.to_owned() }),
            ..health("m", State::Closed, 1)
        };
        let all = ["2026-01-01T10:00:00.000Z", "2026-01-01T12:00:00+01:00", "2026-01-01T10:30:00Z"];
        let row = &together(all.map(failed).to_vec())[0];
        assert_eq!(row.last_error.as_ref().map(|error| error.message.as_str()), Some(all[1]));
    }
}
