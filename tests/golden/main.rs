//! What compile makes of manifests: each folder of `cases` holds `manifests.yaml` and what is expected of it, the
//! documents by gateway and the verdict on each object. `UPDATE_GOLDEN=1` rewrites what is expected.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod generated;
mod injection;

use harness::workspace;
use llm_config::{Credential, Ledger, budget::Redis};
use llm_operator::compile::{Compiled, compile, fleet::Fleet};
use llm_operator::observe::files::Manifests;
use llm_operator::observe::{LedgerSettings, ObjectName, Observed, SidecarPod};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_case_compiles_to_what_is_expected_of_it() {
    let mut wrong = Vec::new();
    for case in cases() {
        let compiled = compile(&observed(&case.join("manifests.yaml")));
        // Which key goes where is part of it.
        let shown = yaml(&llm_config::exposed(|| shown(&compiled)));
        wrong.extend(unexpected(&case.join("expected.yaml"), &shown));
    }
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 rewrites what is expected.\n{}", wrong.join("\n"));
}

#[test]
fn the_order_in_which_objects_are_seen_changes_nothing() {
    for case in cases() {
        let observed = observed(&case.join("manifests.yaml"));
        let mut reversed = observed.clone();
        reversed.routes.reverse();
        reversed.pools.reverse();
        reversed.budgets.reverse();
        assert_eq!(compile(&observed), compile(&reversed), "{}", case.display());
    }
}

#[test]
fn what_ships_is_what_a_proxy_takes() {
    for case in cases() {
        for (gateway, document) in compile(&observed(&case.join("manifests.yaml"))).documents {
            assert_eq!(document.check(), [], "{}, gateway {gateway}", case.display());
        }
    }
}

#[test]
fn the_examples_compile_without_a_complaint() {
    for entry in fs::read_dir(workspace().join("crds/examples")).unwrap() {
        let file = entry.unwrap().path();
        let mut observed = observed(&file);
        llm_operator::observe::environment::fill_secrets(&mut observed, &|_| Some("sk-example".to_owned()));
        let compiled = compile(&observed);
        let routes = compiled.routes.values().flat_map(|outcome| &outcome.verdicts);
        let pools = compiled.pools.values().flat_map(|outcome| &outcome.verdicts);
        let budgets = compiled.budgets.values().flat_map(|outcome| &outcome.verdicts);
        for verdict in routes.chain(pools).chain(budgets) {
            assert!(verdict.status, "{}: {verdict:?}", file.display());
        }
        let document = &compiled.documents[&Fleet::gateway("default")];
        assert!(!document.routes.is_empty(), "{}", file.display());
        assert_eq!(document.budgets.len(), observed.budgets.len(), "{}", file.display());
    }
}

fn cases() -> Vec<PathBuf> {
    folders("tests/golden/cases")
}

fn folders(of: &str) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(workspace().join(of))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

/// The gateways of every case are `default` and `edge`; two pods have a sidecar; the operator is in namespace `platform`,
/// and knows of a ledger.
fn observed(file: &Path) -> Observed {
    let manifests = Manifests::read(&[file.to_owned()]);
    let mut observed = manifests.unwrap_or_else(|problems| panic!("{problems:#?}")).observed;
    observed.sidecars = [("web-1", "web"), ("job-1", "job")]
        .map(|(pod, app)| {
            let labels = [("app".to_owned(), app.to_owned())].into();
            (ObjectName::new("default", pod), SidecarPod { uid: pod.to_owned(), labels })
        })
        .into();
    observed.gateways = ["default", "edge"].map(|gateway| (gateway.to_owned(), None)).into();
    observed.home = Some("platform".to_owned());
    observed.ledger = LedgerSettings::Shared(Ledger::Redis(Redis {
        endpoints: vec!["redis:6379".to_owned()],
        password: Some(Credential::new("s3cret".to_owned())),
        ..Redis::default()
    }));
    observed
}

/// What a reader of a case wants to see, in the words of the status.
fn shown(compiled: &Compiled) -> Value {
    let verdicts = |verdicts: &[llm_crds::Verdict]| -> Vec<Value> {
        let shown = verdicts.iter().map(|verdict| {
            json!({
                "type": verdict.condition.as_str(),
                "status": verdict.status,
                "reason": verdict.reason.as_str(),
                "message": verdict.message,
            })
        });
        shown.collect()
    };
    let routes = compiled.routes.iter().map(|(name, outcome)| {
        let value = json!({
            "conditions": verdicts(&outcome.verdicts),
            "models": outcome.models,
            "pools": outcome.pools,
            "fleets": outcome.fleets,
        });
        (name.to_string(), value)
    });
    let pools = compiled.pools.iter().map(|(name, outcome)| {
        let value = json!({
            "conditions": verdicts(&outcome.verdicts),
            "ready": format!("{}/{}", outcome.ready, outcome.providers.len()),
            "models": outcome.models,
            "fleets": outcome.fleets,
        });
        (name.to_string(), value)
    });
    let budgets = compiled.budgets.iter().map(|(name, outcome)| {
        let value = json!({
            "conditions": verdicts(&outcome.verdicts),
            "pools": outcome.pools,
            "fleets": outcome.fleets,
        });
        (name.to_string(), value)
    });
    let budgets: serde_json::Map<_, _> = budgets.collect();
    let mut shown = json!({
        "routes": routes.collect::<serde_json::Map<_, _>>(),
        "pools": pools.collect::<serde_json::Map<_, _>>(),
        "sidecars": compiled.sidecars.iter().map(|(pod, fleet)| (pod.to_string(), fleet.to_string())).collect::<BTreeMap<_, _>>(),
        // A fleet that holds nothing shows nothing.
        "documents": compiled.documents.iter().filter(|(fleet, document)| {
            matches!(fleet, Fleet::Gateway(_)) || !document.routes.is_empty()
        }).collect::<BTreeMap<_, _>>(),
    });
    if !budgets.is_empty() {
        shown["budgets"] = Value::Object(budgets);
    }
    shown
}

fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap()
}

/// How what is shown differs from what a file expects, unless the file shall expect it from now on.
fn unexpected(file: &Path, shown: &str) -> Option<String> {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(file, shown).unwrap();
        return None;
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    (shown != expected).then(|| format!("{}:\n{}", file.display(), difference(&expected, shown)))
}

/// From the first line that differs: the rest may have moved.
fn difference(expected: &str, shown: &str) -> String {
    let same = expected.lines().zip(shown.lines()).take_while(|(a, b)| a == b).count();
    let from =
        |text: &str| text.lines().skip(same).take(12).map(|l| format!("    {l}\n")).collect::<String>();
    format!("  line {}: expected\n{}  but compile gives\n{}", same + 1, from(expected), from(shown))
}
