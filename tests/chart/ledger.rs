//! The release's own Redis, on a whole node: Budgets work with nothing else, hold when it is killed, and come back; what
//! the chart made up stays on an upgrade, and goes with the release.

use crate::release::{Release, WITHIN};
use crate::sidecars::{CALL, pod_spec, script};
use futures::future::join_all;
use harness::{eventually, http};
use serde_json::{Value, json};

/// Calls that the budget lets through.
const LIMIT: u64 = 1000;
/// What a lost memory costs of it at most, where little is spent: twice the eighth for which checkpoints have room.
const ROOM: u64 = LIMIT / 4;
/// In the operator's namespace: it counts all calls.
const BUDGET: &str = "
apiVersion: llmgateway.dev/v1alpha1
kind: Budget
metadata: {name: team, namespace: llm-gateway}
spec:
  limits: [{window: Total, requests: 1000}]
";
/// An application's namespace, whose sidecars go to the same ledger.
const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {llmgateway.dev/inject: 'true'}}
---
apiVersion: llmgateway.dev/v1alpha1
kind: ProviderPool
metadata: {name: pool, namespace: shop}
spec:
  providers: [{name: simulated, kind: Simulated, models: [{name: demo}]}]
---
apiVersion: llmgateway.dev/v1alpha1
kind: LLMRoute
metadata: {name: chat, namespace: shop}
spec:
  attachTo: {gateways: [], podSelector: {}}
  rules:
  - backends: [{pool: {name: pool}}]
";
const REDIS: &str = "app.kubernetes.io/component=redis";

struct Trial {
    release: Release,
    url: String,
    token: String,
}

impl Trial {
    /// With nothing but the two values that a trial takes.
    async fn start() -> Self {
        let release = Release::prepare().await;
        release.load_redis();
        release
            .put("install", &["--set", "redis.enabled=true", "--set", "providers.simulated.enabled=true"])
            .await;
        release.programmed_on("quickstart", 2).await;
        release.machine.cluster().apply(BUDGET).await;
        let (url, token) = (release.chat_url().await, release.token().await);
        let trial = Self { release, url, token };
        trial.answers().await;
        trial.is("{.status.phase}", "Active").await;
        trial
    }

    /// Waits until the ledger answers the operator, in this life of it.
    async fn answers(&self) {
        self.is("{.status.conditions[?(@.type==\"LedgerReachable\")].status}", "True").await;
        self.is("{.status.summary.programmed}", "2/2").await;
    }

    async fn told(&self, path: &str) -> String {
        self.release.kubectl(&["get", "budget", "team", "-o", &format!("jsonpath={path}")]).await
    }

    async fn is(&self, path: &str, wanted: &str) {
        eventually(&format!("the budget's {path} is {wanted}"), WITHIN, async || {
            let told = self.told(path).await;
            if told == wanted { Ok(()) } else { Err(told) }
        })
        .await;
    }

    async fn epoch(&self) -> i64 {
        self.told("{.status.checkpoints[0].epoch}").await.parse().unwrap()
    }

