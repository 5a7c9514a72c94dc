//! Each rule of the validator, broken alone and all at once.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use crate::*;

fn good() -> Document {
    Document {
        routes: [(
            "ai/chat".to_owned(),
            Arc::new(Route {
                rules: vec![Rule {
                    models: vec!["demo".to_owned()],
                    backends: vec![Backend {
                        pool: "ai/p".to_owned(),
                        models: vec!["m".to_owned()],
                        weight: 1,
                        stands_in: false,
                    }],
                    fallback: true,
                    ..Rule::default()
                }],
            }),
        )]
        .into(),
        pools: [(
            "ai/p".to_owned(),
            Arc::new(Pool {
                providers: vec![Provider {
                    name: "openai".to_owned(),
                    priority: 0,
                    weight: 1,
                    limits: Limits::default(),
                    upstream: Upstream::OpenAI(Remote {
                        endpoint: "https://api.example.com/v1".to_owned(),
                        api_key: Some(Credential::new("sk-secret".to_owned())),
                        ..Remote::default()
                    }),
                    models: vec![Model {
                        name: "m".to_owned(),
                        upstream_name: "m".to_owned(),
                        operations: vec![Operation::Chat],
                        ..Model::default()
                    }],
                }],
                ..Pool::default()
            }),
        )]
        .into(),
        ..Document::default()
    }
}

fn problems(change: impl FnOnce(&mut Document)) -> Vec<String> {
    let mut document = good();
    change(&mut document);
    document.check().iter().map(ToString::to_string).collect()
}

fn at(endpoint: &str) -> Remote {
    Remote { endpoint: endpoint.to_owned(), ..Remote::default() }
}

fn rule(document: &mut Document) -> &mut Rule {
    &mut Arc::make_mut(document.routes.get_mut("ai/chat").unwrap()).rules[0]
}

fn pool(document: &mut Document) -> &mut Pool {
    Arc::make_mut(document.pools.get_mut("ai/p").unwrap())
}

fn provider(document: &mut Document) -> &mut Provider {
    &mut pool(document).providers[0]
}

#[test]
fn a_good_document_has_no_problem() {
    assert_eq!(problems(|_| ()), Vec::<String>::new());
}

#[test]
fn each_problem_names_its_place() {
    let cases: Vec<(Vec<String>, &str)> = vec![
        (problems(|d| rule(d).models.clear()), "routes[ai/chat].rules[0].models: must not be empty"),
        (problems(|d| rule(d).backends.clear()), "routes[ai/chat].rules[0].backends: must not be empty"),
        (
            problems(|d| rule(d).backends[0].pool = "x/y".into()),
            "routes[ai/chat].rules[0].backends[0].pool: no pool `x/y` in the document",
        ),
        (
            problems(|d| rule(d).backends[0].models.clear()),
            "routes[ai/chat].rules[0].backends[0].models: must not be empty",
        ),
        (problems(|d| rule(d).timeouts.idle_ms = 0), "routes[ai/chat].rules[0].timeouts: must be above 0 ms"),
        (problems(|d| provider(d).weight = 0), "pools[ai/p].providers[0].weight: must be above 0"),
        (problems(|d| provider(d).models.clear()), "pools[ai/p].providers[0].models: must not be empty"),
        (
            problems(|d| {
                let again = provider(d).clone();
                pool(d).providers.push(again);
            }),
            "pools[ai/p].providers[1].name: `openai` is providers[0] already",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, [expected]);
    }
}

#[test]
fn endpoints_keys_and_authorities_are_looked_at() {
    let unfit = [
        "ftp://x",
        "https://",
        "http:///v1",
        "https://u@h",
        "https://h?x=1",
        "h/v1",
        // What the API server's own check of URLs lets through.
        "https://<resource>.openai.azure.com/v1",
        "https://a/<account>/v1",
        "https://exämple.org/v1",
        "https://h:99999/v1",
        "https://h:0/v1",
    ];
    for endpoint in unfit {
        let found = problems(|d| provider(d).upstream = Upstream::OpenAI(at(endpoint)));
        assert_eq!(found.len(), 1, "{endpoint}: {found:?}");
    }
    for endpoint in ["http://h", "https://h.example:8443/a/b", "http://[::1]:80/v1", "http://10.0.0.1:1"] {
        let found = problems(|d| provider(d).upstream = Upstream::OpenAI(at(endpoint)));
        assert!(found.is_empty(), "{endpoint}: {found:?}");
    }
    let header = |name: &str, value: &str| (name.to_owned(), Credential::new(value.to_owned()));
    let found = problems(|d| {
        provider(d).upstream = Upstream::Anthropic(Remote {
            api_key: Some(Credential::new("sk\n".into())),
            ca: Some("not a certificate".into()),
            headers: [header("x y", "z"), header("x", "z\n")].into(),
            responses: true,
            ..at("http://h")
        });
    });
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(!found.join(" ").contains("sk"), "a secret never stands in a problem");
}

