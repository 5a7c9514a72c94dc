//! Budgets as who asks for them reads them: each limit with the parts of its window, what is not in order and what to do
//! about it, and where to look if there is none. From the API server alone; all but the asking is pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::{Api, Client, api::ListParams};
use llm_config::budget::{Limit, Unit, Window};
use llm_crds::{Budget, BudgetAlert, BudgetLimitStatus, BudgetPhase, Condition, Dimension, Reason};
use llm_ledger::{
    Amount,
    place::{self, LimitId},
    window::Period,
};
use serde::Serialize;

use super::told;
use crate::{
    budgets::{
        figures,
        history::{self, Part},
    },
    observe::ObjectName,
};

/// Which budgets are asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// None: those of all namespaces.
    pub namespace: Option<String>,
    pub name: Option<String>,
}

/// A budget, and how it stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    pub namespace: String,
    pub name: String,
    pub phase: Option<BudgetPhase>,
    pub time_zone: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub per: Vec<Dimension>,
    pub limits: Vec<ListedLimit>,
    /// Conditions that are not fine.
    pub troubles: Vec<Trouble>,
    /// Of the windows of now.
    pub alerts: Vec<BudgetAlert>,
}

/// A limit in its window of now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedLimit {
    #[serde(flatten)]
    pub status: BudgetLimitStatus,
    pub exceeded: bool,
    #[serde(skip)]
    pub limit: Limit,
    #[serde(skip)]
    pub parts: Vec<Part>,
    /// How long a part is.
    #[serde(skip)]
    pub step_seconds: i64,
}

/// What is not in order.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    pub condition: String,
    pub reason: String,
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// Those that are asked for, by their names.
///
/// # Errors
/// Why there is none, and where else to look.
pub async fn listed(client: &Client, asked: &Asked, now: Timestamp) -> Result<Vec<Listed>, String> {
    let api = match &asked.namespace {
        Some(namespace) => Api::<Budget>::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let which = match &asked.name {
        Some(name) => ListParams::default().fields(&format!("metadata.name={name}")),
        None => ListParams::default(),
    };
    let mut found = api.list(&which).await.map_err(|error| why(&error))?.items;
    if found.is_empty() {
        let everywhere = Api::<Budget>::all(client.clone()).list(&which).await;
        let elsewhere = everywhere.map_err(|error| why(&error)).map(|list| {
            let mut counts = BTreeMap::<String, usize>::new();
            for budget in &list.items {
                *counts.entry(ObjectName::of(budget).namespace).or_default() += 1;
            }
            counts
        });
        return Err(none(asked, elsewhere.as_ref()));
    }
    found.sort_by_cached_key(ObjectName::of);
    Ok(found.iter().map(|budget| Listed::of(budget, now)).collect())
}

/// Where the kind is not there at all, the API server says no more than that.
fn why(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            "the API server knows no Budgets: install the chart, or its definitions; `kubectl llm doctor` says which".to_owned()
        }
        error => told(error),
    }
}

/// What to say where none was found; `elsewhere` is how many there are by namespace.
fn none(asked: &Asked, elsewhere: Result<&BTreeMap<String, usize>, &String>) -> String {
    let what = asked.name.as_ref().map_or_else(|| "no Budget".to_owned(), |name| format!("no Budget {name}"));
    let place = match &asked.namespace {
        Some(namespace) => format!("there is {what} in namespace {namespace}"),
        None => format!("there is {what} in any namespace"),
    };
    match elsewhere {
        Ok(counts) if counts.is_empty() => format!(
            "{place}{}: apply one such as crds/examples/budget.yaml; `kubectl explain budget.spec` is the manual",
            if asked.namespace.is_some() { ", nor in any other" } else { "" }
        ),
        Ok(counts) => {
            let named: Vec<String> =
                counts.iter().map(|(namespace, count)| format!("{namespace} ({count})")).collect();
            format!("{place}; there are in {}: say -n NAMESPACE, or -A for all", named.join(", "))
        }
        Err(why) => format!(
            "{place}: say -n NAMESPACE for another one (which of them have some, can't be seen: {why})"
        ),
    }
}

impl Listed {
    #[must_use]
    pub fn of(budget: &Budget, now: Timestamp) -> Self {
        let ObjectName { namespace, name } = ObjectName::of(budget);
        let status = budget.status.clone().unwrap_or_default();
        let of_now = |alert: &BudgetAlert| {
            let mut limits = status.limits.iter();
            // Those of a limit that is rolling, and has no end, are told anew in every stretch of its length.
            let of_window = |limit: &BudgetLimitStatus| limit.end.is_none() || limit.start == alert.start;
            limits.any(|limit| limit.name == alert.limit && of_window(limit))
        };
        Self {
            phase: status.phase,
            time_zone: budget.spec.time_zone.clone(),
            per: budget.spec.per.clone(),
            alerts: status.alerts.iter().filter(|alert| of_now(alert)).cloned().collect(),
            troubles: troubles(&namespace, &name, &status.conditions),
            limits: status.limits.iter().filter_map(|limit| ListedLimit::of(limit, now)).collect(),
            namespace,
            name,
        }
    }
}

