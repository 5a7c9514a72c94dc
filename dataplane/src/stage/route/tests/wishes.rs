//! What callers wish, within what their rule allows; scores, and how they are told.

use std::time::Duration;

use super::*;

/// Two pools of the same model, and a third with another: cheap and poor, dear and good.
fn market(rule: &Value) -> Snapshot {
    let price =
        |output: u64| json!({"input": output / 4, "cachedInput": 0, "cacheWrite": 0, "output": output});
    let offer = |name: &str, output: u64, more: &Value| {
        let mut provider = provider(name, "OpenAI", 0);
        let mut model = json!({"name": "m", "upstreamName": "m", "price": price(output)});
        model.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        provider["models"] = json!([model]);
        provider
    };
    let providers = [
        offer("cheap", 1_000_000_000, &json!({"qualityPpm": 300_000, "tier": "Economy"})),
        offer(
            "good",
            10_000_000_000,
            &json!({"qualityPpm": 950_000, "tier": "Premium", "capabilities": ["Reasoning", "Vision"]}),
        ),
    ];
    let mut whole = json!({
        "models": ["m", "alias"],
        "backends": [{"pool": "ai/pool", "models": ["m"], "weight": 1, "standsIn": true}],
        "timeouts": {"requestMs": 1000, "idleMs": 1000},
    });
    whole.as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
    let other = [provider("elsewhere", "OpenAI", 0)];
    let document = json!({
        "routes": {"ai/chat": {"rules": [whole]}},
        "pools": {"ai/pool": {"providers": providers}, "ai/other": {"providers": other, "leftOut": ["keyless"]}},
    });
    let document = serde_json::from_value(document).unwrap();
    Snapshot::build(document, &Arc::default(), &Clients::new(1), &Healths::default(), &Arc::default())
        .unwrap()
}

fn all() -> Value {
    json!({"clientOverrides": ["Strategy", "Providers", "Capabilities", "Cost", "Latency", "Fallback", "Cache"]})
}

