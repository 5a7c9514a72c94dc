//! An installation in order, and one thing after the other that is not.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::{
    certificates::{make_authority, serving},
    publish::attached::{
        listing::{AttachedProxy, Sections, State},
        versions::Kind,
    },
    survey::{
        facts::{Held, Operator},
        proxies::{Listed, Listing, Replica},
        webhooks::Webhook,
    },
};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// An installation in order, looked at so long after its authority was made.
fn fine(age: SignedDuration) -> (Facts, Depths) {
    let made = Timestamp::from_second(1_800_000_000).unwrap();
    let now = made + age;
    let authority = make_authority(made, 90 * DAY).unwrap();
    let names = ["llm-operator.gw.svc".to_owned()];
    let certificate = serving(&authority, &names, made).unwrap().cert[0].to_vec();
    let own = env!("CARGO_PKG_VERSION").to_owned();
    let replica = Replica {
        name: "op-1".to_owned(),
        version: own,
        leads: true,
        certificate: Some(certificate),
        ledger_refused: None,
    };
    let listing =
        Listing { replicas: vec![replica], proxies: vec![proxy("a", State::InForce)], ..Listing::default() };
    let operator = Operator { wanted: Some(1), ready: 1, pods: vec!["op-1".to_owned()], account: None };
    let held = Held { holder: "op-1".to_owned(), renewed: Some(now), seconds: 15 };
    let facts = Facts {
        now,
        namespace: "gw".to_owned(),
        operator: Ok(operator),
        lease: Ok(Some(held)),
        listing,
        routes: Ok(Vec::new()),
        pools: Ok(Vec::new()),
        budgets: Ok(Vec::new()),
        without_sidecar: Ok(Vec::new()),
    };
    let webhook = Webhook {
        configuration: "mutatingwebhookconfiguration/w".to_owned(),
        name: "pod".to_owned(),
        trusts: authority.certificate.clone().into_bytes(),
        service: Some((ObjectName::new("gw", "llm-operator"), 2)),
        fails_closed: true,
    };
    let mut definitions = llm_crds::definitions();
    for definition in &mut definitions {
        let established = serde_json::json!({"conditions": [{"type": "Established", "status": "True"}]});
        definition.status = serde_json::from_value(established).ok();
    }
    let depths = Depths {
        definitions: Ok(definitions),
        webhooks: Ok(vec![webhook]),
        bundle: Ok(Some(authority.certificate)),
        account: ObjectName::new("gw", "llm-operator"),
        missing_rights: Ok(Vec::new()),
        absent_secrets: Ok(BTreeSet::new()),
        asked_for_sidecars: Ok(true),
        trial_ledger: Ok(false),
    };
    (facts, depths)
}

fn proxy(name: &str, state: State) -> Listed {
    let proxy = AttachedProxy {
        name: name.to_owned(),
        kind: Kind::Sidecar,
        fleet: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        attached_since: Time(Timestamp::UNIX_EPOCH),
        state,
        sections: Sections { held: 1, wanted: 2 },
    };
    Listed { proxy, replica: "op-1".to_owned(), operator_version: None }
}

/// What is found after a change of what was in order.
fn found(change: impl FnOnce(&mut Facts, &mut Depths)) -> Vec<(&'static str, Severity, String)> {
    let (mut facts, mut depths) = fine(DAY);
    change(&mut facts, &mut depths);
    all(&examine(&facts, &depths))
}

fn all(checks: &[Check]) -> Vec<(&'static str, Severity, String)> {
    let each = |check: &Check| {
        let findings = check.findings.iter();
        findings.map(|f| (check.name, f.severity, f.message.clone())).collect::<Vec<_>>()
    };
    checks.iter().flat_map(each).collect()
}

fn one(wanted: (&str, Severity, &str), change: impl FnOnce(&mut Facts, &mut Depths)) {
    let found = found(change);
    let [(check, severity, message)] = &found[..] else { panic!("{wanted:?}: {found:#?}") };
    assert!(
        (*check, *severity) == (wanted.0, wanted.1) && message.contains(wanted.2),
        "{wanted:?}: {found:#?}"
    );
}

#[test]
fn what_is_in_order_is_said_to_be_so() {
    let (facts, depths) = fine(DAY);
    let checks = examine(&facts, &depths);
    assert_eq!(all(&checks), []);
    assert!(checks.iter().all(|check| !check.fine.is_empty()), "{checks:#?}");
}

