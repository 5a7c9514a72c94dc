//! LLMRoutes, ProviderPools and Budgets as they are applied to a real API server: what is refused, what is let pass with a word,
//! and what an operator that is away or has seen nothing yet keeps nobody from.

mod budgets;
mod drain;

use crate::installation::{Installation, Operator, WITHIN, pool, pool_with_key, route, secret};
use crate::registration::VALIDATOR;
use harness::{eventually, free_port};
use serde_json::{Value, json};

const REFUSED: &str = "llm_operator_admissions_total{kind=\"ProviderPool\",outcome=\"refused\"}";

/// An installation whose operator reviews.
struct Reviewing {
    installation: Installation,
    port: u16,
}

impl Reviewing {
    async fn start() -> (Self, Operator) {
        let reviewing = Self { installation: Installation::start().await, port: free_port() };
        let operator = reviewing.operator().await;
        VALIDATOR.register(&reviewing.installation, reviewing.port).await;
        VALIDATOR.trusted(&reviewing.installation).await;
        reviewing.reviews().await;
        (reviewing, operator)
    }

    fn webhook(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn operator(&self) -> Operator {
        self.installation.operator(&["--webhook", &self.webhook()]).await
    }

    /// Waits until the API server asks the operator.
    async fn reviews(&self) {
        let (arguments, probe) = (["apply", "--dry-run=server", "-f"], self.file("probe", &broken("probe")));
        eventually("the API server asks the operator", WITHIN, async || {
            let said = self.installation.cluster.try_kubectl(&[&arguments[..], &[&probe]].concat()).await;
            said.map_or_else(|_| Ok(()), Err)
        })
        .await;
    }

    fn file(&self, name: &str, object: &Value) -> String {
        let file = self.installation.scratch.write(&format!("{name}.json"), object.to_string());
        file.to_str().unwrap().to_owned()
    }

    /// What `kubectl apply` prints, warnings included.
    async fn apply(&self, object: &Value) -> String {
        self.installation.cluster.apply_says(&object.to_string(), &[]).await
    }

    async fn refused(&self, object: &Value) -> String {
        self.installation.cluster.apply_fails(&object.to_string()).await
    }
}

/// A pool that the schema lets pass and no proxy would: names of headers have no case.
fn broken(name: &str) -> Value {
    let mut pool = pool(name, "http://127.0.0.1:1", &["large"]);
    pool["spec"]["providers"][0]["headers"] =
        json!([{"name": "x-team", "value": "a"}, {"name": "X-Team", "value": "b"}]);
    pool
}

/// A route whose rules both serve a model.
fn ambiguous(name: &str) -> Value {
    let mut route = route(name, "pool");
    let rule = json!({"matches": [{"models": ["smart"]}], "backends": [{"pool": {"name": "pool"}}]});
    route["spec"]["rules"] = json!([rule, rule]);
    route
}

#[tokio::test]
async fn what_only_its_own_spec_can_mend_is_refused_and_a_dry_run_shows_it() {
    let (reviewing, operator) = Reviewing::start().await;
    let denied = "admission webhook \"validator.llmgateway.dev\" denied the request: ";
    for (object, wanted) in [
        (broken("pool"), "spec.providers[0].headers[1].name: `X-Team` is given already"),
        (
            ambiguous("chat"),
            "spec.rules[1]: model `smart` is served by rules[0] already, under the same conditions",
        ),
    ] {
        let told = reviewing.refused(&object).await;
        assert!(told.contains(&format!("{denied}{wanted}")), "{told}");
        let cluster = &reviewing.installation.cluster;
        let dry = cluster.apply_fails_with(&object.to_string(), &["--dry-run=server"]).await;
        assert!(dry.contains(&format!("{denied}{wanted}")), "{dry}");
    }
    assert_eq!(operator.metric(REFUSED).await, 1.0, "a dry run is not counted");
    let there = reviewing.installation.cluster.kubectl(&["get", "llm", "-A", "-o", "name"]).await;
    assert_eq!(there, "");

    // So is a change of one that was in order.
    let said = reviewing.apply(&pool("pool", "http://127.0.0.1:1", &["large"])).await;
    assert_eq!(said, "providerpool.llmgateway.dev/pool created\n");
    assert!(reviewing.refused(&broken("pool")).await.contains(denied));
}

#[tokio::test]
async fn a_folder_may_come_in_any_order_and_what_is_missing_is_told() {
    let (reviewing, _operator) = Reviewing::start().await;
    let cluster = &reviewing.installation.cluster;
    let pool = pool_with_key("pool", "http://127.0.0.1:1", &["large"]);
    let said = reviewing.apply(&route("chat", "pool")).await;
    let missing =
        "Warning: LLMRoute ai/chat: spec.rules[0].backends[0].pool: there is no ProviderPool ai/pool";
    assert!(said.contains(missing) && said.contains("created"), "{said}");
    let said = reviewing.apply(&pool).await;
    let missing =
        "Warning: ProviderPool ai/pool: spec.providers[0].credentials.secretRef: there is no Secret `keys`";
    assert!(said.contains(missing) && said.contains("created"), "{said}");
    cluster.apply(&secret("k", "sk-1")).await;
    reviewing.installation.route_condition("chat", "ResolvedRefs", "True", "ResolvedRefs").await;

    // The other way round nothing is missing, though the operator has never seen the Secret before.
    cluster.kubectl(&["delete", "llmroute/chat", "providerpool/pool", "-n", "ai"]).await;
    assert_eq!(reviewing.apply(&pool).await, "providerpool.llmgateway.dev/pool created\n");
    reviewing.installation.pool_condition("pool", "ResolvedRefs", "True", "ResolvedRefs").await;
    assert_eq!(reviewing.apply(&route("chat", "pool")).await, "llmroute.llmgateway.dev/chat created\n");
    reviewing.installation.route_condition("chat", "ResolvedRefs", "True", "ResolvedRefs").await;

    // What others have, and what others hold, is no mistake of its own either.
    let said = reviewing.apply(&route("late", "pool")).await;
    assert!(
        said.contains("model `large` is served on gateway `default` by the older LLMRoute ai/chat"),
        "{said}"
    );
    let mut foreign = route("foreign", "pool");
    foreign["metadata"]["namespace"] = "default".into();
    foreign["spec"]["rules"][0]["backends"][0]["pool"]["namespace"] = "ai".into();
    let said = reviewing.apply(&foreign).await;
    assert!(said.contains("ProviderPool ai/pool does not admit routes of namespace `default`"), "{said}");
    let mut elsewhere = route("elsewhere", "pool");
    elsewhere["spec"]["attachTo"] = json!({"gateways": ["edge"]});
    let said = reviewing.apply(&elsewhere).await;
    assert!(said.contains("there is no gateway `edge`; there are: default"), "{said}");
}

#[tokio::test]
async fn a_pool_that_is_in_use_is_changed_and_deleted_with_a_word() {
    let (reviewing, operator) = Reviewing::start().await;
    let cluster = &reviewing.installation.cluster;
    reviewing.apply(&pool("pool", "http://127.0.0.1:1", &["large", "small"])).await;
    let mut chat = route("chat", "pool");
    chat["spec"]["rules"][0]["backends"][0]["models"] = json!(["small"]);
    reviewing.apply(&chat).await;
    reviewing.installation.route_condition("chat", "ResolvedRefs", "True", "ResolvedRefs").await;
    let said = reviewing.apply(&pool("pool", "http://127.0.0.1:1", &["large"])).await;
    let lost = "Warning: this breaks LLMRoute ai/chat: spec.rules[0].backends[0].models[0]: ProviderPool ai/pool has no model `small`";
    assert!(said.contains(lost) && said.contains("configured"), "{said}");
    // Its words are of what the operator has seen: each change is awaited before the next is judged.
    reviewing.installation.route_condition("chat", "ResolvedRefs", "False", "ModelNotFound").await;
    reviewing.apply(&pool("pool", "http://127.0.0.1:1", &["large", "small"])).await;
    reviewing.installation.route_condition("chat", "ResolvedRefs", "True", "ResolvedRefs").await;

    let said = cluster.kubectl_says(&["delete", "providerpool", "pool", "-n", "ai"], "").await;
    let used = "Warning: this breaks LLMRoute ai/chat: spec.rules[0].backends[0].pool: there is no ProviderPool ai/pool";
    assert!(said.contains(used) && said.contains("\"pool\" deleted"), "{said}");
    let warned = "llm_operator_admissions_total{kind=\"ProviderPool\",outcome=\"warned\"}";
    assert_eq!(operator.metric(warned).await, 2.0);
}

#[tokio::test]
async fn an_operator_that_is_away_keeps_nobody_from_applying_and_tells_afterwards() {
    let (reviewing, operator) = Reviewing::start().await;
    operator.process.kill();
    operator.process.exited(WITHIN).await;
    let said = reviewing.apply(&broken("pool")).await;
    assert_eq!(said, "providerpool.llmgateway.dev/pool created\n");

    let operator = reviewing.operator().await;
    let told = reviewing.installation.pool_condition("pool", "Accepted", "False", "Invalid").await;
    assert!(told.contains("`X-Team` is given already"), "{told}");
    reviewing.reviews().await;
    // What came by while nobody looked, or what an older operator took, is never in its owner's way: as long as the
    // spec stays, all else may change.
    let cluster = &reviewing.installation.cluster;
    cluster.kubectl(&["label", "providerpool", "pool", "-n", "ai", "team=a"]).await;
    let patch = json!({"metadata": {"finalizers": ["example.com/f"]}}).to_string();
    let patched = ["patch", "providerpool", "pool", "-n", "ai", "--type=merge", "-p"];
    cluster.kubectl(&[&patched[..], &[&patch]].concat()).await;
    cluster.kubectl(&["delete", "providerpool", "pool", "-n", "ai", "--wait=false"]).await;
    let patch = json!({"metadata": {"finalizers": null}}).to_string();
    cluster.kubectl(&[&patched[..], &[&patch]].concat()).await;
    let unchanged = "llm_operator_admissions_total{kind=\"ProviderPool\",outcome=\"unchanged\"}";
    assert!(operator.metric(unchanged).await >= 3.0);
    assert_eq!(cluster.kubectl(&["get", "llm", "-A", "-o", "name"]).await, "");
}

#[tokio::test]
async fn an_operator_that_has_seen_nothing_yet_lets_all_pass_and_says_so() {
    let (reviewing, operator) = Reviewing::start().await;
    drop(operator);
    // It has its certificate, and may read none of what it compiles.
    let cluster = &reviewing.installation.cluster;
    cluster.kubectl(&["delete", "clusterrolebinding", "llm-operator"]).await;
    let installation = &reviewing.installation;
    let webhook = reviewing.webhook();
    let arguments = ["--webhook", webhook.as_str()];
    let _operator =
        installation.operator_by(&installation.kubeconfig, installation.port, "operator", &arguments).await;
    eventually("it answers", WITHIN, async || {
        let said = cluster.apply_says(&broken("pool").to_string(), &["--dry-run=server"]).await;
        let unchecked = "Warning: nothing of ProviderPool ai/pool was checked, for the operator has not read the cluster yet";
        if said.contains(unchecked) { Ok(()) } else { Err(said) }
    })
    .await;
}
