//! When a status is written: an object's at most once a second, what is news before what is numbers only, and of
//! those a few at a time. When a proxy comes or goes, the numbers of all that it holds change.

use std::time::Duration;

use llm_crds::{Condition, LLMRouteStatus, ProviderPoolStatus};
use tokio::time::Instant;

/// Between two writes of one object.
const PAUSE: Duration = Duration::from_secs(1);
/// Statuses in which only numbers have changed, that are written within a pause.
const NUMBERS: usize = 100;
/// How long an operator that starts waits for the proxies to come back: their longest pause, and a while to be let
/// in. Until then that they are gone is no news.
const RETURN: Duration = Duration::from_secs(6);

/// What both kinds of status say alike.
pub trait Status: PartialEq {
    fn generation(&self) -> Option<i64>;
    fn conditions(&self) -> &[Condition];
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

/// One look at all objects: what of it is written now, and when the next look is due for the rest.
#[derive(Debug)]
pub struct Look {
    now: Instant,
    /// Until then the proxies may still come back.
    returned: Instant,
    numbers: usize,
    due: Option<Instant>,
}

impl Look {
    /// A look now, of an operator that has started then.
    pub fn new(now: Instant, started: Instant) -> Self {
        Self { now, returned: started + RETURN, numbers: 0, due: None }
    }

    /// Whether to write a status now that differs from what was written before, and when that was.
    pub fn takes<S: Status>(&mut self, status: &S, before: Option<&S>, written: Option<Instant>) -> bool {
        let haste = haste(status, before);
        let mut free = written.map_or(self.now, |written| written + PAUSE);
        if haste < Haste::Spec {
            free = free.max(self.returned);
        }
        if free > self.now {
            return self.later(free);
        }
        if haste == Haste::Numbers {
            if self.numbers == NUMBERS {
                return self.later(self.now + PAUSE);
            }
            self.numbers += 1;
        }
        true
    }

    fn later(&mut self, due: Instant) -> bool {
        self.due = Some(self.due.map_or(due, |other| other.min(due)));
        false
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
        (Look::new(now, now - RETURN), now)
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
        assert!(look.takes(&status(1, "False", "2/3"), Some(&old), None));
        assert!(look.takes(&status(2, "True", "3/3"), Some(&old), None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_that_starts_waits_for_proxies_before_it_says_that_they_are_gone() {
        let started = Instant::now();
        let mut look = Look::new(started, started);
        let (old, gone) = (status(1, "True", "2/2"), status(1, "False", "0/0"));
        assert!(!look.takes(&gone, Some(&old), None));
        assert_eq!(look.due(), Some(started + RETURN));
        assert!(look.takes(&status(2, "False", "0/0"), Some(&old), None), "a new spec waits for nobody");
        assert!(Look::new(started + RETURN, started).takes(&gone, Some(&old), None));
    }
}
