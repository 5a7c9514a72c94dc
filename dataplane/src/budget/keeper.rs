//! The task that speaks to the ledger: it tells what calls have spent, asks for what they will, and gives back what
//! they do not need. No call ever waits for its turn: who finds its purse empty rings.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use llm_ledger::account::{Answer, Beginning, Statement};
use llm_ledger_connection::Connection;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, MissedTickBehavior},
};

use super::{
    Connected, Purses,
    bell::Bell,
    line::{self, Line},
    unix_now,
};

/// How often it looks whether a purse runs low.
const TURN: Duration = Duration::from_millis(50);
/// How long, at the end, what is held is given back.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often, in turns, it looks for lines that nobody needs any more.
const SWEEP: u32 = 20;
/// Milliseconds after the end of a window in which a call may still look at it.
const GRACE: i64 = 10_000;
/// A value that nobody has used for so long: another life of its line costs the ledger another entry.
const UNUSED: Duration = Duration::from_secs(15 * 60);
/// How long a ledger within this process keeps an account behind its window.
const KEPT: Duration = Duration::from_secs(24 * 3_600);
/// Until it is tried again, where it can't be written.
const AGAIN: Duration = Duration::from_secs(1);
/// Of one that has no end.
const FOREVER: Duration = Duration::from_secs(100 * 366 * 24 * 3_600);

/// Runs for as long as the proxy does.
pub async fn run(purses: Arc<Purses>) {
    let mut recalls: Option<(Arc<Connected>, Receiver<Arc<str>>)> = None;
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = 0_u32;
    loop {
        let rung = tokio::select! {
            rung = purses.bell.lines() => rung,
            _turn = turns.tick() => {
                turn = turn.wrapping_add(1);
                if turn.is_multiple_of(SWEEP) {
                    forget(&purses);
                }
                lines(&purses)
            }
            wanted = wanted(&mut recalls) => recalled(&purses, wanted.as_deref()),
        };
        let connected = purses.connection.load_full();
        let known = recalls.as_ref().map(|(connected, _)| connected);
        if connected.as_ref().map(Arc::as_ptr) != known.map(Arc::as_ptr) {
            recalls = connected.clone().map(|connected| {
                let recalls = connected.connection.recalls();
                (connected, recalls)
            });
        }
        if let Some(connected) = &connected {
            look(rung, connected, &purses.bell);
        }
    }
}

/// At the end, with no call in flight: gives back all that is held, and tells what was spent. A ledger that does not
/// answer has heard of most of it, and the rest stays gone.
pub async fn finish(purses: &Purses) {
    let Some(connected) = purses.connection.load_full() else { return };
    let until = Instant::now() + FAREWELL;
    while Instant::now() < until {
        let mut open = lines(purses);
        open.retain(|line| !line.is_settled() && !line.is_lost(unix_now()));
        if open.is_empty() {
            return;
        }
        let due = open.into_iter().filter_map(|line| {
            let statement = {
                let mut lease = line.lease();
                lease.recall();
                lease.due(line::now())
            };
            statement.map(|statement| (line, statement))
        });
        let due: Vec<_> = due.collect();
        if due.is_empty() {
            // One is under way, or the ledger is not to be asked before long.
            tokio::time::sleep(TURN / 5).await;
        }
        say(due, connected.connection.clone(), purses.bell.clone()).await;
    }
}

