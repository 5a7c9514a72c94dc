//! One limit in one window, as the ledger keeps it. The same transitions run embedded and as a script in
//! Redis, each of them whole or not at all.

use std::collections::BTreeMap;

use crate::{Amount, Epoch, Holder, Millis};

/// Of what is left, one grant takes this part at most, unless a call needs more: the nearer the limit, the
/// smaller the slices, so that the last of it is not idle with somebody else.
const SHARE: Amount = 16;
/// A call that waits for others to give back is not waited for longer: its proxy may be gone.
const RECALL: Millis = 2_000;
/// Without a checkpoint for so long nobody stores any, and a limit that is not strict is granted without: its calls must
/// not fail because the operator is away. A strict one stays below its ceiling.
pub const UNSECURED_AFTER: Millis = 10_000;

/// All that a proxy holds of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    pub holder: Holder,
    pub epoch: Epoch,
    /// Grows with each statement of the holder. What was granted in answer to another than its last never
    /// counts for it.
    pub seq: u64,
    /// All that it ever got, but for what it has given back.
    pub drawn: Amount,
    pub spent: Amount,
    /// What it would like besides.
    pub want: Amount,
    /// Less than this is of no use to it; 0 where no call waits.
    pub need: Amount,
}

/// How an account begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    pub epoch: Epoch,
    pub limit: Amount,
    /// Which word on the limit that is: a later one has a higher number.
    pub revision: u64,
    /// Never more is granted than what is stored outside of the ledger, whoever is away.
    pub strict: bool,
    /// What may be gone: the ceiling that was stored last.
    pub gone: Amount,
}

/// What the ledger answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Granted, in answer to the statement of this number; perhaps nothing.
    Granted {
        seq: u64,
        amount: Amount,
        /// Others' calls wait for what this holder does not use.
        recall: bool,
    },
    /// A later statement of this holder has been heard.
    Stale,
    /// The ledger has begun anew: state again all that is held, by this epoch.
    Moved(Epoch),
    /// Nobody has told the ledger what was gone before it began.
    Closed,
}

/// What has become of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub limit: Amount,
    /// As far as the holders have told.
    pub spent: Amount,
    /// With holders, and not spent as far as they have told.
    pub held: Amount,
    /// Gone before this epoch, and claimed by nobody yet.
    pub unclaimed: Amount,
    pub free: Amount,
    /// What calls needed in vain since the last checkpoint, for the ceiling was in their way.
    pub short_of_ceiling: Amount,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    seq: u64,
    drawn: Amount,
    spent: Amount,
}

impl Entry {
    /// A call may have cost more than was reserved.
    fn weight(self) -> Amount {
        self.drawn.max(self.spent)
    }
}

/// A call that needs what others hold: of several the smallest, for it is served with the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Recall {
    holder: Holder,
    need: Amount,
    until: Millis,
}

/// The account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    epoch: Epoch,
    limit: Amount,
    /// Which word on the limit that was: one that comes late changes nothing.
    revision: u64,
    strict: bool,
    /// So much may be gone by what is stored outside of the ledger, and when that was said.
    ceiling: Amount,
    secured_at: Millis,
    unclaimed: Amount,
    entries: BTreeMap<Holder, Entry>,
    /// `unclaimed` and the weights of all entries: no statement walks through them.
    committed: Amount,
    recall: Option<Recall>,
    short_of_ceiling: Amount,
}

impl Account {
    /// Begins where nothing has begun; whether it did. An order to begin that comes late would undo what was granted
    /// since. `gone` may be so already: the ceiling that was stored last.
    pub fn begin(place: &mut Option<Self>, beginning: Beginning, now: Millis) -> bool {
        let empty = place.is_none();
        if empty {
            *place = Some(Self::begun(beginning, now));
        }
        empty
    }

    fn begun(Beginning { epoch, limit, revision, strict, gone }: Beginning, now: Millis) -> Self {
        Self {
            epoch,
            limit,
            revision,
            strict,
            ceiling: gone,
            secured_at: now,
            unclaimed: gone,
            entries: BTreeMap::new(),
            committed: gone,
            recall: None,
            short_of_ceiling: 0,
        }
    }

    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A checkpoint has been stored: so much may be gone, of this limit, by this revision of it. Where it is lower than
    /// what is committed nothing is granted until enough comes back. What comes late changes nothing, nor what speaks of
    /// another epoch.
    pub fn secure(&mut self, epoch: Epoch, (limit, revision): (Amount, u64), ceiling: Amount, now: Millis) {
        if epoch != self.epoch || revision < self.revision {
            return;
        }
        (self.limit, self.revision) = (limit, revision);
        self.ceiling = self.ceiling.max(ceiling);
        self.secured_at = now;
        self.short_of_ceiling = 0;
    }

