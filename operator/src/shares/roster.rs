//! Who has a share of the limits that all proxies share. Pure: what a clock says comes from outside.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use llm_config::Share;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The proxies that are there, by pool.
pub type Present = BTreeMap<String, BTreeSet<String>>;

/// What a proxy said that ended on purpose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Goodbye {
    /// Its key.
    pub proxy: String,
    /// On the clock of the replica that heard it: it tells this one from an earlier one, and no more.
    pub at: Timestamp,
}

/// Those that are remembered, of all replicas.
pub type Goodbyes = BTreeSet<Goodbye>;

/// Longer than proxies take to be back from an operator that starts anew.
const RETURN: Duration = Duration::from_secs(10);

/// The proxies that share a pool's limits, by pool: all replicas divide by the same, for one of them writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Group>", into = "Vec<Group>")]
pub struct Roster(BTreeMap<String, Arc<Places>>);

/// Proxies in the order of their places, each once.
#[derive(Debug, PartialEq, Eq)]
struct Places {
    proxies: Vec<String>,
    places: HashMap<String, usize>,
}

impl Places {
    fn new(proxies: impl IntoIterator<Item = String>) -> Self {
        let (mut each, mut places) = (Vec::new(), HashMap::new());
        for proxy in proxies {
            if let Entry::Vacant(free) = places.entry(proxy.clone()) {
                free.insert(each.len());
                each.push(proxy);
            }
        }
        Self { proxies: each, places }
    }
}

/// Pools that the same proxies share: most are.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Group {
    pools: Vec<String>,
    proxies: Vec<String>,
}

impl From<Roster> for Vec<Group> {
    fn from(roster: Roster) -> Self {
        let mut groups = BTreeMap::<&[String], Vec<String>>::new();
        for (pool, places) in &roster.0 {
            groups.entry(&places.proxies).or_default().push(pool.clone());
        }
        groups.into_iter().map(|(proxies, pools)| Group { pools, proxies: proxies.to_vec() }).collect()
    }
}

impl From<Vec<Group>> for Roster {
    fn from(groups: Vec<Group>) -> Self {
        let mut roster = Self::default();
        for Group { pools, proxies } in groups {
            let places = Arc::new(Places::new(proxies));
            roster.0.extend(pools.into_iter().map(|pool| (pool, places.clone())));
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
        self.0.get(pool).map_or(0, |places| places.proxies.len())
    }

    /// What a proxy has. One that has no place yet has what one more would leave it, and of a pool that nobody shares
    /// yet all: that it is written who shares takes a moment, and for longer only where nobody can write it. Then calls
    /// go on and the figure is passed, which its provider tells of, rather than nobody being let in.
    #[must_use]
    pub fn share(&self, pool: &str, proxy: &str) -> Share {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let of = self.proxies(pool);
        match self.0.get(pool).and_then(|places| places.places.get(proxy)) {
            Some(place) => Share { of: count(of), place: count(*place) },
            None => Share { of: count(of + 1), place: count(of) },
        }
    }
}

/// Who has a place and is away.
#[derive(Debug, Default)]
pub struct Absences {
    /// Since when, by pool and proxy.
    since: HashMap<(String, String), Instant>,
    /// Of those who were here although they had been said: they say nothing of who is away now.
    outlived: Goodbyes,
}

impl Absences {
    /// The next roster, and when it will be another though nothing happens. Who comes has a place at once, behind those
    /// who have one; who is away keeps its own for `grace`: most are back soon, and one that only the operator does not
    /// reach calls on. Before that is over it goes behind all who are here, so that what can't be divided is with these:
    /// else those who are gone for good might hold all there is. Who has said goodbye keeps nothing.
    pub fn next(
        &mut self,
        roster: &Roster,
        present: &Present,
        goodbyes: &Goodbyes,
        grace: Duration,
        now: Instant,
    ) -> (Roster, Option<Instant>) {
        let gone = self.gone(present, goodbyes);
        let (mut next, mut away, mut ends) = (Roster::default(), HashMap::new(), None::<Instant>);
        for (pool, there) in present {
            let known = roster.0.get(pool);
            let (mut first, mut last) = (Vec::new(), Vec::new());
            for proxy in known.iter().flat_map(|known| &known.proxies) {
                if there.contains(proxy) {
                    first.push(proxy);
                    continue;
                }
                if gone.contains(proxy.as_str()) {
                    continue;
                }
                let key = (pool.clone(), proxy.clone());
                let since = self.since.get(&key).copied().unwrap_or(now);
                let (behind, end) = (since + RETURN.min(grace), since + grace);
                if now < end {
                    away.insert(key, since);
                    let (list, turn) = if now < behind { (&mut first, behind) } else { (&mut last, end) };
                    list.push(proxy);
                    ends = Some(ends.map_or(turn, |ends| ends.min(turn)));
                }
            }
            let is_new = |proxy: &&String| known.is_none_or(|known| !known.places.contains_key(*proxy));
            first.extend(there.iter().filter(is_new));
            first.append(&mut last);
            let same = known.filter(|known| known.proxies.iter().eq(first.iter().copied())).cloned();
            let places = same.unwrap_or_else(|| Arc::new(Places::new(first.into_iter().cloned())));
            next.0.insert(pool.clone(), places);
        }
        self.since = away;
        (next, ends)
    }

