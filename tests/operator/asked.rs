//! What a person asks of a cluster by `kubectl-llm`: who is connected, and how all is.

use crate::hand_made::HandMade;
use crate::installation::{Installation, NAMESPACE, Operator, WITHIN, pool, route};
use harness::{Process, eventually, program, tool};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// What a command ended with, printed and complained of.
#[derive(Debug)]
pub struct Told {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Told {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The cells of a table's row, by how it begins; columns are two spaces apart.
    pub fn row(&self, begins: &str) -> Vec<&str> {
        let row = self.out.lines().find(|line| line.trim_start().starts_with(begins));
        let row = row.unwrap_or_else(|| panic!("no row {begins}: {self:?}"));
        row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
    }
}

/// Runs `kubectl-llm`.
pub async fn ask(kubeconfig: &Path, arguments: &[&str]) -> Told {
    let mut command = Command::new(program("kubectl-llm"));
    command.args(arguments).env("KUBECONFIG", kubeconfig);
    run(&command).await
}

async fn run(command: &Command) -> Told {
    let process = Process::start(command);
    Told { code: process.exited(WITHIN).await.code(), out: process.stdout(), err: process.stderr() }
}

impl Installation {
    /// Runs `kubectl-llm` for who may do everything.
    pub async fn ask(&self, arguments: &[&str]) -> Told {
        ask(self.cluster.admin_kubeconfig(), arguments).await
    }

    /// A pool and a route, an operator, and a proxy of an old version, one that does not answer, one that
    /// refuses, a real one and a sidecar.
    pub async fn with_all_kinds_of_proxies(&self) -> (Operator, Vec<HandMade>, Vec<harness::Proxy>) {
        self.cluster.service_account("ai", "web").await;
        self.pod("web-1", "llmgateway.dev/sidecar=true app=web").await;
        self.create_pool(&pool("pool", "http://127.0.0.1:1", &["large"])).await;
        let mut route = route("chat", "pool");
        route["spec"]["attachTo"] = json!({"gateways": ["default"], "podSelector": {}});
        self.create_route(&route).await;
        let operator = self.operator(&[]).await;
        let proxies = vec![self.proxy("real", &[]).await, self.sidecar("web-1").await];
        self.ready(&[&proxies[0], &proxies[1]]).await;
        let mut old = HandMade::attach(self, "old", "0.0.9").await;
        old.take().await;
        let mut picky = HandMade::attach(self, "picky", env!("CARGO_PKG_VERSION")).await;
        picky.refuse("routes[ai/chat]: there is a field `novel`").await;
        // The last: whoever does not answer for long is hung up on.
        let mut mute = HandMade::attach(self, "mute", env!("CARGO_PKG_VERSION")).await;
        mute.hear().await;
        self.programmed_on("chat", "3/5").await;
        (operator, vec![old, mute, picky], proxies)
    }
}

#[tokio::test]
async fn proxies_are_listed_with_their_version_their_state_and_its_reason() {
    let installation = Installation::start().await;
    let (operator, _hand_made, _proxies) = installation.with_all_kinds_of_proxies().await;
    let arguments = ["proxies", "--operator-admin", operator.admin()];
    let told = installation.ask(&arguments).await;
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{told:?}");
    let own = env!("CARGO_PKG_VERSION");
    let old = told.row("old");
    assert_eq!(
        old[1..6],
        ["gateway", "gateway/default", &format!("0.0.9 (operator {own})"), "in force", "3/3"]
    );
    assert_eq!(told.row("real")[3..6], [own, "in force", "3/3"]);
    let mute = told.row("mute");
    assert!(mute[4].starts_with("lagging ") && mute[5] == "0/3", "{told:?}");
    let picky = told.row("picky");
    assert_eq!((picky[4], picky[8]), ("refused", "routes[ai/chat]: there is a field `novel`"), "{told:?}");
    let sidecar = told.row("ai/web-1");
    assert!(sidecar[1] == "sidecar" && sidecar[2].starts_with("sidecars/ai/"), "{told:?}");
    let names: Vec<&str> = told.out.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names[..6], ["NAME", "mute", "old", "picky", "real", "ai/web-1"]);
    let sum =
        "5 connected (4 of gateways, 1 sidecar): 3 in force, 1 lagging, 1 refusing; 1 of another version";
    assert!(told.out.contains(sum), "{told:?}");

