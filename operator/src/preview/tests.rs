//! That a part of the cluster tells of an object what all of it would, and what is refused and what is told.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::{dice::Dice, observe::SidecarPod};

fn route(name: &str, spec: &Value) -> Arc<LLMRoute> {
    let (namespace, name) = name.split_once('/').unwrap();
    Arc::new(
        serde_json::from_value(json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "LLMRoute",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        }))
        .unwrap(),
    )
}

fn pool(name: &str, models: &[&str], from: &str) -> Arc<ProviderPool> {
    let models: Vec<Value> = models.iter().map(|model| json!({"name": model})).collect();
    Arc::new(
        serde_json::from_value(json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "ProviderPool",
            "metadata": {"name": name, "namespace": "a"},
            "spec": {
                "allowedNamespaces": {"from": from},
                "providers": [{"name": "p", "kind": "Simulated", "models": models}],
            },
        }))
        .unwrap(),
    )
}

fn made_at(route: &Arc<LLMRoute>, second: usize) -> Arc<LLMRoute> {
    let mut route = route.as_ref().clone();
    let at = Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
    route.metadata.creation_timestamp = Some(Time(at));
    Arc::new(route)
}

fn any_route(dice: &mut Dice, name: &str) -> Arc<LLMRoute> {
    let rule = |dice: &mut Dice| {
        let models = dice.some(&["m1", "m2", "m3", "m*", "m**", "*"]);
        let backends: Vec<Value> = (0..=dice.roll(2))
            .map(|_| {
                let pool = ["p0", "p1", "p2", "absent"][dice.roll(4)];
                json!({"pool": {"name": pool, "namespace": "a"}, "models": dice.some(&["m1", "m2", "m3"])})
            })
            .collect();
        let matches = if models.is_empty() { json!([]) } else { json!([{"models": models}]) };
        json!({"matches": matches, "backends": backends})
    };
    let rules: Vec<Value> = (0..=dice.roll(2)).map(|_| rule(dice)).collect();
    let gateways = match dice.roll(4) {
        0 => vec!["edge"],
        1 => vec!["default", "edge"],
        2 => dice.some(&["default", "unknown"]),
        _ => vec!["default"],
    };
    let selector = [json!(null), json!({}), json!({"matchLabels": {"app": "web"}})][dice.roll(3)].clone();
    route(name, &json!({"attachTo": {"gateways": gateways, "podSelector": selector}, "rules": rules}))
}

fn any_cluster(dice: &mut Dice) -> Observed {
    let mut observed = Observed {
        gateways: BTreeMap::from([("default".to_owned(), None), ("edge".to_owned(), None)]),
        ..Observed::default()
    };
    for (pod, app) in [("a/web", "web"), ("a/job", "job"), ("b/web", "web")] {
        let (namespace, name) = pod.split_once('/').unwrap();
        let labels = BTreeMap::from([("app".to_owned(), app.to_owned())]);
        let pod = SidecarPod { uid: pod.to_owned(), labels };
        observed.sidecars.insert(ObjectName::new(namespace, name), pod);
    }
    for name in ["p0", "p1", "p2"] {
        let models = dice.some(&["m1", "m2", "m3"]);
        let models = if models.is_empty() { vec!["m1"] } else { models };
        observed.pools.push(pool(name, &models, ["Same", "All"][dice.roll(2)]));
    }
    for i in 0..dice.roll(8) {
        let name = format!("{}/r{i}", ["a", "b"][dice.roll(2)]);
        let made = dice.roll(3);
        observed.routes.push(made_at(&any_route(dice, &name), made));
    }
    observed
}

/// Where several fleets of sidecars tell the same, their order means nothing.
fn sorted(troubles: &BTreeMap<String, Vec<String>>, object: &str) -> Vec<String> {
    let told = troubles.get(object).into_iter().flatten().flat_map(|message| message.split("; "));
    let mut told: Vec<String> = told.map(str::to_owned).collect();
    told.sort();
    told
}

#[test]
fn the_neighbours_of_a_route_tell_what_the_whole_cluster_would() {
    let (mut troubled, mut left_out) = (0, 0);
    for seed in 0..1000 {
        let mut dice = Dice(seed);
        let observed = any_cluster(&mut dice);
        // One that is new, or another spec of one that is there.
        let route = match observed.routes.first().filter(|_| dice.roll(2) == 0) {
            Some(there) => {
                let changed = any_route(&mut dice, &ObjectName::of(there.as_ref()).to_string());
                let mut changed = changed.as_ref().clone();
                changed.metadata = there.metadata.clone();
                Arc::new(changed)
            }
            None => any_route(&mut dice, "a/new"),
        };
        let proposal = Proposal::Route(route);
        let near = neighbours(&observed, &proposal);
        left_out += usize::from(near.routes.len() + 1 < observed.routes.len());
        let whole = troubles(&compile(&applied(observed, &proposal)));
        let part = troubles(&compile(&applied(near, &proposal)));
        let own = proposal.to_string();
        assert_eq!(sorted(&part, &own), sorted(&whole, &own), "seed {seed}: {proposal:#?}");
        troubled += usize::from(whole.contains_key(&own));
    }
    assert!(troubled > 250 && left_out > 50, "{troubled} with troubles, {left_out} with less than all");
}

