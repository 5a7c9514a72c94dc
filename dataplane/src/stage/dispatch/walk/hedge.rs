//! Hedging: a second candidate is asked while the first may still answer, and who answers first has answered.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use futures::future::{Either, select};
use llm_routing::attempts::Step;
use tokio::time::Instant;

use super::{Begun, Outcome, Reply, ReplyStart, Walk, within};
use crate::{
    clock,
    error::Error,
    snapshot::{Target, served::Hedging},
};

impl<'p> Walk<'_, 'p> {
    /// How long the first choice has before another is asked too.
    pub(super) fn patience(&self, target: &Target) -> Option<Duration> {
        match self.plan.rule.hedging? {
            Hedging::After(delay) => Some(delay),
            Hedging::Usual => target.health.usually_within(self.sending.call.stream, clock::at(self.now)),
        }
    }

    /// The first is late: another is asked too, and who answers first has answered.
    pub(super) async fn hedge(
        &mut self,
        first: Begun<'p>,
        mut sent: Pin<&mut impl Future<Output = Result<Reply, Error>>>,
    ) -> Option<Outcome> {
        // Of the retries of the one that is late: when all are, few are asked twice.
        self.now = Instant::now();
        let next = match self.attempts.next(self.now - self.began) {
            Some(Step { candidate, wait: Duration::ZERO, again: false }) => self.plan.get(candidate),
            _ => None,
        };
        let is_paid = next.is_some_and(|next| self.settlement.has_another_at_hand(&next.target));
        let granted = is_paid && first.target.health.retries.withdraw(clock::at(self.now));
        let Some(second) = granted.then(|| self.another()).flatten() else {
            self.settlement.gives_back();
            let outcome = sent.await;
            return self.judge(first, outcome);
        };
        let also = pin!(within(self.plan, second.target, self.sending, (second.sent.clone(), self.now)));
        let (begun, outcome, other) = match select(&mut sent, also).await {
            Either::Left((outcome, also)) => (first, outcome, (second, Either::Right(also))),
            Either::Right((outcome, _)) => (second, outcome, (first, Either::Left(sent))),
        };
        let winner = begun.target;
        let (other, rest) = other;
        match self.judge(begun, outcome) {
            Some(answer) => {
                // The other is cancelled here; where it has read the call, that is paid for all the same.
                self.settlement.answers(winner);
                // Of one that was asked later it tells nothing.
                if matches!(rest, Either::Left(_)) {
                    other.trial.outrun(self.sending.call.stream, tokens(&answer));
                }
                Some(answer)
            }
            None => {
                let outcome = rest.await;
                self.settlement.answers(other.target);
                self.judge(other, outcome)
            }
        }
    }

    /// One that has not been asked, and may be at once. The first may still answer: nobody is asked for money, not even the
    /// ledger, and a candidate for which there is none at hand stays one to be asked when the first has failed.
    fn another(&mut self) -> Option<Begun<'p>> {
        loop {
            match self.attempts.next(self.now - self.began) {
                Some(Step { candidate, wait: Duration::ZERO, again: false }) => {
                    let target = &self.plan.get(candidate)?.target;
                    if !self.settlement.has_another_at_hand(target) {
                        return None;
                    }
                    if let Some(begun) = self.enter(candidate) {
                        return Some(begun);
                    }
                }
                _ => return None,
            }
        }
    }
}

/// Of an answer that is whole.
fn tokens(answer: &Outcome) -> Option<u64> {
    match &answer.as_ref().ok()?.0.body {
        ReplyStart::Whole { usage, .. } => usage.map(|usage| usage.output),
        ReplyStart::Stream(_) => None,
    }
}
