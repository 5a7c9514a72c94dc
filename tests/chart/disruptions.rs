//! Nothing is dropped: under constant load at a gateway, and of applications through their sidecars, all that a platform
//! team does to it, and a crash, fail no call and cut no stream. The counts are printed, and kept in
//! `target/zero-drop.md`.

use crate::application::{self, Applications};
use crate::changes::{CHANGES, Changes};
use crate::life::vendor;
use crate::load::{FORMS, Load, Target};
use crate::release::{NAMESPACE, Release, WITHIN};
use crate::rotation;
use crate::sidecars::pod_spec;
use harness::{Image, markdown, workspace};
use serde_json::json;
use std::time::Instant;

const OPERATOR: &str = "app.kubernetes.io/component=operator";
const GATEWAY: &str = "app.kubernetes.io/component=gateway";
const APPLICATION: &str = "app=web";
/// Of each of them.
const REPLICAS: usize = 2;
const GATEWAYS: u32 = 2;
/// Gateways and sidecars.
const PROXIES: u32 = 4;

/// What answers long streams.
const SLOW: &str = "
apiVersion: llmgateway.dev/v1alpha1
kind: ProviderPool
metadata: {name: slow, namespace: shop}
spec:
  providers:
  - name: slow
    kind: Simulated
    simulated: {tokensPerSecond: 20}
    models: [{name: slow}]
---
apiVersion: llmgateway.dev/v1alpha1
kind: LLMRoute
metadata: {name: slow, namespace: shop}
spec:
  attachTo: {gateways: [default], podSelector: {}}
  rules:
  - backends: [{pool: {name: slow}}]
";

/// All who call, and a line of the table for each thing that is done meanwhile.
struct Counts {
    load: Load,
    applications: Applications,
    since: Instant,
    rows: Vec<Vec<String>>,
    failed: Vec<String>,
}

impl Counts {
    fn begin(load: Load, applications: Applications) -> Self {
        let head = ["While", "seconds"]
            .into_iter()
            .chain(FORMS)
            .chain(["by SDK, through sidecars", "failed or cut"]);
        let rows = vec![head.map(str::to_owned).collect()];
        Self { load, applications, since: Instant::now(), rows, failed: Vec::new() }
    }

    /// Counts what ended since the line before.
    fn line(&mut self, what: &str) {
        let (seen, told) = (self.load.taken(), self.applications.taken());
        let failed = seen.failed.iter().chain(&told.failed);
        let failed: Vec<String> = failed.map(|failure| format!("{what}: {failure}")).collect();
        let since = std::mem::replace(&mut self.since, Instant::now());
        let mut row = vec![what.to_owned(), since.elapsed().as_secs().to_string()];
        row.extend(seen.answered.iter().chain([&told.answered, &failed.len()]).map(ToString::to_string));
        println!("{}", row.join(" | "));
        for (form, answered) in FORMS.iter().zip(seen.answered) {
            assert!(answered > 0, "{what}: no call {form} has ended, that is no load");
        }
        assert!(told.answered > 0, "{what}: the applications have made no call");
        self.rows.push(row);
        self.failed.extend(failed);
    }

    /// Lets all calls end, and judges.
    async fn end(mut self, release: &Release) {
        let pods = release.pods("shop", APPLICATION).await;
        release.in_shop(&["scale", "deployment/web", "--replicas=0"]).await.unwrap();
        tokio::join!(self.applications.ended(&pods), self.load.end());
        self.line("all of them ended");
        let table = format!(
            "Calls that ended, on one node, at two gateway pods and two pods with sidecars:\n\n{}",
            markdown(&self.rows)
        );
        std::fs::write(workspace().join("target/zero-drop.md"), table).unwrap();
        assert!(self.failed.is_empty(), "{} calls failed:\n{}", self.failed.len(), self.failed.join("\n"));
    }
}

#[tokio::test]
async fn whatever_is_done_to_it_no_call_fails_and_no_stream_is_cut() {
    let (release, applications) = start().await;
    let vendor = vendor(&release.machine.host()).await;
    let target = Target { url: release.chat_url().await, token: release.token().await };
    let changes = Changes::new(&release, &vendor, &target);
    let mut counts = Counts::begin(Load::begin(&target), applications);

    changes.make(PROXIES, GATEWAYS).await;
    counts.line(&format!("{CHANGES} changes of the configuration"));
    restarted(&release, NAMESPACE, "llm-gateway", GATEWAY).await;
    counts.line("a rolling restart of the gateway");
    application_restarted(&release, &counts.applications).await;
    counts.line("a rolling restart of an application with sidecars");
    authority_rotated(&release).await;
    counts.line("a rotation of the CA and of every certificate");
    leader_killed(&release).await;
    counts.line("kill -9 of the operator's leader");
    counts.end(&release).await;
}