    /// What becomes of a call.
    async fn call(&self) -> u16 {
        let call: Value =
            json!({"model": "demo", "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}]});
        let answer =
            http::send(http::with_key(http::json_request(&self.url, &call), &self.token)).await.unwrap();
        answer.status.as_u16()
    }

    /// How many of so many calls at once pass.
    async fn calls(&self, count: usize) -> u64 {
        let answers = join_all((0..count).map(|_| self.call())).await;
        answers.into_iter().map(|status| u64::from(status == 200)).sum()
    }

    /// Kills the pod, and waits until another is there and the operator has begun its ledger anew.
    async fn kill_redis(&self) {
        let before = self.epoch().await;
        self.release.kubectl(&["delete", "pod", "llm-gateway-redis-0"]).await;
        self.release.says("statefulset/llm-gateway-redis", ".status.readyReplicas", "1").await;
        eventually("the ledger is begun anew", WITHIN, async || {
            let now = self.epoch().await;
            if now > before { Ok(()) } else { Err(format!("{before} {now}")) }
        })
        .await;
        self.answers().await;
    }

    async fn password(&self) -> String {
        self.release.kubectl(&["get", "secret", "llm-gateway-redis", "-o", "jsonpath={.data.password}"]).await
    }

    async fn redis_pod(&self) -> String {
        self.release.kubectl(&["get", "pod", "llm-gateway-redis-0", "-o", "jsonpath={.metadata.uid}"]).await
    }
}

#[tokio::test]
async fn budgets_work_with_the_chart_s_own_redis_and_hold_when_it_is_killed() {
    let trial = Trial::start().await;
    let release = &trial.release;
    for _ in 0..8 {
        assert_eq!(trial.call().await, 200);
    }
    // Applications' sidecars reach it from their namespaces.
    let cluster = release.machine.cluster();
    cluster.apply(SHOP).await;
    release.injects().await;
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "batch", "namespace": "shop"},
        "spec": {"backoffLimit": 0, "template": {"spec": pod_spec(&script(CALL), "Never")}},
    });
    cluster.apply(&job.to_string()).await;
    eventually("the job is done", WITHIN, async || {
        release.in_shop(&["wait", "--for=condition=Complete", "job/batch", "--timeout=1s"]).await
    })
    .await;
    let mut passed = 9;
    trial.is("{.status.limits[0].spent}", "9").await;

    // An upgrade leaves it alone, and its password with it.
    let (password, pod) = (trial.password().await, trial.redis_pod().await);
    assert_eq!(password.len(), 44, "{password}");
    release.put("upgrade", &["--reuse-values", "--set", "gateway.logLevel=debug"]).await;
    assert_eq!((trial.password().await, trial.redis_pod().await), (password, pod));
    trial.answers().await;

    // Checkpoints have room for the pace of the last minute.
    eventually("its checkpoint has no more room than it has to", WITHIN, async || {
        let ceiling: u64 = trial.told("{.status.checkpoints[0].ceiling}").await.parse().unwrap();
        if ceiling <= passed + ROOM { Ok(()) } else { Err(ceiling.to_string()) }
    })
    .await;
    trial.kill_redis().await;
    eventually("it recovers, and then nothing is left", WITHIN, async || {
        let more = trial.calls(25).await;
        passed += more;
        let remaining = trial.told("{.status.limits[0].remaining}").await;
        if more == 0 && remaining == "0" { Ok(()) } else { Err(format!("{remaining} after {passed}")) }
    })
    .await;
    let row = release.kubectl(&["get", "budgets", "--no-headers"]).await;
    println!("{passed} of {LIMIT} calls passed, over a restart of Redis: {row}");
    assert!((LIMIT - ROOM..=LIMIT).contains(&passed), "{passed}");
    // Who has gone meanwhile claims nothing: what those spent is of what is not known.
    assert!(row.contains("1000 requests in all"), "{row}");

    // Nor does one without a memory let anything through.
    trial.kill_redis().await;
    passed += trial.calls(25).await;
    assert!(passed <= LIMIT, "{passed}");
    trial.is("{.status.limits[0].remaining}", "0").await;

    trial.is_removed().await;
}

impl Trial {
    async fn is_removed(&self) {
        let release = &self.release;
        release.helm(&["uninstall", "llm-gateway", "--wait", "--timeout", "120s"]).await;
        eventually("nothing of it is left", WITHIN, async || {
            let kinds = "statefulsets,pods,services,secrets,networkpolicies,persistentvolumeclaims";
            let left = release.try_kubectl(&["get", kinds, "-l", REDIS, "-o", "name"]).await?;
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
        .await;
        assert_eq!(release.kubectl(&["get", "persistentvolumeclaims", "-o", "name"]).await, "");
        // What teams have made stays, with what is spent of it.
        assert_eq!(self.told("{.status.limits[0].remaining}").await, "0");
    }
}
