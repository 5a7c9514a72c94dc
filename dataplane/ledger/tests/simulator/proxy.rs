//! A proxy with its calls. The provider bills a call at any time between its start and its end, and all of it where
//! nobody is there any more to see.

use llm_ledger::account::Statement;
use llm_ledger::lease::Lease;
use llm_ledger::purse::Reservation;
use llm_ledger::{Amount, Holder, Millis};

pub struct Proxy {
    pub holder: Holder,
    pub lease: Lease,
    pub calls: Vec<Reservation>,
    /// A call that waits for money, and since when.
    pub waits: Option<(Amount, Millis)>,
    /// Its clock runs by this many thousandths of the true one, from here.
    rate: u64,
    offset: Millis,
    pub last_said: Option<Statement>,
}

impl Proxy {
    pub fn new(holder: Holder, now: Millis, rate: u64, offset: Millis) -> Self {
        let mut proxy = Self {
            holder,
            lease: Lease::new(holder, 0),
            calls: Vec::new(),
            waits: None,
            rate,
            offset,
            last_said: None,
        };
        proxy.lease = Lease::new(holder, proxy.clock(now));
        proxy
    }

    pub fn clock(&self, now: Millis) -> Millis {
        self.offset + now * self.rate / 1_000
    }

    /// Its clock is set forward.
    pub fn jump(&mut self, by: Millis) {
        self.offset += by;
    }

    /// What it may spend, and has: the most that it can be billed for.
    pub fn exposure(&self) -> Amount {
        let purse = self.lease.purse();
        let reserved: Amount = self.calls.iter().map(Reservation::amount).sum();
        purse.spent() + reserved + purse.available()
    }
}
