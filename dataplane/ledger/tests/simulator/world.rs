//! A run: what happens, by chance, and what must hold after each step.

use crate::bills::Bill;
use crate::broken::Broken;
use crate::network::{Message, Network, Request};
use crate::operator::{Act, Operator, Stored};
use crate::proxy::{Proxy, Share};
use llm_ledger::account::{Answer, Statement};
use llm_ledger::accounts::Accounts;
use llm_ledger::place::{Place, REST};
use llm_ledger::rolling::Rolling;
use llm_ledger::{Amount, Millis};
use std::collections::BTreeMap;

const STEPS: usize = 1_500;
/// A call is refused when it has waited for so long.
const PATIENCE: Millis = 3_000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Faults {
    None,
    All,
}

pub struct World {
    pub(crate) rng: fastrand::Rng,
    pub(crate) faults: Faults,
    pub(crate) broken: Option<Broken>,
    pub(crate) rolling: Option<Rolling>,
    pub(crate) now: Millis,
    largest_call: Amount,
    pub(crate) network: Network,
    /// Where accounts are: those of values, and last the root or the one that all share.
    pub(crate) places: Vec<Place>,
    /// Two while some take the one for the ledger that the others have given up.
    pub(crate) ledgers: [Accounts; 2],
    pub(crate) current: usize,
    pub(crate) split_until: Millis,
    /// A ledger's clock is another after each loss.
    pub(crate) clocks: [Millis; 2],
    pub(crate) memory: Option<Accounts>,
    /// What operators have asked: some of it comes again, much later.
    pub(crate) asked: Vec<Request>,
    pub(crate) stored: Stored,
    pub(crate) operators: Vec<Operator>,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) lives: u64,
    pub(crate) bills: Vec<Bill>,
    pub(crate) limit: Amount,
    pub steps: u64,
    pub calls: u64,
    pub refused_in_vain: u64,
    pub(crate) faults_made: BTreeMap<&'static str, u64>,
    /// The steps between two faults.
    calm: u64,
    told: bool,
}

impl World {
    pub fn new(seed: u64, faults: Faults, broken: Option<Broken>) -> Self {
        Self::of(seed, faults, broken, false)
    }

    /// Of a rolling limit.
    pub fn rolling(seed: u64, faults: Faults, broken: Option<Broken>) -> Self {
        Self::of(seed, faults, broken, true)
    }

