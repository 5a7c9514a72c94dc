//! The rules of Budgets, and what is printed of one.

use super::with;
use harness::{Cluster, eventually};
use kube::api::{Api, Patch, PatchParams};
use llm_crds::Budget;
use serde_json::{Value, json};
use std::time::Duration;

fn budget() -> Value {
    json!({
        "apiVersion": "llmgateway.dev/v1alpha1", "kind": "Budget", "metadata": {"name": "budget"},
        "spec": {"limits": [{"window": "Daily", "usd": "100"}]},
    })
}

fn spec(field: &str, value: Value) -> Value {
    with(budget(), &format!("/spec/{field}"), value)
}

fn limits(limits: Value) -> Value {
    spec("limits", limits)
}

fn downgrade(downgrade: &Value) -> Value {
    spec("onExceeded", json!({"action": "Downgrade", "downgrade": downgrade}))
}

/// Each CEL rule by its message, with what it must admit and what it must refuse.
pub fn rules() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    [rules_of_limits(), rules_of_refusals(), rules_of_scope_and_alerts()].concat()
}

fn rules_of_limits() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let usd = |usd: &str| limits(json!([{"window": "Total", "usd": usd}]));
    let custom = |duration: &str| limits(json!([{"window": "Custom", "duration": duration, "requests": 1}]));
    let rolling = |duration: &str| limits(json!([{"window": "Rolling", "duration": duration, "usd": "5"}]));
    vec![
        (
            "give at least one of usd, tokens and requests",
            vec![limits(json!([{"window": "Weekly", "tokens": 1}, {"window": "Hourly", "requests": 1}]))],
            vec![limits(json!([{"window": "Daily"}]))],
        ),
        (
            "duration is given exactly when window is Custom or Rolling",
            vec![custom("6h"), rolling("24h")],
            vec![
                limits(json!([{"window": "Custom", "requests": 1}])),
                limits(json!([{"window": "Rolling", "requests": 1}])),
                limits(json!([{"window": "Total", "duration": "24h", "requests": 1}])),
                limits(json!([{"window": "Daily", "duration": "24h", "requests": 1}])),
            ],
        ),
        (
            "must be whole seconds from 1m to 8784h, such as 6h",
            vec![custom("1m"), custom("8784h"), custom("1h30m1s"), custom("60000ms"), rolling("1m")],
            vec![custom("59s"), custom("8784h1s"), custom("1m0.5s"), rolling("59s"), rolling("8784h1s")],
        ),
        (
            "usd must be above 0, and at most 9000000",
            vec![usd("0.000000001"), usd("9000000"), usd("0100.50")],
            vec![usd("0"), usd("0.000"), usd("9000000.01")],
        ),
        (
            "two limits are of the same window and unit: keep the lower one",
            vec![
                limits(json!([
                    {"window": "Daily", "usd": "1", "tokens": 1, "requests": 1},
                    {"window": "Hourly", "usd": "1", "tokens": 1},
                    {"window": "Custom", "duration": "1h", "usd": "1"},
                    {"window": "Custom", "duration": "2h", "usd": "1"},
                    {"window": "Rolling", "duration": "1h", "usd": "1"},
                ])),
                limits(json!([{"window": "Daily", "usd": "1"}, {"window": "Daily", "tokens": 1}])),
            ],
            vec![
                limits(json!([{"window": "Daily", "usd": "1"}, {"window": "Daily", "usd": "2"}])),
                limits(
                    json!([{"window": "Total", "usd": "1", "tokens": 1}, {"window": "Total", "tokens": 2}]),
                ),
                limits(json!([
                    {"window": "Custom", "duration": "1h", "requests": 1},
                    {"window": "Custom", "duration": "60m", "requests": 2},
                ])),
                limits(json!([
                    {"window": "Rolling", "duration": "24h", "usd": "1"},
                    {"window": "Rolling", "duration": "1440m", "usd": "2", "tokens": 2},
                ])),
            ],
        ),
        (
            "maxValues counts the values of per: give per",
            vec![with(spec("per", json!(["User"])), "/spec/maxValues", json!(100_000))],
            vec![spec("maxValues", json!(1))],
        ),
    ]
}

