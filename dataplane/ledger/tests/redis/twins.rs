//! A Redis and the pure accounts, told the same by chance: they answer the same, and stand the same after each step.

use llm_ledger::account::{Answer, Beginning, Checkpoint, Statement, Values};
use llm_ledger::accounts::Accounts;
use llm_ledger::place::{Place, REST};
use llm_ledger::script;
use llm_ledger::{Amount, Epoch, Holder};

use crate::KEPT;
use crate::server::{Connection, Server};

const SEEDS: u64 = 100;
const STEPS: u64 = 120;
/// So many of the seeds start the server again in between.
const RESTARTS_EACH: u64 = 8;

#[test]
fn the_script_does_what_the_accounts_do() {
    let mut server = Server::start();
    let mut told = [0; 8];
    for seed in 0..SEEDS {
        let mut twins = Twins::new(seed);
        twins.live(&server);
        if seed % RESTARTS_EACH == 0 {
            server.restart(twins.rng.bool());
            // Whatever is left in the server, nothing of it counts.
            twins.accounts = Accounts::default();
            twins.live(&server);
        }
        told.iter_mut().zip(twins.told).for_each(|(all, some)| *all += some);
    }
    println!("granted, stale, moved, closed, full, others asked, came back, left: {told:?}");
    assert!(told.iter().all(|told| *told >= 50), "not all answers are among those that are given: {told:?}");
}

struct Twins {
    rng: fastrand::Rng,
    seed: u64,
    accounts: Accounts,
    root: Place,
    places: Vec<Place>,
    now: u64,
    epoch: u64,
    opened_at: u64,
    limit: Amount,
    /// Of each place and holder: number, drawn, spent.
    last: Vec<[(u64, Amount, Amount); 4]>,
    /// Of each place the epoch, and what was spent in it. Of the root the number of values besides.
    stood: Vec<Option<(Epoch, Amount)>>,
    count: u64,
    /// How many answers of each kind there were; how often others were asked, what was spent came back, and values left.
    told: [u32; 8],
}

