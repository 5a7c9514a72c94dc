//! One server with a connection that is kept: made in the background, watched, and made anew when it is lost.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use std::time::Duration;

use redis::{Pipeline, Value, aio::MultiplexedConnection};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{
    Kind, Unanswered,
    dial::{STEP, Wire},
    endpoint::Endpoint,
    source::Source,
};

/// A connection that nobody doubts is checked so often: nothing else tells of one that is dead and silent.
const CHECK: Duration = Duration::from_secs(10);
/// Between two checks of one that is doubted.
const PACE: Duration = Duration::from_millis(500);
/// Between two attempts, doubled up to the longest; of many processes each waits for its own while.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// One that lived as long was well: the next attempt is made at once.
const STEADY: Duration = Duration::from_secs(2);

/// Until when an operation may take.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    pub until: Instant,
    timeout: Duration,
}

impl Deadline {
    pub(crate) fn within(timeout: Duration) -> Self {
        Self { until: Instant::now() + timeout, timeout }
    }

    pub(crate) fn passed(self, endpoint: &str) -> Unanswered {
        let what = format!("did not answer within {} ms", self.timeout.as_millis());
        Unanswered::did(Kind::Timeout, endpoint, &what)
    }
}

#[derive(Clone)]
enum State {
    /// For the first time, or since one that was steady broke: that takes milliseconds, mostly.
    Connecting(Arc<str>),
    Up(Arc<str>, MultiplexedConnection),
    Down(Unanswered),
}

pub(crate) struct Node {
    state: watch::Receiver<State>,
    doubt: Arc<Notify>,
    /// The last operation got its answer.
    answers: Arc<AtomicBool>,
    fields: &'static str,
    _keeper: JoinSet<()>,
}

impl Node {
    pub(crate) fn keep(runtime: &Handle, source: Source) -> Self {
        let (sender, state) = watch::channel(State::Connecting(source.name()));
        let doubt = Arc::new(Notify::new());
        let fields = source.login.fields;
        let answers = Arc::new(AtomicBool::new(true));
        let mut keeper = JoinSet::new();
        keeper.spawn_on(keep(source, sender, doubt.clone(), answers.clone()), runtime);
        Self { state, doubt, answers, fields, _keeper: keeper }
    }

    pub(crate) fn is_reachable(&self) -> bool {
        self.answers.load(Relaxed) && matches!(*self.state.borrow(), State::Up(..))
    }

    /// Its connection is looked at soon.
    pub(crate) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Sends operations at once; each answer is the server's value or its error.
    pub(crate) async fn send(
        &self,
        operations: &Pipeline,
        deadline: Deadline,
    ) -> Result<Vec<Value>, Unanswered> {
        let (name, mut connection) = self.connection(deadline).await?;
        let answers = connection.send_packed_commands(operations, 0, operations.len());
        let answers = timeout_at(deadline.until, answers).await;
        self.answers.store(answers.is_ok(), Relaxed);
        let Ok(answers) = answers else {
            self.doubt();
            return Err(deadline.passed(&name));
        };
        answers.map_err(|error| Unanswered::from_redis(&name, &error, self.fields))
    }

    /// The server's own error, to one operation.
    pub(crate) fn refused(&self, error: &redis::ServerError) -> Unanswered {
        let name = self.name();
        Unanswered::refused(&name, error.code(), error.details().unwrap_or_default(), self.fields)
    }

    pub(crate) fn name(&self) -> Arc<str> {
        match &*self.state.borrow() {
            State::Connecting(name) | State::Up(name, _) => name.clone(),
            State::Down(why) => why.endpoint().clone(),
        }
    }

    async fn connection(&self, deadline: Deadline) -> Result<(Arc<str>, MultiplexedConnection), Unanswered> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| !matches!(state, State::Connecting(_)));
        match timeout_at(deadline.until, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Up(name, connection) => return Ok((name.clone(), connection.clone())),
                State::Down(why) => return Err(why.clone()),
                State::Connecting(_) => {}
            },
            Ok(Err(_ended)) => {
                return Err(Unanswered::did(
                    Kind::Disconnected,
                    &self.name(),
                    "is not connected: the process ends",
                ));
            }
            Err(_elapsed) => {}
        }
        Err(deadline.passed(&self.name()))
    }
}

async fn keep(source: Source, state: watch::Sender<State>, doubt: Arc<Notify>, answers: Arc<AtomicBool>) {
    let mut failures = 0;
    loop {
        let why = match source.reach().await {
            Ok((endpoint, wire)) => {
                let name: Arc<str> = endpoint.to_string().into();
                tracing::info!("the ledger is connected: {name}");
                answers.store(true, Relaxed);
                state.send_replace(State::Up(name.clone(), wire.connection.clone()));
                let since = Instant::now();
                let why = lost(&source, &endpoint, wire, &doubt, &answers).await;
                tracing::warn!("the ledger is connected no more: {why}");
                if since.elapsed() >= STEADY {
                    failures = 0;
                    state.send_replace(State::Connecting(name));
                    continue;
                }
                why
            }
            Err(why) => why,
        };
        told(&state, &why);
        state.send_replace(State::Down(why));
        let pause = (SHORTEST_PAUSE * (1 << failures.min(10))).min(LONGEST_PAUSE);
        failures += 1;
        sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
    }
}

/// An attempt failed: that is said when it is news, for attempts are many.
fn told(state: &watch::Sender<State>, why: &Unanswered) {
    if !matches!(&*state.borrow(), State::Down(before) if before == why) {
        tracing::warn!("the ledger cannot be connected: {why}");
    }
}

/// Why the connection is of no use any more.
async fn lost(
    source: &Source,
    endpoint: &Endpoint,
    mut wire: Wire,
    doubt: &Notify,
    answers: &AtomicBool,
) -> Unanswered {
    let name = endpoint.to_string();
    let checks = async {
        loop {
            let _doubted_or_not = timeout(CHECK, doubt.notified()).await;
            match timeout(STEP, source.check(endpoint, &mut wire.connection)).await {
                Ok(Ok(Ok(()))) => answers.store(true, Relaxed),
                Ok(Ok(Err(why))) => return why,
                Ok(Err(error)) => return Unanswered::from_redis(&name, &error, source.login.fields),
                Err(_elapsed) => {
                    let what =
                        format!("did not answer for {} ms, and is connected to anew", STEP.as_millis());
                    return Unanswered::did(Kind::Timeout, &name, &what);
                }
            }
            sleep(PACE).await;
        }
    };
    tokio::select! {
        why = checks => why,
        () = &mut wire.driver => Unanswered::did(Kind::Disconnected, &name, "closed the connection"),
    }
}
