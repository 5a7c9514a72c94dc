//! A Kubernetes API server with its etcd: enough for our kinds, their CEL rules and status, RBAC, tokens and webhooks.
//!
//! There are no controllers: nothing runs pods, collects garbage, finishes the deletion of a namespace or makes the
//! `default` service account. It takes 3 s to start, so tests share one and take a namespace each. A `Machine` has all
//! of that, around one of these.

use crate::certificates::{Authority, Identity, token_keys};
use crate::{Process, Scratch, eventually, free_port, tool, workspace};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OnceCell;

const START_WITHIN: Duration = Duration::from_secs(60);

/// Where an API server and its etcd run.
pub(crate) struct Site<'a> {
    /// What the API server listens on.
    pub address: &'a str,
    /// From where services have their addresses.
    pub services: &'a str,
    /// A command for a program, that runs there.
    pub enter: &'a dyn Fn(&Path) -> Command,
    /// Options of the API server that are this site's own.
    pub options: Vec<OsString>,
}

pub struct Cluster {
    url: String,
    ca: String,
    admin: PathBuf,
    crds: OnceCell<()>,
    etcd_url: String,
    /// Starts the API server, as often as it is asked to.
    api_server_command: Command,
    // In the order of dropping: the API server before its etcd, the folder last.
    api_server: Process,
    etcd: Process,
    scratch: Scratch,
}

