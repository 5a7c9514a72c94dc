//! The command line of `llm-operator`, to settings.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use jiff::SignedDuration;

use crate::{
    certificates::Lifetimes,
    inject, lease,
    observe::{
        gateways::{self, Gateways},
        ledger::reread::Files,
    },
};

/// Compiles LLMRoutes, ProviderPools and Budgets, sends them to the proxies, and reports what came of it.
#[derive(Clone, Debug, Parser)]
#[command(name = "llm-operator", version)]
pub struct Args {
    /// Where proxies open their config streams.
    #[arg(long, default_value = "[::]:8443")]
    pub serve: SocketAddr,
    /// Where /metrics, /livez, /readyz and /debug/proxies are.
    #[arg(long, default_value = "[::]:9090")]
    pub admin: SocketAddr,
    /// Where the API server calls for the review of LLMRoutes, ProviderPools and Budgets, and, with --injection, of
    /// pods that ask for a sidecar; such as [::]:9443. Without it no webhook is served.
    #[arg(long)]
    pub webhook: Option<SocketAddr>,
    /// YAML with the defaults of sidecars. Without it there are none.
    #[arg(long, requires = "webhook")]
    pub injection: Option<PathBuf>,
    /// The gateways (YAML): for each its name, the ServiceAccount of its proxies, and who may call there.
    /// Default: one gateway, `default`, run by ServiceAccount llm-gateway of the own namespace, for callers
    /// that show a ServiceAccount token.
    #[arg(long)]
    pub gateways: Option<PathBuf>,
    /// Where proxies keep what Budgets have spent (YAML): a Redis, with its endpoints, and how to sign in. It is read
    /// again when it changes, and so are the files that it names. Without it no Budget is accepted.
    #[arg(long)]
    pub ledger: Option<PathBuf>,
    /// The operator's own namespace: its Lease, certificate and ConfigMaps are there, and its Budgets
    /// count all calls. Default: the
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
    /// How long a proxy's config stream lives; each opens another before that, with its token of then. So
    /// long a proxy goes on that shows a ServiceAccount which is gone.
    #[arg(long, default_value = "1h", value_parser = positive)]
    pub stream_lifetime: Duration,
    /// How long a proxy that is away and has not said goodbye keeps its share of limits of scope Cluster: until then it is
    /// not known whether it runs on.
    #[arg(long, default_value = "60s", value_parser = positive, hide = true)]
    pub share_grace: Duration,
    /// Bring the kinds' definitions in the cluster to those of this version, and end.
    #[arg(long)]
    pub apply_definitions: bool,
}

/// Seconds are told to the proxies.
fn positive(text: &str) -> Result<Duration, String> {
    let duration: kube::core::Duration =
        text.parse().map_err(|error: <kube::core::Duration as std::str::FromStr>::Err| error.to_string())?;
    let long = Duration::from(duration);
    if duration.is_negative() || long.as_secs() < 1 {
        return Err("it must be 1s at least".to_owned());
    }
    Ok(long)
}

impl Args {
    /// The gateways.
    ///
    /// # Errors
    /// What to change in their file.
    pub fn gateways(&self, namespace: &str) -> Result<Gateways, String> {
        self.gateways
            .as_ref()
            .map_or_else(|| Ok(gateways::alone(namespace)), |file| gateways::read(file, namespace))
    }

    /// How this replica campaigns.
    #[must_use]
    pub fn lease(&self, namespace: &str) -> lease::Settings {
        lease::Settings {
            namespace: namespace.to_owned(),
            identity: self.identity(),
            duration: Duration::from_secs(self.lease_duration_seconds),
        }
    }

    /// Where budgets are kept.
    ///
    /// # Errors
    /// The file, and what to change in it.
    pub fn ledger(&self) -> Result<Files, String> {
        Files::read(self.ledger.as_deref()).map_err(|error| format!("--ledger {error}"))
    }

    /// What sidecars are by default, where there are any.
    ///
    /// # Errors
    /// The file, and what to change in it.
    pub fn injection(&self, namespace: &str) -> Result<Option<inject::Settings>, String> {
        let read = self.injection.as_deref().map(|file| inject::Settings::read_file(file, namespace));
        read.transpose().map_err(|error| format!("--injection {error}"))
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
