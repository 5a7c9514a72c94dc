//! The chart as a release on a whole node, with what a platform team does to it and sees of it.

use crate::rendered::CHART;
use harness::{Helm, Image, Machine, eventually};
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
    /// A node with the images, and a namespace that takes restricted pods alone.
    pub async fn prepare() -> Self {
        let machine = Machine::start().await;
        IMAGES.iter().for_each(|image| machine.load(image));
        let release = Self { helm: Helm::new(), machine };
        release.kubectl(&["create", "namespace", NAMESPACE]).await;
        let level = "pod-security.kubernetes.io/enforce=restricted";
        release.kubectl(&["label", "namespace", NAMESPACE, level]).await;
        release
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
