//! All accounts of a ledger, by their places: how they are begun, and how those of the values of `per` hang together. This
//! is the ledger where it is embedded; `account.lua` does the same with the keys of a Redis.
//!
//! # How an account begins
//! Who begins one says what may be gone already, and is wrong about it if anybody has raised that since. So it says first
//! that it will: [`open`](Accounts::open), with an epoch above the one that is stored and the one that the ledger has. Then
//! it stores the epoch, only if nobody has stored anything since it read what may be gone. Then it begins, and names the
//! time at which the ledger said that it was opened. A memory that is lost in between knows of no such opening: an operator
//! that was held up, and is none any more, or an order that comes again, cannot bring back what was known once. Whoever
//! finds another epoch in the ledger than is stored tells it no checkpoint, and begins anew by the same three steps.
//!
//! A window that is not stored has had nothing spent, and begins with nothing gone. So a window is stored before it is
//! begun, none is begun that is older than one that is stored, and none is taken out of the store that may be spent from.
//!
//! # How a ceiling moves
//! Every checkpoint is stored before it is told, by a number of its own, and again only if nobody has stored anything in
//! between: of two operators one has stored nothing, and tells nothing. What is stored with it is the higher of the old
//! and the new ceiling. If the new one is lower, the ledger answers how low it could go, for what is committed stays; that
//! is stored then, under the same condition. So whatever is lost whenever, no ledger of the stored epoch has a ceiling above
//! the stored one; and what one of an earlier epoch still grants to who takes it for the ledger is a part of what the later
//! has taken for gone.
//!
//! # The values of `per`
//! They are too many to be begun by name. Their root says what each of them may have gone, before this epoch and now, and
//! the first statement for a value begins its account from that. Those of which more may be gone than of the others are
//! begun by name, after the root was opened and before it is begun, each until the ledger has answered: once the root is
//! begun, a value that nobody has named begins like all others. One that has been named waits for its root. Their limit is
//! always their root's; only ceilings are their own. What the root says of all never falls within an epoch: there may be
//! one that counts on it. A value leaves the list of names when the ledger has lowered it to what holds for all.
//!
//! When there are as many as may have accounts, a further one is turned away; but not where its holder has something of it
//! already. Its account was among them before a loss, and what was spent of it must not be spent again of another. Where a
//! limit is [rolling](crate::rolling), a value of which nothing counts any more makes room for another.

mod kept;

pub use kept::Record;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    Amount, Epoch, Millis,
    account::{Account, Answer, Beginning, Checkpoint, Short, Statement, Terms, Totals},
    place::{Place, REST},
    rolling::Rolling,
};

/// So many values of which nothing counts any more leave at once.
const LEAVE: usize = 64;

/// The ledger.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    roots: HashMap<Place, Root>,
}

/// One limit in one window.
#[derive(Clone, Debug, Default)]
struct Root {
    /// Somebody will begin it by this epoch.
    opening: Option<Epoch>,
    opened_at: Millis,
    begun: Option<Begun>,
    values: BTreeMap<Arc<str>, Account>,
    /// Those of this epoch.
    listed: BTreeSet<Arc<str>>,
    short: BTreeMap<Arc<str>, Amount>,
    kept_until: Millis,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Begun {
    account: Account,
    terms: Terms,
    value_gone: Amount,
    most: u64,
}

/// The values of a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spenders {
    pub count: u64,
    /// Those that have spent most, with what that was, the largest first.
    pub spent: Vec<(Arc<str>, Amount)>,
    /// Those whose calls needed something in vain since the last checkpoint, for the ceiling was in their way.
    pub short: Vec<(Arc<str>, Amount)>,
}

impl Root {
    /// Whether one more value may have an account; `most` have one.
    fn has_room(&mut self, most: u64, rolling: Option<Rolling>, now: Millis) -> bool {
        let own = |root: &Self| root.listed.iter().filter(|listed| &***listed != REST).count() as u64;
        if own(self) >= most
            && let Some(rolling) = rolling
        {
            self.retire(rolling, now);
        }
        own(self) < most
    }

    /// Some of the values of which nothing counts any more leave, the longest so first.
    fn retire(&mut self, rolling: Rolling, now: Millis) {
        let over_at = |value: &Arc<str>| self.values.get(value).map_or(0, |account| account.over_at(rolling));
        let over = self.listed.iter().map(|value| (over_at(value), value.clone()));
        let mut over: Vec<_> = over.filter(|(at, _)| *at <= now).collect();
        over.sort();
        over.truncate(LEAVE);
        over.iter().for_each(|(_, value)| self.leave(value));
    }

