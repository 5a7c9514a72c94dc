//! A proxy's side of one limit in one window: what it tells the ledger and when, so that its calls find
//! money in the purse and idle money goes back.

use std::sync::Arc;

use crate::{
    Amount, Epoch, Holder, Millis,
    account::{Answer, Statement},
    purse::Purse,
};

/// An answer that takes longer is not waited for: the next statement says all there is to say.
pub const TIMEOUT: Millis = 50;
/// What was spent is told so often, though nothing is needed.
const REPORT: Millis = 1_000;
/// A slice is what calls cost in so long, and is filled up again when half of it is left.
const SLICE: Millis = 2_000;
/// Without a call for so long, what is left goes back.
const IDLE: Millis = 3_000;
/// Between two statements while a call waits in vain, and first while the ledger does not answer.
pub const RETRY: Millis = 25;
/// The ledger is asked less often while it does not answer, up to this.
const LONGEST_PAUSE: Millis = 2_000;

/// The lease.
#[derive(Debug)]
pub struct Lease {
    holder: Holder,
    /// An answer that takes longer is not waited for.
    timeout: Millis,
    purse: Arc<Purse>,
    epoch: Epoch,
    seq: u64,
    drawn: Amount,
    /// The statement that is not answered yet, and since when it is under way.
    asked: Option<(u64, Millis)>,
    /// When the first was made since the ledger has answered.
    unanswered_since: Option<Millis>,
    /// What was told last, and when.
    told: Amount,
    told_at: Millis,
    wanted: Amount,
    /// What calls cost in a second, decaying.
    pace: f64,
    /// The largest call of late.
    largest: Amount,
    measured: (Amount, Millis),
    used_at: Millis,
    /// A call waits for so much.
    need: Amount,
    /// All calls that wait do for so much together.
    crowd: Amount,
    /// What it may have at hand besides, since calls had to wait: the pace is not known yet.
    surge: Amount,
    /// What calls waited for when the last statement was made.
    hunger: Amount,
    recalled: bool,
    /// Somebody decides by what the ledger says.
    asked_about: bool,
    /// The ledger has not heard of the epoch that it has told.
    restate: bool,
    not_before: Millis,
    /// There is less than it would like: it asks for a slice no sooner.
    scarce_until: Millis,
    failures: u32,
    /// From then on no call begins.
    over_at: Option<Millis>,
}

impl Lease {
    #[must_use]
    pub fn new(holder: Holder, now: Millis) -> Self {
        Self {
            holder,
            timeout: TIMEOUT,
            purse: Arc::default(),
            epoch: Epoch::default(),
            seq: 0,
            drawn: 0,
            asked: None,
            unanswered_since: None,
            told: 0,
            told_at: now,
            wanted: 0,
            pace: 0.0,
            largest: 0,
            measured: (0, now),
            used_at: now,
            need: 0,
            crowd: 0,
            surge: 0,
            hunger: 0,
            recalled: false,
            asked_about: false,
            restate: false,
            not_before: now,
            scarce_until: now,
            failures: 0,
            over_at: None,
        }
    }

    /// The same for a ledger that may take longer, such as one that writes to a disk of this machine.
    #[must_use]
    pub fn with_timeout(self, timeout: Millis) -> Self {
        Self { timeout, ..self }
    }

    /// The same for calls that begin before then: what they leave goes back at once, and no more is asked for.
    #[must_use]
    pub fn until(self, over_at: Millis) -> Self {
        Self { over_at: Some(over_at), ..self }
    }

    /// Since when the ledger owes an answer, where it does.
    #[must_use]
    pub fn unanswered_since(&self) -> Option<Millis> {
        self.unanswered_since
    }

    /// Whether no call need wait for an answer: two in a row have not come, or said that there is no account. One may be
    /// late for any reason.
    #[must_use]
    pub fn is_silent(&self, now: Millis) -> bool {
        let overdue = self.asked.is_some_and(|(_, since)| now >= since + self.timeout);
        self.failures + u32::from(overdue) > 1
    }

    /// Where calls reserve.
    #[must_use]
    pub fn purse(&self) -> &Arc<Purse> {
        &self.purse
    }

    /// All that it ever got, but for what it has given back.
    #[must_use]
    pub fn drawn(&self) -> Amount {
        self.drawn
    }

    /// A call finds too little and waits: the ledger is asked for so much at once.
    pub fn wait_for(&mut self, amount: Amount) {
        self.need = if self.need == 0 { amount } else { self.need.min(amount) };
    }

    /// The least that is of use to a call that waits, and what would serve all that do: it is asked for at once, where
    /// there is so much. Nothing, and nothing, where none waits.
    pub fn needs(&mut self, least: Amount, together: Amount) {
        (self.need, self.crowd) = (least, together);
    }

    /// No call waits any more.
    pub fn wait_no_more(&mut self) {
        (self.need, self.crowd) = (0, 0);
    }

    /// Somebody decides by what the ledger says of the limit, though no call may spend from it: it is asked once a second.
    pub fn ask_about(&mut self) {
        self.asked_about = true;
    }

    /// Others' calls wait for what this one does not use. One that waits itself is told so with its next answer, which
    /// knows who goes first.
    pub fn recall(&mut self) {
        self.recalled |= self.need == 0;
    }

