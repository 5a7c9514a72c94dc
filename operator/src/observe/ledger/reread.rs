//! The ledger's settings while the operator runs: the file and those that it names are read again, for a Secret that is
//! mounted changes under a running operator. Whoever rotates a password restarts nothing, and one that is wrong, or comes
//! before Redis knows it, changes nothing: settings are taken when the ledger has answered by them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use llm_config::Ledger;
use llm_ledger::{
    place::{LimitId, Place, Unit},
    window::Period,
};
use llm_ledger_connection::{Connection, Unanswered};
use tokio::sync::{Notify, watch};

use super::read;
use crate::{metrics::Metrics, observe::LedgerSettings};

/// How often the files are looked at: the kubelet itself takes a minute or so.
const PERIOD: Duration = Duration::from_secs(2);
/// How long a ledger may take to answer by new settings, before it is tried again.
const TRIAL: Duration = Duration::from_secs(2);

/// The settings that the operator and the proxies go by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    pub settings: LedgerSettings,
    /// Why what the files hold now can't be used.
    pub refused: Option<Arc<str>>,
    /// It is those in force that the ledger refuses.
    pub refused_in_force: bool,
    /// The ledger has answered by them. Those that an operator starts with are in force before: there are no others, and a
    /// ledger that is away must keep no operator from starting.
    pub proven: bool,
}

impl InForce {
    /// Why the last good settings stay, where the files hold others now.
    #[must_use]
    pub fn kept_for(&self) -> Option<Arc<str>> {
        self.refused.clone().filter(|_| !self.refused_in_force)
    }

    /// What is the matter with an operator, where anything is.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let what = match (self.refused_in_force, self.proven) {
            (true, _) => "has started with settings that the ledger refuses, and proxies have got them",
            (false, true) => "keeps to the last good settings of the ledger",
            (false, false) => "keeps to the settings of the ledger that it has started with",
        };
        self.refused.as_ref().map(|why| format!("{what}: {why}"))
    }
}

/// Settings that the ledger has not answered by, and the connection by them: one that is tried again and again says once
/// what fails.
#[derive(Default)]
struct Trial {
    by: Option<(Ledger, Connection)>,
    /// Why the ledger has refused them: while it is away, they are no better.
    refused: Option<Arc<str>>,
}

/// The files of the ledger's settings; none where there is no ledger.
#[derive(Debug)]
pub struct Files {
    file: Option<PathBuf>,
    in_force: watch::Sender<InForce>,
}

impl Files {
    /// Reads them for the first time.
    ///
    /// # Errors
    /// What to change in them: an operator does not start without the ledger that it was told of.
    pub fn read(file: Option<&Path>) -> Result<Self, String> {
        let settings = match file {
            Some(file) => {
                let ledger = read(file)?;
                connection(&ledger).map_err(|problem| format!("{}: {problem}", file.display()))?;
                LedgerSettings::Shared(ledger)
            }
            None => LedgerSettings::Absent,
        };
        let in_force = watch::Sender::new(InForce { settings, ..InForce::default() });
        Ok(Self { file: file.map(Path::to_owned), in_force })
    }

    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<InForce> {
        self.in_force.subscribe()
    }

    /// Reads them again for as long as the operator runs, and rings where there is something new. What can't be used is
    /// told once, and the last good settings stay.
    pub async fn keep(self, changed: Arc<Notify>, metrics: Arc<Metrics>) {
        let Self { file: Some(file), in_force } = self else { return };
        let (mut pause, mut trial) = (Duration::ZERO, Trial::default());
        loop {
            tokio::time::sleep(pause).await;
            pause = PERIOD;
            let last = in_force.borrow().clone();
            let next = taken(&last, &file, &mut trial).await;
            if next == last {
                continue;
            }
            match &next.refused {
                Some(why) if next.refused != last.refused && next.refused_in_force => {
                    tracing::error!(%why, "the ledger refuses its settings: there are no others, and proxies get them");
                }
                Some(why) if next.refused != last.refused => {
                    tracing::error!(%why, "the ledger's settings can't be used: those in force stay");
                }
                _ if next.settings != last.settings => {
                    tracing::info!("the ledger's settings have changed, and proxies are told");
                }
                None if last.refused.is_some() => tracing::info!("the ledger's settings are in order again"),
                _ => tracing::info!("the ledger answers by its settings"),
            }
            metrics.ledger_settings_refused.set(i64::from(next.refused.is_some()));
            in_force.send_replace(next);
            changed.notify_one();
        }
    }
}

/// What is in force after another look.
async fn taken(last: &InForce, file: &Path, trial: &mut Trial) -> InForce {
    let refused =
        |why: String| InForce { refused: Some(why.into()), refused_in_force: false, ..last.clone() };
    let ledger = match read(file) {
        Ok(ledger) => ledger,
        Err(why) => return refused(why),
    };
    let told = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let settings = LedgerSettings::Shared(ledger.clone());
    let is_in_force = settings == last.settings;
    if is_in_force && last.proven {
        return InForce { refused: None, ..last.clone() };
    }
    let Trial { by, refused: before } = std::mem::take(trial);
    let (connection, before) = match by.filter(|(tried, _)| *tried == ledger) {
        Some((_, connection)) => (connection, before),
        None => match connection(&ledger) {
            Ok(connection) => (connection, None),
            Err(why) => return refused(told(&why)),
        },
    };
    let Err(why) = answers(&connection).await else {
        return InForce { settings, proven: true, ..InForce::default() };
    };
    // One that is away tells nothing of settings.
    let refuses = if why.refuses_settings() { Some(told(&why).into()) } else { before };
    *trial = Trial { by: Some((ledger, connection)), refused: refuses.clone() };
    if is_in_force {
        InForce { refused_in_force: refuses.is_some(), refused: refuses, ..last.clone() }
    } else {
        refused(told(&why))
    }
}

/// Asks the ledger for what nobody has, with all rights that this takes.
async fn answers(connection: &Connection) -> Result<(), Unanswered> {
    let limit = LimitId { period: Period::Total, unit: Unit::Requests };
    let place = Place { budget: "settings".into(), limit, start: 0, value: None };
    let answers = connection.with_timeout(TRIAL).totals(&[place]).await;
    answers.into_iter().try_for_each(|answer| answer.map(drop))
}

fn connection(Ledger::Redis(redis): &Ledger) -> Result<Connection, String> {
    Connection::redis(redis)
}
