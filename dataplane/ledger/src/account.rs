//! One limit in one window, for all or for one value, as the ledger keeps it. The same transitions run embedded and as a
//! script in Redis, each of them whole or not at all.

mod messages;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Amount, Epoch, Holder, Millis, rolling::Rolling};

pub use messages::{Answer, Beginning, Checkpoint, Left, Short, Statement, Totals, Values};

/// Of what is left, one grant takes this part at most, unless a call needs more: the nearer the limit, the
/// smaller the slices, so that the last of it is not idle with somebody else.
const SHARE: Amount = 16;
/// A call that waits for others to give back is not waited for longer: its proxy may be gone.
pub const RECALL: Millis = 2_000;
/// Who is gone for good. Nobody else is called so: holders are called at random.
const GONE: Holder = Holder(0);
/// So long after the account was opened all who live and hold something have claimed it: what nobody has claimed is not
/// held, but spent.
pub const CLAIMED_AFTER: Millis = 30_000;
/// Without a checkpoint for so long nobody stores any, and a limit that is not strict is granted without: its calls must
/// not fail because the operator is away. A strict one stays below its ceiling.
pub const UNSECURED_AFTER: Millis = 10_000;

/// What binds an account besides its own ceiling: the word of its root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Terms {
    pub limit: Amount,
    pub strict: bool,
    /// Of each value so much may be gone, whatever its own ceiling; 0 for an account that is no value's.
    pub ceiling: Amount,
    pub secured_at: Millis,
    #[serde(skip)]
    pub opened_at: Millis,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    seq: u64,
    drawn: Amount,
    spent: Amount,
    /// When the holder was first heard of.
    #[serde(default)]
    since: Millis,
}

impl Entry {
    /// A call may have cost more than was reserved.
    fn weight(self) -> Amount {
        self.drawn.max(self.spent)
    }
}

/// A call that needs what others hold: of several the smallest, for it is served with the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Recall {
    holder: Holder,
    need: Amount,
    until: Millis,
}

/// The account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    epoch: Epoch,
    /// Of the checkpoint heard of last: one that comes late changes nothing.
    revision: u64,
    /// So much may be gone by what is stored outside of the ledger, and when that was said.
    ceiling: Amount,
    secured_at: Millis,
    unclaimed: Amount,
    entries: BTreeMap<Holder, Entry>,
    /// `unclaimed` and the weights of all entries: no statement walks through them.
    committed: Amount,
    /// What all entries have spent.
    spent: Amount,
    recall: Option<Recall>,
    short_of_ceiling: Amount,
    /// What is unclaimed was gone then. This and what follows matters of rolling limits only.
    #[serde(default)]
    begun_at: Millis,
    /// Nothing has come into it since.
    #[serde(default)]
    latest: Millis,
    /// Nothing leaves it before.
    #[serde(default)]
    looks_at: Millis,
}

impl Account {
    /// Begins with so much gone, which was so at `begun_at`.
    pub(crate) fn begun(epoch: Epoch, revision: u64, gone: Amount, begun_at: Millis, now: Millis) -> Self {
        Self {
            epoch,
            revision,
            ceiling: gone,
            secured_at: now,
            unclaimed: gone,
            entries: BTreeMap::new(),
            committed: gone,
            spent: 0,
            recall: None,
            short_of_ceiling: 0,
            begun_at,
            latest: now,
            looks_at: now,
        }
    }

    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A checkpoint has been stored, or will be: so much may be gone. Whether this is what says so first; nothing where a
    /// later one has been heard.
    ///
    /// A lower one must be agreed to before it is stored, and no lower than what is committed already: it is the answer
    /// that is stored. What comes late changes nothing, and what comes again says that the operator is there.
    pub(crate) fn secure(&mut self, revision: u64, ceiling: Amount, now: Millis) -> Option<bool> {
        if revision < self.revision {
            return None;
        }
        self.secured_at = now;
        if revision == self.revision {
            return Some(false);
        }
        self.revision = revision;
        self.ceiling = ceiling.max(self.committed.min(self.ceiling));
        self.short_of_ceiling = 0;
        Some(true)
    }

    /// Of a rolling limit takes out what counts no more; whether it looked. It walks through all entries, and so does that
    /// when something is due only, and not too often.
    pub(crate) fn roll(&mut self, rolling: Option<Rolling>, now: Millis) -> bool {
        let Some(rolling) = rolling.filter(|_| now >= self.looks_at) else { return false };
        let counts = |since: Millis| now < since + rolling.counts_for();
        if !counts(self.begun_at) {
            self.committed -= self.unclaimed;
            self.unclaimed = 0;
        }
        for (_, entry) in self.entries.extract_if(.., |_, entry| !counts(entry.since)) {
            self.committed -= entry.weight();
            self.spent -= entry.spent;
        }
        let gone_at = (self.unclaimed > 0).then_some(self.begun_at);
        let first = self.entries.values().map(|entry| entry.since).chain(gone_at).min();
        self.looks_at = (first.unwrap_or(now) + rolling.counts_for()).max(now + rolling.pause());
        true
    }

    /// When nothing in it will count any more.
    pub(crate) fn over_at(&self, rolling: Rolling) -> Millis {
        self.latest + rolling.counts_for()
    }