#[test]
fn replicas_and_their_leader_are_looked_at() {
    use Severity::{Error, Warning};
    let operator = |wanted, ready| {
        move |facts: &mut Facts, _: &mut Depths| {
            facts.operator = Ok(Operator { wanted: Some(wanted), ready, ..Operator::default() });
        }
    };
    one(("operator", Error, "no replica of the operator is ready"), operator(2, 0));
    one(("operator", Error, "scaled to 0"), operator(0, 0));
    one(("operator", Warning, "1 of 2 replicas"), operator(2, 1));
    let lease = |held: Option<(&str, i64)>| {
        let held = held.map(|(holder, age)| (holder.to_owned(), SignedDuration::from_secs(age)));
        move |facts: &mut Facts, _: &mut Depths| {
            let held = held.map(|(holder, age)| Held { holder, renewed: Some(facts.now - age), seconds: 15 });
            facts.lease = Ok(held);
        }
    };
    one(("operator", Error, "there is no Lease"), lease(None));
    one(("operator", Error, "nobody leads"), lease(Some(("", 1))));
    one(("operator", Error, "has not renewed the Lease for 21 s"), lease(Some(("op-1", 21))));
    assert_eq!(found(lease(Some(("op-1", 20)))), []);
    one(("operator", Warning, "the Lease can't be looked at: not allowed"), |facts, _| {
        facts.lease = Err("not allowed".to_owned());
    });
}

#[test]
fn certificates_that_run_out_or_are_not_trusted_are_found() {
    let aged = |days| {
        let (mut facts, depths) = fine(days * DAY);
        facts.lease = Ok(Some(Held { holder: "op-1".to_owned(), renewed: Some(facts.now), seconds: 15 }));
        all(&examine(&facts, &depths))
    };
    assert_eq!(aged(74), []);
    assert!(aged(80)[0].2.contains("has not been replaced"));
    let over = aged(91);
    assert!(
        over[0].2.contains("the authority has run out")
            && over[1].2.contains("operator op-1 shows a certificate"),
        "{over:#?}"
    );
    let other = make_authority(Timestamp::from_second(1_800_000_000).unwrap(), 90 * DAY).unwrap().certificate;
    let found = found(|_, depths| depths.bundle = Ok(Some(other)));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].2.contains("that proxies refuse") && found[1].2.contains("trusts another authority"),
        "{found:#?}"
    );
    one(("certificates", Severity::Error, "ConfigMap llm-operator-ca is not there"), |_, depths| {
        depths.bundle = Ok(None);
    });
}

#[test]
fn a_webhook_that_nobody_answers_is_worse_where_it_fails_closed() {
    let unanswered = |fails_closed| {
        move |_: &mut Facts, depths: &mut Depths| {
            let webhook = &mut depths.webhooks.as_mut().unwrap()[0];
            webhook.fails_closed = fails_closed;
            webhook.service.as_mut().unwrap().1 = 0;
        }
    };
    one(("webhooks", Severity::Error, "is refused (failurePolicy Fail)"), unanswered(true));
    one(("webhooks", Severity::Warning, "passes unchanged (failurePolicy Ignore)"), unanswered(false));
    one(("webhooks", Severity::Error, "caBundle is empty"), |_, depths| {
        depths.webhooks.as_mut().unwrap()[0].trusts.clear();
    });
}

#[test]
fn a_budget_that_is_not_in_force_and_a_secret_that_it_lacks_are_found() {
    let budget = |reason: &str| {
        let condition = unmet("Accepted", reason);
        let key = serde_json::json!({"name": "hook", "key": "k"});
        let manifest = serde_json::json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "Budget",
            "metadata": {"namespace": "ai", "name": "daily"},
            "spec": {
                "limits": [{"window": "Daily", "usd": "1"}],
                "alerts": {"webhook": {"urlSecretRef": key, "signingSecretRef": key}},
            },
            "status": {"conditions": [condition]},
        });
        Ok(vec![serde_json::from_value(manifest).unwrap()])
    };
    one(("objects", Severity::Warning, "budget ai/daily: Accepted (InvalidWindow): why"), |facts, _| {
        facts.budgets = budget("InvalidWindow");
    });
    let found = found(|facts, depths| {
        facts.budgets = budget("InvalidWindow");
        depths.absent_secrets = Ok([ObjectName::new("ai", "hook")].into());
    });
    assert_eq!(found[0].2, "Budget ai/daily names Secret hook, which is not there");
    assert_eq!(found.len(), 2, "{found:#?}");
}