    fn of(seed: u64, faults: Faults, broken: Option<Broken>, rolls: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Some lengths of a rolling limit pass in a run.
        let seconds = match broken {
            Some(Broken::SpentComesBackAPartTooEarly) => 13,
            _ if rolls => rng.u64(6..24),
            _ => 0,
        };
        let rolling = rolls.then(|| Rolling::new(seconds * 1_000));
        let count = if rolls {
            rng.usize(2..9)
        } else if rng.bool() {
            rng.usize(2..10)
        } else {
            rng.usize(10..=100)
        };
        let largest_call = rng.u64(2..200);
        let most = (rng.u8(..3) == 0).then(|| rng.u64(1..4));
        let few = most.is_some() || rng.bool();
        let limit = largest_call * if few { rng.u64(3..20) } else { rng.u64(20..100) };
        let calm = rng.u64(5..200);
        // In a limit of 12 seconds what is spent counts for 13.
        let seconds = if broken == Some(Broken::SpentComesBackAPartTooEarly) { 12 } else { seconds };
        let limit_id = if rolls { format!("rolling{seconds}-usd") } else { "daily-usd".to_owned() };
        let root = Place { budget: "b".into(), limit: limit_id.parse().unwrap(), start: 0, value: None };
        let mut places = vec![root.clone()];
        if most.is_some() {
            let values = ["a", "b", "c", REST].map(|value| root.of(&value.into()));
            places.splice(0..0, values);
        }
        let room = if faults == Faults::All { rng.u64(2..32) } else { 32 };
        let operators = if faults == Faults::All { rng.usize(1..3) } else { 1 };
        let mut world = Self {
            faults,
            broken,
            rolling,
            now: 0,
            largest_call,
            network: Network::new(faults == Faults::All),
            ledgers: Default::default(),
            current: 0,
            split_until: 0,
            clocks: [rng.u64(..1_000_000), rng.u64(..1_000_000)],
            memory: None,
            asked: Vec::new(),
            stored: Stored::new(limit, places.len(), most),
            operators: std::iter::repeat_with(|| Operator::new(broken, room)).take(operators).collect(),
            proxies: Vec::new(),
            lives: 0,
            bills: vec![Bill::new(limit); places.len()],
            places,
            limit,
            steps: 0,
            calls: 0,
            refused_in_vain: 0,
            faults_made: BTreeMap::new(),
            calm,
            told: std::env::var_os("SEED").is_some(),
            rng,
        };
        for _ in 0..count {
            let proxy = world.born();
            world.proxies.push(proxy);
        }
        world
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

    /// Runs for so many lengths of a rolling limit.
    pub fn run_lengths(&mut self, count: u64) -> Result<(), String> {
        let until = self.rolling.map_or(0, |rolling| rolling.length() * count);
        while self.now < until {
            self.step();
            self.check(false)?;
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
        self.steps += 1;
        // Each proxy acts some ten times a second; where things go wrong there is more time for them.
        let least = if self.faults == Faults::All { 15 } else { 0 };
        self.now += self.rng.u64(..=(200 / self.proxies.len() as Millis).max(least));
        if self.split_until > 0 && self.now >= self.split_until {
            self.split_until = 0;
            self.ledgers[1 - self.current] = Accounts::default();
        }
        if let Some(rolling) = self.rolling
            && self.faults == Faults::All
            && self.rng.u16(..500) == 0
        {
            // Nobody does anything for a while.
            self.now += self.rng.u64(..rolling.length());
        }
        self.turn();
        while let Some(message) = self.network.arrived(self.now) {
            self.deliver(message);
        }
        for index in 0..self.operators.len() {
            self.operate(index);
        }
        let index = self.rng.usize(..self.proxies.len());
        let account = match self.places.len() - 1 {
            0 => 0,
            values => self.rng.usize(..values),
        };
        self.live(index, account);
    }

    /// That which somebody takes for the ledger.
    fn ledger_of(&self, index: usize) -> usize {
        let astray = self.now < self.split_until && index % 2 == 1;
        if astray { 1 - self.current } else { self.current }
    }

    fn operate(&mut self, index: usize) {
        loop {
            // It may be held up between any two of its acts.
            if self.faults == Faults::All && self.rng.u8(..100) == 0 {
                let held_up = self.now + self.rng.u64(..4_000);
                let away_until = &mut self.operators[index].away_until;
                *away_until = held_up.max(*away_until);
                self.made("an operator is held up between two acts");
            }
            match self.operators[index].act(&mut self.stored, self.now) {
                Act::Nothing => return,
                Act::Ask(number, request) => {
                    let ledger = self.ledger_of(self.operators[index].ledger);
                    self.tell(|| format!("operator {index} asks {ledger}: {request:?}"));
                    self.asked.push(request);
                    let message = Message::Ask { from: index, ledger, number, request };
                    return self.network.send(self.now, &message, &mut self.rng);
                }
                Act::Stored => self.tell(|| format!("operator {index} stores: {:?}", self.stored)),
            }
        }
    }

    /// Does something to a share, and keeps account of what it may be billed.
    fn with<T>(&mut self, index: usize, account: usize, act: impl FnOnce(&mut Share, Millis) -> T) -> T {
        let proxy = &mut self.proxies[index];
        let now = proxy.clock(self.now);
        let share = &mut proxy.shares[account];
        let before = share.available();
        let done = act(share, now);
        let bill = &mut self.bills[account];
        bill.available = bill.available - before + share.available();
        done
    }

    fn live(&mut self, index: usize, account: usize) {
        let full = self.proxies[index].shares[account].full;
        for _ in 0..self.rng.u8(..4) {
            let (call, chance) = (self.rng.bool(), self.rng.u64(..));
            match call {
                true if full => self.call(index, self.places.len() - 2),
                true => self.call(index, account),
                false => self.ends(index, account, chance),
            }
        }
        for account in 0..self.places.len() {
            self.wait(index, account);
            self.say(index, account);
        }
        self.say_of_the_past(index);
    }

    fn say(&mut self, index: usize, account: usize) {
        let kept = self.broken == Some(Broken::GivenBackAndKept);
        let said = self.with(index, account, |share, now| {
            let mut statement = share.lease.due(now)?;
            if kept {
                statement.drawn -= share.lease.purse().available() / 2;
            }
            share.last_said = Some(statement);
            Some(statement)
        });
        if let Some(statement) = said {
            self.send(index, account, statement);
        }
    }

    pub(crate) fn send(&mut self, index: usize, account: usize, statement: Statement) {
        if self.now < self.proxies[index].cut_until {
            return;
        }
        let ledger = self.ledger_of(index);
        self.tell(|| format!("{index} says to {ledger} of {account}: {statement:?}"));
        let message = Message::State { from: index, ledger, account, statement };
        self.network.send(self.now, &message, &mut self.rng);
    }

    fn call(&mut self, index: usize, account: usize) {
        let bound = self.rng.u64(1..=self.largest_call);
        let now = self.now;
        let call = self.with(index, account, |share, _| {
            if share.waits.is_some() {
                return None;
            }
            let call = share.lease.purse().reserve(bound);
            if call.is_none() {
                share.waits = Some((bound, now));
                share.lease.wait_for(bound);
            }
            call
        });
        if let Some(call) = call {
            self.calls += 1;
            self.begins(index, account, call);
        }
    }

    /// The call that waits, if one does: it goes on, or is refused in the end.
    fn wait(&mut self, index: usize, account: usize) {
        let share = &self.proxies[index].shares[account];
        let Some((bound, since)) = share.waits else { return };
        let over = self.now >= since + PATIENCE || share.full;
        let call = self.with(index, account, |share, _| share.lease.purse().reserve(bound));
        if call.is_none() && !over {
            return;
        }
        let served = call.is_some();
        let share = &mut self.proxies[index].shares[account];
        share.waits = None;
        share.lease.wait_no_more();
        let full = share.full;
        if let Some(call) = call {
            self.begins(index, account, call);
        }
        if full && !served {
            return;
        }
        self.calls += 1;
        if !served {
            // What is reserved may come back, and may not: it is no money that remains.
            let reserved = self.proxies.iter().map(|proxy| proxy.shares[account].reserved()).sum::<Amount>();
            let gone = self.billed_of(account) + reserved;
            self.refused_in_vain += u64::from(gone + bound <= self.stored.limit);
        }
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::State { from, ledger, account, statement } => {
                let answer = self.hear(ledger, account, statement);
                self.tell(|| format!("ledger {ledger} hears of {account}: {statement:?}: {answer:?}"));
                let answer = Message::Answer { to: from, holder: statement.holder, account, answer };
                self.network.send(self.now, &answer, &mut self.rng);
            }
            Message::Answer { to, holder, account, mut answer } => {
                let proxy = &self.proxies[to];
                if self.now < proxy.cut_until {
                    return;
                }
                if proxy.shares[account].holder != holder {
                    return self.answers_the_past(to, holder, account, &answer);
                }
                if self.broken == Some(Broken::AnyAnswerCounts)
                    && let (Answer::Granted { seq, .. }, Some(last)) =
                        (&mut answer, proxy.shares[account].last_said)
                {
                    *seq = last.seq;
                }
                self.with(to, account, |share, now| {
                    share.full = answer == Answer::Full;
                    share.lease.answered(&answer, now);
                });
            }
            Message::Ask { from, ledger, number, request } => {
                let reply = self.serve(ledger, request);
                let reply = Message::Tell { to: from, number, reply };
                self.network.send(self.now, &reply, &mut self.rng);
            }
            Message::Tell { to, number, reply } => {
                let (lowers, now) = (self.rng.bool(), self.now);
                if let Some(operator) = self.operators.get_mut(to) {
                    operator.told(number, &reply, lowers, now);
                }
            }
        }
    }

    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if self.told {
            println!("{:>7} {}", self.now, what());
        }
    }
}
