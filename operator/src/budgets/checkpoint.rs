//! How much of a limit may be gone: what is stored of it outside of the ledger, and when that changes. Pure.
//!
//! A ledger that has lost its memory takes all below the stored ceiling for gone, so a ceiling that is far above what is
//! committed would cost the budget that much; and above its ceiling a strict limit is not granted, so that one that is
//! near would stop calls while the operator is away. In between it has room for hours of ordinary spending.
//!
//! What is stored is never below what the ledger goes by: a ceiling is raised by storing it first, and lowered by telling
//! the ledger first.

use llm_ledger::Amount;

/// The part of a limit for which there is room at least.
const SHARE: Amount = 8;
/// So long what is spent at the present pace has room, in seconds.
const SPAN: f64 = 900.0;

/// What is stored of an account; of the root of values, what any value may have spent that is not listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Grows each time that the ledger has forgotten the account.
    pub epoch: u64,
    /// Grows with each word to the ledger on its limit or its ceiling.
    pub revision: u64,
    pub ceiling: Amount,
}

/// What the ledger says of an account that it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub epoch: u64,
    pub revision: u64,
    pub limit: Amount,
    pub ceiling: Amount,
    /// Spent, held, and gone before this epoch.
    pub committed: Amount,
    /// What calls needed in vain because of the ceiling.
    pub short: Amount,
}

/// How an account is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    pub limit: Amount,
    /// Something else that the ledger goes by is not as it was when it was told last.
    pub is_edited: bool,
    /// What the values of `per` have in common never falls: there may be one that counts on it.
    pub may_fall: bool,
    /// What is spent in a second of late.
    pub pace: f64,
}

/// What is to be done about an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Rest,
    /// The ledger does not know it: open it by this epoch, store this, and begin it then with so much gone.
    Open(Checkpoint, Amount),
    /// Store this, and tell the ledger then.
    Raise(Checkpoint),
    /// Tell the ledger, and store then what it answers.
    Lower(Checkpoint),
    /// It is stored, and the ledger has not heard of it.
    Tell(Checkpoint),
}

/// What is to be done now. `now` is in seconds: an epoch is never below it, so that who has lost what was stored does not
/// begin with one that the proxies have seen.
#[must_use]
pub fn step(stored: Option<Checkpoint>, seen: Option<Seen>, wanted: &Wanted, now: u64) -> Step {
    let Wanted { limit, is_edited, may_fall, pace } = *wanted;
    let room = room(limit, pace);
    let known = stored.unwrap_or_default();
    let revision = known.revision.max(seen.map_or(0, |seen| seen.revision)) + 1;
    let Some(seen) = seen.filter(|seen| stored.is_some() && seen.epoch == known.epoch) else {
        let seen = seen.unwrap_or_default();
        let epoch = now.max(known.epoch + 1).max(seen.epoch + 1);
        let gone = known.ceiling.max(seen.committed);
        return Step::Open(Checkpoint { epoch, revision, ceiling: above(gone, room, limit) }, gone);
    };
    let room = room.max(seen.short.min(limit));
    let target = above(seen.committed, room, limit);
    let target = if may_fall { target } else { target.max(known.ceiling) };
    let next = Checkpoint { epoch: seen.epoch, revision, ceiling: target };
    if known.revision < seen.revision {
        // It was told more than is stored: somebody stopped in the middle.
        return Step::Raise(Checkpoint { ceiling: target.max(known.ceiling).max(seen.ceiling), ..next });
    }
    let is_edited = is_edited || seen.limit != limit;
    if seen.revision < known.revision && known.ceiling >= target && !is_edited {
        return Step::Tell(known);
    }
    let left = seen.ceiling.saturating_sub(seen.committed);
    let is_low = seen.ceiling < target && left < room.div_ceil(2);
    let is_high = seen.ceiling > target && (left > room.saturating_mul(2) || seen.ceiling > limit);
    if !is_low && !is_high && !is_edited && seen.revision == known.revision {
        return Step::Rest;
    }
    if target < known.ceiling { Step::Lower(next) } else { Step::Raise(next) }
}

/// The room that a ceiling leaves.
#[must_use]
pub fn room(limit: Amount, pace: f64) -> Amount {
    let paced = (pace.max(0.0) * SPAN).ceil();
    // Of a float above all amounts the largest one is made.
    (limit / SHARE).max(paced as Amount).max(1).min(limit)
}