    let told = installation.ask(&[&arguments[..], &["-o", "json"]].concat()).await.json();
    assert_eq!(told["proxies"][0]["name"], "mute");
    assert_eq!(
        (&told["proxies"][1]["version"], &told["proxies"][1]["operatorVersion"]),
        (&json!("0.0.9"), &json!(own))
    );
    assert_eq!(told["proxies"][2]["problems"], json!(["routes[ai/chat]: there is a field `novel`"]));
    assert_eq!(
        (&told["replicas"][0]["name"], &told["replicas"][0]["leads"]),
        (&json!("operator"), &json!(true))
    );

    let gateways = |version| format!("llm_operator_proxies{{version=\"{version}\",kind=\"gateway\"}}");
    assert_eq!(operator.metric(&gateways("0.0.9")).await, 1.0);
    assert_eq!(operator.metric(&gateways(own)).await, 3.0);
    assert_eq!(operator.metric("llm_operator_proxies_of_other_versions").await, 1.0);
}

#[tokio::test]
async fn one_page_shows_all_that_is_not_in_order() {
    let installation = Installation::start().await;
    let (operator, hand_made, _proxies) = installation.with_all_kinds_of_proxies().await;
    let arguments = ["status", "-n", NAMESPACE, "--operator-admin", operator.admin()];
    // Who does not answer holds up nobody, and is one of the others once it does.
    hand_made[1].say(&llm_config::stream::FromProxy::Ack { generation: 1 });
    installation.programmed_on("chat", "4/5").await;
    let orphan = route("orphan", "nowhere");
    installation.create_route(&orphan).await;
    installation.route_condition("orphan", "ResolvedRefs", "False", "BackendNotFound").await;

    let told = installation.ask(&arguments).await;
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{told:?}");
    let own = env!("CARGO_PKG_VERSION");
    let first = told.out.lines().next().unwrap();
    assert!(
        first.contains(&format!(
            "namespace llm-gateway, version {own}: 1 of its replicas answer; operator leads (renewed "
        )),
        "{first}"
    );
    assert_eq!(told.row("gateway")[1..], ["default", "4", "3", "0", "1", &format!("{own} (3), 0.0.9 (1)")]);
    assert_eq!(told.row("sidecar")[1..], ["ai", "1", "1", "0", "0", own]);
    assert!(told.out.contains("Routes     0 of 2 in order"), "{told:?}");
    assert_eq!(told.row("ai/chat")[1..3], ["Programmed", "Refused"]);
    assert_eq!(told.row("ai/orphan")[1..3], ["ResolvedRefs", "BackendNotFound"]);
    assert!(told.out.contains("Providers  all take calls"), "{told:?}");

    // A provider that fails is named with its error.
    let open = llm_config::stream::Open {
        provider: "ai/pool/p".to_owned(),
        model: "large".to_owned(),
        error: "it answered with status 503".to_owned(),
    };
    hand_made[0].say(&llm_config::stream::FromProxy::Health { open: vec![open] });
    installation.pool_condition("pool", "Healthy", "False", "BreakerOpen").await;
    let told = installation.ask(&arguments).await;
    assert_eq!(told.row("ai/pool/p")[1..], ["large", "1/5", "it answered with status 503"]);
    let told = installation.ask(&[&arguments[..], &["-o", "json"]].concat()).await.json();
    assert_eq!((&told["open"][0]["open"], &told["operator"]["leader"]), (&json!(1), &json!("operator")));
}

