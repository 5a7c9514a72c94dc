//! `health`: what running proxies know of their providers, in one table.

mod text;

use clap::Args;
use llm_operator::survey::{
    installation,
    reach::{Admin, Asker},
};
use llm_proxy::fleet::Fleet;

use crate::{
    Output,
    cluster::{ClusterArgs, ClusterError, wait_for},
};

/// Show what running proxies know of each provider.
///
/// That is the state of its breaker, how quick it is, how often it fails, and its last error; several
/// proxies are shown as one. They are all gateways and sidecars of a cluster, asked through the API server,
/// or those whose admin ports are given.
///
/// Needs verb list on pods, verb get on pods/proxy, both in all namespaces.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The admin port of a proxy, such as http://127.0.0.1:9090 of `run`, instead of a cluster's. May be
    /// repeated.
    #[arg(long, value_name = "URL", num_args = 1..)]
    admin: Vec<String>,
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Why nothing was shown; what a person reads.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Which ones has been told already.
    #[error("error: no proxy could be asked; --admin URL says where their admin ports are")]
    NoProxy,
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("error: {0}")]
    Io(#[from] std::io::Error),
    #[error("error: {0}")]
    Json(#[from] serde_json::Error),
}

pub fn health(args: &HealthArgs) -> Result<(), HealthError> {
    let answers = wait_for(async {
        let (admins, asker) = if args.admin.is_empty() {
            let (installation, asker) = args.cluster.installation().await?;
            let pods = installation.proxies().await.map_err(ClusterError::NotFound)?;
            (pods.iter().filter_map(installation::admin).collect(), asker)
        } else {
            (args.admin.iter().cloned().map(Admin::Url).collect::<Vec<_>>(), Asker::new(None))
        };
        Ok::<_, ClusterError>(asker.all(&admins, Fleet::PATH).await)
    })??;
    let fleet = Fleet::of(answers.into_iter().map(|(admin, answer)| (admin.to_string(), answer)));
    for proxy in &fleet.unreachable {
        eprintln!("error: {} can't be asked: {}", proxy.admin, proxy.reason);
    }
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&fleet)?),
        Output::Text if fleet.reached.is_empty() => {}
        Output::Text => print!("{}", text::text(&fleet, std::time::SystemTime::now())),
    }
    if fleet.reached.is_empty() { Err(HealthError::NoProxy) } else { Ok(()) }
}
