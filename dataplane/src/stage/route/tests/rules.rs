//! Which rule takes a call.

use super::*;

/// Rules for one pool of models.
fn routed(rules: &Value, models: &[&str]) -> Snapshot {
    let price = json!({"input": 0, "cachedInput": 0, "cacheWrite": 0, "output": 0});
    let mut provider = provider("p", "OpenAI", 0);
    provider["models"] =
        models.iter().map(|name| json!({"name": name, "upstreamName": name, "price": price})).collect();
    let mut rules = rules.clone();
    for rule in rules.as_array_mut().unwrap() {
        let model = rule["goes"].take();
        rule.as_object_mut().unwrap().remove("goes");
        rule["backends"] = json!([{"pool": "ai/pool", "models": [model], "weight": 1, "standsIn": true}]);
        rule["timeouts"] = json!({"requestMs": 1000, "idleMs": 1000});
    }
    let document =
        json!({"routes": {"ai/chat": {"rules": rules}}, "pools": {"ai/pool": {"providers": [provider]}}});
    let document = serde_json::from_value(document).unwrap();
    Snapshot::build(document, &Arc::default(), &Clients::new(1), &Healths::default(), &Arc::default())
        .unwrap()
}

/// The model that answers a call, or the code of the refusal.
fn answers(snapshot: &Snapshot, model: &str, headers: &[(&str, &str)], api: Api, path: &str) -> String {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    let mut body = asked(&json!({"max_tokens": 1}));
    body["model"] = json!(model);
    let call =
        decode(api, None, bytes::Bytes::from(body.to_string()).into(), &mut Wishes::default()).unwrap();
    let asking = Asking { headers: &map, dialect: api.dialect(), path, caller: None };
    match route(snapshot, &call, &Wishes::default(), asking, drawn(1)) {
        Ok(plan) => plan.get(0).unwrap().target.upstream_model.to_string(),
        Err(unplanned) => unplanned.error.code().to_owned(),
    }
}

#[test]
fn who_sticks_draws_the_same_by_every_version() {
    // By the reference implementation: XXH3 of the user, with that of the route as its seed.
    for (route, user, drawn) in [
        ("ai/chat", "u", 0x5e2a_6b68_32f2_5cb8),
        ("ai/chat", "someone@example.com", 0x2255_f345_7d69_4485),
        ("ai/cha", "t\u{fc}", 0xe544_f188_309b_3a33),
    ] {
        assert_eq!(sticky(route, user), drawn, "{route} {user}");
    }
}

#[test]
fn the_most_specific_rule_takes_a_call_whatever_the_order_of_rules() {
    let mut rules = vec![
        json!({"models": ["*"], "goes": "any"}),
        json!({"models": ["gpt-*"], "goes": "prefix"}),
        json!({"models": ["gpt-4*"], "goes": "longer"}),
        json!({"models": ["gpt-4o"], "goes": "exact"}),
        json!({"models": ["gpt-4o"], "goes": "header", "when": {"headers": [{"name": "x-team", "value": "a"}]}}),
        json!({"models": ["gpt-4o"], "goes": "headers", "when": {"headers": [{"name": "x-team", "value": "a"}, {"name": "x-beta"}]}}),
        json!({"models": ["gpt-4o"], "goes": "dialect", "when": {"dialects": ["Anthropic"]}}),
        json!({"models": ["gpt-4o"], "goes": "path", "when": {"paths": ["/v1"]}}),
        json!({"models": ["gpt-4o"], "goes": "deeper", "when": {"paths": ["/v1/chat"]}}),
    ];
    let models = ["any", "prefix", "longer", "exact", "header", "headers", "dialect", "path", "deeper"];
    for _ in 0..2 {
        let snapshot = routed(&json!(rules), &models);
        let chat = |model: &str, headers: &[(&str, &str)], path: &str| {
            answers(&snapshot, model, headers, Api::ChatCompletions, path)
        };
        assert_eq!(chat("claude", &[], "/"), "any");
        assert_eq!(chat("gpt-3", &[], "/"), "prefix");
        assert_eq!(chat("gpt-4.1", &[], "/"), "longer");
        assert_eq!(chat("gpt-4o", &[], "/"), "exact");
        assert_eq!(chat("gpt-4o", &[("x-team", "a")], "/"), "header");
        assert_eq!(chat("gpt-4o", &[("x-team", "b"), ("x-team", "a")], "/"), "header", "any of its values");
        assert_eq!(chat("gpt-4o", &[("x-team", "A")], "/"), "exact", "to the letter");
        assert_eq!(chat("gpt-4o", &[("x-team", "a"), ("x-beta", "")], "/v1/chat/completions"), "headers");
        assert_eq!(answers(&snapshot, "gpt-4o", &[], Api::Messages, "/v1/messages"), "dialect");
        assert_eq!(chat("gpt-4o", &[], "/v1/responses"), "path");
        assert_eq!(chat("gpt-4o", &[], "/v1/chat/completions"), "deeper");
        assert_eq!(chat("gpt-4o", &[], "/v1x"), "exact", "below a path, not beside it");
        rules.reverse();
    }
}