impl Twins {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut root = crate::place(&format!("twins-{seed}"));
        // Each other seed is a rolling limit, and its clock moves on by some lengths of it.
        if seed % 2 == 1 {
            (root.limit, root.start) = ("rolling12-usd".parse().unwrap(), 0);
        }
        let mut places = vec![root.clone(); 3];
        if rng.bool() {
            places.extend(
                ["a", "b:v:c", "d}", "ü", "e", "f", "g", "h", "i", "j", "k", "", REST]
                    .map(|value| root.of(&value.into())),
            );
        }
        let (limit, last) = (rng.u64(100..10_000), vec![[(0, 0, 0); 4]; places.len()]);
        let stood = vec![None; places.len()];
        let accounts = Accounts::default();
        Self {
            rng,
            seed,
            accounts,
            root,
            places,
            now: 1_000_000,
            epoch: 0,
            opened_at: 0,
            limit,
            last,
            stood,
            count: 0,
            told: [0; 8],
        }
    }

    fn live(&mut self, server: &Server) {
        let mut redis = server.connection();
        let mut listener = server.listen(&self.root.recall_channel());
        for step in 0..STEPS {
            let at = format!("seed {}, step {step}", self.seed);
            self.now += self.rng.u64(..1_500);
            let place = self.rng.usize(..self.places.len());
            match self.rng.u8(..16) {
                0 => self.open(&mut redis, &at),
                1 | 2 => self.begin(&mut redis, place, &at),
                3 | 4 => self.secure(&mut redis, place, &at),
                _ => {
                    let asks = self.state(&mut redis, place, &at);
                    if asks {
                        assert_eq!(listener.next(), self.places[place].key(), "{at}");
                    }
                }
            }
            let all = step % 16 == 0;
            for index in [0, place].into_iter().chain((0..self.places.len()).filter(|_| all)) {
                self.compare(&mut redis, index, &at);
            }
            let most = self.rng.usize(..4);
            let words = redis.ask(&self.root, &script::values(most, Some(self.now)));
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let values = self.accounts.values(&self.root, most, self.now);
            self.told[7] += u32::from(values.count > 0 && values.count < self.count);
            self.count = values.count;
            assert_eq!(script::spenders(&words), Some(values), "{at}");
            assert!(self.accounts.is_balanced(), "{at}");
        }
        redis.publish(&self.root.recall_channel(), "the end");
        assert_eq!(listener.next(), "the end", "seed {}: nobody was to be asked", self.seed);
    }

    fn compare(&mut self, redis: &mut Connection, index: usize, at: &str) {
        let place = &self.places[index];
        let totals = self.accounts.totals(place, self.now);
        assert_eq!(redis.totals(place, Some(self.now)), totals, "{at}: {}", place.key());
        let stands = totals.map(|totals| (totals.epoch, totals.spent));
        if let (Some((before, spent)), Some((epoch, left))) = (self.stood[index], stands) {
            self.told[6] += u32::from(before == epoch && left < spent);
        }
        self.stood[index] = stands;
    }

    /// That of the account mostly, and that which is opened.
    fn some_epoch(&mut self) -> Epoch {
        match (self.stood[0], self.rng.u8(..10)) {
            (Some((epoch, _)), 0..7) => epoch,
            (_, 7 | 8) => Epoch(self.rng.u64(..=self.epoch)),
            _ => Epoch(self.epoch),
        }
    }

    fn open(&mut self, redis: &mut Connection, at: &str) {
        self.epoch += 1;
        let epoch = if self.rng.u8(..4) > 0 { Epoch(self.epoch) } else { self.some_epoch() };
        let opened = self.accounts.open(&self.root, epoch, KEPT, self.now);
        assert_eq!(redis.open(&self.root, epoch, Some(self.now)), opened, "{at}");
        self.opened_at = opened.unwrap_or(self.opened_at);
    }

    fn begin(&mut self, redis: &mut Connection, place: usize, at: &str) {
        let epoch = if self.rng.bool() { Epoch(self.epoch) } else { self.some_epoch() };
        let amounts: [Amount; 3] = std::array::from_fn(|_| self.rng.u64(..self.limit));
        let [gone, value_ceiling, value_gone] = amounts;
        let values = (self.places.len() > 3).then(|| Values {
            ceiling: value_ceiling,
            gone: value_gone,
            most: self.rng.u64(1..4),
        });
        let (limit, strict) = (self.limit, self.rng.bool());
        let opened_at = self.opened_at + u64::from(self.rng.u8(..8) == 0);
        let beginning = Beginning { epoch, opened_at, limit, revision: 1, strict, gone, values };
        let begun = self.accounts.begin(&self.places[place], &beginning, KEPT, self.now);
        let arguments = script::begin(&beginning, KEPT, Some(self.now)).unwrap();
        assert_eq!(redis.ask(&self.places[place], &arguments), [u8::from(begun).to_string()], "{at}");
    }

    fn secure(&mut self, redis: &mut Connection, place: usize, at: &str) {
        let epoch = self.some_epoch();
        let values = self.rng.bool().then(|| (self.rng.u64(..10_000), self.rng.u64(1..4)));
        let (limit, ceiling) = (self.rng.u64(100..10_000), self.rng.u64(..10_000));
        let (revision, strict) = (self.rng.u64(..9), self.rng.bool());
        let checkpoint = Checkpoint { epoch, revision, limit, strict, ceiling, values };
        let holds = self.accounts.secure(&self.places[place], &checkpoint, self.now);
        let words = redis.ask(&self.places[place], &script::secure(&checkpoint, Some(self.now)).unwrap());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(script::secured(&words), Some(holds), "{at}: {checkpoint:?}");
    }

    /// Whether others are to be asked for what they hold.
    fn state(&mut self, redis: &mut Connection, place: usize, at: &str) -> bool {
        let epoch = self.some_epoch();
        let (rng, holder) = (&mut self.rng, self.last[place].len());
        let holder = rng.usize(..holder);
        let (seq, drawn, spent) = &mut self.last[place][holder];
        // Late, doubled, and honest ones; some give back, some have run past what they had.
        *seq = if rng.u8(..6) == 0 { *seq } else { *seq + 1 };
        let more = rng.u64(..3);
        *drawn = rng.u64(*drawn / 2..=*drawn + more);
        *spent += rng.u64(..=drawn.saturating_sub(*spent) + 1);
        let need = if rng.bool() { rng.u64(..300) } else { 0 };
        let holder = Holder(holder as u64);
        let (seq, want) = (*seq, rng.u64(..500));
        let statement = Statement { holder, epoch, seq, drawn: *drawn, spent: *spent, want, need };
        let (wanted, asks) = self.accounts.state(&self.places[place], &statement, self.now);
        let words = redis.ask(&self.places[place], &script::state(&statement, Some(self.now)));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = script::answer(&words, seq);
        assert_eq!(answer, Some(wanted), "{at}: {}: {statement:?}: {words:?}", self.places[place].key());
        if let Answer::Granted { amount, .. } = wanted
            && self.rng.u8(..8) > 0
        {
            *drawn += amount;
        }
        let kind = match wanted {
            Answer::Granted { .. } => 0,
            Answer::Stale => 1,
            Answer::Moved(_) => 2,
            Answer::Closed => 3,
            Answer::Full => 4,
        };
        self.told[kind] += 1;
        self.told[5] += u32::from(asks);
        asks
    }
}
