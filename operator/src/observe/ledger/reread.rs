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
use llm_ledger_connection::Connection;
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
    /// Why what the files hold now can't be used: these settings are the last good ones.
    pub refused: Option<Arc<str>>,
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
        let in_force = watch::Sender::new(InForce { settings, refused: None });
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
        loop {
            tokio::time::sleep(PERIOD).await;
            let last = in_force.borrow().clone();
            let next = taken(&last, &file).await;
            if next == last {
                continue;
            }
            match &next.refused {
                Some(why) if next.refused != last.refused => {
                    tracing::error!(%why, "the ledger's settings can't be used: the last good ones stay");
                }
                _ if next.settings != last.settings => {
                    tracing::info!("the ledger's settings have changed, and proxies are told");
                }
                _ => tracing::info!("the ledger's settings are in order again"),
            }
            metrics.ledger_settings_refused.set(i64::from(next.refused.is_some()));
            in_force.send_replace(next);
            changed.notify_one();
        }
    }
}

/// What is in force after another look.
async fn taken(last: &InForce, file: &Path) -> InForce {
    let found = match read(file) {
        Ok(ledger) if last.settings == LedgerSettings::Shared(ledger.clone()) => Ok(ledger),
        Ok(ledger) => match answers(&ledger).await {
            Ok(()) => Ok(ledger),
            Err(why) => Err(format!("{}: {why}", file.display())),
        },
        Err(why) => Err(why),
    };
    match found {
        Ok(ledger) => InForce { settings: LedgerSettings::Shared(ledger), refused: None },
        Err(why) => InForce { settings: last.settings.clone(), refused: Some(why.into()) },
    }
}

/// Asks the ledger for what nobody has, with all rights that this takes.
async fn answers(ledger: &Ledger) -> Result<(), String> {
    let limit = LimitId { period: Period::Total, unit: Unit::Requests };
    let place = Place { budget: "settings".into(), limit, start: 0, value: None };
    let answers = connection(ledger)?.with_timeout(TRIAL).totals(&[place]).await;
    answers.into_iter().try_for_each(|answer| answer.map(drop)).map_err(|why| why.to_string())
}

fn connection(Ledger::Redis(redis): &Ledger) -> Result<Connection, String> {
    Connection::redis(redis)
}