    fn leave(&mut self, value: &Arc<str>) {
        self.listed.remove(value);
        self.short.remove(value);
    }
}

impl Accounts {
    /// Somebody will begin it by this epoch, and may: no account had it, and nobody has opened it with a later one. Gives
    /// when it was opened.
    pub fn open(&mut self, root: &Place, epoch: Epoch, kept: Millis, now: Millis) -> Option<Millis> {
        let root = self.roots.entry(root.root()).or_default();
        if root.begun.as_ref().is_some_and(|begun| begun.account.epoch() >= epoch)
            || root.opening.is_some_and(|opening| opening > epoch)
        {
            return None;
        }
        root.kept_until = root.kept_until.max(now + kept);
        if root.opening != Some(epoch) {
            (root.opening, root.opened_at) = (Some(epoch), now);
            root.listed.clear();
            root.short.clear();
        }
        Some(root.opened_at)
    }

    /// Begins an account; whether it did. A value's is begun only until its root is, or after it by the same epoch where
    /// nobody has spoken of the value.
    pub fn begin(&mut self, place: &Place, beginning: &Beginning, kept: Millis, now: Millis) -> bool {
        let Some(root) = self.roots.get_mut(&place.root()) else { return false };
        let Beginning { epoch, opened_at, limit, revision, strict, gone, values } = *beginning;
        if root.opened_at != opened_at {
            return false;
        }
        let Some(value) = &place.value else {
            if root.opening != Some(epoch) {
                return false;
            }
            root.opening = None;
            root.kept_until = now + kept;
            let before = root.begun.take().map_or(0, |begun| begun.account.committed());
            let ceiling = values.map_or(0, |values| values.ceiling);
            let terms = Terms { limit, strict, ceiling, secured_at: now, opened_at };
            root.begun = Some(Begun {
                account: Account::begun(epoch, revision, gone.max(before), now, now),
                terms,
                value_gone: values.map_or(0, |values| values.gone),
                most: values.map_or(0, |values| values.most),
            });
            return true;
        };
        let current = root.opening == Some(epoch)
            || root.begun.as_ref().is_some_and(|begun| begun.account.epoch() == epoch);
        let before = root.values.get(value);
        if !current || before.is_some_and(|before| before.epoch() >= epoch) {
            return false;
        }
        let gone = gone.max(before.map_or(0, Account::committed));
        root.values.insert(value.clone(), Account::begun(epoch, revision, gone, now, now));
        root.listed.insert(value.clone());
        true
    }

    /// A checkpoint has been stored, or will be where it is lower. Gives the ceiling that holds now; nothing where the
    /// checkpoint came late, or speaks of another epoch.
    pub fn secure(&mut self, place: &Place, checkpoint: &Checkpoint, now: Millis) -> Option<Amount> {
        let Checkpoint { epoch, revision, limit, strict, ceiling, values } = *checkpoint;
        let root = self.roots.get_mut(&place.root())?;
        let begun = root.begun.as_mut()?;
        if begun.account.epoch() != epoch {
            return None;
        }
        let account = match &place.value {
            Some(value) => root.values.get_mut(value).filter(|account| account.epoch() == epoch)?,
            None => &mut begun.account,
        };
        let set = account.secure(revision, ceiling, now)?;
        let holds = account.ceiling();
        if let Some(value) = &place.value {
            if set {
                root.short.remove(value);
            }
            return Some(holds);
        }
        begun.terms.secured_at = now;
        if set {
            (begun.terms.limit, begun.terms.strict) = (limit, strict);
            if let Some((ceiling, most)) = values {
                (begun.terms.ceiling, begun.most) = (begun.terms.ceiling.max(ceiling), most);
            }
            root.short.clear();
        }
        Some(holds)
    }

