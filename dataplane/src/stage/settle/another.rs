//! Money for one more attempt of a call, where those before it may be billed besides.

use tokio::time::{Instant, timeout_at};

use super::Settlement;
use crate::{error::Unpaid, snapshot::Target};

impl Settlement {
    /// Whether one more attempt needs no more money than the call has: the first never does.
    pub fn covers_another(&self, target: &Target) -> bool {
        let Some(open) = &self.open else { return true };
        let is_first = open.attempts == 0;
        is_first || open.reserved.as_ref().is_none_or(|reserved| reserved.covers_another(target))
    }

    /// Takes what one more attempt needs where that is at hand; whether it was.
    pub fn has_another_at_hand(&mut self, target: &Target) -> bool {
        self.reserved().is_none_or(|reserved| reserved.another_at_hand(target))
    }

    /// Takes what one more attempt needs, and waits for it until the deadline at the longest; whether budgets had it.
    pub async fn reserves_another(&mut self, target: &Target, deadline: Instant) -> bool {
        let Some(reserved) = self.reserved() else { return true };
        let refusal = match timeout_at(deadline, reserved.another(target, deadline)).await {
            Ok(Ok(())) => return true,
            Ok(Err(refusal)) => Some(refusal),
            // The ledger would have had more time than the call has.
            Err(_) => reserved.unanswered(target),
        };
        if let Some((open, refusal)) = self.open.as_mut().zip(refusal) {
            open.unpaid = Some(refusal.of_another());
        }
        false
    }

    /// The attempt for which more was taken is not sent.
    pub fn gives_back(&mut self) {
        if let Some(reserved) = self.reserved() {
            reserved.give_back();
        }
    }

    /// Why one more attempt was not sent.
    pub fn unpaid(&self) -> Option<&Unpaid> {
        self.open.as_ref()?.unpaid.as_ref()
    }
}
