//! That nobody can tell from what comes out whether anything was remembered, whatever has changed in between.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;
use crate::{
    compile::{Compiled, Compiler, compile},
    dice::Dice,
    observe::SidecarPod,
};

const MODELS: [&str; 5] = ["m1", "m2", "m3", "m*", "m**"];

fn pool_name(number: usize) -> ObjectName {
    ObjectName::new("a", format!("p{number}"))
}

fn any_route(dice: &mut Dice, name: &ObjectName) -> Arc<LLMRoute> {
    let rules: Vec<Value> = (0..=dice.roll(4) / 3)
        .map(|_| {
            let models = dice.some(&MODELS);
            let matches = if models.is_empty() { json!([]) } else { json!([{"models": models}]) };
            let pool = ["p0", "p1", "p2", "p0", "p1", "p2", "p3"][dice.roll(7)];
            let models = [vec![], vec!["m1"], vec!["m1", "m2"]][dice.roll(3)].clone();
            json!({"matches": matches, "backends": [{"pool": {"name": pool, "namespace": "a"}, "models": models}]})
        })
        .collect();
    let gateways = [vec!["default"], vec!["default"], vec!["default", "edge"], vec![]][dice.roll(4)].clone();
    let selector = [json!(null), json!({}), json!({"matchLabels": {"app": "web"}})][dice.roll(3)].clone();
    let route = json!({
        "apiVersion": "llmgateway.dev/v1alpha1", "kind": "LLMRoute",
        "metadata": {"name": name.name, "namespace": name.namespace},
        "spec": {"attachTo": {"gateways": gateways, "podSelector": selector}, "rules": rules},
    });
    let mut route: LLMRoute = serde_json::from_value(route).unwrap();
    route.metadata.creation_timestamp = Some(any_time(dice));
    Arc::new(route)
}

fn any_time(dice: &mut Dice) -> Time {
    Time(Timestamp::from_second(i64::try_from(dice.roll(3)).unwrap()).unwrap())
}

fn any_pool(dice: &mut Dice, name: &ObjectName) -> Arc<ProviderPool> {
    let models: Vec<Value> = ["m1", "m2", "m3"][..=dice.roll(3)].iter().map(|m| json!({"name": m})).collect();
    let allowed = [
        json!({"from": "Same"}),
        json!({"from": "All"}),
        json!({"from": "All"}),
        json!({"from": "Selector", "selector": {"matchLabels": {"team": "x"}}}),
    ][dice.roll(4)]
    .clone();
    let key = ["one", "two"][dice.roll(2)];
    let credentials = json!({"secretRef": {"name": "keys", "key": key}});
    let provider = match dice.roll(2) {
        0 => json!({"name": "p", "kind": "Simulated", "models": models}),
        _ => json!({"name": "p", "kind": "OpenAI", "credentials": credentials, "models": models}),
    };
    let pool = json!({
        "apiVersion": "llmgateway.dev/v1alpha1", "kind": "ProviderPool",
        "metadata": {"name": name.name, "namespace": name.namespace},
        "spec": {"allowedNamespaces": allowed, "providers": [provider]},
    });
    Arc::new(serde_json::from_value(pool).unwrap())
}

fn toggle<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V) {
    if map.remove(&key).is_none() {
        map.insert(key, value);
    }
}

/// One of all the things that compile looks at becomes another, or is there once more as it was.
fn change(dice: &mut Dice, observed: &mut Observed) {
    let place = dice.roll(observed.routes.len() + 1);
    match dice.roll(12) {
        0 | 1 => {
            let name = ObjectName::new(["a", "b"][dice.roll(2)], format!("r{}", dice.roll(6)));
            observed.routes.retain(|route| ObjectName::of(route.as_ref()) != name);
            observed.routes.push(any_route(dice, &name));
        }
        2 if place < observed.routes.len() => drop(observed.routes.swap_remove(place)),
        // Deleted, and made anew as it was.
        9 if place < observed.routes.len() => {
            let mut route = observed.routes[place].as_ref().clone();
            route.metadata.creation_timestamp = Some(any_time(dice));
            observed.routes[place] = Arc::new(route);
        }
        10 => observed.pools.iter_mut().for_each(|pool| *pool = Arc::new(pool.as_ref().clone())),
        // A status was written, or all is listed anew.
        3 => observed.routes.iter_mut().for_each(|route| *route = Arc::new(route.as_ref().clone())),
        4 => {
            let name = pool_name(dice.roll(3));
            observed.pools.retain(|pool| ObjectName::of(pool.as_ref()) != name);
            if dice.roll(4) > 0 {
                observed.pools.push(any_pool(dice, &name));
            }
        }
        5 => {
            let key = |key: &str, value: usize| (key.to_owned(), format!("sk-{value}").into_bytes());
            let value = dice.roll(2);
            let state = [
                SecretState::Absent,
                SecretState::Present(BTreeMap::from([key("one", value)])),
                SecretState::Present(BTreeMap::from([key("one", 0), key("two", value)])),
            ][dice.roll(3)]
            .clone();
            observed.secrets.insert(ObjectName::new("a", "keys"), state);
        }
        6 => {
            let labels = BTreeMap::from([("team".to_owned(), ["x", "y"][dice.roll(2)].to_owned())]);
            toggle(&mut observed.namespaces, ["a", "b"][dice.roll(2)].to_owned(), labels);
        }
        7 => {
            toggle(
                &mut observed.gateways,
                ["default", "edge", "edge", "edge"][dice.roll(4)].to_owned(),
                None,
            );
        }
        8 => {
            let labels = BTreeMap::from([("app".to_owned(), ["web", "job"][dice.roll(2)].to_owned())]);
            let pod = SidecarPod { uid: "u".to_owned(), labels };
            toggle(&mut observed.sidecars, ObjectName::new(["a", "b"][dice.roll(2)], "pod"), pod);
        }
        _ => observed.routes.reverse(),
    }
}