/// The chart, the quick start, and an application in pods with sidecars that calls by SDK.
async fn start() -> (Release, Applications) {
    let release = Release::prepare().await;
    let module = workspace().join("tests/chart/application.mjs");
    release.machine.load(&Image::node(application::IMAGE, &module, &["openai", "@anthropic-ai/sdk"]));
    let lease = ["--set", "operator.leaseDurationSeconds=5"];
    release.put("install", &[rotation::OPTIONS, lease].concat()).await;
    release.injects().await;
    release.quick_start_in_shop().await;
    let cluster = release.machine.cluster();
    cluster.apply(SLOW).await;
    let applications = Applications::expect(&release).await;
    cluster.apply(&applications.deployment(REPLICAS).to_string()).await;
    for route in ["quickstart", "slow"] {
        release.in_force("LLMRoute", route, PROXIES).await;
    }
    applications.calling(&release.pods("shop", APPLICATION).await).await;
    (release, applications)
}

/// Restarts a Deployment, and waits until the last of the old pods, which it answers, has finished what it has.
async fn restarted(release: &Release, namespace: &str, deployment: &str, label: &str) -> Vec<String> {
    let before = release.pods(namespace, label).await;
    assert_eq!(before.len(), REPLICAS);
    let kubectl = async |arguments: &[&str]| {
        let timeout = format!("--timeout={}s", WITHIN.as_secs());
        let arguments = [&["-n", namespace], arguments, &[&timeout]].concat();
        release.machine.cluster().kubectl(&arguments).await
    };
    let deployment = format!("deployment/{deployment}");
    release.machine.cluster().kubectl(&["-n", namespace, "rollout", "restart", &deployment]).await;
    kubectl(&["rollout", "status", &deployment]).await;
    for pod in &before {
        kubectl(&["wait", "--for=delete", &format!("pod/{pod}")]).await;
    }
    before
}

/// Each pod goes on calling for a while when it is asked to end, and tells of its last call when it has ended.
async fn application_restarted(release: &Release, applications: &Applications) {
    let before = restarted(release, "shop", "web", APPLICATION).await;
    applications.ended(&before).await;
    applications.calling(&release.pods("shop", APPLICATION).await).await;
}

/// Then all proxies find new operators by the new authority, and so does the API server, and a new pod.
async fn authority_rotated(release: &Release) {
    rotation::rotated(release).await;
    restarted(release, NAMESPACE, "llm-operator", OPERATOR).await;
    changed(release, 90).await;
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once", "namespace": "shop"},
        "spec": {"backoffLimit": 0, "template": {"spec": pod_spec(&application::container("once"), "Never")}},
    });
    release.machine.cluster().apply(&job.to_string()).await;
    release.in_shop(&["wait", "--for=condition=Complete", "job/once", &timeout()]).await.unwrap();
    println!("a new pod: {}", release.in_shop(&["logs", "job/once", "-c", "app"]).await.unwrap().trim());
}

/// Its pod goes with it, so that another has to take over.
async fn leader_killed(release: &Release) {
    let holder = async || {
        let path = "jsonpath={.spec.holderIdentity}";
        release.kubectl(&["get", "lease", "llm-operator", "-o", path]).await
    };
    let leader = holder().await;
    let uid = release.kubectl(&["get", "pod", &leader, "-o", "jsonpath={.metadata.uid}"]).await;
    let killed = Instant::now();
    release.machine.crash(&uid, "llm-operator");
    release.kubectl(&["delete", "pod", &leader, "--wait=false"]).await;
    changed(release, 91).await;
    println!("a change right behind the crash is in status after {:?}", killed.elapsed());
    assert_ne!(holder().await, leader, "who was killed still leads");
    release.kubectl(&["rollout", "status", "deployment/llm-operator", &timeout()]).await;
}

/// Changes the route that answers the load, and waits until all proxies run on that.
async fn changed(release: &Release, seconds: u32) {
    let timeouts = json!({"request": format!("{seconds}s")});
    let patch = json!([{"op": "add", "path": "/spec/rules/0/timeouts", "value": timeouts}]).to_string();
    release.in_shop(&["patch", "llmroute", "quickstart", "--type=json", "-p", &patch]).await.unwrap();
    release.in_force("LLMRoute", "quickstart", PROXIES).await;
}

fn timeout() -> String {
    format!("--timeout={}s", WITHIN.as_secs())
}
