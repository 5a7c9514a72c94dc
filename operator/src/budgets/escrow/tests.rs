//! A leader that is killed wherever it may be, and a ledger that forgets: by a real ledger, in memory.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use jiff::Timestamp;
use llm_config::budget::{Budget, Limit, Unit, Window};
use llm_crds::BudgetCheckpoint;
use llm_ledger::{
    Amount, Epoch, Holder,
    account::{Answer, Statement},
    place::Place,
};
use llm_ledger_connection::Connection;

use super::{Escrow, Standing, Terms};
use crate::budgets::accounts::{self, Account};

const LIMIT: Amount = 8_000;

fn account(amount: Amount) -> Account {
    let limits = vec![Limit { window: Window::Total, unit: Unit::Tokens, amount }];
    let budget = Budget { uid: "u".to_owned(), limits, time_zone: "UTC".to_owned(), ..Budget::default() };
    accounts::of(&budget, Timestamp::now()).pop().unwrap()
}

fn escrow(connection: &Connection, values: Option<u64>) -> Escrow {
    let terms = Terms { strict: true, values };
    Escrow { connection: connection.clone(), terms, now: Timestamp::now() }
}

/// A ledger that knows nothing.
fn ledger() -> Connection {
    Connection::embedded(None).unwrap().with_timeout(std::time::Duration::from_secs(10))
}

/// One look of a leader that has nothing but what is stored; what it would store.
async fn look(escrow: &Escrow, account: &Account, stored: Option<&BudgetCheckpoint>) -> Standing {
    let told = escrow.connection.totals(std::slice::from_ref(&account.place)).await.remove(0).unwrap();
    escrow.keep(account, stored, told, None, 0.0).await.unwrap()
}

/// Looks, stores and tells; what is stored then.
async fn kept(escrow: &Escrow, account: &Account, stored: Option<&BudgetCheckpoint>) -> BudgetCheckpoint {
    let standing = look(escrow, account, stored).await;
    for word in &standing.words {
        escrow.tell(word).await.unwrap();
    }
    standing.checkpoint.unwrap()
}

