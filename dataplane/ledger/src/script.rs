//! The accounts as a script in Redis: what is sent with the [keys](crate::place::Place::keys) of a place, and how the
//! answers are read. Whoever holds the connection sends it.

use std::sync::Arc;

use crate::{
    Amount, Epoch, Millis,
    account::{Answer, Beginning, Checkpoint, Left, Short, Statement, Totals},
    accounts::Spenders,
};

/// The transitions of [`Accounts`](crate::accounts::Accounts), in Lua.
pub const SCRIPT: &str = include_str!("account.lua");

/// The largest limit: numbers in a script are doubles. In nano-USD that is some 9 million USD.
pub const LARGEST: Amount = (1 << 53) - 1;

/// The arguments of a call, all of them text. `now` is left out where the server's clock is to be taken, as it is but in
/// tests.
#[must_use]
pub fn state(statement: &Statement, now: Option<Millis>) -> Vec<String> {
    let Statement { holder, epoch, seq, drawn, spent, want, need } = *statement;
    arguments("state", now, &[holder.0, epoch.0, seq, drawn, spent, want, need])
}

/// Those that say by which epoch an account will be begun, and for how many milliseconds that is kept.
#[must_use]
pub fn open(epoch: Epoch, kept: Millis, now: Option<Millis>) -> Vec<String> {
    arguments("open", now, &[epoch.0, kept])
}

/// Those that begin an account, which is kept for so many milliseconds; `None` for more than Redis counts exactly.
#[must_use]
pub fn begin(beginning: &Beginning, kept: Millis, now: Option<Millis>) -> Option<Vec<String>> {
    let Beginning { epoch, opened_at, limit, revision, strict, gone, values } = *beginning;
    let (ceiling, value_gone, most) =
        values.map_or((0, 0, 0), |values| (values.ceiling, values.gone, values.most));
    let numbers =
        [epoch.0, limit, revision, u64::from(strict), gone, kept, ceiling, value_gone, most, opened_at];
    let largest = limit.max(gone).max(ceiling).max(value_gone);
    (largest <= LARGEST).then(|| arguments("begin", now, &numbers))
}

/// Those that tell of a checkpoint; `None` for more than Redis counts exactly.
#[must_use]
pub fn secure(checkpoint: &Checkpoint, now: Option<Millis>) -> Option<Vec<String>> {
    let Checkpoint { epoch, revision, limit, strict, ceiling, values } = *checkpoint;
    let mut numbers = vec![epoch.0, revision, limit, u64::from(strict), ceiling];
    numbers.extend(values.iter().flat_map(|(ceiling, most)| [*ceiling, *most]));
    let largest = limit.max(ceiling).max(values.map_or(0, |(ceiling, _)| ceiling));
    (largest <= LARGEST).then(|| arguments("secure", now, &numbers))
}

/// Those that ask how an account stands.
#[must_use]
pub fn totals(now: Option<Millis>) -> Vec<String> {
    arguments("totals", now, &[])
}

/// Those that ask for the values of a root, so many of them at most.
#[must_use]
pub fn values(most: usize, now: Option<Millis>) -> Vec<String> {
    arguments("values", now, &[most as u64])
}

fn arguments(asked: &str, now: Option<Millis>, numbers: &[u64]) -> Vec<String> {
    let mut arguments = vec![asked.to_owned(), now.map(|now| now.to_string()).unwrap_or_default()];
    arguments.extend(numbers.iter().map(u64::to_string));
    arguments
}

/// When the root was opened; `Some(None)` where it was not. `None`, as below, where the words are none of the script's.
#[must_use]
pub fn opened(words: &[&str]) -> Option<Option<Millis>> {
    match *words {
        ["opened", at] => Some(Some(at.parse().ok()?)),
        ["late"] => Some(None),
        _ => None,
    }
}

/// What was answered to `begin`: whether it did.
#[must_use]
pub fn done(words: &[&str]) -> Option<bool> {
    match *words {
        ["0"] => Some(false),
        ["1"] => Some(true),
        _ => None,
    }
}

/// The ceiling that holds after a checkpoint, as [`Accounts::secure`](crate::accounts::Accounts::secure) gives it.
#[must_use]
pub fn secured(words: &[&str]) -> Option<Option<Amount>> {
    match *words {
        ["secured", ceiling] => Some(Some(ceiling.parse().ok()?)),
        ["late" | "closed"] => Some(None),
        _ => None,
    }
}

/// The answer to a statement of the number `seq`.
#[must_use]
pub fn answer(words: &[&str], seq: u64) -> Option<Answer> {
    match *words {
        ["granted", amount, recall, limit, free, spent, short] => {
            let short = match short {
                "" => None,
                "spent" => Some(Short::Spent),
                "held" => Some(Short::Held),
                "ceiling" => Some(Short::Ceiling),
                _ => return None,
            };
            let [amount, limit, free, spent] = numbers([amount, limit, free, spent])?;
            let left = Left { limit, free, spent, short };
            Some(Answer::Granted { seq, amount, recall: recall == "1", left })
        }
        ["stale"] => Some(Answer::Stale),
        ["moved", epoch] => Some(Answer::Moved(Epoch(epoch.parse().ok()?))),
        ["closed"] => Some(Answer::Closed),
        ["full"] => Some(Answer::Full),
        _ => None,
    }
}

/// How an account stands, as [`Accounts::totals`](crate::accounts::Accounts::totals) gives it.
#[must_use]
pub fn standing(words: &[&str]) -> Option<Option<Totals>> {
    match *words {
        ["totals", epoch, revision, ceiling, limit, spent, committed, unclaimed, short] => {
            let [epoch, revision, ceiling, limit] = numbers([epoch, revision, ceiling, limit])?;
            let [spent, committed, unclaimed, short_of_ceiling] =
                numbers([spent, committed, unclaimed, short])?;
            Some(Some(Totals {
                epoch: Epoch(epoch),
                revision,
                ceiling,
                limit,
                spent,
                held: committed.checked_sub(unclaimed)?.checked_sub(spent)?,
                unclaimed,
                free: limit.saturating_sub(committed),
                short_of_ceiling,
            }))
        }
        ["closed"] => Some(None),
        _ => None,
    }
}

/// The values of a root.
#[must_use]
pub fn spenders(words: &[&str]) -> Option<Spenders> {
    let ["values", count, spent, ref rest @ ..] = *words else { return None };
    let (pairs, []) = rest.as_chunks() else { return None };
    let pairs = pairs.iter().map(|[value, amount]| Some((Arc::from(*value), amount.parse().ok()?)));
    let mut pairs = pairs.collect::<Option<Vec<_>>>()?;
    let spent = spent.parse().ok().filter(|spent| *spent <= pairs.len())?;
    let short = pairs.split_off(spent);
    Some(Spenders { count: count.parse().ok()?, spent: pairs, short })
}

fn numbers<const N: usize>(words: [&str; N]) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    for (number, word) in numbers.iter_mut().zip(words) {
        *number = word.parse().ok()?;
    }
    Some(numbers)
}