#[test]
fn a_rule_for_certain_callers_goes_before_one_with_headers_and_takes_no_others() {
    let rules = json!([
        {"models": ["m"], "goes": "any"},
        {"models": ["m"], "goes": "header", "when": {"headers": [{"name": "x-a"}]}},
        {"models": ["m"], "goes": "web", "when": {"callers": [{"namespaces": ["shop"], "serviceAccounts": ["web"]}]}},
        {"models": ["m"], "goes": "gold", "when": {"callers": [{"namespaces": ["ai"], "labels": {"tier": "gold"}}, {"keys": ["k"]}]}},
    ]);
    let document = serde_json::to_value(&routed(&rules, &["any", "header", "web", "gold"]).document).unwrap();
    let answered = |namespace: &str, account: &str, labels: &Value| {
        let mut document = document.clone();
        document["callers"] = json!({
            "pod": {"namespace": namespace, "serviceAccount": account, "pod": "p", "labels": labels},
        });
        let document = serde_json::from_value(document).unwrap();
        let snapshot = Snapshot::build(
            document,
            &Arc::default(),
            &Clients::new(1),
            &Healths::default(),
            &Arc::default(),
        )
        .unwrap();
        let caller = snapshot.callers.identify(0, || None, None).unwrap();
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static("x-a"), "1".parse().unwrap())]);
        let call = call(Api::ChatCompletions, &asked(&json!({})));
        let asking =
            Asking { headers: &headers, dialect: Dialect::OpenAI, path: "/", caller: caller.as_deref() };
        let plan = route(&snapshot, &call, &Wishes::default(), asking, drawn(1)).unwrap();
        plan.get(0).unwrap().target.upstream_model.to_string()
    };
    assert_eq!(answered("shop", "web", &json!({})), "web");
    assert_eq!(answered("shop", "webs", &json!({"tier": "gold"})), "header");
    assert_eq!(answered("ai", "web", &json!({"tier": "gold", "app": "x"})), "gold");
    assert_eq!(answered("ai", "web", &json!({"tier": "silver"})), "header");
    // Nobody known is no certain caller.
    let snapshot = routed(&rules, &["any", "header", "web", "gold"]);
    assert_eq!(answers(&snapshot, "m", &[], Api::ChatCompletions, "/"), "any");
}

#[test]
fn among_equals_the_first_rule_takes_a_call() {
    let rules = |first: &str, second: &str| {
        json!([
            {"models": ["m"], "goes": first, "when": {"headers": [{"name": "x-a"}]}},
            {"models": ["m"], "goes": second, "when": {"headers": [{"name": "x-b"}]}},
        ])
    };
    for (first, second) in [("a", "b"), ("b", "a")] {
        let snapshot = routed(&rules(first, second), &["a", "b"]);
        let both = [("x-a", "1"), ("x-b", "1")];
        assert_eq!(answers(&snapshot, "m", &both, Api::ChatCompletions, "/"), first);
        assert_eq!(answers(&snapshot, "m", &both[1..], Api::ChatCompletions, "/"), second);
        assert_eq!(answers(&snapshot, "m", &[], Api::ChatCompletions, "/"), "model_not_found");
    }
}

#[test]
fn a_name_that_a_pattern_takes_is_answered_by_its_own_model_where_a_pool_has_it() {
    let mut document =
        serde_json::to_value(&routed(&json!([{"models": ["*"], "goes": "a"}]), &["a", "b"]).document)
            .unwrap();
    document["routes"]["ai/chat"]["rules"][0]["backends"][0]["models"] = json!(["a", "b"]);
    let document = serde_json::from_value(document).unwrap();
    let snapshot =
        Snapshot::build(document, &Arc::default(), &Clients::new(1), &Healths::default(), &Arc::default())
            .unwrap();
    for (asked, answered) in [("a", "a"), ("b", "b"), ("c", "a")] {
        assert_eq!(answers(&snapshot, asked, &[], Api::ChatCompletions, "/"), answered);
    }
    let names: Vec<&str> = snapshot.listed.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["a", "b"], "a pattern is no name");
}

