//! What the calls of one turn of a worker write goes out at the end of that turn, together.
//!
//! The first byte for a peer that sleeps wakes it, and on a machine where its processor has gone to
//! sleep too that costs the writer more than all else about a call. Spread over a turn, each write
//! finds the peer, a container of the same pod or whoever else is on this machine, asleep again; in a
//! row, they wake it once. A worker that has one thing to do writes it at once: its turn is over.

mod outgoing;

use std::{
    cell::RefCell,
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, tcp::OwnedReadHalf},
};

use outgoing::{Outgoing, State, lock};

/// Bytes of one connection that wait for the end of a turn, at most: to hold them they are copied.
const MOST_HELD: usize = 8 * 1024;
/// Connections that wait for it, at most. With many calls a turn is long, and who was first in it waits for the last; but
/// each time that something goes out, somebody may have gone to sleep.
const MOST_WAITING: usize = 32;

thread_local! {
    static BURST: RefCell<Burst> = RefCell::default();
}

/// What a worker has to write at the end of its turn.
#[derive(Default)]
struct Burst {
    /// Empty where nobody runs a [`Flusher`]: then all is written at once.
    flusher: Option<Waker>,
    waiting: Vec<Arc<Mutex<Outgoing>>>,
    /// Buffers for what is held.
    spare: Vec<Vec<u8>>,
}

/// The task that writes. It is woken by the first who waits, and has its turn behind all tasks that had
/// something to do by then.
#[derive(Debug)]
pub struct Flusher;

impl Future for Flusher {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        BURST.with_borrow_mut(|burst| {
            if burst.flusher.is_none() {
                burst.flusher = Some(cx.waker().clone());
            }
        });
        flush();
        Poll::Pending
    }
}

impl Drop for Flusher {
    /// The worker ends.
    fn drop(&mut self) {
        // Nothing is left to write into where the thread has ended first.
        let _ended = BURST.try_with(|burst| burst.borrow_mut().flusher = None);
        flush();
    }
}

fn flush() {
    let waiting = BURST.try_with(|burst| std::mem::take(&mut burst.borrow_mut().waiting));
    let mut waiting = waiting.unwrap_or_default();
    for outgoing in waiting.drain(..) {
        outgoing::flush(&outgoing);
    }
    // The list keeps its room. Nobody was added meanwhile: no call has had a turn.
    let _ended = BURST.try_with(|burst| burst.borrow_mut().waiting = waiting);
}

/// A buffer that is not needed any more.
fn spare(buffer: Vec<u8>) {
    let _ended = BURST.try_with(|burst| {
        let spares = &mut burst.borrow_mut().spare;
        if spares.len() < MOST_WAITING {
            spares.push(buffer);
        }
    });
}

/// A connection whose writes wait for the end of the turn.
#[derive(Debug)]
pub struct BurstStream {
    incoming: OwnedReadHalf,
    outgoing: Arc<Mutex<Outgoing>>,
}

impl BurstStream {
    pub fn new(stream: TcpStream) -> Self {
        let (incoming, socket) = stream.into_split();
        Self { incoming, outgoing: Arc::new(Mutex::new(Outgoing::new(socket))) }
    }

    /// Waits until nothing is held any more.
    fn poll_empty(&self, cx: &Context<'_>) -> Poll<io::Result<MutexGuard<'_, Outgoing>>> {
        outgoing::flush(&self.outgoing);
        let mut outgoing = lock(&self.outgoing);
        ready!(outgoing.poll_empty(cx))?;
        Poll::Ready(Ok(outgoing))
    }

    /// Holds what is to be written, where it may be held.
    fn hold(&self, outgoing: &mut Outgoing, cx: &Context<'_>, bytes: &[IoSlice<'_>], len: usize) -> Held {
        let may_hold = matches!(outgoing.state, State::Idle | State::Waiting);
        if !may_hold || outgoing.held.len() + len > MOST_HELD {
            return Held::No;
        }
        BURST.with_borrow_mut(|burst| {
            let Some(flusher) = &burst.flusher else { return Held::No };
            let mut held = Held::Yes;
            if matches!(outgoing.state, State::Idle) {
                if burst.waiting.is_empty() {
                    flusher.wake_by_ref();
                }
                burst.waiting.push(self.outgoing.clone());
                if burst.waiting.len() >= MOST_WAITING {
                    held = Held::Last;
                }
                outgoing.held = burst.spare.pop().unwrap_or_default();
                outgoing.state = State::Waiting;
            }
            outgoing.is_written_by(cx.waker());
            for bytes in bytes {
                outgoing.held.extend_from_slice(bytes);
            }
            held
        })
    }
}

enum Held {
    No,
    Yes,
    /// No more is to wait than does now.
    Last,
}

impl Drop for BurstStream {
    fn drop(&mut self) {
        lock(&self.outgoing).end();
    }
}

impl AsyncRead for BurstStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().incoming).poll_read(cx, into)
    }
}

impl AsyncWrite for BurstStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bytes.iter().map(|bytes| bytes.len()).sum();
        let held = self.hold(&mut lock(&self.outgoing), cx, bytes, len);
        match held {
            Held::Yes => return Poll::Ready(Ok(len)),
            Held::Last => {
                flush();
                return Poll::Ready(Ok(len));
            }
            Held::No => {}
        }
        let mut outgoing = ready!(self.poll_empty(cx))?;
        Pin::new(&mut outgoing.socket).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What waits for the end of the turn is as good as written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match lock(&self.outgoing).state {
            State::Idle | State::Waiting => return Poll::Ready(Ok(())),
            State::Blocked | State::Failed(_) => {}
        }
        self.poll_empty(cx).map_ok(drop)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outgoing = ready!(self.poll_empty(cx))?;
        Pin::new(&mut outgoing.socket).poll_shutdown(cx)
    }
}

impl Connection for BurstStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
mod tests;
