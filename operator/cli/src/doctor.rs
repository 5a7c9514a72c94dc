//! `doctor`: what is wrong with an installation, and what to do about it.

use std::process::ExitCode;

use clap::Args;
use llm_operator::survey::{
    doctor::{Check, Severity, examine},
    facts::{deepen, gather},
};

use crate::{
    Output,
    cluster::{ClusterArgs, ClusterError, wait_for},
    proxies::OperatorAdmin,
    table::shown,
};

/// Check an installation, and say how to mend what is wrong.
///
/// Looks at the kinds' definitions, the operator's replicas, Lease and rights, its certificates and
/// webhooks, connected proxies, Secrets that pools and budgets name, routes, pools and budgets, the ledger of these, and
/// pods without their sidecar.
/// Changes nothing. Ends with 1 when there is an error, and with 0 when there are warnings only.
///
/// What the caller may not see is a warning. To see all of it needs verb list on most of these kinds, verb
/// get on pods/proxy and Secrets (whose values are not read), and verb create on subjectaccessreviews.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    operator: OperatorAdmin,
}

pub fn doctor(args: &DoctorArgs) -> Result<ExitCode, ClusterError> {
    let checks = wait_for(async {
        let (installation, asker) = args.cluster.installation().await?;
        let facts = gather(&installation, &asker, &args.operator.urls).await;
        let depths = deepen(&installation, &facts).await;
        Ok::<_, ClusterError>(examine(&facts, &depths))
    })??;
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&checks)?),
        Output::Text => print!("{}", text(&checks)),
    }
    let sick = count(&checks, Severity::Error) > 0;
    Ok(if sick { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn count(checks: &[Check], severity: Severity) -> usize {
    checks.iter().flat_map(|check| &check.findings).filter(|finding| finding.severity == severity).count()
}

/// A line for each check that is fine, and for each finding.
fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { name, fine, findings } in checks {
        if findings.is_empty() {
            text += &format!("ok       {name:<13} {}\n", shown(fine));
        }
        for finding in findings {
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            text += &format!(
                "{severity:<8} {name:<13} {}  => {}\n",
                shown(&finding.message),
                shown(&finding.remedy)
            );
        }
    }
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (errors, warnings) = (count(checks, Severity::Error), count(checks, Severity::Warning));
    format!("{text}\n{}, {}\n", plural(errors, "error"), plural(warnings, "warning"))
}
