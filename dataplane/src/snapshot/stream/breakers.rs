//! What the operator is told of breakers: all that are not closed, whole each time, so that a message
//! that was not sent is made good by the next one.

use std::time::Duration;

use llm_config::stream::{FromProxy, Open, bounded};
use llm_routing::breaker::State;
use tokio::time::{Instant, sleep_until};

use crate::{clock, upstream::health::Healths};

/// The pause between two messages: a breaker that flaps is told as it is after each.
const PAUSE: Duration = Duration::from_secs(1);

/// What was told on one connection.
#[derive(Debug)]
pub struct Breakers {
    told: Vec<Open>,
    /// Something has changed since.
    news: bool,
    not_before: Instant,
}

impl Breakers {
    /// As hello said them.
    pub fn told(open: Vec<Open>) -> Self {
        Self { told: open, news: false, not_before: Instant::now() }
    }

    /// Returns when it is time to tell what has changed. Cancel safe.
    pub async fn due(&mut self, healths: &Healths) {
        if !self.news {
            healths.changed().await;
            self.news = true;
        }
        sleep_until(self.not_before).await;
    }

    /// Tells what differs from what was told last, if anything does; `send` says whether it could.
    pub fn tell(&mut self, healths: &Healths, send: impl FnOnce(&FromProxy) -> bool) {
        let open = open(healths);
        self.not_before = Instant::now() + PAUSE;
        self.news = open != self.told && !send(&FromProxy::Health { open: open.clone() });
        if !self.news {
            self.told = open;
        }
    }
}

/// The breakers that are not closed.
pub fn open(healths: &Healths) -> Vec<Open> {
    let open = healths.all().into_iter().filter_map(|((provider, model), health, settings)| {
        let closed = health.breaker.state(clock::now(), &settings) == State::Closed;
        let error = || health.last_error.load().as_ref().map(|error| error.message.clone());
        (!closed).then(|| Open {
            provider: provider.to_string(),
            model: model.to_string(),
            error: error().unwrap_or_default(),
        })
    });
    bounded(open.collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

    use super::*;
    use llm_routing::breaker::Settings;

    #[test]
    fn what_differs_is_told_once_and_what_could_not_be_sent_is_news_still() {
        let healths = Healths::default();
        let settings = Settings { failures: 1, recovery: Duration::ZERO, ..Settings::default() };
        let health = healths.of(&"ai/pool/p".into(), &"m".into(), settings);
        let _other = healths.of(&"ai/pool/p".into(), &"other".into(), settings);
        let mut breakers = Breakers::told(open(&healths));
        breakers.tell(&healths, |told| panic!("{told:?}"));
        assert!(!breakers.news);

        let permit = health.breaker.enter(clock::now(), &settings).unwrap();
        health.breaker.fail(permit, clock::now(), &settings);
        breakers.tell(&healths, |_| false);
        assert!(breakers.news);
        let mut said = None;
        let mut say = |told: &FromProxy| {
            said = Some(told.clone());
            true
        };
        breakers.tell(&healths, &mut say);
        let one = Open { provider: "ai/pool/p".to_owned(), model: "m".to_owned(), error: String::new() };
        assert_eq!(said, Some(FromProxy::Health { open: vec![one] }));
        breakers.tell(&healths, |told| panic!("{told:?}"));

        let probe = health.breaker.enter(clock::now(), &settings).unwrap();
        health.breaker.succeed(probe, clock::now(), &settings);
        breakers.tell(&healths, |told| {
            assert_eq!(told, &FromProxy::Health { open: Vec::new() });
            true
        });
    }
}