    /// Hears what a holder has, and grants. Gives besides whether others are to be asked for what they hold, as is told
    /// them at the [channel](Place::recall_channel).
    pub fn state(&mut self, place: &Place, statement: &Statement, now: Millis) -> (Answer, bool) {
        let closed = (Answer::Closed, false);
        let rolling = place.rolling();
        let Some(root) = self.roots.get_mut(&place.root()) else { return closed };
        let Some(begun) = &mut root.begun else { return closed };
        let terms = Terms { opened_at: root.opened_at, ..begun.terms };
        let Some(value) = &place.value else {
            return begun.account.state(statement, &Terms { ceiling: 0, ..terms }, rolling, now);
        };
        let epoch = begun.account.epoch();
        let (most, begun_at) = (begun.most, begun.account.begun_at());
        let counts = rolling.is_none_or(|rolling| now < begun_at + rolling.counts_for());
        let value_gone = if counts { begun.value_gone } else { 0 };
        let before = root.values.get(value);
        let is_over = before.is_some_and(|before| {
            before.epoch() <= epoch && rolling.is_some_and(|rolling| before.over_at(rolling) <= now)
        });
        if is_over {
            root.leave(value);
        }
        let before = root.values.get(value).filter(|_| !is_over);
        // Begun by name for an epoch that the root is not in yet.
        if before.is_some_and(|before| before.epoch() > epoch) {
            return closed;
        }
        if before.is_none_or(|before| before.epoch() != epoch) {
            let gone = value_gone.max(before.map_or(0, Account::committed));
            let holds = statement.drawn > 0 || statement.spent > 0;
            // Who holds something of it had its account before this epoch.
            if &**value != REST
                && !holds
                && !root.listed.contains(value)
                && !root.has_room(most, rolling, now)
            {
                return (Answer::Full, false);
            }
            root.values.insert(value.clone(), Account::begun(epoch, 0, gone, begun_at, now));
        }
        if !root.listed.contains(value) {
            root.listed.insert(value.clone());
        }
        let (Some(begun), Some(account)) = (&mut root.begun, root.values.get_mut(value)) else {
            return closed;
        };
        let (answer, asks) = account.state(statement, &terms, rolling, now);
        if let Answer::Granted { left, .. } = answer
            && left.short == Some(Short::Ceiling)
        {
            begun.account.add_short(statement.need);
            root.short.insert(value.clone(), account.short_of_ceiling());
        }
        (answer, asks)
    }

    /// How the account of a place stands; `None` where it has not been begun.
    pub fn totals(&mut self, place: &Place, now: Millis) -> Option<Totals> {
        let root = self.roots.get_mut(&place.root())?;
        let begun = root.begun.as_mut()?;
        let limit = begun.terms.limit;
        let account = match &place.value {
            Some(value) => {
                root.values.get_mut(value).filter(|account| account.epoch() == begun.account.epoch())?
            }
            None => &mut begun.account,
        };
        account.roll(place.rolling(), now);
        Some(account.totals(limit))
    }

    /// The values of a root: so many of them at most. What one of them has spent is as it was when it, or its totals, were
    /// last spoken of.
    pub fn values(&mut self, place: &Place, most: usize, now: Millis) -> Spenders {
        let Some(root) = self.roots.get_mut(&place.root()) else { return Spenders::default() };
        if let Some(rolling) = place.rolling() {
            root.retire(rolling, now);
        }
        let largest = |mut all: Vec<(Arc<str>, Amount)>| {
            all.sort_by(|(a, had), (b, has)| has.cmp(had).then_with(|| b.cmp(a)));
            all.truncate(most);
            all
        };
        let spent = |value: &Arc<str>| root.values.get(value).map_or(0, Account::spent);
        Spenders {
            count: root.listed.len() as u64,
            spent: largest(root.listed.iter().map(|value| (value.clone(), spent(value))).collect()),
            short: largest(root.short.iter().map(|(value, short)| (value.clone(), *short)).collect()),
        }
    }

    /// Forgets what was to be kept until before now, and values of which nothing counts any more.
    pub fn expire(&mut self, now: Millis) {
        self.roots.retain(|_, root| now < root.kept_until);
        for (place, root) in &mut self.roots {
            let Some(rolling) = place.rolling() else { continue };
            let over = root.values.extract_if(.., |_, account| account.over_at(rolling) <= now);
            for value in over.map(|(value, _)| value).collect::<Vec<_>>() {
                root.leave(&value);
            }
        }
    }

    /// Whether the sums that are kept are those of their parts.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.roots.values().all(|root| {
            root.begun
                .iter()
                .map(|begun| &begun.account)
                .chain(root.values.values())
                .all(Account::is_balanced)
        })
    }
}
