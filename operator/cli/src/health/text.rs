//! Providers for a person: one line for each model of each.

use std::time::SystemTime;

use llm_proxy::fleet::{Fleet, LastError, Provider};

use crate::{age::since, table::Table};

/// The table; errors are as old as they are at `now`.
pub fn text(fleet: &Fleet, now: SystemTime) -> String {
    let mut table = Table::new(&[
        "PROVIDER",
        "MODEL",
        "STATE",
        "FIRST-TOKEN",
        "TOKENS/S",
        "ERRORS%",
        "IN-FLIGHT",
        "LAST-ERROR",
    ]);
    for provider in &fleet.providers {
        table.row(row(provider, now));
    }
    table.text()
}

fn row(provider: &Provider, now: SystemTime) -> Vec<String> {
    let known = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    vec![
        provider.provider.clone(),
        provider.model.clone(),
        provider.state(),
        known(provider.first_token_ms.map(|ms| format!("{ms:.0} ms"))),
        known(provider.tokens_per_second.map(|tokens| format!("{tokens:.0}"))),
        known(provider.error_share.map(|share| format!("{:.1}", share * 100.0))),
        provider.in_flight.to_string(),
        known(provider.last_error.as_ref().map(|error| last(error, now))),
    ]
}

fn last(LastError { at, message }: &LastError, now: SystemTime) -> String {
    match at.parse() {
        Ok(at) => format!("{} ago: {message}", since(at, now)),
        Err(_) => message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use llm_proxy::fleet::States;

    use super::*;

    fn provider(name: &str) -> Provider {
        Provider {
            provider: name.to_owned(),
            model: "m".to_owned(),
            states: States { closed: 1, ..States::default() },
            seconds_until_probe: None,
            first_token_ms: None,
            tokens_per_second: None,
            error_share: None,
            in_flight: 0,
            rests_for_ms: 0,
            last_error: None,
        }
    }

    #[test]
    fn what_is_not_known_is_a_dash_and_the_rest_is_rounded() {
        let failing = Provider {
            states: States { closed: 9, half_open: 0, open: 3 },
            seconds_until_probe: Some(12),
            first_token_ms: Some(149.6),
            tokens_per_second: Some(60.4),
            error_share: Some(0.3333),
            in_flight: 17,
            last_error: Some(LastError {
                at: "2026-01-01T00:00:00.250Z".to_owned(),
                message: "it\nfailed".to_owned(),
            }),
            ..provider("ai/p/b")
        };
        let fleet = Fleet { providers: vec![provider("ai/p/a"), failing], ..Fleet::default() };
        let now = "2026-01-01T00:05:01Z".parse::<jiff::Timestamp>().map(SystemTime::from);
        assert_eq!(
            now.map(|now| text(&fleet, now)).unwrap_or_default(),
            "PROVIDER  MODEL  STATE                           FIRST-TOKEN  TOKENS/S  ERRORS%  IN-FLIGHT  LAST-ERROR\n\
             ai/p/a    m      closed                          -            -         -        0          -\n\
             ai/p/b    m      open on 3 of 12, probe in 12 s  150 ms       60        33.3     17         5m ago: it\u{fffd}failed\n"
        );
    }
}
