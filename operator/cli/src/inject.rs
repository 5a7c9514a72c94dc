//! `inject`: what the webhook would make of the pods in manifests, without a cluster.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Args;
use llm_operator::{
    inject::{Settings, manifest},
    observe::files::{Problem, files},
};
use serde_json::Value;

/// Show what injection makes of the pods in manifests.
///
/// Pods and the pod templates of Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and CronJobs
/// get their sidecar, whatever their namespace says, unless they carry the label
/// llmgateway.dev/inject: "false"; other objects are passed through. Nothing is asked of a cluster.
#[derive(Debug, Args)]
pub struct InjectArgs {
    /// Files, or folders of .yaml, .yml and .json files; - is standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    paths: Vec<PathBuf>,
    /// The operator's --injection file: the defaults of sidecars.
    #[arg(long, value_name = "FILE")]
    injection: Option<PathBuf>,
    /// The namespace of the operator.
    #[arg(long, default_value = "llm-gateway")]
    operator_namespace: String,
}

/// Why nothing is shown; what a person reads.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    #[error("{}", listed(.0))]
    Problems(Vec<String>),
    #[error("error: can't be shown as YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

fn listed(problems: &[String]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("error: {problem}")).collect();
    lines.join("\n")
}

pub fn inject(args: &InjectArgs) -> Result<(), InjectError> {
    let settings = match &args.injection {
        Some(file) => Settings::read_file(file, &args.operator_namespace),
        None => Ok(Settings::of(&args.operator_namespace)),
    };
    let settings = settings.map_err(|problem| InjectError::Problems(vec![problem]))?;
    let mut unlisted = Vec::new();
    let paths = files(&args.paths, &mut unlisted);
    let mut problems: Vec<String> = unlisted.iter().map(Problem::to_string).collect();
    let (mut objects, mut told) = (Vec::new(), Vec::new());
    for path in paths {
        let file = path.display();
        let read = text(&path).map_err(|error| error.to_string()).and_then(|text| {
            serde_saphyr::from_multiple::<Value>(&text).map_err(|error| format!("not valid YAML: {error}"))
        });
        match read {
            Ok(mut read) => {
                read.retain(|object| !object.is_null());
                match manifest::each(&mut read, &settings) {
                    Ok(more) => told.extend(more.iter().map(|line| format!("{file}: {line}"))),
                    Err(more) => problems.extend(more.iter().map(|line| format!("{file}: {line}"))),
                }
                objects.append(&mut read);
            }
            Err(error) => problems.push(format!("{file}: {error}")),
        }
    }
    if !problems.is_empty() {
        return Err(InjectError::Problems(problems));
    }
    let shown: Result<Vec<String>, _> = objects.iter().map(serde_saphyr::to_string).collect();
    print!("{}", shown?.join("---\n"));
    told.iter().for_each(|line| eprintln!("note: {line}"));
    Ok(())
}

fn text(path: &Path) -> io::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}
