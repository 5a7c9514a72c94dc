//! The proxies that share limits, by names that no two of them have, and those that have said goodbye.

use std::{collections::BTreeMap, sync::PoisonError, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Attached, ProxyName};
use crate::{compile::fleet::Fleet, publish::Targets, shares::roster::Goodbye};

/// Long enough for whoever leads to hear of it, be it another than now.
const REMEMBERED: Duration = Duration::from_secs(60);

/// That a proxy has said goodbye.
pub struct Said {
    fleet: Fleet,
    at: Timestamp,
    since: Instant,
}

impl Said {
    pub fn now(fleet: Fleet) -> Self {
        Self { fleet, at: Timestamp::now(), since: Instant::now() }
    }

    pub fn is_remembered(&self) -> bool {
        self.since.elapsed() < REMEMBERED
    }
}

/// Proxies of a fleet that shares limits.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The keys of those that are here.
    pub members: Vec<String>,
    /// What others said before they went.
    pub left: Vec<Goodbye>,
}

impl ProxyName {
    /// No other proxy has it, of whatever gateway or kind.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::OfGateway { gateway, proxy } => format!("gateway/{gateway}/{proxy}"),
            Self::Sidecar(pod) => format!("pod/{pod}"),
        }
    }
}

impl Attached {
    /// The proxies that share limits; they do so from when they come, whether they have answered or not.
    pub fn members(&self, targets: &Targets) -> BTreeMap<Fleet, Members> {
        let mut members = BTreeMap::<Fleet, Members>::new();
        let shares =
            |fleet: &&Fleet| targets.fleets.get(*fleet).is_some_and(|target| !target.shared.is_empty());
        if !targets.fleets.keys().any(|fleet| shares(&fleet)) {
            return members;
        }
        let proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, proxy) in &proxies.by_name {
            if let Some(fleet) = proxy.fleet.as_ref().filter(shares) {
                members.entry(fleet.clone()).or_default().members.push(name.key());
            }
        }
        for (name, said) in proxies.goodbyes.iter().filter(|(_, said)| said.is_remembered()) {
            if shares(&&said.fleet) {
                let goodbye = Goodbye { proxy: name.key(), at: said.at };
                members.entry(said.fleet.clone()).or_default().left.push(goodbye);
            }
        }
        members
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use llm_config::Document;

    use super::*;
    use crate::publish::{Target, attached::Place};

    fn targets() -> Targets {
        let fleet = Fleet::gateway("g");
        let target = Target {
            shared: Arc::new(["ai/p".to_owned()].into()),
            ..Target::of(&fleet, &Document::default(), None)
        };
        Targets { fleets: [(fleet, target)].into(), ..Targets::default() }
    }

    fn attach(attached: &Arc<Attached>, proxy: &str) -> Place {
        let name = ProxyName::OfGateway { gateway: "g".to_owned(), proxy: proxy.to_owned() };
        let fleet = Some(Fleet::gateway("g"));
        attached.attach(name, fleet, "0.1.0".to_owned(), Arc::default(), Vec::new()).0
    }

    /// Who is here, and who has said goodbye.
    fn told(attached: &Attached) -> (Vec<String>, Vec<String>) {
        let Members { members, left } =
            attached.members(&targets()).remove(&Fleet::gateway("g")).unwrap_or_default();
        (members, left.into_iter().map(|goodbye| goodbye.proxy).collect())
    }

    fn keys(proxies: &[&str]) -> Vec<String> {
        proxies.iter().map(|proxy| format!("gateway/g/{proxy}")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_goodbye_is_remembered_for_a_while_and_not_where_only_the_stream_broke() {
        let attached = Arc::new(Attached::new(Arc::default()));
        let (a, b, _c) = (attach(&attached, "a"), attach(&attached, "b"), attach(&attached, "c"));
        drop(a);
        assert_eq!(told(&attached), (keys(&["b", "c"]), Vec::new()));
        b.leave();
        assert_eq!(told(&attached), (keys(&["c"]), keys(&["b"])), "though its stream is there still");
        drop(b);
        assert_eq!(told(&attached), (keys(&["c"]), keys(&["b"])));
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(told(&attached), (keys(&["c"]), Vec::new()));
    }

    #[test]
    fn who_is_back_has_said_nothing_and_an_earlier_stream_says_nothing_for_it() {
        let attached = Arc::new(Attached::new(Arc::default()));
        let first = attach(&attached, "a");
        first.leave();
        let second = attach(&attached, "a");
        drop(first);
        assert_eq!(told(&attached), (keys(&["a"]), Vec::new()));
        let _third = attach(&attached, "a");
        second.leave();
        assert_eq!(told(&attached), (keys(&["a"]), Vec::new()));
    }
}
