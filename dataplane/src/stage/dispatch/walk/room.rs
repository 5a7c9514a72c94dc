//! Waiting for room, which is worth it only when all that had some have failed.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use tokio::time::Instant;

use super::{Begun, FULL_FOR, Walk, may_be_asked};
use crate::{clock, snapshot::Target, upstream::gate::Inside};

impl<'p> Walk<'_, 'p> {
    /// Of several models of a provider the first stands for all: they share its room.
    pub(super) fn is_full(&mut self, place: usize, target: &Target) {
        let gate_of = |place: &usize| Some(&self.plan.get(*place)?.target.provider.gate);
        let known = self.full.iter().filter_map(gate_of).any(|gate| Arc::ptr_eq(gate, &target.provider.gate));
        if !known {
            self.full.push(place);
        }
    }

    /// Waits for room at all candidates that had none, and takes the first that there is. In each queue it has a place
    /// until then. Who has been waited for is not waited for again: if that one fails, there are the others.
    pub async fn wait_for_room(&mut self) -> Option<Begun<'p>> {
        // First the money, as ever: what budgets do not pay needs no room.
        for place in std::mem::take(&mut self.full) {
            let target = &self.plan.get(place)?.target;
            if self.is_paid(target).await {
                self.full.push(place);
            }
        }
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        loop {
            let room = self.room(since).await;
            self.now = Instant::now();
            let (place, inside) = room?;
            self.full.retain(|full| *full != place);
            if let Some(begun) = self.begin(place, inside) {
                return Some(begun);
            }
        }
    }

    /// The first room that there is, and at whom; of several at once at the one that the call would have come to first.
    async fn room(&mut self, since: Instant) -> Option<(usize, Inside)> {
        let mut waits: Vec<_> =
            self.full.iter().filter_map(|place| Some(Box::pin(self.wait_at(*place, since)?))).collect();
        let mut soonest: Option<Duration> = None;
        let came = poll_fn(|cx| {
            let mut next = 0;
            while let Some(wait) = waits.get_mut(next) {
                match wait.as_mut().poll(cx) {
                    Poll::Ready((place, Ok(inside))) => return Poll::Ready(Some((place, inside))),
                    Poll::Ready((_, Err(room_in))) => {
                        let room_in = room_in.unwrap_or(FULL_FOR);
                        soonest = Some(soonest.unwrap_or(room_in).min(room_in));
                        drop(waits.remove(next));
                    }
                    Poll::Pending => next += 1,
                }
            }
            if waits.is_empty() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await;
        self.soonest = soonest.or(self.soonest);
        came
    }

    /// Waits for room at a candidate, since then at most as long as its queue lets: the room, or in how long it may be
    /// worth another look. `None` where there is nothing to wait for.
    fn wait_at(
        &self,
        place: usize,
        since: Instant,
    ) -> Option<impl Future<Output = (usize, Result<Inside, Option<Duration>>)> + use<'p>> {
        let target = &self.plan.get(place)?.target;
        if !may_be_asked(target, clock::at(self.now)) {
            return None;
        }
        let priority = self.plan.rule.queue_priority;
        let patience = Duration::from_millis(target.provider.limits.queue.timeout_ms);
        let until = self.sending.deadline.min(since + patience);
        let tokens = self.tokens(target);
        Some(async move {
            match target.provider.gate.wait(tokens, priority, until).await {
                Ok(inside) if may_be_asked(target, clock::now()) => (place, Ok(inside)),
                // While it waited, the provider has asked to be left alone, or failed too often.
                Ok(inside) => {
                    inside.unused();
                    (place, Err(Some(target.health.rests_for(clock::now()).max(FULL_FOR))))
                }
                Err(full) => (place, Err(full.room_in)),
            }
        })
    }
}
