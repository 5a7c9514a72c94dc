//! The settings of the ledger while all run: a password that is rotated, and settings that went wrong, with a proxy that
//! spends meanwhile.

use crate::installation::{Calling, Installation, Operator, WITHIN, answers, route};
use harness::{Proxy, Redis, eventually};
use llm_ledger_connection::RIGHTS;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

const USER: &str = "llm";

struct Scene {
    installation: Installation,
    redis: Redis,
    operator: Operator,
    proxy: Proxy,
}

impl Scene {
    /// All of it, and the ledger answers.
    async fn start() -> Self {
        let scene = Self::begin("old").await;
        scene.installation.budget_condition("team", "LedgerReachable", "True", "LedgerAnswers").await;
        scene
    }

    /// A Redis whose user `llm` has the rights that are named and password `old`, a budget that is kept there by this
    /// password, and a proxy whose calls it counts.
    async fn begin(password: &str) -> Self {
        let (installation, redis) = (Installation::start().await, Redis::start().await);
        let rule: Vec<&str> =
            ["ACL", "SETUSER", USER, "on", ">old"].into_iter().chain(RIGHTS.split(' ')).collect();
        assert_eq!(redis.ask(&rule), "OK\n");
        let settings = json!({"endpoints": [redis.endpoint()], "username": USER, "passwordFile": "password"});
        let file = installation.scratch.write("ledger.yaml", json!({"redis": settings}).to_string());
        installation.scratch.write("password", password);
        let pool = json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "ProviderPool",
            "metadata": {"name": "pool", "namespace": "ai"},
            "spec": {"providers": [{
                "name": "p", "kind": "Simulated", "models": [{"name": "demo"}],
                "simulated": {"timeToFirstToken": "10ms", "tokensPerSecond": 10_000},
            }]},
        });
        let budget = json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "Budget", "metadata": {"name": "team", "namespace": "ai"},
            "spec": {"limits": [{"window": "Total", "requests": 1_000_000}]},
        });
        installation.create_pool(&pool).await;
        installation.create_route(&route("chat", "pool")).await;
        installation.cluster.apply(&budget.to_string()).await;
        let operator = installation.operator(&["--ledger", file.to_str().unwrap()]).await;
        let proxy = installation.proxy("proxy-a", &[]).await;
        installation.ready(&[&proxy]).await;
        let scene = Self { installation, redis, operator, proxy };
        scene.installation.budget_condition("team", "Programmed", "True", "Programmed").await;
        scene
    }

    /// As the kubelet does: another file in the place of the one that was there.
    fn password(&self, password: &str) {
        let new = self.installation.scratch.write("password.new", password);
        fs::rename(new, self.installation.scratch.path().join("password")).unwrap();
    }

    /// The connections of user `llm`: the operator's and the proxy's.
    fn connections(&self) -> BTreeSet<String> {
        let list = self.redis.ask(&["CLIENT", "LIST"]);
        let ours = list.lines().filter(|line| line.contains(&format!(" user={USER} ")));
        ours.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }

    /// Waits until both have connections, and none of these; gives those.
    async fn connected_anew(&self, before: &BTreeSet<String>) -> BTreeSet<String> {
        eventually("operator and proxy are connected anew", WITHIN, async || {
            let now = self.connections();
            if now.len() >= 2 && now.is_disjoint(before) {
                Ok(now)
            } else {
                Err(format!("{before:?} {now:?}"))
            }
        })
        .await
    }

    /// Waits until so much is spent, as the ledger says.
    async fn spent(&self, calls: usize) {
        eventually(&format!("{calls} calls are spent"), WITHIN, async || {
            let path = "jsonpath={.status.limits[0].spent}";
            let told =
                self.installation.cluster.kubectl(&["-n", "ai", "get", "budget", "team", "-o", path]).await;
            if told == calls.to_string() { Ok(()) } else { Err(told) }
        })
        .await;
    }

    async fn refused(&self, wanted: f64) {
        eventually(&format!("ledger_settings_refused is {wanted}"), WITHIN, async || {
            let told = self.operator.metric("llm_operator_ledger_settings_refused").await;
            if told == wanted { Ok(()) } else { Err(told.to_string()) }
        })
        .await;
    }
}

