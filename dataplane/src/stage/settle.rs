//! Once for each call, however it ends: count, price, log. A call that is dropped without an end was
//! hung up on by its client, and is settled as that: what was generated is billed.

mod another;
mod others;
mod taken;

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode};
use llm_dialect::{reply::Usage, surface::Task};
use tokio::time::Instant;

use crate::{
    clock,
    error::{Error, Unpaid},
    money::{Cost, cost},
    request_log::{Labels, Record},
    shared::Shared,
    snapshot::{Target, budgets::Budget, callers::Identity},
    stage::{
        decode::Call,
        identify::kept,
        report::{Explanation, Report},
        reserve::reserved::{Outcome, Reserved},
        wish::Wishes,
    },
    upstream::origin::Sent,
};

pub use taken::Taken;

/// The client went away before the reply was complete: nginx's number for it.
const CLIENT_CLOSED: u16 = 499;
/// Bytes of text that make a token, about, where a provider gave no figure.
const BYTES_PER_TOKEN: u64 = 4;

/// A call that has not ended.
#[derive(Debug)]
#[must_use = "a call is settled once, by `finish`"]
pub struct Settlement {
    /// Aside, since it goes from hand to hand.
    open: Option<Box<Open>>,
}

#[derive(Debug)]
struct Open {
    id: u64,
    shared: Arc<Shared>,
    started: Instant,
    caller: IpAddr,
    identity: Option<Arc<Identity>>,
    model: Option<Arc<str>>,
    labels: Labels,
    request_bytes: u64,
    /// No provider bills it.
    free: bool,
    target: Option<Arc<Target>>,
    /// Whether that has it.
    sent: Option<Sent>,
    /// It has not failed.
    asks: bool,
    /// Who else is asked and has not failed.
    others: Vec<(Arc<Target>, Sent)>,
    attempts: u8,
    /// Nano-USD that others than the target bill, and that their series have.
    elsewhere: u64,
    first_byte: Option<Duration>,
    /// Events that have come back, for when the client hangs up.
    seen: Taken,
    explanation: Option<Box<Explanation>>,
    /// What budgets have given for it.
    reserved: Option<Box<Reserved>>,
    downgraded_by: Option<Arc<Budget>>,
    /// Why one more attempt was not sent.
    unpaid: Option<Unpaid>,
}

impl Settlement {
    /// A call has arrived.
    pub fn begin(shared: &Arc<Shared>, caller: IpAddr) -> Self {
        let open = Open {
            id: fastrand::u64(..),
            shared: shared.clone(),
            started: Instant::now(),
            caller,
            identity: None,
            model: None,
            labels: Labels::default(),
            request_bytes: 0,
            free: false,
            target: None,
            sent: None,
            asks: false,
            others: Vec::new(),
            attempts: 0,
            elsewhere: 0,
            first_byte: None,
            seen: Taken::Nothing,
            explanation: None,
            reserved: None,
            downgraded_by: None,
            unpaid: None,
        };
        Self { open: Some(Box::new(open)) }
    }

    /// The same call, to be settled by another; what stays behind has nothing to settle.
    pub fn hand_over(&mut self) -> Self {
        Self { open: self.open.take() }
    }

    /// The provider that answers, empty before it is known.
    pub fn provider(&self) -> Arc<str> {
        let target = self.open.as_ref().and_then(|open| open.target.as_ref());
        target.map_or_else(|| "".into(), |target| target.provider.name.clone())
    }

    /// The most output that strict budgets have reserved for it; `None` where none has.
    pub fn longest(&self) -> Option<u64> {
        self.open.as_ref()?.longest()
    }

    /// When the call arrived.
    pub fn started(&self) -> Instant {
        self.open.as_ref().map_or_else(Instant::now, |open| open.started)
    }

    /// Who calls is known.
    pub fn is_called_by(&mut self, identity: &Arc<Identity>) {
        if let Some(open) = &mut self.open {
            open.identity = Some(identity.clone());
        }
    }

