//! Deadlines of calls. Nearly every one is taken back unused, and to set a timer and take it back costs
//! more than much of what it guards. So a timer that is not needed any more stays set, for the next
//! deadline of its worker: it goes off before that, and is set anew if there is still something to
//! guard. Those that are near would go off all the time so: they are put off, which costs less than a task
//! that is woken for nothing, as long as calls of a worker are patient for about as long.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

/// Timers that a worker keeps of each kind.
const MOST_KEPT: usize = 64;

type Timer = Pin<Box<Sleep>>;

/// Apart, so that none is set to and fro.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Its moment seldom comes.
    Far,
    Near,
}

thread_local! {
    /// By kind; `None` where no worker keeps any.
    static KEPT: RefCell<Option<[Vec<Timer>; 2]>> = const { RefCell::new(None) };
}

/// Has this thread keep its timers, as long as that lives: no longer than the thread's runtime.
#[must_use]
pub fn keep() -> Keeping {
    KEPT.with_borrow_mut(|kept| *kept = Some(Default::default()));
    Keeping
}

#[derive(Debug)]
pub struct Keeping;

impl Drop for Keeping {
    fn drop(&mut self) {
        drop(KEPT.take());
    }
}

/// Is ready from a moment on. To be polled by the worker that made it.
#[derive(Debug)]
pub struct Alarm {
    at: Instant,
    kind: Kind,
    /// It goes off at that moment or before. Gone when it is dropped.
    timer: Option<Timer>,
}

impl Alarm {
    /// For a moment that seldom comes.
    pub fn at(at: Instant) -> Self {
        Self::of(Kind::Far, at)
    }

    /// For one that is a few milliseconds away.
    pub fn soon(at: Instant) -> Self {
        Self::of(Kind::Near, at)
    }

    fn of(kind: Kind, at: Instant) -> Self {
        let kept = KEPT.with_borrow_mut(|kept| kept.as_mut()?[kind as usize].pop());
        let timer = kept.unwrap_or_else(|| Box::pin(sleep_until(at)));
        let mut alarm = Self { at, kind, timer: Some(timer) };
        alarm.reset(at);
        alarm
    }

    /// To another moment.
    pub fn reset(&mut self, at: Instant) {
        self.at = at;
        let Some(timer) = &mut self.timer else { return };
        let serves = match self.kind {
            Kind::Far => timer.deadline() <= at,
            Kind::Near => timer.deadline() == at,
        };
        if !serves {
            timer.as_mut().reset(at);
        }
    }
}

/// What becomes of `guarded`; `None` when that comes later than the alarm, which is not set for what is there already.
pub async fn before<T>(
    alarm: impl Fn() -> Alarm,
    mut guarded: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let mut set = None;
    poll_fn(|cx| match guarded.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        // Whatever has used up what the scheduler grants in a turn, the time is looked at.
        Poll::Pending => {
            let alarm = set.get_or_insert_with(&alarm);
            pin!(unconstrained(alarm)).poll(cx).map(|()| None)
        }
    })
    .await
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        let Some(timer) = &mut self.timer else { return Poll::Ready(()) };
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let Some(timer) = self.timer.take() else { return };
        // A thread that ends has no use for it.
        let _ended = KEPT.try_with(|kept| {
            if let Some(kept) = &mut *kept.borrow_mut()
                && let kept = &mut kept[self.kind as usize]
                && kept.len() < MOST_KEPT
            {
                kept.push(timer);
            }
        });
    }
}

impl hyper::rt::Sleep for Alarm {}

/// The clock of a worker's connections.
#[derive(Clone, Copy, Debug)]
pub struct Alarms;

impl hyper::rt::Timer for Alarms {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Alarm::at(Instant::now() + duration))
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Alarm::at(deadline.into()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_was_set_for_another_serves_again_and_is_neither_early_nor_late() {
        let _kept = keep();
        for (first, second) in [(HOUR, HOUR / 2), (HOUR, HOUR * 2), (HOUR, HOUR)] {
            let began = Instant::now();
            let mut unneeded = Alarm::at(began + first);
            assert!(futures::poll!(&mut unneeded).is_pending());
            drop(unneeded);
            advance(HOUR / 4).await;
            let at = Instant::now() + second;
            Alarm::at(at).await;
            assert_eq!(Instant::now(), at);
            assert_eq!(KEPT.with_borrow(|kept| kept.as_ref().map(|kept| kept[0].len())), Some(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_near_wakes_nobody_before_its_moment() {
        let _kept = keep();
        let looks = std::cell::Cell::new(0);
        for _ in 0..3 {
            let at = Instant::now() + HOUR;
            let slow = std::pin::pin!(poll_fn(|_| {
                looks.set(looks.get() + 1);
                Poll::<()>::Pending
            }));
            let guarded = std::pin::pin!(before(|| Alarm::soon(at), slow));
            assert!(tokio::time::timeout(HOUR / 4, guarded).await.is_err());
        }
        let at = Instant::now() + HOUR;
        looks.set(0);
        let slow = std::pin::pin!(poll_fn(|_| {
            looks.set(looks.get() + 1);
            Poll::<()>::Pending
        }));
        assert_eq!(before(|| Alarm::soon(at), slow).await, None);
        assert_eq!((Instant::now(), looks.get()), (at, 2));
        assert_eq!(KEPT.with_borrow(|kept| kept.as_ref().map(|kept| kept[1].len())), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_set_anew_to_an_earlier_moment_and_to_a_later_one() {
        let began = Instant::now();
        let mut alarm = Alarm::at(began + HOUR);
        assert!(futures::poll!(&mut alarm).is_pending());
        alarm.reset(began + HOUR / 2);
        (&mut alarm).await;
        assert_eq!(began.elapsed(), HOUR / 2);
        alarm.reset(began + HOUR);
        alarm.await;
        assert_eq!(began.elapsed(), HOUR);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_before_is_done() {
        let at = Instant::now() + HOUR;
        let quick = std::pin::pin!(async { sleep(HOUR / 2).await });
        assert_eq!(before(|| Alarm::at(at), quick).await, Some(()));
        let slow = std::pin::pin!(sleep(HOUR));
        assert_eq!(before(|| Alarm::at(at), slow).await, None);
        assert_eq!(Instant::now(), at);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_needs_no_timer_and_is_not_late() {
        let _kept = keep();
        let kept = || KEPT.with_borrow(|kept| kept.as_ref().map(|kept| kept[0].len()));
        let past = Instant::now();
        advance(HOUR).await;
        for at in [past, past + 2 * HOUR] {
            assert_eq!(before(|| Alarm::at(at), std::pin::pin!(async { 1 })).await, Some(1));
        }
        assert_eq!(kept(), Some(0));
        assert_eq!(before(|| Alarm::at(past), std::pin::pin!(std::future::pending::<()>())).await, None);
        assert_eq!(kept(), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn timers_are_kept_only_while_a_worker_runs() {
        drop(Alarm::at(Instant::now() + HOUR));
        assert!(KEPT.with_borrow(Option::is_none));
        let kept = keep();
        let many: Vec<_> = (0..2 * MOST_KEPT).map(|_| Alarm::at(Instant::now() + HOUR)).collect();
        drop(many);
        assert_eq!(KEPT.with_borrow(|kept| kept.as_ref().map(|kept| kept[0].len())), Some(MOST_KEPT));
        drop(kept);
        assert!(KEPT.with_borrow(Option::is_none));
    }
}