#[test]
fn every_problem_is_listed_not_the_first() {
    let found = problems(|d| {
        rule(d).timeouts.request_ms = 0;
        rule(d).models.push("demo".into());
        provider(d).name.clear();
        provider(d).models[0].operations.clear();
        provider(d).upstream = Upstream::Simulated(Simulated {
            latency_ms: 0,
            time_to_first_token_ms: 0,
            tokens_per_second: 0,
            error_ppm: 2_000_000,
            error_status: 200,
            seed: None,
        });
    });
    assert_eq!(found.len(), 7, "{found:?}");
}

#[test]
fn an_unknown_field_is_refused_and_a_secret_never_printed() {
    let mut json = serde_json::to_value(good()).unwrap();
    json["routes"]["ai/chat"]["rules"][0]["surprise"] = "x".into();
    assert!(serde_json::from_value::<Document>(json).unwrap_err().to_string().contains("surprise"));

    let shown = format!("{:?} {}", good(), serde_json::to_string(&good()).unwrap());
    assert!(!shown.contains("sk-secret"), "{shown}");
}

#[test]
fn callers_are_checked() {
    let shown = |credentials: Credentials| problems(|d| d.callers = Some(Callers::Shown(credentials)));
    let key = |name: &str, sha256: &str| StaticKey {
        name: name.to_owned(),
        sha256: Credential::new(sha256.to_owned()),
    };
    let digits = "0a".repeat(32);
    assert!(shown(Credentials { keys: vec![key("a", &digits)], ..Credentials::default() }).is_empty());
    let bad = vec![key("", &digits), key("b", "0a"), key("c", &"0A".repeat(32))];
    let tokens = Some(Tokens { issuer: "https://i".to_owned(), ..Tokens::default() });
    let found = shown(Credentials { keys: bad, tokens, ..Credentials::default() });
    assert_eq!(found.len(), 4, "{found:?}");
    for (domain, problems) in [("cluster.local", 0), ("", 1), ("spiffe://a", 1), ("A", 1)] {
        let authorities = Authorities { trust_domain: Some(domain.to_owned()), ..Authorities::default() };
        let found = shown(Credentials { certificates: vec![authorities], ..Credentials::default() });
        assert_eq!(found.len(), problems, "{found:?}");
    }
    assert_eq!(problems(|d| rule(d).when.callers.push(CallerMatch::default())).len(), 1);
}

fn budget() -> Budget {
    let limit = |window, amount| budget::Limit { window, unit: budget::Unit::Usd, amount };
    Budget {
        uid: "b".to_owned(),
        limits: vec![limit(budget::Window::Daily, 1), limit(budget::Window::Every(60), 0)],
        time_zone: "UTC".to_owned(),
        ..Budget::default()
    }
}

fn budget_problems(change: impl FnOnce(&mut Budget)) -> Vec<String> {
    let mut changed = budget();
    change(&mut changed);
    problems(|document| drop(document.budgets.insert("ai/b".to_owned(), changed)))
}

#[test]
fn budgets_are_checked() {
    assert_eq!(budget_problems(|_| {}), [""; 0]);
    let path = |path: &str, message: &str| vec![format!("budgets[ai/b].{path}: {message}")];
    assert_eq!(budget_problems(|budget| budget.uid.clear()), path("uid", "must not be empty"));
    assert_eq!(budget_problems(|budget| budget.limits.clear()), path("limits", "must not be empty"));
    assert_eq!(
        budget_problems(|budget| budget.limits[1].window = budget::Window::Daily),
        path("limits[1]", "is of the same window and unit as one before it")
    );
    assert_eq!(
        budget_problems(|budget| budget.limits[0].amount = 1 << 53),
        path("limits[0].amount", "must be at most 9007199254740991")
    );
    for window in [budget::Window::Every(59), budget::Window::Rolling(59)] {
        assert_eq!(
            budget_problems(|budget| budget.limits[1].window = window),
            path("limits[1].window", "must be at least 60 s long")
        );
    }
    assert_eq!(
        budget_problems(|budget| budget.per = vec![budget::Dimension::User]),
        path("maxValues", "must be from 1 to 100000")
    );
    let backend = good().routes["ai/chat"].rules[0].backends[0].clone();
    let elsewhere = Backend { pool: "ai/q".to_owned(), ..backend };
    let downgrade = |from_ppm| budget::OnExceeded::Downgrade { from_ppm, backends: vec![elsewhere.clone()] };
    assert_eq!(
        budget_problems(|budget| budget.on_exceeded = downgrade(1_000_001)),
        [
            "budgets[ai/b].onExceeded.downgrade.fromPpm: must be at most 1000000",
            "budgets[ai/b].onExceeded.downgrade.backends[0].pool: no pool `ai/q` in the document"
        ]
    );
    let redis = Ledger::Redis(budget::Redis::default());
    assert_eq!(
        problems(|document| document.ledger = Some(redis)),
        ["ledger.redis.endpoints: must not be empty"]
    );
}