    /// What it asks for is known.
    pub fn asks(&mut self, call: &Call, wishes: &Wishes) {
        if let Some(open) = &mut self.open {
            open.request_bytes = call.body.bytes.len() as u64;
            open.free = call.api.task() == Task::Count;
            if open.shared.log.is_on() {
                open.model = Some(kept(&call.model));
                let Wishes { user, project, feature, .. } = wishes;
                open.labels =
                    Labels { user: user.clone(), project: project.clone(), feature: feature.clone() };
            }
        }
    }

    /// The reply shall say how it came about.
    pub fn explain(&mut self, explanation: Explanation) {
        if let Some(open) = &mut self.open {
            open.explanation = Some(Box::new(explanation));
        }
    }

    /// Budgets have given money for it.
    pub fn has_reserved(&mut self, reserved: Option<Box<Reserved>>) {
        if let Some(open) = &mut self.open {
            open.reserved = reserved;
        }
    }

    /// A budget runs out, and the call goes to something cheaper.
    pub fn is_downgraded_by(&mut self, budget: Option<&Arc<Budget>>) {
        if let Some(open) = &mut self.open {
            open.downgraded_by = budget.cloned();
        }
    }

    fn reserved(&mut self) -> Option<&mut Reserved> {
        self.open.as_mut()?.reserved.as_deref_mut()
    }

    /// An attempt has failed; it may be billed all the same.
    pub fn has_failed(&mut self, target: &Arc<Target>, billed: bool) {
        match self.reserved() {
            Some(reserved) if billed => reserved.loses(target),
            Some(reserved) => reserved.costs_nothing(target),
            None => {}
        }
        if let Some(open) = &mut self.open {
            if billed {
                open.has_read(target, clock::now());
            }
            open.ended(target);
        }
    }

    /// Adds to the head of its reply what is known so far.
    pub fn head(&mut self, headers: &mut HeaderMap) {
        let Some(open) = &mut self.open else { return };
        let report = Report {
            request_id: open.id,
            target: open.target.clone(),
            attempts: open.attempts,
            took: open.started.elapsed(),
            cost: None,
            explanation: open.explanation.take(),
            downgraded_by: open.downgraded_by.clone(),
        };
        report.head(headers);
        open.explanation = report.explanation;
    }

    /// It goes to a target, which has it once that is noted.
    pub fn tries(&mut self, target: &Arc<Target>) -> Sent {
        let sent = Sent::default();
        if let Some(open) = &mut self.open {
            let before = open.target.replace(target.clone()).zip(open.sent.replace(sent.clone()));
            if open.asks {
                open.others.extend(before);
            }
            open.asks = true;
            open.attempts += 1;
            if let Some(reserved) = &mut open.reserved {
                reserved.asks(target);
            }
            if !open.free {
                open.seen = Taken::Seen { usage: None, events: 0 };
            }
        }
        sent
    }

    /// Who answers, where several were asked.
    pub fn answers(&mut self, target: &Arc<Target>) {
        let Some(open) = &mut self.open else { return };
        if open.target.as_ref().is_some_and(|now| Arc::ptr_eq(now, target)) {
            return;
        }
        // One that has answered by a failure is settled, and not among them any more.
        let (target, sent) = open.take_other(target).unwrap_or_else(|| (target.clone(), Sent::default()));
        open.others.extend(open.target.replace(target).zip(open.sent.replace(sent)));
    }

    /// The first byte goes out to the client.
    pub fn first_byte(&mut self, now: Instant) {
        if let Some(open) = &mut self.open {
            open.first_byte.get_or_insert_with(|| now.saturating_duration_since(open.started));
        }
    }

    /// So much has come back so far.
    pub fn has_seen(&mut self, taken: Taken) {
        if let Some(open) = &mut self.open {
            open.seen = taken;
        }
    }

    /// It is over. What is known of it is for its reply; `None` where it has been handed over.
    pub fn finish(
        mut self,
        now: Instant,
        status: StatusCode,
        taken: Taken,
        error: Option<&Error>,
    ) -> Option<Report> {
        let (code, reason) = (error.map(Error::code), error.and_then(Error::reason));
        self.open.take().map(|open| open.settle(now, status, taken, code, reason))
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            let status = StatusCode::from_u16(CLIENT_CLOSED).unwrap_or(StatusCode::BAD_REQUEST);
            let seen = open.seen;
            let _unread = open.settle(Instant::now(), status, seen, Some("client_closed"), None);
        }
    }
}

