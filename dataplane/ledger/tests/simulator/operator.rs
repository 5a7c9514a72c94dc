//! The operators, and what they store where nothing is lost. Each looks, decides, stores, and tells, one after the other;
//! anything may happen in between, and another operator may believe that it is the leader.

use llm_ledger::account::{Beginning, Checkpoint, Totals, Values};
use llm_ledger::{Amount, Epoch, Millis};
use std::collections::VecDeque;

use crate::broken::Broken;
use crate::network::{Reply, Request};

/// An answer that takes longer is not waited for.
const TIMEOUT: Millis = 300;

/// The object that all operators see: its spec and its status.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Another with each change: who has seen an earlier one stores nothing.
    pub version: u64,
    pub limit: Amount,
    pub epoch: Epoch,
    revision: u64,
    /// Of each account that has one of its own.
    ceilings: Vec<Option<Amount>>,
    /// Of each value that has none, and how many have accounts.
    pub values: Option<(Amount, u64)>,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Epoch(Epoch),
    /// And the ceiling of all values.
    Revision(u64, Option<Amount>),
    Ceiling(usize, Option<Amount>),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(Request),
    /// Whether the next change is stored with it, at once.
    Store(Change, bool),
}

pub struct Operator {
    pub ledger: usize,
    pub away_until: Millis,
    looks_at: Millis,
    seen: Option<Stored>,
    plan: VecDeque<Step>,
    waits: Option<(u64, Millis)>,
    numbers: u64,
    opened_at: Millis,
    /// It stores this part of the limit beyond what is gone.
    room: u64,
    broken: Option<Broken>,
}

/// What an operator does next.
pub enum Act {
    Nothing,
    Ask(u64, Request),
    /// And may go on.
    Stored,
}

impl Stored {
    pub fn new(limit: Amount, accounts: usize, most: Option<u64>) -> Self {
        Self {
            version: 0,
            limit,
            epoch: Epoch(0),
            revision: 0,
            ceilings: vec![None; accounts],
            values: most.map(|most| (0, most)),
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Epoch(epoch) => self.epoch = epoch,
            Change::Revision(revision, values) => {
                self.revision = revision;
                if let (Some(stored), Some(ceiling)) = (&mut self.values, values) {
                    stored.0 = ceiling;
                }
            }
            Change::Ceiling(account, ceiling) => self.ceilings[account] = ceiling,
        }
    }

    /// So much of an account may be gone.
    pub fn ceiling(&self, account: usize) -> Amount {
        let of_values = self.values.map_or(0, |(ceiling, _)| ceiling);
        self.ceilings[account].unwrap_or(0).max(of_values)
    }
}

impl Operator {
    pub fn new(broken: Option<Broken>, room: u64) -> Self {
        Self {
            ledger: 0,
            away_until: 0,
            looks_at: 0,
            seen: None,
            plan: VecDeque::new(),
            waits: None,
            numbers: 0,
            opened_at: 0,
            room,
            broken,
        }
    }

    fn is(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }

    fn give_up(&mut self, now: Millis) {
        self.plan.clear();
        self.waits = None;
        self.looks_at = now + 250;
    }

    /// Goes on with its plan, until it must wait for an answer.
    pub fn act(&mut self, stored: &mut Stored, now: Millis) -> Act {
        if now < self.away_until {
            return Act::Nothing;
        }
        if let Some((_, since)) = self.waits {
            if now >= since + TIMEOUT {
                self.give_up(now);
            }
            return Act::Nothing;
        }
        match self.plan.pop_front() {
            None if now < self.looks_at => Act::Nothing,
            None => {
                self.seen = Some(stored.clone());
                self.ask(Request::Look, now)
            }
            Some(Step::Ask(Request::Begin(account, beginning))) => {
                let beginning = Beginning { opened_at: self.opened_at, ..beginning };
                self.ask(Request::Begin(account, beginning), now)
            }
            Some(Step::Ask(request)) => self.ask(request, now),
            Some(Step::Store(change, more)) => {
                self.store(change, more, stored, now);
                Act::Stored
            }
        }
    }

    fn ask(&mut self, request: Request, now: Millis) -> Act {
        self.numbers += 1;
        self.waits = Some((self.numbers, now));
        Act::Ask(self.numbers, request)
    }

    fn store(&mut self, change: Change, mut more: bool, stored: &mut Stored, now: Millis) {
        let Some(seen) = &mut self.seen else { return };
        if seen.version != stored.version && self.broken != Some(Broken::LastOneStoredWins) {
            return self.give_up(now);
        }
        // The spec is not what it stores.
        let limit = stored.limit;
        seen.apply(change);
        while more && let Some(Step::Store(change, another)) = self.plan.pop_front() {
            seen.apply(change);
            more = another;
        }
        seen.version = stored.version + 1;
        *stored = Stored { limit, ..seen.clone() };
    }

