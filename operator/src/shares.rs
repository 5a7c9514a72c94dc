//! Limits that all proxies share: each has its part of them, by its place among those that are there. The leader alone
//! says who that is, in a ConfigMap that every replica follows: so all divide by the same number, and an operator that
//! starts divides as the one before it did.

pub mod roster;

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
    runtime::{reflector::Store, watcher},
};
use serde_json::json;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

use crate::{
    FIELD_MANAGER,
    metrics::Metrics,
    observe::cluster::reflect_with,
    publish::{
        Publisher, Targets,
        attached::{Attached, Summary, members::Members},
    },
    replicas::Replicas,
};
use roster::{Absences, Goodbyes, Present, Roster};

const NAME: &str = "llm-operator-shares";
const LABEL: &str = "llmgateway.dev/shares";
const KEY: &str = "shares.json";
/// Changes within this are one write.
const GATHER: Duration = Duration::from_millis(50);
/// Between two looks: each write is an update for every proxy.
const PAUSE: Duration = Duration::from_secs(1);
/// Replicas that are gone are noticed at this pace though nothing changes.
const REVIEW: Duration = Duration::from_secs(5);

/// The ConfigMap as this replica sees it.
#[derive(Clone)]
pub struct Written {
    store: Store<ConfigMap>,
    changed: Arc<Notify>,
}

impl Written {
    pub fn watch(api: Api<ConfigMap>, metrics: &Arc<Metrics>) -> Self {
        let changed = Arc::new(Notify::new());
        let store = reflect_with(api, watcher::Config::default().labels(LABEL), &changed, metrics);
        Self { store, changed }
    }

    /// Divides by what it says, for as long as the operator runs; `told` rings after each change.
    pub async fn follow(self, publisher: Arc<Publisher>, told: Arc<Notify>) {
        if self.store.wait_until_ready().await.is_err() {
            return;
        }
        let mut last = None;
        loop {
            // Whoever removes it, or spoils it, must not thereby take every share from the proxies.
            let nobody = || last.is_none().then(Roster::default);
            if let Some(roster) = self.found().as_deref().and_then(read).or_else(nobody)
                && last.as_ref() != Some(&roster)
            {
                publisher.divide(Arc::new(roster.clone()));
                last = Some(roster);
            }
            told.notify_one();
            self.changed.notified().await;
        }
    }

    fn found(&self) -> Option<Arc<ConfigMap>> {
        self.store.state().into_iter().find(|config_map| config_map.name_any() == NAME)
    }
}

fn read(config_map: &ConfigMap) -> Option<Roster> {
    let text = config_map.data.as_ref()?.get(KEY)?;
    serde_json::from_str(text)
        .inspect_err(
            |error| tracing::error!(%error, "ConfigMap {NAME} does not say who has a share of limits"),
        )
        .ok()
}

/// Says who has a share, while this replica leads.
pub struct Keeper {
    api: Api<ConfigMap>,
    written: Written,
    attached: Arc<Attached>,
    replicas: Arc<Replicas>,
    targets: watch::Receiver<Option<Arc<Targets>>>,
    grace: Duration,
    roster: Roster,
    /// What there is, once this replica has looked since it leads.
    seen: Option<Seen>,
    absences: Absences,
}

/// What the leader has found, or left.
struct Seen {
    version: Option<String>,
    /// It is there, and says who has a share.
    says: bool,
}

impl Keeper {
    /// `grace`: for so long who is away keeps its share, unless it has said goodbye.
    pub fn new(
        api: Api<ConfigMap>,
        written: Written,
        attached: Arc<Attached>,
        replicas: Arc<Replicas>,
        targets: watch::Receiver<Option<Arc<Targets>>>,
        grace: Duration,
    ) -> Self {
        let (roster, absences) = Default::default();
        Self { api, written, attached, replicas, targets, grace, roster, seen: None, absences }
    }

