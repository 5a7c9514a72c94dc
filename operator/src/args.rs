//! The command line of `llm-operator`, to settings.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use clap::Parser;
use jiff::SignedDuration;

use crate::{certificates::Lifetimes, observe::ObjectName};

/// Compiles LLMRoutes and ProviderPools, sends them to the proxies, and reports what came of it.
#[derive(Clone, Debug, Parser)]
#[command(name = "llm-operator", version)]
pub struct Args {
    /// Where proxies open their config streams.
    #[arg(long, default_value = "0.0.0.0:8443")]
    pub serve: SocketAddr,
    /// Where /metrics, /livez and /readyz are.
    #[arg(long, default_value = "0.0.0.0:9090")]
    pub admin: SocketAddr,
    /// A gateway and the ServiceAccount that its proxies run as, as NAME=NAMESPACE/SERVICEACCOUNT.
    /// May be given several times. Default: default=<own namespace>/llm-gateway.
    #[arg(long = "gateway", value_parser = gateway)]
    pub gateways: Vec<(String, ObjectName)>,
    /// The operator's own namespace: its Lease, certificate and ConfigMaps are there. Default: the
    /// pod's, or that of the kubeconfig.
    #[arg(long)]
    pub namespace: Option<String>,
    /// The name of this replica. Default: the host's name.
    #[arg(long)]
    pub name: Option<String>,
    /// A DNS name or address by which proxies call. May be given several times. Default: the names
    /// of Service llm-operator, localhost and 127.0.0.1.
    #[arg(long = "serving-name")]
    pub serving_names: Vec<String>,
    /// Seconds without renewal after which a leader is taken for gone.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub lease_duration_seconds: u64,
    /// How long an authority lives; it is replaced when a third of that is left.
    #[arg(long, default_value = "8760h")]
    pub ca_lifetime: kube::core::Duration,
    /// How long a new authority is trusted before it signs: proxies must have read it by then. Less
    /// than a third of --ca-lifetime.
    #[arg(long, default_value = "24h")]
    pub ca_overlap: kube::core::Duration,
}

fn gateway(text: &str) -> Result<(String, ObjectName), String> {
    let parts = text.split_once('=').and_then(|(gateway, account)| Some((gateway, account.split_once('/')?)));
    match parts {
        Some((gateway, (namespace, account))) if ![gateway, namespace, account].contains(&"") => {
            Ok((gateway.to_owned(), ObjectName::new(namespace, account)))
        }
        _ => Err("expected NAME=NAMESPACE/SERVICEACCOUNT".to_owned()),
    }
}

impl Args {
    /// Gateways with the ServiceAccounts of their proxies.
    #[must_use]
    pub fn gateways(&self, namespace: &str) -> BTreeMap<String, ObjectName> {
        if self.gateways.is_empty() {
            return BTreeMap::from([("default".to_owned(), ObjectName::new(namespace, "llm-gateway"))]);
        }
        self.gateways.iter().cloned().collect()
    }

    /// The lifetimes of certificates.
    ///
    /// # Errors
    /// What to change where they don't fit each other.
    pub fn lifetimes(&self) -> Result<Lifetimes, String> {
        let signed = |duration: kube::core::Duration| {
            let long = SignedDuration::try_from(Duration::from(duration)).unwrap_or(SignedDuration::MAX);
            if duration.is_negative() { -long } else { long }
        };
        Lifetimes::new(signed(self.ca_lifetime), signed(self.ca_overlap))
    }

    /// The name of this replica.
    #[must_use]
    pub fn identity(&self) -> String {
        let host =
            || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        self.name.clone().unwrap_or_else(host)
    }
}
