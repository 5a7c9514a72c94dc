//! Calls that want the same limits at once, by a clock of the test's own and a ledger that the test answers for.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{pin::pin, time::Duration};

use futures::{FutureExt as _, poll};
use llm_config::{
    Document,
    budget::{Budget as Spec, Limit, Unit, Window},
};
use llm_ledger::account::{Answer, Left};

use tokio::time::advance;

use super::*;
use crate::{
    budget::{Purses, line},
    snapshot::budgets::Budgets,
};

/// Two budgets of one request each, which is in this process's hands.
async fn two() -> (Arc<Purses>, Box<[Arc<Budget>]>) {
    // The process's time begins with who asks for it first, by the clock of that test: all of this is long after it.
    let _begun = line::now();
    advance(Duration::from_secs(24 * 3_600)).await;
    let purses = Arc::new(Purses::default());
    let limit = Limit { window: Window::Total, unit: Unit::Requests, amount: 1 };
    let spec = |uid: &str| Spec {
        uid: uid.to_owned(),
        time_zone: "UTC".to_owned(),
        limits: vec![limit],
        ..Spec::default()
    };
    let budgets = ["a", "b"].map(|name| (format!("ai/{name}"), spec(name))).into();
    let document = Document { budgets, ..Document::default() };
    let budgets = Budgets::new(&document, &purses).unwrap().of_route("ai/chat");
    for line in lines(&budgets) {
        line.lease().wait_for(1);
        says(&line, 1);
        line.lease().wait_no_more();
    }
    (purses, budgets)
}

fn lines(budgets: &[Arc<Budget>]) -> Vec<Arc<Line>> {
    budgets.iter().map(|budget| budget.limits[0].line(None, unix_now())).collect()
}

/// The ledger grants so much: nothing is spent, and all is held.
fn says(line: &Line, amount: u64) {
    let Some(statement) = line.lease().due(line::now()) else { return };
    let left = Left { limit: 1, free: 0, spent: 0, short: None };
    line.answered(&Answer::Granted { seq: statement.seq, amount, recall: false, left });
}

fn patience() -> Patience {
    Patience { until: Instant::now() + Duration::from_millis(500), unanswered_since: None }
}

fn wants(budgets: &[Arc<Budget>]) -> Wants<'_> {
    let lines = lines(budgets).into_iter().zip(budgets);
    let want = |(line, budget)| Want { budget, limit: 0, line, each: 1, own: 0 };
    Wants(lines.map(want).collect())
}

#[tokio::test(start_paused = true)]
async fn of_two_calls_that_hold_what_the_other_waits_for_one_is_sent() {
    let (_purses, budgets) = two().await;
    let (wants, [mut one, mut another]) = (wants(&budgets), [patience(); 2]);
    let answer = || lines(&budgets).iter().for_each(|line| says(line, 0));
    let other = wants.0[1].clone().at_hand().unwrap();
    let mut first = pin!(wants.take(&mut one));
    let mut second = pin!(wants.take(&mut another));
    // The first has the one and waits for the other; the second comes when that is given back, and finds it before.
    assert!(poll!(&mut first).is_pending());
    answer();
    assert!(poll!(&mut first).is_pending());
    other.release();
    assert!(poll!(&mut second).is_pending());
    answer();
    assert!(poll!(&mut second).is_pending());
    let held = first.now_or_never().unwrap().unwrap();
    assert_eq!(held.len(), 2);
    held.into_iter().for_each(Held::release);
    let held = second.now_or_never().unwrap().unwrap();
    assert_eq!(held.len(), 2, "and then the other");
    held.into_iter().for_each(Held::release);
    assert!(lines(&budgets).iter().all(|line| line.purse().available() == 1 && line.purse().spent() == 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_in_vain_gives_back_what_it_has() {
    let (_purses, budgets) = two().await;
    let wants = wants(&budgets);
    for held in 0..2 {
        let other = wants.0[held].clone().at_hand().unwrap();
        let mut patience = patience();
        let until = patience.until;
        let keeper = async {
            loop {
                // That what is idle goes back is no matter of this.
                says(&wants.0[held].line, 0);
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        };
        let refused = tokio::select! {
            taken = wants.take(&mut patience) => taken,
            () = keeper => unreachable!("it looks for ever"),
        };
        assert!(refused.unwrap_err().is_of_held());
        assert!(Instant::now() >= until);
        let free = &wants.0[1 - held].line;
        assert_eq!((free.purse().available(), free.lease().drawn()), (1, 1), "{held}");
        other.release();
    }
}
