//! The account as a script in Redis: what is sent, and how its answers are read. Whoever holds the connection sends it.

use crate::{
    Amount, Epoch, Millis,
    account::{Answer, Beginning, Statement},
};

/// The transitions of an [`Account`](crate::account::Account), in Lua.
pub const SCRIPT: &str = include_str!("account.lua");

/// The largest limit: numbers in a script are doubles. In nano-USD that is some 9 million USD.
pub const LARGEST: Amount = (1 << 53) - 1;

/// The arguments of a call, all of them text. `now` is left out where the server's clock is to be taken, as it is but in
/// tests.
#[must_use]
pub fn state(statement: &Statement, now: Option<Millis>) -> Vec<String> {
    let Statement { holder, epoch, seq, drawn, spent, want, need } = *statement;
    let mut arguments = head("state", now);
    arguments.extend([holder.0, epoch.0, seq, drawn, spent, want, need].map(|number| number.to_string()));
    arguments
}

/// Those that begin an account, which is kept for so many milliseconds; `None` for more than Redis counts exactly.
#[must_use]
pub fn begin(beginning: &Beginning, kept: Millis, now: Option<Millis>) -> Option<Vec<String>> {
    let Beginning { epoch, limit, revision, strict, gone } = *beginning;
    let numbers = [epoch.0, limit, revision, u64::from(strict), gone, kept];
    arguments("begin", now, numbers, limit.max(gone))
}

/// Those that tell of a checkpoint that is stored, and of the limit as it is now by its revision; `None` for more than
/// Redis counts exactly.
#[must_use]
pub fn secure(
    epoch: Epoch,
    (limit, revision): (Amount, u64),
    ceiling: Amount,
    now: Option<Millis>,
) -> Option<Vec<String>> {
    arguments("secure", now, [epoch.0, limit, revision, ceiling], limit.max(ceiling))
}

fn arguments<const N: usize>(
    asked: &str,
    now: Option<Millis>,
    numbers: [u64; N],
    largest: Amount,
) -> Option<Vec<String>> {
    let mut arguments = head(asked, now);
    arguments.extend(numbers.map(|number| number.to_string()));
    (largest <= LARGEST).then_some(arguments)
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
