//! A run: what happens, by chance, and what must hold after each step.

use crate::network::{Message, Network, To};
use crate::proxy::Proxy;
use llm_ledger::account::{Account, Answer, Beginning, Statement};
use llm_ledger::{Amount, Epoch, Holder, Millis};

const STEPS: usize = 1_500;
/// A call is refused when it has waited for so long.
const PATIENCE: Millis = 3_000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Faults {
    None,
    All,
}

/// A rule that a run breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// What a proxy held that has crashed is granted to others again.
    SlicesOfTheDeadAreGrantedAgain,
    /// A ledger that begins anew takes nothing for gone.
    NothingIsGoneBeforeTheBeginning,
    /// A beginning that comes late is made though the ledger has begun.
    BeginsOverWhatHasBegun,
    /// The ledger grants again for a statement that it has heard.
    StatementsCountTwice,
    /// The proxy takes what was granted for an earlier statement.
    AnyAnswerCounts,
    /// A ceiling is told to the ledger before it is stored.
    CeilingsAreToldFirst,
    /// A proxy tells that it has given back what it keeps.
    GivenBackAndKept,
}

impl Broken {
    pub const ALL: [Self; 7] = [
        Self::BeginsOverWhatHasBegun,
        Self::SlicesOfTheDeadAreGrantedAgain,
        Self::NothingIsGoneBeforeTheBeginning,
        Self::StatementsCountTwice,
        Self::AnyAnswerCounts,
        Self::CeilingsAreToldFirst,
        Self::GivenBackAndKept,
    ];
}

/// What the operator keeps where nothing is lost.
struct Checkpoint {
    ceiling: Amount,
    epoch: Epoch,
    away_until: Millis,
    looks_at: Millis,
}

pub struct World {
    rng: fastrand::Rng,
    faults: Faults,
    broken: Option<Broken>,
    now: Millis,
    /// And its revision.
    limit: (Amount, u64),
    largest_call: Amount,
    network: Network,
    ledger: Option<Account>,
    checkpoint: Checkpoint,
    proxies: Vec<Proxy>,
    lives: u64,
    /// Of proxies that are gone: what they were billed, and what may still be.
    gone: Amount,
    /// What all proxies that there are may be billed, and those that are gone.
    exposure: Amount,
    pub calls: u64,
    pub refused_in_vain: u64,
    /// The limit, or what was gone of a higher one when it was lowered.
    cap: Amount,
    /// The steps between two faults.
    calm: u64,
    told: bool,
}

