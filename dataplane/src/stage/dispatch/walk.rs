//! The walk of one call along its candidates: who is asked next, and who is passed by. What decides is
//! pure and elsewhere; here it is waited, sent and noted.

mod hedge;
mod room;

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use llm_routing::{
    attempts::{Attempts, Policy},
    backoff,
    breaker::State,
};
use smallvec::SmallVec;
use tokio::time::{Instant, sleep};

use super::{
    Reply, ReplyStart, Sending,
    judge::{Judgement, judge},
    within,
};
use crate::{
    alarm::{self, Alarm},
    clock,
    error::Error,
    snapshot::Target,
    stage::{decode::Call, identify::excerpt, route::Plan, settle::Settlement},
    upstream::{gate::Inside, health::Trial, origin::Sent},
};

/// When to come back to a provider that is full, and does not know for how long.
const FULL_FOR: Duration = Duration::from_secs(1);

type Outcome = Result<(Reply, Option<Trial>), Error>;

/// A call on its way.
pub struct Walk<'c, 'p> {
    plan: &'c Plan<'p>,
    sending: Sending<'c>,
    settlement: &'c mut Settlement,
    attempts: Attempts,
    began: Instant,
    /// The time as it was when something had last been waited for.
    now: Instant,
    /// How long until one that was passed by may be asked.
    soonest: Option<Duration>,
    /// The candidates that had no room.
    full: SmallVec<[usize; 4]>,
    /// Since when it has waited for room.
    waits_since: Option<Instant>,
    /// The first that asked to be left alone for longer than the call has.
    limited: Option<usize>,
    /// The candidate that the retry budget has granted another attempt.
    granted: Option<usize>,
    last: Option<Result<Reply, Error>>,
}

/// An attempt that may be sent.
pub struct Begun<'p> {
    place: usize,
    target: &'p Arc<Target>,
    trial: Trial,
    sent: Sent,
    /// It has time enough for its running out to tell something of the provider.
    fair: bool,
}

impl<'c, 'p> Walk<'c, 'p> {
    pub fn new(plan: &'c Plan<'p>, sending: Sending<'c>, settlement: &'c mut Settlement) -> Self {
        let first = plan.get(0);
        let (attempts, backoff) =
            first.map_or((1, Duration::ZERO), |first| (first.retry.attempts, first.retry.backoff));
        let policy = Policy { attempts, backoff, fallback: plan.fallback };
        let mut attempts = Attempts::new(policy, plan.candidates().len());
        let began = Instant::now();
        let now = clock::at(began);
        for (place, candidate) in plan.candidates().enumerate() {
            let rests = candidate.target.health.rests_for(now);
            if !rests.is_zero() {
                attempts.hold(place, spread(rests));
            }
        }
        if let Some(first) = first {
            first.target.health.retries.deposit(now);
        }
        Self {
            plan,
            sending,
            settlement,
            attempts,
            began,
            now: began,
            soonest: None,
            full: SmallVec::new(),
            waits_since: None,
            limited: None,
            granted: None,
            last: None,
        }
    }