/// What a proxy gets that has drawn so much and needs so much more.
async fn granted(ledger: &Connection, place: &Place, seq: u64, drawn: Amount, need: Amount) -> Amount {
    let mut statement =
        Statement { holder: Holder(1), epoch: Epoch(0), seq, drawn, spent: drawn, want: 0, need };
    if let Answer::Moved(epoch) = ledger.state(place, &statement).await.unwrap() {
        statement.epoch = epoch;
    }
    match ledger.state(place, &statement).await.unwrap() {
        Answer::Granted { amount, .. } => amount,
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn an_account_is_granted_from_once_its_checkpoint_is_stored() {
    let (ledger, account) = (ledger(), account(LIMIT));
    let escrow = escrow(&ledger, None);
    let stored = kept(&escrow, &account, None).await;
    assert_eq!((stored.ceiling, stored.revision), (1_000, 1));
    assert_eq!(granted(&ledger, &account.place, 1, 0, 600).await, 600);
    assert_eq!(granted(&ledger, &account.place, 2, 600, 600).await, 0);
    let raised = kept(&escrow, &account, Some(&stored)).await;
    assert_eq!((raised.ceiling, raised.revision), (1_600, 2));
    assert_eq!(granted(&ledger, &account.place, 3, 600, 600).await, 600);
    let standing = look(&escrow, &account, Some(&raised)).await;
    assert_eq!((standing.spent, standing.reserved), (600, 600));
}

#[tokio::test]
async fn a_leader_that_is_killed_before_it_tells_loses_nothing_but_the_room() {
    let (ledger, account) = (ledger(), account(LIMIT));
    let escrow = escrow(&ledger, None);
    // It was stored, and the account has not begun. The next leader can't know that.
    let stored = look(&escrow, &account, None).await.checkpoint.unwrap();
    let stored = kept(&escrow, &account, Some(&stored)).await;
    assert_eq!(stored.ceiling, 2_000);
    assert_eq!(granted(&ledger, &account.place, 1, 0, 1_000).await, 1_000);
    // It was stored, and the ledger has not heard of it.
    let raised = look(&escrow, &account, Some(&stored)).await.checkpoint.unwrap();
    assert_eq!(granted(&ledger, &account.place, 2, 1_000, 500).await, 0);
    assert_eq!(kept(&escrow, &account, Some(&raised)).await, raised);
    assert_eq!(granted(&ledger, &account.place, 3, 1_000, 500).await, 500);
}

#[tokio::test]
async fn of_what_a_ledger_has_forgotten_all_is_gone_that_nobody_claims() {
    let (first, account) = (ledger(), account(LIMIT));
    let stored = kept(&escrow(&first, None), &account, None).await;
    assert_eq!(granted(&first, &account.place, 1, 0, 900).await, 900);
    let second = ledger();
    let again = kept(&escrow(&second, None), &account, Some(&stored)).await;
    assert!(again.epoch > stored.epoch);
    assert_eq!(again.ceiling, 2_000);
    // It claims its own, and gets what is above all that may be gone.
    assert_eq!(granted(&second, &account.place, 1, 900, 1_001).await, 0);
    assert_eq!(granted(&second, &account.place, 2, 900, 1_000).await, 1_000);
}

/// The dead one will never say what it spent.
#[tokio::test]
async fn what_nobody_has_claimed_half_a_minute_after_an_epoch_began_is_spent() {
    let (first, account) = (ledger(), account(LIMIT));
    let stored = kept(&escrow(&first, None), &account, None).await;
    let second = ledger();
    let mut escrow = escrow(&second, None);
    let again = kept(&escrow, &account, Some(&stored)).await;
    assert_eq!(granted(&second, &account.place, 1, 300, 0).await, 0, "it claims its own");
    let told = async |escrow: &Escrow| {
        let Standing { spent, lost, reserved, .. } = look(escrow, &account, Some(&again)).await;
        (spent, lost, reserved)
    };
    assert_eq!(told(&escrow).await, (300, 0, 700));
    let began = Timestamp::from_second(again.epoch).unwrap();
    escrow.now = began + std::time::Duration::from_secs(29);
    assert_eq!(told(&escrow).await, (300, 0, 700));
    escrow.now = began + std::time::Duration::from_secs(30);
    assert_eq!(told(&escrow).await, (300, 700, 0));
}

#[tokio::test]
async fn an_edit_of_the_limit_or_of_how_it_is_held_is_told() {
    let (ledger, larger) = (ledger(), account(LIMIT));
    let mut escrow = escrow(&ledger, None);
    let stored = kept(&escrow, &larger, None).await;
    assert_eq!(granted(&ledger, &larger.place, 1, 0, 900).await, 900);
    let smaller = account(500);
    let lowered = kept(&escrow, &smaller, Some(&stored)).await;
    assert_eq!(lowered.ceiling, 900, "no lower than what is gone");
    assert_eq!(granted(&ledger, &larger.place, 2, 900, 1).await, 0);
    let raised = kept(&escrow, &larger, Some(&lowered)).await;
    assert_eq!(granted(&ledger, &larger.place, 3, 900, 900).await, 900);
    let raised = kept(&escrow, &larger, Some(&raised)).await;
    assert_eq!(kept(&escrow, &larger, Some(&raised)).await, raised, "nothing is left to tell");
    escrow.terms.strict = false;
    let looser = kept(&escrow, &larger, Some(&raised)).await;
    assert!(!looser.strict && looser.revision > raised.revision);
}

#[tokio::test]
async fn values_that_spend_much_have_ceilings_of_their_own_that_outlive_the_ledger() {
    let (first, account) = (ledger(), account(LIMIT));
    let of = |value: &str| account.place.of(&value.into());
    let stored = kept(&escrow(&first, Some(10)), &account, None).await;
    assert_eq!((stored.ceiling, stored.values.len()), (1_000, 0));
    assert_eq!(granted(&first, &of("much"), 1, 0, 900).await, 900);
    assert_eq!(granted(&first, &of("much"), 2, 900, 50).await, 50);
    assert_eq!(granted(&first, &of("little"), 1, 0, 100).await, 100);
    assert_eq!(granted(&first, &of("little"), 2, 100, 1).await, 1);
    let listed = kept(&escrow(&first, Some(10)), &account, Some(&stored)).await;
    let of_listed = |stored: &BudgetCheckpoint| {
        stored.values.iter().map(|one| (one.value.clone(), one.ceiling)).collect::<Vec<_>>()
    };
    assert_eq!(listed.ceiling, 1_000);
    assert_eq!(of_listed(&listed), [("much".to_owned(), 1_950)]);
    assert_eq!(granted(&first, &of("much"), 3, 950, 1_000).await, 1_000);
    let standing = look(&escrow(&first, Some(10)), &account, Some(&listed)).await;
    assert_eq!((standing.spent, standing.reserved), (950, 1_000));
    assert_eq!(standing.values.unwrap(), (2, vec![("much".to_owned(), 950), ("little".to_owned(), 100)]));

    let second = ledger();
    let again = kept(&escrow(&second, Some(10)), &account, Some(&listed)).await;
    assert_eq!((again.ceiling, of_listed(&again)), (2_000, of_listed(&listed)));
    // Of one that is listed its own ceiling is gone, of another what all have in common.
    assert_eq!(granted(&second, &of("much"), 1, 0, 51).await, 0);
    assert_eq!(granted(&second, &of("much"), 2, 0, 50).await, 50);
    assert_eq!(granted(&second, &of("another"), 1, 0, 1_001).await, 0);
    assert_eq!(granted(&second, &of("another"), 2, 0, 1_000).await, 1_000);
}
