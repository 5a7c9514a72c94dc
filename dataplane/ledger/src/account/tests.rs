//! An account alone. How they hang together is tested against a Redis and in the simulator.

#![expect(clippy::panic, reason = "a test stops at the first surprise")]

use super::*;

const A: Holder = Holder(1);
const B: Holder = Holder(2);
const C: Holder = Holder(3);

/// An account and what its root says.
struct Tested(Account, Terms, Option<Rolling>);

impl Tested {
    fn begun(epoch: u64, limit: Amount, gone: Amount, strict: bool) -> Self {
        let terms = Terms { limit, strict, ceiling: 0, secured_at: 0, opened_at: 0 };
        Self(Account::begun(Epoch(epoch), 1, gone, 0, 0), terms, None)
    }

    /// One that may grant all.
    fn new(limit: Amount) -> Self {
        let mut account = Self::begun(1, limit, 0, true);
        assert_eq!(account.0.secure(2, limit, 0), Some(true));
        account
    }

    fn state(&mut self, statement: Statement, now: Millis) -> Answer {
        self.0.state(&statement, &self.1, self.2, now).0
    }

    /// What is granted, and whether what is left over is to come back.
    fn granted(&mut self, statement: Statement, now: Millis) -> (Amount, bool) {
        match self.state(statement, now) {
            Answer::Granted { amount, recall, .. } => (amount, recall),
            _ => (Amount::MAX, false),
        }
    }

    fn totals(&self) -> Totals {
        self.0.totals(self.1.limit)
    }
}

fn said(holder: Holder, seq: u64, drawn: Amount, spent: Amount, want: Amount, need: Amount) -> Statement {
    Statement { holder, epoch: Epoch(1), seq, drawn, spent, want, need }
}

#[test]
fn slices_shrink_as_the_limit_nears_but_a_call_gets_what_it_needs() {
    let mut account = Tested::new(1_600);
    assert_eq!(account.granted(said(A, 1, 0, 0, 1_000, 0), 0), (100, false));
    assert_eq!(account.granted(said(A, 2, 100, 100, 1_000, 0), 0), (93, false));
    assert_eq!(account.granted(said(B, 1, 0, 0, 1_400, 1_400), 0), (1_400, false));
    assert_eq!(account.granted(said(A, 3, 193, 193, 1_000, 0), 0), (0, false));
    assert_eq!(account.granted(said(A, 4, 193, 193, 7, 7), 0), (7, false));
    assert_eq!(account.totals().free, 0);
}

#[test]
fn a_statement_is_all_that_is_held_however_often_it_comes() {
    let mut account = Tested::new(1_600);
    let first = said(A, 1, 0, 0, 100, 0);
    account.state(first, 0);
    assert_eq!(account.state(first, 0), Answer::Stale);
    // The grant never arrived: it is not counted twice, and not lost.
    assert_eq!(account.granted(said(A, 2, 0, 0, 100, 0), 0).0, 100);
    assert_eq!((account.totals().held, account.totals().free), (100, 1_500));
    account.state(said(A, 3, 40, 30, 0, 0), 0);
    assert_eq!((account.totals().spent, account.totals().held, account.totals().free), (30, 10, 1_560));
    // A call that ran past what it had reserved.
    account.state(said(A, 4, 40, 55, 0, 0), 0);
    assert_eq!((account.totals().spent, account.totals().held, account.totals().free), (55, 0, 1_545));
}

