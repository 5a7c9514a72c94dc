//! The chart's webhook configurations on an API server that finds the operator at an address, and not by a Service.

use crate::installation::{Installation, WITHIN, from_chart};
use harness::eventually;
use serde_json::{Value, json};

pub struct Registration {
    /// Of the chart's templates for the operator.
    template: &'static str,
    resource: &'static str,
    pub name: &'static str,
    path: &'static str,
    webhooks: usize,
}

pub const INJECTOR: Registration = Registration {
    template: "operator/injector",
    resource: "mutatingwebhookconfiguration",
    name: "llm-gateway-injector",
    path: "/inject",
    webhooks: 2,
};

pub const VALIDATOR: Registration = Registration {
    template: "operator/validator",
    resource: "validatingwebhookconfiguration",
    name: "llm-gateway-validator",
    path: "/validate",
    webhooks: 1,
};

impl Registration {
    /// Applies it, for an operator at a port of loopback.
    pub async fn register(&self, installation: &Installation, port: u16) {
        let text = from_chart(&[self.template]).await;
        let mut registration: Value = serde_saphyr::from_str(&text).unwrap();
        for webhook in registration["webhooks"].as_array_mut().unwrap() {
            let service = &webhook["clientConfig"]["service"];
            assert_eq!((&service["name"], &service["path"]), (&json!("llm-operator"), &json!(self.path)));
            webhook["clientConfig"] = json!({"url": format!("https://127.0.0.1:{port}{}", self.path)});
        }
        installation.cluster.apply(&registration.to_string()).await;
    }

    /// Waits until each of its webhooks holds the bundle of the authority.
    pub async fn trusted(&self, installation: &Installation) {
        eventually(&format!("{} trusts the authority", self.name), WITHIN, async || {
            let bundle = installation.mount_bundle().await;
            let bundle = json!(k8s_openapi::ByteString(bundle.into_bytes()));
            let said = installation.cluster.kubectl(&["get", self.resource, self.name, "-o", "json"]).await;
            let registration: Value = serde_json::from_str(&said).unwrap();
            let webhooks = registration["webhooks"].as_array().unwrap();
            assert_eq!(webhooks.len(), self.webhooks);
            let all = webhooks.iter().all(|webhook| webhook["clientConfig"]["caBundle"] == bundle);
            if all { Ok(()) } else { Err(said) }
        })
        .await;
    }
}