fn to(pool: &str, models: &[&str]) -> Value {
    json!({"rules": [{"backends": [{"pool": {"name": pool}, "models": models}]}]})
}

fn cluster() -> Observed {
    Observed {
        gateways: BTreeMap::from([("default".to_owned(), None)]),
        pools: vec![pool("pool", &["m1", "m2"], "Same")],
        routes: vec![made_at(&route("a/old", &to("pool", &["m1"])), 1)],
        ..Observed::default()
    }
}

fn told(observed: &Observed, proposal: &Proposal) -> Vec<String> {
    let preview = preview(observed, proposal, &Secrets::new());
    assert_eq!(preview.invalid, None);
    preview.warnings
}

#[test]
fn what_only_its_own_spec_can_mend_is_invalid_whatever_else_is_there() {
    let twice = json!({"rules": [
        {"backends": [{"pool": {"name": "pool"}, "models": ["m2"]}]},
        {"backends": [{"pool": {"name": "other"}, "models": ["m2"]}]},
    ]});
    for observed in [Observed::default(), cluster()] {
        let preview = preview(&observed, &Proposal::Route(route("a/new", &twice)), &Secrets::new());
        let invalid = preview.invalid.unwrap();
        let wanted = "spec.rules[1]: model `m2` is served by rules[0] already, under the same conditions";
        assert!(invalid.contains(wanted), "{invalid}");
    }
    // The same by what pools offer is for the pools to mend, too.
    let by_pools = json!({"rules": [
        {"backends": [{"pool": {"name": "pool"}}]}, {"backends": [{"pool": {"name": "pool"}}]},
    ]});
    let said = told(&cluster(), &Proposal::Route(route("a/new", &by_pools)));
    assert!(
        said[0].starts_with("LLMRoute a/new: spec.rules[1]: model `m1` is served by rules[0]"),
        "{said:?}"
    );
}

#[test]
fn what_others_may_mend_is_told() {
    let observed = cluster();
    let propose = |spec: Value| told(&observed, &Proposal::Route(route("a/new", &spec)));
    assert_eq!(propose(to("pool", &["m2"])), Vec::<String>::new());
    assert_eq!(
        propose(to("absent", &["m2"])),
        ["LLMRoute a/new: spec.rules[0].backends[0].pool: there is no ProviderPool a/absent"]
    );
    assert_eq!(
        propose(to("pool", &["m1", "m2"])),
        [
            "LLMRoute a/new: model `m1` is served on gateway `default` by the older LLMRoute a/old: remove it from one of them"
        ]
    );
    let mut elsewhere = to("pool", &["m2"]);
    elsewhere["attachTo"] = json!({"gateways": ["edge"]});
    assert!(propose(elsewhere)[0].contains("there is no gateway `edge`; there are: default"));
    let foreign =
        route("b/new", &json!({"rules": [{"backends": [{"pool": {"name": "pool", "namespace": "a"}}]}]}));
    let said = told(&observed, &Proposal::Route(foreign));
    assert!(said[0].contains("does not admit routes of namespace `b`"), "{said:?}");
}

#[test]
fn what_a_change_would_break_is_told_by_name() {
    let mut observed = cluster();
    observed.routes.push(made_at(&route("a/young", &to("pool", &["m2"])), 2));
    let gone = told(&observed, &Proposal::DeletePool(ObjectName::new("a", "pool")));
    assert_eq!(gone.len(), 2, "{gone:?}");
    assert_eq!(
        gone[0],
        "this breaks LLMRoute a/old: spec.rules[0].backends[0].pool: there is no ProviderPool a/pool"
    );
    assert_eq!(told(&observed, &Proposal::DeletePool(ObjectName::new("a", "unused"))), Vec::<String>::new());
    let less = told(&observed, &Proposal::Pool(pool("pool", &["m1"], "Same")));
    assert!(less.len() == 1 && less[0].starts_with("this breaks LLMRoute a/young: "), "{less:?}");
    // An older route takes a model from a younger one.
    let grown = made_at(&route("a/old", &to("pool", &["m1", "m2"])), 1);
    let taken = told(&observed, &Proposal::Route(grown));
    assert!(taken[0].starts_with("this breaks LLMRoute a/young: model `m2` is served"), "{taken:?}");

    for i in 0..20 {
        observed.routes.push(route(&format!("a/more-{i:02}"), &to("pool", &["m1"])));
    }
    let gone = told(&observed, &Proposal::DeletePool(ObjectName::new("a", "pool")));
    assert_eq!((gone.len(), gone[5].as_str()), (6, "this breaks 17 more objects"));
}