impl Cluster {
    /// The one that the tests of this process share.
    pub async fn shared() -> &'static Cluster {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_init(Cluster::start).await
    }

    /// One for a test that breaks it.
    pub async fn start() -> Self {
        // A loopback address may not be the endpoint of the `kubernetes` service, and nobody needs that here.
        let options = ["--endpoint-reconciler-type", "none", "--authorization-mode", "RBAC"];
        let site = Site {
            address: "127.0.0.1",
            services: "10.96.0.0/16",
            enter: &|program| Command::new(program),
            options: options.map(OsString::from).into(),
        };
        Self::start_at(&site, Scratch::new("cluster"), &Authority::new()).await
    }

    pub(crate) async fn start_at(site: &Site<'_>, scratch: Scratch, authority: &Authority) -> Self {
        let port = free_port();
        let url = format!("https://{}:{port}", site.address);
        let admin = authority.client("admin", "system:masters");
        let ca = authority.pem();
        let admin = scratch.write("admin.kubeconfig", kubeconfig(&url, &ca, &user(&admin), "default"));
        let (etcd, etcd_url) = start_etcd(site, &scratch);
        let api_server_command = api_server_command(site, &scratch, authority, port, &etcd_url);
        let api_server = Process::start(&api_server_command);
        let crds = OnceCell::new();
        let cluster = Self { url, ca, admin, crds, etcd_url, api_server_command, api_server, etcd, scratch };
        cluster.api_server_ready().await;
        cluster
    }

    async fn api_server_ready(&self) {
        let cluster = self;
        let client = cluster.client().await;
        eventually("the API server is ready", START_WITHIN, async || {
            assert!(cluster.etcd.is_running(), "etcd ended:\n{}", cluster.etcd.output());
            assert!(cluster.api_server.is_running(), "API server ended:\n{}", cluster.api_server.output());
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            client.request_text(request).await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Kills the API server, does something while there is none, and starts it again with more options.
    pub async fn restart_api_server(&mut self, meanwhile: impl AsyncFnOnce(&Self), options: &[&str]) {
        self.api_server.kill();
        self.api_server.exited(START_WITHIN).await;
        meanwhile(self).await;
        self.api_server_command.args(options);
        self.api_server = Process::start(&self.api_server_command);
        self.api_server_ready().await;
    }

    /// Makes every API server sign its ServiceAccount tokens by a new key from its next start on, and gives the
    /// options for that; tokens that the first key has signed are taken on.
    pub fn new_token_key(&self) -> Vec<String> {
        let (private, public) = token_keys();
        let file = |name: &str, text| self.scratch.write(name, text).to_str().unwrap().to_owned();
        vec![
            format!("--service-account-signing-key-file={}", file("second-signing-key.pem", private)),
            format!("--service-account-key-file={}", file("second-key.pem", public)),
        ]
    }

    /// Starts a kube-controller-manager that runs these controllers alone.
    pub fn controllers(&self, names: &str) -> Process {
        let mut command = Command::new(tool("bin/kube-controller-manager"));
        command.arg("--kubeconfig").arg(&self.admin).arg("--controllers").arg(names);
        command.args(["--leader-elect=false", "--secure-port=0"]);
        Process::start(&command)
    }

    /// Takes an object out of etcd behind the API server's back, by its key below `/registry`, and then all that
    /// etcd knows of the past.
    pub async fn forget(&self, key: &str) {
        let call = async |method: &str, body: Value| {
            let answer = crate::http::post_json(&format!("{}/v3/kv/{method}", self.etcd_url), &body).await;
            assert!(answer.status.is_success(), "{method}: {answer:?}");
            answer.json()
        };
        let key = base64(&format!("/registry/{key}"));
        let deleted = call("deleterange", json!({ "key": key })).await;
        assert_eq!(deleted["deleted"], "1", "{deleted}");
        call("compaction", json!({"revision": deleted["header"]["revision"], "physical": true})).await;
    }

    /// Its address, `https://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A kubeconfig that may do everything.
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin
    }

    /// Its folder.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// A kubeconfig of one who is known by a certificate.
    pub(crate) fn kubeconfig_by(&self, name: &str, identity: &Identity) -> PathBuf {
        let user = user(identity);
        self.scratch.write(&format!("{name}.kubeconfig"), kubeconfig(&self.url, &self.ca, &user, "default"))
    }

    /// To pause (hang) or kill it; only in a cluster of the test's own.
    pub fn api_server(&self) -> &Process {
        &self.api_server
    }

    /// A client that may do everything. It belongs to the runtime of the test that asks, so it is not kept.
    pub async fn client(&self) -> kube::Client {
        client_of(&self.admin).await
    }

    /// Runs `kubectl` and answers what it prints.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        succeeded(arguments, &self.run_kubectl(arguments, "").await)
    }

    /// Runs a `kubectl` that may fail; then the error is its complaint.
    pub async fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.run_kubectl(arguments, "").await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// Runs a `kubectl` that must be refused, and answers what it complains of.
    pub async fn kubectl_fails(&self, arguments: &[&str]) -> String {
        failed(arguments, &self.run_kubectl(arguments, "").await)
    }

    /// Applies manifests.
    pub async fn apply(&self, yaml: &str) -> String {
        self.apply_with(yaml, &[]).await
    }

    /// Applies manifests by more options of `kubectl apply`.
    pub async fn apply_with(&self, yaml: &str, options: &[&str]) -> String {
        let arguments = [&["apply", "-f", "-"], options].concat();
        succeeded(&["apply", yaml], &self.run_kubectl(&arguments, yaml).await)
    }

    /// Applies manifests, and answers what `kubectl` prints and what it warns of.
    pub async fn apply_says(&self, yaml: &str, options: &[&str]) -> String {
        let arguments = [&["apply", "-f", "-"], options].concat();
        self.kubectl_says(&arguments, yaml).await
    }

    /// Runs `kubectl`, and answers what it prints and what it warns of.
    pub async fn kubectl_says(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run_kubectl(arguments, input).await;
        let warnings = String::from_utf8(output.stderr.clone()).unwrap();
        succeeded(arguments, &output) + &warnings
    }

    /// Applies a manifest that must be refused, and answers the complaint.
    pub async fn apply_fails(&self, yaml: &str) -> String {
        self.apply_fails_with(yaml, &[]).await
    }

    /// The same by more options of `kubectl apply`.
    pub async fn apply_fails_with(&self, yaml: &str, options: &[&str]) -> String {
        let arguments = [&["apply", "-f", "-"], options].concat();
        failed(&["apply", yaml], &self.run_kubectl(&arguments, yaml).await)
    }

    async fn run_kubectl(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = tokio::process::Command::new(tool("bin/kubectl"))
            .args(arguments)
            .env("KUBECONFIG", &self.admin)
            // What it caches by address in the home folder would be that of an earlier cluster on the same port.
            .env("KUBECACHEDIR", self.scratch.path().join("kubectl-cache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // A kubectl that ends without reading is judged by its status.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
        child.wait_with_output().await.unwrap()
    }

    /// Installs our CRDs, once, and waits until they are served.
    pub async fn install_crds(&self) {
        let install = async || {
            let folder = workspace().join("crds/generated");
            let folder = folder.to_str().unwrap();
            self.kubectl(&["apply", "-f", folder]).await;
            self.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", folder]).await;
            // A kind is served a moment before it is found by its name, and explained another moment later.
            for kind in ["llmroutes", "providerpools", "budgets"] {
                let what = format!("{kind} are found and explained");
                let explained = async || self.try_kubectl(&["explain", kind]).await;
                eventually(&what, Duration::from_secs(30), explained).await;
            }
        };
        self.crds.get_or_init(install).await;
    }

    /// Creates a namespace of the test's own, `PREFIX-NUMBER`.
    pub async fn namespace(&self, prefix: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let namespace = Namespace { metadata: named(&name), ..Namespace::default() };
        let api: Api<Namespace> = Api::all(self.client().await);
        api.create(&PostParams::default(), &namespace).await.unwrap();
        name
    }

    pub async fn service_account(&self, namespace: &str, name: &str) {
        let account = ServiceAccount { metadata: named(name), ..ServiceAccount::default() };
        let api: Api<ServiceAccount> = Api::namespaced(self.client().await, namespace);
        api.create(&PostParams::default(), &account).await.unwrap();
    }

    /// A token of an existing service account, for one audience.
    pub async fn token(&self, namespace: &str, service_account: &str, audience: &str) -> String {
        self.token_for(namespace, service_account, vec![audience.to_owned()], None).await
    }

    /// The same bound to a pod that there is, as the kubelet projects it into the pod.
    pub async fn pod_token(
        &self,
        namespace: &str,
        service_account: &str,
        pod: &str,
        audience: &str,
    ) -> String {
        let pods: Api<Pod> = Api::namespaced(self.client().await, namespace);
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.to_owned()),
            uid: pods.get(pod).await.unwrap().metadata.uid,
        };
        self.token_for(namespace, service_account, vec![audience.to_owned()], Some(bound)).await
    }

    async fn token_for(
        &self,
        namespace: &str,
        service_account: &str,
        audiences: Vec<String>,
        bound_object_ref: Option<BoundObjectReference>,
    ) -> String {
        let api: Api<ServiceAccount> = Api::namespaced(self.client().await, namespace);
        let spec = TokenRequestSpec { audiences, bound_object_ref, ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer =
            api.create_token_request(service_account, &PostParams::default(), &request).await.unwrap();
        answer.status.unwrap().token
    }

    /// A kubeconfig that may do what RBAC grants an existing service account.
    pub async fn kubeconfig_for(&self, namespace: &str, service_account: &str) -> PathBuf {
        let token = self.token_for(namespace, service_account, Vec::new(), None).await;
        let text = kubeconfig(&self.url, &self.ca, &json!({ "token": token }), namespace);
        self.scratch.write(&format!("{namespace}-{service_account}.kubeconfig"), text)
    }
}

fn start_etcd(site: &Site<'_>, scratch: &Scratch) -> (Process, String) {
    let (clients, peers) =
        (format!("http://127.0.0.1:{}", free_port()), format!("http://127.0.0.1:{}", free_port()));
    let mut command = (site.enter)(&tool("bin/etcd"));
    command.args(["--unsafe-no-fsync", "--log-level", "warn", "--listen-client-urls", &clients]);
    command.args(["--advertise-client-urls", &clients, "--listen-peer-urls", &peers, "--data-dir"]);
    command.arg(scratch.path().join("etcd"));
    (Process::start(&command), clients)
}

fn api_server_command(
    site: &Site<'_>,
    scratch: &Scratch,
    authority: &Authority,
    port: u16,
    etcd: &str,
) -> Command {
    // Pods call it at the first address of the services.
    let service = site.services.replace(".0/", ".1/");
    let service = service.split('/').next().unwrap();
    let server = authority.server(&[site.address, "localhost", "kubernetes.default.svc", service]);
    let (private, public) = token_keys();
    let mut command = (site.enter)(&tool("bin/kube-apiserver"));
    command.args([
        "--etcd-servers",
        etcd,
        "--bind-address",
        site.address,
        "--advertise-address",
        site.address,
    ]);
    command.args(["--secure-port", &port.to_string(), "--service-cluster-ip-range", site.services]);
    command.args(["--service-account-issuer", "https://kubernetes.default.svc"]).args(&site.options);
    for (option, contents) in [
        ("--tls-cert-file", server.certificate),
        ("--tls-private-key-file", server.key),
        ("--client-ca-file", authority.pem()),
        ("--service-account-signing-key-file", private),
        ("--service-account-key-file", public),
    ] {
        let name = option.trim_start_matches("--");
        command.arg(option).arg(scratch.write(&format!("{name}.pem"), contents));
    }
    command
}

async fn client_of(kubeconfig: &Path) -> kube::Client {
    // Where crates bring more than one provider of cryptography, rustls wants to be told; the first call stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

/// A kubeconfig; it is JSON, which is YAML.
fn kubeconfig(url: &str, ca: &str, user: &Value, namespace: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": url, "certificate-authority-data": base64(ca) } }],
        "users": [{ "name": "test", "user": user }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": namespace } }],
        "current-context": "test",
    })
    .to_string()
}

fn user(identity: &Identity) -> Value {
    json!({ "client-certificate-data": base64(&identity.certificate), "client-key-data": base64(&identity.key) })
}

/// `ByteString` is how Kubernetes writes bytes into JSON.
fn base64(text: &str) -> Value {
    json!(k8s_openapi::ByteString(text.as_bytes().to_vec()))
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

fn succeeded(arguments: &[&str], output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {arguments:?}: {stderr}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn failed(arguments: &[&str], output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "kubectl {arguments:?} should have been refused, but: {stdout}");
    String::from_utf8(output.stderr.clone()).unwrap()
}