impl ListedLimit {
    /// Nothing where an operator of another version has written it.
    fn of(status: &BudgetLimitStatus, now: Timestamp) -> Option<Self> {
        let (window, unit) = window_and_unit(&status.name)?;
        let limit = Limit { window, unit, amount: history::amount(unit, &status.limit)? };
        let (parts, step_seconds) = history::parts(status, unit, history::counts_for(window), now);
        let exceeded = figures::is_exceeded(&limit, history::amount(unit, &status.spent)?);
        Some(Self { status: status.clone(), exceeded, limit, parts, step_seconds })
    }

    #[must_use]
    pub fn is_rolling(&self) -> bool {
        matches!(self.limit.window, Window::Rolling(_))
    }

    /// Such as `$100.00/day`.
    #[must_use]
    pub fn limit_text(&self) -> String {
        figures::limit_text(&self.limit)
    }

    /// An amount of its status, or of one of its parts, such as `$61.20`.
    #[must_use]
    pub fn short_text(&self, text: &str) -> String {
        history::amount(self.limit.unit, text)
            .map_or_else(|| text.to_owned(), |amount| self.amount_text(amount))
    }

    #[must_use]
    pub fn amount_text(&self, amount: Amount) -> String {
        figures::short_text(&self.limit, amount)
    }

    /// How many hundredths of the limit such an amount of its status is.
    #[must_use]
    pub fn percent(&self, text: &str) -> f64 {
        let amount = history::amount(self.limit.unit, text).unwrap_or(0);
        amount as f64 * 100.0 / self.limit.amount.max(1) as f64
    }
}

/// By the name of a limit.
fn window_and_unit(name: &str) -> Option<(Window, Unit)> {
    let LimitId { period, unit } = name.parse().ok()?;
    let window = match period {
        Period::Hourly => Window::Hourly,
        Period::Daily => Window::Daily,
        Period::Weekly => Window::Weekly,
        Period::Monthly => Window::Monthly,
        Period::Every(length) => Window::Every(u64::try_from(length.as_secs()).ok()?),
        Period::Rolling(length) => Window::Rolling(u64::try_from(length.as_secs()).ok()?),
        Period::Total => Window::Total,
    };
    let unit = match unit {
        place::Unit::Usd => Unit::Usd,
        place::Unit::Tokens => Unit::Tokens,
        place::Unit::Requests => Unit::Requests,
    };
    Some((window, unit))
}

fn troubles(namespace: &str, name: &str, conditions: &[Condition]) -> Vec<Trouble> {
    if conditions.is_empty() {
        return vec![Trouble {
            condition: "Accepted".to_owned(),
            reason: "Unknown".to_owned(),
            message: "no operator has looked at it yet".to_owned(),
            remedy: "`kubectl llm status` shows whether one runs".to_owned(),
        }];
    }
    // What is not accepted is not shipped, and what is wrong with it is said already.
    let is_bad = |is: &&Condition| is.status == "False" && is.reason != Reason::NotShipped.as_str();
    let trouble = |is: &Condition| Trouble {
        condition: is.type_.clone(),
        reason: is.reason.clone(),
        message: is.message.clone(),
        remedy: remedy(namespace, name, &is.reason),
    };
    conditions.iter().filter(is_bad).map(trouble).collect()
}