fn budget(name: &str, spec: &Value) -> Arc<Budget> {
    let (namespace, name) = name.split_once('/').unwrap();
    let metadata = json!({"namespace": namespace, "name": name});
    let manifest = json!({
        "apiVersion": "llmgateway.dev/v1alpha1", "kind": "Budget", "metadata": metadata, "spec": spec,
    });
    Arc::new(serde_json::from_value(manifest).unwrap())
}

#[test]
fn a_budget_is_told_what_it_lacks_and_is_told_of_where_its_pool_goes() {
    let mut observed = cluster();
    let limits = json!([{"window": "Daily", "usd": "1"}]);
    let downgrade = json!({"backends": [{"pool": {"name": "pool"}, "models": ["m2"]}]});
    let spec = json!({
        "limits": limits,
        "scope": {"routes": [{"name": "old"}]},
        "onExceeded": {"action": "Downgrade", "downgrade": downgrade},
    });
    let falling = budget("a/falling", &spec);
    let propose = |observed: &Observed| told(observed, &Proposal::Budget(falling.clone()));
    assert_eq!(propose(&observed).len(), 1, "no ledger");
    observed.ledger = LedgerSettings::Embedded;
    assert_eq!(propose(&observed), Vec::<String>::new());
    assert!(propose(&Observed { routes: Vec::new(), ..observed.clone() })[0].contains("no LLMRoute a/old"));

    let lost = budget("a/lost", &json!({"limits": limits, "timeZone": "Mars/Olympus"}));
    for observed in [Observed::default(), observed.clone()] {
        let invalid = preview(&observed, &Proposal::Budget(lost.clone()), &Secrets::new()).invalid.unwrap();
        assert!(invalid.contains("there is no time zone `Mars/Olympus`"), "{invalid}");
    }

    observed.budgets.push(falling);
    let less = told(&observed, &Proposal::Pool(pool("pool", &["m1"], "Same")));
    let wanted = "this breaks Budget a/falling: spec.onExceeded.downgrade.backends[0].models[0]: ProviderPool a/pool has no model `m2`";
    assert!(less.len() == 1 && less[0].starts_with(wanted), "{less:?}");
    let gone = told(&observed, &Proposal::DeletePool(ObjectName::new("a", "pool")));
    assert_eq!(gone.len(), 2, "{gone:?}");
    assert!(gone.iter().any(|told| told.starts_with("this breaks Budget a/falling: ")), "{gone:?}");
}

#[test]
fn a_secret_is_missing_only_where_somebody_has_looked() {
    let mut keyed = pool("keyed", &["m1"], "Same").as_ref().clone();
    keyed.spec.providers[0].kind = llm_crds::ProviderKind::OpenAI;
    keyed.spec.providers[0].credentials =
        serde_json::from_value(json!({"secretRef": {"name": "keys", "key": "k"}})).unwrap();
    let proposal = Proposal::Pool(Arc::new(keyed));
    assert_eq!(told(&cluster(), &proposal), Vec::<String>::new());
    let absent = Secrets::from([(ObjectName::new("a", "keys"), SecretState::Absent)]);
    let said = preview(&cluster(), &proposal, &absent).warnings;
    assert!(
        said[0].contains("ProviderPool a/keyed: ") && said[0].contains("there is no Secret `keys`"),
        "{said:?}"
    );
    let mut observed = cluster();
    observed.secrets = absent;
    assert_eq!(told(&observed, &proposal), said);
}

#[test]
fn a_review_among_two_thousand_routes_looks_at_few() {
    let mut observed = cluster();
    observed.routes = (0..2000)
        .map(|i| {
            let alias = json!([{"models": [format!("alias-{i}")]}]);
            let backends = json!([{"pool": {"name": "pool"}, "models": ["m1"]}]);
            made_at(
                &route(&format!("a/r{i}"), &json!({"rules": [{"matches": alias, "backends": backends}]})),
                i,
            )
        })
        .collect();
    let alias = |alias: &str| {
        let rules = json!([{"matches": [{"models": [alias]}], "backends": [{"pool": {"name": "other"}}]}]);
        Proposal::Route(route("a/new", &json!({"rules": rules})))
    };
    assert_eq!(neighbours(&observed, &alias("alias-7")).routes.len(), 1);
    assert_eq!(neighbours(&observed, &alias("fresh")).routes.len(), 0);
    for (what, proposal) in [
        ("a route that meets one", alias("alias-7")),
        ("the pool of all", Proposal::Pool(pool("pool", &["m2"], "Same"))),
        ("its deletion", Proposal::DeletePool(ObjectName::new("a", "pool"))),
    ] {
        let begun = Instant::now();
        let preview = preview(&observed, &proposal, &Secrets::new());
        println!("{what}: {:?}, {} warnings", begun.elapsed(), preview.warnings.len());
        assert!((1..=NAMED + 1).contains(&preview.warnings.len()), "{preview:?}");
    }
}
