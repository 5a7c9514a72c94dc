//! When a status is written: an object's at most once a second, what is news before what is numbers only, and of
//! those a few at a time. When a proxy comes or goes, the numbers of all that it holds change.

use std::{borrow::Cow, time::Duration};

use llm_crds::{Condition, LLMRouteStatus, ProviderPoolStatus};
use tokio::time::Instant;

/// Between two writes of one object.
const PAUSE: Duration = Duration::from_secs(1);
/// Statuses in which only numbers have changed, that are written within a pause.
const NUMBERS: usize = 100;
/// How long an operator that starts waits for the proxies to come back: their longest pause, and a while to be let
/// in. Until then that they are gone is no news.
const RETURN: Duration = Duration::from_secs(6);

/// What all kinds of status say alike.
pub trait Status: PartialEq + Clone {
    fn generation(&self) -> Option<i64>;
    fn conditions(&self) -> &[Condition];

    /// What of it is written here; all, unless another hand writes too.
    fn reported(&self) -> Cow<'_, Self> {
        Cow::Borrowed(self)
    }
}

impl Status for LLMRouteStatus {
    fn generation(&self) -> Option<i64> {
        self.observed_generation
    }

    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

impl Status for ProviderPoolStatus {
    fn generation(&self) -> Option<i64> {
        self.observed_generation
    }

    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

/// How much of a hurry there is with a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Haste {
    /// Numbers, or the text of a message.
    Numbers,
    /// A condition turns.
    News,
    /// What was written speaks of another spec, or nothing was.
    Spec,
}

fn haste<S: Status>(status: &S, before: Option<&S>) -> Haste {
    let Some(before) = before.filter(|before| before.generation() == status.generation()) else {
        return Haste::Spec;
    };
    let told = |status: &S| {
        let of = |c: &Condition| (c.type_.clone(), c.status.clone(), c.reason.clone());
        status.conditions().iter().map(of).collect::<Vec<_>>()
    };
    if told(status) == told(before) { Haste::Numbers } else { Haste::News }
}

/// How many more statuses in which only numbers have changed are written before a time.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    until: Instant,
    left: usize,
}

impl Allowance {
    pub fn new(now: Instant) -> Self {
        Self { until: now + PAUSE, left: NUMBERS }
    }
}

/// One look at all objects: what of it is written now, and when the next look is due for the rest.
#[derive(Debug)]
pub struct Look {
    now: Instant,
    /// Until then the proxies may still come back.
    returned: Instant,
    /// Between two writes of numbers: in so long all objects have their turn.
    round: Duration,
    allowance: Allowance,
    due: Option<Instant>,
}

impl Look {
    /// A look now at so many objects, of an operator that began to lead then, with what the look before it has left.
    pub fn new(now: Instant, began: Instant, objects: usize, left: Allowance) -> Self {
        let rounds = u32::try_from(1 + objects / NUMBERS).unwrap_or(u32::MAX);
        let allowance = if now < left.until { left } else { Allowance::new(now) };
        Self { now, returned: began + RETURN, round: PAUSE * rounds, allowance, due: None }
    }

    /// Whether to write a status now that differs from what was written before, and when that was.
    pub fn takes<S: Status>(&mut self, status: &S, before: Option<&S>, written: Option<Instant>) -> bool {
        let haste = haste(status, before);
        let pause = if haste == Haste::Numbers { self.round } else { PAUSE };
        let mut free = written.map_or(self.now, |written| written + pause);
        if haste < Haste::Spec {
            free = free.max(self.returned);
        }
        if free > self.now {
            return self.later(free);
        }
        if haste == Haste::Numbers {
            if self.allowance.left == 0 {
                return self.later(self.allowance.until);
            }
            self.allowance.left -= 1;
        }
        true
    }

    fn later(&mut self, due: Instant) -> bool {
        self.due = Some(self.due.map_or(due, |other| other.min(due)));
        false
    }

    /// For the next look.
    pub fn left(&self) -> Allowance {
        self.allowance
    }

    /// When the next look is due, if any.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(generation: i64, programmed: &str, message: &str) -> LLMRouteStatus {
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
        let condition = Condition {
            type_: "Programmed".to_owned(),
            status: programmed.to_owned(),
            reason: programmed.to_owned(),
            message: message.to_owned(),
            observed_generation: Some(generation),
            last_transition_time: time,
        };
        LLMRouteStatus { observed_generation: Some(generation), conditions: vec![condition], summary: None }
    }

    /// An operator that has been there for long.
    fn look() -> (Look, Instant) {
        let now = Instant::now() + RETURN;
        (Look::new(now, now - RETURN, 3 * NUMBERS, Allowance::new(now)), now)
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_is_written_at_once_after_a_quiet_time_and_then_once_a_second() {
        let (mut look, now) = look();
        let (old, new) = (status(1, "True", "2/2"), status(2, "False", "1/2"));
        assert!(look.takes(&new, None, None));
        assert!(look.takes(&new, Some(&old), Some(now - PAUSE)));
        assert_eq!(look.due(), None);
        let written = now - Duration::from_millis(300);
        assert!(!look.takes(&new, Some(&old), Some(written)), "not even for a new spec");
        assert_eq!(look.due(), Some(written + PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_of_many_are_written_a_few_at_a_time_and_keep_no_news_waiting() {
        let (mut look, now) = look();
        let (old, more) = (status(1, "True", "2/2"), status(1, "True", "3/3"));
        let written = (0..3 * NUMBERS).filter(|_| look.takes(&more, Some(&old), None)).count();
        assert_eq!(written, NUMBERS);
        assert_eq!(look.due(), Some(now + PAUSE));
        // The next look has no more of them, and who has had a turn has none before all others.
        let soon = now + PAUSE / 2;
        assert!(!Look::new(soon, now - RETURN, 3 * NUMBERS, look.left()).takes(&more, Some(&old), None));
        let mut later = Look::new(now + PAUSE, now - RETURN, 3 * NUMBERS, look.left());
        assert!(!later.takes(&more, Some(&old), Some(now)));
        assert!(later.takes(&more, Some(&old), None));
        assert!(look.takes(&status(1, "False", "2/3"), Some(&old), None));
        assert!(look.takes(&status(2, "True", "3/3"), Some(&old), None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_that_starts_waits_for_proxies_before_it_says_that_they_are_gone() {
        let started = Instant::now();
        let mut look = Look::new(started, started, 1, Allowance::new(started));
        let (old, gone) = (status(1, "True", "2/2"), status(1, "False", "0/0"));
        assert!(!look.takes(&gone, Some(&old), None));
        assert_eq!(look.due(), Some(started + RETURN));
        assert!(look.takes(&status(2, "False", "0/0"), Some(&old), None), "a new spec waits for nobody");
        let mut look = Look::new(started + RETURN, started, 1, look.left());
        assert!(look.takes(&gone, Some(&old), None));
    }
}
