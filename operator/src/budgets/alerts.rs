//! Which thresholds are reached, and of those which nobody has been told of: each once for a limit and its window. Pure.
//!
//! What is told is in `status.alerts`, so that whoever leads next neither repeats nor loses it. A limit that is raised
//! is another one: its thresholds are reached once more.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use llm_config::budget::Unit;
use llm_crds::{BudgetAlert, WebhookDelivery};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::figures::{self, Reading, amount_text};
use crate::observe::ObjectName;

/// From this share on an Event is a warning, in parts per million.
const WARNING: u32 = 900_000;
/// An alert whose webhook has not taken it for so long is not sent any more.
const LONGEST: i64 = 24 * 3_600;
/// Of windows that are over, so many wait for their webhook at most: an object has only so much room.
const MOST_WAITING: usize = 100;

/// A share of a limit, as the spec gives it and in parts per million.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    pub text: String,
    pub ppm: u32,
}

/// What was reached, and is told of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    pub alert: BudgetAlert,
    pub is_warning: bool,
    /// For the Event.
    pub note: String,
}

/// The alerts to have in `status`, and those of them that are new.
pub fn review(
    readings: &[Reading],
    thresholds: &[Threshold],
    before: &[BudgetAlert],
    has_webhook: bool,
    now: Timestamp,
) -> (Vec<BudgetAlert>, Vec<Reached>) {
    let mut alerts = kept(before, readings, thresholds, now);
    let mut news = Vec::new();
    for reading in readings {
        for threshold in thresholds.iter().filter(|threshold| reading.has_reached(threshold.ppm)) {
            let is_told = |alert: &BudgetAlert| {
                alert.limit == reading.name
                    && alert.start.0 == reading.round
                    && alert.threshold == threshold.text
            };
            if alerts.iter().any(is_told) {
                continue;
            }
            let reached = reached(reading, threshold, has_webhook, now);
            alerts.push(reached.alert.clone());
            news.push(reached);
        }
    }
    (alerts, news)
}

/// Those that are to be remembered still: of windows that last, and of earlier ones the newest whose webhook waits.
fn kept(
    before: &[BudgetAlert],
    readings: &[Reading],
    thresholds: &[Threshold],
    now: Timestamp,
) -> Vec<BudgetAlert> {
    let is_of_now = |alert: &&BudgetAlert| is_of_now(alert, readings, thresholds);
    let waits = |alert: &&BudgetAlert| {
        alert.webhook == Some(WebhookDelivery::Pending) && now.as_second() < alert.at.0.as_second() + LONGEST
    };
    let mut surplus = before.iter().filter(|alert| waits(alert) && !is_of_now(alert)).count();
    surplus = surplus.saturating_sub(MOST_WAITING);
    let stays = |alert: &&BudgetAlert| {
        if is_of_now(alert) {
            return true;
        }
        let is_surplus = waits(alert) && surplus > 0;
        surplus -= usize::from(is_surplus);
        waits(alert) && !is_surplus
    };
    before.iter().filter(stays).cloned().collect()
}

/// Whether its window lasts and its limit is the same one.
fn is_of_now(alert: &BudgetAlert, readings: &[Reading], thresholds: &[Threshold]) -> bool {
    let of_now = |reading: &&Reading| reading.name == alert.limit && reading.round == alert.start.0;
    let Some(reading) = readings.iter().find(of_now) else { return false };
    let reached = thresholds
        .iter()
        .any(|threshold| threshold.text == alert.threshold && reading.has_reached(threshold.ppm));
    reached || amount_text(reading.limit.unit, reading.limit.amount) == alert.amount
}

fn reached(reading: &Reading, threshold: &Threshold, has_webhook: bool, now: Timestamp) -> Reached {
    let text = |amount| amount_text(reading.limit.unit, amount);
    let value = reading.values.as_ref().and_then(|(_, top)| top.first()).map(|(value, _)| value.clone());
    let alert = BudgetAlert {
        limit: reading.name.clone(),
        start: Time(reading.round),
        threshold: threshold.text.clone(),
        at: Time(now),
        amount: text(reading.limit.amount),
        spent: text(reading.spent),
        value,
        webhook: has_webhook.then_some(WebhookDelivery::Pending),
        message: None,
    };
    let whose = alert.value.as_ref().map_or_else(String::new, |value| format!(" of {value}"));
    let unit = unit_text(reading.limit.unit);
    let exhausted_at = reading.exhausted_at(now);
    let until = match (reading.is_exceeded(), reading.window.end, exhausted_at) {
        (is_exceeded, ..) if let (Some(length), None) = (reading.length(), exhausted_at) => {
            let length = figures::span_text(length.unsigned_abs().as_secs());
            let lasts = if is_exceeded { "" } else { "at the present pace it lasts: " };
            format!("{lasts}what is spent comes back {length} later, bit by bit")
        }
        (true, Some(end), _) => format!("it begins anew at {end}"),
        (true, None, _) => "it never begins anew".to_owned(),
        (false, _, Some(at)) => format!("at the present pace it will be spent at {at}"),
        (false, Some(end), None) => format!("at the present pace it lasts until {end}"),
        (false, None, None) => "nothing more is spent at present".to_owned(),
    };
    let note = format!(
        "limit {}{whose} has reached {} of {} {unit}: {} {unit} are spent; {until}",
        alert.limit, alert.threshold, alert.amount, alert.spent
    );
    Reached { alert, is_warning: threshold.ppm >= WARNING, note }
}

