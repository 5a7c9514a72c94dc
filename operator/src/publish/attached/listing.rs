//! The attached proxies one by one: what `/debug/proxies` tells and `kubectl-llm` reads, by the same types,
//! so that the two can't drift apart. Status is made of [summaries](super::Summary), which stay small.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::Time};
use serde::{Deserialize, Serialize};

use super::{Attached, Digests, Proxy, ProxyName, versions::Kind};
use crate::{compile::fleet::Fleet, publish::Targets};

/// Proxies that a page lists; all others it counts.
const MOST: usize = 10_000;
/// Of one that refuses: problems, and characters of each.
const MOST_PROBLEMS: usize = 5;
const LONGEST_PROBLEM: usize = 300;

/// What a replica tells of itself and of the proxies that are attached to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// Its name.
    pub replica: String,
    pub version: String,
    pub leads: bool,
    /// The certificate that it shows to proxies and to the API server, DER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<ByteString>,
    /// What it does for the ledger's settings can't be used as they are now, and why that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_refused: Option<String>,
    pub proxies: Vec<AttachedProxy>,
    /// Proxies that are attached and not listed.
    #[serde(default)]
    pub omitted: usize,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachedProxy {
    /// The pod, as `namespace/name`; of a gateway its name alone.
    pub name: String,
    pub kind: Kind,
    /// None until the operator knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Fleet>,
    pub version: String,
    pub attached_since: Time,
    #[serde(flatten)]
    pub state: State,
    pub sections: Sections,
}

/// How it stands to what it should hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all_fields = "camelCase")]
pub enum State {
    InForce,
    /// It has not answered what is published since then.
    Lagging {
        since: Time,
    },
    /// It goes on with what it held.
    Refused {
        problems: Vec<String>,
    },
}

/// Sections as they should be, of all that it should hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sections {
    pub held: usize,
    pub wanted: usize,
}

impl Attached {
    /// The proxies by name, and how many more there are.
    pub fn listed(&self, targets: Option<&Targets>) -> (Vec<AttachedProxy>, usize) {
        let proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counted = Counted { targets, held: HashMap::new() };
        let listed = proxies.by_name.iter().take(MOST);
        let listed: Vec<AttachedProxy> = listed.map(|(name, proxy)| counted.one(name, proxy)).collect();
        let omitted = proxies.by_name.len() - listed.len();
        (listed, omitted)
    }
}

struct Counted<'a> {
    targets: Option<&'a Targets>,
    /// How many sections are as they should be. Proxies that hold the same share the allocation, mostly.
    held: HashMap<(*const Digests, &'a Fleet), usize>,
}

impl<'a> Counted<'a> {
    fn one(&mut self, name: &ProxyName, proxy: &'a Proxy) -> AttachedProxy {
        let target = proxy.fleet.as_ref().and_then(|fleet| {
            let target = self.targets?.fleets.get(fleet)?;
            Some((fleet, target))
        });
        let sections = target.map_or_else(Sections::default, |(fleet, target)| {
            let as_wanted = |held: &Digests| {
                target.digests.iter().filter(|(key, digest)| held.get(*key) == Some(*digest)).count()
            };
            let key = (Arc::as_ptr(&proxy.holds), fleet);
            let held = *self.held.entry(key).or_insert_with(|| as_wanted(&proxy.holds));
            Sections { held, wanted: target.digests.len() }
        });
        let in_force = target.is_some_and(|(_, target)| {
            Arc::ptr_eq(&proxy.holds, &target.digests) || proxy.holds == target.digests
        });
        let state = match (&proxy.refused, proxy.behind) {
            (Some(problems), _) => State::Refused { problems: problems.clone() },
            (None, None) if in_force => State::InForce,
            // What it is asked for is older than what it will be asked for next.
            (None, behind) => {
                let published = target.map_or(proxy.since, |(_, target)| target.published.max(proxy.since));
                State::Lagging { since: Time(behind.unwrap_or(published)) }
            }
        };
        AttachedProxy {
            name: name.to_string(),
            kind: name.kind(),
            fleet: proxy.fleet.clone(),
            version: proxy.version.clone(),
            attached_since: Time(proxy.since),
            state,
            sections,
        }
    }
}

