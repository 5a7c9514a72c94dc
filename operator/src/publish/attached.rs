//! The proxies that are attached to this replica, and what each has acknowledged.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use super::Digests;
use crate::metrics::Metrics;

/// Names and reasons that a summary carries, at most.
const TOLD: usize = 5;

/// Gateway and name of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProxyName {
    pub gateway: String,
    pub proxy: String,
}

struct Proxy {
    /// Tells this connection from a later one of the same proxy.
    connection: u64,
    holds: Arc<Digests>,
    refused: Option<Vec<String>>,
    _replaced: oneshot::Sender<()>,
}

/// All of them.
pub struct Attached {
    proxies: Mutex<(u64, BTreeMap<ProxyName, Proxy>)>,
    changed: watch::Sender<()>,
    metrics: Arc<Metrics>,
}

/// A proxy's place; given up when dropped.
pub struct Place {
    attached: Arc<Attached>,
    name: ProxyName,
    connection: u64,
}

/// What the proxies of a gateway hold: those that hold the same are one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub groups: Vec<Group>,
    pub refusals: Vec<Refusal>,
}

/// Proxies that hold the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    pub proxies: usize,
    /// Some of their names.
    pub names: Vec<String>,
    pub holds: Arc<Digests>,
}

/// A proxy that goes on without the last update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    pub proxy: String,
    pub problems: Vec<String>,
}

impl Attached {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { proxies: Mutex::default(), changed: watch::Sender::default(), metrics }
    }

    /// Takes a proxy's place. The receiver ends when a later connection of the same proxy takes it.
    pub fn attach(self: &Arc<Self>, name: ProxyName, holds: Digests) -> (Place, oneshot::Receiver<()>) {
        let (replaced, until_replaced) = oneshot::channel();
        let mut proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        proxies.0 += 1;
        let connection = proxies.0;
        let proxy = Proxy { connection, holds: Arc::new(holds), refused: None, _replaced: replaced };
        proxies.1.insert(name.clone(), proxy);
        self.metrics.streams.set(i64::try_from(proxies.1.len()).unwrap_or(i64::MAX));
        self.changed.send_replace(());
        (Place { attached: self.clone(), name, connection }, until_replaced)
    }

    /// To be told of every change.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What the proxies hold, by gateway.
    pub fn summaries(&self) -> BTreeMap<String, Summary> {
        let proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut summaries: BTreeMap<String, Summary> = BTreeMap::new();
        for (name, proxy) in &proxies.1 {
            let summary = summaries.entry(name.gateway.clone()).or_default();
            let same =
                |group: &&mut Group| Arc::ptr_eq(&group.holds, &proxy.holds) || group.holds == proxy.holds;
            match summary.groups.iter_mut().find(same) {
                Some(group) => {
                    group.proxies += 1;
                    if group.names.len() < TOLD {
                        group.names.push(name.proxy.clone());
                    }
                }
                None => summary.groups.push(Group {
                    proxies: 1,
                    names: vec![name.proxy.clone()],
                    holds: proxy.holds.clone(),
                }),
            }
            if let Some(problems) = &proxy.refused
                && summary.refusals.len() < TOLD
            {
                summary.refusals.push(Refusal { proxy: name.proxy.clone(), problems: problems.clone() });
            }
        }
        summaries
    }
}

impl Place {
    /// The proxy runs on this now.
    pub fn acknowledged(&self, holds: Arc<Digests>) {
        self.update(|proxy| {
            proxy.holds = holds;
            proxy.refused = None;
        });
    }

    /// The proxy goes on with what it held.
    pub fn refused(&self, problems: Vec<String>) {
        self.attached.metrics.refusals.inc();
        self.update(|proxy| proxy.refused = Some(problems));
    }

    fn update(&self, change: impl FnOnce(&mut Proxy)) {
        let mut proxies = self.attached.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(proxy) = proxies.1.get_mut(&self.name).filter(|proxy| proxy.connection == self.connection)
        {
            change(proxy);
        }
        self.attached.changed.send_replace(());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut proxies = self.attached.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        if proxies.1.get(&self.name).is_some_and(|proxy| proxy.connection == self.connection) {
            proxies.1.remove(&self.name);
        }
        self.attached.metrics.streams.set(i64::try_from(proxies.1.len()).unwrap_or(i64::MAX));
        self.attached.changed.send_replace(());
    }
}
