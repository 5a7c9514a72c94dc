//! Budgets from manifest to proxy: what is told of each, where it is in force, and that none is without a ledger.

use crate::installation::{Installation, NAMESPACE, WITHIN, condition, pool, route};
use harness::{Proxy, eventually, free_port, workspace};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use llm_crds::Budget;
use serde_json::{Value, json};

/// The operator's file of a ledger that nobody answers for: nothing here is spent.
fn ledger(installation: &Installation) -> String {
    let endpoint = format!("127.0.0.1:{}", free_port());
    installation.scratch.write("password", "s3cret\n");
    let settings = json!({"redis": {"endpoints": [endpoint], "passwordFile": "password"}});
    let file = installation.scratch.write("ledger.yaml", settings.to_string());
    file.to_str().unwrap().to_owned()
}

pub fn budget(name: &str) -> Value {
    json!({
        "apiVersion": "llmgateway.dev/v1alpha1", "kind": "Budget", "metadata": {"name": name, "namespace": "ai"},
        "spec": {"limits": [{"window": "Daily", "usd": "1.50"}]},
    })
}

fn with(mut budget: Value, field: &str, value: Value) -> Value {
    budget["spec"][field] = value;
    budget
}

impl Installation {
    fn budgets(&self, namespace: &str) -> Api<Budget> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn create_budget(&self, budget: &Value) -> Budget {
        let budget: Budget = serde_json::from_value(budget.clone()).unwrap();
        let namespace = budget.metadata.namespace.clone().unwrap();
        self.budgets(&namespace).create(&PostParams::default(), &budget).await.unwrap()
    }

    /// Waits until a condition of a budget of namespace `ai` says `status` for `reason`, and gives its message.
    pub async fn budget_condition(&self, name: &str, wanted: &str, status: &str, reason: &str) -> String {
        condition(&format!("Budget {name}"), wanted, status, reason, async || {
            let budget = self.budgets("ai").get(name).await.map_err(|error| error.to_string())?;
            Ok((budget.metadata.generation, budget.status.map(|s| (s.observed_generation, s.conditions))))
        })
        .await
    }
}

/// What a proxy runs on.
async fn config(proxy: &Proxy) -> Value {
    serde_json::from_str(proxy.admin("/debug/config").await.text()).unwrap()
}

