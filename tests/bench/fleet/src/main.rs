//! `llm-fleet`: measures the control plane under load. A real API server holds some thousand objects, a real operator
//! has a thousand proxies attached, and each of those is a connection with TLS, HTTP/2 and answers of its own. One table
//! goes to standard output and to `target/fleet.md`. Start it by `tests/bench/run fleet`.
//!
//! - [`manifests`]: what the cluster holds.
//! - [`installation`]: the API server and the operator.
//! - [`counted`], [`held`], [`proxy`]: one proxy: its bytes, what it holds, its stream.
//! - [`fleet`]: all of them.
//! - [`shown`]: what status says meanwhile.
//! - [`phases`]: what is done to them, in order.
//! - [`report`]: what is said at the end.

mod manifests;
mod installation;
mod counted;
mod held;
mod proxy;
mod fleet;
mod shown;
mod phases;
mod report;

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Parser;
use llm_bench::{self as usage, Outcome};

use manifests::Scale;

/// Measures llm-operator with many proxies and routes.
#[derive(Debug, Parser)]
#[command(name = "llm-fleet")]
struct Args {
    /// Proxies of the gateway.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    proxies: u64,
    /// Sidecars beside them, in eight namespaces.
    #[arg(long, default_value_t = 200)]
    sidecars: u64,
    /// LLMRoutes, in twenty namespaces.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(200..))]
    routes: u64,
    /// ProviderPools.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    pools: u64,
    /// Changes of one route that are timed.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    changes: u64,
    /// Measure the restart alone: the proxies are let in with what one of them was sent, instead of all of it for each.
    #[arg(long)]
    restart_only: bool,
    /// The operator under test. Default: llm-operator beside this program.
    #[arg(long)]
    operator: Option<PathBuf>,
    /// Fail where a bar is missed. Without it a missed bar is a figure: on a busy machine it says little.
    #[arg(long)]
    strict: bool,
}

impl Args {
    fn scale(&self) -> Scale {
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        Scale { routes: number(self.routes), pools: number(self.pools), teams: 20, with_sidecars: 8 }
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(missed) => {
            eprintln!("llm-fleet: {missed} bars are missed");
            if args.strict { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("llm-fleet: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How many bars are missed.
async fn run(args: &Args) -> Outcome<usize> {
    let (processor, system, load) = usage::machine();
    let report = phases::run(args).await?;
    let Args { proxies, sidecars, routes, pools, changes, .. } = args;
    let text = format!(
        "{processor}, Linux {system}. {proxies} proxies of a gateway and {sidecars} sidecars, {routes} LLMRoutes over \
         {pools} ProviderPools, {changes} changes of one route. API server, operator and all proxies share the \
         machine; its load before: {load}.\n\n{}",
        report.render()
    );
    print!("{text}");
    let programs = std::env::current_exe()?;
    let file = programs.ancestors().nth(2).ok_or("no target folder")?.join("fleet.md");
    fs::write(&file, text)?;
    eprintln!("written to {}", file.display());
    Ok(report.missed())
}