/// The key of a place whose idle money others want; `None` where some were missed.
async fn wanted(recalls: &mut Option<(Arc<Connected>, Receiver<Arc<str>>)>) -> Option<Arc<str>> {
    let Some((_, recalls)) = recalls else { return std::future::pending().await };
    match recalls.recv().await {
        Ok(key) => Some(key),
        Err(RecvError::Lagged(_)) => None,
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

/// The lines that give back what they do not use.
fn recalled(purses: &Purses, wanted: Option<&str>) -> Vec<Arc<Line>> {
    let mut lines = lines(purses);
    lines.retain(|line| wanted.is_none_or(|wanted| *line.key == *wanted));
    lines.iter().for_each(|line| line.lease().recall());
    lines
}

fn lines(purses: &Purses) -> Vec<Arc<Line>> {
    purses.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Says what is due of these, all of it in one go, and waits for no answer.
fn look(lines: Vec<Arc<Line>>, connected: &Connected, bell: &Arc<Bell>) {
    let (connection, embedded) = (&connected.connection, connected.settings.is_none());
    let (now, unix_now) = (line::now(), unix_now());
    let mut due = Vec::new();
    for line in lines.into_iter().filter(|line| !line.is_lost(unix_now)) {
        if embedded && !agrees(&line) {
            if !line.agreeing.swap(true, Relaxed) {
                tokio::spawn(begin(line, connection.clone(), bell.clone()));
            }
            continue;
        }
        let looked_at = line.was_looked_at();
        let statement = {
            let mut lease = line.lease();
            if looked_at {
                lease.ask_about();
            }
            lease.due(now)
        };
        if let Some(statement) = statement {
            due.push((line, statement));
        }
    }
    if !due.is_empty() {
        tokio::spawn(say(due, connection.clone(), bell.clone()));
    }
}

async fn say(due: Vec<(Arc<Line>, Statement)>, connection: Connection, bell: Arc<Bell>) {
    let said: Vec<_> = due.iter().map(|(line, statement)| (line.place.clone(), *statement)).collect();
    let answers = connection.states(&said).await;
    for ((line, _), answer) in due.iter().zip(answers) {
        match answer {
            Ok(answer) => {
                line.answered(&answer);
                // All that is held is to be stated again, at once.
                if matches!(answer, Answer::Moved(_)) {
                    bell.ring(line);
                }
            }
            Err(unanswered) => {
                tracing::debug!(place = %line.key, %unanswered, "the ledger has not answered");
            }
        }
    }
}

fn agrees(line: &Line) -> bool {
    let Some(slot) = line.slot.upgrade() else { return true };
    slot.revision() == line.agreed.load(Relaxed)
}

/// Nobody else begins the accounts of a ledger within this process, or tells it what has become of the limit.
async fn begin(line: Arc<Line>, connection: Connection, bell: Arc<Bell>) {
    let Some(slot) = line.slot.upgrade() else { return };
    let (beginning, checkpoint) = slot.beginning();
    let root = line.place.root();
    let kept = line.ends_in(unix_now()).map_or(FOREVER, |left| left.saturating_add(KEPT));
    let kept_by = async {
        // It is no news that it was begun before: what was granted then is known.
        if let Some(opened_at) = connection.open(&root, beginning.epoch, kept).await? {
            connection.begin(&root, &Beginning { opened_at, ..beginning }, kept).await?;
        }
        connection.secure(&root, &checkpoint).await
    };
    match kept_by.await {
        Ok(Some(_ceiling)) => line.agreed.store(checkpoint.revision, Relaxed),
        // An earlier process had a clock that was ahead of this one's.
        Ok(None) => {
            let totals = connection.totals(std::slice::from_ref(&root)).await.pop();
            slot.revise(totals.and_then(Result::ok).flatten().map_or(0, |totals| totals.revision));
        }
        Err(unanswered) => {
            tracing::warn!(budget = %slot.name, %unanswered, "the ledger can't be kept");
            tokio::time::sleep(AGAIN).await;
        }
    }
    line.agreeing.store(false, Relaxed);
    bell.ring(&line);
}

/// Lets go of lines that have nothing more to say: of windows that are over, of limits that no configuration has, and of
/// values that nobody has used for long. One whose account will never be again has nobody to say it to.
fn forget(purses: &Purses) {
    let unix_now = unix_now();
    let mut lines = purses.lines.lock().unwrap_or_else(PoisonError::into_inner);
    lines.retain(|line| {
        let over = line.is_over(unix_now - GRACE) && !line.is_current(unix_now);
        let unused = line.place.value.is_some() && line.rests_for(UNUSED);
        let Some(slot) = line.slot.upgrade() else { return !line.is_settled() };
        !((over || unused) && slot.lets_go(line, unix_now))
    });
}
