//! What is wrong with an installation, each finding with what to do about it. Pure: facts in, findings out.

mod trust;
mod connected;
mod ledger;

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use llm_crds::{Condition, SecretKeyReference};
use serde::Serialize;

use super::{
    Seen,
    facts::{Depths, Facts},
};
use crate::observe::ObjectName;

/// Findings of one kind that are listed; the rest is a number.
const LISTED: usize = 20;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Check {
    pub name: &'static str,
    /// What is in order; empty where nothing is.
    pub fine: String,
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    pub message: String,
    /// A command where one mends it, else a sentence.
    pub remedy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Warning,
    Error,
}

/// Looks through all of it.
#[must_use]
pub fn examine(facts: &Facts, depths: &Depths) -> Vec<Check> {
    vec![
        definitions(facts, depths),
        connected::operator(facts),
        rights(depths),
        trust::certificates(facts, depths),
        trust::webhooks(facts, depths),
        connected::proxies(facts),
        secrets(facts, depths),
        objects(facts),
        ledger::ledger(facts, depths),
        sidecars(facts),
    ]
}

/// The findings of one check, as they are made.
struct Findings {
    name: &'static str,
    found: Vec<Finding>,
}

impl Findings {
    fn of(name: &'static str) -> Self {
        Self { name, found: Vec::new() }
    }

    fn error(&mut self, message: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Error, message.into(), remedy.into());
    }

    fn warning(&mut self, message: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Warning, message.into(), remedy.into());
    }

    fn add(&mut self, severity: Severity, message: String, remedy: String) {
        self.found.push(Finding { severity, message, remedy });
    }

    /// What was seen; that it was not is a finding.
    fn seen<'a, T>(&mut self, what: &str, of: &'a Seen<T>) -> Option<&'a T> {
        match of {
            Ok(seen) => Some(seen),
            Err(why) => {
                self.warning(
                    format!("{what} can't be looked at: {why}"),
                    "look with the rights of one who may, by --kubeconfig or --context",
                );
                None
            }
        }
    }

    /// The first few of many, and how many more there are.
    fn bounded(&mut self) {
        let more = self.found.len().saturating_sub(LISTED);
        if more > 0 {
            let worst = self.found[LISTED..].iter().map(|finding| finding.severity).max();
            self.found.truncate(LISTED);
            let all = "`kubectl llm proxies` and `kubectl llm status` list them".to_owned();
            self.add(worst.unwrap_or(Severity::Warning), format!("and {more} more of the kind"), all);
        }
    }

    fn done(mut self, fine: impl FnOnce() -> String) -> Check {
        self.found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        self.bounded();
        let fine = if self.found.is_empty() { fine() } else { String::new() };
        Check { name: self.name, fine, findings: self.found }
    }
}

/// `1 proxy`, `2 proxies`.
fn number(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn definitions(facts: &Facts, depths: &Depths) -> Check {
    let mut found = Findings::of("definitions");
    let own = env!("CARGO_PKG_VERSION");
    let replicas = &facts.listing.replicas;
    let other = replicas.iter().find(|replica| replica.version != own);
    if let Some(other) = other {
        found.warning(
            format!(
                "the operator is version {}, and this kubectl-llm {own}: schemas are not compared",
                other.version
            ),
            "use the kubectl-llm of the operator's version",
        );
    }
    for ours in llm_crds::definitions() {
        let name = ours.name_any();
        let Some(there) = found.seen("definitions of kinds", &depths.definitions) else { break };
        let Some(there) = there.iter().find(|there| there.name_any() == name) else {
            found.error(
                format!("customresourcedefinition/{name} is not there"),
                "llm-operator --apply-definitions",
            );
            continue;
        };
        if !established(there) {
            let describe = format!("kubectl describe customresourcedefinition/{name}");
            found.error(format!("customresourcedefinition/{name} is not served"), describe);
        }
        if other.is_none() && !same(&ours, there) {
            found.error(
                format!("customresourcedefinition/{name} is of another version than {own}: fields may be lost or refused"),
                "llm-operator --apply-definitions",
            );
        }
    }
    found.done(|| format!("the kinds are served, with the schema of {own}"))
}

fn established(definition: &CustomResourceDefinition) -> bool {
    let conditions = definition.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|is| is.type_ == "Established" && is.status == "True")
}

/// What the API server fills in by itself is no difference.
fn same(ours: &CustomResourceDefinition, there: &CustomResourceDefinition) -> bool {
    let versions = |definition: &CustomResourceDefinition| {
        let versions = definition.spec.versions.iter();
        let parts = versions.map(|version| {
            (
                version.name.clone(),
                serde_json::to_value(&version.schema).unwrap_or_default(),
                serde_json::to_value(&version.subresources).unwrap_or_default(),
                serde_json::to_value(&version.additional_printer_columns).unwrap_or_default(),
            )
        });
        parts.collect::<Vec<_>>()
    };
    versions(ours) == versions(there)
}

