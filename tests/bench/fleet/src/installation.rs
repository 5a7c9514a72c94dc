//! A real API server with all that the operator looks at, and the operator itself, with no more rights than the
//! chart gives it.

use std::{net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use harness::{Cluster, Helm, Process, eventually, free_port, http};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams, PostParams},
};
use llm_bench::{self as usage, Outcome};
use llm_config::stream::AUDIENCE;
use llm_crds::{LLMRoute, ProviderPool};
use serde_json::{Value, json};

use crate::{
    Args,
    manifests::{self, POOLS, Scale, team},
    proxy::Identity,
};

const NAMESPACE: &str = "llm-gateway";
const WITHIN: Duration = Duration::from_secs(60);
/// Objects that are made at once.
const AT_ONCE: usize = 16;

pub struct Installation {
    pub cluster: Cluster,
    pub client: Client,
    pub scale: Scale,
    pub operator_address: SocketAddr,
    program: PathBuf,
    kubeconfig: PathBuf,
}

/// A running operator.
pub struct Operator {
    pub process: Process,
    admin: String,
}

impl Installation {
    pub async fn start(args: &Args) -> Outcome<Self> {
        let cluster = Cluster::start().await;
        cluster.install_crds().await;
        let client = cluster.client().await;
        let scale = args.scale();
        let namespaces = (0..scale.teams).map(team).chain([POOLS.to_owned(), NAMESPACE.to_owned()]);
        let namespaces = namespaces.map(|name| json!({"metadata": {"name": name}}));
        create_all(&Api::<Namespace>::all(client.clone()), namespaces).await?;
        let chart = ["template", "llm-gateway", "charts/llm-gateway", "--namespace", NAMESPACE];
        let parts = ["operator/rbac", "gateway/serviceaccount"];
        let parts = parts.map(|part| format!("--show-only=templates/{part}.yaml"));
        let parts: Vec<&str> = chart.into_iter().chain(parts.iter().map(String::as_str)).collect();
        cluster.apply(&Helm::new().run(&parts, None).await?).await;
        let kubeconfig = cluster.kubeconfig_for(NAMESPACE, "llm-operator").await;
        let programs = std::env::current_exe()?;
        let program = args.operator.clone().unwrap_or_else(|| programs.with_file_name("llm-operator"));
        let operator_address = format!("127.0.0.1:{}", free_port()).parse()?;
        let installation = Self { cluster, client, scale, operator_address, program, kubeconfig };
        installation.load().await?;
        Ok(installation)
    }

    async fn load(&self) -> Outcome<()> {
        let (pools, secrets): (Vec<Value>, Vec<Value>) = (0..self.scale.pools).map(manifests::pool).unzip();
        create_all(&Api::<Secret>::namespaced(self.client.clone(), POOLS), secrets.into_iter()).await?;
        create_all(&Api::<ProviderPool>::namespaced(self.client.clone(), POOLS), pools.into_iter()).await?;
        for number in 0..self.scale.teams {
            let routes = (number..self.scale.routes).step_by(self.scale.teams);
            let routes = routes.map(|number| self.scale.route(number, 0));
            create_all(&self.routes(&team(number)), routes).await?;
        }
        Ok(())
    }

    /// The proxies of the gateway, by one token and names of their own, and the sidecars, each by its pod's.
    pub async fn proxies(&self, gateway: usize, sidecars: usize) -> Outcome<Vec<Identity>> {
        let token = self.cluster.token(NAMESPACE, "llm-gateway", AUDIENCE).await;
        let mut identities: Vec<Identity> = (0..gateway)
            .map(|number| Identity {
                name: format!("gateway-{number:04}"),
                gateway: Some("default".to_owned()),
                token: token.clone(),
            })
            .collect();
        for number in 0..self.scale.with_sidecars {
            let namespace = team(number);
            self.cluster.service_account(&namespace, "web").await;
            let names = (number..sidecars).step_by(self.scale.with_sidecars).map(|n| format!("web-{n:04}"));
            let names: Vec<String> = names.collect();
            let pods = names.iter().map(|name| manifests::pod(&namespace, name));
            create_all(&Api::<Pod>::namespaced(self.client.clone(), &namespace), pods).await?;
            let tokens = futures::stream::iter(&names).map(async |name| {
                let token = self.cluster.pod_token(&namespace, "web", name, AUDIENCE).await;
                Identity { name: name.clone(), gateway: None, token }
            });
            identities.extend(tokens.buffered(AT_ONCE).collect::<Vec<_>>().await);
        }
        Ok(identities)
    }

