//! Who is asked besides the target of a call, and what is paid to those who do not answer.

use std::{sync::Arc, time::Duration};

use llm_dialect::reply::Usage;

use super::{BYTES_PER_TOKEN, Open, Taken};
use crate::{
    money::{Cost, cost},
    snapshot::Target,
    upstream::origin::Sent,
};

impl Open {
    /// A target has the call and its answer is not waited for, or never came: that it has read it is billed.
    pub fn has_read(&mut self, target: &Target, now: Duration) {
        if self.free {
            return;
        }
        let usage = Usage { input: self.request_bytes / BYTES_PER_TOKEN, ..Usage::default() };
        let Cost { total, .. } = cost(target.price, usage);
        target.series.usage(usage, total, now);
        self.elsewhere = self.elsewhere.saturating_add(total);
    }

    /// A target has failed: who hangs up now does so on the others.
    pub fn ended(&mut self, target: &Arc<Target>) {
        if self.take_other(target).is_some() {
            return;
        }
        if let Some((other, sent)) = self.others.pop() {
            (self.target, self.sent) = (Some(other), Some(sent));
        } else {
            self.asks = false;
            self.seen = Taken::Nothing;
        }
    }

    pub fn take_other(&mut self, target: &Arc<Target>) -> Option<(Arc<Target>, Sent)> {
        let at = self.others.iter().position(|(other, _)| Arc::ptr_eq(other, target))?;
        Some(self.others.swap_remove(at))
    }

    /// Nobody bills a target that has not got the call yet: who else was asked is paid, and what was taken is left.
    pub fn pay_others(&mut self, taken: Taken, now: Duration) -> Taken {
        let mut unasked = Vec::new();
        for (other, sent) in std::mem::take(&mut self.others) {
            if sent.is_sent() {
                self.has_read(&other, now);
            } else {
                unasked.push(other);
            }
        }
        let nothing = matches!(taken, Taken::Seen { usage: None, events: 0 });
        let is_out = !nothing || !self.asks || self.sent.as_ref().is_some_and(Sent::is_sent);
        unasked.extend(self.target.clone().filter(|_| !is_out));
        if let Some(reserved) = &mut self.reserved {
            unasked.iter().for_each(|target| reserved.costs_nothing(target));
        }
        if is_out { taken } else { Taken::Nothing }
    }
}
