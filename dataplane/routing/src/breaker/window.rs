//! How many of the last calls failed, in one word. Time is cut into slices; the current one and the one
//! before it count, so what is seen is the last five to ten seconds.

use std::time::Duration;

use super::Rate;

/// In seconds.
const SLICE: u64 = 5;
/// 24 bits: 2.6 years, after which a slice has its number again.
const SLICES: u64 = 1 << 24;
const COUNT_MAX: u64 = (1 << 10) - 1;
/// What is left of a slice that was halved, at least.
const OUTCOMES_MAX: u32 = 500;

/// The outcomes of a slice, 10 bits each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slice {
    outcomes: u64,
    failures: u64,
}

impl Slice {
    fn with(self, failed: bool) -> Self {
        // A slice that is full is halved, by which its share stays and the late weigh more.
        let halved = |count: u64| if self.outcomes >= COUNT_MAX { count.div_ceil(2) } else { count };
        Self { outcomes: halved(self.outcomes) + 1, failures: halved(self.failures) + u64::from(failed) }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    number: u64,
    current: Slice,
    before: Slice,
}

impl Window {
    pub fn pack(self) -> u64 {
        let slice = |slice: Slice| slice.outcomes << 10 | slice.failures;
        self.number << 40 | slice(self.current) << 20 | slice(self.before)
    }

    pub fn unpack(word: u64) -> Self {
        let slice = |bits: u64| Slice { outcomes: bits >> 10 & COUNT_MAX, failures: bits & COUNT_MAX };
        Self { number: word >> 40, current: slice(word >> 20), before: slice(word) }
    }

    pub fn observe(self, failed: bool, now: Duration) -> Self {
        let number = now.as_secs() / SLICE % SLICES;
        let Self { current, before, .. } = self;
        let (number, current, before) = match number.wrapping_sub(self.number) % SLICES {
            0 => (number, current, before),
            1 => (number, Slice::default(), current),
            // Of a thread that read its clock before the slice began.
            ahead if ahead == SLICES - 1 => (self.number, current, before),
            _ => (number, Slice::default(), Slice::default()),
        };
        Self { number, current: current.with(failed), before }
    }

    pub fn exceeds(self, rate: &Rate) -> bool {
        let outcomes = self.current.outcomes + self.before.outcomes;
        let failures = self.current.failures + self.before.failures;
        outcomes >= u64::from(rate.outcomes.min(OUTCOMES_MAX))
            && failures * 100 >= outcomes * u64::from(rate.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { outcomes: 20, percent: 50 };

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn after(start: Window, outcomes: u32, failed: bool, secs: u64) -> Window {
        (0..outcomes).fold(start, |window, _| Window::unpack(window.observe(failed, at(secs)).pack()))
    }

    #[test]
    fn a_share_is_told_from_twenty_outcomes_on() {
        let window = after(after(Window::default(), 10, false, 0), 9, true, 4);
        assert!(!window.exceeds(&RATE));
        assert!(after(window, 1, true, 4).exceeds(&RATE));
        assert!(!after(window, 1, false, 4).exceeds(&RATE));
    }

    #[test]
    fn what_is_ten_seconds_old_is_forgotten() {
        let window = after(Window::default(), 30, true, 1);
        assert!(after(window, 1, false, 9).exceeds(&RATE));
        assert_eq!(after(window, 1, false, 10).before, Slice::default());
    }

    #[test]
    fn a_clock_that_is_a_little_behind_forgets_nothing() {
        let window = after(Window::default(), 30, true, 5);
        assert_eq!(after(window, 1, true, 4).current.outcomes, 31);
    }

    #[test]
    fn a_full_slice_keeps_its_share() {
        let start = after(after(Window::default(), 600, false, 0), 400, true, 0);
        let window = (0..10_000).fold(start, |window, i| window.observe(i % 5 < 2, at(0)));
        let Slice { outcomes, failures } = window.current;
        assert!((500..=1023).contains(&outcomes));
        assert!((390..=410).contains(&(failures * 1000 / outcomes)), "{failures} of {outcomes}");
        assert_eq!(Window::unpack(window.pack()), window);
    }
}
