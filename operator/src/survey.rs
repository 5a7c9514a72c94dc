//! What a person asks of a cluster: who is connected, what is in force, what is wrong. It only reads, by the
//! rights of who asks, and what it may not see it says instead of passing it over.
//!
//! - [`reach`]: admin ports, of pods through the API server, or by address.
//! - [`installation`]: where the operator, the gateways and the sidecars are.
//! - [`proxies`]: the proxies of all replicas as one list.
//! - [`facts`]: what there is; [`status`] sums it up and [`doctor`] finds what is wrong with it, both pure.
//! - [`budgets`]: how budgets stand, by the API server alone.
//! - [`rights`]: what the operator has to be allowed.

pub mod reach;
pub mod installation;
pub mod proxies;
pub mod facts;
pub mod budgets;
pub mod webhooks;
pub mod rights;
pub mod status;
pub mod doctor;

use std::{path::PathBuf, time::Duration};

pub use kube::Client;
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What was seen, or why it was not.
pub type Seen<T> = Result<T, String>;

/// Which cluster, in kubectl's words.
#[derive(Clone, Debug, Default)]
pub struct Which {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
}

/// A client for it.
///
/// # Errors
/// What is wrong with the kubeconfig.
pub async fn connect(which: &Which) -> Result<Client, String> {
    // Two providers may be linked in by features of others; say which is meant.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let options = KubeConfigOptions { context: which.context.clone(), ..KubeConfigOptions::default() };
    let config = match &which.kubeconfig {
        Some(file) => {
            let read = Kubeconfig::read_from(file).map_err(|error| error.to_string());
            Config::from_custom_kubeconfig(read?, &options).await.map_err(|error| error.to_string())
        }
        None if which.context.is_some() => {
            Config::from_kubeconfig(&options).await.map_err(|error| error.to_string())
        }
        None => Config::infer().await.map_err(|error| error.to_string()),
    };
    let mut config = config?;
    // A person waits: what fails is told at once.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_WITHIN);
    config.read_timeout = Some(ANSWER_WITHIN);
    Client::try_from(config).map_err(|error| error.to_string())
}

/// What an error of the API server means for who asked; of a refusal, which right is missing.
pub fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => format!("not allowed: {}", status.message),
        kube::Error::Api(status) => status.message.clone(),
        error => reach::root(error),
    }
}