#[tokio::test]
async fn a_password_is_rotated_while_calls_are_counted_and_none_is_refused_or_lost() {
    let scene = Scene::start().await;
    let old = scene.connected_anew(&BTreeSet::new()).await;
    let calling = Calling::begin(&scene.proxy, "demo");

    // Redis takes both while the new one is on its way.
    assert_eq!(scene.redis.ask(&["ACL", "SETUSER", USER, ">new"]), "OK\n");
    scene.password("new\n");
    scene.connected_anew(&old).await;
    assert_eq!(scene.redis.ask(&["ACL", "SETUSER", USER, "<old"]), "OK\n");
    let told = scene.redis.ask(&["--user", USER, "--pass", "old", "PING"]);
    assert!(told.contains("WRONGPASS"), "{told}");

    // Nobody lives on a connection of before.
    let new = scene.connections();
    scene.redis.ask(&["CLIENT", "KILL", "USER", USER]);
    scene.connected_anew(&new).await;
    let calls = calling.end().await;
    scene.spent(calls).await;
    let more = Calling::begin(&scene.proxy, "demo");
    eventually("calls go on", WITHIN, async || {
        let so_far = scene.proxy.requests().len();
        if so_far > calls + 50 { Ok(()) } else { Err(so_far.to_string()) }
    })
    .await;
    scene.spent(calls + more.end().await).await;
    let shown: Value = serde_json::from_str(scene.proxy.admin("/debug/config").await.text()).unwrap();
    assert_eq!(shown["ledger"]["redis"]["username"], USER, "{shown}");
    let logs = scene.operator.process.output() + &scene.proxy.process.output();
    assert!(logs.contains("the ledger's settings have changed") && !logs.contains("\"new"), "{logs}");
}

#[tokio::test]
async fn settings_that_went_wrong_are_told_of_and_the_last_good_ones_stay() {
    let scene = Scene::start().await;
    let before = scene.connected_anew(&BTreeSet::new()).await;
    let calling = Calling::begin(&scene.proxy, "demo");
    scene.password("\n");
    scene.refused(1.0).await;
    let wrong = "redis.password: is empty";
    eventually("the condition says so", WITHIN, async || {
        let told =
            scene.installation.budget_condition("team", "LedgerReachable", "True", "LedgerAnswers").await;
        if told.contains(wrong) { Ok(()) } else { Err(told) }
    })
    .await;
    let words = ["operator operator keeps to the last good settings of the ledger", wrong];
    let told = scene.installation.finds(&scene.operator, "error", &words).await;
    assert_eq!(told.code, Some(1), "{}", told.out);
    // One that Redis does not know, or not yet.
    scene.password("mistaken");
    let words = ["operator operator keeps to the last good settings", "WRONGPASS"];
    scene.installation.finds(&scene.operator, "error", &words).await;
    assert_eq!(scene.connections(), before);

    scene.password("old");
    scene.refused(0.0).await;
    let told = scene.installation.doctor(&scene.operator).await;
    assert!(told.out.contains("it answers, and keeps 1 Budget"), "{}", told.out);
    scene.spent(calling.end().await).await;
    assert_eq!(scene.connections(), before);
    let log = scene.operator.process.output();
    let told = log.matches("the ledger's settings can't be used").count();
    assert!(told == 2 && log.contains("the ledger's settings are in order again"), "{log}");

    // A Redis that is gone, with all who could tell.
    scene.redis.die().await;
    let words = ["ledger", "it does not answer, and so Budget ai/team is Degraded", &scene.redis.endpoint()];
    scene.installation.finds(&scene.operator, "error", &words).await;
}

/// There are no earlier ones: proxies get them, and who looks reads whose fault it is.
#[tokio::test]
async fn settings_that_the_ledger_refuses_from_the_start_are_told_apart_from_a_ledger_that_is_away() {
    let scene = Scene::begin("mistaken").await;
    let told = scene.installation.budget_condition("team", "LedgerReachable", "False", "LedgerRefuses").await;
    assert!(told.contains("WRONGPASS") && told.contains("set ledger.redis.username"), "{told}");
    scene.refused(1.0).await;
    let words = ["operator operator has started with settings that the ledger refuses", "WRONGPASS"];
    scene.installation.finds(&scene.operator, "error", &words).await;
    let words = ["it refuses its settings, and so Budget ai/team is Degraded", "WRONGPASS"];
    scene.installation.finds(&scene.operator, "error", &words).await;
    let shown: Value = serde_json::from_str(scene.proxy.admin("/debug/config").await.text()).unwrap();
    assert_eq!(shown["ledger"]["redis"]["username"], USER, "{shown}");

    // One that is away has not made them better.
    scene.redis.pause();
    scene.installation.budget_condition("team", "LedgerReachable", "False", "LedgerUnreachable").await;
    scene.refused(1.0).await;
    scene.redis.resume();

    // It is Redis that changes its mind, this time.
    assert_eq!(scene.redis.ask(&["ACL", "SETUSER", USER, ">mistaken"]), "OK\n");
    scene.installation.budget_condition("team", "LedgerReachable", "True", "LedgerAnswers").await;
    scene.refused(0.0).await;
    answers(&scene.proxy, "demo", 200, WITHIN).await;
    scene.redis.die().await;
    scene.installation.budget_condition("team", "LedgerReachable", "False", "LedgerUnreachable").await;
    scene.refused(0.0).await;
    let log = scene.operator.process.output();
    assert_eq!(log.matches("the ledger's settings are in order again").count(), 1, "{log}");
}
