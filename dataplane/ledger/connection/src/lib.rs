//! The ledger of budgets, as a proxy and the operator reach it: in Redis, or in a folder of one process.
//!
//! ```text
//!  Connection ─► remote ─► node ─► source ─► dial        one server, the master that sentinels name,
//!     │             └────► cluster ─► node …             or each member of a cluster
//!     └────────► embedded ─► store                       in memory, and on disk before a grant is answered
//! ```
//!
//! # What Redis must allow
//! Redis 6 or later. A user of its own needs these rights, and no others, which [`RIGHTS`] has:
//!
//! ```text
//! ACL SETUSER llm on >PASSWORD ~llm:* &llm:*:recall +evalsha +eval +info +psubscribe +publish +time +del +pexpire +pttl +hset +hget +hmget +hgetall +hdel +hincrby +zadd +zrem +zcard +zscore +zrevrange +zrangebyscore
//! ```
//!
//! In a cluster it needs `+cluster|slots +asking` besides, and a user of a sentinel `+sentinel|get-master-addr-by-name`.
//! Without `+psubscribe`, `+publish` and the channel all works, but idle money comes back to calls that wait for it when
//! its time has come, and not at once.
//!
//! # How it is reached
//! A connection is made in the background and made again when it is lost, with a pause that grows. An operation ends
//! within its timeout whatever the server does, and is never sent twice: each statement is all that a holder has, so
//! that the next one mends what became of the last.

mod unanswered;
mod operations;
mod endpoint;
mod dial;
mod source;
mod node;
mod cluster;
mod remote;
mod settings;
mod verbs;
mod embedded;
mod books;
mod store;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use llm_config::budget::Redis;
use llm_ledger::{
    Amount, Epoch, Millis,
    account::{Answer, Beginning, Checkpoint, Statement, Totals},
    accounts::Spenders,
    lease,
    place::Place,
};
use tokio::sync::broadcast;

pub use operations::Operations;
pub use unanswered::{Kind, RIGHTS, Unanswered};

use books::Books;
use embedded::Embedded;
use node::Deadline;
use operations::{Counters, Verb};
use remote::Remote;

/// Recalls that a slow listener may leave unread: a lost one costs the time until the next.
const UNREAD: usize = 1_024;

/// The ledger. Clones share one connection.
#[derive(Clone)]
pub struct Connection {
    ledger: Arc<Ledger>,
    timeout: Duration,
    recalls: broadcast::Sender<Arc<str>>,
    counters: Arc<Counters>,
}

enum Ledger {
    Redis(Remote),
    Embedded(Embedded),
}