impl World {
    pub fn new(seed: u64, faults: Faults, broken: Option<Broken>) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let count = if rng.bool() { rng.usize(2..10) } else { rng.usize(10..=100) };
        let largest_call = rng.u64(2..200);
        let limit = largest_call * rng.u64(5..100);
        let calm = rng.u64(5..200);
        let checkpoint = Checkpoint { ceiling: 0, epoch: Epoch(0), away_until: 0, looks_at: 0 };
        let mut world = Self {
            rng,
            faults,
            broken,
            now: 0,
            limit: (limit, 1),
            largest_call,
            network: Network::new(faults == Faults::All),
            ledger: None,
            checkpoint,
            proxies: Vec::new(),
            lives: 0,
            gone: 0,
            exposure: 0,
            calls: 0,
            refused_in_vain: 0,
            cap: limit,
            calm,
            told: std::env::var_os("SEED").is_some(),
        };
        for _ in 0..count {
            let proxy = world.born();
            world.proxies.push(proxy);
        }
        world
    }

    pub fn limit(&self) -> Amount {
        self.limit.0
    }

    /// What the provider has billed so far.
    pub fn billed(&self) -> Amount {
        self.gone + self.proxies.iter().map(|proxy| proxy.lease.purse().spent()).sum::<Amount>()
    }

    fn born(&mut self) -> Proxy {
        self.lives += 1;
        let (rate, offset) = match self.faults {
            Faults::None => (1_000, 0),
            Faults::All => (self.rng.u64(800..1_200), self.rng.u64(..1_000_000)),
        };
        Proxy::new(Holder(self.lives), self.now, rate, offset)
    }

    /// Runs for a while, with every fault.
    pub fn run(&mut self) -> Result<(), String> {
        for step in 0..STEPS {
            self.step();
            if self.faults == Faults::All && self.rng.u64(..self.calm) == 0 {
                self.fault();
            }
            self.check(step % 32 == 0)?;
        }
        self.check(true)
    }

    /// Runs until no call finds any money.
    pub fn run_dry(&mut self) -> Result<(), String> {
        let mut billed = (0, 0);
        while self.now < billed.1 + 30_000 {
            self.step();
            self.check(false)?;
            if self.billed() > billed.0 {
                billed = (self.billed(), self.now);
            }
        }
        self.check(true)
    }

    fn step(&mut self) {
        // Each proxy acts some ten times a second.
        self.now += self.rng.u64(..=200 / self.proxies.len() as Millis);
        while let Some((to, message)) = self.network.arrived(self.now) {
            self.deliver(to, message);
        }
        self.keep_checkpoint();
        let index = self.rng.usize(..self.proxies.len());
        self.of(index, |world, proxy| world.live(index, proxy));
    }

    /// Does something to a proxy, and keeps account of what it may be billed.
    fn of(&mut self, index: usize, act: impl FnOnce(&mut Self, &mut Proxy)) {
        let mut proxy = std::mem::replace(&mut self.proxies[index], Proxy::new(Holder(0), 0, 1, 0));
        self.exposure -= proxy.exposure();
        act(self, &mut proxy);
        self.exposure += proxy.exposure();
        self.proxies[index] = proxy;
    }

    fn live(&mut self, index: usize, proxy: &mut Proxy) {
        for _ in 0..self.rng.u8(..4) {
            match self.rng.u8(..2) {
                0 => self.call(proxy),
                _ if proxy.calls.is_empty() => {}
                _ => {
                    let call = proxy.calls.swap_remove(self.rng.usize(..proxy.calls.len()));
                    let cost = self.rng.u64(..=call.amount());
                    call.settle(cost);
                }
            }
        }
        self.wait(proxy);
        let Some(mut statement) = proxy.lease.due(proxy.clock(self.now)) else { return };
        if self.broken == Some(Broken::GivenBackAndKept) {
            statement.drawn -= proxy.lease.purse().available() / 2;
        }
        proxy.last_said = Some(statement);
        self.tell(|| format!("{index} says {statement:?}"));
        let message = Message::State { from: index, statement };
        self.network.send(self.now, To::Ledger, message, &mut self.rng);
    }

    fn call(&mut self, proxy: &mut Proxy) {
        let bound = self.rng.u64(1..=self.largest_call);
        if proxy.waits.is_some() {
            return;
        }
        match proxy.lease.purse().reserve(bound) {
            Some(call) => {
                self.calls += 1;
                proxy.calls.push(call);
            }
            None => {
                proxy.waits = Some((bound, self.now));
                proxy.lease.wait_for(bound);
            }
        }
    }

    /// The call that waits, if one does: it goes on, or is refused in the end.
    fn wait(&mut self, proxy: &mut Proxy) {
        let Some((bound, since)) = proxy.waits else { return };
        let call = proxy.lease.purse().reserve(bound);
        if call.is_none() && self.now < since + PATIENCE {
            return;
        }
        self.calls += 1;
        proxy.waits = None;
        proxy.lease.wait_no_more();
        match call {
            Some(call) => proxy.calls.push(call),
            // What is reserved may come back, and may not: it is no money that remains.
            None => {
                let reserved = |proxy: &Proxy| proxy.calls.iter().map(|call| call.amount()).sum::<Amount>();
                let others: Amount = self.proxies.iter().map(reserved).sum();
                let gone = self.billed() + proxy.lease.purse().spent() + others + reserved(proxy);
                self.refused_in_vain += u64::from(gone + bound <= self.limit.0);
            }
        }
    }

    fn deliver(&mut self, to: To, message: Message) {
        match message {
            Message::State { from, statement } => {
                let answer = self.hear(statement);
                self.tell(|| format!("the ledger hears {statement:?}: {answer:?}"));
                let answer = Message::Answer { holder: statement.holder, answer };
                self.network.send(self.now, To::Proxy(from), answer, &mut self.rng);
            }
            Message::Answer { holder, mut answer } => {
                let To::Proxy(index) = to else { return };
                if self.proxies[index].holder != holder {
                    return;
                }
                if self.broken == Some(Broken::AnyAnswerCounts)
                    && let (Answer::Granted { seq, .. }, Some(last)) =
                        (&mut answer, self.proxies[index].last_said)
                {
                    *seq = last.seq;
                }
                let now = self.now;
                self.of(index, |_, proxy| proxy.lease.answered(&answer, proxy.clock(now)));
            }
            Message::Secure { epoch, limit, ceiling } => {
                if let Some(account) = &mut self.ledger {
                    account.secure(epoch, limit, ceiling, self.now);
                }
            }
            Message::Begin { epoch, ceiling } => {
                if self.broken == Some(Broken::BeginsOverWhatHasBegun) {
                    self.ledger = None;
                }
                let nothing = self.broken == Some(Broken::NothingIsGoneBeforeTheBeginning);
                let gone = if nothing { 0 } else { ceiling };
                let (limit, revision) = self.limit;
                let beginning = Beginning { epoch, limit, revision, strict: true, gone };
                if Account::begin(&mut self.ledger, beginning, self.now) {
                    self.tell(|| format!("the ledger begins {epoch:?} with {gone} gone"));
                }
                if nothing && let Some(account) = &mut self.ledger {
                    account.secure(epoch, self.limit, ceiling, self.now);
                }
            }
        }
    }

    fn hear(&mut self, mut statement: Statement) -> Answer {
        let seq = statement.seq;
        let Some(account) = &mut self.ledger else { return Answer::Closed };
        if self.broken == Some(Broken::StatementsCountTwice) {
            // Later than any.
            statement.seq += self.now * 1_000;
        }
        let answer = account.state(&statement, self.now);
        match answer {
            Answer::Granted { amount, recall, .. } => Answer::Granted { seq, amount, recall },
            other => other,
        }
    }

    /// The operator: looks, stores, and tells then.
    fn keep_checkpoint(&mut self) {
        if self.now < self.checkpoint.away_until || self.now < self.checkpoint.looks_at {
            return;
        }
        self.checkpoint.looks_at = self.now + 250;
        let Some(account) = &self.ledger else {
            self.checkpoint.epoch = Epoch(self.checkpoint.epoch.0 + 1);
            let Checkpoint { epoch, ceiling, .. } = self.checkpoint;
            let message = Message::Begin { epoch, ceiling };
            return self.network.send(self.now, To::Ledger, message, &mut self.rng);
        };
        let room = (self.limit.0 / 32).max(account.totals().short_of_ceiling * 2);
        let ceiling = (account.committed() + room).min(self.limit.0).max(self.checkpoint.ceiling);
        let told_first = self.broken == Some(Broken::CeilingsAreToldFirst) && self.rng.bool();
        if !told_first {
            self.checkpoint.ceiling = ceiling;
        }
        let message = Message::Secure { epoch: account.epoch(), limit: self.limit, ceiling };
        self.network.send(self.now, To::Ledger, message, &mut self.rng);
    }

    fn fault(&mut self) {
        match self.rng.u8(..10) {
            0..4 => {
                let index = self.rng.usize(..self.proxies.len());
                let born = self.born();
                let dead = std::mem::replace(&mut self.proxies[index], born);
                self.tell(|| format!("{index} crashes with {}", dead.exposure()));
                self.bury(&dead);
            }
            4..6 if self.ledger.is_some() => {
                // Whether it starts empty or as it was a while ago: it knows that it has started.
                self.ledger = None;
                self.network.break_checkpoints();
                self.tell(|| "the ledger loses its memory".to_owned());
            }
            6 => self.checkpoint.away_until = self.now + self.rng.u64(..30_000),
            7..9 => {
                let (index, by) = (self.rng.usize(..self.proxies.len()), self.rng.u64(..60_000));
                self.proxies[index].jump(by);
            }
            9 => {
                if let Some(account) = &mut self.ledger {
                    let (limit, revision) = self.limit;
                    self.limit = ((limit * self.rng.u64(50..150) / 100).max(1), revision + 1);
                    account.secure(account.epoch(), self.limit, 0, self.now);
                    self.cap = self.limit.0.max(account.committed());
                    self.tell(|| format!("the limit is {} now", self.limit.0));
                }
            }
            _ => {}
        }
    }

    /// Its calls go on at the provider, who bills them: all of each, to take the worst.
    fn bury(&mut self, dead: &Proxy) {
        let purse = dead.lease.purse().clone();
        self.exposure -= dead.exposure();
        let reserved: Amount = dead.calls.iter().map(|call| call.amount()).sum();
        let billed = purse.spent() + reserved;
        self.exposure += billed;
        self.gone += billed;
        if self.broken == Some(Broken::SlicesOfTheDeadAreGrantedAgain)
            && let (Some(account), Some(last)) = (&mut self.ledger, dead.last_said)
        {
            let seq = u64::MAX;
            let given_back =
                Statement { seq, epoch: account.epoch(), drawn: last.spent, want: 0, need: 0, ..last };
            account.state(&given_back, self.now);
        }
    }

    fn check(&self, whole: bool) -> Result<(), String> {
        if self.exposure > self.cap {
            return Err(format!("{} may be billed of a limit of {}", self.exposure, self.cap));
        }
        if !whole {
            return Ok(());
        }
        let exposure: Amount = self.gone + self.proxies.iter().map(Proxy::exposure).sum::<Amount>();
        assert_eq!(exposure, self.exposure, "the simulator's own account");
        let Some(account) = &self.ledger else { return Ok(()) };
        let totals = account.totals();
        if !account.is_balanced() {
            return Err(format!("the account is not the sum of its parts: {account:?}"));
        }
        let somewhere = totals.spent + totals.held + totals.unclaimed + totals.free;
        if somewhere != self.limit.0.max(account.committed()) {
            return Err(format!("not all of the limit is somewhere: {totals:?}"));
        }
        Ok(())
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.told {
            println!("{:>7} {}", self.now, what());
        }
    }
}