    /// The next attempt, after its pause; `None` where there is none within the deadline.
    pub async fn next(&mut self) -> Option<Begun<'p>> {
        loop {
            let now = self.now;
            let step = self.attempts.next(now - self.began)?;
            let target = &self.plan.get(step.candidate)?.target;
            // A rest that is longer than a place in a queue may be is not slept out.
            let patience = Duration::from_millis(target.provider.limits.queue.timeout_ms);
            let rests_long = !step.again && step.wait > patience;
            if rests_long || now + step.wait >= self.sending.deadline {
                if !target.health.rests_for(clock::at(now)).is_zero() {
                    self.limited.get_or_insert(step.candidate);
                }
                self.passed_by(Some(step.wait));
                return None;
            }
            if step.again && !self.is_granted(step.candidate, target) {
                self.attempts.leave_out(step.candidate);
                continue;
            }
            if !step.wait.is_zero() {
                Box::pin(sleep(step.wait)).await;
                self.now = Instant::now();
            }
            // Before it has a place at the provider, which nobody holds who waits for something else.
            if !self.is_paid(target).await {
                self.attempts.leave_out(step.candidate);
                continue;
            }
            if let Some(begun) = self.enter(step.candidate) {
                return Some(begun);
            }
        }
    }

    /// Whether budgets have money for an attempt: what was lost on the way is billed besides.
    async fn is_paid(&mut self, target: &Target) -> bool {
        // Few calls come here: the others need not carry its room. Nobody waits for money for one that is not to be asked.
        if self.settlement.covers_another(target) || !may_be_asked(target, clock::at(self.now)) {
            return true;
        }
        let is_paid = Box::pin(self.settlement.reserves_another(target, self.sending.deadline)).await;
        self.now = Instant::now();
        is_paid
    }

    /// Whether a candidate may be asked again. What has been granted is not paid for twice, and nothing
    /// is paid for an attempt that the breaker would not let through.
    fn is_granted(&mut self, place: usize, target: &Target) -> bool {
        let (health, now) = (&target.health, clock::at(self.now));
        if self.granted == Some(place) {
            return true;
        }
        if !health.breaker.admits(now, &target.breaker) {
            return false;
        }
        if !health.retries.withdraw(now) {
            health.unretried.fetch_add(1, Relaxed);
            return false;
        }
        self.granted = Some(place);
        true
    }

    /// Past the limits and the breaker of a candidate, or past it.
    fn enter(&mut self, place: usize) -> Option<Begun<'p>> {
        let target = &self.plan.get(place)?.target;
        let now = self.now;
        // Since the call was planned, another may have been told to come back later.
        let rests = target.health.rests_for(clock::at(now));
        if !rests.is_zero() {
            self.attempts.hold(place, now - self.began + spread(rests));
            return None;
        }
        // A place, and a minute's allowance, are not for a call that the breaker would not let through.
        if !target.health.breaker.admits(clock::at(now), &target.breaker) {
            return self.refused(place, target);
        }
        match target.provider.gate.enter(self.tokens(target), clock::at(now)) {
            Ok(inside) => self.begin(place, inside),
            Err(full) => {
                self.attempts.leave_out(place);
                self.is_full(place, target);
                self.passed_by(full.room_in);
                None
            }
        }
    }

    fn begin(&mut self, place: usize, inside: Inside) -> Option<Begun<'p>> {
        let (target, now) = (&self.plan.get(place)?.target, self.now);
        // It may be asked since a moment ago only, before which nobody has looked for its money.
        if !self.settlement.covers_another(target) {
            inside.unused();
            self.attempts.leave_out(place);
            return None;
        }
        match Trial::begin(target, inside, clock::at(now)) {
            Ok(trial) => {
                self.granted = None;
                self.attempts.begin(place);
                let sent = self.settlement.tries(target);
                let left = self.sending.deadline.saturating_duration_since(now);
                // A call that has waited, or was elsewhere before, makes no provider slow.
                let fair = left >= self.plan.rule.timeouts.request() / 2;
                Some(Begun { place, target, trial, sent, fair })
            }
            Err(_) => self.refused(place, target),
        }
    }

    /// The breaker lets none through.
    fn refused(&mut self, place: usize, target: &Target) -> Option<Begun<'p>> {
        let now = clock::at(self.now);
        self.attempts.leave_out(place);
        self.passed_by(match target.health.breaker.state(now, &target.breaker) {
            State::Open { until } => Some(until.saturating_sub(now)),
            State::Closed | State::HalfOpen => None,
        });
        None
    }

    fn tokens(&self, target: &Target) -> u64 {
        let (input, output) = target.expected_tokens(self.sending.call.body.bytes.len());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an expectation")]
        let tokens = (input + output) as u64;
        tokens
    }

    fn passed_by(&mut self, room_in: Option<Duration>) {
        let room_in = room_in.unwrap_or(FULL_FOR);
        self.soonest = Some(self.soonest.unwrap_or(room_in).min(room_in));
    }

    /// Sends an attempt. `Some` is the answer; else another may do better.
    pub async fn attempt(&mut self, begun: Begun<'p>) -> Option<Outcome> {
        let now = self.now;
        let mut sent = pin!(within(self.plan, begun.target, self.sending, (begun.sent.clone(), now)));
        let outcome = match self.patience(begun.target) {
            None => sent.await,
            Some(patience) => match alarm::before(|| Alarm::soon(now + patience), sent.as_mut()).await {
                Some(outcome) => outcome,
                // Few calls come here: the others need not carry its room.
                None => return Box::pin(self.hedge(begun, sent)).await,
            },
        };
        self.judge(begun, outcome)
    }

    /// The answer, or what it takes for the next one to be asked.
    fn judge(&mut self, begun: Begun<'p>, outcome: Result<Reply, Error>) -> Option<Outcome> {
        let Begun { place, target, trial, sent, fair } = begun;
        self.now = outcome.as_ref().map_or_else(|_| Instant::now(), |reply| reply.came);
        let Call { api, stream, .. } = self.sending.call;
        if target.answers_by(*api, *stream).is_none() {
            trial.unasked();
            return Some(outcome.map(|reply| (reply, None)));
        }
        match &outcome {
            Ok(reply) if reply.refused.is_none() => {}
            Ok(_) => self.settlement.has_failed(target, false),
            Err(error) => self.settlement.has_failed(target, sent.is_sent() && error.may_be_billed()),
        }
        match judge(outcome, trial, fair) {
            Judgement::Final(outcome) => Some(outcome),
            Judgement::Elsewhere { outcome, failure } => {
                self.attempts.fail(place, failure, self.now - self.began, fastrand::u64(..));
                let too_long = |reply: &Reply| reply.refused.is_some_and(|refused| refused.too_long);
                if outcome.as_ref().is_ok_and(too_long) {
                    self.leave_out_smaller(target);
                }
                self.last = Some(outcome);
                None
            }
        }
    }

    /// A call that is too long for one model is too long for those that take no more.
    fn leave_out_smaller(&mut self, than: &Target) {
        for (place, candidate) in self.plan.candidates().enumerate() {
            if candidate.target.context_window <= than.context_window {
                self.attempts.leave_out(place);
            }
        }
    }

    /// Nobody is left: what the last one said, or why nobody was asked.
    pub fn failed(self) -> Outcome {
        // That somebody has to mend one is no reason not to come again, where another was only busy.
        let is_denied = matches!(self.last, Some(Err(Error::ProviderDenies { .. })));
        if let Some(last) = self.last.filter(|_| !is_denied || self.full.is_empty()) {
            return match (last, self.settlement.unpaid()) {
                (Err(last), Some(unpaid)) => {
                    Err(Error::Unpaid { unpaid: unpaid.clone(), last: Box::new(last) })
                }
                (last, _) => last.map(|reply| (Reply { came: self.now, ..reply }, None)),
            };
        }
        let full = self.full.first().copied();
        // Nobody was passed by for a reason of its own: the call came with no time left.
        let passed_by = full.or(self.limited).is_some() || self.soonest.is_some_and(|left| !left.is_zero());
        if !passed_by && self.now >= self.sending.deadline {
            return Err(Error::TooLate { after: self.sending.allowed });
        }
        let model = excerpt(&self.sending.call.model);
        let retry_after = self.soonest.unwrap_or(FULL_FOR);
        if let Some(candidate) = full.or(self.limited).and_then(|place| self.plan.get(place)) {
            let provider = candidate.target.provider.name.to_string();
            return Err(Error::Saturated { model, provider, retry_after });
        }
        let last = self.plan.get(0).and_then(|first| first.target.health.last_error.load_full());
        Err(Error::Resting { model, last: last.map(|last| last.message.clone()), retry_after })
    }
}

/// When to come to a candidate that rests: all who wait were told the same, and the first of them may
/// learn that it still has too much to do.
fn spread(rests: Duration) -> Duration {
    backoff::delay(1, Duration::ZERO, Some(rests), fastrand::u64(..))
}

/// Whether neither itself nor its breaker keeps calls from it.
fn may_be_asked(target: &Target, now: Duration) -> bool {
    target.health.rests_for(now).is_zero() && target.health.breaker.admits(now, &target.breaker)
}