fn rules_of_refusals() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let backends = json!([{"pool": {"name": "cheap"}}]);
    let audit = || spec("enforcement", json!("Audit"));
    let act = |action: &str| spec("onExceeded", json!({"action": action}));
    let away = |budget: Value, what: &str| with(budget, "/spec/onLedgerUnavailable", json!(what));
    vec![
        (
            "downgrade is given exactly when action is Downgrade",
            vec![act("Block"), act("Warn"), downgrade(&json!({"backends": backends}))],
            vec![
                act("Downgrade"),
                spec("onExceeded", json!({"action": "Block", "downgrade": {"backends": backends}})),
            ],
        ),
        (
            "from must be above 0: to answer all calls by other models, change the route",
            vec![
                downgrade(&json!({"from": "0.000001", "backends": backends})),
                downgrade(&json!({"from": "1", "backends": backends})),
            ],
            vec![downgrade(&json!({"from": "0.0", "backends": backends}))],
        ),
        (
            "enforcement Audit refuses nothing: remove onExceeded, or enforce the limits",
            vec![audit(), with(act("Block"), "/spec/enforcement", json!("Estimated"))],
            vec![with(act("Block"), "/spec/enforcement", json!("Audit"))],
        ),
        (
            "enforcement Audit and action Warn refuse nothing: remove onLedgerUnavailable, or enforce the limits",
            vec![
                away(budget(), "Deny"),
                away(budget(), "Allow"),
                away(audit(), "Allow"),
                away(act("Warn"), "Allow"),
                away(act("Block"), "Deny"),
            ],
            vec![away(audit(), "Deny"), away(act("Warn"), "Deny")],
        ),
    ]
}

fn rules_of_scope_and_alerts() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let thresholds = |thresholds: &[&str]| spec("alerts", json!({"thresholds": thresholds}));
    let key = json!({"name": "hook", "key": "k"});
    let webhook = json!({"urlSecretRef": key, "signingSecretRef": key});
    let accounts = "serviceAccounts need namespaces: others may have some of the same names";
    vec![
        (
            accounts,
            vec![spec("scope", json!({"namespaces": ["shop"], "serviceAccounts": ["web"]}))],
            vec![spec("scope", json!({"serviceAccounts": ["web"]}))],
        ),
        (
            "give at least one of user, project and feature",
            vec![spec("scope", json!({"metadata": {"project": "search"}}))],
            vec![spec("scope", json!({"metadata": {}}))],
        ),
        (
            "thresholds must be above 0",
            vec![thresholds(&["0.000001", "1"]), thresholds(&[])],
            vec![thresholds(&["0.5", "0"])],
        ),
        (
            "two thresholds are the same",
            vec![thresholds(&["0.5", "0.75", "0.9", "1.0"])],
            vec![thresholds(&["0.5", "0.9", "0.50"])],
        ),
        (
            "a webhook is called at thresholds: give one",
            vec![spec("alerts", json!({"webhook": webhook}))],
            vec![spec("alerts", json!({"thresholds": [], "webhook": webhook}))],
        ),
    ]
}

/// What the schema bounds, with the field that is told.
pub fn bounds() -> Vec<(Value, &'static str)> {
    let scope = |field: &str, value: Value| spec("scope", json!({field: [value]}));
    let key = json!({"name": "hook", "key": "k"});
    vec![
        (limits(json!([])), "spec.limits"),
        (limits(json!([{"window": "Yearly", "usd": "1"}])), "spec.limits[0].window"),
        (limits(json!([{"window": "Daily", "usd": "-1"}])), "spec.limits[0].usd"),
        (limits(json!([{"window": "Daily", "usd": "1e3"}])), "spec.limits[0].usd"),
        (limits(json!([{"window": "Daily", "tokens": 0}])), "spec.limits[0].tokens"),
        (
            limits(json!([{"window": "Daily", "requests": 9_007_199_254_740_992_i64}])),
            "spec.limits[0].requests",
        ),
        (limits(json!([{"window": "Daily", "usd": "1", "rolling": true}])), "unknown field"),
        (spec("timeZone", json!("Europe/Bärlin")), "spec.timeZone"),
        (spec("timeZone", json!("../etc/passwd")), "spec.timeZone"),
        (spec("enforcement", json!("Soft")), "spec.enforcement"),
        (spec("per", json!(["User", "User"])), "spec.per"),
        (spec("per", json!(["Model"])), "spec.per[0]"),
        (with(spec("per", json!(["User"])), "/spec/maxValues", json!(0)), "spec.maxValues"),
        (with(spec("per", json!(["User"])), "/spec/maxValues", json!(100_001)), "spec.maxValues"),
        (scope("models", json!("a b")), "spec.scope.models[0]"),
        (scope("providers", json!("a/b/c/d")), "spec.scope.providers[0]"),
        (
            downgrade(&json!({"from": "1.1", "backends": [{"pool": {"name": "p"}}]})),
            "spec.onExceeded.downgrade.from",
        ),
        (downgrade(&json!({"backends": []})), "spec.onExceeded.downgrade.backends"),
        (spec("alerts", json!({"thresholds": vec!["0.5"; 9]})), "spec.alerts.thresholds"),
        (spec("alerts", json!({"thresholds": ["1.5"]})), "spec.alerts.thresholds[0]"),
        (spec("alerts", json!({"webhook": {"urlSecretRef": key}})), "spec.alerts.webhook.signingSecretRef"),
    ]
}