    /// Whether the ledger knows of all that was spent, and nothing is held besides.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let told = self.asked.is_none() && !self.restate && self.told == self.purse.spent();
        told && self.purse.available() == 0
    }

    /// What to tell the ledger now, if anything.
    pub fn due(&mut self, now: Millis) -> Option<Statement> {
        if let Some((_, since)) = self.asked {
            if now < since + self.timeout {
                return None;
            }
            self.asked = None;
            self.failed(now);
        }
        self.measure(now);
        if now < self.not_before {
            return None;
        }
        let available = self.purse.available();
        let spent = self.purse.spent();
        let slice = self.slice();
        let over = self.over_at.is_some_and(|at| now >= at);
        if over {
            self.wait_no_more();
        }
        let is_used = self.crowd > 0 || self.purse.largest() > 0;
        let idle = over || (!is_used && now >= self.used_at + IDLE);
        if idle || self.recalled {
            self.surge = 0;
        }
        let at_hand = slice.max(self.surge);
        // Twice as much is too much, so that what swings around it is not sent to and fro.
        let (keep, too_much) =
            if idle || self.recalled { (0, 0) } else { (at_hand, at_hand.saturating_mul(2)) };
        let surplus = if available > too_much { available - keep } else { 0 };
        // Idle money is no use to a call that waits for more; a part of what it needs is.
        let give_back = surplus > 0 && (self.recalled || self.need == 0);
        let waits = self.need > available;
        let low = !idle && available < slice / 2 && now >= self.scarce_until;
        let report = (spent != self.told || self.asked_about) && now >= self.told_at + REPORT;
        if !(self.restate || give_back || waits || low || report) {
            return None;
        }
        // It is gone when it is said, heard or not: what the ledger takes back must not be spent here.
        let given_back = if give_back { self.purse.take(surplus) } else { 0 };
        self.drawn -= given_back;
        (self.recalled, self.asked_about) = (false, false);
        self.seq += 1;
        self.asked = Some((self.seq, now));
        self.unanswered_since.get_or_insert(now);
        self.told = spent;
        self.told_at = now;
        self.wanted = match if waits { at_hand } else { slice } {
            _ if give_back || idle => 0,
            enough => enough.saturating_sub(available),
        };
        self.hunger = if waits { self.crowd } else { 0 };
        Some(Statement {
            holder: self.holder,
            epoch: self.epoch,
            seq: self.seq,
            drawn: self.drawn,
            spent,
            want: self.wanted,
            need: if waits { self.need - (available - given_back) } else { 0 },
        })
    }

    /// The ledger has answered.
    pub fn answered(&mut self, answer: &Answer, now: Millis) {
        match *answer {
            Answer::Granted { seq, amount, recall, .. } => {
                // Another's: what it granted never counts, for a later statement has said so.
                if self.asked.is_none_or(|(asked, _)| asked != seq) {
                    return;
                }
                self.drawn += amount;
                self.purse.put(amount);
                (self.recalled, self.restate) = (recall, false);
                let in_vain = self.need > self.purse.available();
                self.not_before = if in_vain { now + RETRY } else { now };
                if amount < self.wanted {
                    self.scarce_until = now + REPORT;
                    self.surge = 0;
                } else if self.wanted > 0 && self.hunger > 0 {
                    // Twice as much the next time that calls wait: few of many that come after a rest shall.
                    self.surge = self.surge.max(self.hunger).saturating_mul(2);
                }
            }
            Answer::Stale => return,
            Answer::Moved(epoch) => {
                // Answers overtake each other; epochs do not.
                if epoch <= self.epoch {
                    return;
                }
                self.epoch = epoch;
                self.restate = true;
                self.not_before = now;
            }
            Answer::Closed => {
                self.asked = None;
                self.failed(now);
                self.not_before = self.not_before.max(now + RETRY);
                return;
            }
            // Another lease serves its calls. There may be room when a window, or an epoch, has passed.
            Answer::Full => self.not_before = now + LONGEST_PAUSE,
        }
        (self.asked, self.unanswered_since, self.failures) = (None, None, 0);
    }

    /// Once it is asked again at once, for calls that have just come may wait for an answer too; then ever less often.
    fn failed(&mut self, now: Millis) {
        let pause = RETRY * ((1 << self.failures.min(8)) / 2);
        self.failures = self.failures.saturating_add(1);
        self.restate = true;
        self.not_before = now + pause.min(LONGEST_PAUSE);
    }

    fn measure(&mut self, now: Millis) {
        let (before, at) = self.measured;
        let elapsed = now.saturating_sub(at);
        if elapsed < REPORT / 4 {
            return;
        }
        let (spent, reserved) = (self.purse.spent(), self.purse.take_largest());
        // Money is of use to a call from when it is reserved, and that may last.
        if spent > before || reserved > 0 {
            self.used_at = now;
        }
        // Half of it is what the last second was like.
        let weight = 1.0 - 0.5f64.powf(elapsed as f64 / 1_000.0);
        let rate = (spent - before) as f64 * 1_000.0 / elapsed as f64;
        self.pace += (rate - self.pace) * weight;
        self.largest = (self.largest - self.largest / 8).max(reserved);
        self.measured = (spent, now);
        self.surge /= 2;
    }

    /// What it should have at hand: what its pace says, and one call at least.
    fn slice(&self) -> Amount {
        let slice = (self.pace * SLICE as f64 / 1_000.0) as Amount + self.largest.max(self.purse.largest());
        slice.max(self.crowd)
    }
}

#[cfg(test)]
mod tests;