#[test]
fn idle_money_is_asked_back_for_a_call_that_waits_and_the_smallest_goes_first() {
    let mut account = Tested::new(100);
    assert_eq!(account.granted(said(A, 1, 0, 0, 100, 100), 0), (100, false));
    assert_eq!(account.granted(said(B, 1, 0, 0, 30, 30), 0), (0, false));
    assert_eq!(account.granted(said(C, 1, 0, 0, 50, 50), 0), (0, true));
    assert_eq!(account.granted(said(A, 2, 100, 0, 0, 0), 0), (0, true));
    account.state(said(A, 3, 60, 0, 0, 0), 0);
    // It is for the call first, and others' slices are of the rest.
    assert_eq!(account.granted(said(C, 2, 0, 0, 40, 0), 0), (2, true));
    assert_eq!(account.granted(said(B, 2, 0, 0, 30, 30), 0), (30, false));
    assert_eq!(account.granted(said(A, 4, 60, 0, 0, 0), 0), (0, false));
}

/// Others are asked once, though the call's proxy asks again ten times a second; and who is gone is not waited for.
#[test]
fn others_are_asked_once_in_two_seconds() {
    let mut account = Tested::new(100);
    account.state(said(A, 1, 0, 0, 100, 100), 0);
    let mut asked = Vec::new();
    for (seq, now) in (1..).zip((0..5_000).step_by(100)) {
        if account.0.state(&said(B, seq, 0, 0, 30, 30), &account.1, None, now).1 {
            asked.push(now);
        }
    }
    assert_eq!(asked, [0, RECALL, 2 * RECALL]);
    assert_eq!(account.granted(said(A, 2, 100, 0, 0, 0), 3 * RECALL - 1), (0, true));
    assert_eq!(account.granted(said(A, 3, 100, 0, 0, 0), 3 * RECALL), (0, false));
}

#[test]
fn it_says_why_a_call_is_not_served() {
    let short = |account: &mut Tested, statement| match account.state(statement, 0) {
        Answer::Granted { left, .. } => (left.short, left.free, left.spent),
        _ => panic!("it is granted"),
    };
    let mut account = Tested::new(100);
    account.state(said(A, 1, 0, 0, 80, 80), 0);
    assert_eq!(short(&mut account, said(A, 2, 80, 40, 0, 0)), (None, 20, 40));
    assert_eq!(short(&mut account, said(B, 1, 0, 0, 60, 60)), (Some(Short::Held), 20, 40));
    // Nothing that others could do would help, and nobody is asked to.
    assert_eq!(short(&mut account, said(B, 2, 0, 0, 61, 61)), (Some(Short::Spent), 20, 40));
    assert_eq!(account.granted(said(A, 3, 80, 40, 0, 0), 0), (0, false));
    // What it holds itself does not come back to it.
    assert_eq!(short(&mut account, said(A, 4, 80, 40, 21, 21)), (Some(Short::Spent), 20, 40));
    account.0.secure(3, 90, 0);
    assert_eq!(short(&mut account, said(B, 3, 0, 0, 20, 20)), (Some(Short::Ceiling), 20, 40));
}

#[test]
fn what_is_granted_stays_below_what_is_stored_while_anybody_stores() {
    for strict in [false, true] {
        let mut account = Tested::begun(2, 1_000, 200, strict);
        let said = |seq, need| Statement { epoch: Epoch(2), ..said(A, seq, 50, 50, need, need) };
        assert_eq!(account.state(Statement { epoch: Epoch(1), ..said(1, 0) }, 0), Answer::Moved(Epoch(2)));
        assert_eq!(account.granted(said(1, 10), 0).0, 0);
        assert_eq!((account.totals().unclaimed, account.totals().short_of_ceiling), (150, 10));
        account.0.secure(2, 230, 10);
        assert_eq!(account.granted(said(2, 30), 10).0, 30);
        assert_eq!(account.granted(Statement { drawn: 80, ..said(3, 1) }, 10).0, 0);
        // Who is away may be so for long; only what is not strict goes on without.
        let away = 10 + UNSECURED_AFTER;
        let alone = if strict { 0 } else { 700 };
        assert_eq!(account.granted(Statement { drawn: 80, ..said(4, 700) }, away).0, alone);
    }
}

