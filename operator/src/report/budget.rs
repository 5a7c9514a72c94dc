//! What is said of a budget's spec. Its figures are written by another hand, under a name of its own, and neither
//! touches what the other has written.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::events::Event;
use llm_config::section::LEDGER;
use llm_crds::{
    Budget, BudgetEnforcement, BudgetSpec, BudgetStatus, BudgetSummary, Condition, ConditionType,
    ExceededAction,
};

use super::{judged, pace, programmed};
use crate::{compile::BudgetOutcome, observe::ObjectName};

pub fn status(
    outcome: &BudgetOutcome,
    (name, budget): (&ObjectName, &Budget),
    before: Option<&BudgetStatus>,
    proxies: &programmed::Proxies<'_>,
    now: &Time,
) -> (BudgetStatus, Vec<Event>) {
    let mut sections = vec![format!("budget/{name}"), LEDGER.to_owned()];
    sections.extend(outcome.pools.iter().map(|pool| format!("pool/{pool}")));
    let standing = proxies.standing(&outcome.fleets, &sections);
    let (verdict, share) = standing.programmed(&outcome.fleets, programmed::Absent::NotShipped);
    let (conditions, events) = judged(
        outcome.verdicts.iter().chain([&verdict]),
        before.map_or(&[], |before| &before.conditions),
        budget.metadata.generation,
        now,
    );
    let summary = BudgetSummary {
        action: Some(action(&budget.spec).to_owned()),
        programmed: Some(share),
        ..BudgetSummary::default()
    };
    let status = BudgetStatus {
        observed_generation: budget.metadata.generation,
        conditions,
        summary: Some(summary),
        ..BudgetStatus::default()
    };
    (status, events)
}

/// What becomes of calls that find nothing left, as a column shows it.
fn action(spec: &BudgetSpec) -> &'static str {
    match (spec.enforcement, spec.on_exceeded.as_ref().map(|given| given.action)) {
        (BudgetEnforcement::Audit, _) => "-",
        (_, None | Some(ExceededAction::Block)) => "Block",
        (_, Some(ExceededAction::Warn)) => "Warn",
        (_, Some(ExceededAction::Downgrade)) => "Downgrade",
    }
}

impl pace::Status for BudgetStatus {
    fn generation(&self) -> Option<i64> {
        self.observed_generation
    }

    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    fn reported(&self) -> Cow<'_, Self> {
        let own = |condition: &&Condition| condition.type_ != ConditionType::LedgerReachable.as_str();
        let summary = self.summary.as_ref().map(|summary| BudgetSummary {
            action: summary.action.clone(),
            programmed: summary.programmed.clone(),
            ..BudgetSummary::default()
        });
        Cow::Owned(Self {
            observed_generation: self.observed_generation,
            conditions: self.conditions.iter().filter(own).cloned().collect(),
            summary,
            ..Self::default()
        })
    }
}
