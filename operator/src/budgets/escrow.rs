//! A budget's accounts as the ledger has them, brought to what they should be: begun where it does not know them, and
//! told of their limits and ceilings. What is to be stored first is handed back, with what to tell the ledger then.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use llm_crds::{BudgetCheckpoint, BudgetValueCheckpoint};
use llm_ledger::{
    Amount, Epoch, Millis,
    account::{self, Beginning, CLAIMED_AFTER, Totals, Values},
    accounts::Spenders,
    place::Place,
};
use llm_ledger_connection::{Connection, Unanswered};

use super::{
    accounts::Account,
    checkpoint::{self, Checkpoint, Seen, Step, Wanted},
    figures::TOP,
};

/// Values of `per` whose ceilings are stored one by one, of each limit and window: those that have spent most. All
/// others have one in common.
const LISTED: usize = 100;

/// How the accounts of a budget are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub strict: bool,
    /// With `per`: so many values have accounts of their own.
    pub values: Option<u64>,
}

/// What the ledger is told once its checkpoint is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub place: Place,
    checkpoint: account::Checkpoint,
    /// It was opened, and is begun: what of it is gone, for how long it is kept, and the values that begin before it.
    pub begins: Option<Begins>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begins {
    pub gone: Amount,
    opened_at: Millis,
    kept: Duration,
    values: Vec<(Place, Amount)>,
}

/// An account as it stands.
#[derive(Debug, Default)]
pub struct Standing {
    /// What is to be stored of it.
    pub checkpoint: Option<BudgetCheckpoint>,
    /// What the ledger is told then.
    pub words: Vec<Word>,
    /// As far as the holders have told.
    pub spent: Amount,
    /// Gone before the ledger began anew, and claimed by nobody in time: nobody will give it back, so it is spent.
    pub lost: Amount,
    /// Held by proxies, or gone before the ledger began anew and perhaps claimed yet.
    pub reserved: Amount,
    /// With `per`: how many there are, and who has spent most.
    pub values: Option<(u64, Vec<(String, Amount)>)>,
}

/// The ledger, as who keeps it speaks to it.
#[derive(Clone)]
pub struct Escrow {
    pub connection: Connection,
    pub terms: Terms,
    pub now: Timestamp,
}

impl Escrow {
    /// Brings one account to what it should be, of which the ledger has told, and `stored` is stored; `gone` of it where
    /// that was stored to begin it, and it has not begun. `pace` is what is spent of it in a second of late.
    pub async fn keep(
        &self,
        account: &Account,
        stored: Option<&BudgetCheckpoint>,
        told: Option<Totals>,
        gone: Option<Amount>,
        pace: f64,
    ) -> Result<Standing, Unanswered> {
        if self.terms.values.is_some() {
            return self.keep_values(account, stored, told, gone).await;
        }
        let seen = told.map(|told| seen(&told));
        let (checkpoint, word) = self.advance(account, stored, seen, gone, pace).await?;
        let words = word.into_iter().collect();
        Ok(Standing { checkpoint, words, ..self.standing(told) })
    }

    /// The root of the accounts of all values, and those of the values that have spent most.
    async fn keep_values(
        &self,
        account: &Account,
        stored: Option<&BudgetCheckpoint>,
        told: Option<Totals>,
        gone: Option<Amount>,
    ) -> Result<Standing, Unanswered> {
        let root = &account.place;
        let spenders = match told {
            Some(_) => self.connection.values(root, LISTED + 1).await?,
            None => Spenders::default(),
        };
        // Where there are more than can be listed, what is common to the others covers them, with the room of one that
        // was listed before.
        let unlisted = spenders
            .spent
            .get(LISTED)
            .map_or(0, |(_, spent)| spent + checkpoint::room(account.limit.amount, 0.0));
        let seen = told.map(|told| {
            let seen = seen(&told);
            Seen { committed: seen.committed.max(unlisted), short: 0, ..seen }
        });
        let (checkpoint, word) = self.advance(account, stored, seen, gone, 0.0).await?;
        let Some(mut checkpoint) = checkpoint else { return Ok(Standing::default()) };
        let mut words: Vec<Word> = word.into_iter().collect();
        let listed = stored.map_or(&[][..], |stored| &stored.values);
        let mut first = Standing::default();
        if told.is_some() && words.iter().all(|word| word.begins.is_none()) {
            // What comes back of a rolling limit of those who call no more is seen when they are looked at.
            let shown = if root.rolling().is_some() { TOP } else { 1 };
            let names = listing(&spenders, listed, unsigned(checkpoint.ceiling), shown);
            let places: Vec<Place> = names.iter().map(|value| of(root, value)).collect();
            let totals = if places.is_empty() { vec![] } else { self.connection.totals(&places).await };
            for ((value, place), told) in names.iter().zip(&places).zip(totals) {
                let told = told?;
                if spenders.spent.first().is_some_and(|(first, _)| first == value) {
                    first = self.standing(told);
                }
                // All of it came back, and nobody has spoken of it since: it begins like any other.
                let is_known = told.is_some() || spenders.spent.iter().any(|(known, _)| known == value);
                if root.rolling().is_some() && !is_known {
                    continue;
                }
                let before = listed.iter().find(|listed| *listed.value == **value);
                let Some((kept, word)) =
                    self.advance_value(account, place, &checkpoint, before, told).await?
                else {
                    continue;
                };
                checkpoint.values.push(kept);
                words.extend(word);
            }
        } else {
            checkpoint.values = listed.to_vec();
        }
        let top = spenders.spent.iter().take(TOP).map(|(value, spent)| (value.to_string(), *spent));
        let values = Some((spenders.count, top.collect()));
        Ok(Standing { checkpoint: Some(checkpoint), words, values, ..first })
    }

