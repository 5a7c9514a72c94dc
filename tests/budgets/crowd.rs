//! Clients: as many at once as there may be, each with one call after the other, of a length that nobody knows before.

use crate::billing;
use crate::scene::{Proxies, Scene};
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
    /// Calls that clients wait for.
    waiting: AtomicU64,
    /// How it stood when each call ended.
    pub moments: Mutex<Vec<Moment>>,
}

/// How it stood when a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The call was refused for want of money.
    pub refused: bool,
    /// What was left that no running call could need, in nano-USD.
    pub free: u64,
    /// What the call could cost.
    pub most: u64,
    /// Calls that had got nothing yet, this one among them.
    pub unserved: u64,
}

pub struct Crowd {
    pub tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    pub fn start(count: usize, hang_up: bool, seed: u64, scene: &Arc<Scene>, proxies: &Arc<Proxies>) -> Self {
        let (tally, stop) = (Arc::<Tally>::default(), Arc::<AtomicBool>::default());
        let clients = (0..count).map(|i| {
            let client = Client {
                chance: fastrand::Rng::with_seed(seed * 1_000_003 + i as u64),
                hang_up,
                proxies: proxies.clone(),
                tally: tally.clone(),
                scene: scene.clone(),
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

struct Client {
    chance: fastrand::Rng,
    hang_up: bool,
    proxies: Arc<Proxies>,
    tally: Arc<Tally>,
    scene: Arc<Scene>,
}

/// The longest answer that a call asks for.
const LONGEST: u64 = 80;

impl Client {
    async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Relaxed) {
            let (call, most) = self.call();
            self.tally.waiting.fetch_add(1, Relaxed);
            let refused = self.one(&call).await;
            let waiting = self.tally.waiting.fetch_sub(1, Relaxed);
            self.note(most, waiting, refused.as_deref());
            if let Some(code) = refused {
                *self.tally.refused.lock().unwrap().entry(code).or_default() += 1;
                // As an SDK does that is told to come again.
                tokio::time::sleep(Duration::from_millis(self.chance.u64(20..200))).await;
            }
        }
    }

    fn note(&self, most: u64, waiting: u64, refusal: Option<&str>) {
        let (running, reserved) = self.scene.provider.running();
        let moment = Moment {
            refused: refusal.is_some_and(|code| code == "budget_held" || code == "budget_exceeded"),
            free: self.scene.left().saturating_sub(reserved),
            most,
            unserved: waiting.saturating_sub(running).max(1),
        };
        self.tally.moments.lock().unwrap().push(moment);
    }

    /// A call, and the most that it can cost.
    fn call(&mut self) -> (Value, u64) {
        let wanted = self.chance.u64(4..=LONGEST);
        let text = format!("{} {wanted}", "word ".repeat(self.chance.usize(1..20)));
        let mut call = json!({
            "model": "m", "stream": self.chance.bool(), "messages": [{"role": "user", "content": text}],
        });
        let mut longest = billing::OF_MODEL;
        if self.chance.u8(..3) > 0 {
            call["max_tokens"] = LONGEST.into();
            longest = LONGEST;
        }
        let most = billing::most_of(call.to_string().len(), longest);
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