#[test]
fn who_is_sticky_keeps_a_choice_and_others_are_shared() {
    let mut document = serde_json::to_value(
        &snapshot(&[(1, &[provider("a", "OpenAI", 0)]), (1, &[provider("b", "OpenAI", 0)])]).document,
    )
    .unwrap();
    document["routes"]["ai/chat"]["rules"][0]["sticky"] = json!("User");
    let document = serde_json::from_value(document).unwrap();
    let snapshot =
        Snapshot::build(document, &Arc::default(), &Clients::new(1), &Healths::default(), &Arc::default())
            .unwrap();
    let call = call(Api::ChatCompletions, &asked(&json!({})));
    let mut first_of = BTreeMap::new();
    for (draw, user) in (0..400).zip((0..40).cycle()) {
        let headers = HeaderMap::new();
        let asking = Asking { headers: &headers, dialect: Dialect::OpenAI, path: "/", caller: None };
        let mut wishes = Wishes::default();
        wishes.user = Some(format!("user-{user}").into());
        let plan = route(&snapshot, &call, &wishes, asking, drawn(draw)).unwrap();
        let name = plan.get(0).unwrap().target.provider.name.clone();
        assert_eq!(first_of.entry(user).or_insert(name.clone()), &name, "user {user}");
    }
    let on_a = first_of.values().filter(|name| ***name == *"ai/0/a").count();
    assert!((8..=32).contains(&on_a), "{on_a} of 40 users");
    assert_eq!(chosen(&snapshot, &call).len(), 2, "who names no user draws");
}

/// Who serves a name answers for it, who is told to stand in does so behind it, and an alias has all.
#[test]
fn nobody_is_given_another_model_by_accident() {
    let price = json!({"input": 0, "cachedInput": 0, "cacheWrite": 0, "output": 0});
    let pool = |models: &[&str]| {
        let mut provider = provider("p", "OpenAI", 0);
        provider["models"] =
            models.iter().map(|name| json!({"name": name, "upstreamName": name, "price": price})).collect();
        json!({"providers": [provider]})
    };
    let backend = |pool: &str, models: &[&str], stands_in: bool| json!({"pool": pool, "models": models, "weight": 1, "standsIn": stands_in});
    let document = json!({
        "routes": {"ai/chat": {"rules": [{
            "models": ["a1", "both", "alias"], "strategy": "Ordered",
            "backends": [backend("ai/a", &["a1", "a2", "both"], false), backend("ai/b", &["b1", "both"], true)],
            "timeouts": {"requestMs": 1000, "idleMs": 1000},
        }]}},
        "pools": {"ai/a": pool(&["a1", "a2", "both"]), "ai/b": pool(&["b1", "both"])},
    });
    let document = serde_json::from_value(document).unwrap();
    let snapshot =
        Snapshot::build(document, &Arc::default(), &Clients::new(1), &Healths::default(), &Arc::default())
            .unwrap();
    for (name, expected) in [
        ("a1", vec!["a/a1", "b/b1", "b/both"]),
        ("both", vec!["a/both", "b/both", "b/b1"]),
        ("alias", vec!["a/a1", "a/a2", "a/both", "b/b1", "b/both"]),
    ] {
        let mut body = asked(&json!({}));
        body["model"] = json!(name);
        let body = bytes::Bytes::from(body.to_string()).into();
        let call = decode(Api::ChatCompletions, None, body, &mut Wishes::default()).unwrap();
        let plan = planned(&snapshot, &call, 1).unwrap();
        let answers: Vec<String> = plan
            .candidates()
            .map(|c| format!("{}/{}", &c.target.provider.name["ai/".len()..][..1], c.target.labels.model))
            .collect();
        assert_eq!(answers, expected, "{name}");
    }
}

#[test]
fn what_only_a_pattern_leads_to_is_checked_too_and_no_rule_lists_the_models_of_another() {
    let rules = json!([{"models": ["assist-*"], "goes": "a"}, {"models": ["*-own"], "goes": "b-own"}]);
    let snapshot = routed(&rules, &["a", "b-own", "assist-b"]);
    let served = snapshot.router.served().flat_map(|served| &served.candidates);
    let provider = served.map(|candidate| candidate.target.provider.clone()).next().unwrap();
    let models: Vec<String> =
        snapshot.targets_of(&provider).iter().map(|target| target.labels.model.to_string()).collect();
    assert_eq!(models, ["a", "b-own"]);
    let names: Vec<&str> = snapshot.listed.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["b-own"]);
}
