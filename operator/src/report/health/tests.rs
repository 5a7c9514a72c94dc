//! What is made of what proxies say, and how often it is written.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;
use crate::publish::attached::{Group, Summary};
use kube::runtime::events::EventType;
use llm_crds::Condition;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

fn pool(providers: &[(&str, &[&str])]) -> ProviderPoolSpec {
    let providers = providers.iter().map(|(name, models)| {
        let models: Vec<_> = models.iter().map(|model| json!({"name": model})).collect();
        json!({"name": name, "kind": "OpenAI", "models": models})
    });
    serde_json::from_value(json!({"providers": providers.collect::<Vec<_>>()})).unwrap()
}

fn open(provider: &str, model: &str, proxies: usize, error: &str) -> OpenOn {
    OpenOn { provider: provider.to_owned(), model: model.to_owned(), proxies, error: error.to_owned() }
}

/// What a replica says of gateway `default`.
fn replica(proxies: usize, open: Vec<OpenOn>) -> Summaries {
    let group = Group { proxies, names: Vec::new(), holds: Arc::default() };
    BTreeMap::from([(Fleet::gateway("default"), Summary { groups: vec![group], open, ..Summary::default() })])
}

fn health(pool: &ProviderPoolSpec, summaries: &[Summaries]) -> Option<Health> {
    Health::of(&ObjectName::new("ai", "pool"), pool, &BTreeSet::from([Fleet::gateway("default")]), summaries)
}

#[test]
fn the_proxies_of_all_replicas_are_counted() {
    let pool = pool(&[("a", &["large", "small"]), ("b", &["large"])]);
    let summaries = [
        replica(5, vec![open("ai/pool/b", "large", 2, "timeout")]),
        replica(7, vec![open("ai/pool/a", "small", 1, "reset"), open("ai/pool/b", "large", 1, "status 503")]),
    ];
    let found = health(&pool, &summaries).unwrap();
    assert_eq!((found.verdict.status, found.verdict.reason), (false, Reason::BreakerOpen));
    assert_eq!(
        found.verdict.message,
        "a/small: open on 1 of 12 proxies (reset); b/large: open on 3 of 12 proxies (status 503)"
    );
    let status = json!([
        {"name": "a", "models": [{"name": "small", "open": 1, "proxies": 12, "lastError": "reset"}]},
        {"name": "b", "models": [{"name": "large", "open": 3, "proxies": 12, "lastError": "status 503"}]},
    ]);
    assert_eq!(serde_json::to_value(&found.providers).unwrap(), status);
    // Whom the leader asks first makes no difference.
    let mut turned = summaries;
    turned.reverse();
    assert_eq!(health(&pool, &turned).unwrap(), found);
}

#[test]
fn only_what_the_spec_holds_is_told_and_nothing_where_nobody_tells() {
    let pool = pool(&[("a", &["large"])]);
    let others =
        ["ai/pool/gone", "ai/other/a", "other/pool/a"].map(|provider| open(provider, "large", 1, "e"));
    let mut told = others.to_vec();
    told.push(open("ai/pool/a", "gone", 1, "e"));
    let found = health(&pool, &[replica(1, told)]).unwrap();
    let fine = Verdict {
        condition: ConditionType::Healthy,
        status: true,
        reason: Reason::AllClosed,
        message: "all providers take calls".to_owned(),
    };
    assert_eq!(found, Health { verdict: fine, providers: Vec::new() });
    assert_eq!(health(&pool, &[]), None);
    let elsewhere = BTreeSet::from([Fleet::gateway("edge")]);
    assert_eq!(Health::of(&ObjectName::new("ai", "pool"), &pool, &elsewhere, &[replica(1, vec![])]), None);
}

#[test]
fn a_status_is_bounded() {
    let models: Vec<String> = (0..100).map(|i| format!("m{i}")).collect();
    let models: Vec<&str> = models.iter().map(String::as_str).collect();
    let told = models.iter().map(|model| open("ai/pool/a", model, 1, "e")).collect();
    let found = health(&pool(&[("a", &models)]), &[replica(1, told)]).unwrap();
    assert!(found.verdict.message.starts_with("a/m0: open on 1 of 1 proxy (e); a/m1: "), "{found:?}");
    assert!(found.verdict.message.ends_with("a/m4: open on 1 of 1 proxy (e); and 95 more"), "{found:?}");
    assert_eq!(found.providers[0].models.len(), LISTED);
}

#[tokio::test(start_paused = true)]
async fn news_after_a_quiet_time_is_written_at_once_and_then_at_a_pace() {
    let pool = pool(&[("a", &["large"])]);
    let name = ObjectName::new("ai", "pool");
    let on = |proxies: usize, error: &str| {
        let told = if proxies == 0 { vec![] } else { vec![open("ai/pool/a", "large", proxies, error)] };
        health(&pool, &[replica(3, told)])
    };
    let mut pace = Pace::default();
    let mut write = |found: &Option<Health>| (pace.paced(&name, found.clone(), Instant::now()), pace.due());
    assert_eq!(write(&None), (None, None));
    assert_eq!(write(&on(0, "")), (on(0, ""), None));
    assert_eq!(write(&on(1, "e")), (on(1, "e"), None));
    // It flaps.
    let due = Some(Instant::now() + PAUSE);
    for proxies in [0, 1, 0, 2, 3] {
        let held_back = if proxies == 1 { None } else { due };
        assert_eq!(write(&on(proxies, "e")), (on(1, "e"), held_back));
    }
    tokio::time::advance(PAUSE).await;
    assert_eq!(write(&on(3, "e")), (on(3, "e"), None));
    // Only the text differs.
    tokio::time::advance(PAUSE).await;
    assert_eq!(write(&on(3, "f")), (on(3, "e"), Some(Instant::now() + PAUSE_OF_TEXTS - PAUSE)));
    assert_eq!(write(&on(0, "")), (on(0, ""), None));
    // The last proxy goes: there is nothing to wait for.
    assert_eq!(write(&None), (None, None));
}

#[test]
fn an_event_tells_that_it_turned_and_no_more() {
    let pool = pool(&[("a", &["large"])]);
    let fine = health(&pool, &[replica(3, vec![])]).unwrap().verdict;
    let bad = |proxies| {
        health(&pool, &[replica(3, vec![open("ai/pool/a", "large", proxies, "e")])]).unwrap().verdict
    };
    let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
    let condition = |verdict: &Verdict| -> Condition { verdict.stamped(&[], None, &now) };
    let event = crate::report::event_type;
    assert_eq!(event(&fine, None), None);
    assert_eq!(event(&bad(1), None), Some(EventType::Warning));
    assert_eq!(event(&bad(1), Some(&condition(&fine))), Some(EventType::Warning));
    assert_eq!(event(&bad(2), Some(&condition(&bad(1)))), None);
    assert_eq!(event(&fine, Some(&condition(&bad(2)))), Some(EventType::Normal));
    assert_eq!(event(&fine, Some(&condition(&fine))), None);
}
