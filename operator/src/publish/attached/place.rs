//! What the stream of a proxy says of it, for as long as no later stream of the same proxy does.

use std::{
    collections::btree_map::Entry,
    sync::{Arc, PoisonError},
};

use jiff::Timestamp;
use llm_config::stream::{Open, bounded};

use super::{Attached, Proxies, Proxy, ProxyName, listing, members::Said};
use crate::{compile::fleet::Fleet, publish::Digests};

/// A proxy's place; given up when dropped.
pub struct Place {
    pub(super) attached: Arc<Attached>,
    pub(super) name: ProxyName,
    pub(super) connection: u64,
}

impl Place {
    /// The proxy is part of this fleet now.
    pub fn belongs_to(&self, fleet: &Fleet) {
        self.update(|proxy| proxy.fleet = Some(fleet.clone()));
    }

    /// The proxy runs on this now.
    pub fn acknowledged(&self, holds: Arc<Digests>) {
        self.update(|proxy| {
            proxy.holds = holds;
            proxy.behind = None;
            proxy.came = None;
            proxy.refused = None;
        });
    }

    /// The proxy is asked to hold what was published then.
    pub fn asked(&self, published: Timestamp) {
        self.change(|proxy| {
            proxy.behind.get_or_insert(published.max(proxy.since));
        });
    }

    /// The proxy goes on with what it held.
    pub fn refused(&self, problems: &[String]) {
        self.attached.metrics.refusals.inc();
        self.update(|proxy| {
            proxy.behind = None;
            proxy.came = None;
            // A message may be megabytes long; this is told in status and between replicas.
            proxy.refused = Some(listing::bounded(problems));
        });
    }

    /// The proxy leaves these alone, and no others.
    pub fn breakers(&self, open: Vec<Open>) {
        self.change(|proxy| proxy.open = bounded(open));
        self.attached.breakers_changed.send_replace(());
    }

    /// The proxy ends on purpose: nothing is kept for it.
    pub fn leave(&self) {
        self.give_up(|proxies, proxy| {
            proxies.goodbyes.retain(|_, said| said.is_remembered());
            if let Some(fleet) = proxy.fleet {
                proxies.goodbyes.insert(self.name.clone(), Said::now(fleet));
            }
        });
    }

    fn give_up(&self, and: impl FnOnce(&mut Proxies, Proxy)) {
        let mut proxies = self.attached.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(place) = proxies.by_name.entry(self.name.clone())
            && place.get().connection == self.connection
        {
            let proxy = place.remove();
            proxies.versions.leave(&proxy.counted_as);
            and(&mut proxies, proxy);
        }
        self.attached.metrics.streams.set(i64::try_from(proxies.by_name.len()).unwrap_or(i64::MAX));
        self.attached.changed.send_replace(());
    }

    fn update(&self, change: impl FnOnce(&mut Proxy)) {
        self.change(change);
        self.attached.changed.send_replace(());
    }

    fn change(&self, change: impl FnOnce(&mut Proxy)) {
        let mut proxies = self.attached.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        let proxy = proxies.by_name.get_mut(&self.name);
        if let Some(proxy) = proxy.filter(|proxy| proxy.connection == self.connection) {
            change(proxy);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_up(|_, _| {});
    }
}