    /// An account as the ledger tells of it.
    fn standing(&self, told: Option<Totals>) -> Standing {
        let Totals { epoch, spent, held, unclaimed, .. } = told.unwrap_or_default();
        // Epochs are numbered by the second in which they begin.
        let is_lost = seconds(self.now) >= epoch.0.saturating_add(CLAIMED_AFTER / 1_000);
        let (lost, reserved) = if is_lost { (unclaimed, held) } else { (0, held + unclaimed) };
        Standing { spent, lost, reserved, ..Standing::default() }
    }

    /// Does what is to be done about one account now: what is to be stored of it, and told then.
    async fn advance(
        &self,
        account: &Account,
        stored: Option<&BudgetCheckpoint>,
        seen: Option<Seen>,
        gone: Option<Amount>,
        pace: f64,
    ) -> Result<(Option<BudgetCheckpoint>, Option<Word>), Unanswered> {
        let Terms { strict, values } = self.terms;
        let wanted = Wanted {
            limit: account.limit.amount,
            is_edited: stored
                .is_some_and(|stored| stored.strict != strict || stored.max_values.map(unsigned) != values),
            may_fall: values.is_none(),
            pace,
        };
        let known = stored.map(|stored| Checkpoint {
            epoch: unsigned(stored.epoch),
            revision: unsigned(stored.revision),
            // The room above what is gone was never granted of one that has not begun.
            ceiling: gone.filter(|_| seen.is_none()).unwrap_or(unsigned(stored.ceiling)),
        });
        let place = &account.place;
        let word = |checkpoint| Word { place: place.clone(), checkpoint, begins: None };
        let (next, word) = match checkpoint::step(known, seen, &wanted, seconds(self.now)) {
            Step::Rest => (known, None),
            Step::Raise(next) => (Some(next), Some(word(self.telling(account, next)))),
            Step::Lower(next) => {
                let holds = self.connection.secure(place, &self.telling(account, next)).await?;
                (holds.map(|ceiling| Checkpoint { ceiling, ..next }).or(known), None)
            }
            Step::Tell(next) => {
                self.connection.secure(place, &self.telling(account, next)).await?;
                (Some(next), None)
            }
            Step::Open(next, gone) => {
                let kept = account.kept(self.now);
                if let Some(opened_at) = self.connection.open(place, Epoch(next.epoch), kept).await? {
                    let listed = stored.map_or(&[][..], |stored| &stored.values).iter();
                    let more = listed.filter(|value| unsigned(value.ceiling) > gone);
                    let values =
                        more.map(|value| (of(place, &value.value), unsigned(value.ceiling))).collect();
                    let begins = Some(Begins { gone, opened_at, kept, values });
                    (Some(next), Some(Word { begins, ..word(self.telling(account, next)) }))
                } else {
                    (known, None)
                }
            }
        };
        // Nothing, where somebody else has opened it and not said yet what is to be stored.
        Ok((next.map(|next| stored_as(account, next, self.terms)), word))
    }

    /// That of a value, which is begun with its root; nothing where what all have in common is enough for it.
    async fn advance_value(
        &self,
        account: &Account,
        place: &Place,
        root: &BudgetCheckpoint,
        stored: Option<&BudgetValueCheckpoint>,
        told: Option<Totals>,
    ) -> Result<Option<(BudgetValueCheckpoint, Option<Word>)>, Unanswered> {
        let (epoch, common) = (unsigned(root.epoch), unsigned(root.ceiling));
        let limit = account.limit.amount;
        let Some(told) = told.filter(|told| told.epoch.0 == epoch) else {
            // Nobody has spoken of it in this epoch.
            return Ok(stored.map(|stored| (stored.clone(), None)));
        };
        let known = stored.map_or((0, 0), |stored| (unsigned(stored.revision), unsigned(stored.ceiling)));
        let known = Checkpoint { epoch, revision: known.0, ceiling: known.1.max(common) };
        let seen = Seen { limit, ceiling: told.ceiling.max(common), ..seen(&told) };
        let wanted = Wanted { limit, is_edited: false, may_fall: true, pace: 0.0 };
        let (next, word) = match checkpoint::step(Some(known), Some(seen), &wanted, seconds(self.now)) {
            Step::Raise(next) => {
                let checkpoint = account::Checkpoint { values: None, ..self.telling(account, next) };
                (next, Some(Word { place: place.clone(), checkpoint, begins: None }))
            }
            Step::Tell(next) | Step::Lower(next) if stored.is_some() => {
                let checkpoint = account::Checkpoint { values: None, ..self.telling(account, next) };
                let holds = self.connection.secure(place, &checkpoint).await?;
                (holds.map_or(known, |ceiling| Checkpoint { ceiling, ..next }), None)
            }
            _ if stored.is_some() => (known, None),
            _ => return Ok(None),
        };
        let value = place.value.as_deref().unwrap_or_default().to_owned();
        let Checkpoint { revision, ceiling, .. } = next;
        let kept = BudgetValueCheckpoint { value, revision: signed(revision), ceiling: signed(ceiling) };
        Ok(Some((kept, word)))
    }

