//! A connection of HTTP/1 that the call which uses it drives itself. As a task of its own it would cost
//! each call several turns of the scheduler, and the wake-ups from one to the other.

use std::{
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use futures::task::AtomicWaker;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper::{
    body::{Frame, Incoming, SizeHint},
    client::conn::http1::{Connection, SendRequest, handshake},
};
use tokio::task::unconstrained;

use super::client::Io;

/// How often a connection that wakes itself is polled in one go. One that does so without end has used
/// up what the scheduler grants a task in one turn.
const ROUNDS: usize = 4;

/// A connection, and where calls are handed to it.
pub struct Driven {
    connection: Connection<Io, Full<Bytes>>,
    sender: SendRequest<Full<Bytes>>,
    wakes: Arc<Wakes>,
    /// The same, as the connection wants it.
    waker: Waker,
    /// It is closed, and must not be polled any more.
    ended: bool,
}

/// Why there is no response.
#[derive(Debug)]
pub struct Unsent {
    /// Where nothing of it has been sent: the connection was closed while nobody used it.
    pub request: Option<Request<Full<Bytes>>>,
}

impl Driven {
    /// # Errors
    /// When there is no connection any more.
    pub async fn new(io: Io) -> hyper::Result<Self> {
        let (sender, connection) = handshake(io).await?;
        let wakes = Arc::new(Wakes::default());
        let waker = wakes.clone().into();
        Ok(Self { connection, sender, wakes, waker, ended: false })
    }

    /// Sends a request, and waits for the head of its response.
    ///
    /// # Errors
    /// When the connection ends before that.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Unsent> {
        self.wakes.hold();
        // Out of the scheduler's budget, it would wait to be woken by what never wakes it.
        let mut response = pin!(unconstrained(self.sender.try_send_request(request)));
        let sent = poll_fn(|cx| self.poll(cx, |_| response.as_mut().poll(&mut unwoken())));
        sent.await.map_err(|mut error| Unsent { request: error.take_message() })
    }

    /// Drives the connection until it has brought what is waited for.
    fn poll<T>(&mut self, cx: &Context<'_>, mut came: impl FnMut(&Wakes) -> Poll<T>) -> Poll<T> {
        self.wakes.task.register(cx.waker());
        if self.wakes.waited_for() {
            // The task was woken by something else.
            return Poll::Pending;
        }
        for _ in 0..ROUNDS {
            self.turn();
            if let Poll::Ready(came) = came(&self.wakes) {
                return Poll::Ready(came);
            }
            if self.wakes.wait() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One turn of the connection.
    fn turn(&mut self) {
        self.wakes.hold();
        if !self.ended {
            let mut cx = Context::from_waker(&self.waker);
            // Why it ended is told to the call, if there is one.
            self.ended = Pin::new(&mut self.connection).poll(&mut cx).is_ready();
        }
    }

    /// Whether it can take another call. Costs nothing where nothing has happened since it was driven.
    pub fn is_free(&mut self) -> bool {
        for _ in 0..ROUNDS {
            if !self.wakes.woken() {
                break;
            }
            self.turn();
        }
        !self.ended && self.sender.is_ready()
    }

    /// Nobody uses it: what happens to it is for `keeper`.
    pub fn rest(&self, keeper: Option<&Waker>) {
        match keeper {
            Some(keeper) => self.wakes.task.register(keeper),
            None => drop(self.wakes.task.take()),
        }
        self.wakes.wait();
    }
}

/// The body of a response, which drives the connection that it comes by.
pub struct DrivenBody {
    body: Incoming,
    driven: Box<Driven>,
}

impl DrivenBody {
    pub fn new(body: Incoming, driven: Box<Driven>) -> Self {
        Self { body, driven }
    }

    /// The connection, when it is free for another call.
    pub fn into_free(self) -> Option<Box<Driven>> {
        let Self { body, mut driven } = self;
        let read = body.is_end_stream();
        drop(body);
        if !read {
            // Of one that is here already nobody need have read the rest.
            driven.turn();
        }
        driven.is_free().then_some(driven)
    }

    pub fn poll_frame(&mut self, cx: &Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Self { body, driven } = self;
        let mut frame = |wakes: &Wakes| wakes.unmoved(|| Pin::new(&mut *body).poll_frame(&mut unwoken()));
        match frame(&driven.wakes) {
            Poll::Pending => driven.poll(cx, frame),
            ready => ready,
        }
    }

    pub fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// For what only the connection brings: it is looked for whenever that has been driven.
fn unwoken() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// The wake-ups of a connection. Those that it causes itself while it is driven wake nobody.
#[derive(Debug, Default)]
struct Wakes {
    state: AtomicU8,
    /// Who waits for it: a call, or the keeper of those that nobody uses.
    task: AtomicWaker,
}

/// It is driven now, or its user will drive it before it waits.
const HELD: u8 = 0;
/// The task is to be woken.
const WAITED_FOR: u8 = 1;
/// Something has happened since it was driven.
const WOKEN: u8 = 2;

impl Wakes {
    fn hold(&self) {
        self.state.store(HELD, Ordering::Release);
    }

    /// From here on the task is woken; false where there is something to do already.
    fn wait(&self) -> bool {
        self.state.compare_exchange(HELD, WAITED_FOR, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn waited_for(&self) -> bool {
        self.state.load(Ordering::Acquire) == WAITED_FOR
    }

    fn woken(&self) -> bool {
        self.state.load(Ordering::Acquire) == WOKEN
    }

    /// Takes from the connection what it has brought. That it may bring more now is no event: the taker
    /// asks for it, or is done.
    fn unmoved<T>(&self, take: impl FnOnce() -> Poll<T>) -> Poll<T> {
        let before = self.state.load(Ordering::Acquire);
        self.hold();
        let taken = take();
        match before {
            WOKEN => self.state.store(WOKEN, Ordering::Release),
            WAITED_FOR if taken.is_pending() => _ = self.wait(),
            _ if taken.is_pending() => {}
            _ => self.hold(),
        }
        taken
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, Ordering::AcqRel) == WAITED_FOR {
            self.task.wake();
        }
    }
}
