//! Where Budgets are kept: that there is a ledger, that it answers, and that it is one for what rests on it.

use llm_crds::{Budget, BudgetEnforcement, Condition};

use super::{Check, Findings, number};
use crate::{
    observe::ObjectName,
    survey::facts::{Depths, Facts},
};

/// What a Budget says when there is no ledger, or none that answers: told here, of all of them at once.
pub const REASONS: [&str; 3] = ["NoLedger", "LedgerUnreachable", "LedgerRefuses"];

/// The pods of the chart's own Redis.
const COMPONENT: &str = "app.kubernetes.io/component=redis";

pub fn ledger(facts: &Facts, depths: &Depths) -> Check {
    let mut found = Findings::of("ledger");
    for replica in &facts.listing.replicas {
        if let Some(trouble) = &replica.ledger_refused {
            found.error(
                format!("operator {} {trouble}", replica.name),
                "mend what it names; it is read again within seconds",
            );
        }
    }
    // That they can't be looked at is told of the objects.
    let budgets = facts.budgets.as_deref().unwrap_or_default();
    let saying = |reason: &str| -> Vec<(&Budget, &Condition)> {
        let told = |budget| {
            let condition = conditions(budget).iter().find(|is| is.status == "False" && is.reason == reason);
            Some((budget, condition?))
        };
        budgets.iter().filter_map(told).collect()
    };
    let [without, unanswered, unwelcome] = REASONS.map(saying);
    if !without.is_empty() {
        found.error(
            format!("there is no ledger, and so {} out of force", are(without.iter().map(|(budget, _)| *budget))),
            "helm upgrade --reset-then-reuse-values --set 'ledger.redis.endpoints={HOST:PORT}' RELEASE charts/llm-gateway; \
             for a trial --set redis.enabled=true",
        );
    }
    if let Some((_, condition)) = unanswered.first() {
        let degraded = are(unanswered.iter().map(|(budget, _)| *budget));
        let namespace = &facts.namespace;
        let remedy = if trial(depths) {
            format!("kubectl -n {namespace} describe pods -l {COMPONENT}")
        } else {
            "see to the Redis that it names; settings that change are read again".to_owned()
        };
        found.error(format!("it does not answer, and so {degraded} Degraded: {}", condition.message), remedy);
    }
    if let Some((_, condition)) = unwelcome.first() {
        let degraded = are(unwelcome.iter().map(|(budget, _)| *budget));
        found.error(
            format!("it refuses its settings, and so {degraded} Degraded: {}", condition.message),
            "mend the user in that Redis, or the Secret; both are tried again within seconds",
        );
    }
    let strict = budgets.iter().filter(|budget| budget.spec.enforcement == BudgetEnforcement::Strict);
    let strict: Vec<&Budget> = strict.collect();
    if found.seen("StatefulSets", &depths.trial_ledger) == Some(&true) && !strict.is_empty() {
        found.warning(
            format!(
                "the ledger is the chart's Redis for trials, which a restart empties, and {} Strict: what may have \
                 been spent then counts as spent until the window ends",
                are(strict.into_iter())
            ),
            "for production a Redis with a replica: --set redis.enabled=false --set 'ledger.redis.endpoints={HOST:PORT}'",
        );
    }
    let is_kept = |is: &Condition| is.type_ == "LedgerReachable" && is.status == "True";
    let kept = budgets.iter().filter(|budget| conditions(budget).iter().any(is_kept)).count();
    found.done(|| match (budgets.len(), kept) {
        (0, _) => "there is no Budget that needs one".to_owned(),
        (_, 0) => "no operator has asked it yet".to_owned(),
        _ => format!("it answers, and keeps {}", number(kept, "Budget", "Budgets")),
    })
}

fn trial(depths: &Depths) -> bool {
    depths.trial_ledger.as_ref().is_ok_and(|trial| *trial)
}

fn conditions(budget: &Budget) -> &[Condition] {
    budget.status.as_ref().map_or(&[], |status| &status.conditions)
}

/// `Budget ai/daily is`, or the first with how many there are besides.
fn are<'a>(budgets: impl ExactSizeIterator<Item = &'a Budget>) -> String {
    let mut budgets = budgets;
    let more = budgets.len().saturating_sub(1);
    let first = budgets.next().map_or_else(String::new, |budget| ObjectName::of(budget).to_string());
    if more == 0 { format!("Budget {first} is") } else { format!("Budget {first} and {more} more are") }
}