fn remedy(namespace: &str, name: &str, reason: &str) -> String {
    let is = |one: Reason| reason == one.as_str();
    if is(Reason::NoLedger) {
        "set `ledger.redis` in the chart's values: what proxies spend is counted there".to_owned()
    } else if is(Reason::LedgerUnreachable) {
        "look after that Redis: calls go on with what their proxies hold, and then by spec.onLedgerUnavailable".to_owned()
    } else if is(Reason::LedgerRefuses) {
        "mend the user in that Redis, or the Secret: calls go on with what their proxies hold, and then by spec.onLedgerUnavailable".to_owned()
    } else if is(Reason::NoProxies) {
        "start a gateway, or sidecars in its namespace: `kubectl llm status`".to_owned()
    } else if is(Reason::Pending) || is(Reason::Refused) {
        "`kubectl llm proxies` shows which proxies lag or refuse, and why".to_owned()
    } else {
        format!("kubectl -n {namespace} edit budget {name}, or make what it names")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use serde_json::{Value, json};

    use super::*;

    fn of(status: &Value) -> Listed {
        let budget = json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "Budget",
            "metadata": {"name": "team", "namespace": "ai"},
            "spec": {"limits": [{"window": "Daily", "usd": "100"}]}, "status": status,
        });
        Listed::of(&serde_json::from_value(budget).unwrap(), "2026-11-26T12:30:00Z".parse().unwrap())
    }

    fn limit(name: &str, end: Option<&str>, spent: &str, history: &Value) -> Value {
        json!({
            "name": name, "start": "2026-11-26T00:00:00Z", "end": end, "limit": "100", "spent": spent,
            "reserved": "0", "remaining": "0", "history": history,
        })
    }

    fn spent(parts: &[Part]) -> String {
        let text = |part: &Part| match part {
            Part::Spent(amount) => amount.to_string(),
            Part::Unknown => "?".to_owned(),
            Part::ToCome => "-".to_owned(),
        };
        parts.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_window_is_told_in_parts_of_which_some_are_to_come() {
        let history = |earlier: &str| json!({"start": "2026-11-26T09:00:00Z", "stepSeconds": 3600, "earlier": earlier, "spent": ["3", "0", "2"]});
        let end = Some("2026-11-27T00:00:00Z");
        let told = |limit: Value| of(&json!({"limits": [limit]})).limits.remove(0);
        let to_come = " - - - - - - - - - - -";
        let day = told(limit("daily-tokens", end, "5", &history("0")));
        assert_eq!(spent(&day.parts), format!("0 0 0 0 0 0 0 0 0 3 0 2 0{to_come}"));
        assert_eq!((day.step_seconds, day.limit_text().as_str()), (3_600, "100 tokens/day"));
        let begun = told(limit("daily-tokens", end, "25", &history("20")));
        assert_eq!(spent(&begun.parts), format!("? ? ? ? ? ? ? ? ? 3 0 2 0{to_come}"));
        let unknown = told(limit("daily-tokens", end, "25", &Value::Null));
        assert_eq!(spent(&unknown.parts), format!("? ? ? ? ? ? ? ? ? ? ? ? ?{to_come}"));
        let idle = told(limit("daily-tokens", end, "0", &Value::Null));
        assert_eq!(spent(&idle.parts), format!("0 0 0 0 0 0 0 0 0 0 0 0 0{to_come}"));
        let total = told(limit("total-tokens", None, "5", &history("0")));
        assert_eq!(spent(&total.parts), "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 3 0 2 0");
        let short = told(limit("every61-requests", Some("2026-11-26T00:01:01Z"), "0", &Value::Null));
        assert_eq!((short.parts.len(), short.limit_text().as_str()), (21, "100 requests/1m1s"));
        assert_eq!(of(&json!({"limits": [limit("yearly-usd", end, "1", &Value::Null)]})).limits.len(), 0);
    }

    #[test]
    fn shares_and_what_is_nothing_are_those_of_the_columns() {
        let end = Some("2026-11-27T00:00:00Z");
        let told = of(&json!({"limits": [limit("daily-usd", end, "99.5", &Value::Null)]})).limits.remove(0);
        assert!(told.exceeded, "half a percent is left");
        assert_eq!(told.short_text("99.5"), "$99.50");
        assert_eq!(told.percent("61.2"), 61.2);
    }

    #[test]
    fn what_is_not_in_order_is_told_with_what_to_do_and_what_follows_from_it_is_not() {
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({"type": kind, "status": status, "reason": reason, "message": "why",
                "lastTransitionTime": "2026-11-26T00:00:00Z"})
        };
        let conditions = [
            condition("Accepted", "False", "NoLedger"),
            condition("ResolvedRefs", "True", "ResolvedRefs"),
            condition("Programmed", "False", "NotShipped"),
        ];
        let told = of(&json!({"conditions": conditions})).troubles;
        assert_eq!((told.len(), told[0].condition.as_str()), (1, "Accepted"));
        assert!(told[0].remedy.contains("ledger.redis"), "{told:?}");
        for (reason, remedy) in [
            ("LedgerUnreachable", "onLedgerUnavailable"),
            ("LedgerRefuses", "the Secret"),
            ("Refused", "kubectl llm proxies"),
            ("RouteNotFound", "kubectl -n ai edit budget team"),
        ] {
            let told = of(&json!({"conditions": [condition("Programmed", "False", reason)]})).troubles;
            assert!(told[0].remedy.contains(remedy), "{told:?}");
        }
        assert!(of(&json!({})).troubles[0].message.contains("no operator"));
    }

    #[test]
    fn where_there_is_none_it_says_where_else_there_is() {
        let asked = |namespace: Option<&str>, name: Option<&str>| Asked {
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
        };
        let counts: BTreeMap<String, usize> = [("dev".to_owned(), 1), ("prod".to_owned(), 12)].into();
        assert_eq!(
            none(&asked(Some("ai"), Some("team")), Ok(&counts)),
            "there is no Budget team in namespace ai; there are in dev (1), prod (12): say -n NAMESPACE, or -A for all"
        );
        let nowhere = none(&asked(Some("ai"), None), Ok(&BTreeMap::new()));
        assert!(
            nowhere.starts_with("there is no Budget in namespace ai, nor in any other: apply"),
            "{nowhere}"
        );
        assert!(none(&asked(None, None), Ok(&BTreeMap::new())).contains("in any namespace: apply one"));
        let forbidden = none(&asked(Some("ai"), None), Err(&"not allowed: x".to_owned()));
        assert!(forbidden.contains("-n NAMESPACE") && forbidden.contains("not allowed"), "{forbidden}");
    }
}
