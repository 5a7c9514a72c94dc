//! `kubectl-llm doctor` on installations that lack something: each time it says what, and how to mend it.

use crate::asked::{Told, ask};
use crate::hand_made::HandMade;
use crate::installation::{
    Installation, NAMESPACE, Operator, WITHIN, from_chart, pool, pool_with_key, route, secret,
};
use harness::eventually;
use llm_operator::survey::rights::{RIGHTS, Scope};
use serde_json::{Value, json};
use std::collections::BTreeSet;

impl Installation {
    pub async fn doctor(&self, operator: &Operator) -> Told {
        self.ask(&["doctor", "-n", NAMESPACE, "--operator-admin", operator.admin()]).await
    }

    /// Waits until a finding says all of these words, and gives all that was told.
    pub async fn finds(&self, operator: &Operator, severity: &str, words: &[&str]) -> Told {
        eventually(&format!("{severity}: {words:?}"), WITHIN, async || {
            let told = self.doctor(operator).await;
            let mut lines = told.out.lines().filter(|line| line.starts_with(severity));
            if lines.any(|line| words.iter().all(|word| line.contains(word))) {
                return Ok(told);
            }
            Err(format!("{}{}", told.out, told.err))
        })
        .await
    }
}

#[tokio::test]
async fn an_installation_in_order_has_no_findings_and_each_thing_that_is_missing_has_one() {
    let installation = Installation::start().await;
    let cluster = &installation.cluster;
    cluster.service_account("ai", "web").await;
    installation.create_pool(&pool_with_key("pool", "http://127.0.0.1:1", &["large"])).await;
    cluster.apply(&secret("k", "sk-1")).await;
    installation.create_route(&route("chat", "pool")).await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("real", &[]).await;
    installation.ready(&[&proxy]).await;
    installation.programmed_on("chat", "1/1").await;
    let told = installation.doctor(&operator).await;
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{}", told.out);
    assert!(told.out.ends_with("\n0 errors, 0 warnings\n"), "{}", told.out);
    assert_eq!(told.out.matches("ok ").count(), 10, "{}", told.out);

    cluster.kubectl(&["delete", "secret", "keys", "-n", "ai"]).await;
    let told = installation
        .finds(
            &operator,
            "error",
            &[
                "secrets",
                "ProviderPool ai/pool names Secret keys, which is not there",
                "=> kubectl -n ai create secret generic keys --from-literal=k=…",
            ],
        )
        .await;
    assert_eq!(told.code, Some(1));
    cluster.apply(&secret("other", "sk-1")).await;
    installation.finds(&operator, "error", &["ProviderPool ai/pool: ", "k"]).await;
    cluster.apply(&secret("k", "sk-1")).await;
    installation.pool_condition("pool", "ResolvedRefs", "True", "ResolvedRefs").await;
    installation.programmed_on("chat", "1/1").await;

    // Made while no webhook was there.
    installation.pod_that_asks("late").await;
    let told = installation
        .finds(
            &operator,
            "warning",
            &["pod ai/late asked for a sidecar and has none", "=> kubectl -n ai delete pod late"],
        )
        .await;
    assert_eq!(told.code, Some(0), "warnings only: {}", told.out);
    cluster.kubectl(&["delete", "pod", "late", "-n", "ai", "--force", "--grace-period=0"]).await;

    // The chart's registration, which nobody fills in and nobody answers for.
    cluster.kubectl(&["label", "namespace", "ai", "llmgateway.dev/inject=true"]).await;
    installation.finds(&operator, "error", &["namespaces ask for sidecars, and no webhook is there"]).await;
    cluster.apply(&from_chart(&["operator/injector"]).await).await;
    let empty =
        "pod.injector.llmgateway.dev of mutatingwebhookconfiguration/llm-gateway-injector trusts nobody";
    let told = installation.finds(&operator, "error", &[empty, "failurePolicy Fail"]).await;
    assert!(told.out.contains("error    webhooks      pod.injector.llmgateway.dev of mutatingwebhookconfiguration/llm-gateway-injector: nobody answers at Service llm-gateway/llm-operator"), "{}", told.out);
    assert!(told.out.contains("warning  webhooks      namespace.injector.llmgateway.dev"), "{}", told.out);
    cluster.kubectl(&["delete", "mutatingwebhookconfiguration", "llm-gateway-injector"]).await;
    cluster.kubectl(&["label", "namespace", "ai", "llmgateway.dev/inject-"]).await;

    let patch = json!([{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns"}]).to_string();
    cluster.kubectl(&["patch", "crd", "llmroutes.llmgateway.dev", "--type=json", "-p", &patch]).await;
    installation
        .finds(
            &operator,
            "error",
            &["llmroutes.llmgateway.dev is of another version", "=> llm-operator --apply-definitions"],
        )
        .await;
    cluster.kubectl(&["delete", "crd", "llmroutes.llmgateway.dev"]).await;
    installation
        .finds(&operator, "error", &["customresourcedefinition/llmroutes.llmgateway.dev is not there"])
        .await;

    cluster.kubectl(&["delete", "clusterrolebinding", "llm-operator"]).await;
    let told = installation
        .finds(
            &operator,
            "error",
            &[
                "may not patch providerpools.llmgateway.dev --subresource status -A",
                "=> apply the chart's roles again",
            ],
        )
        .await;
    assert!(told.out.contains("may not watch secrets/keys -n ai"), "{}", told.out);
    operator.process.kill();
    installation.finds(&operator, "error", &["operator has not renewed the Lease for "]).await;
    installation.finds(&operator, "warning", &["can't be asked for its proxies: Connection refused"]).await;
}

#[tokio::test]
async fn proxies_that_refuse_are_of_an_old_version_or_do_not_answer_are_found() {
    let installation = Installation::start().await;
    let (operator, _hand_made, _proxies) = installation.with_all_kinds_of_proxies().await;
    let told = installation
        .finds(
            &operator,
            "warning",
            &["gateway mute has not taken what is published since", "holds 0 of 3 sections"],
        )
        .await;
    assert_eq!(told.code, Some(1));
    let own = env!("CARGO_PKG_VERSION");
    for (severity, words) in [
        ("error", "gateway picky refuses its configuration and keeps the last: routes[ai/chat]: there is a field `novel`".to_owned()),
        ("warning", format!("gateway old is version 0.0.9, and its operator {own}")),
    ] {
        assert!(told.out.lines().any(|line| line.starts_with(severity) && line.contains(&words)), "{}", told.out);
    }
    let told = installation
        .ask(&["doctor", "-n", NAMESPACE, "--operator-admin", operator.admin(), "-o", "json"])
        .await;
    let proxies =
        told.json().as_array().unwrap().iter().find(|check| check["name"] == "proxies").cloned().unwrap();
    assert_eq!(proxies["findings"][0]["severity"], "error", "the worst comes first: {proxies}");
}

#[tokio::test]
async fn who_may_see_little_is_warned_of_what_was_not_looked_at() {
    let installation = Installation::start().await;
    installation.cluster.service_account("ai", "web").await;
    installation.create_pool(&pool("pool", "http://127.0.0.1:1", &["large"])).await;
    let operator = installation.operator(&[]).await;
    let mut proxy = HandMade::attach(&installation, "one", env!("CARGO_PKG_VERSION")).await;
    proxy.take().await;
    let nobody = installation.cluster.kubeconfig_for("ai", "web").await;
    let told = ask(&nobody, &["doctor", "-n", NAMESPACE, "--operator-admin", operator.admin()]).await;
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{}", told.out);
    for resource in ["leases", "customresourcedefinitions", "subjectaccessreviews", "llmroutes", "pods"] {
        assert!(told.out.contains(&format!("resource \"{resource}\"")), "{resource}: {}", told.out);
    }
    assert!(!told.out.lines().any(|line| line.starts_with("error")), "{}", told.out);
}

/// What is asked for is what the chart grants: else doctor finds what is not there, or misses what is.
#[tokio::test]
async fn the_operators_rights_are_those_of_the_chart() {
    let objects = from_chart(&["operator/rbac"]).await;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&objects).unwrap();
    let mut granted = BTreeSet::new();
    for role in objects.iter().filter(|object| object["kind"].as_str().unwrap().ends_with("Role")) {
        let cluster = role["kind"] == "ClusterRole";
        for rule in role["rules"].as_array().unwrap() {
            let list = |field: &str| -> Vec<String> {
                let values = rule[field].as_array().into_iter().flatten();
                values.map(|value| value.as_str().unwrap().to_owned()).collect()
            };
            let mut names: Vec<Option<String>> = list("resourceNames").into_iter().map(Some).collect();
            if names.is_empty() {
                names.push(None);
            }
            for verb in list("verbs") {
                for path in list("nonResourceURLs") {
                    granted.insert((false, verb.clone(), String::new(), path, None));
                }
                for resource in list("resources") {
                    let group = list("apiGroups")[0].clone();
                    for name in &names {
                        let (verb, group, resource) = (verb.clone(), group.clone(), resource.clone());
                        granted.insert((!cluster, verb, group, resource, name.clone()));
                    }
                }
            }
        }
    }
    // Asked for by the name of each Secret that a pool names.
    for verb in ["list", "watch"] {
        assert!(granted.remove(&(false, verb.to_owned(), String::new(), "secrets".to_owned(), None)));
    }
    let asked = RIGHTS.iter().map(|right| {
        let own = right.scope == Scope::Own;
        (
            own,
            right.verb.to_owned(),
            right.group.to_owned(),
            right.resource.to_owned(),
            right.name.map(str::to_owned),
        )
    });
    assert_eq!(asked.collect::<BTreeSet<_>>(), granted);
}

impl Installation {
    async fn pod_that_asks(&self, name: &str) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "ai", "labels": {"llmgateway.dev/inject": "true"}},
            "spec": {"serviceAccountName": "web", "containers": [{"name": "app", "image": "none"}]},
        });
        self.cluster.apply(&pod.to_string()).await;
    }
}
