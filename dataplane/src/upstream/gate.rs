//! The room that a proxy's limits leave at a provider. A call that finds some takes it by atomics
//! alone; only calls that must wait share a lock, by which the one of the highest priority is next.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use llm_config::{Limits, QueuePriority};
use llm_routing::bucket::Bucket;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout_at},
};

use crate::clock;

/// The room at one provider. It outlives snapshots, whose limits come with each call.
#[derive(Debug, Default)]
pub struct Gate {
    inside: AtomicU32,
    /// Calls that wait, whatever for.
    waiting: AtomicU32,
    requests: Bucket,
    tokens: Bucket,
    queue: Mutex<Queue>,
}

/// Those that wait for others to leave, by priority and then as they came.
#[derive(Debug, Default)]
struct Queue {
    came: u64,
    waiting: BTreeMap<(Reverse<QueuePriority>, u64), Waiting>,
}

/// One of them, with the limit that it came under.
#[derive(Debug)]
struct Waiting {
    limit: Option<u32>,
    call: oneshot::Sender<Seat>,
}

/// There is no room: for so long, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    pub room_in: Option<Duration>,
}

/// A call that is inside, until it is dropped.
#[derive(Debug)]
pub struct Inside {
    seat: Seat,
    limits: Limits,
    /// Tokens that were set aside for it.
    tokens: u64,
}

impl Inside {
    /// It has taken so many tokens, whatever was expected.
    pub fn took(&self, tokens: u64) {
        let (Some(per_minute), bucket) = (self.limits.tokens_per_minute, &self.seat.gate.tokens) else {
            return;
        };
        if tokens > self.tokens {
            bucket.charge(tokens - self.tokens, per_minute, clock::now());
        } else {
            bucket.give_back(self.tokens - tokens, per_minute);
        }
    }
}

impl Inside {
    /// It was never sent: the minute has room for another.
    pub fn unused(self) {
        self.took(0);
        if let Some(per_minute) = self.limits.requests_per_minute {
            self.seat.gate.requests.give_back(1, per_minute);
        }
    }
}

/// One of those inside.
#[derive(Debug)]
struct Seat {
    gate: Arc<Gate>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.gate.inside.fetch_sub(1, SeqCst);
        if self.gate.waiting.load(SeqCst) > 0 {
            self.gate.call_next();
        }
    }
}

/// One of those that wait.
struct Place<'a>(&'a Gate);

impl<'a> Place<'a> {
    fn take(gate: &'a Gate, size: u32) -> Option<Self> {
        let one_more = |waiting: u32| (waiting < size).then_some(waiting + 1);
        gate.waiting.fetch_update(SeqCst, SeqCst, one_more).ok().map(|_| Self(gate))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

/// What a call that waits has in the queue: gone with it, however its wait ends.
struct Entry<'a> {
    gate: &'a Gate,
    place: (Reverse<QueuePriority>, u64),
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut queue = self.gate.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.remove(&self.place);
    }
}

impl Gate {
    /// Calls that wait for room.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(SeqCst)
    }

    /// Takes room for a call that is expected to take so many tokens.
    ///
    /// # Errors
    /// When there is none now.
    pub fn enter(self: &Arc<Self>, limits: &Limits, tokens: u64) -> Result<Inside, Full> {
        // Who waits is not overtaken.
        if limits.concurrent.is_some() && self.waiting.load(SeqCst) > 0 {
            return Err(Full { room_in: None });
        }
        let seat = self.seat(limits).ok_or(Full { room_in: None })?;
        self.pay(seat, limits, tokens)
    }

    /// The same, but waits for it; at most until `until`.
    ///
    /// # Errors
    /// When too many wait already, or it has waited for too long.
    pub async fn wait(
        self: &Arc<Self>,
        limits: &Limits,
        tokens: u64,
        priority: QueuePriority,
        until: Instant,
    ) -> Result<Inside, Full> {
        let _place = Place::take(self, limits.queue.size).ok_or(Full { room_in: None })?;
        let mut seat = self.sit(limits, priority, until).await?;
        loop {
            match self.pay(seat, limits, tokens) {
                Ok(inside) => return Ok(inside),
                Err(full) => {
                    let at = Instant::now() + full.room_in.unwrap_or_default();
                    if at > until {
                        return Err(full);
                    }
                    sleep_until(at).await;
                    seat = self.sit(limits, priority, until).await?;
                }
            }
        }
    }

    /// A place among those inside, as soon as there is one.
    async fn sit(
        self: &Arc<Self>,
        limits: &Limits,
        priority: QueuePriority,
        until: Instant,
    ) -> Result<Seat, Full> {
        let (_entry, called) = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.waiting.is_empty()
                && let Some(seat) = self.seat(limits)
            {
                return Ok(seat);
            }
            let (call, called) = oneshot::channel();
            queue.came += 1;
            let place = (Reverse(priority), queue.came);
            queue.waiting.insert(place, Waiting { limit: limits.concurrent, call });
            (Entry { gate: self, place }, called)
        };
        // One that left between the look and the lock saw nobody waiting.
        self.call_next();
        match timeout_at(until, called).await {
            Ok(Ok(seat)) => Ok(seat),
            _ => Err(Full { room_in: None }),
        }
    }

    fn seat(self: &Arc<Self>, limits: &Limits) -> Option<Seat> {
        self.seat_under(limits.concurrent)
    }

    fn seat_under(self: &Arc<Self>, limit: Option<u32>) -> Option<Seat> {
        let most = limit.unwrap_or(u32::MAX);
        let one_more = |inside: u32| (inside < most).then_some(inside + 1);
        self.inside.fetch_update(SeqCst, SeqCst, one_more).ok()?;
        Some(Seat { gate: self.clone() })
    }

    /// What the minute allows; the seat is given up where it does not.
    fn pay(self: &Arc<Self>, seat: Seat, limits: &Limits, tokens: u64) -> Result<Inside, Full> {
        let now = clock::now();
        if let Some(per_minute) = limits.requests_per_minute {
            self.requests.take(1, per_minute, now).map_err(|room_in| Full { room_in: Some(room_in) })?;
        }
        if let Some(per_minute) = limits.tokens_per_minute
            && let Err(room_in) = self.tokens.take(tokens, per_minute, now)
        {
            if let Some(per_minute) = limits.requests_per_minute {
                self.requests.give_back(1, per_minute);
            }
            return Err(Full { room_in: Some(room_in) });
        }
        // More than a minute allows was taken as all of it, and is given back as that.
        let tokens = tokens.min(limits.tokens_per_minute.unwrap_or(u64::MAX));
        Ok(Inside { seat, limits: *limits, tokens })
    }

    /// Calls in those that wait, as long as there is room by the limit that each came under.
    fn call_next(self: &Arc<Self>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = None;
        while let Some(next) = queue.waiting.first_entry() {
            let Some(seat) = left.take().or_else(|| self.seat_under(next.get().limit)) else { return };
            // Who has waited for too long is gone, and the seat is the next one's.
            left = next.remove().call.send(seat).err();
        }
        // A seat that is left looks into the queue when it is dropped.
        drop(queue);
    }
}

#[cfg(test)]
mod tests;
