//! What goes wrong in a run.

use llm_ledger::accounts::Accounts;
use std::collections::BTreeMap;

use crate::broken::Broken;
use crate::network::Message;
use crate::proxy::Proxy;
use crate::world::World;

impl World {
    pub(crate) fn made(&mut self, fault: &'static str) {
        *self.faults_made.entry(fault).or_default() += 1;
    }

    /// How often what went wrong.
    pub fn faults_made(&self) -> BTreeMap<&'static str, u64> {
        let network = &self.network;
        let mut all = self.faults_made.clone();
        all.extend([
            ("a message is lost", network.lost),
            ("a message comes twice", network.doubled),
            ("a message comes late", network.late),
        ]);
        all
    }

    pub(crate) fn fault(&mut self) {
        match self.rng.u8(..16) {
            0..4 => {
                self.made("a proxy crashes");
                let index = self.rng.usize(..self.proxies.len());
                let born = self.born();
                let dead = std::mem::replace(&mut self.proxies[index], born);
                self.tell(|| format!("{index} crashes"));
                self.bury(&dead);
            }
            4..6 => self.lose(),
            6 => {
                self.made("a replica takes over, and some do not know yet");
                // Another takes its place on the ledger, and some do not know yet.
                // A rolling limit rests on it that nobody takes it for the ledger for long.
                let longest = self.rolling.map_or(5_000, |rolling| rolling.part() / 2);
                self.split_until = self.now + self.rng.u64(..longest);
                self.current = 1 - self.current;
                self.ledgers[self.current] = Accounts::default();
                self.tell(|| format!("ledger {} takes over", self.current));
            }
            7 => {
                self.made("an operator is away");
                let index = self.rng.usize(..self.operators.len());
                self.operators[index].away_until = self.now + self.rng.u64(..10_000);
            }
            8 | 9 => {
                self.made("a clock jumps");
                let (index, by) = (self.rng.usize(..self.proxies.len()), self.rng.u64(..60_000));
                self.proxies[index].jump(by);
            }
            10 | 11 => self.partition(),
            12..15 if !self.asked.is_empty() => {
                self.made("what an operator asked comes again, late");
                let last = self.asked.len().saturating_sub(20);
                let request = self.asked[self.rng.usize(last..self.asked.len())];
                let ledger = self.current;
                self.tell(|| format!("{ledger} is asked again: {request:?}"));
                let message = Message::Ask { from: usize::MAX, ledger, number: 0, request };
                self.network.send(self.now, &message, &mut self.rng);
            }
            _ => {
                self.made("the limit is edited");
                self.stored.limit = (self.stored.limit * self.rng.u64(50..150) / 100).max(1);
                self.stored.version += 1;
                self.tell(|| format!("the limit is to be {}", self.stored.limit));
            }
        }
        if self.broken == Some(Broken::OldMemoriesAreTrusted) && self.rng.bool() {
            self.memory = Some(self.ledgers[self.current].clone());
        }
    }

    /// Whether the ledger starts empty or as it was a while ago: it knows that it has started. What was under way to it
    /// arrives all the same.
    fn lose(&mut self) {
        self.made("the ledger loses its memory");
        self.ledgers[self.current] = self.memory.take().unwrap_or_default();
        self.clocks[self.current] = self.rng.u64(..1_000_000);
        self.tell(|| "the ledger loses its memory".to_owned());
    }

    /// Some proxies do not reach the ledger for a while, and go on with what they have.
    fn partition(&mut self) {
        self.made("proxies are cut off from the ledger");
        let (until, share) = (self.now + self.rng.u64(..10_000), self.rng.u8(1..4));
        for index in 0..self.proxies.len() {
            if self.rng.u8(..4) >= share {
                continue;
            }
            self.proxies[index].cut_until = until;
            if self.broken == Some(Broken::GrantorsExpireFirst) {
                for account in 0..self.bills.len() {
                    if let Some(last) = self.proxies[index].shares[account].last_said {
                        self.take_back(account, last, last.seq + 1);
                    }
                }
            }
        }
        self.tell(|| format!("{share} of 4 proxies are cut off until {until}"));
    }

    /// Its calls go on at the provider, who bills them: all of each, to take the worst.
    fn bury(&mut self, dead: &Proxy) {
        for (account, share) in dead.shares.iter().enumerate() {
            self.bills[account].available -= share.available();
            if self.broken == Some(Broken::SlicesOfTheDeadAreGrantedAgain)
                && let Some(last) = share.last_said
            {
                self.take_back(account, last, u64::MAX);
            }
        }
        for share in dead.all_shares() {
            self.bills[share.account].gone += share.billed();
        }
    }
}
