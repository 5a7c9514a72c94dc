//! A proxy with its calls. The provider bills a call at any time between its start and its end, and all of it where
//! nobody is there any more to see.

use llm_ledger::account::Statement;
use llm_ledger::lease::Lease;
use llm_ledger::purse::Reservation;
use llm_ledger::{Amount, Holder, Millis};

pub struct Proxy {
    /// Of each account.
    pub shares: Vec<Share>,
    /// Of parts that are over.
    pub past: Vec<Share>,
    /// The ledger cannot be reached until then.
    pub cut_until: Millis,
    /// Its clock runs by this many thousandths of the true one, from here.
    rate: u64,
    offset: Millis,
}

/// What it has of one account.
pub struct Share {
    pub holder: Holder,
    pub account: usize,
    pub since: Millis,
    pub lease: Lease,
    pub calls: Vec<Call>,
    /// A call that waits for money, and since when.
    pub waits: Option<(Amount, Millis)>,
    pub last_said: Option<Statement>,
    /// There are too many values for this one to have an account.
    pub full: bool,
}

/// A call, by its number in the bill.
pub struct Call {
    pub number: u64,
    pub reservation: Reservation,
}

impl Proxy {
    pub fn new(rate: u64, offset: Millis) -> Self {
        Self { shares: Vec::new(), past: Vec::new(), cut_until: 0, rate, offset }
    }

    pub fn all_shares(&self) -> impl Iterator<Item = &Share> {
        self.shares.iter().chain(&self.past)
    }

    pub fn clock(&self, now: Millis) -> Millis {
        self.offset + now * self.rate / 1_000
    }

    /// Its clock is set forward.
    pub fn jump(&mut self, by: Millis) {
        self.offset += by;
    }
}

impl Share {
    /// `part`: for so long calls begin, where the limit is rolling.
    pub fn new(holder: Holder, account: usize, clock: Millis, part: Option<Millis>) -> Self {
        let lease = Lease::new(holder, clock);
        let lease = match part {
            Some(part) => lease.until(clock + part),
            None => lease,
        };
        let (calls, waits) = (Vec::new(), None);
        Self { holder, account, since: clock, lease, calls, waits, last_said: None, full: false }
    }

    /// What its calls may still cost.
    pub fn reserved(&self) -> Amount {
        self.calls.iter().map(|call| call.reservation.amount()).sum()
    }

    /// What its calls have cost, and what they may still cost.
    pub fn billed(&self) -> Amount {
        self.lease.purse().spent() + self.reserved()
    }

    pub fn available(&self) -> Amount {
        self.lease.purse().available()
    }
}
