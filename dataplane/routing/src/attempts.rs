//! The way of one call through its candidates: who is asked next after a failure, and after which
//! pause. Pure: the caller of this sends, waits and keeps the clock.

use std::time::Duration;

use smallvec::SmallVec;

use crate::backoff;

/// How far a call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Attempts in all, the first one included, as soon as every candidate has had one.
    pub attempts: u32,
    /// The pause before a candidate is asked again; it doubles each time.
    pub backoff: Duration,
    /// Whether others than the first choice are asked.
    pub fallback: bool,
}

/// Why an attempt failed, as far as it matters to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The candidate may do better later, at the earliest after so long.
    Passing { retry_after: Option<Duration> },
    /// The candidate would fail again.
    Lasting,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The place of the candidate in the order.
    pub candidate: usize,
    /// The pause before.
    pub wait: Duration,
    /// The candidate has been asked before: such an attempt is for the retry budget to grant.
    pub again: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Past {
    failures: u32,
    /// It is being asked.
    asked: bool,
    out: bool,
    /// Since the first attempt of the call.
    not_before: Duration,
}

/// The attempts of one call.
#[derive(Clone, Debug)]
pub struct Attempts {
    policy: Policy,
    made: u32,
    past: SmallVec<[Past; 8]>,
}

impl Attempts {
    /// Of a call with so many candidates.
    #[must_use]
    pub fn new(policy: Policy, candidates: usize) -> Self {
        let asked = if policy.fallback { candidates } else { candidates.min(1) };
        Self { policy, made: 0, past: SmallVec::from_elem(Past::default(), asked) }
    }

    /// How many were made.
    #[must_use]
    pub fn made(&self) -> u32 {
        self.made
    }

    /// The next attempt: a candidate that was not asked yet, at once; else the one that may be asked
    /// again the soonest. `None`: there is nothing left to try. `now` is the time since the call began.
    pub fn next(&self, now: Duration) -> Option<Step> {
        let left = || self.past.iter().enumerate().filter(|(_, past)| !past.out && !past.asked);
        let fresh = |past: &Past| past.failures == 0;
        if let Some((candidate, _)) = left().find(|(_, past)| fresh(past) && past.not_before <= now) {
            return Some(Step { candidate, wait: Duration::ZERO, again: false });
        }
        let spent = self.made >= self.policy.attempts;
        let (candidate, past) = left()
            .filter(|(_, past)| fresh(past) || !spent)
            .min_by_key(|(_, past)| past.not_before.max(now))?;
        Some(Step { candidate, wait: past.not_before.saturating_sub(now), again: !fresh(past) })
    }

    /// A candidate is asked; until it fails, it is not asked again.
    pub fn begin(&mut self, candidate: usize) {
        self.made += 1;
        if let Some(past) = self.past.get_mut(candidate) {
            past.asked = true;
        }
    }

    /// It failed; `draw` is a random number, by which pauses differ.
    pub fn fail(&mut self, candidate: usize, failure: Failure, now: Duration, draw: u64) {
        let backoff = self.policy.backoff;
        let Some(past) = self.past.get_mut(candidate) else { return };
        past.failures = past.failures.saturating_add(1);
        past.asked = false;
        match failure {
            Failure::Lasting => past.out = true,
            Failure::Passing { retry_after } => {
                past.not_before = now + backoff::delay(past.failures, backoff, retry_after, draw);
            }
        }
    }

    /// A candidate is not to be asked before so long after the call began.
    pub fn hold(&mut self, candidate: usize, not_before: Duration) {
        if let Some(past) = self.past.get_mut(candidate) {
            past.not_before = not_before;
        }
    }