fn rights(depths: &Depths) -> Check {
    let mut found = Findings::of("rights");
    let account = &depths.account;
    if let Some(missing) = found.seen("the operator's rights", &depths.missing_rights) {
        for right in missing {
            found.error(
                format!("ServiceAccount {account} of the operator may not {right}"),
                "apply the chart's roles again: helm upgrade --reuse-values RELEASE charts/llm-gateway",
            );
        }
    }
    found.done(|| format!("ServiceAccount {account} may do what the operator does"))
}

fn secrets(facts: &Facts, depths: &Depths) -> Check {
    let mut found = Findings::of("secrets");
    // Who may not read Secrets still reads what the operator says of them.
    let absent = depths.absent_secrets.as_ref().cloned().unwrap_or_default();
    let mut named = BTreeSet::new();
    for pool in facts.pools.as_deref().unwrap_or_default() {
        let references = pool.spec.providers.iter().flat_map(|provider| {
            let key = provider.credentials.as_ref().map(|credentials| &credentials.secret_ref);
            key.into_iter().chain(provider.tls.as_ref().map(|tls| &tls.ca_secret_ref))
        });
        let conditions = pool.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let naming = Naming { kind: "ProviderPool", object: ObjectName::of(pool), conditions };
        named.extend(naming.secrets(references, &absent, &mut found));
    }
    for budget in facts.budgets.as_deref().unwrap_or_default() {
        let webhook = budget.spec.alerts.webhook.iter();
        let references = webhook.flat_map(|webhook| [&webhook.url_secret_ref, &webhook.signing_secret_ref]);
        let conditions = budget.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let naming = Naming { kind: "Budget", object: ObjectName::of(budget), conditions };
        named.extend(naming.secrets(references, &absent, &mut found));
    }
    found.done(|| match named.len() {
        0 => "no pool and no budget names any".to_owned(),
        1 => "the one that is named can be used".to_owned(),
        count => format!("all {count} that pools and budgets name can be used"),
    })
}

/// An object that names Secrets.
struct Naming<'a> {
    kind: &'static str,
    object: ObjectName,
    conditions: &'a [Condition],
}

impl Naming<'_> {
    /// The Secrets that it names, of which those that are not there, or can't be used, are findings.
    fn secrets<'s>(
        &self,
        references: impl Iterator<Item = &'s SecretKeyReference>,
        absent: &BTreeSet<ObjectName>,
        found: &mut Findings,
    ) -> BTreeSet<ObjectName> {
        let Self { kind, object, conditions } = self;
        let named: BTreeSet<(ObjectName, &str)> = references
            .map(|reference| {
                let secret = ObjectName::new(object.namespace.clone(), reference.name.clone());
                (secret, reference.key.as_str())
            })
            .collect();
        let missing = named.iter().filter(|(secret, _)| absent.contains(secret));
        let count = found.found.len();
        for (secret, key) in missing {
            let ObjectName { namespace, name } = secret;
            found.error(
                format!("{kind} {object} names Secret {name}, which is not there"),
                format!("kubectl -n {namespace} create secret generic {name} --from-literal={key}=…"),
            );
        }
        let unresolved = conditions.iter().filter(|is| {
            is.status == "False" && ["SecretNotFound", "InvalidSecret"].contains(&is.reason.as_str())
        });
        if found.found.len() == count {
            for condition in unresolved {
                found.error(
                    format!("{kind} {object}: {}", condition.message),
                    format!(
                        "kubectl -n {} describe {} {}",
                        object.namespace,
                        kind.to_lowercase(),
                        object.name
                    ),
                );
            }
        }
        named.into_iter().map(|(secret, _)| secret).collect()
    }
}

fn objects(facts: &Facts) -> Check {
    let mut found = Findings::of("objects");
    found.seen("LLMRoutes", &facts.routes);
    found.seen("ProviderPools", &facts.pools);
    found.seen("Budgets", &facts.budgets);
    let status = super::status::Status::of(facts);
    for (kind, objects) in
        [("llmroute", &status.routes), ("providerpool", &status.pools), ("budget", &status.budgets)]
    {
        let troubled = objects.troubled.iter();
        for trouble in troubled.filter(|trouble| !ledger::REASONS.contains(&trouble.reason.as_str())) {
            let (namespace, name) = trouble.object.split_once('/').unwrap_or_default();
            found.warning(
                format!(
                    "{kind} {}: {} ({}): {}",
                    trouble.object, trouble.condition, trouble.reason, trouble.message
                ),
                format!("kubectl -n {namespace} describe {kind} {name}"),
            );
        }
    }
    found.done(|| {
        let routes = number(status.routes.total, "route", "routes");
        let pools = number(status.pools.total, "pool", "pools");
        format!("{routes}, {pools} and {} are in force", number(status.budgets.total, "budget", "budgets"))
    })
}

fn sidecars(facts: &Facts) -> Check {
    let mut found = Findings::of("sidecars");
    if let Some(pods) = found.seen("pods without sidecar", &facts.without_sidecar) {
        for pod in pods {
            found.warning(
                format!("pod {pod} asked for a sidecar and has none: it was made while no operator answered, or before it asked"),
                format!("kubectl -n {} delete pod {}   # its controller makes it anew", pod.namespace, pod.name),
            );
        }
    }
    found.done(|| "every pod that asked for a sidecar has one".to_owned())
}

#[cfg(test)]
mod tests;
