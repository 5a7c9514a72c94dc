//! What each of several proxies has of a limit that they share.

use serde::{Deserialize, Serialize};

use crate::{Document, Limits, Provider};

/// For whom the limits of a provider are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// For each proxy.
    #[default]
    Proxy,
    /// For all proxies together.
    Cluster,
}

/// The place of a proxy among those that share a pool's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Share {
    /// How many they are.
    pub of: u32,
    /// From 0.
    pub place: u32,
}

impl Share {
    /// Its part. The parts of all are the limit, to the unit; none is smaller because there are fewer.
    #[must_use]
    pub fn part(self, limit: u64) -> u64 {
        let of = u64::from(self.of.max(1));
        limit / of + u64::from(u64::from(self.place) < limit % of)
    }
}

impl Limits {
    /// What a proxy has of them; nothing, where it has not been told of a share.
    fn part(self, share: Option<Share>) -> Self {
        let part = |limit| share.map_or(0, |share| share.part(limit));
        Self {
            concurrent: self.concurrent.map(|limit| u32::try_from(part(limit.into())).unwrap_or(limit)),
            requests_per_minute: self.requests_per_minute.map(part),
            tokens_per_minute: self.tokens_per_minute.map(part),
            ..self
        }
    }

    /// The smallest of them.
    #[must_use]
    pub fn least(&self) -> Option<u64> {
        let Self { concurrent, requests_per_minute, tokens_per_minute, scope: _, queue: _ } = *self;
        [concurrent.map(u64::from), requests_per_minute, tokens_per_minute].into_iter().flatten().min()
    }
}

impl Document {
    /// What a provider of a pool is asked at most by the proxy that holds this.
    #[must_use]
    pub fn limits(&self, pool: &str, provider: &Provider) -> Limits {
        match (provider.limits.scope, &self.shares) {
            (Scope::Cluster, Some(shares)) => provider.limits.part(shares.get(pool).copied()),
            // A process without an operator is all proxies that there are.
            _ => provider.limits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(limit: u64, of: u32) -> Vec<u64> {
        (0..of).map(|place| Share { of, place }.part(limit)).collect()
    }

    #[test]
    fn the_parts_are_the_limit_and_differ_by_one_at_most() {
        for limit in (0..100).chain([100_000, 999_999_999_999]) {
            for of in 1..50 {
                let parts = parts(limit, of);
                assert_eq!(parts.iter().sum::<u64>(), limit, "{limit} of {of}");
                assert!(parts.is_sorted_by(|a, b| a >= b) && parts[0] - parts[parts.len() - 1] <= 1);
            }
        }
    }

    /// Who goes makes nobody's part smaller, and who comes nobody's larger: so a change of either kind can be told to
    /// all in any order.
    #[test]
    fn a_part_grows_when_another_goes_whoever_that_is() {
        for limit in 0..200 {
            for of in 2..30 {
                let before = parts(limit, of);
                for gone in 0..before.len() {
                    let mut left = before.clone();
                    left.remove(gone);
                    let after = parts(limit, of - 1);
                    assert!(
                        left.iter().zip(&after).all(|(before, after)| before <= after),
                        "{limit} {of} {gone}"
                    );
                }
            }
        }
    }
}
