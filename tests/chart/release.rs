//! The chart as a release on a whole node, with what a platform team does to it and sees of it.

use crate::rendered::CHART;
use harness::{Helm, Image, Machine, eventually, workspace};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use llm_config::caller::AUDIENCE;
use std::sync::LazyLock;
use std::time::Duration;

pub const NAMESPACE: &str = "llm-gateway";
/// For what takes new pods.
pub const WITHIN: Duration = Duration::from_secs(120);

/// By the names that the chart's values have.
static IMAGES: LazyLock<[Image; 2]> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    [
        Image::gateway(&format!("docker.io/library/llm-gateway:{version}")),
        Image::busybox("docker.io/library/busybox:1.37", &["sh"]),
    ]
});

pub struct Release {
    helm: Helm,
    pub machine: Machine,
}

impl Release {
    /// A node with the images, and nothing else.
    pub async fn bare() -> Self {
        let machine = Machine::start().await;
        IMAGES.iter().for_each(|image| machine.load(image));
        Self { helm: Helm::new(), machine }
    }

    /// Adds the image of the chart's own Redis, by the name that its values have.
    pub fn load_redis(&self) {
        let values = std::fs::read_to_string(workspace().join(CHART).join("values.yaml")).unwrap();
        let values: serde_json::Value = serde_saphyr::from_str(&values).unwrap();
        let image = &values["redis"]["image"];
        let [repository, tag] = ["repository", "tag"].map(|field| image[field].as_str().unwrap());
        self.machine.load(&Image::redis(&format!("docker.io/library/{repository}:{tag}")));
    }

    /// The same with a namespace that takes restricted pods alone.
    pub async fn prepare() -> Self {
        let release = Self::bare().await;
        release.kubectl(&["create", "namespace", NAMESPACE]).await;
        let level = "pod-security.kubernetes.io/enforce=restricted";
        release.kubectl(&["label", "namespace", NAMESPACE, level]).await;
        release
    }

    /// The namespace of an application team, whose pods get sidecars, with the quick start in it.
    pub async fn quick_start_in_shop(&self) {
        let cluster = self.machine.cluster();
        cluster.kubectl(&["create", "namespace", "shop"]).await;
        let level = "pod-security.kubernetes.io/enforce=restricted";
        cluster.kubectl(&["label", "namespace", "shop", "llmgateway.dev/inject=true", level]).await;
        let file = workspace().join("crds/examples/quickstart.yaml");
        cluster.kubectl(&["-n", "shop", "apply", "-f", file.to_str().unwrap()]).await;
    }

    /// Runs helm in the release's namespace.
    pub async fn helm(&self, arguments: &[&str]) -> String {
        let arguments = [&["--namespace", NAMESPACE], arguments].concat();
        let kubeconfig = self.machine.cluster().admin_kubeconfig();
        self.helm.run(&arguments, Some(kubeconfig)).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// `helm install` or `helm upgrade`, until all is ready.
    pub async fn put(&self, verb: &str, options: &[&str]) {
        let waiting = ["--wait", "--timeout", "120s"];
        self.helm(&[&[verb, "llm-gateway", CHART], &waiting[..], options].concat()).await;
    }

    /// kubectl in the release's namespace.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        self.machine.cluster().kubectl(&[&["--namespace", NAMESPACE], arguments].concat()).await
    }

    pub async fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        self.machine.cluster().try_kubectl(&[&["--namespace", NAMESPACE], arguments].concat()).await
    }

    /// Waits until a jsonpath of an object says so.
    pub async fn says(&self, object: &str, path: &str, wanted: &str) {
        let path = format!("jsonpath={{{path}}}");
        eventually(&format!("{object}: {path} is {wanted}"), WITHIN, async || {
            let said = self.try_kubectl(&["get", object, "-o", &path]).await?;
            if said == wanted { Ok(()) } else { Err(said) }
        })
        .await;
    }

    /// Waits until a route is in force on so many proxies.
    pub async fn programmed_on(&self, route: &str, proxies: u32) {
        let path = ".status.summary.programmed";
        self.says(&format!("llmroute/{route}"), path, &format!("{proxies}/{proxies}")).await;
    }

    /// Waits until an object of `shop`, as it is now, is in force on so many proxies.
    pub async fn in_force(&self, kind: &str, name: &str, proxies: u32) {
        let wanted = format!("{proxies}/{proxies}");
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("llmgateway.dev", "v1alpha1", kind));
        let client = self.machine.cluster().client().await;
        let api = Api::<DynamicObject>::namespaced_with(client, "shop", &kind);
        eventually(&format!("{name} is in force on {wanted}"), WITHIN, async || {
            let object = api.get(name).await.map_err(|error| error.to_string())?;
            let status = &object.data["status"];
            let current = status["observedGeneration"].as_i64() == object.metadata.generation;
            let programmed = &status["summary"]["programmed"];
            if current && *programmed == *wanted { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }

    /// The names of a namespace's pods with a label.
    pub async fn pods(&self, namespace: &str, label: &str) -> Vec<String> {
        let path = "jsonpath={.items[*].metadata.name}";
        let arguments = ["-n", namespace, "get", "pods", "-l", label, "-o", path];
        let names = self.machine.cluster().kubectl(&arguments).await;
        names.split_whitespace().map(str::to_owned).collect()
    }

    /// The token of a caller.
    pub async fn token(&self) -> String {
        let token = self.kubectl(&["create", "token", "default", "--audience", AUDIENCE]).await;
        token.trim().to_owned()
    }

    /// Where the gateway's Service takes calls.
    pub async fn chat_url(&self) -> String {
        let address =
            self.kubectl(&["get", "service", "llm-gateway", "-o", "jsonpath={.spec.clusterIP}"]).await;
        format!("http://{address}/v1/chat/completions")
    }
}