    /// The ledger has answered.
    pub fn told(&mut self, number: u64, reply: &Reply, lowers: bool, now: Millis) {
        if self.waits.is_none_or(|(waited, _)| waited != number) || now < self.away_until {
            return;
        }
        self.waits = None;
        let Some(seen) = self.seen.clone() else { return };
        match reply {
            Reply::Standing(standing) => match standing.last() {
                Some(Some(root)) if root.epoch == seen.epoch => {
                    self.check(&seen, standing, root, lowers, now);
                }
                root => {
                    let had = root.copied().flatten().map_or(seen.epoch, |root| root.epoch.max(seen.epoch));
                    self.begin(&seen, Epoch(had.0 + 1));
                }
            },
            Reply::Opened(None) => self.give_up(now),
            Reply::Opened(Some(at)) => self.opened_at = *at,
            // One of a value may have been begun by an order whose answer was lost. The root's is refused where any would be.
            Reply::Done(false) if self.plan.is_empty() => self.give_up(now),
            Reply::Done(_) | Reply::Secured(_, None) => {}
            Reply::Secured(account, Some(ceiling)) if *ceiling < seen.ceiling(*account) => {
                let own = (seen.values.is_none_or(|(all, _)| *ceiling > all)).then_some(*ceiling);
                if own != seen.ceilings[*account] && !self.stored_already() {
                    self.plan.push_back(Step::Store(Change::Ceiling(*account, own), false));
                }
            }
            Reply::Secured(..) => {}
        }
    }

    fn stored_already(&self) -> bool {
        self.is(Broken::WishesAreStored) || self.is(Broken::LowerCeilingsAreStoredFirst)
    }

    /// The ledger remembers nothing, or something else than what is stored.
    fn begin(&mut self, seen: &Stored, epoch: Epoch) {
        let root = seen.ceilings.len() - 1;
        let nothing = self.is(Broken::NothingIsGoneBeforeTheBeginning);
        let beginning = |account: usize| Beginning {
            epoch,
            opened_at: 0,
            limit: seen.limit,
            revision: seen.revision,
            strict: true,
            gone: if nothing { 0 } else { seen.ceilings[account].unwrap_or(0) },
            values: (account == root).then_some(seen.values).flatten().map(|(ceiling, most)| Values {
                ceiling,
                gone: if self.broken == Some(Broken::NothingOfAValueIsGone) { 0 } else { ceiling },
                most,
            }),
        };
        let mut begin: Vec<_> = (0..root).filter(|account| seen.ceilings[*account].is_some()).collect();
        begin.push(root);
        if self.is(Broken::ListedValuesAreBegunLast) {
            begin.rotate_right(1);
        }
        self.plan.push_back(Step::Ask(Request::Open(epoch)));
        self.plan.push_back(Step::Store(Change::Epoch(epoch), false));
        let begin = begin.into_iter().map(|account| Step::Ask(Request::Begin(account, beginning(account))));
        self.plan.extend(begin);
    }

    /// What may be gone from now on: somewhat more than what is.
    fn check(
        &mut self,
        seen: &Stored,
        standing: &[Option<Totals>],
        root: &Totals,
        lowers: bool,
        now: Millis,
    ) {
        self.looks_at = now + 250;
        let last = standing.len() - 1;
        let revision = seen.revision.max(root.revision) + 1;
        let mut ceilings = Vec::new();
        for (account, totals) in standing.iter().enumerate() {
            let Some(totals) = totals.filter(|_| account < last || seen.values.is_none()) else { continue };
            let room = (seen.limit / self.room).max(totals.short_of_ceiling * 2);
            let (wanted, had) = ((totals.committed() + room).min(seen.limit), seen.ceiling(account));
            if wanted > had || lowers && wanted < had && seen.ceilings[account].is_some() {
                ceilings.push((account, wanted, had));
            }
        }
        // Who spends little needs no ceiling of its own.
        let all = seen.values.filter(|(ceiling, _)| *ceiling == 0).map(|_| seen.limit / self.room);
        if ceilings.is_empty() && all.is_none() && root.limit == seen.limit {
            return;
        }
        let change = Change::Revision(revision, all.or(seen.values.map(|(ceiling, _)| ceiling)));
        self.plan.push_back(Step::Store(change, !ceilings.is_empty()));
        let count = ceilings.len();
        for (index, (account, wanted, had)) in ceilings.iter().enumerate() {
            let early = self.is(Broken::LowerCeilingsAreStoredFirst);
            let stored = if early { *wanted } else { *wanted.max(had) };
            self.plan.push_back(Step::Store(Change::Ceiling(*account, Some(stored)), index + 1 < count));
        }
        self.tell(seen, revision, all, &ceilings, last);
    }

    fn tell(
        &mut self,
        seen: &Stored,
        revision: u64,
        all: Option<Amount>,
        ceilings: &[(usize, Amount, Amount)],
        root: usize,
    ) {
        let checkpoint = |ceiling| Checkpoint {
            epoch: seen.epoch,
            revision,
            limit: seen.limit,
            strict: true,
            ceiling,
            values: seen.values.map(|(ceiling, most)| (all.unwrap_or(ceiling), most)),
        };
        let mut told: Vec<_> =
            ceilings.iter().map(|(account, wanted, _)| (*account, checkpoint(*wanted))).collect();
        if ceilings.iter().all(|(account, ..)| *account != root) {
            told.push((root, checkpoint(seen.ceilings[root].unwrap_or(0))));
        }
        let told =
            told.into_iter().map(|(account, checkpoint)| Step::Ask(Request::Secure(account, checkpoint)));
        if self.is(Broken::CeilingsAreToldFirst) {
            let stores = std::mem::take(&mut self.plan);
            self.plan.extend(told);
            self.plan.extend(stores);
        } else {
            self.plan.extend(told);
        }
        if self.is(Broken::WishesAreStored) {
            let lower = ceilings.iter().filter(|(_, wanted, had)| wanted < had);
            let lower = lower.map(|(account, wanted, _)| Change::Ceiling(*account, Some(*wanted)));
            self.plan.extend(lower.map(|change| Step::Store(change, false)));
        }
    }
}
