//! A hundred changes of the configuration, in rounds: of the route and the pool that answer the load, of a route and a
//! pool beside them, and of a Secret. A round is over when a call shows that a proxy runs on it; of some it is awaited
//! that every proxy does.

use crate::load::Target;
use crate::release::{Release, WITHIN};
use harness::{RawUpstream, eventually, http, workspace};
use serde_json::{Value, json};

pub const CHANGES: usize = 100;
/// Those that are made at once.
const TOGETHER: usize = 5;
/// Rounds from one look at all statuses to the next.
const LOOK: usize = 4;

/// What stands beside the quick start in namespace `shop`.
pub struct Changes<'a> {
    release: &'a Release,
    vendor: &'a RawUpstream,
    /// Where a call makes a proxy show the vendor its key.
    target: &'a Target,
}

impl<'a> Changes<'a> {
    pub fn new(release: &'a Release, vendor: &'a RawUpstream, target: &'a Target) -> Self {
        Self { release, vendor, target }
    }

    /// Makes all of them.
    pub async fn make(&self, proxies: u32, gateways: u32) {
        for round in 0..CHANGES / TOGETHER {
            let objects = self.round(round).map(|object| object.to_string()).join("\n---\n");
            let told = self.release.machine.cluster().apply_with(&objects, &["-n", "shop"]).await;
            assert!(!told.contains("unchanged"), "{told}");
            if round % LOOK == LOOK - 1 {
                self.release.in_force("LLMRoute", "quickstart", proxies).await;
                self.release.in_force("ProviderPool", "simulated", proxies).await;
                self.release.in_force("LLMRoute", "beside", gateways).await;
                self.release.in_force("ProviderPool", "beside", gateways).await;
            }
            self.shown(&key(round)).await;
        }
    }

    /// The objects as they are from this round on; each differs from what it was.
    fn round(&self, round: usize) -> [Value; TOGETHER] {
        let text = std::fs::read_to_string(workspace().join("crds/examples/quickstart.yaml")).unwrap();
        let [mut pool, mut route]: [Value; 2] =
            serde_saphyr::from_multiple::<Value>(&text).unwrap().try_into().unwrap();
        pool["spec"]["providers"][0]["models"][0]["pricing"]["inputPerMillion"] =
            json!(format!("0.{}", round + 11));
        route["spec"]["rules"][0]["timeouts"] = json!({"request": format!("{}s", round + 60)});
        let models = ["keyed".to_owned(), format!("keyed-{round}")];
        let pool_beside = json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "ProviderPool", "metadata": {"name": "beside"},
            "spec": {"providers": [{
                "name": "vendor", "kind": "OpenAI", "endpoint": format!("{}/v1", self.vendor.url()),
                "credentials": {"secretRef": {"name": "vendor", "key": "apiKey"}},
                "models": models.clone().map(|name| json!({"name": name})),
            }]},
        });
        let rules = models.map(
            |model| json!({"matches": [{"models": [model]}], "backends": [{"pool": {"name": "beside"}}]}),
        );
        let route_beside = json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "LLMRoute", "metadata": {"name": "beside"},
            "spec": {"rules": rules},
        });
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vendor"},
            "stringData": {"apiKey": key(round)},
        });
        [pool, route, pool_beside, route_beside, secret]
    }

    /// Waits until the gateway shows the vendor this key.
    async fn shown(&self, key: &str) {
        let call = json!({"model": "keyed", "messages": [{"role": "user", "content": "Hello"}]});
        eventually(&format!("{key} is shown"), WITHIN, async || {
            let answer = http::send(self.target.request(&call)).await?;
            let shown = self.vendor.requests().pop();
            match shown {
                Some(request) if request.contains(&format!("Bearer {key}\r\n")) => Ok(()),
                shown => Err(format!("{answer:?} of {shown:?}")),
            }
        })
        .await;
    }
}

fn key(round: usize) -> String {
    format!("sk-{round}-round")
}