fn unmet(condition: &str, reason: &str) -> serde_json::Value {
    serde_json::json!({
        "type": condition, "status": "False", "reason": reason, "message": "why",
        "lastTransitionTime": "2026-11-26T00:00:00Z",
    })
}

#[test]
fn a_ledger_that_is_missing_or_silent_or_goes_with_its_pod_is_found_once_for_all_budgets() {
    let budgets = |enforcement: &str, condition: serde_json::Value| {
        let budget = |name: &str| {
            serde_json::from_value(serde_json::json!({
                "apiVersion": "llmgateway.dev/v1alpha1", "kind": "Budget",
                "metadata": {"namespace": "ai", "name": name},
                "spec": {"limits": [{"window": "Daily", "usd": "1"}], "enforcement": enforcement},
                "status": {"conditions": [condition, {
                    "type": "Programmed", "status": "True", "reason": "Programmed", "message": "",
                    "lastTransitionTime": "2026-11-26T00:00:00Z",
                }]},
            }))
            .unwrap()
        };
        Ok(["daily", "monthly", "weekly"].map(budget).to_vec())
    };
    let reachable = || {
        let mut condition = unmet("LedgerReachable", "LedgerAnswers");
        condition["status"] = "True".into();
        condition
    };
    one(
        ("ledger", Severity::Error, "there is no ledger, and so Budget ai/daily and 2 more are out of force"),
        |facts, _| facts.budgets = budgets("Strict", unmet("Accepted", "NoLedger")),
    );
    one(
        (
            "ledger",
            Severity::Error,
            "it does not answer, and so Budget ai/daily and 2 more are Degraded: why",
        ),
        |facts, _| facts.budgets = budgets("Strict", unmet("LedgerReachable", "LedgerUnreachable")),
    );
    one(
        (
            "ledger",
            Severity::Error,
            "it refuses its settings, and so Budget ai/daily and 2 more are Degraded: why",
        ),
        |facts, _| facts.budgets = budgets("Strict", unmet("LedgerReachable", "LedgerRefuses")),
    );
    one(("ledger", Severity::Error, "operator op-1 keeps to the last good settings"), |facts, _| {
        facts.listing.replicas[0].ledger_refused = Some("keeps to the last good settings".to_owned());
    });
    let trial = |enforcement: &'static str| {
        move |facts: &mut Facts, depths: &mut Depths| {
            facts.budgets = budgets(enforcement, reachable());
            depths.trial_ledger = Ok(true);
        }
    };
    one(("ledger", Severity::Warning, "Redis for trials, which a restart empties"), trial("Strict"));
    assert_eq!(found(trial("Estimated")), []);
    assert_eq!(found(|facts, _| facts.budgets = budgets("Strict", reachable())), []);
    one(("ledger", Severity::Warning, "StatefulSets can't be looked at: not allowed"), |_, depths| {
        depths.trial_ledger = Err("not allowed".to_owned());
    });
}

#[test]
fn many_of_a_kind_are_a_few_and_a_number_and_the_worst_is_among_the_few() {
    let found = found(|facts, _| {
        let lagging = State::Lagging { since: Time(facts.now - SignedDuration::from_secs(10)) };
        let just = State::Lagging { since: Time(facts.now - SignedDuration::from_secs(9)) };
        facts.listing.proxies = (0..100).map(|i| proxy(&format!("ns/p{i}"), lagging.clone())).collect();
        facts.listing.proxies.push(proxy("ns/just", just));
        facts.listing.proxies.push(proxy("ns/bad", State::Refused { problems: vec!["x".to_owned()] }));
    });
    assert_eq!(found.len(), LISTED + 1);
    assert!(found[0].2.contains("sidecar ns/bad refuses") && found[0].1 == Severity::Error);
    assert_eq!(found[LISTED].2, "and 81 more of the kind");
}

#[test]
fn another_version_of_the_operator_is_said_and_schemas_are_then_not_compared() {
    one(("definitions", Severity::Warning, "the operator is version 9.9.9"), |facts, depths| {
        facts.listing.replicas[0].version = "9.9.9".to_owned();
        depths.definitions.as_mut().unwrap()[0].spec.versions[0].additional_printer_columns = None;
    });
    one(("definitions", Severity::Error, "of another version"), |_, depths| {
        depths.definitions.as_mut().unwrap()[0].spec.versions[0].additional_printer_columns = None;
    });
}
