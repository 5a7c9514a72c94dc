//! What tests say to a ledger, whichever it is.

use std::time::Duration;

use llm_ledger::account::{Answer, Beginning, Checkpoint, Statement};
use llm_ledger::place::Place;
use llm_ledger::{Amount, Epoch, Holder, Millis};
use llm_ledger_connection::{Connection, Kind, Unanswered};

use crate::eventually::eventually;
use crate::server::WITHIN;

pub const KEPT: Duration = Duration::from_secs(3_600);
pub const LIMIT: Amount = 1_000;
pub const EPOCH: Epoch = Epoch(7);

pub fn place(budget: &str) -> Place {
    Place { budget: budget.into(), limit: "daily-usd".parse().unwrap(), start: 1_764_115_200, value: None }
}

/// A holder that says that it has so much, of which it has spent so much, and needs more.
pub fn says(holder: u64, seq: u64, (drawn, spent): (Amount, Amount), need: Amount) -> Statement {
    Statement { holder: Holder(holder), epoch: EPOCH, seq, drawn, spent, want: 0, need }
}

pub fn beginning(opened_at: Millis, limit: Amount) -> Beginning {
    Beginning { epoch: EPOCH, opened_at, limit, revision: 1, strict: true, gone: 0, values: None }
}

pub fn checkpoint(limit: Amount) -> Checkpoint {
    Checkpoint { epoch: EPOCH, revision: 2, limit, strict: true, ceiling: limit, values: None }
}

/// Begins an account of which all may be granted.
pub async fn begin(ledger: &Connection, place: &Place, limit: Amount) {
    let ledger = ledger.with_timeout(WITHIN);
    let opened_at = ledger.open(place, EPOCH, KEPT).await.unwrap().unwrap();
    assert_eq!(ledger.begin(place, &beginning(opened_at, limit), KEPT).await, Ok(true));
    assert_eq!(ledger.secure(place, &checkpoint(limit)).await, Ok(Some(limit)));
}

pub fn granted(answer: &Result<Answer, Unanswered>) -> Amount {
    match answer {
        Ok(Answer::Granted { amount, .. }) => *amount,
        other => panic!("{other:?}"),
    }
}

/// The first answer of an account that has not begun.
pub async fn answers(ledger: &Connection, place: &Place) {
    eventually("the ledger answers", WITHIN, async || {
        match ledger.state(place, &says(1, 1, (0, 0), 0)).await {
            Ok(_) => Ok(()),
            Err(why) => Err(why.to_string()),
        }
    })
    .await;
}

/// Waits until there is no answer for a reason that has these words.
pub async fn refuses(ledger: &Connection, place: &Place, words: &str) -> Unanswered {
    eventually(words, WITHIN, async || match ledger.state(place, &says(1, 1, (0, 0), 0)).await {
        Ok(answer) => Err(format!("{answer:?}")),
        Err(why) if why.to_string().contains(words) => Ok(why),
        Err(why) => Err(why.to_string()),
    })
    .await
}

/// Waits until there is no answer for a reason of this kind.
pub async fn fails(ledger: &Connection, place: &Place, kind: Kind) -> Unanswered {
    eventually("an operation fails", WITHIN, async || {
        match ledger.state(place, &says(1, 1, (0, 0), 1)).await {
            Ok(answer) => Err(format!("{answer:?}")),
            Err(why) if why.kind == kind => Ok(why),
            Err(why) => Err(why.to_string()),
        }
    })
    .await
}