#[test]
fn what_is_remembered_never_shows() {
    let (mut shipped, mut conflicts, mut unresolved) = (0, 0, 0);
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let mut observed = Observed::default();
        observed.gateways.insert("default".to_owned(), None);
        observed.pools.extend((0..3).map(|number| any_pool(&mut dice, &pool_name(number))));
        let mut compiler = Compiler::default();
        for step in 0..40 {
            change(&mut dice, &mut observed);
            let (remembering, anew) = (compiler.compile(&observed), compile(&observed));
            assert!(remembering == anew, "seed {seed}, step {step}: {remembering:#?} and not {anew:#?}");
            let outcomes = || anew.routes.values();
            shipped += outcomes().filter(|outcome| !outcome.fleets.is_empty()).count();
            conflicts += outcomes()
                .filter(|outcome| outcome.verdicts.iter().any(|v| v.message.contains("older LLMRoute")))
                .count();
            unresolved += outcomes().filter(|outcome| outcome.verdicts.iter().any(|v| !v.status)).count();
        }
    }
    assert!(
        shipped > 2_000 && conflicts > 200 && unresolved > 2_000,
        "{shipped} shipped, {conflicts} in conflict, {unresolved} with troubles"
    );
}

/// The routes of which something was made anew.
fn made_anew(before: &Compiled, after: &Compiled) -> Vec<String> {
    let same = |name: &ObjectName| {
        let outcomes = (before.routes.get(name), after.routes.get(name));
        let documents = before.documents.iter().all(|(fleet, document)| {
            let route =
                |document: &llm_config::Document| document.routes.get(&name.to_string()).map(Arc::as_ptr);
            after.documents.get(fleet).is_some_and(|after| route(after) == route(document))
        });
        documents && matches!(outcomes, (Some(before), Some(after)) if Arc::ptr_eq(before, after))
    };
    after.routes.keys().filter(|name| !same(name)).map(ToString::to_string).collect()
}

#[test]
fn a_change_makes_anew_what_it_changes_and_nothing_else() {
    let route = |name: &str, pool: usize, model: &str, made: i64| {
        let mut route = any_route(&mut Dice(0), &ObjectName::new("a", name)).as_ref().clone();
        let spec = json!({"rules": [{
            "matches": [{"models": [model]}],
            "backends": [{"pool": {"name": format!("p{pool}")}, "models": ["m1"]}],
        }]});
        route.spec = serde_json::from_value(spec).unwrap();
        route.metadata.creation_timestamp = Some(Time(Timestamp::from_second(made).unwrap()));
        Arc::new(route)
    };
    let pool = |number: usize, weight: u32| {
        let mut pool = any_pool(&mut Dice(0), &pool_name(number)).as_ref().clone();
        let provider =
            json!({"name": "p", "kind": "Simulated", "weight": weight, "models": [{"name": "m1"}]});
        pool.spec.providers = vec![serde_json::from_value(provider).unwrap()];
        Arc::new(pool)
    };
    let mut observed = Observed { pools: vec![pool(0, 1), pool(1, 1)], ..Observed::default() };
    observed.gateways.insert("default".to_owned(), None);
    observed.routes = vec![route("one", 0, "x", 1), route("two", 0, "y", 2), route("three", 1, "z", 3)];
    let mut compiler = Compiler::default();
    let mut last = compiler.compile(&observed);
    let mut after = |observed: &Observed| {
        let compiled = compiler.compile(observed);
        made_anew(&std::mem::replace(&mut last, compiled.clone()), &compiled)
    };
    assert_eq!(after(&observed), Vec::<String>::new());
    observed.routes[2] = route("three", 1, "zz", 3);
    assert_eq!(after(&observed), ["a/three"]);
    observed.pools[0] = pool(0, 2);
    assert_eq!(after(&observed), ["a/one", "a/two"]);
    observed.pools[0] = Arc::new(observed.pools[0].as_ref().clone());
    observed.secrets.insert(ObjectName::new("a", "another"), SecretState::Absent);
    assert_eq!(after(&observed), Vec::<String>::new(), "a status and another's Secret are nobody's");
    observed.routes[0] = route("one", 0, "y", 1);
    assert_eq!(after(&observed), ["a/one", "a/two"], "the older takes the model from the younger");
}