#[tokio::test]
async fn who_may_not_ask_is_told_which_right_is_missing() {
    let installation = Installation::start().await;
    installation.cluster.service_account("ai", "web").await;
    installation.pod("plain", "app=web").await;
    let nobody = installation.cluster.kubeconfig_for("ai", "web").await;
    let told = ask(&nobody, &["proxies", "-n", NAMESPACE]).await;
    assert_eq!((told.code, told.out.as_str()), (Some(1), ""));
    assert!(
        told.err.contains("not allowed: pods is forbidden")
            && told.err.contains("cannot list resource \"pods\""),
        "{told:?}"
    );
    let told = ask(&nobody, &["config", "ai/plain"]).await;
    assert!(told.err.contains("cannot get resource \"pods\""), "{told:?}");

    // It may see pods, and not through them.
    let cluster = &installation.cluster;
    cluster.kubectl(&["create", "clusterrole", "pods", "--verb=get,list", "--resource=pods"]).await;
    cluster
        .kubectl(&["create", "clusterrolebinding", "pods", "--clusterrole=pods", "--serviceaccount=ai:web"])
        .await;
    let told = eventually("the role is known", WITHIN, async || {
        let told = ask(&nobody, &["config", "plain"]).await;
        if told.err.contains("cannot list") { Err(told.err) } else { Ok(told) }
    })
    .await;
    assert!(told.err.contains("there is no pod plain with a proxy"), "{told:?}");
    let ports = json!([{"name": "llm-metrics", "containerPort": 14001}]);
    let sidecar = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "ai", "labels": {"llmgateway.dev/sidecar": "true"}},
        "spec": {"serviceAccountName": "web", "containers": [{"name": "app", "image": "none", "ports": ports}]},
    });
    cluster.apply(&sidecar.to_string()).await;
    let told = ask(&nobody, &["config", "web-1"]).await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("you need verb `get` on resource `pods/proxy` in namespace ai"), "{told:?}");
    assert!(told.err.contains("kubectl -n ai port-forward pod/web-1 14001"), "{told:?}");
    let told = installation.ask(&["proxies"]).await;
    assert!(told.err.contains("no operator runs in namespace llm-gateway: say where by -n"), "{told:?}");
    let told = installation.ask(&["status", "--context", "nowhere"]).await;
    assert!(
        told.code == Some(1) && told.err.contains("nowhere") && told.err.contains("--kubeconfig"),
        "{told:?}"
    );
}

#[tokio::test]
async fn kubectl_runs_it_as_its_plugin_and_completes_it() {
    let scratch = harness::Scratch::new("plugin");
    let plugin = scratch.path().join("kubectl-llm");
    std::os::unix::fs::symlink(program("kubectl-llm"), &plugin).unwrap();
    let script = ask(&plugin, &["completion", "kubectl"]).await.out;
    let completing = scratch.write("kubectl_complete-llm", script);
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(completing, executable).unwrap();
    let path = std::env::join_paths(
        [scratch.path().to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let path = path.unwrap();
    let kubectl = async |arguments: &[&str]| {
        let mut command = Command::new(tool("bin/kubectl"));
        command.args(arguments).env("PATH", &path).env("KUBECONFIG", "/nowhere");
        run(&command).await
    };
    let told = kubectl(&["llm", "--help"]).await;
    assert!(told.code == Some(0) && told.out.contains("plugin of kubectl"), "{told:?}");
    let told = kubectl(&["__complete", "llm", "do"]).await;
    assert!(told.out.starts_with("doctor\tCheck an installation"), "{told:?}");
    let told = kubectl(&["__complete", "llm", "status", "--operator"]).await;
    assert!(told.out.starts_with("--operator-admin\t"), "{told:?}");
    for (shell, defines) in
        [("bash", "complete -F"), ("zsh", "#compdef kubectl-llm"), ("fish", "complete -c kubectl-llm")]
    {
        let told = ask(&plugin, &["completion", shell]).await;
        assert!(told.out.contains(defines) && told.out.contains("doctor"), "{shell}: {told:?}");
        assert!(!told.out.contains("__complete"), "{shell} offers what nobody types");
    }
}