/// So much above what is gone, and not above the limit. What is gone above the limit is so, and is no room.
fn above(gone: Amount, room: Amount, limit: Amount) -> Amount {
    gone.saturating_add(room).min(limit.max(gone))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Amount = 8_000;
    const NOW: u64 = 1_000_000;

    fn stored(epoch: u64, revision: u64, ceiling: Amount) -> Checkpoint {
        Checkpoint { epoch, revision, ceiling }
    }

    fn seen(revision: u64, ceiling: Amount, committed: Amount) -> Seen {
        Seen { epoch: NOW, revision, limit: LIMIT, ceiling, committed, short: 0 }
    }

    fn of(limit: Amount) -> Wanted {
        Wanted { limit, is_edited: false, may_fall: true, pace: 0.0 }
    }

    fn next(stored: Option<Checkpoint>, seen: Option<Seen>) -> Step {
        step(stored, seen, &of(LIMIT), NOW)
    }

    fn at_rest(ceiling: Amount, committed: Amount, pace: f64) -> Step {
        let wanted = Wanted { pace, ..of(LIMIT) };
        step(Some(stored(NOW, 4, ceiling)), Some(seen(4, ceiling, committed)), &wanted, NOW)
    }

    #[test]
    fn a_new_account_begins_with_nothing_gone_and_gets_room() {
        let first = stored(NOW, 1, 1_000);
        assert_eq!(next(None, None), Step::Open(first, 0));
        // It is begun, and the operator was killed before the ledger had heard of the ceiling.
        assert_eq!(next(Some(first), Some(seen(0, 0, 0))), Step::Tell(first));
        assert_eq!(next(Some(first), Some(seen(1, 1_000, 0))), Step::Rest);
    }

    #[test]
    fn a_ceiling_is_raised_when_half_of_its_room_is_used_and_never_above_the_limit() {
        assert_eq!(at_rest(1_000, 500, 0.0), Step::Rest);
        assert_eq!(at_rest(1_000, 501, 0.0), Step::Raise(stored(NOW, 5, 1_501)));
        assert_eq!(at_rest(7_900, 7_500, 0.0), Step::Raise(stored(NOW, 5, LIMIT)));
        assert_eq!(at_rest(LIMIT, 7_999, 0.0), Step::Rest);
        assert_eq!(at_rest(LIMIT, LIMIT, 0.0), Step::Rest);
        // Calls ran past what they had reserved.
        assert_eq!(at_rest(LIMIT, LIMIT + 9, 0.0), Step::Raise(stored(NOW, 5, LIMIT + 9)));
    }

    #[test]
    fn there_is_room_for_a_quarter_of_an_hour_at_the_present_pace() {
        assert_eq!(at_rest(1_000, 500, 2.0), Step::Raise(stored(NOW, 5, 2_300)));
        assert_eq!(at_rest(1_000, 500, f64::INFINITY), Step::Raise(stored(NOW, 5, LIMIT)));
        assert_eq!(at_rest(1_000, 500, f64::NAN), Step::Rest);
        // The pace is over, and the room far too large.
        assert_eq!(at_rest(2_500, 500, 0.0), Step::Rest);
        assert_eq!(at_rest(2_501, 500, 0.0), Step::Lower(stored(NOW, 5, 1_500)));
    }

    #[test]
    fn a_call_that_needs_more_than_there_is_room_for_gets_it() {
        let short = Seen { short: 3_000, ..seen(4, 1_000, 0) };
        assert_eq!(next(Some(stored(NOW, 4, 1_000)), Some(short)), Step::Raise(stored(NOW, 5, 3_000)));
        // Of a limit smaller than eight, too.
        let one = Seen { limit: 1, ..seen(1, 0, 0) };
        assert_eq!(step(Some(stored(NOW, 1, 0)), Some(one), &of(1), NOW), Step::Raise(stored(NOW, 2, 1)));
    }

    #[test]
    fn what_the_ledger_has_forgotten_begins_anew_with_all_gone_that_may_be() {
        let before = stored(NOW - 9, 7, 3_000);
        assert_eq!(next(Some(before), None), Step::Open(stored(NOW, 8, 4_000), 3_000));
        // A clock that was set back.
        let early = step(Some(before), None, &of(LIMIT), 5);
        assert_eq!(early, Step::Open(stored(NOW - 8, 8, 4_000), 3_000));
        // The ledger remembers another time than the one that is stored, and what was stored may be lost.
        let other = Seen { epoch: NOW + 3, ..seen(9, 5_000, 3_500) };
        assert_eq!(next(Some(before), Some(other)), Step::Open(stored(NOW + 4, 10, 4_500), 3_500));
        assert_eq!(next(None, Some(other)), Step::Open(stored(NOW + 4, 10, 4_500), 3_500));
    }

    #[test]
    fn whoever_takes_over_in_the_middle_says_it_again_by_a_later_revision() {
        // The ledger was told to go lower, and that was not stored.
        let told = next(Some(stored(NOW, 4, 5_000)), Some(seen(5, 1_500, 500)));
        assert_eq!(told, Step::Raise(stored(NOW, 6, 5_000)));
        let told = next(Some(stored(NOW, 6, 5_000)), Some(seen(6, 5_000, 500)));
        assert_eq!(told, Step::Lower(stored(NOW, 7, 1_500)));
    }

    #[test]
    fn an_edit_is_told_at_once_and_a_limit_below_what_is_spent_leaves_no_room() {
        let edited = |ceiling, committed, wanted: &Wanted| {
            step(Some(stored(NOW, 4, ceiling)), Some(seen(4, ceiling, committed)), wanted, NOW)
        };
        assert_eq!(edited(1_500, 1_000, &of(80_000)), Step::Raise(stored(NOW, 5, 11_000)));
        assert_eq!(edited(5_000, 4_000, &of(3_000)), Step::Lower(stored(NOW, 5, 4_000)));
        assert_eq!(edited(1_500, 1_000, &of(1_600)), Step::Lower(stored(NOW, 5, 1_200)));
        assert_eq!(edited(1_500, 1_000, &of(0)), Step::Lower(stored(NOW, 5, 1_000)));
        let stricter = Wanted { is_edited: true, ..of(LIMIT) };
        assert_eq!(edited(2_000, 1_000, &stricter), Step::Raise(stored(NOW, 5, 2_000)));
        // It was stored, and the operator was killed before the ledger heard of it: it is said again.
        let raised = step(Some(stored(NOW, 5, 11_000)), Some(seen(4, 1_500, 1_000)), &of(80_000), NOW);
        assert_eq!(raised, Step::Raise(stored(NOW, 6, 11_000)));
    }

    #[test]
    fn what_values_have_in_common_never_falls() {
        let common = |limit| Wanted { may_fall: false, ..of(limit) };
        let kept = |limit, told| step(Some(stored(NOW, 4, 2_000)), Some(told), &common(limit), NOW);
        assert_eq!(kept(800, seen(4, 2_000, 0)), Step::Raise(stored(NOW, 5, 2_000)));
        assert_eq!(kept(800, Seen { limit: 800, ..seen(4, 2_000, 0) }), Step::Rest);
    }

    /// Whatever is spent and wherever the operator is killed, what is stored covers what the ledger grants.
    #[test]
    fn what_is_stored_is_never_below_what_the_ledger_goes_by() {
        for seed in 0..2_000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut kept, mut account, mut limit) = (None::<Checkpoint>, None::<Seen>, LIMIT);
            for at in 0..60 {
                if rng.u8(..12) == 0 {
                    limit = rng.u64(1..2 * LIMIT);
                }
                if rng.u8(..15) == 0 {
                    account = None;
                }
                let is_killed = rng.u8(..4) == 0;
                let wanted = Wanted { pace: rng.f64() * 3.0, ..of(limit) };
                let tell = |account: &mut Option<Seen>, told: Checkpoint| {
                    if let Some(account) = account.as_mut().filter(|seen| seen.revision < told.revision) {
                        (account.revision, account.limit) = (told.revision, limit);
                        account.ceiling = told.ceiling.max(account.committed.min(account.ceiling));
                    }
                };
                match step(kept, account, &wanted, NOW + at) {
                    Step::Rest => {}
                    Step::Open(next, gone) => {
                        kept = Some(next);
                        if !is_killed {
                            let Checkpoint { epoch, .. } = next;
                            let (ceiling, committed) = (gone, gone);
                            account = Some(Seen { epoch, revision: 0, limit, ceiling, committed, short: 0 });
                        }
                    }
                    Step::Tell(told) => tell(&mut account, told),
                    Step::Raise(next) => {
                        kept = Some(next);
                        if !is_killed {
                            tell(&mut account, next);
                        }
                    }
                    Step::Lower(next) => {
                        tell(&mut account, next);
                        if !is_killed {
                            kept =
                                Some(Checkpoint { ceiling: account.map_or(0, |seen| seen.ceiling), ..next });
                        }
                    }
                }
                if let Some(account) = &mut account {
                    let free = account.ceiling.min(account.limit).saturating_sub(account.committed);
                    account.committed += rng.u64(..=free);
                    let ceiling = kept.map_or(0, |kept| kept.ceiling);
                    assert!(ceiling >= account.ceiling, "seed {seed}: {kept:?} {account:?}");
                }
            }
        }
    }
}
