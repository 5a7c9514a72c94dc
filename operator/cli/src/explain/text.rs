//! A plan for a person: the rule, then the candidates in the order in which they are asked, then those
//! that are left out.

use llm_config::{Conditions, HeaderMatch};
use llm_proxy::explain::{Considered, Explained};

use crate::table::{Table, shown};

const OFFLINE: &str =
    "Offline there is no history: latency is unknown, and every provider counts as healthy and idle.";
const SCORED: &str = "The score decides among those that are alike in tier, preference and priority.";
const DRAWN: &str = "The weights are drawn for each call: another one may find another order.";

/// The whole of it.
pub fn text(explained: &Explained) -> String {
    let decision = &explained.decision;
    let (asked, excluded): (Vec<&Considered>, Vec<&Considered>) =
        decision.candidates.iter().partition(|candidate| candidate.excluded.is_none());
    let fallback = if explained.fallback { "" } else { ", no fallback: only the first is asked" };
    let mut facts = vec![
        ("Model", shown(&decision.model).into_owned()),
        ("Route", decision.route.clone()),
        ("Rule", format!("{} (as compiled), for {}", decision.rule, explained.models.join(", "))),
        ("When", when(&explained.when)),
        ("Strategy", format!("{:?}{fallback}", decision.strategy)),
    ];
    facts.extend(decision.complexity.as_ref().map(|complexity| ("Complexity", complexity.signals.clone())));
    let mut text = String::new();
    for (name, fact) in facts {
        text += &format!("{name:<11} {fact}\n");
    }
    // One alone is not compared to anything.
    let scored = asked.len() > 1 && asked.iter().any(|candidate| candidate.score.is_some());
    text += &format!("\n{}", candidates(&asked, scored));
    if !excluded.is_empty() {
        text += &format!("\n{}", left_out(&excluded));
    }
    text += &format!("\n{OFFLINE}\n");
    if scored {
        text += &format!("{SCORED}\n");
    }
    if explained.drawn {
        text += &format!("{DRAWN}\n");
    }
    text
}

/// What a call must be for the rule to take it.
fn when(conditions: &Conditions) -> String {
    let header = |HeaderMatch { name, value }: &HeaderMatch| match value {
        Some(value) => format!("header {name}: {value}"),
        None => format!("header {name}"),
    };
    let mut all = Vec::new();
    if !conditions.callers.is_empty() {
        let callers: Vec<String> = conditions.callers.iter().map(ToString::to_string).collect();
        all.push(format!("a caller of {}", callers.join(", or ")));
    }
    all.extend(conditions.headers.iter().map(header));
    if !conditions.dialects.is_empty() {
        let dialects: Vec<String> = conditions.dialects.iter().map(|of| format!("{of:?}")).collect();
        all.push(format!("the API of {}", dialects.join(" or ")));
    }
    if !conditions.paths.is_empty() {
        all.push(format!("a path below {}", conditions.paths.join(" or ")));
    }
    if all.is_empty() { "always".to_owned() } else { all.join(", and ") }
}

fn candidates(asked: &[&Considered], scored: bool) -> String {
    let mut header = vec!["#", "PROVIDER", "MODEL", "PRIORITY", "COST-USD", "LATENCY-MS"];
    if scored {
        header.extend(["SCORE", "COST", "LATENCY", "QUALITY", "HEALTH", "ROOM"]);
    }
    let mut table = Table::new(&header);
    for (place, candidate) in (1..).zip(asked) {
        let mut cells = vec![
            format!("{place}"),
            candidate.provider.clone(),
            candidate.model.clone(),
            candidate.priority.to_string(),
            candidate.expected_cost_usd.clone().unwrap_or_else(|| "-".to_owned()),
            candidate.expected_latency_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}")),
        ];
        if let Some(score) = candidate.score.as_ref().filter(|_| scored) {
            let parts = [score.total, score.cost, score.latency, score.quality, score.health, score.room];
            cells.extend(parts.map(|part| format!("{part:.3}")));
        }
        table.row(cells);
    }
    table.text()
}

fn left_out(excluded: &[&Considered]) -> String {
    let mut table = Table::new(&["LEFT OUT", "MODEL", "PRIORITY", "REASON"]);
    for candidate in excluded {
        table.row(vec![
            candidate.provider.clone(),
            candidate.model.clone(),
            candidate.priority.to_string(),
            candidate.excluded.clone().unwrap_or_default(),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use llm_config::{CallerMatch, Dialect};

    use super::*;

    #[test]
    fn conditions_are_told_in_words() {
        let header = |name: &str, value: Option<&str>| HeaderMatch {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        let caller = |namespace: &str, account: Option<&str>| CallerMatch {
            namespaces: vec![namespace.to_owned()],
            service_accounts: account.map(str::to_owned).into_iter().collect(),
            ..CallerMatch::default()
        };
        let conditions = Conditions {
            callers: vec![caller("shop", None), caller("ai", Some("web"))],
            headers: vec![header("x-team", Some("research")), header("x-beta", None)],
            dialects: vec![Dialect::OpenAI, Dialect::Ollama],
            paths: vec!["/v1/chat".to_owned()],
        };
        assert_eq!(
            when(&conditions),
            "a caller of namespace shop, or namespace ai and serviceAccount web, and header x-team: research, and header x-beta, and the API of OpenAI or Ollama, and a path below /v1/chat"
        );
        assert_eq!(when(&Conditions::default()), "always");
    }
}
