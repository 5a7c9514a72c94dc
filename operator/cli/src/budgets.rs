//! `budgets`: what is spent of budgets, when it was, and when nothing will be left.

mod text;

use clap::Args;
use llm_operator::survey::budgets::{Asked, listed};

use crate::{
    Output,
    cluster::{ClusterError, WhichArgs, wait_for},
};

/// Show what is spent of budgets: each limit with its window so far, and when nothing will be left at this pace.
///
/// With a NAME: each limit by itself, what is not in order and what to do about it, and the alerts of this window.
///
/// A window is drawn in up to 24 parts, higher where more was spent, and blank where it is to come; one that never
/// ends by the hours of the last day. Times are in the Budget's time zone.
///
/// Needs verb list on budgets.llmgateway.dev, and nothing else.
#[derive(Debug, Args)]
pub struct BudgetsArgs {
    /// One Budget.
    name: Option<String>,
    /// The namespace of the budgets. Default: that of the context.
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// Those of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    #[command(flatten)]
    cluster: WhichArgs,
}

pub fn budgets(args: &BudgetsArgs) -> Result<(), ClusterError> {
    let now = jiff::Timestamp::now();
    let listed = wait_for(async {
        let client = args.cluster.client().await?;
        let own = || args.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let namespace = (!args.all_namespaces).then(own);
        let asked = Asked { namespace, name: args.name.clone() };
        listed(&client, &asked, now).await.map_err(ClusterError::NotFound)
    })??;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&listed)?),
        Output::Text if args.name.is_some() => print!("{}", text::pages(&listed, now)),
        Output::Text => print!("{}", text::table(&listed, args.all_namespaces, now)),
    }
    Ok(())
}