#[tokio::test]
async fn without_a_ledger_no_budget_is_accepted_and_with_one_it_is() {
    let installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.create_budget(&budget("daily")).await;
    let told = installation.budget_condition("daily", "Accepted", "False", "NoLedger").await;
    assert!(told.contains("give the operator one by --ledger"), "{told}");
    installation.budget_condition("daily", "Programmed", "False", "NotShipped").await;
    installation.ready(&[&proxy]).await;
    assert_eq!(config(&proxy).await.get("budgets"), None);

    operator.process.terminate();
    operator.process.exited(WITHIN).await;
    let _operator = installation.operator(&["--ledger", &ledger(&installation)]).await;
    installation.budget_condition("daily", "Accepted", "True", "Accepted").await;
    installation.budget_condition("daily", "Programmed", "True", "Programmed").await;
    let shown = config(&proxy).await;
    assert_eq!(shown["budgets"]["ai/daily"]["scope"]["within"], "ai", "{shown}");
    assert!(shown["ledger"]["redis"]["endpoints"][0].is_string(), "{shown}");
    assert!(!shown.to_string().contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn a_bad_settings_file_is_told_at_the_start() {
    let installation = Installation::start().await;
    let file = installation.scratch.write("ledger.yaml", "redis: {endpoints: [redis]}\n");
    let told = installation.operator_fails(&["--ledger", file.to_str().unwrap()]).await;
    assert!(told.contains("redis.endpoints: `redis` is none: give host and port"), "{told}");
}

#[tokio::test]
async fn a_budget_holds_what_it_can_and_tells_what_it_cannot() {
    let installation = Installation::start().await;
    let _operator = installation.operator(&["--ledger", &ledger(&installation)]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    installation.cluster.kubectl(&["create", "namespace", "shared"]).await;
    let mut shared = pool("pool", "http://127.0.0.1:1", &["small"]);
    shared["metadata"]["namespace"] = json!("shared");
    installation.cluster.apply(&shared.to_string()).await;

    let scope = json!({"routes": [{"name": "chat"}]});
    let falling = json!({"backends": [{"pool": {"name": "pool", "namespace": "shared"}}]});
    let falling = json!({"action": "Downgrade", "downgrade": falling});
    let unresolved = with(with(budget("both"), "scope", scope), "onExceeded", falling);
    installation.create_budget(&unresolved).await;
    let told = installation.budget_condition("both", "ResolvedRefs", "False", "RouteNotFound").await;
    assert!(told.contains("spec.scope.routes[0]: there is no LLMRoute ai/chat"), "{told}");
    assert!(told.contains("ProviderPool shared/pool does not admit budgets of namespace `ai`"), "{told}");
    // It holds the limit all the same.
    installation.budget_condition("both", "Programmed", "True", "Programmed").await;
    assert_eq!(config(&proxy).await["budgets"]["ai/both"].get("onExceeded"), None);
    assert_eq!(installation.column("both", "PROGRAMMED").await, "1/1");
    assert_eq!(installation.column("both", "ACTION").await, "Downgrade");

    installation.create_pool(&pool("pool", "http://127.0.0.1:1", &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    installation.budget_condition("both", "ResolvedRefs", "False", "RefNotPermitted").await;
    let open = Patch::Merge(json!({"spec": {"allowedNamespaces": {"from": "All"}}}));
    let pools = Api::<llm_crds::ProviderPool>::namespaced(installation.client.clone(), "shared");
    pools.patch("pool", &PatchParams::default(), &open).await.unwrap();
    installation.budget_condition("both", "ResolvedRefs", "True", "ResolvedRefs").await;
    installation.budget_condition("both", "Programmed", "True", "Programmed").await;
    let shown = config(&proxy).await;
    let backends = &shown["budgets"]["ai/both"]["onExceeded"]["downgrade"]["backends"];
    assert_eq!(backends[0]["pool"], "shared/pool", "{shown}");
    assert!(shown["pools"]["shared/pool"].is_object(), "no route brings it along: {shown}");

    // What no schema knows.
    installation.create_budget(&with(budget("lost"), "timeZone", json!("Europe/Baerlin"))).await;
    let told = installation.budget_condition("lost", "Accepted", "False", "Invalid").await;
    assert!(told.contains("spec.timeZone: there is no time zone `Europe/Baerlin`"), "{told}");
    installation.events("type=Warning", &["budget/lost", "budget/both"]).await;

    // The operator's own namespace counts everybody's calls; one that takes the place of another begins anew.
    let mut of_all = budget("all");
    of_all["metadata"]["namespace"] = json!(NAMESPACE);
    let first = installation.create_budget(&of_all).await.metadata.uid.unwrap();
    let uid = |shown: &Value| shown["budgets"][format!("{NAMESPACE}/all")]["uid"].clone();
    eventually("the budget is held", WITHIN, async || {
        let shown = config(&proxy).await;
        if uid(&shown) == first.as_str() { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
    assert_eq!(config(&proxy).await["budgets"][format!("{NAMESPACE}/all")].get("scope"), None);
    installation.budgets(NAMESPACE).delete("all", &DeleteParams::default()).await.unwrap();
    let second = installation.create_budget(&of_all).await.metadata.uid.unwrap();
    assert_ne!(first, second);
    eventually("the other is held", WITHIN, async || {
        let shown = config(&proxy).await;
        if uid(&shown) == second.as_str() { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
}

impl Installation {
    /// What `kubectl get -o wide` shows of a budget in a column.
    async fn column(&self, budget: &str, column: &str) -> String {
        let table = self.cluster.kubectl(&["get", "budgets", budget, "-n", "ai", "-o", "wide"]).await;
        let (head, row) = table.trim_end().split_once('\n').unwrap();
        // Columns stand below their heads, and some are empty.
        let start = head.find(column).unwrap();
        row[start..].split_whitespace().next().unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn a_proxy_on_which_a_budget_is_not_yet_in_force_is_named() {
    let installation = Installation::start().await;
    let _operator = installation.operator(&["--ledger", &ledger(&installation)]).await;
    let (a, b) = (installation.proxy("proxy-a", &[]).await, installation.proxy("proxy-b", &[]).await);
    installation.ready(&[&a, &b]).await;
    b.process.pause();
    installation.create_budget(&budget("daily")).await;
    let pending = "in force on 1 of 2 proxies of gateway default; not yet on proxy-b";
    eventually("the other one has answered", WITHIN, async || {
        let told = installation.budget_condition("daily", "Programmed", "False", "Pending").await;
        if told == pending { Ok(()) } else { Err(told) }
    })
    .await;
    assert_eq!(installation.column("daily", "PROGRAMMED").await, "1/2");
    b.process.resume();
    let told = installation.budget_condition("daily", "Programmed", "True", "Programmed").await;
    assert_eq!(told, "in force on all 2 proxies of gateway default");
}

/// Figures and checkpoints are written under another name: losing them would set the ledger free of what is gone.
#[tokio::test]
async fn what_another_hand_writes_into_the_status_stays() {
    let installation = Installation::start().await;
    let _operator = installation.operator(&["--ledger", &ledger(&installation)]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    installation.create_budget(&budget("daily")).await;
    installation.budget_condition("daily", "Programmed", "True", "Programmed").await;
    installation.budget_condition("daily", "LedgerReachable", "False", "LedgerUnreachable").await;
    let budgets = installation.budgets("ai");

    let raise = Patch::Merge(json!({"spec": {"limits": [{"window": "Daily", "usd": "3"}]}}));
    budgets.patch("daily", &PatchParams::default(), &raise).await.unwrap();
    installation.budget_condition("daily", "Programmed", "True", "Programmed").await;
    let seen = budgets.get("daily").await.unwrap();
    let status = seen.status.unwrap();
    assert_eq!(status.summary.unwrap().programmed.as_deref(), Some("1/1"));
    assert!(status.phase.is_some());
    let mut told: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    told.sort_unstable();
    assert_eq!(told, ["Accepted", "LedgerReachable", "Programmed", "ResolvedRefs"]);
}

#[tokio::test]
async fn a_definition_that_is_deleted_sets_no_call_free() {
    let installation = Installation::start().await;
    let operator = installation.operator(&["--ledger", &ledger(&installation)]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    installation.create_budget(&budget("daily")).await;
    installation.budget_condition("daily", "Programmed", "True", "Programmed").await;
    installation.cluster.kubectl(&["delete", "crd", "budgets.llmgateway.dev"]).await;
    operator.process.await_line(WITHIN, |line| line.contains("the definition is deleted")).await;
    assert!(config(&proxy).await["budgets"]["ai/daily"].is_object());
    let definition = workspace().join("crds/generated/llmgateway.dev_budgets.yaml");
    let definition = definition.to_str().unwrap();
    installation.cluster.kubectl(&["apply", "-f", definition]).await;
    installation.cluster.kubectl(&["wait", "--for=condition=Established", "-f", definition]).await;
    let served = async || installation.cluster.try_kubectl(&["get", "budgets", "-A"]).await;
    eventually("budgets are served again", WITHIN, served).await;
    installation.create_budget(&budget("other")).await;
    installation.budget_condition("other", "Programmed", "True", "Programmed").await;
    let budgets = config(&proxy).await["budgets"].clone();
    assert_eq!(budgets.as_object().unwrap().keys().collect::<Vec<_>>(), ["ai/other"]);
}