    /// A candidate is not to be asked, or not any more.
    pub fn leave_out(&mut self, candidate: usize) {
        if let Some(past) = self.past.get_mut(candidate) {
            past.out = true;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy { attempts: 3, backoff: Duration::from_secs(1), fallback: true };
    const PASSING: Failure = Failure::Passing { retry_after: None };

    fn fail(attempts: &mut Attempts, candidate: usize, failure: Failure) {
        attempts.begin(candidate);
        attempts.fail(candidate, failure, Duration::ZERO, 0);
    }

    #[test]
    fn all_are_asked_once_at_once_and_then_the_first_again_after_a_pause() {
        let mut attempts = Attempts::new(POLICY, 2);
        assert_eq!(
            attempts.next(Duration::ZERO),
            Some(Step { candidate: 0, wait: Duration::ZERO, again: false })
        );
        fail(&mut attempts, 0, PASSING);
        assert_eq!(attempts.next(Duration::ZERO).unwrap().candidate, 1);
        fail(&mut attempts, 1, Failure::Lasting);
        let step = attempts.next(Duration::ZERO).unwrap();
        assert!(step.again && step.candidate == 0 && step.wait > Duration::ZERO, "{step:?}");
        assert_eq!(attempts.next(Duration::from_secs(60)).unwrap().wait, Duration::ZERO);
        fail(&mut attempts, 0, PASSING);
        assert_eq!(attempts.next(Duration::ZERO), None, "three attempts are made");
    }

    #[test]
    fn every_candidate_has_its_attempt_however_few_are_allowed() {
        let mut attempts = Attempts::new(Policy { attempts: 1, ..POLICY }, 5);
        for candidate in 0..5 {
            assert_eq!(attempts.next(Duration::ZERO).unwrap().candidate, candidate);
            fail(&mut attempts, candidate, PASSING);
        }
        assert_eq!(attempts.next(Duration::ZERO), None);
    }

    #[test]
    fn without_fallback_only_the_first_is_asked() {
        let mut attempts = Attempts::new(Policy { fallback: false, ..POLICY }, 5);
        for _ in 0..3 {
            assert_eq!(attempts.next(Duration::ZERO).unwrap().candidate, 0);
            fail(&mut attempts, 0, PASSING);
        }
        assert_eq!(attempts.next(Duration::ZERO), None);
    }

    #[test]
    fn who_is_being_asked_is_not_asked_beside() {
        let mut attempts = Attempts::new(POLICY, 2);
        attempts.begin(0);
        assert_eq!(attempts.next(Duration::ZERO).unwrap().candidate, 1);
        attempts.begin(1);
        assert_eq!(attempts.next(Duration::ZERO), None);
        attempts.fail(0, PASSING, Duration::ZERO, 0);
        assert_eq!(attempts.next(Duration::ZERO).unwrap().candidate, 0);
    }

    #[test]
    fn who_may_be_asked_again_the_soonest_is_asked() {
        let mut attempts = Attempts::new(POLICY, 2);
        let retry_after = Some(Duration::from_secs(20));
        fail(&mut attempts, 0, Failure::Passing { retry_after });
        fail(&mut attempts, 1, PASSING);
        let step = attempts.next(Duration::ZERO).unwrap();
        assert!(step.candidate == 1 && step.wait < Duration::from_secs(3), "{step:?}");
        attempts.leave_out(1);
        let step = attempts.next(Duration::ZERO).unwrap();
        assert!(step.candidate == 0 && step.wait >= Duration::from_secs(20), "{step:?}");
    }

    proptest! {
        #[test]
        fn it_ends_and_within_its_bound(
            attempts in 1..8_u32, candidates in 0..8_usize, fallback: bool,
            failures in proptest::collection::vec(0..3_u8, 32),
        ) {
            let mut way = Attempts::new(Policy { attempts, fallback, ..POLICY }, candidates);
            let mut asked = vec![0; candidates];
            let bound = attempts.max(candidates.try_into().unwrap());
            for failure in failures {
                let Some(step) = way.next(Duration::ZERO) else { break };
                prop_assert_eq!(step.again, asked[step.candidate] > 0);
                asked[step.candidate] += 1;
                way.begin(step.candidate);
                let failure = if failure == 0 { Failure::Lasting } else { PASSING };
                way.fail(step.candidate, failure, Duration::ZERO, 1);
                prop_assert!(way.made() <= bound);
            }
            prop_assert_eq!(way.next(Duration::ZERO), None);
        }
    }
}
