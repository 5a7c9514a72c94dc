//! `status`: the whole of an installation on one page.

mod text;

use clap::Args;
use llm_operator::survey::{facts::gather, status::Status};

use crate::{
    Output,
    cluster::{ClusterArgs, ClusterError, wait_for},
    proxies::OperatorAdmin,
};

/// Show operator, proxies, routes, pools, budgets and failing providers of a cluster on one page.
///
/// What is in order is counted; what is not is listed with its reason. `doctor` says what to do.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    operator: OperatorAdmin,
}

pub fn status(args: &StatusArgs) -> Result<(), ClusterError> {
    let facts = wait_for(async {
        let (installation, asker) = args.cluster.installation().await?;
        Ok::<_, ClusterError>(gather(&installation, &asker, &args.operator.urls).await)
    })??;
    let status = Status::of(&facts);
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&status)?),
        Output::Text => print!("{}", text::text(&status)),
    }
    Ok(())
}
