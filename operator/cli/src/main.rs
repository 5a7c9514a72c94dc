//! `kubectl-llm`: what a person types. Everything it does is done by the operator's and the proxy's
//! libraries; here are arguments and what a person reads.

mod run;
mod load;
mod watch;
mod greeting;
mod explain;
mod health;
mod inject;
mod cluster;
mod proxies;
mod config;
mod status;
mod budgets;
mod doctor;
mod completion;
mod table;
mod age;
mod moment;
mod sparkline;

use std::{fmt::Display, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

/// LLM Gateway, from the command line.
///
/// It is a plugin of kubectl as well: with kubectl-llm in a folder of PATH, `kubectl llm proxies` is
/// `kubectl-llm proxies`. run, explain and inject need no cluster.
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
    Inject(inject::InjectArgs),
    Status(status::StatusArgs),
    Budgets(budgets::BudgetsArgs),
    Proxies(proxies::ProxiesArgs),
    Config(config::ConfigArgs),
    Health(health::HealthArgs),
    Doctor(doctor::DoctorArgs),
    Completion(completion::CompletionArgs),
}

/// The form of what is shown.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> ExitCode {
    if let Some(words) = completion::asked(std::env::args()) {
        completion::complete(&words, Cli::command());
        return ExitCode::SUCCESS;
    }
    match Cli::parse().command {
        Command::Run(args) => told(run::run(&args)),
        Command::Explain(args) => told(explain::explain(&args)),
        Command::Inject(args) => told(inject::inject(&args)),
        Command::Status(args) => told(status::status(&args)),
        Command::Budgets(args) => told(budgets::budgets(&args)),
        Command::Proxies(args) => told(proxies::proxies(&args)),
        Command::Config(args) => told(config::config(&args)),
        Command::Health(args) => told(health::health(&args)),
        Command::Doctor(args) => doctor::doctor(&args).unwrap_or_else(|error| told(Err(error))),
        Command::Completion(args) => {
            completion::completion(&args, Cli::command());
            ExitCode::SUCCESS
        }
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