    /// Starts the operator, always by the same name: as the kubelet starts a container of a pod again.
    pub async fn operator(&self) -> Operator {
        let mut command = Command::new(&self.program);
        command.args(["--serve", &self.operator_address.to_string(), "--admin", "127.0.0.1:0"]);
        command.args(["--namespace", NAMESPACE, "--name", "operator"]).env("KUBECONFIG", &self.kubeconfig);
        let process = Process::start(&command);
        let line = process.await_line(WITHIN, |line| line.contains("\"listening\"")).await;
        let line: Value = serde_json::from_str(&line).unwrap_or_default();
        let admin = format!("http://{}", line["admin"].as_str().unwrap_or_default());
        Operator { process, admin }
    }

    /// The certificates of the operator's authority.
    pub async fn bundle(&self) -> String {
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), NAMESPACE);
        eventually("the authority's bundle", WITHIN, async || {
            let found = api.get_opt("llm-operator-ca").await.map_err(|error| error.to_string())?;
            let found = found.and_then(|config_map| config_map.data?.remove("ca.crt"));
            found.ok_or_else(|| "there is none".to_owned())
        })
        .await
    }

    pub fn routes(&self, namespace: &str) -> Api<LLMRoute> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Changes a route to a revision, and tells its generation.
    pub async fn revise(&self, number: usize, revision: u64) -> Outcome<i64> {
        let (namespace, name) = self.scale.route_name(number);
        let spec = &self.scale.route(number, revision)["spec"];
        let patch = Patch::Merge(json!({ "spec": spec }));
        let revised = self.routes(&namespace).patch(&name, &PatchParams::default(), &patch).await?;
        Ok(revised.metadata.generation.unwrap_or_default())
    }

    /// Requests that the API server has had since its start: of tokens to review, and of statuses to write.
    pub async fn requests(&self) -> Outcome<[f64; 2]> {
        let request = ::http::Request::get("/metrics").body(Vec::new())?;
        let exposition = self.client.request_text(request).await?;
        let count = |resource: &str| {
            exposition
                .lines()
                .filter(|line| line.starts_with("apiserver_request_total{") && line.contains(resource))
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum()
        };
        Ok([count("resource=\"tokenreviews\""), count("subresource=\"status\"")])
    }
}

impl Operator {
    pub async fn ready(&self) {
        eventually("the operator is ready", WITHIN, async || {
            let answer = http::get(&format!("{}/readyz", self.admin)).await;
            if answer.status.is_success() { Ok(()) } else { Err(self.process.output()) }
        })
        .await;
    }

    /// Resident memory now and at most, in MiB.
    pub fn memory(&self) -> Outcome<[f64; 2]> {
        Ok([usage::resident(self.process.id())? / 1024.0, usage::peak(self.process.id())? / 1024.0])
    }

    pub fn cpu(&self) -> Outcome<Duration> {
        usage::cpu(self.process.id())
    }
}

async fn create_all<K>(api: &Api<K>, objects: impl Iterator<Item = Value>) -> Outcome<()>
where
    K: Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let created = futures::stream::iter(objects).map(async |object| {
        let object: K = serde_json::from_value(object)?;
        api.create(&PostParams::default(), &object).await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    });
    created.buffer_unordered(AT_ONCE).try_collect().await
}
