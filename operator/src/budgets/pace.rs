//! How fast a limit is spent: of the last minute for the room that a ceiling leaves, of the last hour for when nothing
//! will be left. Pure; kept in memory only, and the window so far stands in for what was not seen.

use std::collections::VecDeque;

use llm_ledger::Amount;

/// Between two samples that are kept, in seconds.
const EVERY: u64 = 10;
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
/// What was seen for less than this says little of an hour.
const ENOUGH: u64 = 300;

/// What was spent when, in one window.
#[derive(Debug, Default)]
pub struct Pace {
    samples: VecDeque<(u64, Amount)>,
    /// Of a rolling limit: what came back of what was spent while it was seen, and what was spent ever when it was last
    /// seen.
    came_back: Option<(Amount, Amount)>,
}

impl Pace {
    #[must_use]
    pub fn of(rolling: bool) -> Self {
        Self { samples: VecDeque::new(), came_back: rolling.then_some((0, 0)) }
    }

    /// So much was spent at a time, in seconds.
    pub fn saw(&mut self, now: u64, spent: Amount) {
        let seen = self.ever(spent);
        if let Some((came_back, ever)) = &mut self.came_back {
            (*came_back, *ever) = (seen.saturating_sub(spent), seen);
        }
        self.sample(now, seen);
    }

    /// What was spent, and what came back of it. It never falls: what does of a rolling limit has come back.
    fn ever(&self, spent: Amount) -> Amount {
        self.came_back.map_or(spent, |(came_back, ever)| ever.max(spent + came_back))
    }

    fn sample(&mut self, now: u64, spent: Amount) {
        // The proxies tell again what a ledger has forgotten, and clocks are set: that is no spending.
        if self.samples.back().is_some_and(|&(at, before)| now < at || spent < before) {
            self.samples.clear();
        }
        if self.samples.back().is_none_or(|&(at, _)| at + EVERY <= now) {
            self.samples.push_back((now, spent));
        }
        while self.samples.front().is_some_and(|&(at, _)| at + HOUR < now) {
            self.samples.pop_front();
        }
    }

    /// What is spent in a second of late.
    #[must_use]
    pub fn of_late(&self, now: u64, spent: Amount) -> f64 {
        self.since(now.saturating_sub(MINUTE), now, self.ever(spent)).map_or(0.0, |(pace, _)| pace)
    }

    /// What is spent in a second, by the last hour, or by the window so far.
    #[must_use]
    pub fn of_the_hour(&self, now: u64, spent: Amount, window: u64) -> f64 {
        match self.since(now.saturating_sub(HOUR), now, self.ever(spent)) {
            Some((pace, seen)) if seen >= ENOUGH => pace,
            _ => spent as f64 / now.saturating_sub(window).max(1) as f64,
        }
    }

    fn since(&self, from: u64, now: u64, spent: Amount) -> Option<(f64, u64)> {
        let &(at, before) = self.samples.iter().find(|(at, _)| *at >= from)?;
        let seen = now.saturating_sub(at);
        (seen > 0).then(|| (spent.saturating_sub(before) as f64 / seen as f64, seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_last_minute_and_that_of_the_last_hour() {
        let mut pace = Pace::default();
        // Ten in a second for an hour, then nothing for half of one.
        for at in 0..HOUR {
            pace.saw(at, at * 10);
        }
        let now = HOUR;
        assert_eq!((pace.of_late(now, 36_000), pace.of_the_hour(now, 36_000, 0)), (10.0, 10.0));
        for at in now..now + HOUR / 2 {
            pace.saw(at, 36_000);
        }
        let now = now + HOUR / 2;
        assert_eq!((pace.of_late(now, 36_000), pace.of_the_hour(now, 36_000, 0)), (0.0, 5.0));
        assert!(pace.samples.len() <= 361);
    }

    /// Ten in a second, of which in each minute all comes back that was spent an hour ago.
    #[test]
    fn what_comes_back_of_a_rolling_limit_is_no_pause_in_spending() {
        let (mut pace, mut ever) = (Pace::of(true), [0; 7_200].to_vec());
        for at in 0..2 * HOUR {
            ever[at as usize] = at * 10;
            let out = at.checked_sub(HOUR).map_or(0, |past| ever[(past - past % MINUTE) as usize]);
            pace.saw(at, at * 10 - out);
        }
        let spent = 2 * HOUR * 10 - HOUR * 10;
        assert_eq!(pace.of_late(2 * HOUR, spent).round(), 10.0);
        assert_eq!(pace.of_the_hour(2 * HOUR, spent, 0).round(), 10.0);
    }

    #[test]
    fn the_window_so_far_stands_in_for_what_was_not_seen() {
        let mut pace = Pace::default();
        assert_eq!((pace.of_late(1_000, 500), pace.of_the_hour(1_000, 500, 0)), (0.0, 0.5));
        pace.saw(1_000, 500);
        assert_eq!((pace.of_late(1_002, 600), pace.of_the_hour(1_002, 600, 402)), (50.0, 1.0));
        // The ledger has forgotten, and a clock was set back.
        pace.saw(1_010, 0);
        assert_eq!(pace.of_late(1_011, 600), 600.0);
        pace.saw(900, 600);
        assert_eq!(pace.of_late(901, 600), 0.0);
    }
}
