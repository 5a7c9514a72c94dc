//! The gateway as a platform team installs it: definitions, RBAC, an operator, proxies that mount its bundle and a
//! token.

use harness::{Cluster, Helm, Process, Proxy, Scratch, eventually, free_port, http, program};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, PostParams};
use llm_config::stream::AUDIENCE;
use llm_crds::{Condition, LLMRoute, ProviderPool};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinHandle;

pub const NAMESPACE: &str = "llm-gateway";
pub const WITHIN: Duration = Duration::from_secs(20);

pub struct Installation {
    pub cluster: Cluster,
    pub client: kube::Client,
    pub scratch: Scratch,
    /// Where the proxies look for an operator.
    pub port: u16,
    /// With no more rights than the operator needs.
    pub kubeconfig: String,
    /// The operator's file of gateways.
    gateways: PathBuf,
}

pub struct Operator {
    pub process: Process,
    admin: String,
}

impl Installation {
    /// A cluster of its own: an operator watches all namespaces.
    pub async fn start() -> Self {
        let cluster = Cluster::start().await;
        cluster.install_crds().await;
        cluster.kubectl(&["create", "namespace", NAMESPACE]).await;
        cluster.kubectl(&["create", "namespace", "ai"]).await;
        cluster.apply(&from_chart(&["operator/rbac", "gateway/serviceaccount"]).await).await;
        let kubeconfig = cluster.kubeconfig_for(NAMESPACE, "llm-operator").await;
        let client = cluster.client().await;
        let kubeconfig = kubeconfig.to_str().unwrap().to_owned();
        let scratch = Scratch::new("installation");
        let gateways = scratch.path().join("gateways.yaml");
        let installation = Self { cluster, client, scratch, port: free_port(), kubeconfig, gateways };
        // Most tests are about other things than who calls.
        installation.callers(&json!({"anonymous": true}));
        installation
    }

    /// Says who may call at gateway `default`, to operators that are started from now on.
    pub fn callers(&self, callers: &Value) {
        let account = json!({"namespace": NAMESPACE, "name": "llm-gateway"});
        let gateway = json!({"name": "default", "serviceAccount": account, "callers": callers});
        std::fs::write(&self.gateways, json!({"gateways": [gateway]}).to_string()).unwrap();
    }

    /// Starts an operator where the proxies look for it, and waits until it is ready.
    pub async fn operator(&self, arguments: &[&str]) -> Operator {
        let operator = self.operator_at(self.port, "operator", arguments).await;
        self.mount_bundle().await;
        operator
    }

    /// Starts an operator on a port, and waits until it is ready.
    pub async fn operator_at(&self, port: u16, name: &str, arguments: &[&str]) -> Operator {
        let operator = self.operator_by(&self.kubeconfig, port, name, arguments).await;
        operator.ready().await;
        operator
    }

    /// Starts an operator that reaches its API server by a kubeconfig; it need not be ready yet.
    pub async fn operator_by(&self, kubeconfig: &str, port: u16, name: &str, arguments: &[&str]) -> Operator {
        let process = self.operator_process(kubeconfig, port, name, arguments);
        let line = process.await_line(WITHIN, |line| line.contains("\"listening\"")).await;
        let line: Value = serde_json::from_str(&line).unwrap();
        Operator { process, admin: format!("http://{}", line["admin"].as_str().unwrap()) }
    }

    /// Starts an operator that must end at once, and gives what it complains of.
    pub async fn operator_fails(&self, arguments: &[&str]) -> String {
        let process = self.operator_process(&self.kubeconfig, self.port, "operator", arguments);
        let status = process.exited(WITHIN).await;
        assert!(!status.success(), "{}", process.output());
        process.stderr()
    }

    fn operator_process(&self, kubeconfig: &str, port: u16, name: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(program("llm-operator"));
        command.args(["--serve", &format!("127.0.0.1:{port}"), "--admin", "127.0.0.1:0"]);
        command.args(["--name", name, "--lease-duration-seconds", "3"]);
        if !arguments.contains(&"--namespace") {
            command.args(["--namespace", NAMESPACE]);
        }
        command.arg("--gateways").arg(&self.gateways).args(arguments).env("KUBECONFIG", kubeconfig);
        Process::start(&command)
    }

