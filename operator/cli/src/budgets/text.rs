//! Budgets for a person: a line for each limit of all, or a page for each that was asked for by its name.

use jiff::Timestamp;
use llm_crds::{BudgetAlert, WebhookDelivery};
use llm_operator::{
    budgets::{figures::span_text, history::Part},
    survey::budgets::{Listed, ListedLimit, Trouble},
};

use crate::{
    moment::moment,
    sparkline::sparkline,
    table::{Table, shown},
};

/// Values of `per` that a line has room for.
const TOP: usize = 3;

/// All of them, a line for each limit.
pub fn table(budgets: &[Listed], namespaced: bool, now: Timestamp) -> String {
    let mut header =
        vec!["NAME", "LIMIT", "SPENT", "RESERVED", "REMAINING", "PHASE", "RESETS", "WINDOW", "AT-THIS-PACE"];
    if namespaced {
        header.insert(0, "NAMESPACE");
    }
    if budgets.iter().any(|budget| !budget.per.is_empty()) {
        header.push("TOP-SPENDERS");
    }
    let mut table = Table::new(&header);
    for budget in budgets {
        let whose = || {
            let namespace = namespaced.then(|| budget.namespace.clone());
            namespace.into_iter().chain([budget.name.clone()]).collect::<Vec<_>>()
        };
        for limit in &budget.limits {
            let mut row = whose();
            row.push(limit.limit_text());
            let status = &limit.status;
            row.extend(
                [&status.spent, &status.reserved, &status.remaining].map(|text| limit.short_text(text)),
            );
            row.extend([phase(budget), resets(budget, limit, now), sparkline(&limit.parts)]);
            row.extend([pace(budget, limit, now), top(limit, TOP)]);
            table.row(row);
        }
        if budget.limits.is_empty() {
            let mut row = whose();
            row.extend(["-", "-", "-", "-"].map(str::to_owned));
            row.push(phase(budget));
            table.row(row);
        }
    }
    let mut text = table.text();
    for budget in budgets {
        text += &troubles(budget, &format!("{}/{}: ", budget.namespace, budget.name));
    }
    text
}

/// Each with all that is known of it.
pub fn pages(budgets: &[Listed], now: Timestamp) -> String {
    budgets.iter().map(|budget| page(budget, now)).collect::<Vec<_>>().join("\n")
}

fn page(budget: &Listed, now: Timestamp) -> String {
    let per = budget.per.iter().map(|dimension| format!("{dimension:?}")).collect::<Vec<_>>();
    let per = if per.is_empty() { String::new() } else { format!(", per {}", per.join(", ")) };
    let mut text =
        format!("Budget {}/{}: {}{per}\n", shown(&budget.namespace), shown(&budget.name), phase(budget));
    text += &troubles(budget, "");
    for limit in &budget.limits {
        text += &format!("\n{}", paragraph(budget, limit, now));
    }
    if budget.alerts.is_empty() {
        return text;
    }
    let mut table = Table::new(&["ALERT", "LIMIT", "WHEN", "SPENT", "WEBHOOK"]);
    for alert in &budget.alerts {
        table.row(row(budget, alert, now));
    }
    text + "\n" + &table.text()
}

/// What is not in order, each with what to do about it.
fn troubles(budget: &Listed, whose: &str) -> String {
    let told = budget.troubles.iter().map(|trouble| {
        let Trouble { condition, reason, message, remedy } = trouble;
        let problem = format!("{whose}{condition} ({reason}): {message}");
        format!("\n{}\n  => {}\n", shown(&problem), shown(remedy))
    });
    told.collect()
}

/// A limit by itself.
fn paragraph(budget: &Listed, limit: &ListedLimit, now: Timestamp) -> String {
    let status = &limit.status;
    let [spent, reserved, remaining] =
        [&status.spent, &status.reserved, &status.remaining].map(|text| limit.short_text(text));
    let begins = match &status.end {
        Some(_) => format!("began {}, resets", moment(status.start.0, now, &budget.time_zone)),
        None => "resets".to_owned(),
    };
    let mut lines = vec![
        format!("{}: {}", status.name, limit.limit_text()),
        format!(
            "{spent} spent ({:.0}%), {reserved} reserved, {remaining} remaining",
            limit.percent(&status.spent)
        ),
        format!("{begins} {}; at this pace: {}", resets(budget, limit, now), pace(budget, limit, now)),
        format!("{}  {}", sparkline(&limit.parts), scale(limit)).trim_end().to_owned(),
    ];
    if let Some(values) = status.values.filter(|values| *values > 0) {
        let many = if values == 1 { "1 value".to_owned() } else { format!("{values} values") };
        lines.push(format!("of {many} these spent most: {}", top(limit, usize::MAX)));
    }
    let indented = lines.iter().enumerate().map(|(i, line)| {
        let indent = if i == 0 { "" } else { "  " };
        format!("{indent}{}\n", shown(line))
    });
    indented.collect()
}

/// How much the highest bar is, and how long each is.
fn scale(limit: &ListedLimit) -> String {
    let spent = limit.parts.iter().filter_map(|part| match part {
        Part::Spent(amount) if *amount > 0 => Some(*amount),
        _ => None,
    });
    let Some(most) = spent.max() else { return String::new() };
    format!("up to {} in {}", limit.amount_text(most), span_text(limit.step_seconds.unsigned_abs()))
}

fn phase(budget: &Listed) -> String {
    budget.phase.map_or_else(|| "-".to_owned(), |phase| format!("{phase:?}"))
}

