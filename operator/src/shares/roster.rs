//! Who has a share of the limits that all proxies share. Pure: what a clock says comes from outside.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use llm_config::Share;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The proxies that are there, by pool.
pub type Present = BTreeMap<String, BTreeSet<String>>;

/// The proxies that share a pool's limits, by pool, sorted: all replicas divide by the same, for one of them writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Group>", into = "Vec<Group>")]
pub struct Roster(BTreeMap<String, Arc<[String]>>);

/// Pools that the same proxies share: most are.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Group {
    pools: Vec<String>,
    proxies: Vec<String>,
}

impl From<Roster> for Vec<Group> {
    fn from(roster: Roster) -> Self {
        let mut groups = BTreeMap::<Arc<[String]>, Vec<String>>::new();
        for (pool, proxies) in roster.0 {
            groups.entry(proxies).or_default().push(pool);
        }
        groups.into_iter().map(|(proxies, pools)| Group { pools, proxies: proxies.to_vec() }).collect()
    }
}

impl From<Vec<Group>> for Roster {
    fn from(groups: Vec<Group>) -> Self {
        let mut roster = Self::default();
        for Group { pools, proxies } in groups {
            // Sorted and told apart, whoever has written it.
            let proxies: BTreeSet<String> = proxies.into_iter().collect();
            let proxies: Arc<[String]> = proxies.into_iter().collect();
            roster.0.extend(pools.into_iter().map(|pool| (pool, proxies.clone())));
        }
        roster
    }
}

impl Roster {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many share a pool's limits.
    #[must_use]
    pub fn proxies(&self, pool: &str) -> usize {
        self.0.get(pool).map_or(0, |proxies| proxies.len())
    }

    /// What a proxy has; `None` before it has a place.
    #[must_use]
    pub fn share(&self, pool: &str, proxy: &str) -> Option<Share> {
        let proxies = self.0.get(pool)?;
        let place = proxies.binary_search_by(|known| known.as_str().cmp(proxy)).ok()?;
        Some(Share { of: u32::try_from(proxies.len()).ok()?, place: u32::try_from(place).ok()? })
    }
}

/// Since when who has a place is away, by pool and proxy.
#[derive(Debug, Default)]
pub struct Absences(HashMap<(String, String), Instant>);

impl Absences {
    /// The next roster, and when it will be another though nothing happens. Who comes has a place at once; who is away
    /// keeps it for `grace`: most are back soon, and one that only the operator does not reach calls on.
    pub fn next(
        &mut self,
        roster: &Roster,
        present: &Present,
        grace: Duration,
        now: Instant,
    ) -> (Roster, Option<Instant>) {
        let (mut next, mut away, mut ends) = (Roster::default(), HashMap::new(), None::<Instant>);
        for (pool, there) in present {
            let mut proxies: BTreeSet<&String> = there.iter().collect();
            let known = roster.0.get(pool);
            for gone in
                known.into_iter().flat_map(|known| known.iter()).filter(|known| !there.contains(*known))
            {
                let key = (pool.clone(), gone.clone());
                let since = self.0.get(&key).copied().unwrap_or(now);
                let end = since + grace;
                if now < end {
                    proxies.insert(gone);
                    away.insert(key, since);
                    ends = Some(ends.map_or(end, |ends| ends.min(end)));
                }
            }
            let same = known.filter(|known| known.iter().eq(proxies.iter().copied())).cloned();
            let proxies = same.unwrap_or_else(|| proxies.into_iter().cloned().collect());
            next.0.insert(pool.clone(), proxies);
        }
        self.0 = away;
        (next, ends)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    const GRACE: Duration = Duration::from_secs(60);
    const POOL: &str = "ai/p";

    fn present(proxies: &[&str]) -> Present {
        [(POOL.to_owned(), proxies.iter().map(|proxy| (*proxy).to_owned()).collect())].into()
    }

    fn parts(roster: &Roster, limit: u64, proxies: &[&str]) -> Vec<u64> {
        proxies.iter().map(|proxy| roster.share(POOL, proxy).map_or(0, |share| share.part(limit))).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_has_a_share_at_once_and_who_goes_keeps_it_for_a_while() {
        let (mut absences, all) = (Absences::default(), ["a", "b", "c"]);
        let mut next = |roster: &Roster, proxies: &[&str]| {
            absences.next(roster, &present(proxies), GRACE, Instant::now())
        };
        let (roster, _) = next(&Roster::default(), &["a", "b"]);
        assert_eq!(parts(&roster, 4, &all), [2, 2, 0]);
        let (roster, ends) = next(&roster, &all);
        assert_eq!((parts(&roster, 4, &all), ends), (vec![2, 1, 1], None));

        let (roster, ends) = next(&roster, &["a", "c"]);
        assert_eq!((parts(&roster, 4, &all), ends), (vec![2, 1, 1], Some(Instant::now() + GRACE)));
        tokio::time::advance(GRACE / 2).await;
        let (roster, _) = next(&roster, &all);
        tokio::time::advance(GRACE).await;
        let (roster, ends) = next(&roster, &["a", "c"]);
        assert_eq!(parts(&roster, 4, &all), [2, 1, 1], "it has been back");
        tokio::time::advance(ends.unwrap() - Instant::now()).await;
        let (roster, ends) = next(&roster, &["a", "c"]);
        assert_eq!((parts(&roster, 4, &all), ends), (vec![2, 0, 2], None));
    }

    #[tokio::test(start_paused = true)]
    async fn who_begins_to_lead_waits_as_long_for_those_whom_it_has_not_seen() {
        let (roster, _) =
            Absences::default().next(&Roster::default(), &present(&["a", "b"]), GRACE, Instant::now());
        tokio::time::advance(10 * GRACE).await;
        let mut absences = Absences::default();
        for here in [&[][..], &["b"], &["a", "b"]] {
            let (next, _) = absences.next(&roster, &present(here), GRACE, Instant::now());
            assert_eq!(next, roster, "{here:?}");
        }
    }

    #[test]
    fn a_pool_that_nobody_shares_any_more_is_forgotten_and_text_is_read_back() {
        let mut absences = Absences::default();
        let mut shared = present(&["b", "a"]);
        for pool in ["ai/q", "ai/r"] {
            shared.insert(pool.to_owned(), shared[POOL].clone());
        }
        shared.insert("ai/s".to_owned(), ["a".to_owned()].into());
        let (roster, _) = absences.next(&Roster::default(), &shared, GRACE, Instant::now());
        let text = serde_json::to_string(&roster).unwrap();
        assert_eq!(text.matches("\"b\"").count(), 1, "{text}");
        assert_eq!(serde_json::from_str::<Roster>(&text).unwrap(), roster);
        shared.remove(POOL);
        let (next, _) = absences.next(&roster, &shared, GRACE, Instant::now());
        assert_eq!((next.proxies(POOL), next.proxies("ai/q"), next.proxies("ai/s")), (0, 2, 1));
    }
}
