//! Proxies that share a Redis, and the one who keeps its accounts: here the test does what the operator does.

use crate::billing::{self, Provider};
use harness::{Link, Proxy, Redis};
use llm_ledger::account::{Beginning, Checkpoint, Totals};
use llm_ledger::place::{LimitId, Place, Unit};
use llm_ledger::window::Period;
use llm_ledger::{Amount, Epoch};
use llm_ledger_connection::Connection;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, RwLock};
use std::time::Duration;

const KEPT: Duration = Duration::from_secs(3_600);

/// Proxies that clients may call.
#[derive(Default)]
pub struct Proxies(RwLock<Vec<Option<Arc<Proxy>>>>);

impl Proxies {
    pub fn any(&self, chance: &mut fastrand::Rng) -> String {
        let proxies = self.0.read().unwrap();
        let there: Vec<&Arc<Proxy>> = proxies.iter().flatten().collect();
        there[chance.usize(..there.len())].chat_url()
    }

    pub fn put(&self, place: usize, proxy: Option<Proxy>) -> Option<Arc<Proxy>> {
        let mut proxies = self.0.write().unwrap();
        if proxies.len() <= place {
            proxies.resize_with(place + 1, || None);
        }
        std::mem::replace(&mut proxies[place], proxy.map(Arc::new))
    }
}

/// A Redis with one account, of one Budget.
pub struct Scene {
    pub provider: Provider,
    pub redis: Redis,
    /// To Redis, for those that are to be parted from it.
    pub link: Link,
    pub document: Value,
    ledger: Connection,
    place: Place,
    limit: Amount,
    /// As the ledger was told last.
    charged: AtomicU64,
}

impl Scene {
    /// With a limit of so many nano-USD.
    pub async fn start(uid: &str, limit: Amount) -> Self {
        let (provider, redis) = (Provider::start().await, Redis::start().await);
        let link = Link::to(redis.endpoint()).await;
        let settings = json!({"redis": {"endpoints": [redis.endpoint()]}});
        let ledger = connection(&settings);
        let limit_id = LimitId { period: Period::Total, unit: Unit::Usd };
        let place = Place { budget: uid.into(), limit: limit_id, start: 0, value: None };
        let epoch = Epoch(1);
        let opened_at = ledger.open(&place, epoch, KEPT).await.unwrap().unwrap();
        let beginning =
            Beginning { epoch, opened_at, limit, revision: 1, strict: true, gone: 0, values: None };
        assert!(ledger.begin(&place, &beginning, KEPT).await.unwrap());
        let checkpoint = Checkpoint { epoch, revision: 2, limit, strict: true, ceiling: limit, values: None };
        ledger.secure(&place, &checkpoint).await.unwrap();
        let document = document(&provider.url, uid, limit, &settings);
        Self { provider, redis, link, document, ledger, place, limit, charged: AtomicU64::new(0) }
    }

    pub async fn proxy(&self) -> Proxy {
        proxy(&self.document).await
    }

    /// One that reaches Redis by the link.
    pub async fn linked_proxy(&self) -> Proxy {
        let mut document = self.document.clone();
        document["ledger"]["redis"]["endpoints"] = json!([self.link.endpoint()]);
        proxy(&document).await
    }

    /// What is neither billed nor charged.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.provider.billed().max(self.charged.load(Relaxed)))
    }

    /// Keeps up with what proxies tell the ledger.
    pub async fn listen(self: Arc<Self>) {
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        loop {
            pace.tick().await;
            if let Ok(Some(totals)) = self.ledger.totals(std::slice::from_ref(&self.place)).await.remove(0) {
                self.charged.store(totals.spent, Relaxed);
            }
        }
    }

    pub async fn totals(&self) -> Totals {
        self.ledger.totals(std::slice::from_ref(&self.place)).await.remove(0).unwrap().unwrap()
    }
}

async fn proxy(document: &Value) -> Proxy {
    Proxy::start(document, &["--workers", "1", "--request-log", "off"]).await
}

fn connection(settings: &Value) -> Connection {
    let redis = serde_json::from_value(settings["redis"].clone()).unwrap();
    Connection::redis(&redis).unwrap().with_timeout(Duration::from_secs(5))
}

fn document(provider: &str, uid: &str, limit: Amount, ledger: &Value) -> Value {
    let (input, output) = (billing::INPUT * 1_000_000, billing::OUTPUT * 1_000_000);
    let price = json!({"input": input, "cachedInput": input, "cacheWrite": input, "output": output});
    let model =
        json!({"name": "m", "upstreamName": "m", "maxOutputTokens": billing::OF_MODEL, "price": price});
    let upstream = json!({"kind": "OpenAI", "endpoint": format!("{provider}/v1")});
    let provider = json!({"name": "p", "priority": 0, "weight": 1, "upstream": upstream, "models": [model]});
    json!({
        "routes": {"ai/chat": {"rules": [{
            "models": ["m"],
            "backends": [{"pool": "ai/pool", "models": ["m"], "weight": 1}],
            "timeouts": {"requestMs": 60_000, "idleMs": 60_000},
        }]}},
        "pools": {"ai/pool": {"providers": [provider]}},
        "budgets": {"ai/proof": {
            "uid": uid, "timeZone": "UTC",
            "limits": [{"window": "total", "unit": "usd", "amount": limit}],
        }},
        "ledger": ledger,
    })
}
