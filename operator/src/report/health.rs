//! Which models of a pool's providers the proxies leave alone because they fail: the truth behind
//! `Healthy`. Pure, but for the pace at which it is written.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use llm_crds::{ConditionType, ModelHealth, ProviderHealth, ProviderPoolSpec, Reason, Verdict};
use tokio::time::Instant;

use crate::{
    compile::fleet::Fleet,
    observe::ObjectName,
    publish::attached::{OpenOn, Summaries},
};

/// Models that a message tells of, at most.
const TOLD: usize = 5;
/// Models that a status lists, at most: an object has to fit into etcd, whatever fails.
const LISTED: usize = 64;
/// Between two writes of a pool's breakers: those of many proxies open and close one after another, and
/// some flap.
const PAUSE: Duration = Duration::from_secs(5);
/// The same where nothing but errors' texts differs.
const PAUSE_OF_TEXTS: Duration = Duration::from_secs(60);

/// What is so of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub verdict: Verdict,
    /// Those that some proxy leaves alone.
    pub providers: Vec<ProviderHealth>,
}

impl Health {
    /// What the proxies say of a pool; `None` where there are none to say anything.
    pub fn of(
        name: &ObjectName,
        pool: &ProviderPoolSpec,
        fleets: &BTreeSet<Fleet>,
        summaries: &[Summaries],
    ) -> Option<Self> {
        let told = || fleets.iter().flat_map(|fleet| summaries.iter().filter_map(move |s| s.get(fleet)));
        let proxies = told().flat_map(|summary| &summary.groups).map(|group| group.proxies).sum();
        if proxies == 0 {
            return None;
        }
        let open = OpenOn::merged(told().flat_map(|summary| &summary.open).cloned().collect());
        // What the spec does not hold any more is no business of its status.
        let mut found = Vec::new();
        for provider in &pool.providers {
            let key = format!("{name}/{}", provider.name);
            let open: Vec<&OpenOn> = open.iter().filter(|open| open.provider == key).collect();
            for model in &provider.models {
                if let Some(open) = open.iter().find(|open| open.model == model.name) {
                    found.push((provider.name.as_str(), model_health(open, proxies)));
                }
            }
        }
        Some(Self { verdict: verdict(&found, proxies), providers: listed(found) })
    }

    /// Without the errors' texts.
    fn counts(&self) -> impl Iterator<Item = (&str, &str, i32, i32)> {
        self.providers.iter().flat_map(|provider| {
            provider
                .models
                .iter()
                .map(|model| (provider.name.as_str(), model.name.as_str(), model.open, model.proxies))
        })
    }
}

fn model_health(open: &OpenOn, proxies: usize) -> ModelHealth {
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    ModelHealth {
        name: open.model.clone(),
        open: number(open.proxies),
        proxies: number(proxies),
        last_error: open.error.clone(),
    }
}

fn verdict(found: &[(&str, ModelHealth)], proxies: usize) -> Verdict {
    let verdict =
        |status, reason, message| Verdict { condition: ConditionType::Healthy, status, reason, message };
    if found.is_empty() {
        return verdict(true, Reason::AllClosed, "all providers take calls".to_owned());
    }
    let noun = if proxies == 1 { "proxy" } else { "proxies" };
    let told = found.iter().take(TOLD).map(|(provider, model)| {
        let ModelHealth { name, open, last_error, .. } = model;
        format!("{provider}/{name}: open on {open} of {proxies} {noun} ({last_error})")
    });
    let mut message = told.collect::<Vec<_>>().join("; ");
    if found.len() > TOLD {
        message.push_str(&format!("; and {} more", found.len() - TOLD));
    }
    verdict(false, Reason::BreakerOpen, message)
}

/// By provider, in the order of the spec.
fn listed(found: Vec<(&str, ModelHealth)>) -> Vec<ProviderHealth> {
    let mut providers: Vec<ProviderHealth> = Vec::new();
    for (name, model) in found.into_iter().take(LISTED) {
        match providers.last_mut().filter(|last| last.name == name) {
            Some(last) => last.models.push(model),
            None => providers.push(ProviderHealth { name: name.to_owned(), models: vec![model] }),
        }
    }
    providers
}

/// What was last written of each pool, and when: news after a quiet time is written at once, and then
/// no more for a while.
#[derive(Debug, Default)]
pub struct Pace(HashMap<ObjectName, Written>);

#[derive(Debug)]
struct Written {
    health: Option<Health>,
    changed: Option<Instant>,
    /// When news that is held back is to be written.
    due: Option<Instant>,
}

impl Pace {
    /// What to write now: what was found, or what was written before.
    pub fn paced(&mut self, name: &ObjectName, found: Option<Health>, now: Instant) -> Option<Health> {
        let first = || Written { health: found.clone(), changed: None, due: None };
        let written = self.0.entry(name.clone()).or_insert_with(first);
        written.due = None;
        if let (Some(old), Some(new)) = (&written.health, &found)
            && old != new
        {
            let pause = if old.counts().eq(new.counts()) { PAUSE_OF_TEXTS } else { PAUSE };
            written.due = written.changed.map(|changed| changed + pause).filter(|due| *due > now);
            if written.due.is_some() {
                return written.health.clone();
            }
            written.changed = Some(now);
        }
        // That proxies come and go has its own pace.
        written.health.clone_from(&found);
        found
    }

    /// When the next news that is held back is to be written.
    pub fn due(&self) -> Option<Instant> {
        self.0.values().filter_map(|written| written.due).min()
    }

    /// Forgets the pools that are gone.
    pub fn retain(&mut self, is_there: impl Fn(&ObjectName) -> bool) {
        self.0.retain(|name, _| is_there(name));
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests;
