//! The members of a cluster, and which of them holds a budget: all accounts of one have one hash tag, so one slot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{FromRedisValue, Value};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout_at};

use crate::{
    Kind, Unanswered,
    dial::{Dialer, Login, STEP},
    endpoint::Endpoint,
    node::{Deadline, Node},
    source::{Source, Target},
};

/// Between two looks at who holds what.
const PACE: Duration = Duration::from_millis(500);
const SLOTS: u16 = 16_384;

pub(crate) struct Cluster {
    members: Arc<Members>,
    map: watch::Sender<Map>,
    _keeper: JoinSet<()>,
}

struct Members {
    runtime: Handle,
    dialer: Dialer,
    login: Login,
    seeds: Vec<Endpoint>,
    nodes: Mutex<HashMap<Endpoint, Arc<Node>>>,
    /// Who holds what may have changed.
    stale: Notify,
}

/// Who holds which slots.
#[derive(Clone)]
enum Map {
    Unknown,
    Known(Vec<Range>),
    Down(Unanswered),
}

#[derive(Clone)]
struct Range {
    first: u16,
    last: u16,
    master: Endpoint,
}

impl Cluster {
    pub(crate) fn keep(runtime: &Handle, dialer: Dialer, login: Login, seeds: Vec<Endpoint>) -> Self {
        let (nodes, stale) = (Mutex::default(), Notify::new());
        let members = Arc::new(Members { runtime: runtime.clone(), dialer, login, seeds, nodes, stale });
        let map = watch::Sender::new(Map::Unknown);
        let mut keeper = JoinSet::new();
        keeper.spawn_on(keep(members.clone(), map.clone()), runtime);
        Self { members, map, _keeper: keeper }
    }

    /// Who holds the accounts of this key.
    pub(crate) async fn holder(&self, key: &str, deadline: Deadline) -> Result<Arc<Node>, Unanswered> {
        let slot = slot(key);
        let mut map = self.map.subscribe();
        let known = map.wait_for(|map| !matches!(map, Map::Unknown));
        let map = match timeout_at(deadline.until, known).await {
            Ok(Ok(map)) => map.clone(),
            _ => return Err(deadline.passed(&self.members.name())),
        };
        match map {
            Map::Known(ranges) => ranges
                .iter()
                .find(|range| (range.first..=range.last).contains(&slot))
                .map(|range| self.members.node(&range.master))
                .ok_or_else(|| {
                    self.doubt();
                    let why = format!("no master holds slot {slot}; CLUSTER INFO says why");
                    Unanswered::of(Kind::Refused, &self.members.name(), &why)
                }),
            Map::Down(why) => Err(why),
            Map::Unknown => Err(deadline.passed(&self.members.name())),
        }
    }

    /// A member says that another holds this key, from now on or just for once.
    pub(crate) fn named(&self, details: &str, by: &str, from_now_on: bool) -> Option<Arc<Node>> {
        let (slot, endpoint) = details.split_once(' ')?;
        let slot = slot.parse().ok()?;
        let master = match endpoint.strip_prefix(':') {
            // The same host as the one that says so.
            Some(port) => Endpoint { host: by.parse::<Endpoint>().ok()?.host, port: port.parse().ok()? },
            None => parsed(endpoint)?,
        };
        if from_now_on {
            self.map.send_modify(|map| map.set(slot, &master));
            self.doubt();
        }
        Some(self.members.node(&master))
    }

    /// Who holds what is asked anew soon.
    pub(crate) fn doubt(&self) {
        self.members.stale.notify_one();
    }

    pub(crate) fn is_reachable(&self) -> bool {
        let known = matches!(*self.map.borrow(), Map::Known(_));
        known && self.members.nodes().values().all(|node| node.is_reachable())
    }
}

/// An IPv6 address stands without brackets in what members say.
fn parsed(endpoint: &str) -> Option<Endpoint> {
    let (host, port) = endpoint.rsplit_once(':')?;
    Some(Endpoint { host: host.to_owned(), port: port.parse().ok()? })
}

impl Map {
    fn set(&mut self, slot: u16, master: &Endpoint) {
        let Self::Known(ranges) = self else { return };
        // Found before the range that it was taken from.
        ranges.retain(|range| (range.first, range.last) != (slot, slot));
        ranges.insert(0, Range { first: slot, last: slot, master: master.clone() });
    }
}

