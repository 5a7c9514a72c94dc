//! The clients of the drill: each calls again as soon as it has an answer, and notes what it got.

use super::{Phase, provider};
use crate::{
    client::{End, Got, ask_for},
    providers::MODEL,
};
use harness::{Proxy, eventually};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(30);

/// A call, and what came of it.
#[derive(Clone, Debug)]
pub struct Record {
    pub question: String,
    pub streamed: bool,
    pub began: Phase,
    pub ended: Phase,
    pub got: Got,
}

impl Record {
    /// Who answered; nobody where the answer is not whole, or not the one to the question.
    pub fn answered_by(&self) -> Option<&'static str> {
        let is = |name: &&str| self.got.end == End::Answered(provider::text(name, &self.question));
        ["a", "b", "c"].into_iter().find(is)
    }

    /// Some of the call's time was within these phases.
    pub fn saw(&self, first: Phase, last: Phase) -> bool {
        self.began <= last && self.ended >= first
    }
}

struct Shared {
    phase: Mutex<Phase>,
    over: AtomicBool,
    records: Mutex<Vec<Record>>,
}

pub struct Crowd {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

impl Crowd {
    /// Every other client streams.
    pub fn start(clients: usize, proxy: &Proxy) -> Self {
        let shared = Arc::new(Shared {
            phase: Mutex::new(Phase::Healthy),
            over: AtomicBool::new(false),
            records: Mutex::default(),
        });
        let mut all = JoinSet::new();
        for client in 0..clients {
            all.spawn(call_on(client, proxy.chat_url(), Arc::clone(&shared)));
        }
        Self { shared, clients: all }
    }

    pub fn enters(&self, phase: Phase) {
        *self.shared.phase.lock().unwrap() = phase;
    }

    /// Waits for so many calls that were made and answered, well or not, within the phase of now.
    pub async fn await_calls(&self, count: usize) {
        let phase = *self.shared.phase.lock().unwrap();
        eventually(&format!("{count} calls in {phase:?}"), SOON, async || {
            let records = self.shared.records.lock().unwrap();
            let made = records.iter().filter(|record| record.began == phase).count();
            if made >= count { Ok(()) } else { Err(made.to_string()) }
        })
        .await;
    }

    /// Waits for everyone's last answer.
    pub async fn leaves(self) -> Vec<Record> {
        self.shared.over.store(true, Relaxed);
        self.clients.join_all().await;
        std::mem::take(&mut *self.shared.records.lock().unwrap())
    }
}

async fn call_on(client: usize, url: String, shared: Arc<Shared>) {
    let streamed = client.is_multiple_of(2);
    for call in 0.. {
        if shared.over.load(Relaxed) {
            return;
        }
        let question = format!("call {call} of client {client}");
        let began = *shared.phase.lock().unwrap();
        let got = ask_for(&url, MODEL, &question, streamed).await;
        let ended = *shared.phase.lock().unwrap();
        shared.records.lock().unwrap().push(Record { question, streamed, began, ended, got });
    }
}

/// Who answered the calls of a phase, and how often; failures by what they say.
pub fn tally(records: &[Record], phase: Phase) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for record in records.iter().filter(|record| record.began == phase) {
        let what = record.answered_by().map_or_else(|| record.got.end.to_string(), str::to_owned);
        *tally.entry(what).or_default() += 1;
    }
    tally
}