impl Connection {
    /// A ledger in Redis. It is connected to in the background, on the runtime in which this is called.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn redis(settings: &Redis) -> Result<Self, String> {
        let recalls = broadcast::Sender::new(UNREAD);
        let servers = settings::servers(settings, recalls.clone())?;
        Ok(Self::of(Ledger::Redis(Remote::new(servers)), recalls))
    }

    /// A ledger of this process alone, in a directory where what is granted outlives the process; in memory where there
    /// is none.
    ///
    /// Its accounts are begun as those in Redis are, where one answers [`Answer::Closed`]; who begins one may tell of a
    /// ceiling as high as the limit, for what is on disk is the checkpoint. They stay begun in the next life of the
    /// process. What its earlier lives held and had not given back stays gone.
    ///
    /// # Errors
    /// The directory is another process's, of another version, or cannot be written.
    pub fn embedded(directory: Option<&Path>) -> Result<Self, String> {
        let recalls = broadcast::Sender::new(UNREAD);
        let embedded = Embedded::start(Books::open(directory, recalls.clone())?)?;
        Ok(Self::of(Ledger::Embedded(embedded), recalls))
    }

    fn of(ledger: Ledger, recalls: broadcast::Sender<Arc<str>>) -> Self {
        let timeout = Duration::from_millis(lease::TIMEOUT);
        Self { ledger: Arc::new(ledger), timeout, recalls, counters: Arc::default() }
    }

    /// The same connection for who can wait longer, or not as long.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// The same connection in the place of another: what was asked of both is counted together.
    #[must_use]
    pub fn instead_of(self, other: &Self) -> Self {
        Self { counters: other.counters.clone(), ..self }
    }

    /// Tells what a holder has, and asks for more.
    ///
    /// # Errors
    /// Without an answer, as below.
    pub async fn state(&self, place: &Place, statement: &Statement) -> Result<Answer, Unanswered> {
        let deadline = Deadline::within(self.timeout);
        let answer = match &*self.ledger {
            Ledger::Redis(remote) => remote.state(place, statement, deadline).await,
            Ledger::Embedded(embedded) => embedded.state(place, statement, deadline).await,
        };
        self.counters.count(Verb::State, answer)
    }

    /// The same for many, at the cost of one: answers are in the order of the statements.
    pub async fn states(&self, statements: &[(Place, Statement)]) -> Vec<Result<Answer, Unanswered>> {
        let deadline = Deadline::within(self.timeout);
        let answers = match &*self.ledger {
            Ledger::Redis(remote) => remote.states(statements, deadline).await,
            Ledger::Embedded(embedded) => embedded.states(statements, deadline).await,
        };
        answers.into_iter().map(|answer| self.counters.count(Verb::State, answer)).collect()
    }

    /// Says by which epoch an account will be begun. Gives when it was opened, where it may be.
    ///
    /// # Errors
    /// Without an answer.
    pub async fn open(
        &self,
        root: &Place,
        epoch: Epoch,
        kept: Duration,
    ) -> Result<Option<Millis>, Unanswered> {
        let deadline = Deadline::within(self.timeout);
        let opened = match &*self.ledger {
            Ledger::Redis(remote) => remote.open(root, epoch, millis(kept), deadline).await,
            Ledger::Embedded(embedded) => embedded.open(root, epoch, millis(kept), deadline).await,
        };
        self.counters.count(Verb::Open, opened)
    }

    /// Begins an account that is open; whether it did.
    ///
    /// # Errors
    /// Without an answer.
    pub async fn begin(
        &self,
        place: &Place,
        beginning: &Beginning,
        kept: Duration,
    ) -> Result<bool, Unanswered> {
        let deadline = Deadline::within(self.timeout);
        let begun = match &*self.ledger {
            Ledger::Redis(remote) => remote.begin(place, beginning, millis(kept), deadline).await,
            Ledger::Embedded(embedded) => embedded.begin(place, beginning, millis(kept), deadline).await,
        };
        self.counters.count(Verb::Begin, begun)
    }

    /// Tells of a checkpoint. Gives the ceiling that holds now; nothing where the checkpoint came late.
    ///
    /// # Errors
    /// Without an answer.
    pub async fn secure(&self, place: &Place, checkpoint: &Checkpoint) -> Result<Option<Amount>, Unanswered> {
        let deadline = Deadline::within(self.timeout);
        let secured = match &*self.ledger {
            Ledger::Redis(remote) => remote.secure(place, checkpoint, deadline).await,
            Ledger::Embedded(embedded) => embedded.secure(place, checkpoint, deadline).await,
        };
        self.counters.count(Verb::Secure, secured)
    }

    /// How accounts stand, in the order of the places; nothing of one that has not been begun.
    pub async fn totals(&self, places: &[Place]) -> Vec<Result<Option<Totals>, Unanswered>> {
        let deadline = Deadline::within(self.timeout);
        let totals = match &*self.ledger {
            Ledger::Redis(remote) => remote.totals(places, deadline).await,
            Ledger::Embedded(embedded) => embedded.totals(places, deadline).await,
        };
        totals.into_iter().map(|totals| self.counters.count(Verb::Totals, totals)).collect()
    }

    /// The values of a root: so many of them at most.
    ///
    /// # Errors
    /// Without an answer.
    pub async fn values(&self, root: &Place, most: usize) -> Result<Spenders, Unanswered> {
        let deadline = Deadline::within(self.timeout);
        let values = match &*self.ledger {
            Ledger::Redis(remote) => remote.values(root, most, deadline).await,
            Ledger::Embedded(embedded) => embedded.values(root, most, deadline).await,
        };
        self.counters.count(Verb::Values, values)
    }

    /// The keys of places whose idle money others wait for, as they are told from now on. Some may be lost, and some told
    /// more than once.
    #[must_use]
    pub fn recalls(&self) -> broadcast::Receiver<Arc<str>> {
        self.recalls.subscribe()
    }

    /// Before the process ends: what was reported and given back is on disk, where that is the ledger's place.
    ///
    /// # Errors
    /// It is not, yet or at all. What was given back then stays gone.
    pub async fn flush(&self) -> Result<(), Unanswered> {
        match &*self.ledger {
            Ledger::Redis(_) => Ok(()),
            Ledger::Embedded(embedded) => embedded.flush(Deadline::within(self.timeout)).await,
        }
    }

    #[must_use]
    pub fn operations(&self) -> Operations {
        self.counters.read()
    }

    /// Whether the ledger is connected, and its last answer came.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        match &*self.ledger {
            Ledger::Redis(remote) => remote.is_reachable(),
            Ledger::Embedded(embedded) => embedded.is_reachable(),
        }
    }
}

fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
