//! One turn of the scheduler: over when every task that was ready has run. A task that is polled
//! again sooner, by a wake-up of its own or twice in one go, is not fooled by it.

use std::{
    future::Future as _,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;

/// The turn that a task waits out, one after the other.
#[derive(Debug, Default)]
pub struct Turn {
    over: Arc<Over>,
    begun: bool,
}

#[derive(Debug, Default)]
struct Over {
    over: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Over {
    fn wake(self: Arc<Self>) {
        self.over.store(true, Relaxed);
        self.task.wake();
    }
}

impl Turn {
    /// Ready once the turn in which this was first called is over; the next call begins another.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.over.task.register(cx.waker());
        if !self.begun {
            self.begun = true;
            self.over.over.store(false, Relaxed);
            let waker = Waker::from(self.over.clone());
            // The runtime wakes what has yielded when the turn is over; it need not be polled again.
            let yielded = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
            debug_assert!(yielded.is_pending());
        } else if self.over.over.load(Relaxed) {
            self.begun = false;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