impl Open {
    fn longest(&self) -> Option<u64> {
        self.reserved.as_deref()?.longest(self.target.as_deref()?)
    }

    /// That the provider gave more output than was reserved, in words and figures.
    fn overrun(&self, taken: Taken, output: u64) -> Option<String> {
        // Nearly all give less than was reserved of anybody: of whom it was is asked last.
        let said = taken.overrun(self.reserved.as_ref()?.longest_of_any?, output)?;
        self.longest().map(|_| said)
    }

    fn settle(
        mut self: Box<Self>,
        now: Instant,
        status: StatusCode,
        taken: Taken,
        error: Option<&'static str>,
        reason: Option<String>,
    ) -> Report {
        let total = now.saturating_duration_since(self.started);
        let now = clock::at(now);
        let taken = self.pay_others(taken, now);
        let (taken, doubted) = taken.doubted(self.target.as_deref(), self.request_bytes);
        let (usage, estimated) = match taken {
            Taken::Reported(usage) => (usage, false),
            Taken::Seen { usage, events } | Taken::Cut { usage, events } => {
                let guess = Usage { input: self.request_bytes / BYTES_PER_TOKEN, ..Usage::default() };
                let said = usage.unwrap_or(guess);
                // Some say at the start of a stream that there was one token so far.
                (Usage { output: said.output.max(events), ..said }, true)
            }
            Taken::Nothing => (Usage::default(), false),
        };
        let overrun = self.overrun(taken, usage.output);
        let unpaid = self.unpaid.filter(|_| !status.is_success()).map(|unpaid| unpaid.to_string());
        if let Some(reserved) = self.reserved {
            let outcome = match taken {
                _ if doubted.is_some() => Outcome::Nothing,
                Taken::Reported(_) => Outcome::Reported(usage),
                Taken::Seen { .. } => Outcome::Seen(usage),
                Taken::Cut { .. } => Outcome::Cut(usage),
                Taken::Nothing => Outcome::Nothing,
            };
            reserved.settle(self.target.as_deref(), outcome);
        }
        let mut cost = self.target.as_ref().map_or_else(Cost::default, |target| cost(target.price, usage));
        let series = self.target.as_ref().map_or(&self.shared.unrouted, |target| &target.series);
        series.call(status, total);
        if let Some(code) = error {
            self.shared.metrics.error(code);
        }
        series.usage(usage, cost.total, now);
        if overrun.is_some() {
            series.overran();
        }
        if let Some(Usage { input, output, .. }) = doubted {
            series.doubted();
            let provider = self.target.as_ref().map_or("", |target| &target.provider.name);
            tracing::warn!(
                provider,
                input,
                output,
                "the provider names more tokens than its model can take: the call is charged what it had reserved"
            );
        }
        cost.input = cost.input.saturating_add(self.elsewhere);
        cost.total = cost.total.saturating_add(self.elsewhere);
        if let Some(identity) = &self.identity {
            identity.series.call(status, usage, cost.total);
        }
        let report = Report {
            request_id: self.id,
            target: self.target,
            attempts: self.attempts,
            took: total,
            cost: Some(cost),
            explanation: self.explanation,
            downgraded_by: self.downgraded_by,
        };
        if !self.shared.log.is_on() {
            return report;
        }
        let target = report.target.as_ref();
        self.shared.log.write(Record {
            id: self.id,
            began: self.started,
            caller: self.caller,
            identity: self.identity,
            route: target.map(|target| target.labels.route.clone()),
            model: self.model,
            labels: self.labels,
            provider: target.map(|target| target.provider.name.clone()),
            status: status.as_u16(),
            usage,
            estimated,
            cost_nano_usd: cost.total,
            first_byte: self.first_byte,
            total,
            attempts: self.attempts,
            error,
            reason: reason.or(overrun).or(unpaid),
        });
        report
    }
}
