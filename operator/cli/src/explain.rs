//! `explain`: where a call would go by the manifests of files, and why, without a proxy, a cluster or a
//! key.

mod text;

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Args;
use llm_config::{Callers, Workload};
use llm_proxy::explain::{Request, Unexplained};

use crate::{
    Output,
    load::{LoadError, load_without_keys},
};

/// Show where a call would go by the manifests of files, and why.
///
/// That is the rule that takes it, its candidates in their order with their scores, and the reason for
/// each that is left out. Nothing is sent; no cluster and no key are needed.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Files, or folders of .yaml, .yml and .json files, with LLMRoutes and ProviderPools.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    paths: Vec<PathBuf>,
    /// The JSON body of the call; - is standard input.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The path of the call; Gemini's carry the model: /v1beta/models/NAME:generateContent.
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    /// A header of the call, such as 'x-llm-strategy: CostOptimized'. May be repeated.
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The ServiceAccount that calls, as NAMESPACE/NAME. Default: nobody known.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = account)]
    caller: Option<(String, String)>,
    /// A label of the caller's pod. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = label, requires = "caller")]
    caller_label: Vec<(String, String)>,
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Why nothing was explained; what a person reads.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("error: {}: {error}", path.display())]
    Body { path: PathBuf, error: io::Error },
    #[error("error: {0}")]
    Unexplained(#[from] Unexplained),
    #[error("error: {0}")]
    Json(#[from] serde_json::Error),
}

pub fn explain(args: &ExplainArgs) -> Result<(), ExplainError> {
    let mut document = load_without_keys(&args.paths)?.document();
    document.callers = args.caller.clone().map(|(namespace, service_account)| {
        let labels = args.caller_label.iter().cloned().collect();
        Callers::Pod(Workload { namespace, service_account, labels, ..Workload::default() })
    });
    let body =
        body(&args.request).map_err(|error| ExplainError::Body { path: args.request.clone(), error })?;
    let request = Request { path: args.path.clone(), headers: args.header.clone(), body };
    let explained = llm_proxy::explain(document, &request)?;
    match args.output {
        Output::Text => print!("{}", text::text(&explained)),
        Output::Json => println!("{}", serde_json::to_string_pretty(&explained.decision)?),
    }
    Ok(())
}

fn body(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut body = Vec::new();
        io::stdin().read_to_end(&mut body)?;
        return Ok(body);
    }
    std::fs::read(path)
}

/// As curl takes them.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("it must be NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn account(text: &str) -> Result<(String, String), String> {
    pair(text, '/').ok_or_else(|| "it must be NAMESPACE/NAME".to_owned())
}

fn label(text: &str) -> Result<(String, String), String> {
    pair(text, '=').ok_or_else(|| "it must be NAME=VALUE".to_owned())
}

fn pair(text: &str, between: char) -> Option<(String, String)> {
    let (left, right) = text.split_once(between)?;
    (!left.is_empty() && !right.is_empty()).then(|| (left.to_owned(), right.to_owned()))
}
