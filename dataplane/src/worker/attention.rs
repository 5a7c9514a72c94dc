//! A call is looked at only when something has happened to it. Its connection is polled for other reasons too, and once at
//! least during each call: it has yet to listen whether the client hangs up. To go down through all stages to where the call
//! waits, and back, would be for nothing.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Release},
        },
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;

/// What a call has of its connection.
pub struct Attention {
    wakes: Arc<Wakes>,
    /// The same, as the call wants it.
    waker: Waker,
}

struct Wakes {
    /// Something has happened since the call was polled.
    woken: AtomicBool,
    connection: AtomicWaker,
}

impl Attention {
    /// For a call that has not been polled yet.
    pub fn new() -> Self {
        let wakes = Arc::new(Wakes { woken: AtomicBool::new(true), connection: AtomicWaker::new() });
        let waker = wakes.clone().into();
        Self { wakes, waker }
    }

    /// Polls the call, where there is a reason.
    pub fn poll<F: Future>(&self, cx: &Context<'_>, call: Pin<&mut F>) -> Poll<F::Output> {
        // Before the look: who wakes after it is to find the connection that polls now.
        self.wakes.connection.register(cx.waker());
        if !self.wakes.woken.swap(false, AcqRel) {
            return Poll::Pending;
        }
        call.poll(&mut Context::from_waker(&self.waker))
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Release);
        self.connection.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        future::poll_fn,
        pin::pin,
        sync::atomic::{AtomicU32, Ordering::Acquire},
    };

    use super::*;

    /// A waker that counts.
    #[derive(Default)]
    struct Counting(AtomicU32);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, AcqRel);
        }
    }

    #[test]
    fn a_call_is_polled_once_and_then_when_it_is_woken() {
        let (polls, kept) = (Cell::new(0), Cell::new(None));
        let mut call = pin!(poll_fn(|cx| {
            polls.set(polls.get() + 1);
            kept.set(Some(cx.waker().clone()));
            if polls.get() < 4 { Poll::Pending } else { Poll::Ready(()) }
        }));
        let attention = Attention::new();
        let [first, second] = [(); 2].map(|()| Arc::new(Counting::default()));
        let mut poll = |connection: &Arc<Counting>| {
            attention.poll(&Context::from_waker(&connection.clone().into()), call.as_mut())
        };
        let wake = || kept.take().into_iter().for_each(Waker::wake);
        for _ in 0..3 {
            assert!(poll(&first).is_pending());
        }
        assert_eq!(polls.get(), 1);
        wake();
        assert_eq!(first.0.load(Acquire), 1);
        // The connection may be in other hands by then.
        assert!(poll(&second).is_pending() && poll(&second).is_pending());
        assert_eq!(polls.get(), 2);
        wake();
        assert_eq!((first.0.load(Acquire), second.0.load(Acquire)), (1, 1));
        assert!(poll(&second).is_pending());
        wake();
        assert!(poll(&second).is_ready());
        assert_eq!(polls.get(), 4);
    }
}
