//! `config`: what one proxy runs on, but for its secrets.

use clap::{Args, ValueEnum};
use llm_operator::survey::reach::{Admin, Asker};
use serde_json::Value;

use crate::cluster::{ClusterArgs, ClusterError, wait_for};

/// Where a proxy shows it.
const PATH: &str = "/debug/config";

/// Show what a proxy runs on: routes, pools and who may call, with every secret blotted out.
///
/// The proxy is asked itself, through the API server. Needs, in its namespace: verb get on pods and
/// pods/proxy; and verb list on pods in all namespaces where only the name of the pod is given.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The pod of the proxy, as NAMESPACE/NAME, or its name where there is but one.
    #[arg(required_unless_present = "admin")]
    proxy: Option<String>,
    /// The admin port of a proxy instead, such as http://127.0.0.1:9090 of `run` or one that is forwarded.
    #[arg(long, value_name = "URL", conflicts_with = "proxy")]
    admin: Option<String>,
    /// The form of what is shown.
    #[arg(short, long, value_enum, default_value = "yaml")]
    output: Form,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Yaml,
    Json,
}

pub fn config(args: &ConfigArgs) -> Result<(), ClusterError> {
    let told = wait_for(async {
        let (admin, asker) = match (&args.admin, &args.proxy) {
            (Some(url), _) => (Admin::Url(url.clone()), Asker::new(None)),
            (None, proxy) => {
                let (installation, asker) = args.cluster.installation().await?;
                let proxy = proxy.as_deref().unwrap_or_default();
                (installation.proxy(proxy).await.map_err(ClusterError::NotFound)?, asker)
            }
        };
        let told = asker.get(&admin, PATH).await;
        told.map_err(|why| ClusterError::NotFound(format!("{admin} can't be asked: {why}")))
    })??;
    let told: Value = serde_json::from_slice(&told)?;
    match args.output {
        Form::Yaml => print!("{}", serde_saphyr::to_string(&told)?),
        Form::Json => println!("{}", serde_json::to_string_pretty(&told)?),
    }
    Ok(())
}