#[test]
fn a_ceiling_is_lowered_to_what_is_committed_and_what_comes_late_raises_none() {
    let mut account = Tested::new(100);
    account.state(said(A, 1, 0, 0, 60, 60), 0);
    let ceiling = |account: &Tested| (account.totals().revision, account.totals().ceiling);
    assert_eq!((account.0.secure(5, 40, 0), ceiling(&account)), (Some(true), (5, 60)));
    assert_eq!((account.0.secure(4, 100, 0), ceiling(&account)), (None, (5, 60)));
    assert_eq!((account.0.secure(5, 100, 0), ceiling(&account)), (Some(false), (5, 60)));
    account.state(said(A, 2, 10, 10, 0, 0), 0);
    assert_eq!((account.0.secure(6, 40, 0), ceiling(&account)), (Some(true), (6, 40)));
    // A call ran past what it had reserved. What is stored is 40, and no more is granted than that.
    account.state(said(A, 3, 10, 45, 0, 0), 0);
    assert_eq!((account.0.secure(7, 30, 0), ceiling(&account)), (Some(true), (7, 40)));
}

/// Of 120 that are gone A had 100 and B 20. A has given back 50 since. Were what it said before that to claim its
/// 100, its 50 would then free what is B's.
#[test]
fn what_was_said_in_an_earlier_epoch_claims_nothing() {
    let mut account = Tested::begun(2, 120, 120, true);
    assert_eq!(account.state(said(A, 1, 100, 0, 0, 0), 0), Answer::Moved(Epoch(2)));
    let now = |statement| Statement { epoch: Epoch(2), ..statement };
    account.state(now(said(A, 2, 50, 0, 0, 0)), 0);
    assert_eq!((account.totals().free, account.totals().unclaimed), (0, 70));
    account.state(now(said(B, 1, 20, 0, 0, 0)), 0);
    assert_eq!((account.totals().free, account.totals().unclaimed), (0, 50));
}

#[test]
fn a_limit_below_what_is_gone_grants_nothing_until_it_is_raised() {
    let mut account = Tested::new(100);
    account.state(said(A, 1, 0, 0, 80, 80), 0);
    account.1.limit = 50;
    assert_eq!(account.granted(said(A, 2, 80, 10, 5, 5), 0).0, 0);
    assert_eq!(account.totals().free, 0);
    account.1.limit = 100;
    assert_eq!(account.granted(said(A, 3, 80, 10, 5, 5), 0).0, 5);
    assert!(account.0.is_balanced());
}

/// Those who are gone for good claim nothing, and nothing of theirs comes back.
#[test]
fn what_nobody_has_claimed_half_a_minute_after_the_opening_is_spent() {
    let mut account = Tested::begun(1, 100, 80, true);
    account.0.secure(2, 100, 0);
    let mut told = |seq, now| match account.state(said(A, seq, 30, 30, 0, 60), now) {
        Answer::Granted { left, .. } => (left.short, left.spent),
        _ => panic!("it is granted"),
    };
    assert_eq!(told(1, 0), (Some(Short::Held), 30));
    assert_eq!(told(2, CLAIMED_AFTER - 1), (Some(Short::Held), 30));
    assert_eq!(told(3, CLAIMED_AFTER), (Some(Short::Spent), 80));
    assert_eq!(account.totals().unclaimed, 50, "it is never granted, and may be claimed still");
}