    /// As the kubelet does: the ConfigMap of the bundle to a file.
    pub async fn mount_bundle(&self) -> String {
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), NAMESPACE);
        let bundle = eventually("the authority's bundle", WITHIN, async || {
            let found = api.get_opt("llm-operator-ca").await.map_err(|error| error.to_string())?;
            let found = found.and_then(|config_map| config_map.data?.remove("ca.crt"));
            found.ok_or_else(|| "there is none".to_owned())
        })
        .await;
        self.scratch.write("ca.crt", &bundle);
        bundle
    }

    /// Starts a proxy of gateway `default`; it need not be ready yet.
    pub async fn proxy(&self, name: &str, arguments: &[&str]) -> Proxy {
        self.proxy_at(self.port, name, arguments).await
    }

    pub async fn proxy_at(&self, port: u16, name: &str, arguments: &[&str]) -> Proxy {
        let token = self.cluster.token(NAMESPACE, "llm-gateway", AUDIENCE).await;
        self.proxy_with_token(port, name, &token, arguments).await
    }

    pub async fn proxy_with_token(&self, port: u16, name: &str, token: &str, arguments: &[&str]) -> Proxy {
        let token = self.scratch.write(&format!("{name}.token"), token);
        let ca = self.scratch.path().join("ca.crt");
        let operator = format!("https://127.0.0.1:{port}");
        let mut all = vec!["--operator", &operator, "--name", name];
        all.extend(["--operator-ca", ca.to_str().unwrap(), "--token-file", token.to_str().unwrap()]);
        all.extend(arguments);
        Proxy::spawn(&all).await
    }

    pub async fn ready(&self, proxies: &[&Proxy]) {
        for proxy in proxies {
            eventually("the proxy is ready", WITHIN, async || {
                proxy.readiness().await.map_err(|said| format!("{said}\n{}", proxy.process.stderr()))
            })
            .await;
        }
    }

    /// Waits until the leader has renewed its Lease so many times, which is what it does twice a second.
    pub async fn renewals(&self, times: usize) {
        let api = Api::<Lease>::namespaced(self.client.clone(), NAMESPACE);
        let (mut seen, mut last) = (0, None);
        eventually(&format!("{times} renewals"), WITHIN, async || {
            let renewed = api.get("llm-operator").await.map_err(|error| error.to_string())?;
            let renewed = renewed.spec.and_then(|spec| spec.renew_time);
            seen += usize::from(renewed != last);
            last = renewed;
            if seen > times { Ok(()) } else { Err(format!("{seen}")) }
        })
        .await;
    }

    pub fn routes(&self) -> Api<LLMRoute> {
        Api::namespaced(self.client.clone(), "ai")
    }

    pub fn pools(&self) -> Api<ProviderPool> {
        Api::namespaced(self.client.clone(), "ai")
    }

    pub async fn create_route(&self, route: &Value) {
        let route: LLMRoute = serde_json::from_value(route.clone()).unwrap();
        self.routes().create(&PostParams::default(), &route).await.unwrap();
    }

    pub async fn create_pool(&self, pool: &Value) {
        let pool: ProviderPool = serde_json::from_value(pool.clone()).unwrap();
        self.pools().create(&PostParams::default(), &pool).await.unwrap();
    }

    pub async fn delete_route(&self, name: &str) {
        self.routes().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until a condition of a route says `status` for `reason`, and gives its message.
    pub async fn route_condition(&self, name: &str, wanted: &str, status: &str, reason: &str) -> String {
        condition(&format!("LLMRoute {name}"), wanted, status, reason, async || {
            let route = self.routes().get(name).await.map_err(|error| error.to_string())?;
            Ok((route.metadata.generation, route.status.map(|s| (s.observed_generation, s.conditions))))
        })
        .await
    }

    pub async fn pool_condition(&self, name: &str, wanted: &str, status: &str, reason: &str) -> String {
        condition(&format!("ProviderPool {name}"), wanted, status, reason, async || {
            let pool = self.pools().get(name).await.map_err(|error| error.to_string())?;
            Ok((pool.metadata.generation, pool.status.map(|s| (s.observed_generation, s.conditions))))
        })
        .await
    }

    /// A row of `kubectl get`, cell by cell, without its header.
    pub async fn row(&self, kind: &str, name: &str) -> Vec<String> {
        let table = self.cluster.kubectl(&["get", kind, name, "-n", "ai", "--no-headers"]).await;
        table.split_whitespace().map(str::to_owned).collect()
    }

    /// Waits until Events name all of these, and gives the table: each comes after the status that it is of. The selector
    /// is one of fields, or empty.
    pub async fn events(&self, selector: &str, wanted: &[&str]) -> String {
        eventually(&format!("Events of {wanted:?}"), WITHIN, async || {
            let events =
                self.cluster.kubectl(&["get", "events", "-n", "ai", "--field-selector", selector]).await;
            if wanted.iter().all(|wanted| events.contains(wanted)) { Ok(events) } else { Err(events) }
        })
        .await
    }

    /// Waits until `kubectl get` says of a route that it is in force on so many proxies, such as `1/2`.
    pub async fn programmed_on(&self, route: &str, share: &str) {
        self.programmed_on_within(WITHIN, route, share).await;
    }

    pub async fn programmed_on_within(&self, within: Duration, route: &str, share: &str) {
        eventually(&format!("{route} is in force on {share}"), within, async || {
            // A route that nobody has judged yet has a row without this cell.
            let row = self.row("llmroutes", route).await;
            if row.get(3).is_some_and(|cell| cell == share) { Ok(()) } else { Err(format!("{row:?}")) }
        })
        .await;
    }
}

