//! `health`: what running proxies know of their providers, in one table.

mod text;

use clap::Args;
use llm_proxy::fleet::Fleet;

use crate::Output;

/// Show what running proxies know of each provider.
///
/// That is the state of its breaker, how quick it is, how often it fails, and its last error; several
/// proxies are shown as one. The proxies are those whose admin ports are given: those of a cluster are
/// not found yet, forward a port to each of them first.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The admin port of a proxy. May be repeated.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090", num_args = 1..)]
    admin: Vec<String>,
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Why nothing was shown; what a person reads.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Which ones has been told already.
    #[error("error: no proxy could be asked; --admin URL says where their admin ports are")]
    NoProxy,
    #[error("error: {0}")]
    Io(#[from] std::io::Error),
    #[error("error: {0}")]
    Json(#[from] serde_json::Error),
}

pub fn health(args: &HealthArgs) -> Result<(), HealthError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let fleet = runtime.block_on(Fleet::ask(&args.admin));
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
