//! The account as a script in Redis: what is sent, and how its answers are read. Whoever holds the connection sends it.

use crate::{
    Amount, Epoch, Millis,
    account::{Answer, Statement},
};

/// The transitions of an [`Account`](crate::account::Account), in Lua.
pub const SCRIPT: &str = include_str!("account.lua");

/// The arguments of a call, all of them text. `now` is left out where the server's clock is to be taken, as it is but in
/// tests.
#[must_use]
pub fn state(statement: &Statement, now: Option<Millis>) -> Vec<String> {
    let Statement { holder, epoch, seq, drawn, spent, want, need } = *statement;
    let mut arguments = head("state", now);
    arguments.extend([holder.0, epoch.0, seq, drawn, spent, want, need].map(|number| number.to_string()));
    arguments
}

/// Those that begin an account, which is kept for so many milliseconds.
#[must_use]
pub fn begin(epoch: Epoch, limit: Amount, ceiling: Amount, kept: Millis, now: Option<Millis>) -> Vec<String> {
    let mut arguments = head("begin", now);
    arguments.extend([epoch.0, limit, ceiling, kept].map(|number| number.to_string()));
    arguments
}

/// Those that tell of a checkpoint that is stored, and of the limit as it is now.
#[must_use]
pub fn secure(limit: Amount, ceiling: Amount, now: Option<Millis>) -> Vec<String> {
    let mut arguments = head("secure", now);
    arguments.extend([limit, ceiling].map(|number| number.to_string()));
    arguments
}

fn head(asked: &str, now: Option<Millis>) -> Vec<String> {
    vec![asked.to_owned(), now.map(|now| now.to_string()).unwrap_or_default()]
}

/// The answer to a statement of the number `seq`, from the words that the script gives; `None` where they are none of its.
#[must_use]
pub fn answer(words: &[&str], seq: u64) -> Option<Answer> {
    match *words {
        ["granted", amount, recall] => {
            Some(Answer::Granted { seq, amount: amount.parse().ok()?, recall: recall == "1" })
        }
        ["stale"] => Some(Answer::Stale),
        ["moved", epoch] => Some(Answer::Moved(Epoch(epoch.parse().ok()?))),
        ["closed"] => Some(Answer::Closed),
        _ => None,
    }
}
