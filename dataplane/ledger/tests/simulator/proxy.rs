//! A proxy with its calls. The provider bills a call at any time between its start and its end, and all of it where
//! nobody is there any more to see.

use llm_ledger::account::Statement;
use llm_ledger::lease::Lease;
use llm_ledger::purse::Reservation;
use llm_ledger::{Amount, Holder, Millis};

pub struct Proxy {
    pub holder: Holder,
    /// Of each account.
    pub shares: Vec<Share>,
    /// The ledger cannot be reached until then.
    pub cut_until: Millis,
    /// Its clock runs by this many thousandths of the true one, from here.
    rate: u64,
    offset: Millis,
}

/// What it has of one account.
pub struct Share {
    pub lease: Lease,
    pub calls: Vec<Reservation>,
    /// A call that waits for money, and since when.
    pub waits: Option<(Amount, Millis)>,
    pub last_said: Option<Statement>,
    /// There are too many values for this one to have an account.
    pub full: bool,
}

impl Proxy {
    pub fn new(holder: Holder, accounts: usize, now: Millis, rate: u64, offset: Millis) -> Self {
        let mut proxy = Self { holder, shares: Vec::new(), cut_until: 0, rate, offset };
        let clock = proxy.clock(now);
        let share = || Share {
            lease: Lease::new(holder, clock),
            calls: Vec::new(),
            waits: None,
            last_said: None,
            full: false,
        };
        proxy.shares.extend(std::iter::repeat_with(share).take(accounts));
        proxy
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
    /// What its calls may still cost.
    pub fn reserved(&self) -> Amount {
        self.calls.iter().map(Reservation::amount).sum()
    }

    /// What it may spend, and has: the most that it can be billed for.
    pub fn exposure(&self) -> Amount {
        let purse = self.lease.purse();
        purse.spent() + self.reserved() + purse.available()
    }
}
