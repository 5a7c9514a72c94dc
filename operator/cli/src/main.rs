//! `kubectl-llm`: what a person types. Everything it does is done by the operator's and the proxy's
//! libraries; here are arguments and what a person reads.

mod run;
mod load;
mod watch;
mod greeting;
mod explain;
mod health;
mod inject;
mod table;

use std::{fmt::Display, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

/// LLM Gateway, from the command line.
#[derive(Debug, Parser)]
#[command(name = "kubectl-llm", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Explain(explain::ExplainArgs),
    Health(health::HealthArgs),
    Inject(inject::InjectArgs),
}

/// The form of what is shown.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => told(run::run(&args)),
        Command::Explain(args) => told(explain::explain(&args)),
        Command::Health(args) => told(health::health(&args)),
        Command::Inject(args) => told(inject::inject(&args)),
    }
}

/// An error is what its person reads.
fn told(outcome: Result<(), impl Display>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
