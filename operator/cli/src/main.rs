//! `kubectl-llm`: what a person types. Everything it does is done by the operator's and the proxy's
//! libraries; here are arguments and what a person reads.

mod run;
mod load;
mod watch;
mod greeting;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// LLM Gateway, from the command line.
#[derive(Debug, Parser)]
#[command(name = "kubectl-llm", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a gateway from manifests, without a cluster.
    Run(run::RunArgs),
}

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    match run::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
