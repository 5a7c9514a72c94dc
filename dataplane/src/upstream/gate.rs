//! The room that a proxy's limits leave at a provider. A call that finds some takes it by atomics
//! alone; only calls that must wait share a lock, by which the one of the highest priority is next.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use llm_config::{Limits, QueuePriority};
use llm_routing::bucket::Bucket;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until, timeout_at},
};

use crate::clock;

/// The room at one provider. It outlives snapshots: who is inside, and what a minute has taken, counts on under the
/// limits that come next.
#[derive(Debug, Default)]
pub struct Gate {
    /// Those in force.
    limits: ArcSwap<Limits>,
    /// They are others now.
    changed: Notify,
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
    waiting: BTreeMap<(Reverse<QueuePriority>, u64), oneshot::Sender<Seat>>,
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
    pub fn took(&self, tokens: u64, now: Duration) {
        let (Some(per_minute), bucket) = (self.limits.tokens_per_minute, &self.seat.gate.tokens) else {
            return;
        };
        if tokens > self.tokens {
            bucket.charge(tokens - self.tokens, per_minute, now);
        } else {
            bucket.give_back(self.tokens - tokens, per_minute);
        }
    }

    /// It has taken none.
    pub fn took_nothing(&self) {
        if let Some(per_minute) = self.limits.tokens_per_minute {
            self.seat.gate.tokens.give_back(self.tokens, per_minute);
        }
    }

    /// It was never sent: the minute has room for another.
    pub fn unused(self) {
        self.took_nothing();
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
    /// The limits in force.
    pub fn limits(&self) -> Limits {
        **self.limits.load()
    }

    /// Puts limits in force, also for those who wait. Who is inside stays there.
    pub fn limit(self: &Arc<Self>, limits: Limits) {
        if self.limits() == limits {
            return;
        }
        self.limits.store(Arc::new(limits));
        self.call_next();
        self.changed.notify_waiters();
    }

    /// Calls that wait for room.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(SeqCst)
    }

    /// Takes room for a call that is expected to take so many tokens.
    ///
    /// # Errors
    /// When there is none now.
    pub fn enter(self: &Arc<Self>, tokens: u64, now: Duration) -> Result<Inside, Full> {
        let limits = self.limits();
        // Who waits is not overtaken.
        if limits.concurrent.is_some() && self.waiting.load(SeqCst) > 0 {
            return Err(Full { room_in: None });
        }
        let seat = self.seat(&limits).ok_or(Full { room_in: None })?;
        self.pay(seat, tokens, limits, now)
    }

    /// The same, but waits for it; at most until `until`.
    ///
    /// # Errors
    /// When too many wait already, or it has waited for too long.
    pub async fn wait(
        self: &Arc<Self>,
        tokens: u64,
        priority: QueuePriority,
        until: Instant,
    ) -> Result<Inside, Full> {
        let _place = Place::take(self, self.limits().queue.size).ok_or(Full { room_in: None })?;
        loop {
            let seat = self.sit(priority, until).await?;
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let full = match self.pay(seat, tokens, self.limits(), clock::now()) {
                Ok(inside) => return Ok(inside),
                Err(full) => full,
            };
            let now = Instant::now();
            let at = full.room_in.map_or(until, |room_in| now + room_in);
            if at > until || now >= until {
                return Err(full);
            }
            tokio::select! {
                () = sleep_until(at) => {}
                () = changed => {}
            }
        }
    }

    /// A place among those inside, as soon as there is one.
    async fn sit(self: &Arc<Self>, priority: QueuePriority, until: Instant) -> Result<Seat, Full> {
        let (_entry, called) = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.waiting.is_empty()
                && let Some(seat) = self.seat(&self.limits())
            {
                return Ok(seat);
            }
            let (call, called) = oneshot::channel();
            queue.came += 1;
            let place = (Reverse(priority), queue.came);
            queue.waiting.insert(place, call);
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
        let most = limits.concurrent.unwrap_or(u32::MAX);
        let one_more = |inside: u32| (inside < most).then_some(inside + 1);
        self.inside.fetch_update(SeqCst, SeqCst, one_more).ok()?;
        Some(Seat { gate: self.clone() })
    }

    /// What the minute allows; the seat is given up where it does not.
    fn pay(self: &Arc<Self>, seat: Seat, tokens: u64, limits: Limits, now: Duration) -> Result<Inside, Full> {
        let Limits { requests_per_minute, tokens_per_minute, .. } = limits;
        if requests_per_minute.or(tokens_per_minute).is_none() {
            return Ok(Inside { seat, limits, tokens });
        }
        // When there will be anything to take of nothing, no minute tells.
        if requests_per_minute == Some(0) || tokens_per_minute == Some(0) {
            return Err(Full { room_in: None });
        }
        if let Some(per_minute) = requests_per_minute {
            self.requests.take(1, per_minute, now).map_err(|room_in| Full { room_in: Some(room_in) })?;
        }
        if let Some(per_minute) = tokens_per_minute
            && let Err(room_in) = self.tokens.take(tokens, per_minute, now)
        {
            if let Some(per_minute) = requests_per_minute {
                self.requests.give_back(1, per_minute);
            }
            return Err(Full { room_in: Some(room_in) });
        }
        // More than a minute allows was taken as all of it, and is given back as that.
        let tokens = tokens.min(tokens_per_minute.unwrap_or(u64::MAX));
        Ok(Inside { seat, limits, tokens })
    }

    /// Calls in those that wait, as long as there is room.
    fn call_next(self: &Arc<Self>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = None;
        while let Some(next) = queue.waiting.first_entry() {
            let Some(seat) = left.take().or_else(|| self.seat(&self.limits())) else { return };
            // Who has waited for too long is gone, and the seat is the next one's.
            left = next.remove().send(seat).err();
        }
        // A seat that is left looks into the queue when it is dropped.
        drop(queue);
    }
}

#[cfg(test)]
mod tests;
