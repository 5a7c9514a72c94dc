//! A rolling limit, of which what was spent comes back.

use super::{
    Budgets, CENT, WITHIN,
    spender::{Spender, look_ahead, place},
    spent,
};
use llm_crds::BudgetStatus;
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// In which two minutes of the clock it is: thresholds of a limit of that length are told once in each.
fn round() -> usize {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    usize::try_from(now.as_secs() / 120).unwrap()
}

/// Each user $1 in any two minutes; the clock by which it comes back is the ledger's.
#[tokio::test]
async fn what_is_spent_of_a_rolling_limit_is_seen_to_come_back() {
    let budgets = Budgets::start().await;
    let _operator = budgets.operator("operator").await;
    let limits = json!([{"window": "Rolling", "duration": "2m", "usd": "1"}]);
    let first_round = round();
    let uid = budgets.create("each", json!({"limits": limits, "per": ["User"]})).await;
    let of = |value| Spender::start(&budgets.redis, place(&uid, "rolling120-usd", Some(value)));
    let (ann, bob) = (of("ann"), of("bob"));
    ann.spend(100 * CENT).await;
    bob.spend(40 * CENT).await;
    budgets.shows("each", WITHIN, ["$1.00/2m rolling", "$1.0000", "$0.0000", "Exceeded", "rolling"]).await;
    ann.is_refused(CENT).await;
    let told_once = |events: &[_]| (4..=4 * (round() - first_round + 1)).contains(&events.len());
    let events = budgets.events().await;
    assert!(told_once(&events), "{events:#?}");
    let comes_back =
        |(_, note): &(String, String)| note.ends_with("what is spent comes back 2m later, bit by bit");
    assert!(events.iter().any(comes_back), "{events:#?}");

    // She calls no more.
    drop(ann);
    let account = place(&uid, "rolling120-usd", Some("ann"));
    look_ahead(&budgets.redis, &account, Duration::from_secs(129));
    budgets.stands("each", WITHIN, "as before", |status| spent(status) == "1.00").await;
    look_ahead(&budgets.redis, &account, Duration::from_secs(131));
    budgets.shows("each", WITHIN, ["$1.00/2m rolling", "$0.4000", "$0.6000", "Active", "rolling"]).await;
    let shown = |status: &BudgetStatus| {
        let top = status.limits.first().map_or(&[][..], |limit| &limit.top_values);
        top.first().is_some_and(|one| (one.value.as_str(), one.spent.as_str()) == ("bob", "0.40"))
    };
    budgets.stands("each", WITHIN, "that of another", shown).await;
    let ann = of("ann");
    ann.spend(100 * CENT).await;
    ann.is_refused(CENT).await;
    budgets.stands("each", WITHIN, "spent again", |status| spent(status) == "1.00").await;
    let events = budgets.events().await;
    assert!(told_once(&events), "all has been told already: {events:#?}");
}
