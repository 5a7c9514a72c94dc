//! What `kubectl-llm budgets` shows of them: how the window went, who spends most, and where to look if there is none.

use super::{Budgets, CENT, Spender, place, usd};
use crate::installation::WITHIN;
use harness::eventually;
use llm_crds::BudgetStatus;
use serde_json::json;

/// By the API server alone, and whoever leads.
#[tokio::test]
async fn the_window_is_drawn_with_who_spends_most_and_outlives_the_operator() {
    let budgets = Budgets::start().await;
    let cli = async |arguments: &[&str]| {
        let told = budgets.installation.ask(arguments).await;
        assert_eq!(told.code, Some(0), "{told:?}");
        told
    };
    // An API server that has only just learned of the kind may not list it yet.
    eventually("there is none, and it says so", WITHIN, async || {
        let none = budgets.installation.ask(&["budgets", "-n", "ai"]).await;
        let said = none.err.contains("no Budget in namespace ai, nor in any other: apply one");
        if none.code == Some(1) && said { Ok(()) } else { Err(format!("{none:?}")) }
    })
    .await;

    let operator = budgets.operator("first").await;
    let uid = budgets.create("team", json!({"limits": usd("1")})).await;
    let each = budgets.create("each", json!({"limits": usd("2"), "per": ["User"]})).await;
    let idle = cli(&["budgets", "team", "-n", "ai"]).await;
    assert!(idle.out.contains(&"▁".repeat(24)), "{idle:?}");
    let spender = Spender::start(&budgets.redis, place(&uid, "total-usd", None));
    spender.spend(30 * CENT).await;
    let told = |amount: &'static str| {
        move |status: &BudgetStatus| {
            let spent = status.limits.first().map(|limit| limit.spent.as_str());
            spent == Some(amount)
        }
    };
    budgets.stands("team", WITHIN, "spent", told("0.30")).await;
    operator.process.kill();
    let _second = budgets.operator("second").await;
    spender.spend(30 * CENT).await;
    let status = budgets.stands("team", WITHIN, "spent on", told("0.60")).await;
    let history = status.limits[0].history.clone().unwrap();
    // In one hour, or in two where one turned meanwhile.
    let parts: Vec<&str> = history.spent.iter().map(String::as_str).collect();
    assert!(parts == ["0.60"] || parts == ["0.30", "0.30"], "{history:?}");
    assert_eq!((history.step_seconds, history.earlier.as_str()), (3_600, "0.00"));

    for (user, cents) in [("ann", 90), ("bob", 20)] {
        let spender = Spender::start(&budgets.redis, place(&each, "total-usd", Some(user)));
        spender.spend(cents * CENT).await;
        let seen = |status: &BudgetStatus| {
            status.limits[0].top_values.iter().any(|value| value.value == user && value.spent != "0.00")
        };
        budgets.stands("each", WITHIN, "spent by one", seen).await;
    }
    let all = cli(&["budgets", "-A"]).await;
    let row = all.row("ai         team");
    assert_eq!(row[..4], ["ai", "team", "$1.00 in all", "$0.6000"], "{all:?}");
    assert_eq!((row[6], row[7]), ("Warning", "never"), "{all:?}");
    assert!(row[8].ends_with(['█', '▁']) && row[8].starts_with('▁'), "{all:?}");
    assert!(all.out.contains("ann $0.9000 (45%), bob $0.2000 (10%)"), "{all:?}");
    let page = cli(&["budgets", "team", "-n", "ai"]).await;
    assert!(page.out.starts_with("Budget ai/team: Warning\n"), "{page:?}");
    assert!(page.out.contains("$0.6000 spent (60%)") && page.out.contains("in 1h"), "{page:?}");
    let alert = page.row("0.5");
    assert_eq!((alert[1], alert[3], alert[4]), ("total-usd", "0.60 of 1.00", "none"), "{page:?}");
    let json = cli(&["budgets", "each", "-n", "ai", "-o", "json"]).await.json();
    assert_eq!((&json[0]["name"], &json[0]["limits"][0]["spent"]), (&json!("each"), &json!("0.90")));

    let lost = budgets.installation.ask(&["budgets", "team"]).await;
    assert!(lost.code == Some(1) && lost.err.contains("there are in ai (1): say -n NAMESPACE"), "{lost:?}");
}