fn unit_text(unit: Unit) -> &'static str {
    match unit {
        Unit::Usd => "USD",
        Unit::Tokens => "tokens",
        Unit::Requests => "requests",
    }
}

/// What tells an alert from all others, for who gets it twice.
pub fn key(uid: &str, alert: &BudgetAlert) -> String {
    let BudgetAlert { limit, start, threshold, amount, .. } = alert;
    format!("{uid}:{limit}:{}:{threshold}:{amount}", start.0.as_second())
}

/// The name of its Event: the same for whoever raises it, so that the API server takes it once.
pub fn event_name(budget: &str, key: &str) -> String {
    let hash: String = Sha256::digest(key).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let budget: String = budget.chars().take(200).collect();
    format!("{}.{hash}", budget.trim_end_matches(['.', '-']))
}

/// What the webhook is told.
pub fn body(budget: &ObjectName, uid: &str, alert: &BudgetAlert) -> Value {
    let unit = match alert.limit.rsplit_once('-') {
        Some((_, "usd")) => "USD",
        Some((_, unit)) => unit,
        None => "",
    };
    let mut body = json!({
        "type": "budget.threshold",
        "id": key(uid, alert),
        "budget": {"namespace": budget.namespace, "name": budget.name, "uid": uid},
        "limit": alert.limit,
        "windowStart": alert.start,
        "threshold": alert.threshold,
        "unit": unit,
        "amount": alert.amount,
        "spent": alert.spent,
        "at": alert.at,
    });
    if let (Some(value), Some(body)) = (&alert.value, body.as_object_mut()) {
        body.insert("value".to_owned(), json!(value));
    }
    body
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use llm_config::budget::{Limit, Window};
    use llm_ledger::window;

    use super::*;

    const START: &str = "2026-11-26T00:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn now() -> Timestamp {
        at("2026-11-26T12:00:00Z")
    }

    fn reading(amount: u64, spent: u64) -> Reading {
        Reading {
            name: "daily-requests".to_owned(),
            limit: Limit { window: Window::Daily, unit: Unit::Requests, amount },
            window: window::Window { start: at(START), end: Some(at("2026-11-27T00:00:00Z")) },
            round: at(START),
            spent,
            reserved: 0,
            pace: 0.0,
            values: None,
        }
    }

    fn thresholds() -> Vec<Threshold> {
        [("0.5", 500_000), ("0.9", 900_000), ("1.0", 1_000_000)]
            .map(|(text, ppm)| Threshold { text: text.to_owned(), ppm })
            .into()
    }

    fn reviewed(reading: Reading, before: &[BudgetAlert]) -> (Vec<BudgetAlert>, Vec<String>) {
        let (alerts, news) = review(&[reading], &thresholds(), before, true, now());
        (alerts, news.into_iter().map(|reached| reached.alert.threshold).collect())
    }

    #[test]
    fn each_threshold_is_told_once() {
        assert_eq!(reviewed(reading(100, 49), &[]).1, [""; 0]);
        let (alerts, news) = reviewed(reading(100, 50), &[]);
        assert_eq!(news, ["0.5"]);
        assert_eq!(reviewed(reading(100, 89), &alerts), (alerts.clone(), vec![]));
        // Several at once.
        let (all, news) = reviewed(reading(100, 100), &alerts);
        assert_eq!((all.len(), news), (3, vec!["0.9".to_owned(), "1.0".to_owned()]));
        // The ledger has lost its memory, and the proxies have not yet told what they spent.
        assert_eq!(reviewed(reading(100, 0), &all), (all.clone(), vec![]));
        assert_eq!(reviewed(reading(100, 100), &all), (all, vec![]));
    }

    #[test]
    fn a_new_window_and_a_raised_limit_are_told_of_anew() {
        let (mut alerts, _) = reviewed(reading(100, 95), &[]);
        let (kept, news) = reviewed(reading(200, 100), &alerts);
        assert_eq!((kept.len(), news), (2, vec![]), "a webhook waits; and a half is reached as before");
        alerts.iter_mut().for_each(|alert| alert.webhook = Some(WebhookDelivery::Delivered));
        let (kept, news) = reviewed(reading(200, 100), &alerts);
        assert_eq!((kept.len(), news), (1, vec![]), "nine tenths are far away again");
        assert_eq!(reviewed(reading(200, 180), &kept).1, ["0.9"]);
        assert_eq!(reviewed(reading(50, 95), &alerts).1, ["1.0"]);

        let tomorrow = window::Window { start: at("2026-11-27T00:00:00Z"), end: None };
        let (kept, news) =
            reviewed(Reading { window: tomorrow, round: tomorrow.start, ..reading(100, 50) }, &alerts);
        assert_eq!((kept.len(), news), (1, vec!["0.5".to_owned()]));
    }

    /// It is reached all the while, and told of in each round.
    #[test]
    fn a_threshold_of_a_rolling_limit_is_told_once_in_each_round() {
        let (mut alerts, news) = reviewed(reading(100, 60), &[]);
        assert_eq!(news, ["0.5"]);
        alerts.iter_mut().for_each(|alert| alert.webhook = Some(WebhookDelivery::Delivered));
        assert_eq!(reviewed(reading(100, 40), &alerts), (alerts.clone(), vec![]), "some of it came back");
        assert_eq!(reviewed(reading(100, 60), &alerts), (alerts.clone(), vec![]));
        let next = Reading { round: at("2026-11-27T00:00:00Z"), ..reading(100, 60) };
        let (kept, news) = reviewed(next, &alerts);
        assert_eq!((kept.len(), news), (1, vec!["0.5".to_owned()]));
        assert_ne!(key("u", &kept[0]), key("u", &alerts[0]), "nobody takes it for the same");
    }

    #[test]
    fn what_a_webhook_has_not_taken_stays_for_a_day() {
        let (alerts, _) = reviewed(reading(100, 95), &[]);
        let later = |hours| now() + jiff::SignedDuration::from_hours(hours);
        assert_eq!(review(&[], &thresholds(), &alerts, true, later(23)).0, alerts);
        assert_eq!(review(&[], &thresholds(), &alerts, true, later(24)).0, []);
    }

    #[test]
    fn a_note_says_what_is_spent_and_what_comes() {
        let note = |reading| {
            let (_, news) = review(&[reading], &thresholds(), &[], false, now());
            news.last().map(|reached| (reached.note.clone(), reached.is_warning)).unwrap()
        };
        assert_eq!(
            note(reading(100, 60)),
            (
                "limit daily-requests has reached 0.5 of 100 requests: 60 requests are spent; at the present pace it lasts until 2026-11-27T00:00:00Z"
                    .to_owned(),
                false
            )
        );
        let values = Some((2, vec![("ann".to_owned(), 90), ("bob".to_owned(), 1)]));
        assert_eq!(
            note(Reading { values, pace: 0.1, ..reading(100, 90) }),
            (
                "limit daily-requests of ann has reached 0.9 of 100 requests: 90 requests are spent; at the present pace it will be spent at 2026-11-26T12:02:00Z"
                    .to_owned(),
                true
            )
        );
        assert!(note(reading(100, 100)).0.ends_with("it begins anew at 2026-11-27T00:00:00Z"));
        let rolling = |spent, pace| {
            let limit = Limit { window: Window::Rolling(5 * 3_600), unit: Unit::Requests, amount: 100 };
            let window = window::Window { start: at("1970-01-01T00:00:00Z"), end: None };
            note(Reading { limit, window, pace, ..reading(100, spent) }).0
        };
        let comes_back = "what is spent comes back 5h later, bit by bit";
        assert!(rolling(100, 0.0).ends_with(&format!("100 requests are spent; {comes_back}")));
        assert!(rolling(60, 0.0).ends_with(&format!("at the present pace it lasts: {comes_back}")));
        assert!(rolling(60, 0.1).ends_with("at the present pace it will be spent at 2026-11-26T12:07:00Z"));
    }

    #[test]
    fn an_alert_has_one_key_and_one_name_whoever_tells_of_it() {
        let (alerts, _) = reviewed(reading(100, 95), &[]);
        let [half, most] = alerts.as_slice() else { unreachable!("{alerts:?}") };
        assert_eq!(key("u", half), "u:daily-requests:1795651200:0.5:100");
        let later = BudgetAlert { at: Time(at("2026-11-26T13:00:00Z")), ..half.clone() };
        assert_eq!(event_name("b", &key("u", half)), event_name("b", &key("u", &later)));
        assert_ne!(event_name("b", &key("u", half)), event_name("b", &key("u", most)));
        let name = event_name(&"b".repeat(253), "k");
        assert!(name.len() <= 253 && name.contains("b."), "{name}");
        let told = body(&ObjectName::new("team", "daily"), "u", half);
        assert_eq!(
            (&told["unit"], &told["spent"], &told["budget"]["name"]),
            (&json!("requests"), &json!("95"), &json!("daily"))
        );
    }
}