fn by_headers(headers: &[(&'static str, &str)]) -> Result<Wishes, Error> {
    let map = headers.iter().map(|(name, value)| {
        (http::HeaderName::from_static(name), http::HeaderValue::try_from(*value).unwrap())
    });
    Wishes::of_headers(&HeaderMap::from_iter(map))
}

/// The names of the candidates in their order, or the code and the wish of the refusal.
fn order(snapshot: &Snapshot, model: &str, headers: &[(&'static str, &str)]) -> Vec<String> {
    let (map, mut body) = (HeaderMap::new(), asked(&json!({})));
    body["model"] = json!(model);
    let call = decode(
        Api::ChatCompletions,
        None,
        bytes::Bytes::from(body.to_string()).into(),
        &mut Wishes::default(),
    )
    .unwrap();
    let asking = Asking { headers: &map, dialect: Dialect::OpenAI, path: "/", caller: None };
    let plan = by_headers(headers).and_then(|wishes| {
        let plan = route(snapshot, &call, &wishes, asking, drawn(3))?;
        Ok(plan.candidates().map(|c| c.target.provider.name.replace("ai/pool/", "")).collect())
    });
    plan.unwrap_or_else(|error| {
        vec![error.status().as_u16().to_string(), error.code().to_owned(), error.param().unwrap().to_owned()]
    })
}

#[test]
fn strategies_order_by_price_and_by_quality() {
    for (strategy, expected) in [
        ("CostOptimized", ["cheap", "good"]),
        ("QualityOptimized", ["good", "cheap"]),
        ("Ordered", ["cheap", "good"]),
    ] {
        assert_eq!(order(&market(&json!({"strategy": strategy})), "m", &[]), expected, "{strategy}");
    }
}

#[test]
fn each_wish_is_met_where_it_is_allowed_and_else_refused_by_its_name() {
    let (open, closed) = (market(&all()), market(&json!({})));
    for (header, value, expected) in [
        ("x-llm-strategy", "qualityoptimized", vec!["good", "cheap"]),
        ("x-llm-prefer-providers", "good", vec!["good", "cheap"]),
        ("x-llm-prefer-providers", "ai/pool/cheap", vec!["cheap", "good"]),
        ("x-llm-exclude-providers", "pool/cheap, elsewhere, ai/other/keyless", vec!["good"]),
        ("x-llm-require-capabilities", "Vision,reasoning", vec!["good"]),
        ("x-llm-max-cost-usd", "0.001", vec!["cheap"]),
    ] {
        assert_eq!(order(&open, "m", &[(header, value)]), expected, "{header}: {value}");
        assert_eq!(order(&closed, "m", &[(header, value)]), ["403", "wish_not_allowed", header]);
    }
    for (header, value) in
        [("x-llm-fallback", "false"), ("x-llm-cache", "off"), ("x-llm-max-latency-ms", "500")]
    {
        assert_eq!(order(&open, "m", &[(header, value)]).len(), 2);
        assert_eq!(order(&closed, "m", &[(header, value)]), ["403", "wish_not_allowed", header]);
    }
    for header in ["x-llm-user", "x-llm-project", "x-llm-feature", "x-llm-explain"] {
        assert_eq!(order(&closed, "m", &[(header, "true")]).len(), 2, "{header} is nobody's to allow");
    }
}

#[test]
fn a_wish_that_can_not_be_met_says_why() {
    let open = market(&all());
    for (header, value) in [
        ("x-llm-prefer-providers", "nobody"),
        ("x-llm-prefer-providers", "elsewhere"),
        ("x-llm-prefer-providers", "good, nobody"),
        ("x-llm-exclude-providers", "cheap,good"),
        ("x-llm-exclude-providers", "cheap, nobody"),
        ("x-llm-exclude-providers", "oter/elsewhere"),
        ("x-llm-exclude-providers", "eap"),
        ("x-llm-require-capabilities", "Coding"),
        ("x-llm-max-cost-usd", "0.000001"),
        ("x-llm-cache", "true"),
    ] {
        assert_eq!(order(&open, "m", &[(header, value)]), ["400", "wish_unmet", header], "{value}");
    }
    for (header, value) in [
        ("x-llm-strategy", "Fastest"),
        ("x-llm-max-cost-usd", "-1"),
        ("x-llm-max-cost-usd", "1e3"),
        ("x-llm-max-latency-ms", "0"),
        ("x-llm-fallback", "perhaps"),
        ("x-llm-exclude-providers", "a,,b"),
        ("x-llm-user", ""),
        ("x-llm-stategy", "Ordered"),
    ] {
        assert_eq!(order(&open, "m", &[(header, value)]), ["400", "invalid_wish", header], "{value}");
    }
    assert_eq!(order(&open, "m", &[("x-llm-request-id", "of a reply")]).len(), 2);
}

#[test]
fn who_is_to_be_left_out_and_exists_nowhere_is_named_with_those_that_there_are() {
    let (open, map) = (market(&all()), HeaderMap::new());
    let asking = Asking { headers: &map, dialect: Dialect::OpenAI, path: "/", caller: None };
    let wishes = by_headers(&[("x-llm-exclude-providers", "goood")]).unwrap();
    let refused = route(&open, &call(Api::ChatCompletions, &asked(&json!({}))), &wishes, asking, drawn(1))
        .unwrap_err()
        .error;
    assert!(
        refused
            .to_string()
            .ends_with("there is no provider 'goood'; for it answer: ai/pool/cheap, ai/pool/good."),
        "{refused}"
    );
}

#[test]
fn what_is_slower_than_wished_is_left_out_once_it_is_known_to_be() {
    let open = market(&all());
    let targets = || match open
        .router
        .find("m", Asking { headers: &HeaderMap::new(), dialect: Dialect::OpenAI, path: "/", caller: None })
    {
        Found::Served(served) => served.candidates.iter().map(|c| c.target.clone()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let quick = [("x-llm-max-latency-ms", "100")];
    assert_eq!(order(&open, "m", &quick).len(), 2);
    targets()[0].health.saw(Duration::from_secs(3), 300);
    assert_eq!(order(&open, "m", &quick), ["good"]);
    targets()[1].health.saw(Duration::from_secs(3), 300);
    assert_eq!(order(&open, "m", &quick), ["400", "wish_unmet", "x-llm-max-latency-ms"]);
}

#[test]
fn hard_calls_by_an_alias_go_to_better_models_and_a_named_model_is_kept() {
    let rule =
        json!({"complexity": {"simplePpm": 300_000, "mediumPpm": 600_000}, "strategy": "CostOptimized"});
    let snapshot = market(&rule);
    assert_eq!(order(&snapshot, "alias", &[]), ["cheap", "good"], "\"Hi\" is simple");
    let always_hard = json!({"complexity": {"simplePpm": 0, "mediumPpm": 0}, "strategy": "CostOptimized"});
    let hard = market(&always_hard);
    assert_eq!(order(&hard, "alias", &[]), ["good", "cheap"]);
    assert_eq!(order(&hard, "m", &[]), ["cheap", "good"], "the caller names it");
}

#[test]
fn a_decision_tells_order_scores_and_reasons() {
    let open = market(&all());
    let map = HeaderMap::new();
    let asking = Asking { headers: &map, dialect: Dialect::OpenAI, path: "/", caller: None };
    let call = call(Api::ChatCompletions, &asked(&json!({})));
    let wishes = by_headers(&[
        ("x-llm-explain", "true"),
        ("x-llm-strategy", "Balanced"),
        ("x-llm-require-capabilities", "Vision"),
    ])
    .unwrap();
    let decision = route(&open, &call, &wishes, asking, drawn(1)).unwrap().decision.unwrap();
    let told = serde_json::to_value(&decision).unwrap();
    assert_eq!((&told["strategy"], &told["route"]), (&json!("Balanced"), &json!("ai/chat")));
    assert_eq!(told["candidates"][0]["provider"], "ai/pool/good");
    assert_eq!(told["candidates"][1]["excluded"], "it lacks the capability Vision");
    assert!(
        decision.in_a_line().starts_with("strategy=Balanced rule=ai/chat/0; ai/pool/good/m "),
        "{}",
        decision.in_a_line()
    );
}

#[test]
fn a_refusal_tells_who_was_left_out_and_why_where_that_is_asked() {
    let (open, map) = (market(&all()), HeaderMap::new());
    let asking = Asking { headers: &map, dialect: Dialect::OpenAI, path: "/", caller: None };
    let call = call(Api::ChatCompletions, &asked(&json!({})));
    let wishes =
        [("x-llm-max-cost-usd", "0.001"), ("x-llm-exclude-providers", "cheap"), ("x-llm-explain", "true")];
    let refused =
        |wishes: &[_]| route(&open, &call, &by_headers(wishes).unwrap(), asking, drawn(1)).unwrap_err();
    let told = serde_json::to_value(refused(&wishes).decision).unwrap();
    let excluded = |place: usize| {
        let candidate = &told["candidates"][place];
        [&candidate["provider"], &candidate["excluded"]].map(|text| text.as_str().unwrap().to_owned())
    };
    assert_eq!(excluded(0), ["ai/pool/cheap", "the caller excludes it"]);
    assert!(excluded(1)[1].starts_with("it is expected to cost "), "{told}");
    assert!(refused(&wishes[..2]).decision.is_none());
}

fn targets(snapshot: &Snapshot) -> Vec<std::sync::Arc<Target>> {
    let provider = |name: &str| {
        let served = snapshot.router.served().flat_map(|served| &served.candidates);
        served.map(|c| &c.target).find(|target| target.provider.name.ends_with(name)).unwrap().clone()
    };
    vec![provider("cheap"), provider("good")]
}

#[test]
fn a_provider_that_counts_absurdly_does_no_harm() {
    let open = market(&all());
    let usage = llm_dialect::reply::Usage { output: u64::MAX, ..Default::default() };
    for target in targets(&open) {
        target.health.saw(Duration::from_secs(3600), 1);
        target.series.usage(usage, 0, clock::now());
        target.series.usage(usage, 0, clock::now());
    }
    let wishes = [("x-llm-strategy", "Balanced"), ("x-llm-explain", "true"), ("x-llm-max-latency-ms", "1")];
    assert_eq!(order(&open, "m", &wishes), ["400", "wish_unmet", "x-llm-max-latency-ms"]);
    assert_eq!(order(&open, "m", &wishes[..2]).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_failed_long_ago_is_asked_again() {
    let cheapest = market(&json!({"strategy": "Balanced"}));
    assert_eq!(order(&cheapest, "m", &[]), ["cheap", "good"]);
    for _ in 0..4 {
        crate::upstream::health::Health::checked(&targets(&cheapest)[0], &Err("down".to_owned()));
    }
    assert_eq!(order(&cheapest, "m", &[]), ["good", "cheap"]);
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(order(&cheapest, "m", &[]), ["cheap", "good"]);
}
