//! Budgets that are edited in the middle of a window.

use super::{Budgets, CENT, Spender, place, spent, usd};
use crate::installation::WITHIN;
use harness::eventually;
use kube::api::DeleteParams;
use llm_crds::BudgetStatus;
use serde_json::{Value, json};

#[tokio::test]
async fn a_limit_that_is_edited_holds_at_once() {
    let budgets = Budgets::start().await;
    let _operator = budgets.operator("operator").await;
    let uid = budgets.create("team", json!({"limits": usd("1")})).await;
    let spender = Spender::start(&budgets.redis, place(&uid, "total-usd", None));
    spender.spend(60 * CENT).await;
    budgets.stands("team", WITHIN, "spent", |status| spent(status) == "0.60").await;

    budgets.edit("team", json!({"limits": usd("0.5")})).await;
    budgets.shows("team", WITHIN, ["$0.50 in all", "$0.6000", "$0.0000", "Exceeded", "never"]).await;
    // What a proxy holds already can be spent still; it gives back what it does not use.
    let idle = |status: &BudgetStatus| status.limits.iter().all(|limit| limit.reserved == "0.00");
    budgets.stands("team", WITHIN, "held by nobody", idle).await;
    spender.is_refused(CENT).await;
    assert_eq!(budgets.events().await.len(), 4);

    budgets.edit("team", json!({"limits": usd("2")})).await;
    spender.spend(120 * CENT).await;
    budgets.stands("team", WITHIN, "spent", |status| spent(status) == "1.80").await;
    spender.is_refused(21 * CENT).await;
    // One that takes its place has spent nothing.
    budgets.api().delete("team", &DeleteParams::default()).await.unwrap();
    eventually("it is gone", WITHIN, async || match budgets.api().get_opt("team").await.unwrap() {
        None => Ok(()),
        Some(there) => Err(format!("{:?}", there.metadata)),
    })
    .await;
    let uid = budgets.create("team", json!({"limits": usd("1")})).await;
    let other = Spender::start(&budgets.redis, place(&uid, "total-usd", None));
    other.spend(90 * CENT).await;
    budgets.stands("team", WITHIN, "spent", |status| spent(status) == "0.90").await;
}

/// Values have accounts of their own, whatever all have spent together; and what all have spent is not forgotten.
#[tokio::test]
async fn with_per_each_value_begins_anew_and_without_it_all_go_on_where_they_were() {
    let budgets = Budgets::start().await;
    let _operator = budgets.operator("operator").await;
    let uid = budgets.create("team", json!({"limits": usd("1")})).await;
    let of = |value| Spender::start(&budgets.redis, place(&uid, "total-usd", value));
    let all = of(None);
    all.spend(60 * CENT).await;
    budgets.stands("team", WITHIN, "spent", |status| spent(status) == "0.60").await;

    budgets.edit("team", json!({"per": ["User"]})).await;
    let has_values = |status: &BudgetStatus| status.limits.iter().any(|limit| limit.values.is_some());
    budgets.stands("team", WITHIN, "one of values", has_values).await;
    let ann = of(Some("ann"));
    ann.spend(90 * CENT).await;
    let status = budgets.stands("team", WITHIN, "spent by her", |status| spent(status) == "0.90").await;
    assert_eq!((status.limits[0].values, status.limits[0].top_values[0].value.as_str()), (Some(1), "ann"));
    ann.is_refused(11 * CENT).await;

    // Another one makes other values; one that is written alike goes on with what is spent of it.
    budgets.edit("team", json!({"per": ["Project"]})).await;
    of(Some("ann")).is_refused(11 * CENT).await;
    of(Some("search")).spend(95 * CENT).await;

    budgets.edit("team", json!({"per": Value::Null})).await;
    let status = budgets.stands("team", WITHIN, "as it was", |status| spent(status) == "0.60").await;
    assert_eq!(status.limits[0].values, None);
    all.spend(40 * CENT).await;
    all.is_refused(CENT).await;
}
