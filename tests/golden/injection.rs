//! What injection makes of pods in a labelled namespace: each folder of `injection` holds `pod.yaml` and what is
//! expected of it.

use crate::{folders, unexpected, yaml};
use llm_operator::inject::{Asked, INJECT, Injection, Settings, asked, inject, labels};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

#[test]
fn every_pod_becomes_what_is_expected_of_it() {
    let settings =
        Settings { image: "registry.example/llm-gateway:1".to_owned(), ..Settings::of("llm-gateway") };
    let mut wrong = Vec::new();
    for case in folders("tests/golden/injection") {
        let pod: Value = serde_saphyr::from_str(&fs::read_to_string(case.join("pod.yaml")).unwrap()).unwrap();
        let namespace = BTreeMap::from([(INJECT.to_owned(), "true".to_owned())]);
        let asked = asked(&labels(&pod), &namespace).unwrap();
        let made = made(&pod, asked, &settings);
        assert_eq!(
            self::made(&made, asked, &settings),
            made,
            "{}: a second call changes nothing",
            case.display()
        );
        // The version of the day is no news.
        let shown = yaml(&made).replace(env!("CARGO_PKG_VERSION"), "VERSION");
        wrong.extend(unexpected(&case.join("expected.yaml"), &shown));
    }
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 rewrites what is expected.\n{}", wrong.join("\n"));
}

fn made(pod: &Value, asked: Asked, settings: &Settings) -> Value {
    match inject(pod, asked, settings) {
        Ok(Injection::Injected { pod, .. } | Injection::PassedOver { pod, .. }) => pod,
        other => panic!("{other:#?}"),
    }
}