/// The first of them, and no more than the beginning of each.
pub(super) fn bounded(problems: &[String]) -> Vec<String> {
    let shortened = |problem: &String| problem.chars().take(LONGEST_PROBLEM).collect();
    problems.iter().take(MOST_PROBLEMS).map(shortened).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

    use jiff::Timestamp;
    use llm_config::Document;

    use super::*;
    use crate::{
        metrics::Metrics,
        observe::ObjectName,
        publish::{Target, attached::Place},
    };

    fn digests(of: &[(&str, &str)]) -> Digests {
        of.iter().map(|(key, digest)| ((*key).to_owned(), (*digest).to_owned())).collect()
    }

    fn targets(published: Timestamp, of: &[(&str, &str)]) -> Targets {
        let target = Target {
            shared: Arc::default(),
            digests: Arc::new(digests(of)),
            published,
            ..Target::of(&Fleet::gateway("g"), &Document::default(), None)
        };
        Targets { fleets: [(Fleet::gateway("g"), target)].into(), ..Targets::default() }
    }

    fn attach(attached: &Arc<Attached>, proxy: &str, holds: &[(&str, &str)]) -> Place {
        let name = ProxyName::OfGateway { gateway: "g".to_owned(), proxy: proxy.to_owned() };
        attached
            .attach(name, Some(Fleet::gateway("g")), "0.1.0".to_owned(), Arc::new(digests(holds)), Vec::new())
            .0
    }

    fn states(attached: &Attached, targets: &Targets) -> Vec<(State, usize)> {
        let (listed, _) = attached.listed(Some(targets));
        listed.into_iter().map(|proxy| (proxy.state, proxy.sections.held)).collect()
    }

    #[test]
    fn a_proxy_lags_from_when_was_published_what_it_has_not_answered() {
        let attached = Arc::new(Attached::new(Arc::new(Metrics::default())));
        let place = attach(&attached, "a", &[("route/x", "1"), ("pool/p", "1")]);
        let early = Timestamp::now() + jiff::SignedDuration::from_secs(10);
        let late = early + jiff::SignedDuration::from_secs(10);
        let (old, new) = (
            targets(early, &[("route/x", "1"), ("pool/p", "1")]),
            targets(late, &[("route/x", "2"), ("pool/p", "1")]),
        );
        assert_eq!(states(&attached, &old), [(State::InForce, 2)]);
        assert_eq!(states(&attached, &new), [(State::Lagging { since: Time(late) }, 1)], "not asked yet");
        // Asked for the one, it does not answer; that there is another by now makes it no younger.
        place.asked(early);
        place.asked(late);
        assert_eq!(states(&attached, &new), [(State::Lagging { since: Time(early) }, 1)]);
        place.refused(&vec!["it\u{e9}".repeat(400); 9]);
        let (state, held) = states(&attached, &new).remove(0);
        let State::Refused { problems } = state else { panic!("{state:?}") };
        assert_eq!((problems.len(), problems[0].chars().count(), held), (5, 300, 1));
        place.acknowledged(new.fleets[&Fleet::gateway("g")].digests.clone());
        assert_eq!(states(&attached, &new), [(State::InForce, 2)]);
    }

    #[test]
    fn a_page_is_read_back_as_it_was_written() {
        let attached = Arc::new(Attached::new(Arc::new(Metrics::default())));
        let _place = attach(&attached, "a", &[]);
        let pod = ProxyName::Sidecar(ObjectName::new("shop", "web"));
        let _sidecar = attached.attach(pod, None, "0.0.9".to_owned(), Arc::default(), Vec::new()).0;
        let (proxies, omitted) = attached.listed(None);
        let kinds: Vec<(&str, Kind)> =
            proxies.iter().map(|proxy| (proxy.name.as_str(), proxy.kind)).collect();
        assert_eq!((kinds, omitted), (vec![("a", Kind::Gateway), ("shop/web", Kind::Sidecar)], 0));
        let page = Page { replica: "r".to_owned(), proxies, ..Page::default() };
        let text = serde_json::to_string(&page).unwrap();
        assert!(
            text.contains("\"fleet\":\"gateway/g\"") && text.contains("\"state\":\"Lagging\",\"since\":"),
            "{text}"
        );
        let read: Page = serde_json::from_str(&text).unwrap();
        // Times are written to the second.
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