async fn keep(members: Arc<Members>, map: watch::Sender<Map>) {
    loop {
        match members.ranges(&map).await {
            Ok(ranges) => {
                members.nodes().retain(|endpoint, _| ranges.iter().any(|range| range.master == *endpoint));
                map.send_replace(Map::Known(ranges));
                sleep(PACE).await;
                members.stale.notified().await;
            }
            // What was known last is as good as any.
            Err(why) => {
                map.send_if_modified(|map| {
                    let unknown = !matches!(map, Map::Known(_));
                    if unknown {
                        *map = Map::Down(why);
                    }
                    unknown
                });
                sleep(PACE.mul_f64(1.0 + fastrand::f64())).await;
            }
        }
    }
}

impl Members {
    fn name(&self) -> String {
        let seeds: Vec<_> = self.seeds.iter().map(ToString::to_string).collect();
        seeds.join(",")
    }

    fn nodes(&self) -> std::sync::MutexGuard<'_, HashMap<Endpoint, Arc<Node>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self, endpoint: &Endpoint) -> Arc<Node> {
        let new = || {
            let target = Target::Member(endpoint.clone());
            let source = Source { target, dialer: self.dialer.clone(), login: self.login.clone() };
            Arc::new(Node::keep(&self.runtime, source))
        };
        self.nodes().entry(endpoint.clone()).or_insert_with(new).clone()
    }

    /// Asks members that are known, then those that settings name, until one says who holds what.
    async fn ranges(&self, map: &watch::Sender<Map>) -> Result<Vec<Range>, Unanswered> {
        let mut asked = match &*map.borrow() {
            Map::Known(ranges) => ranges.iter().map(|range| range.master.clone()).collect(),
            _ => Vec::new(),
        };
        asked.extend(self.seeds.iter().cloned());
        let mut operations = redis::pipe();
        operations.cmd("CLUSTER").arg("SLOTS");
        let mut whys = Vec::new();
        let mut seen = Vec::new();
        for endpoint in asked {
            if seen.contains(&endpoint) {
                continue;
            }
            let node = self.node(&endpoint);
            match node.send(&operations, Deadline::within(STEP)).await.map(|mut answers| answers.pop()) {
                Ok(Some(Value::ServerError(error))) => whys.push(node.refused(&error)),
                Ok(answer) => match answer.and_then(|answer| ranges(answer, &endpoint.host)) {
                    Some(ranges) if !ranges.is_empty() => return Ok(ranges),
                    _ => {
                        let why = "it holds no slots: is it a member of a cluster?";
                        whys.push(Unanswered::of(Kind::Refused, &endpoint.to_string(), why));
                    }
                },
                Err(why) => whys.push(why),
            }
            seen.push(endpoint);
        }
        Err(Unanswered::all("the cluster", &whys))
    }
}

/// Reads `[[first, last, [host, port, …], …], …]`.
fn ranges(answer: Value, asked: &str) -> Option<Vec<Range>> {
    let rows: Vec<Vec<Value>> = FromRedisValue::from_redis_value(answer).ok()?;
    let range = |row: Vec<Value>| {
        let mut row = row.into_iter();
        let first = u16::from_redis_value(row.next()?).ok()?;
        let last = u16::from_redis_value(row.next()?).ok()?;
        let mut master = Vec::<Value>::from_redis_value(row.next()?).ok()?.into_iter();
        let host: Option<String> = FromRedisValue::from_redis_value(master.next()?).ok()?;
        let host = host.filter(|host| !matches!(host.as_str(), "" | "?")).unwrap_or_else(|| asked.to_owned());
        let port = u16::from_redis_value(master.next()?).ok()?;
        Some(Range { first, last, master: Endpoint { host, port } })
    };
    rows.into_iter().map(range).collect()
}

/// Of the text between the first braces: a budget's.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let tag = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    // CRC-16/XMODEM.
    tag.bytes().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    }) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_accounts_of_a_budget_are_in_the_slot_that_the_cluster_computes() {
        // As CLUSTER KEYSLOT says.
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("llm:{123456789}:daily-usd:1764115200:v:{other}"), 0x31c3);
        assert_eq!(slot("{}123456789"), slot("{}123456789"));
        assert_ne!(slot("{}123456789"), slot("123456789"));
    }
}