/// Of 24 seconds: what was heard of first counts for 26.
#[test]
fn what_was_spent_comes_back_when_the_length_has_passed_and_two_parts() {
    let mut account = Tested::new(100);
    account.2 = Some(Rolling::new(24_000));
    assert_eq!(account.granted(said(A, 1, 0, 0, 60, 60), 1_000).0, 60);
    // What is granted later was spent by calls of the same part.
    assert_eq!(account.granted(said(A, 2, 60, 60, 10, 10), 1_900).0, 10);
    assert_eq!(account.granted(said(B, 1, 0, 0, 30, 30), 14_000).0, 30);
    assert_eq!(account.granted(said(C, 1, 0, 0, 1, 1), 26_999).0, 0);
    assert_eq!(account.granted(said(C, 2, 0, 0, 71, 71), 27_000).0, 0);
    assert_eq!(account.granted(said(C, 3, 0, 0, 70, 70), 27_000).0, 70);
    account.state(said(C, 4, 70, 50, 0, 0), 27_000);
    assert_eq!((account.totals().spent, account.totals().held), (50, 50));
    // Nobody speaks, and somebody asks.
    assert!(account.0.roll(account.2, 40_000));
    assert_eq!((account.totals().spent, account.totals().held, account.totals().free), (50, 20, 30));
    assert!(!account.0.roll(account.2, 52_998), "nothing was due");
    assert!(account.0.roll(account.2, 52_999));
    assert_eq!((account.totals().spent, account.totals().held, account.totals().free), (0, 0, 100));
    assert!(account.0.is_balanced());
}

#[test]
fn what_was_gone_before_an_epoch_comes_back_too() {
    let mut account = Tested::begun(1, 100, 80, false);
    account.2 = Some(Rolling::new(24_000));
    let all = account.0.secure(2, 100, 0);
    assert_eq!(all, Some(true));
    assert_eq!(account.granted(said(A, 1, 30, 30, 20, 20), 25_000).0, 20);
    assert_eq!((account.totals().unclaimed, account.totals().free), (50, 0));
    // The part that was claimed counts from when it was.
    assert_eq!(account.granted(said(B, 1, 0, 0, 51, 51), 26_000).0, 0);
    assert_eq!(account.granted(said(B, 2, 0, 0, 50, 50), 26_000).0, 50);
    assert_eq!(account.totals().unclaimed, 0);
}

/// It spoke last before its entry was taken out: its money is counted once more, and nobody is granted it twice.
#[test]
fn a_holder_that_is_heard_of_again_counts_from_then_on() {
    let mut account = Tested::new(100);
    account.2 = Some(Rolling::new(24_000));
    account.state(said(A, 7, 0, 0, 60, 60), 0);
    assert_eq!(account.granted(said(B, 1, 0, 0, 40, 40), 26_000).0, 40);
    assert_eq!(account.granted(said(A, 5, 60, 10, 0, 0), 26_000).0, 0);
    assert_eq!((account.totals().free, account.totals().spent), (0, 10));
    assert_eq!(account.state(said(A, 5, 60, 10, 0, 0), 26_001), Answer::Stale);
    assert!(account.0.is_balanced());
}

/// However many holders there are, all of them are looked at no more than four times in each part.
#[test]
fn all_entries_are_looked_at_now_and_then() {
    let mut account = Tested::new(1_000_000);
    let rolling = Rolling::new(24_000);
    account.2 = Some(rolling);
    let mut looks = 0;
    for now in (0..60_000).step_by(10) {
        account.state(said(Holder(now), 1, 0, 0, 1, 1), now);
        looks += u32::from(account.0.looks_at == now + rolling.pause() || account.0.looks_at == now);
    }
    let parts = (60_000 - 26_000) / rolling.part();
    assert!((parts..=4 * parts + 2).contains(&u64::from(looks)), "{looks} looks in {parts} parts");
}

/// The process began anew: nobody gives back what was held. It comes back as it was spent, and not all of it later.
#[test]
fn what_those_held_who_are_gone_comes_back_each_in_its_time() {
    let mut account = Tested::new(100);
    account.2 = Some(Rolling::new(24_000));
    account.state(said(A, 1, 0, 0, 60, 60), 0);
    account.state(said(B, 1, 0, 0, 40, 40), 10_000);
    account.0.bury(account.2);
    assert!(account.0.roll(account.2, 26_000));
    assert_eq!((account.totals().held, account.totals().free), (40, 60));
    account.0.bury(None);
    assert_eq!((account.totals().held, account.totals().free), (40, 60));
    assert!(account.0.is_balanced());
}
