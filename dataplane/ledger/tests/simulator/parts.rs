//! What a proxy has of a rolling limit: a share for each part of the length, one after the other. Calls of those that are
//! over end when they end.

use llm_ledger::account::Answer;
use llm_ledger::purse::Reservation;
use llm_ledger::{Holder, Millis};

use crate::broken::Broken;
use crate::proxy::{Call, Proxy, Share};
use crate::world::{Faults, World};

impl World {
    pub(crate) fn born(&mut self) -> Proxy {
        self.lives += 1;
        let (rate, offset) = match self.faults {
            Faults::None => (1_000, 0),
            Faults::All => (self.rng.u64(800..1_200), self.rng.u64(..1_000_000)),
        };
        let mut proxy = Proxy::new(rate, offset);
        let (clock, part) = (proxy.clock(self.now), self.part());
        let share = |account| Share::new(Holder(self.lives), account, clock, part);
        proxy.shares.extend((0..self.places.len()).map(share));
        proxy
    }

    fn part(&self) -> Option<Millis> {
        let parts = if self.broken == Some(Broken::LinesLiveOnPastTheirPart) { 4 } else { 1 };
        self.rolling.map(|rolling| rolling.part() * parts)
    }

    /// No call begins any more in a part that is over, nor counts when the length has passed.
    pub(crate) fn turn(&mut self) {
        let (Some(rolling), Some(part)) = (self.rolling, self.part()) else { return };
        for proxy in &mut self.proxies {
            let clock = proxy.clock(self.now);
            for share in proxy.shares.iter_mut().filter(|share| clock >= share.since + part) {
                self.lives += 1;
                self.bills[share.account].available -= share.available();
                let mut next = Share::new(Holder(self.lives), share.account, clock, Some(part));
                next.waits = share.waits.take();
                if let Some((bound, _)) = next.waits {
                    next.lease.wait_for(bound);
                }
                proxy.past.push(std::mem::replace(share, next));
            }
            proxy.past.retain(|share| {
                let is_settled = share.calls.is_empty() && share.lease.is_settled();
                let stays = !is_settled && clock < share.since + rolling.length();
                if !stays {
                    self.bills[share.account].gone += share.billed();
                }
                stays
            });
        }
        for bill in &mut self.bills {
            bill.passes(self.now.saturating_sub(rolling.length()));
        }
    }

    /// A call begins, with what was reserved for it.
    pub(crate) fn begins(&mut self, index: usize, account: usize, reservation: Reservation) {
        let number = self.bills[account].begins(self.now, reservation.amount());
        self.proxies[index].shares[account].calls.push(Call { number, reservation });
    }

    /// A call ends, of this part or of another, if there is one.
    pub(crate) fn ends(&mut self, index: usize, account: usize, chance: u64) {
        let proxy = &mut self.proxies[index];
        let past = if proxy.past.is_empty() { 0 } else { self.rng.usize(..=proxy.past.len()) };
        let share = match past {
            0 => &mut proxy.shares[account],
            past => &mut proxy.past[past - 1],
        };
        let calls = share.calls.len() as u64;
        if calls == 0 {
            return;
        }
        let before = share.available();
        let Call { number, reservation } = share.calls.swap_remove((chance % calls) as usize);
        let cost = chance / calls % (reservation.amount() + 1);
        reservation.settle(cost);
        let bill = &mut self.bills[share.account];
        bill.settles(number, cost);
        if past == 0 {
            bill.available = bill.available - before + share.available();
        }
    }

    /// An answer for a part that is over: no call can have it.
    pub(crate) fn answers_the_past(&mut self, index: usize, holder: Holder, account: usize, answer: &Answer) {
        let proxy = &mut self.proxies[index];
        let now = proxy.clock(self.now);
        let of_it = |share: &&mut Share| share.holder == holder && share.account == account;
        if let Some(share) = proxy.past.iter_mut().find(of_it) {
            share.lease.answered(answer, now);
        }
    }

    /// What is to be told of parts that are over.
    pub(crate) fn say_of_the_past(&mut self, index: usize) {
        let proxy = &mut self.proxies[index];
        let now = proxy.clock(self.now);
        let due = proxy.past.iter_mut().filter_map(|share| Some((share.account, share.lease.due(now)?)));
        for (account, statement) in due.collect::<Vec<_>>() {
            self.send(index, account, statement);
        }
    }
}