    /// Hears what a holder has, and grants.
    pub fn state(&mut self, statement: &Statement, now: Millis) -> Answer {
        if statement.epoch != self.epoch {
            return Answer::Moved(self.epoch);
        }
        let entry = self.entries.entry(statement.holder).or_default();
        if statement.seq <= entry.seq {
            return Answer::Stale;
        }
        // Drawn before this epoch: it is a part of what was taken for gone.
        let claimed = statement.drawn.saturating_sub(entry.drawn).min(self.unclaimed);
        self.unclaimed -= claimed;
        self.committed -= claimed + entry.weight();
        *entry = Entry { seq: statement.seq, drawn: statement.drawn, spent: statement.spent };
        self.committed += entry.weight();
        let amount = self.granted(statement, now);
        if let Some(entry) = self.entries.get_mut(&statement.holder) {
            self.committed -= entry.weight();
            entry.drawn += amount;
            self.committed += entry.weight();
        }
        Answer::Granted { seq: statement.seq, amount, recall: self.is_recalled(statement, now) }
    }

    /// Who waits for more than somebody else does gives back too: what it holds would serve neither.
    fn is_recalled(&mut self, statement: &Statement, now: Millis) -> bool {
        self.recall = self.recall.filter(|recall| now < recall.until);
        self.recall.is_some_and(|recall| recall.holder != statement.holder)
    }

    fn granted(&mut self, statement: &Statement, now: Millis) -> Amount {
        let Statement { holder, want, need, .. } = *statement;
        let free = self.limit.saturating_sub(self.committed);
        let room = if self.strict || now < self.secured_at + UNSECURED_AFTER {
            free.min(self.ceiling.saturating_sub(self.committed))
        } else {
            free
        };
        self.recall = self.recall.filter(|recall| recall.holder != holder);
        let amount = want.max(need).min(need.max(room / SHARE)).min(room);
        if amount >= need {
            return amount;
        }
        if free >= need {
            self.short_of_ceiling = self.short_of_ceiling.saturating_add(need);
        } else if self.recall.is_none_or(|recall| now >= recall.until || need < recall.need) {
            self.recall = Some(Recall { holder, need, until: now + RECALL });
        }
        0
    }

    #[must_use]
    pub fn totals(&self) -> Totals {
        let entries = self.entries.values();
        let (spent, held) = entries.fold((0, 0), |(spent, held), entry| {
            (spent + entry.spent, held + entry.drawn.saturating_sub(entry.spent))
        });
        Totals {
            limit: self.limit,
            spent,
            held,
            unclaimed: self.unclaimed,
            free: self.limit.saturating_sub(self.committed),
            short_of_ceiling: self.short_of_ceiling,
        }
    }

