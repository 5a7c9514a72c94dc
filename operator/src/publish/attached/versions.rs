//! How many proxies of which version are attached: after an upgrade sidecars keep theirs until their pods
//! are made anew, and somebody should know.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::metrics::{Attachment, Metrics};

/// Versions that are counted apart; all others are one. What a proxy says of itself must not make series
/// without end.
const MOST: usize = 32;
const OTHER: &str = "other";
const LONGEST: usize = 64;

/// Where a proxy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Gateway,
    Sidecar,
}

impl Kind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Sidecar => "sidecar",
        }
    }
}

/// The counts, and the metrics that show them.
pub struct Versions {
    counts: BTreeMap<Attachment, i64>,
    metrics: Arc<Metrics>,
}

impl Versions {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { counts: BTreeMap::new(), metrics }
    }

    /// Counts one more, and gives by what to take it out again.
    pub fn enter(&mut self, kind: Kind, version: &str) -> Attachment {
        let known = self.counts.keys().any(|known| known.version == version);
        let versions = self.counts.keys().filter(|known| known.kind == kind.as_str()).count();
        let version = if known || versions < MOST { version } else { OTHER };
        let attachment = Attachment { version: version.to_owned(), kind: kind.as_str() };
        self.change(&attachment, 1);
        attachment
    }

    pub fn leave(&mut self, attachment: &Attachment) {
        self.change(attachment, -1);
    }

    fn change(&mut self, attachment: &Attachment, by: i64) {
        let count = self.counts.entry(attachment.clone()).or_default();
        *count += by;
        if *count > 0 {
            self.metrics.proxies.get_or_create(attachment).set(*count);
        } else {
            self.counts.remove(attachment);
            self.metrics.proxies.remove(attachment);
        }
        let others = self.counts.iter().filter(|(known, _)| is_other(&known.version));
        self.metrics.proxies_of_other_versions.set(others.map(|(_, count)| count).sum());
    }
}

/// Whether this is another version than the operator's own.
fn is_other(version: &str) -> bool {
    version != env!("CARGO_PKG_VERSION")
}

/// What a proxy says its version is, where that can be one.
pub fn readable(version: String) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    if version.is_empty() || version.len() > LONGEST || !version.chars().all(fits) {
        return "unreadable".to_owned();
    }
    version
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn samples(metrics: &Metrics) -> Vec<String> {
        let exposition = metrics.exposition().unwrap();
        let ours = exposition.lines().filter(|line| line.starts_with("llm_operator_proxies"));
        let mut lines: Vec<String> = ours.map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn proxies_are_counted_by_version_and_the_others_once_more() {
        let metrics = Arc::new(Metrics::default());
        let mut versions = Versions::new(metrics.clone());
        let own = env!("CARGO_PKG_VERSION");
        let first = versions.enter(Kind::Gateway, own);
        versions.enter(Kind::Gateway, own);
        let old = versions.enter(Kind::Sidecar, "0.0.9");
        versions.leave(&first);
        let gateway = format!("llm_operator_proxies{{version=\"{own}\",kind=\"gateway\"}} 1");
        let sidecar = "llm_operator_proxies{version=\"0.0.9\",kind=\"sidecar\"} 1".to_owned();
        let others = |count| format!("llm_operator_proxies_of_other_versions {count}");
        assert_eq!(samples(&metrics), [others(1), sidecar, gateway.clone()]);
        versions.leave(&old);
        assert_eq!(samples(&metrics), [others(0), gateway]);
    }

    #[test]
    fn what_proxies_say_makes_no_series_without_end() {
        let metrics = Arc::new(Metrics::default());
        let mut versions = Versions::new(metrics.clone());
        for version in 0..100 {
            versions.enter(Kind::Sidecar, &format!("9.{version}.0"));
        }
        let samples = samples(&metrics);
        assert_eq!(samples.len(), MOST + 2, "{samples:#?}");
        assert!(samples.contains(&"llm_operator_proxies{version=\"other\",kind=\"sidecar\"} 68".to_owned()));
        assert!(samples.contains(&"llm_operator_proxies_of_other_versions 100".to_owned()));
        assert_eq!(readable("1.2.3-rc.1+g0a".to_owned()), "1.2.3-rc.1+g0a");
        assert_eq!(["", "1\n", &"1".repeat(65)].map(|v| readable(v.to_owned())), ["unreadable"; 3]);
    }
}