/// Objects as the chart has them, by the files of its templates.
pub async fn from_chart(parts: &[&str]) -> String {
    let chart = ["template", "llm-gateway", "charts/llm-gateway", "--namespace", NAMESPACE];
    let parts: Vec<String> = parts.iter().map(|part| format!("--show-only=templates/{part}.yaml")).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    Helm::new().run(&[&chart[..], &parts].concat(), None).await.unwrap()
}

impl Operator {
    /// Its admin port.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    pub async fn ready(&self) {
        eventually("the operator is ready", WITHIN, async || {
            let answer = http::get(&format!("{}/readyz", self.admin)).await;
            if answer.status.is_success() { Ok(()) } else { Err(self.process.output()) }
        })
        .await;
    }

    /// Lines of its log that warn or complain, of more than an API server that was slow for once.
    pub fn complaints(&self) -> usize {
        let output = self.process.output();
        output
            .lines()
            .filter(|line| ["\"WARN\"", "\"ERROR\""].iter().any(|level| line.contains(level)))
            .filter(|line| !line.contains("can't renew the Lease"))
            .count()
    }

    pub async fn metric(&self, name: &str) -> f64 {
        let exposition = http::get(&format!("{}/metrics", self.admin)).await;
        let sample = exposition
            .text()
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned));
        sample.unwrap_or_else(|| panic!("no {name} in {}", exposition.text())).parse().unwrap()
    }
}

pub type Seen = (Option<i64>, Option<(Option<i64>, Vec<Condition>)>);

/// A status counts only when it speaks of the generation that is there.
pub async fn condition(
    object: &str,
    wanted: &str,
    status: &str,
    reason: &str,
    look: impl AsyncFn() -> Result<Seen, String>,
) -> String {
    eventually(&format!("{object} is {wanted}={status} for {reason}"), WITHIN, async || {
        let (generation, seen) = look().await?;
        let (observed, conditions) = seen.ok_or("no status yet")?;
        let found = conditions.iter().find(|condition| condition.type_ == wanted);
        match found {
            Some(found) if observed == generation && found.status == status && found.reason == reason => {
                assert_eq!(found.observed_generation, generation);
                Ok(found.message.clone())
            }
            _ => Err(format!("generation {generation:?}, observed {observed:?}: {conditions:#?}")),
        }
    })
    .await
}

/// A pool of one provider at `url`, without a key.
pub fn pool(name: &str, url: &str, models: &[&str]) -> Value {
    let models: Vec<Value> = models.iter().map(|model| json!({"name": model})).collect();
    json!({
        "apiVersion": "llmgateway.dev/v1alpha1", "kind": "ProviderPool",
        "metadata": {"name": name, "namespace": "ai"},
        "spec": {"providers": [{"name": "p", "kind": "OpenAI", "endpoint": format!("{url}/v1"), "models": models}]},
    })
}

/// The same with a key from Secret `keys`, key `k`.
pub fn pool_with_key(name: &str, url: &str, models: &[&str]) -> Value {
    let mut pool = pool(name, url, models);
    pool["spec"]["providers"][0]["credentials"] = json!({"secretRef": {"name": "keys", "key": "k"}});
    pool
}

/// A route to all models of a pool.
pub fn route(name: &str, pool: &str) -> Value {
    json!({
        "apiVersion": "llmgateway.dev/v1alpha1", "kind": "LLMRoute",
        "metadata": {"name": name, "namespace": "ai"},
        "spec": {"rules": [{"backends": [{"pool": {"name": pool}}]}]},
    })
}

/// A Secret `keys` with one key.
pub fn secret(key: &str, value: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "ai"},
        "stringData": {key: value},
    })
    .to_string()
}

/// What a caller sends.
pub fn asking(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
}

/// What a provider answers.
pub fn completion(text: &str) -> Value {
    json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "x",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    })
}

/// Waits until a proxy answers a call for `model` with `status`.
pub async fn answers(proxy: &Proxy, model: &str, status: u16, within: Duration) {
    eventually(&format!("{model} is answered with {status}"), within, async || {
        let answer = http::post_json(&proxy.chat_url(), &asking(model)).await;
        if answer.status == status { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}

/// Calls of one model, one after the other and each of them answered, until it is told to end.
pub struct Calling {
    done: Arc<AtomicBool>,
    calls: JoinHandle<usize>,
}

impl Calling {
    pub fn begin(proxy: &Proxy, model: &'static str) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let (url, ended) = (proxy.chat_url(), done.clone());
        let calls = tokio::spawn(async move {
            let mut calls = 0;
            while !ended.load(Relaxed) {
                let answer = http::post_json(&url, &asking(model)).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                calls += 1;
            }
            calls
        });
        Self { done, calls }
    }

    /// How many there were.
    pub async fn end(self) -> usize {
        self.done.store(true, Relaxed);
        self.calls.await.unwrap()
    }
}
