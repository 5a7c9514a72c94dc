//! The ledger of one process: the accounts in memory, changed by one thread, which has on disk what it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use llm_ledger::{
    Amount, Epoch, Millis,
    account::{Answer, Beginning, Checkpoint, Statement, Totals},
    accounts::Spenders,
    place::Place,
};
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::{Kind, Unanswered, books::Books, node::Deadline};

/// Operations that wait while the disk is busy. Who asked the first of them has stopped waiting long before.
const WAITING: usize = 4_096;
/// So many are on disk by one commit.
const BATCH: usize = 256;

/// Does something with the books, and gives what tells of it once that is kept.
type Order = Box<dyn FnOnce(&mut Books) -> Tell + Send>;
type Tell = Box<dyn FnOnce(Result<(), Unanswered>) + Send>;

pub(crate) struct Embedded {
    /// None once it is dropped.
    orders: Option<SyncSender<Order>>,
    keeper: Option<JoinHandle<()>>,
    name: Arc<str>,
    works: Arc<AtomicBool>,
}

impl Embedded {
    pub(crate) fn start(books: Books) -> Result<Self, String> {
        let (orders, received) = sync_channel(WAITING);
        let (name, works) = (books.name(), books.works());
        let keeper = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || keep(books, &received))
            .map_err(|error| format!("{name}: no thread to keep the ledger: {error}"))?;
        Ok(Self { orders: Some(orders), keeper: Some(keeper), name, works })
    }

    pub(crate) async fn state(
        &self,
        place: &Place,
        statement: &Statement,
        deadline: Deadline,
    ) -> Result<Answer, Unanswered> {
        let (place, statement) = (place.clone(), *statement);
        self.order(deadline, move |books| books.state(&place, &statement)).await
    }

    pub(crate) async fn states(
        &self,
        statements: &[(Place, Statement)],
        deadline: Deadline,
    ) -> Vec<Result<Answer, Unanswered>> {
        let (count, statements) = (statements.len(), statements.to_vec());
        let stated = move |books: &mut Books| {
            statements.iter().map(|(place, statement)| books.state(place, statement)).collect::<Vec<_>>()
        };
        each(self.order(deadline, stated).await, count)
    }

    pub(crate) async fn open(
        &self,
        root: &Place,
        epoch: Epoch,
        kept: Millis,
        deadline: Deadline,
    ) -> Result<Option<Millis>, Unanswered> {
        let root = root.clone();
        self.order(deadline, move |books| books.open_root(&root, epoch, kept)).await
    }

    pub(crate) async fn begin(
        &self,
        place: &Place,
        beginning: &Beginning,
        kept: Millis,
        deadline: Deadline,
    ) -> Result<bool, Unanswered> {
        let (place, beginning) = (place.clone(), *beginning);
        self.order(deadline, move |books| books.begin(&place, &beginning, kept)).await
    }

    pub(crate) async fn secure(
        &self,
        place: &Place,
        checkpoint: &Checkpoint,
        deadline: Deadline,
    ) -> Result<Option<Amount>, Unanswered> {
        let (place, checkpoint) = (place.clone(), *checkpoint);
        self.order(deadline, move |books| books.secure(&place, &checkpoint)).await
    }

    pub(crate) async fn totals(
        &self,
        places: &[Place],
        deadline: Deadline,
    ) -> Vec<Result<Option<Totals>, Unanswered>> {
        let (count, places) = (places.len(), places.to_vec());
        let totals =
            move |books: &mut Books| places.iter().map(|place| books.totals(place)).collect::<Vec<_>>();
        each(self.order(deadline, totals).await, count)
    }

    pub(crate) async fn values(
        &self,
        root: &Place,
        most: usize,
        deadline: Deadline,
    ) -> Result<Spenders, Unanswered> {
        let root = root.clone();
        self.order(deadline, move |books| books.values(&root, most)).await
    }

    /// All that was answered is on disk when this returns.
    pub(crate) async fn flush(&self, deadline: Deadline) -> Result<(), Unanswered> {
        self.order(deadline, Books::hurry).await
    }

    pub(crate) fn is_reachable(&self) -> bool {
        self.works.load(Relaxed)
    }

    async fn order<T: Send + 'static>(
        &self,
        deadline: Deadline,
        done: impl FnOnce(&mut Books) -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let (teller, told) = oneshot::channel();
        let order = move |books: &mut Books| {
            let answer = done(books);
            let tell = |kept: Result<(), Unanswered>| {
                // Nobody waits for it any more, perhaps.
                let _heard = teller.send(kept.map(|()| answer));
            };
            Box::new(tell) as Tell
        };
        if self.orders.as_ref().is_none_or(|orders| orders.try_send(Box::new(order)).is_err()) {
            let what = format!("has {WAITING} operations waiting for its disk");
            return Err(Unanswered::did(Kind::Timeout, &self.name, &what));
        }
        match timeout_at(deadline.until, told).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_ended)) => Err(Unanswered::did(Kind::Disconnected, &self.name, "is kept no more")),
            Err(_elapsed) => Err(deadline.passed(&self.name)),
        }
    }
}

/// The last who holds the ledger waits until it is on disk, and the directory is free.
impl Drop for Embedded {
    fn drop(&mut self) {
        self.orders = None;
        let _ended = self.keeper.take().map(JoinHandle::join);
    }
}

/// One fate for all, or each its own.
fn each<T>(answers: Result<Vec<T>, Unanswered>, count: usize) -> Vec<Result<T, Unanswered>> {
    match answers {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(why) => (0..count).map(|_| Err(why.clone())).collect(),
    }
}

/// Until nobody holds the ledger any more.
fn keep(mut books: Books, orders: &Receiver<Order>) {
    loop {
        let first = match books.waits() {
            Some(left) => orders.recv_timeout(left),
            None => orders.recv().map_err(RecvTimeoutError::from),
        };
        let ended = matches!(first, Err(RecvTimeoutError::Disconnected));
        books.prepare();
        let batch = first.ok().into_iter().chain(orders.try_iter().take(BATCH));
        let told: Vec<Tell> = batch.map(|order| order(&mut books)).collect();
        let kept = books.keep(ended);
        for tell in told {
            tell(kept.clone());
        }
        if ended {
            return;
        }
    }
}
