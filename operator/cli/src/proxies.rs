//! `proxies`: who is connected to the operator, and how each stands to what it should hold.

mod text;

use clap::Args;
use llm_operator::survey::{facts::listing, reach::Asker};

use crate::{
    Output,
    cluster::{ClusterArgs, ClusterError, wait_for},
};

/// Show the proxies that are connected to the operator.
///
/// That is each one's version, since when it is connected, and whether it runs on what is published: it
/// does (in force), has not answered yet (lagging), or refuses it and why. Every replica of the operator is
/// asked, through the API server.
///
/// Needs, in the operator's namespace: verb list on pods and deployments, verb get on pods/proxy.
#[derive(Debug, Args)]
pub struct ProxiesArgs {
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    operator: OperatorAdmin,
}

#[derive(Debug, Args)]
pub struct OperatorAdmin {
    /// The admin port of an operator, such as one that is forwarded, instead of its pods'. May be repeated.
    #[arg(long = "operator-admin", value_name = "URL")]
    pub urls: Vec<String>,
}

pub fn proxies(args: &ProxiesArgs) -> Result<(), ClusterError> {
    let listing = wait_for(async {
        // By addresses alone no cluster is needed.
        let told = if args.operator.urls.is_empty() {
            let (installation, asker) = args.cluster.installation().await?;
            let listing = listing(Some(&installation), &asker, &[]).await;
            (listing, format!("no operator runs in namespace {}: say where by -n", installation.namespace))
        } else {
            (listing(None, &Asker::new(None), &args.operator.urls).await, String::new())
        };
        Ok::<_, ClusterError>(told)
    })??;
    let (listing, nobody) = (listing.0.map_err(ClusterError::NotFound)?, listing.1);
    for operator in &listing.unreachable {
        eprintln!("error: operator {} can't be asked: {}", operator.admin, operator.reason);
    }
    if listing.replicas.is_empty() {
        let why =
            if listing.unreachable.is_empty() { nobody } else { "no operator could be asked".to_owned() };
        return Err(ClusterError::NotFound(why));
    }
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&listing)?),
        Output::Text => print!("{}", text::text(&listing, std::time::SystemTime::now())),
    }
    Ok(())
}