    fn telling(&self, account: &Account, next: Checkpoint) -> account::Checkpoint {
        let Checkpoint { epoch, revision, ceiling } = next;
        let Terms { strict, values } = self.terms;
        let limit = account.limit.amount;
        let values = values.map(|most| (ceiling, most));
        account::Checkpoint { epoch: Epoch(epoch), revision, limit, strict, ceiling, values }
    }

    /// Tells the ledger what is stored; whether an account that was to begin has begun.
    pub async fn tell(&self, word: &Word) -> Result<bool, Unanswered> {
        let Word { place, checkpoint, begins } = word;
        if let Some(begins) = begins {
            if !self.begin(place, checkpoint, begins).await? {
                return Ok(false);
            }
            if begins.gone > 0 {
                let (account, gone) = (place.key(), begins.gone);
                tracing::warn!(
                    account,
                    gone,
                    "the ledger did not know this account any more: so much is taken for gone, until the proxies tell what they hold of it"
                );
            }
        }
        self.connection.secure(place, checkpoint).await?;
        Ok(true)
    }

    /// Before their root, those of which more is gone: a value's account that begins by itself goes by its root.
    async fn begin(
        &self,
        place: &Place,
        checkpoint: &account::Checkpoint,
        begins: &Begins,
    ) -> Result<bool, Unanswered> {
        let Begins { gone, opened_at, kept, values } = begins;
        let account::Checkpoint { epoch, limit, strict, .. } = *checkpoint;
        let (opened_at, gone) = (*opened_at, *gone);
        let beginning = Beginning { epoch, opened_at, limit, revision: 0, strict, gone, values: None };
        for (value, gone) in values {
            self.connection.begin(value, &Beginning { gone: *gone, ..beginning }, *kept).await?;
        }
        let values = self.terms.values.map(|most| Values { ceiling: gone, gone, most });
        self.connection.begin(place, &Beginning { values, ..beginning }, *kept).await
    }
}

/// The values whose ceilings are to be looked at: those that are listed, those that are past half of what all have in
/// common, those whose calls were short of it, and so many of those who have spent most as are shown.
fn listing(
    spenders: &Spenders,
    listed: &[BudgetValueCheckpoint],
    common: Amount,
    shown: usize,
) -> Vec<Arc<str>> {
    let mut spent: BTreeMap<Arc<str>, Amount> =
        listed.iter().map(|listed| (listed.value.as_str().into(), 0)).collect();
    spent.extend(spenders.short.iter().map(|(value, _)| (value.clone(), 0)));
    for (i, (value, amount)) in spenders.spent.iter().enumerate() {
        if i < shown || *amount > common / 2 || spent.contains_key(value) {
            spent.insert(value.clone(), *amount);
        }
    }
    let mut names: Vec<(Arc<str>, Amount)> = spent.into_iter().collect();
    // Calls that are refused for the ceiling's sake go first: nothing else lets them pass.
    let is_short = |name: &Arc<str>| spenders.short.iter().any(|(short, _)| short == name);
    names.sort_by_cached_key(|(name, spent)| std::cmp::Reverse((is_short(name), *spent)));
    names.into_iter().take(LISTED).map(|(value, _)| value).collect()
}

fn seen(told: &Totals) -> Seen {
    let Totals { epoch, revision, limit, ceiling, short_of_ceiling: short, .. } = *told;
    Seen { epoch: epoch.0, revision, limit, ceiling, committed: told.committed(), short }
}

fn of(root: &Place, value: &str) -> Place {
    root.of(&value.into())
}

fn stored_as(account: &Account, checkpoint: Checkpoint, terms: Terms) -> BudgetCheckpoint {
    let Checkpoint { epoch, revision, ceiling } = checkpoint;
    BudgetCheckpoint {
        limit: account.name(),
        start: Time(account.window.start),
        epoch: signed(epoch),
        revision: signed(revision),
        ceiling: signed(ceiling),
        strict: terms.strict,
        max_values: terms.values.map(signed),
        values: vec![],
    }
}

fn seconds(now: Timestamp) -> u64 {
    unsigned(now.as_second())
}

/// Amounts of the ledger are below 2^53.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests;