fn resets(budget: &Listed, limit: &ListedLimit, now: Timestamp) -> String {
    match &limit.status.end {
        Some(end) => moment(end.0, now, &budget.time_zone),
        None if limit.is_rolling() => "rolling".to_owned(),
        None => "never".to_owned(),
    }
}

fn pace(budget: &Listed, limit: &ListedLimit, now: Timestamp) -> String {
    match &limit.status.exhausted_at {
        _ if limit.exceeded => "nothing is left".to_owned(),
        Some(at) => format!("spent {}", moment(at.0, now, &budget.time_zone)),
        None => "lasts".to_owned(),
    }
}

/// Who spent most, with shares of what each of them may spend.
fn top(limit: &ListedLimit, most: usize) -> String {
    let top = limit.status.top_values.iter().take(most).map(|spender| {
        format!(
            "{} {} ({:.0}%)",
            spender.value,
            limit.short_text(&spender.spent),
            limit.percent(&spender.spent)
        )
    });
    top.collect::<Vec<_>>().join(", ")
}

fn row(budget: &Listed, alert: &BudgetAlert, now: Timestamp) -> Vec<String> {
    let whose = alert.value.as_ref().map_or_else(String::new, |value| format!(" by {value}"));
    let webhook = match (alert.webhook, &alert.message) {
        (None, _) => "none".to_owned(),
        (Some(WebhookDelivery::Delivered), _) => "delivered".to_owned(),
        (Some(WebhookDelivery::Pending), None) => "pending".to_owned(),
        (Some(WebhookDelivery::Pending), Some(why)) => format!("pending: {why}"),
    };
    vec![
        alert.threshold.clone(),
        alert.limit.clone(),
        moment(alert.at.0, now, &budget.time_zone),
        format!("{} of {}{whose}", alert.spent, alert.amount),
        webhook,
    ]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use serde_json::json;

    use super::*;

    fn listed() -> (Vec<Listed>, Timestamp) {
        let now = "2026-11-26T12:30:00Z".parse().unwrap();
        let history = json!({"start": "2026-11-26T09:00:00Z", "stepSeconds": 3600, "earlier": "0.00",
            "spent": ["10.00", "0.00", "40.00"]});
        let alert = json!({"limit": "daily-usd", "start": "2026-11-26T00:00:00Z", "threshold": "0.5",
            "at": "2026-11-26T11:07:00Z", "amount": "100.00", "spent": "50.00", "value": "ann",
            "webhook": "Pending", "message": "no answer\nwithin 10s"});
        let budget = json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "Budget",
            "metadata": {"name": "team", "namespace": "ai"},
            "spec": {"limits": [{"window": "Daily", "usd": "100"}], "per": ["User"]},
            "status": {"phase": "Warning", "alerts": [alert], "limits": [{
                "name": "daily-usd", "start": "2026-11-26T00:00:00Z", "end": "2026-11-27T00:00:00Z",
                "limit": "100.00", "spent": "50.00", "reserved": "2.00", "remaining": "48.00",
                "exhaustedAt": "2026-11-26T17:40:00Z", "history": history, "values": 2,
                "topValues": [{"value": "ann", "spent": "50.00"}, {"value": "bob", "spent": "8.40"}],
            }]},
        });
        let new = json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "Budget",
            "metadata": {"name": "new", "namespace": "ai"}, "spec": {"limits": []},
        });
        let of = |budget| Listed::of(&serde_json::from_value(budget).unwrap(), now);
        (vec![of(new), of(budget)], now)
    }

    #[test]
    fn a_line_tells_of_a_limit_and_below_is_what_is_not_in_order() {
        let (budgets, now) = listed();
        let lines = [
            "NAME  LIMIT        SPENT   RESERVED  REMAINING  PHASE    RESETS              WINDOW                    AT-THIS-PACE           TOP-SPENDERS",
            "new   -            -       -         -          -",
            "team  $100.00/day  $50.00  $2.00     $48.00     Warning  tomorrow 00:00 UTC  ▁▁▁▁▁▁▁▁▁▃▁█▁             spent today 17:40 UTC  ann $50.00 (50%), bob $8.40 (8%)",
            "",
            "ai/new: Accepted (Unknown): no operator has looked at it yet",
            "  => `kubectl llm status` shows whether one runs",
        ];
        let shown = table(&budgets, false, now);
        let team = shown.lines().position(|line| line.starts_with("ai/team"));
        assert_eq!(shown.lines().take(team.unwrap() - 1).collect::<Vec<_>>(), lines, "{shown}");
        assert!(table(&budgets, true, now).starts_with("NAMESPACE  NAME"));
    }

    #[test]
    fn a_page_has_each_limit_by_itself_and_the_alerts_with_what_became_of_them() {
        let (budgets, now) = listed();
        let page = pages(&budgets[1..], now);
        for line in [
            "Budget ai/team: Warning, per User",
            "daily-usd: $100.00/day",
            "  $50.00 spent (50%), $2.00 reserved, $48.00 remaining",
            "  began today 00:00 UTC, resets tomorrow 00:00 UTC; at this pace: spent today 17:40 UTC",
            "  ▁▁▁▁▁▁▁▁▁▃▁█▁             up to $40.00 in 1h",
            "  of 2 values these spent most: ann $50.00 (50%), bob $8.40 (8%)",
            "ALERT  LIMIT      WHEN             SPENT                   WEBHOOK",
            "0.5    daily-usd  today 11:07 UTC  50.00 of 100.00 by ann  pending: no answer\u{fffd}within 10s",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
        }
    }
}
