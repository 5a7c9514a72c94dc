//! Which cluster is meant, in kubectl's words, and how its pods are reached.

use std::path::PathBuf;

use clap::Args;
use llm_operator::survey::{Client, Which, connect, installation::Installation, reach::Asker};

/// A cluster.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct WhichArgs {
    /// The kubeconfig. Default: KUBECONFIG, else ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig. Default: its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// An installation in it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// The namespace of the operator and the gateways. Default: where the chart's operator is, else
    /// llm-gateway.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
}

/// Why a cluster can't be asked; what a person reads.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("error: no cluster to ask: {0}\n--kubeconfig and --context say which is meant")]
    NoCluster(String),
    #[error("error: {0}")]
    NotFound(String),
    #[error("error: {0}")]
    Io(#[from] std::io::Error),
    #[error("error: {0}")]
    Json(#[from] serde_json::Error),
    #[error("error: can't be shown as YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

impl WhichArgs {
    pub async fn client(&self) -> Result<Client, ClusterError> {
        let which = Which { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        connect(&which).await.map_err(ClusterError::NoCluster)
    }
}

impl ClusterArgs {
    /// The operator's installation there.
    pub async fn installation(&self) -> Result<(Installation, Asker), ClusterError> {
        let client = self.which.client().await?;
        let asker = Asker::new(Some(client.clone()));
        let found = Installation::find(client, self.namespace.clone()).await;
        Ok((found.map_err(ClusterError::NotFound)?, asker))
    }
}

/// Runs what waits for answers.
pub fn wait_for<T>(work: impl Future<Output = T>) -> Result<T, std::io::Error> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work))
}