    /// Hears what a holder has, and grants. Gives besides whether others are to be asked for what they hold.
    pub(crate) fn state(
        &mut self,
        statement: &Statement,
        terms: &Terms,
        rolling: Option<Rolling>,
        now: Millis,
    ) -> (Answer, bool) {
        if statement.epoch != self.epoch {
            return (Answer::Moved(self.epoch), false);
        }
        self.roll(rolling, now);
        let known = self.entries.get(&statement.holder).copied();
        let mut entry = known.unwrap_or(Entry { since: now, ..Entry::default() });
        if statement.seq <= entry.seq {
            return (Answer::Stale, false);
        }
        // Drawn before this epoch: it is a part of what was taken for gone.
        let claimed = statement.drawn.saturating_sub(entry.drawn).min(self.unclaimed);
        self.unclaimed -= claimed;
        self.committed -= claimed + entry.weight();
        self.spent = self.spent - entry.spent + statement.spent;
        entry = Entry { seq: statement.seq, drawn: statement.drawn, spent: statement.spent, ..entry };
        self.committed += entry.weight();
        let (granted, asks) = self.granted(statement, entry, terms, now);
        let amount = granted.unwrap_or(0);
        self.committed -= entry.weight();
        entry.drawn += amount;
        self.committed += entry.weight();
        self.entries.insert(statement.holder, entry);
        self.latest = self.latest.max(entry.since);
        let left = Left {
            limit: terms.limit,
            free: terms.limit.saturating_sub(self.committed),
            spent: self.spent + self.lost(terms, now),
            short: granted.err(),
        };
        // Who waits for more than somebody else does gives back too: what it holds would serve neither.
        let recall = self.recall.is_some_and(|recall| recall.holder != statement.holder);
        (Answer::Granted { seq: statement.seq, amount, recall, left }, asks)
    }

    fn granted(
        &mut self,
        statement: &Statement,
        entry: Entry,
        terms: &Terms,
        now: Millis,
    ) -> (Result<Amount, Short>, bool) {
        let Statement { holder, want, need, .. } = *statement;
        let free = terms.limit.saturating_sub(self.committed);
        let secured_at = self.secured_at.max(terms.secured_at);
        let room = if terms.strict || now < secured_at + UNSECURED_AFTER {
            free.min(self.ceiling.max(terms.ceiling).saturating_sub(self.committed))
        } else {
            free
        };
        let recall = self.recall.filter(|recall| now < recall.until);
        let (own, others) = (
            recall.filter(|recall| recall.holder == holder),
            recall.filter(|recall| recall.holder != holder),
        );
        self.recall = others;
        // What comes back is for the call that waits for it first.
        let want = want.min(room.saturating_sub(others.map_or(0, |recall| recall.need)));
        let amount = want.max(need).min(need.max(room / SHARE)).min(room);
        if amount >= need {
            return (Ok(amount), false);
        }
        if free >= need {
            self.short_of_ceiling = self.short_of_ceiling.saturating_add(need);
            return (Err(Short::Ceiling), false);
        }
        let gone = self.spent - entry.spent + entry.weight() + self.lost(terms, now);
        if terms.limit.saturating_sub(gone) < need {
            return (Err(Short::Spent), false);
        }
        if others.is_none_or(|recall| need < recall.need) {
            let until = own.map_or(now + RECALL, |own| own.until);
            self.recall = Some(Recall { holder, need, until });
            return (Err(Short::Held), own.is_none());
        }
        (Err(Short::Held), false)
    }

    /// Gone before this epoch, and claimed by nobody in time.
    fn lost(&self, terms: &Terms, now: Millis) -> Amount {
        if now >= terms.opened_at + CLAIMED_AFTER { self.unclaimed } else { 0 }
    }

    /// All who hold something are gone for good: one entry says what they had, so that there are not more with each start.
    /// Those of a rolling limit go by themselves, each in its time.
    pub(crate) fn bury(&mut self, rolling: Option<Rolling>) {
        self.recall = None;
        if rolling.is_some() {
            return;
        }
        let drawn = self.entries.values().map(|entry| entry.weight()).sum();
        let buried = Entry { seq: u64::MAX, drawn, spent: self.spent, since: self.latest };
        self.entries = BTreeMap::from([(GONE, buried)]);
    }

    pub(crate) fn totals(&self, limit: Amount) -> Totals {
        Totals {
            epoch: self.epoch,
            revision: self.revision,
            ceiling: self.ceiling,
            limit,
            spent: self.spent,
            held: self.committed - self.unclaimed - self.spent,
            unclaimed: self.unclaimed,
            free: limit.saturating_sub(self.committed),
            short_of_ceiling: self.short_of_ceiling,
        }
    }

    /// A value's call fell short of its own ceiling: told at its root too, where the operator looks first.
    pub(crate) fn add_short(&mut self, need: Amount) {
        self.short_of_ceiling = self.short_of_ceiling.saturating_add(need);
    }

    pub(crate) fn short_of_ceiling(&self) -> Amount {
        self.short_of_ceiling
    }

    pub(crate) fn spent(&self) -> Amount {
        self.spent
    }

    pub(crate) fn ceiling(&self) -> Amount {
        self.ceiling
    }

    pub(crate) fn begun_at(&self) -> Millis {
        self.begun_at
    }

    pub(crate) fn committed(&self) -> Amount {
        self.committed
    }

    /// Whether the sums that are kept are those of their parts.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let sum = |of: fn(Entry) -> Amount| self.entries.values().map(|entry| of(*entry)).sum::<Amount>();
        self.committed == self.unclaimed + sum(Entry::weight) && self.spent == sum(|entry| entry.spent)
    }
}

#[cfg(test)]
mod tests;
