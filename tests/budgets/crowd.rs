//! Clients: as many at once as there may be, each with one call after the other, of a length that nobody knows before.

use crate::scene::Proxies;
use harness::http::{json_request, open};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What became of all calls.
#[derive(Debug, Default)]
pub struct Tally {
    pub answered: AtomicU64,
    pub hung_up: AtomicU64,
    /// The connection broke: its proxy was killed.
    pub broken: AtomicU64,
    /// Refused, by the code.
    pub refused: Mutex<BTreeMap<String, u64>>,
    /// What calls in flight may cost, in nano-USD.
    pub in_flight: AtomicU64,
    /// Refused though there was money for it that no call had in hand.
    pub falsely: AtomicU64,
}

pub struct Crowd {
    pub tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    /// `left` says how much of the limit is left by what was billed and charged.
    pub fn start(
        count: usize,
        hang_up: bool,
        seed: u64,
        proxies: &Arc<Proxies>,
        left: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let (tally, stop) = (Arc::<Tally>::default(), Arc::<AtomicBool>::default());
        let left = Arc::new(left);
        let clients = (0..count).map(|i| {
            let client = Client {
                chance: fastrand::Rng::with_seed(seed * 1_000_003 + i as u64),
                hang_up,
                proxies: proxies.clone(),
                tally: tally.clone(),
                left: left.clone(),
            };
            tokio::spawn(client.run(stop.clone()))
        });
        let clients = clients.collect();
        Self { tally, stop, clients }
    }

    pub async fn stop(self) -> Arc<Tally> {
        self.stop.store(true, Relaxed);
        for client in self.clients {
            client.await.unwrap();
        }
        self.tally
    }
}

struct Client<F> {
    chance: fastrand::Rng,
    hang_up: bool,
    proxies: Arc<Proxies>,
    tally: Arc<Tally>,
    left: Arc<F>,
}

/// The longest answer that a call asks for.
const LONGEST: u64 = 80;

impl<F: Fn() -> u64> Client<F> {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Relaxed) {
            let (call, most) = self.call();
            self.tally.in_flight.fetch_add(most, Relaxed);
            let refused = self.one(&call).await;
            self.tally.in_flight.fetch_sub(most, Relaxed);
            if let Some(code) = refused {
                // What this call would have taken is not counted any more.
                let free = (self.left)().saturating_sub(self.tally.in_flight.load(Relaxed));
                if free >= most && code.starts_with("budget_") && code != "budget_ledger_unavailable" {
                    self.tally.falsely.fetch_add(1, Relaxed);
                }
                *self.tally.refused.lock().unwrap().entry(code).or_default() += 1;
                // As an SDK does that is told to come again.
                tokio::time::sleep(Duration::from_millis(self.chance.u64(20..200))).await;
            }
        }
    }

    /// A call, and the most that it can cost.
    fn call(&mut self) -> (Value, u64) {
        let wanted = self.chance.u64(4..=LONGEST);
        let text = format!("{} {wanted}", "word ".repeat(self.chance.usize(1..20)));
        let mut call = json!({
            "model": "m", "stream": self.chance.bool(), "messages": [{"role": "user", "content": text}],
        });
        if self.chance.u8(..3) > 0 {
            call["max_tokens"] = LONGEST.into();
        }
        let most = call.to_string().len() as u64 * crate::billing::INPUT + LONGEST * crate::billing::OUTPUT;
        (call, most)
    }

    /// Sends it; gives the code of its refusal.
    async fn one(&mut self, call: &Value) -> Option<String> {
        let url = self.proxies.any(&mut self.chance);
        let leaves = self.hang_up && self.chance.u8(..3) == 0;
        let patience = Duration::from_millis(self.chance.u64(5..300));
        let exchange = async {
            let stream = open(json_request(&url, call)).await?;
            stream.whole().await
        };
        let ended = if leaves { tokio::time::timeout(patience, exchange).await } else { Ok(exchange.await) };
        match ended {
            Err(_) => drop(self.tally.hung_up.fetch_add(1, Relaxed)),
            Ok(Err(_)) => drop(self.tally.broken.fetch_add(1, Relaxed)),
            Ok(Ok(answer)) if answer.status.is_success() => {
                self.tally.answered.fetch_add(1, Relaxed);
            }
            Ok(Ok(answer)) => {
                let code = answer.json()["error"]["code"].as_str().unwrap_or("none").to_owned();
                return Some(code);
            }
        }
        None
    }
}