/// The words of a line.
fn cells(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test]
async fn a_budget_prints_its_tightest_limit_and_all_of_them_where_that_is_asked_for() {
    let cluster = Cluster::shared().await;
    cluster.install_crds().await;
    let namespace = cluster.namespace("printed").await;
    let audit = with(spec("enforcement", json!("Audit")), "/metadata/namespace", json!(namespace));
    cluster.apply(&audit.to_string()).await;
    let status = json!({
        "apiVersion": "llmgateway.dev/v1alpha1", "kind": "Budget",
        "status": {
            "phase": "Warning",
            "summary": {
                "limit": "$100.00/day", "spent": "$80.50", "reserved": "$1.25", "remaining": "$18.25",
                "resets": "2026-11-27T00:00:00Z", "all": "daily-usd:$80.50", "action": "Block", "programmed": "2/3",
            },
        },
    });
    let budgets = Api::<Budget>::namespaced(cluster.client().await, &namespace);
    budgets.patch_status("budget", &PatchParams::apply("test"), &Patch::Apply(&status)).await.unwrap();
    let table = cluster.kubectl(&["get", "budgets", "-n", &namespace]).await;
    let lines: Vec<&str> = table.lines().collect();
    let shown = ["LIMIT", "SPENT", "RESERVED", "REMAINING", "PHASE", "RESETS", "AGE"];
    assert_eq!(cells(lines[0]), [&["NAME"], &shown[..]].concat());
    let row = ["budget", "$100.00/day", "$80.50", "$1.25", "$18.25", "Warning", "2026-11-27T00:00:00Z"];
    assert_eq!(cells(lines[1])[..7], row);
    let wide = cluster.kubectl(&["get", "llmb", "-n", &namespace, "-o", "wide"]).await;
    let lines: Vec<&str> = wide.lines().collect();
    assert_eq!(cells(lines[0])[8..], ["ALL", "ENFORCEMENT", "ACTION", "PROGRAMMED"]);
    assert_eq!(cells(lines[1])[8..], ["daily-usd:$80.50", "Audit", "Block", "2/3"]);
}

#[tokio::test]
async fn a_budget_explains_itself_and_says_its_defaults() {
    let cluster = Cluster::shared().await;
    cluster.install_crds().await;
    let namespace = cluster.namespace("explained").await;
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (path, wanted) in [
        ("budget", "on all proxies together"),
        ("budget.spec", "A call must be within all of them."),
        ("budget.spec.limits.window", "`Weekly` (from Monday)"),
        ("budget.spec.onExceeded.downgrade.from", "Default: \"0.9\"."),
        ("budget.status.checkpoints.ceiling", "nano-USD"),
    ] {
        // The API server publishes a kind's schema a moment after it serves the kind.
        let told =
            eventually(path, Duration::from_secs(30), async || cluster.try_kubectl(&["explain", path]).await);
        let told = words(&told.await);
        assert!(told.contains(wanted), "{wanted}\n{told}");
    }
    cluster.apply(&with(budget(), "/metadata/namespace", json!(namespace)).to_string()).await;
    let budgets = Api::<Budget>::namespaced(cluster.client().await, &namespace);
    let spec = serde_json::to_value(budgets.get("budget").await.unwrap().spec).unwrap();
    let expected = json!({
        "limits": [{"window": "Daily", "usd": "100"}], "timeZone": "UTC", "enforcement": "Strict",
        "alerts": {"thresholds": ["0.5", "0.75", "0.9", "1.0"]},
    });
    assert_eq!(spec, expected);
}