    /// Whether the sum that is kept is that of its parts.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.committed == self.unclaimed + self.entries.values().map(|entry| entry.weight()).sum::<Amount>()
    }

    /// What may be gone: the next checkpoint stores it, and some room for what will be granted until the one
    /// after it.
    #[must_use]
    pub fn committed(&self) -> Amount {
        self.committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Holder = Holder(1);
    const B: Holder = Holder(2);

    fn begun(epoch: u64, limit: Amount, gone: Amount, strict: bool) -> Account {
        Account::begun(Beginning { epoch: Epoch(epoch), limit, revision: 1, strict, gone }, 0)
    }

    fn account(limit: Amount) -> Account {
        let mut account = begun(1, limit, 0, true);
        account.secure(Epoch(1), (limit, 1), limit, 0);
        account
    }

    fn said(holder: Holder, seq: u64, drawn: Amount, spent: Amount, want: Amount, need: Amount) -> Statement {
        Statement { holder, epoch: Epoch(1), seq, drawn, spent, want, need }
    }

    fn granted(answer: Answer) -> (Amount, bool) {
        match answer {
            Answer::Granted { amount, recall, .. } => (amount, recall),
            _ => (Amount::MAX, false),
        }
    }

    #[test]
    fn slices_shrink_as_the_limit_nears_but_a_call_gets_what_it_needs() {
        let mut account = account(1_600);
        assert_eq!(granted(account.state(&said(A, 1, 0, 0, 1_000, 0), 0)), (100, false));
        assert_eq!(granted(account.state(&said(A, 2, 100, 100, 1_000, 0), 0)), (93, false));
        assert_eq!(granted(account.state(&said(B, 1, 0, 0, 1_400, 1_400), 0)), (1_400, false));
        assert_eq!(granted(account.state(&said(A, 3, 193, 193, 1_000, 0), 0)), (0, false));
        assert_eq!(granted(account.state(&said(A, 4, 193, 193, 7, 7), 0)), (7, false));
        assert_eq!(account.totals().free, 0);
    }

    #[test]
    fn a_statement_is_all_that_is_held_however_often_it_comes() {
        let mut account = account(1_600);
        let first = said(A, 1, 0, 0, 100, 0);
        account.state(&first, 0);
        assert_eq!(account.state(&first, 0), Answer::Stale);
        // The grant never arrived: it is not counted twice, and not lost.
        assert_eq!(granted(account.state(&said(A, 2, 0, 0, 100, 0), 0)).0, 100);
        assert_eq!((account.totals().held, account.totals().free), (100, 1_500));
        account.state(&said(A, 3, 40, 30, 0, 0), 0);
        assert_eq!((account.totals().spent, account.totals().held, account.totals().free), (30, 10, 1_560));
        // A call that ran past what it had reserved.
        account.state(&said(A, 4, 40, 55, 0, 0), 0);
        assert_eq!((account.totals().spent, account.totals().held, account.totals().free), (55, 0, 1_545));
    }

    #[test]
    fn idle_money_is_asked_back_for_a_call_that_waits_and_the_smallest_goes_first() {
        let mut account = account(100);
        assert_eq!(granted(account.state(&said(A, 1, 0, 0, 100, 100), 0)), (100, false));
        assert_eq!(granted(account.state(&said(B, 1, 0, 0, 30, 30), 0)), (0, false));
        assert_eq!(granted(account.state(&said(Holder(3), 1, 0, 0, 50, 50), 0)), (0, true));
        assert_eq!(granted(account.state(&said(A, 2, 100, 0, 0, 0), 0)), (0, true));
        account.state(&said(A, 3, 60, 0, 0, 0), 0);
        assert_eq!(granted(account.state(&said(B, 2, 0, 0, 30, 30), 0)), (30, false));
        // Who waits no more, or is gone, is not waited for.
        assert_eq!(granted(account.state(&said(A, 4, 60, 0, 0, 0), RECALL)), (0, false));
    }

    #[test]
    fn what_is_granted_stays_below_what_is_stored_while_anybody_stores() {
        for strict in [false, true] {
            let mut account = begun(2, 1_000, 200, strict);
            let said = |seq, need| Statement { epoch: Epoch(2), ..said(A, seq, 50, 50, need, need) };
            assert_eq!(
                account.state(&Statement { epoch: Epoch(1), ..said(1, 0) }, 0),
                Answer::Moved(Epoch(2))
            );
            assert_eq!(granted(account.state(&said(1, 10), 0)).0, 0);
            assert_eq!((account.totals().unclaimed, account.totals().short_of_ceiling), (150, 10));
            account.secure(Epoch(2), (1_000, 1), 230, 10);
            assert_eq!(granted(account.state(&said(2, 30), 10)).0, 30);
            assert_eq!(granted(account.state(&Statement { drawn: 80, ..said(3, 1) }, 10)).0, 0);
            // Who is away may be so for long; only what is not strict goes on without.
            let away = 10 + UNSECURED_AFTER;
            let alone = if strict { 0 } else { 700 };
            assert_eq!(granted(account.state(&Statement { drawn: 80, ..said(4, 700) }, away)).0, alone);
        }
    }

    #[test]
    fn a_checkpoint_that_comes_late_raises_no_limit() {
        let mut account = account(100);
        account.secure(Epoch(1), (50, 3), 60, 0);
        account.secure(Epoch(1), (100, 2), 100, 0);
        account.secure(Epoch(0), (100, 4), 100, 0);
        assert_eq!(account.totals().limit, 50);
        account.secure(Epoch(1), (70, 3), 60, 0);
        assert_eq!(account.totals().limit, 70);
    }

    /// Of 120 that are gone A had 100 and B 20. A has given back 50 since. Were what it said before that to claim its
    /// 100, its 50 would then free what is B's.
    #[test]
    fn what_was_said_in_an_earlier_epoch_claims_nothing() {
        let mut account = begun(2, 120, 120, true);
        assert_eq!(account.state(&said(A, 1, 100, 0, 0, 0), 0), Answer::Moved(Epoch(2)));
        let now = |statement| Statement { epoch: Epoch(2), ..statement };
        account.state(&now(said(A, 2, 50, 0, 0, 0)), 0);
        assert_eq!((account.totals().free, account.totals().unclaimed), (0, 70));
        account.state(&now(said(B, 1, 20, 0, 0, 0)), 0);
        assert_eq!((account.totals().free, account.totals().unclaimed), (0, 50));
    }

    #[test]
    fn a_limit_below_what_is_gone_grants_nothing_until_it_is_raised() {
        let mut account = account(100);
        account.state(&said(A, 1, 0, 0, 80, 80), 0);
        account.secure(Epoch(1), (50, 2), 100, 0);
        assert_eq!(granted(account.state(&said(A, 2, 80, 10, 5, 5), 0)).0, 0);
        assert_eq!(account.totals().free, 0);
        account.secure(Epoch(1), (100, 3), 100, 0);
        assert_eq!(granted(account.state(&said(A, 3, 80, 10, 5, 5), 0)).0, 5);
        assert!(account.is_balanced());
    }
}
