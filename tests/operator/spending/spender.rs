//! Who spends as a proxy does: a lease of one limit, kept by telling the ledger what it holds.

use harness::{Redis, eventually};
use llm_ledger::account::{Answer, Short};
use llm_ledger::lease::Lease;
use llm_ledger::place::Place;
use llm_ledger::purse::Purse;
use llm_ledger::{Amount, Holder, Millis, script};
use llm_ledger_connection::Connection;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;

const WITHIN: Duration = Duration::from_secs(20);
const PACE: Duration = Duration::from_millis(5);

pub struct Spender {
    lease: Arc<Mutex<Lease>>,
    purse: Arc<Purse>,
    /// Why the ledger has not granted what was needed last.
    short: Arc<Mutex<Option<Short>>>,
    driver: JoinHandle<()>,
}

pub fn connection(redis: &Redis) -> Connection {
    let settings = llm_config::budget::Redis { endpoints: vec![redis.endpoint()], ..Default::default() };
    Connection::redis(&settings).unwrap()
}

/// The account of the one window of a limit that never ends.
pub fn place(uid: &str, limit: &str, value: Option<&str>) -> Place {
    Place { budget: uid.into(), limit: limit.parse().unwrap(), start: 0, value: value.map(Into::into) }
}

/// Looks at an account by a clock that is so much ahead of the server's: what counts no more by then is taken out.
pub fn look_ahead(redis: &Redis, place: &Place, by: Duration) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = Millis::try_from((since + by).as_millis()).unwrap();
    let keys = place.keys();
    let mut words = vec!["EVAL".to_owned(), script::SCRIPT.to_owned(), keys.len().to_string()];
    words.extend(keys);
    words.extend(script::totals(Some(now)));
    let mut stream = TcpStream::connect(redis.endpoint()).unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    write!(stream, "*{}\r\n", words.len()).unwrap();
    words.iter().for_each(|word| write!(stream, "${}\r\n{word}\r\n", word.len()).unwrap());
    let mut answer = BufReader::new(stream).lines().map(Result::unwrap);
    let answer: Vec<String> = answer.by_ref().take(3).collect();
    assert_eq!(answer[2], "totals", "{answer:?}");
}

impl Spender {
    pub fn start(redis: &Redis, place: Place) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let begun = Instant::now();
        let now = move || Millis::try_from(begun.elapsed().as_millis()).unwrap();
        let lease = Lease::new(Holder(NEXT.fetch_add(1, Relaxed)), now());
        let purse = lease.purse().clone();
        let (lease, short) = (Arc::new(Mutex::new(lease)), Arc::new(Mutex::new(None)));
        let (connection, driven, told) = (connection(redis), lease.clone(), Arc::clone(&short));
        let driver = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(PACE);
            loop {
                ticks.tick().await;
                let statement = driven.lock().unwrap().due(now());
                let Some(statement) = statement else { continue };
                if let Ok(answer) = connection.state(&place, &statement).await {
                    if let Answer::Granted { left, .. } = answer {
                        *told.lock().unwrap() = left.short;
                    }
                    driven.lock().unwrap().answered(&answer, now());
                }
            }
        });
        Self { lease, purse, short, driver }
    }

    /// A call that costs what it reserves; it waits until the ledger grants that.
    pub async fn spend(&self, amount: Amount) {
        eventually(&format!("{amount} can be spent"), WITHIN, async || self.try_spend(amount)).await;
    }

    /// Waits until the ledger says that so much is spent by others, or by this one.
    pub async fn is_refused(&self, amount: Amount) {
        eventually(&format!("{amount} can't be spent"), WITHIN, async || {
            assert!(self.purse.reserve(amount).is_none(), "{amount} could be spent");
            self.lease.lock().unwrap().wait_for(amount);
            let short = *self.short.lock().unwrap();
            if short == Some(Short::Spent) { Ok(()) } else { Err(format!("{short:?}")) }
        })
        .await;
        self.lease.lock().unwrap().wait_no_more();
    }

    pub fn try_spend(&self, amount: Amount) -> Result<(), String> {
        let mut lease = self.lease.lock().unwrap();
        let Some(reserved) = self.purse.reserve(amount) else {
            lease.wait_for(amount);
            return Err(format!("{} in hand, {:?}", self.purse.available(), self.short.lock().unwrap()));
        };
        lease.wait_no_more();
        reserved.settle(amount);
        Ok(())
    }
}

impl Drop for Spender {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
