//! One connection's part of a burst: what is held of what was written, and who writes it out.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker, ready},
};

use tokio::{io::AsyncWrite as _, net::tcp::OwnedWriteHalf, runtime::Handle};

use super::spare;

#[derive(Debug)]
pub struct Outgoing {
    pub socket: OwnedWriteHalf,
    /// Taken from the writer, and not yet written.
    pub held: Vec<u8>,
    pub state: State,
    /// To be told when there is nothing held any more, or why it can't be written.
    writer: Option<Waker>,
    remainder: Option<Waker>,
    /// There is no writer any more.
    is_over: bool,
}

#[derive(Debug)]
pub enum State {
    /// Nothing is held.
    Idle,
    /// The end of the turn is waited for.
    Waiting,
    /// The peer reads too slowly: a [`Remainder`] writes, and nobody else.
    Blocked,
    Failed(io::Error),
}

impl Outgoing {
    pub fn new(socket: OwnedWriteHalf) -> Self {
        let (held, state) = (Vec::new(), State::Idle);
        Self { socket, held, state, writer: None, remainder: None, is_over: false }
    }

    pub fn is_written_by(&mut self, writer: &Waker) {
        if !self.writer.as_ref().is_some_and(|known| known.will_wake(writer)) {
            self.writer = Some(writer.clone());
        }
    }

    /// Waits until nothing is held. Not to be asked while the end of the turn is waited for.
    pub fn poll_empty(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => Poll::Ready(Ok(())),
            State::Failed(error) => Poll::Ready(Err(error)),
            held @ (State::Waiting | State::Blocked) => {
                self.state = held;
                self.is_written_by(cx.waker());
                Poll::Pending
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, &self.held))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => drop(self.held.drain(..written)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The writer is gone, and with it all wish to go on.
    pub fn end(&mut self) {
        self.is_over = true;
        if let Some(remainder) = self.remainder.take() {
            remainder.wake();
        }
    }

    /// All is written, or nothing more can be.
    fn settle(&mut self, state: State) {
        self.state = state;
        self.held.clear();
        spare(std::mem::take(&mut self.held));
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }
}

pub fn lock(outgoing: &Mutex<Outgoing>) -> MutexGuard<'_, Outgoing> {
    outgoing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes what waits for the end of the turn, which is now; the rest of it, should the peer not take all, when it does.
pub fn flush(shared: &Arc<Mutex<Outgoing>>) {
    let mut outgoing = lock(shared);
    if !matches!(outgoing.state, State::Waiting) {
        return;
    }
    match outgoing.socket.try_write(&outgoing.held) {
        Ok(written) if written == outgoing.held.len() => {
            // Its writer has gone on long ago.
            outgoing.writer = None;
            return outgoing.settle(State::Idle);
        }
        Ok(written) => _ = outgoing.held.drain(..written),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return outgoing.settle(State::Failed(error)),
    }
    outgoing.state = State::Blocked;
    // Without a runtime the worker has ended, and its connections with it.
    if let (false, Ok(runtime)) = (outgoing.is_over, Handle::try_current()) {
        runtime.spawn(Remainder(Arc::downgrade(shared)));
    }
}

/// Writes what a slow peer has left in the middle of a burst. Its writer may have no reason to come back: it was told
/// that all is written.
struct Remainder(Weak<Mutex<Outgoing>>);

impl Future for Remainder {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(shared) = self.0.upgrade() else { return Poll::Ready(()) };
        let mut outgoing = lock(&shared);
        if outgoing.is_over {
            return Poll::Ready(());
        }
        outgoing.remainder = Some(cx.waker().clone());
        let written = ready!(outgoing.poll_write(cx));
        outgoing.remainder = None;
        outgoing.settle(written.map_or_else(State::Failed, |()| State::Idle));
        Poll::Ready(())
    }
}