    /// Runs for as long as the operator does. `changed` rings when other replicas tell something, or the ConfigMap has
    /// been written.
    pub async fn run(mut self, mut leading: watch::Receiver<bool>, changed: Arc<Notify>) {
        let mut attached = self.attached.subscribe();
        loop {
            let free = Instant::now() + PAUSE;
            attached.mark_unchanged();
            let targets = self.targets.borrow_and_update().clone();
            let mut next = Instant::now() + REVIEW;
            if !*leading.borrow_and_update() {
                // Another writes meanwhile; who is away then is for it to say.
                self.seen = None;
                self.absences = Absences::default();
            } else if let Some(targets) = targets {
                match self.look(&targets).await {
                    Ok(ends) => next = ends.map_or(next, |ends| next.min(ends)),
                    Err(error) => {
                        tracing::warn!(%error, "can't say who has a share of limits; all keep what they have");
                        self.seen = None;
                        next = free;
                    }
                }
            }
            tokio::select! {
                _ = attached.changed() => {}
                changed = self.targets.changed() => if changed.is_err() { return },
                changed = leading.changed() => if changed.is_err() { return },
                () = changed.notified() => {}
                () = sleep_until(next) => {}
            }
            sleep_until(free.max(Instant::now() + GATHER)).await;
        }
    }

    /// Writes who has a share where that has changed, and tells when it will though nothing happens.
    async fn look(&mut self, targets: &Targets) -> Result<Option<Instant>, kube::Error> {
        let (present, goodbyes) = self.present(targets);
        if present.is_empty() && self.seen.is_some() && self.roster.is_empty() {
            return Ok(None);
        }
        // Somebody may have removed it, or made something of it that says nothing.
        let is_as_left = targets.roster.as_deref() == Some(&self.roster)
            && self.written.found().is_some_and(|found| read(&found).is_some());
        let seen = match self.seen.take().filter(|_| is_as_left) {
            Some(seen) => seen,
            None => self.find().await?,
        };
        let (next, ends) = self.absences.next(&self.roster, &present, &goodbyes, self.grace, Instant::now());
        if next == self.roster && (seen.says || next.is_empty()) {
            self.seen = Some(seen);
            return Ok(ends);
        }
        let config_map = config_map(&next, seen.version)?;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let written = self.api.patch(NAME, &params, &Patch::Apply(&config_map)).await?;
        self.seen = Some(Seen { version: written.resource_version(), says: true });
        self.roster = next;
        Ok(ends)
    }

    /// Looks what there is now. Of what somebody has removed it is known still what it said.
    async fn find(&mut self) -> Result<Seen, kube::Error> {
        let found = self.api.list(&ListParams::default().labels(LABEL)).await?;
        let found = found.items.into_iter().find(|config_map| config_map.name_any() == NAME);
        let roster = found.as_ref().and_then(read);
        let seen = Seen { version: found.and_then(|found| found.resource_version()), says: roster.is_some() };
        self.roster = roster.unwrap_or_else(|| std::mem::take(&mut self.roster));
        Ok(seen)
    }

    /// The proxies of all replicas, by the pools whose limits they share, and who of them has said goodbye.
    fn present(&self, targets: &Targets) -> (Present, Goodbyes) {
        let shared = targets.fleets.values().flat_map(|target| target.shared.iter());
        let mut present: Present = shared.map(|pool| (pool.clone(), Default::default())).collect();
        let mut goodbyes = Goodbyes::new();
        if present.is_empty() {
            return (present, goodbyes);
        }
        let own = self.attached.members(targets);
        let others = self.replicas.summaries().into_iter().flatten();
        let others = others.map(|(fleet, Summary { members, left, .. })| (fleet, Members { members, left }));
        for (fleet, Members { members, left }) in own.into_iter().chain(others) {
            let shared = targets.fleets.get(&fleet).into_iter().flat_map(|target| target.shared.iter());
            for pool in shared {
                present.entry(pool.clone()).or_default().extend(members.iter().cloned());
            }
            goodbyes.extend(left);
        }
        (present, goodbyes)
    }
}

/// `version`: another write since then is not written over.
fn config_map(roster: &Roster, version: Option<String>) -> Result<serde_json::Value, kube::Error> {
    let text = serde_json::to_string(roster).map_err(kube::Error::SerdeError)?;
    let mut config_map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "labels": {LABEL: "true"}},
        "data": {KEY: text},
    });
    if let Some(version) = version {
        config_map["metadata"]["resourceVersion"] = version.into();
    }
    Ok(config_map)
}