    /// Who has said goodbye and has not been back since. Another replica may remember what one said that is attached
    /// here again: when this one is killed later, its part must wait as any other's.
    fn gone<'a>(&mut self, present: &Present, goodbyes: &'a Goodbyes) -> BTreeSet<&'a str> {
        let here = |proxy: &str| present.values().any(|there| there.contains(proxy));
        let over = |goodbye: &&Goodbye| self.outlived.contains(*goodbye) || here(&goodbye.proxy);
        let (outlived, said): (Vec<_>, Vec<_>) = goodbyes.iter().partition(over);
        self.outlived = outlived.into_iter().cloned().collect();
        said.into_iter().map(|goodbye| goodbye.proxy.as_str()).collect()
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

    fn group(proxies: &[&str]) -> Group {
        let proxies = proxies.iter().map(|proxy| (*proxy).to_owned()).collect();
        Group { pools: vec![POOL.to_owned()], proxies }
    }

    fn goodbyes(said: &[(&str, i64)]) -> Goodbyes {
        let at = |second| Timestamp::from_second(second).unwrap();
        said.iter().map(|(proxy, second)| Goodbye { proxy: (*proxy).to_owned(), at: at(*second) }).collect()
    }

    fn parts(roster: &Roster, limit: u64, proxies: &[&str]) -> Vec<u64> {
        proxies.iter().map(|proxy| roster.share(POOL, proxy).part(limit)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_has_a_share_at_once_and_who_goes_keeps_it_for_a_while() {
        let (mut absences, all) = (Absences::default(), ["a", "b", "c"]);
        let mut next = |roster: &Roster, proxies: &[&str]| {
            absences.next(roster, &present(proxies), &Goodbyes::new(), GRACE, Instant::now())
        };
        let (roster, _) = next(&Roster::default(), &["a", "b"]);
        assert_eq!(parts(&roster, 4, &all), [2, 2, 1], "who has no place has a part for the moment");
        assert_eq!(roster.share("ai/other", "a").part(4), 4, "of what is not shared yet all");
        let (roster, ends) = next(&roster, &all);
        assert_eq!((parts(&roster, 4, &all), ends), (vec![2, 1, 1], None));

        let (roster, ends) = next(&roster, &["b", "c"]);
        assert_eq!((parts(&roster, 4, &all), ends), (vec![2, 1, 1], Some(Instant::now() + RETURN)));
        tokio::time::advance(RETURN).await;
        let (roster, ends) = next(&roster, &["b", "c"]);
        assert_eq!(parts(&roster, 4, &all), [1, 2, 1], "what is left over is with who is here");
        assert_eq!((parts(&roster, 1, &all), ends), (vec![0, 1, 0], Some(Instant::now() + GRACE - RETURN)));
        let (roster, _) = next(&roster, &all);
        assert_eq!(parts(&roster, 4, &all), [1, 2, 1], "who is back takes nobody's place");
        let (roster, _) = next(&roster, &["a", "c"]);
        tokio::time::advance(GRACE / 2).await;
        let (roster, _) = next(&roster, &all);
        tokio::time::advance(GRACE).await;
        let (roster, _) = next(&roster, &["a", "c"]);
        assert_eq!(roster.proxies(POOL), 3, "it has been back");
        tokio::time::advance(GRACE).await;
        let (roster, ends) = next(&roster, &["a", "c"]);
        assert_eq!((parts(&roster, 4, &["a", "c"]), ends), (vec![2, 2], None));
    }

    #[tokio::test(start_paused = true)]
    async fn who_begins_to_lead_waits_as_long_for_those_whom_it_has_not_seen() {
        let roster = Roster::from(vec![group(&["a", "b"])]);
        tokio::time::advance(10 * GRACE).await;
        let mut absences = Absences::default();
        for here in [&[][..], &["b"], &["a", "b"]] {
            let (next, _) = absences.next(&roster, &present(here), &Goodbyes::new(), GRACE, Instant::now());
            assert_eq!(next, roster, "{here:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_goodbye_leaves_its_part_at_once_and_who_only_goes_keeps_it() {
        let (mut absences, all) = (Absences::default(), ["a", "b", "c"]);
        let mut next = |roster: &Roster, proxies: &[&str], said: &[(&str, i64)]| {
            absences.next(roster, &present(proxies), &goodbyes(said), GRACE, Instant::now())
        };
        let roster = Roster::from(vec![group(&all)]);
        let (roster, ends) = next(&roster, &["a"], &[("b", 1)]);
        assert_eq!((parts(&roster, 6, &["a", "c"]), roster.proxies(POOL)), (vec![3, 3], 2));
        assert_eq!(ends, Some(Instant::now() + RETURN), "another is only away");

        // It is back, and what it said is remembered still: that is over, whoever is away later.
        let (roster, _) = next(&roster, &["a", "b"], &[("b", 1)]);
        assert_eq!(parts(&roster, 6, &all), [2, 2, 2]);
        let (roster, _) = next(&roster, &["a"], &[("b", 1)]);
        assert_eq!(parts(&roster, 6, &all), [2, 2, 2], "killed now, it keeps its part");
        let (roster, _) = next(&roster, &["a"], &[("b", 1), ("b", 2)]);
        assert_eq!((parts(&roster, 6, &["a", "c"]), roster.proxies(POOL)), (vec![3, 3], 2));
        let (roster, _) = next(&roster, &["a", "b"], &[]);
        assert_eq!(parts(&roster, 6, &all), [2, 2, 2]);
        tokio::time::advance(RETURN).await;
        let (_, ends) = next(&roster, &["a"], &[]);
        assert_eq!(ends, Some(Instant::now() + RETURN), "no absence of before is left");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_here_by_another_stream_stays_though_it_is_said_to_be_gone() {
        let roster = Roster::from(vec![group(&["a", "b"])]);
        let (said, here) = (goodbyes(&[("b", 1)]), present(&["a", "b"]));
        let (next, ends) = Absences::default().next(&roster, &here, &said, GRACE, Instant::now());
        assert_eq!((next, ends), (roster, None));
    }

    #[test]
    fn a_pool_that_nobody_shares_any_more_is_forgotten_and_text_is_read_back() {
        let (mut absences, nobody) = (Absences::default(), Goodbyes::new());
        let mut shared = present(&["b", "a"]);
        for pool in ["ai/q", "ai/r"] {
            shared.insert(pool.to_owned(), shared[POOL].clone());
        }
        shared.insert("ai/s".to_owned(), ["a".to_owned()].into());
        let (roster, _) = absences.next(&Roster::default(), &shared, &nobody, GRACE, Instant::now());
        let text = serde_json::to_string(&roster).unwrap();
        assert_eq!(text.matches("\"b\"").count(), 1, "{text}");
        assert_eq!(serde_json::from_str::<Roster>(&text).unwrap(), roster);
        shared.remove(POOL);
        let (next, _) = absences.next(&roster, &shared, &nobody, GRACE, Instant::now());
        assert_eq!((next.proxies(POOL), next.proxies("ai/q"), next.proxies("ai/s")), (0, 2, 1));
    }
}
