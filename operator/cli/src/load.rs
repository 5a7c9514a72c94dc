//! Manifests, of files or of the environment, to what is served; or every reason why not.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use llm_config::Document;
use llm_crds::Budget;
use llm_operator::{
    compile::{Compiled, compile, fleet::Fleet},
    observe::{
        LedgerSettings, ObjectName,
        environment::{self, Variables},
        files::{Manifests, Problem},
        offline::do_without_secrets,
    },
};

/// The gateway that a process on its own is.
const GATEWAY: &str = "default";

/// Why there is nothing to serve; what a person reads.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{}", listed(.0))]
    Manifests(Vec<Problem>),
    #[error("error: there is no LLMRoute in what was given: nothing to serve")]
    NothingToServe,
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("error: {problem}")).collect();
    lines.join("\n")
}

/// What is served.
pub struct Loaded {
    pub compiled: Compiled,
    /// What was taken from the environment, and what was passed over.
    pub notes: Vec<String>,
}

impl Loaded {
    /// What the proxy should run.
    pub fn document(&self) -> Document {
        self.compiled.documents.get(&Fleet::gateway(GATEWAY)).cloned().unwrap_or_default()
    }
}

/// A variable of the environment.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads and compiles; one problem refuses all, since there is a person who can mend it now.
pub fn load(paths: &[PathBuf], variables: Variables<'_>) -> Result<Loaded, LoadError> {
    let mut manifests = if paths.is_empty() {
        let mut made = Manifests::default();
        let mut problems = Vec::new();
        made.add(Path::new("environment"), &environment::manifests(variables), &mut problems);
        if !problems.is_empty() {
            return Err(LoadError::Manifests(problems));
        }
        made
    } else {
        Manifests::read(paths).map_err(LoadError::Manifests)?
    };
    let unheard = unheard(&manifests);
    if !unheard.is_empty() {
        return Err(LoadError::Manifests(unheard));
    }
    let mut notes = environment::fill_secrets(&mut manifests.observed, variables);
    notes.extend(manifests.passed_over.iter().map(|object| format!("passed over: {object}")));
    served(manifests, notes)
}

/// Alerts are the operator's: what nobody sends must not be waited for.
fn unheard(manifests: &Manifests) -> Vec<Problem> {
    let budgets = manifests.observed.budgets.iter();
    let calling = budgets.filter(|budget| budget.spec.alerts.webhook.is_some());
    let problem = |budget: &Arc<Budget>| {
        let message =
            "spec.alerts.webhook: is called by the operator of a cluster, and there is none here: remove it";
        manifests.problem("Budget", &ObjectName::of(budget.as_ref()), message.to_owned())
    };
    calling.map(problem).collect()
}

/// The same of files for who calls no provider: a Secret that is missing is no problem then.
pub fn load_without_keys(paths: &[PathBuf]) -> Result<Loaded, LoadError> {
    let mut manifests = Manifests::read(paths).map_err(LoadError::Manifests)?;
    do_without_secrets(&mut manifests.observed);
    served(manifests, Vec::new())
}

fn served(mut manifests: Manifests, notes: Vec<String>) -> Result<Loaded, LoadError> {
    manifests.observed.gateways.insert(GATEWAY.to_owned(), None);
    manifests.observed.ledger = LedgerSettings::Embedded;
    let compiled = compile(&manifests.observed);
    let problems = problems(&manifests, &compiled);
    if !problems.is_empty() {
        return Err(LoadError::Manifests(problems));
    }
    if compiled.routes.is_empty() {
        return Err(LoadError::NothingToServe);
    }
    Ok(Loaded { compiled, notes })
}

/// What an operator would write into status, as problems of files.
fn problems(manifests: &Manifests, compiled: &Compiled) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, outcome) in &compiled.pools {
        for verdict in outcome.verdicts.iter().filter(|verdict| !verdict.status) {
            let message = format!("{}{}", verdict.message, variable_hint(manifests, name, &verdict.message));
            problems.push(manifests.problem("ProviderPool", name, message));
        }
    }
    // A route that lacks a provider says only what its pool has said already.
    let told = !problems.is_empty();
    for (name, outcome) in &compiled.routes {
        for verdict in &outcome.verdicts {
            let partial = verdict.condition == llm_crds::ConditionType::PartiallyInvalid;
            let follows = told && verdict.reason == llm_crds::Reason::NoUsableProvider;
            if (!verdict.status || partial) && !follows {
                problems.push(manifests.problem("LLMRoute", name, verdict.message.clone()));
            }
        }
    }
    for (name, outcome) in &compiled.budgets {
        for verdict in outcome.verdicts.iter().filter(|verdict| !verdict.status) {
            let follows = told && verdict.reason == llm_crds::Reason::NoUsableProvider;
            if !follows {
                problems.push(manifests.problem("Budget", name, verdict.message.clone()));
            }
        }
    }
    problems
}

/// Where a Secret is missing, the variable that would do.
fn variable_hint(manifests: &Manifests, pool: &ObjectName, message: &str) -> String {
    let found = manifests.observed.pools.iter().find(|found| ObjectName::of(found.as_ref()) == *pool);
    let missing = message.contains("there is no Secret");
    let variables: Vec<&str> = found
        .iter()
        .flat_map(|pool| &pool.spec.providers)
        .filter(|provider| missing && provider.credentials.is_some())
        .map(environment::usual_variable)
        .collect();
    if variables.is_empty() { String::new() } else { format!("; or set {}", variables.join(", ")) }
}
