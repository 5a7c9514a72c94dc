//! One budget as the leader keeps it: what is stored of it, what should be, and the write that makes both the same.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use llm_config::budget::{self as config, Enforcement};
use llm_crds::{
    Budget, BudgetAlert, BudgetCheckpoint, BudgetPhase, BudgetStatus, ConditionType, Reason, Verdict,
    WebhookDelivery, unit_interval_ppm,
};
use llm_ledger::{Amount, account::Totals, place::Place};
use llm_ledger_connection::{Connection, Unanswered};
use tokio::time::Instant;

use super::{
    accounts::Account,
    alerts::{self, Reached, Threshold},
    escrow::{Escrow, Standing, Terms, Word},
    figures::{self, Reading},
    pace::Pace,
    write::{self, Written},
};
use crate::{
    metrics::{Metrics, OfThreshold},
    observe::ObjectName,
};

/// Between two writes of one object.
const PAUSE: Duration = Duration::from_secs(1);
/// When nothing will be left is written so often where nothing else has changed, in seconds.
const PROJECTED: i64 = 60;

/// The budget, as its manifest has it and as it was compiled.
pub struct Asked<'a> {
    pub object: &'a Budget,
    /// Where it is accepted.
    pub compiled: Option<&'a config::Budget>,
    pub accounts: Vec<Account>,
}

/// What it is kept by.
pub struct Means<'a> {
    pub client: &'a Client,
    pub connection: &'a Connection,
    /// Why the ledger's settings can't be used as they are now, where the last good ones are in force.
    pub settings_refused: Option<Arc<str>>,
    pub identity: &'a str,
    pub metrics: &'a Metrics,
    pub now: Timestamp,
    /// The same on the clock that is never set.
    pub begun: Instant,
}

/// What the leader knows of it.
pub struct Kept {
    pub uid: Option<String>,
    /// Its status, but for what others write.
    pub stored: BudgetStatus,
    /// Of the object that it is stored in.
    version: Option<String>,
    written: Option<(Instant, Timestamp)>,
    paces: HashMap<Place, Pace>,
    /// What was gone of accounts whose beginning is stored, and that have not begun.
    gone: HashMap<Place, Amount>,
    /// What came of calls of its webhook, and is not stored yet.
    pub attempted: HashMap<String, Result<(), String>>,
    /// Each limit in its window of now, as last read.
    pub readings: Vec<Reading>,
}

/// What should be stored, what is told to the ledger then, and to whom besides.
struct Wanted {
    status: BudgetStatus,
    words: Vec<Word>,
    news: Vec<Reached>,
}

impl Kept {
    pub fn of(object: &Budget) -> Self {
        Self {
            uid: object.metadata.uid.clone(),
            stored: write::own(object.status.as_ref()),
            version: object.metadata.resource_version.clone(),
            written: None,
            paces: HashMap::new(),
            gone: HashMap::new(),
            attempted: HashMap::new(),
            readings: Vec::new(),
        }
    }

    /// Whether it was written too short a while ago to be written again: nothing is to be done about it then.
    pub fn rests(&self, now: Instant) -> bool {
        self.written.is_some_and(|(written, _)| now < written + PAUSE)
    }

    /// Looks after it, by what the ledger says of its accounts.
    pub async fn tend(
        &mut self,
        asked: &Asked<'_>,
        told: Vec<Result<Option<Totals>, Unanswered>>,
        means: &Means<'_>,
    ) {
        let wanted = match asked.compiled {
            Some(compiled) => self.wanted(asked, compiled, told, means).await,
            None => self.without(),
        };
        let Some(wanted) = self.raised(wanted, asked, means).await else { return };
        if !self.is_due(&wanted.status, means.now) {
            return;
        }
        if !self.write(&wanted.status, asked.object, means).await {
            return;
        }
        let name = ObjectName::of(asked.object).to_string();
        for reached in &wanted.news {
            let BudgetAlert { limit, threshold, .. } = reached.alert.clone();
            let of = OfThreshold { budget: name.clone(), limit, threshold };
            means.metrics.budget_alerts.get_or_create(&of).inc();
        }
        if let Some(compiled) = asked.compiled {
            self.tell(&escrow(compiled, means), wanted.words, &name, means).await;
        }
    }

    /// Tells the ledger what is stored. What it does not hear is seen by its revision, and told again.
    async fn tell(&mut self, escrow: &Escrow, words: Vec<Word>, name: &str, means: &Means<'_>) {
        for word in &words {
            if let Some(begins) = &word.begins {
                self.gone.insert(word.place.clone(), begins.gone);
            }
        }
        let told = join_all(words.iter().map(|word| escrow.tell(word))).await;
        for (word, told) in words.iter().zip(told) {
            match told {
                Ok(true) => drop(self.gone.remove(&word.place)),
                Ok(false) => {}
                Err(error) => {
                    // It may have begun all the same.
                    self.gone.remove(&word.place);
                    means.metrics.ledger_errors.inc();
                    tracing::warn!(budget = name, %error, "the ledger has not heard of a checkpoint; it will be told again");
                }
            }
        }
    }

    async fn wanted(
        &mut self,
        asked: &Asked<'_>,
        compiled: &config::Budget,
        told: Vec<Result<Option<Totals>, Unanswered>>,
        means: &Means<'_>,
    ) -> Wanted {
        let escrow = escrow(compiled, means);
        let mut standings = Vec::new();
        for (account, told) in asked.accounts.iter().zip(told) {
            if matches!(told, Ok(Some(_))) {
                self.gone.remove(&account.place);
            }
            standings.push(self.stand(&escrow, account, told).await);
        }
        let mut checkpoints = Vec::new();
        let mut words = Vec::new();
        let mut readings = Vec::new();
        let mut trouble = None;
        for (account, standing) in asked.accounts.iter().zip(standings) {
            match standing {
                Ok(standing) => {
                    if account.is_now {
                        readings.push(self.read(account, &standing, asked.object, means.now));
                    }
                    checkpoints.extend(standing.checkpoint);
                    words.extend(standing.words);
                }
                Err(error) => {
                    means.metrics.ledger_errors.inc();
                    checkpoints.extend(self.checkpoint(account).cloned());
                    trouble.get_or_insert(error);
                }
            }
        }
        let is_of_now = |place: &Place| asked.accounts.iter().any(|account| account.place == *place);
        self.paces.retain(|place, _| is_of_now(place));
        self.gone.retain(|place, _| is_of_now(place));
        let generation = asked.object.metadata.generation;
        let conditions = vec![reachable(trouble.as_ref(), means.settings_refused.as_deref()).stamped(
            &self.stored.conditions,
            generation,
            &Time(means.now),
        )];
        let before = self.alerts(compiled, asked.object);
        if trouble.is_some() {
            // What was seen last stays: it is still spent.
            let phase = Some(BudgetPhase::Degraded);
            let status =
                BudgetStatus { conditions, checkpoints, phase, alerts: before, ..self.stored.clone() };
            return Wanted { status, words, news: vec![] };
        }
        let thresholds = thresholds(asked.object);
        let has_webhook = asked.object.spec.alerts.webhook.is_some();
        let (alerts, news) = alerts::review(&readings, &thresholds, &before, has_webhook, means.now);
        let ppms: Vec<u32> = thresholds.iter().map(|threshold| threshold.ppm).collect();
        let status = BudgetStatus {
            observed_generation: None,
            conditions,
            phase: Some(figures::phase(&readings, &ppms)),
            limits: readings.iter().map(|reading| reading.status(&self.stored.limits, means.now)).collect(),
            checkpoints,
            alerts,
            summary: Some(figures::summary(&readings)),
        };
        self.readings = readings;
        Wanted { status, words, news }
    }

    /// Of one that is not accepted nothing is shown; what may be gone of it stays so, for it may be accepted again.
    fn without(&mut self) -> Wanted {
        self.readings.clear();
        let BudgetStatus { checkpoints, alerts, .. } = self.stored.clone();
        Wanted {
            status: BudgetStatus { checkpoints, alerts, ..BudgetStatus::default() },
            words: vec![],
            news: vec![],
        }
    }

    async fn stand(
        &self,
        escrow: &Escrow,
        account: &Account,
        told: Result<Option<Totals>, Unanswered>,
    ) -> Result<Standing, Unanswered> {
        let told = told?;
        let spent = told.map_or(0, |told| told.spent);
        let pace =
            self.paces.get(&account.place).map_or(0.0, |pace| pace.of_late(seconds(escrow.now), spent));
        let gone = self.gone.get(&account.place).copied();
        escrow.keep(account, self.checkpoint(account), told, gone, pace).await
    }

    fn checkpoint(&self, account: &Account) -> Option<&BudgetCheckpoint> {
        let name = account.name();
        let mut stored = self.stored.checkpoints.iter();
        stored.find(|stored| stored.limit == name && stored.start.0 == account.window.start)
    }

    fn read(&mut self, account: &Account, standing: &Standing, object: &Budget, now: Timestamp) -> Reading {
        let Standing { spent, lost, reserved, values, .. } = standing;
        let rolling = account.place.rolling();
        let pace = self.paces.entry(account.place.clone()).or_insert_with(|| Pace::of(rolling.is_some()));
        pace.saw(seconds(now), *spent);
        // A window may have begun long before there was anything to count in it.
        let created = object.metadata.creation_timestamp.as_ref().map(|created| created.0);
        let since = created.map_or(account.window.start, |created| account.window.start.max(created));
        let since = seconds(since).max(rolling.map_or(0, |rolling| {
            // What is spent is that of its length, and counts somewhat longer.
            seconds(now).saturating_sub(rolling.counts_for() / 1_000)
        }));
        Reading {
            name: account.name(),
            limit: account.limit,
            window: account.window,
            round: account.round,
            spent: spent.saturating_add(*lost),
            reserved: *reserved,
            pace: pace.of_the_hour(seconds(now), *spent, since),
            values: values.clone(),
        }
    }

    /// The alerts that are stored, and what came of their webhook's calls since.
    fn alerts(&self, compiled: &config::Budget, object: &Budget) -> Vec<BudgetAlert> {
        let mut alerts = self.stored.alerts.clone();
        for alert in alerts.iter_mut().filter(|alert| alert.webhook == Some(WebhookDelivery::Pending)) {
            if object.spec.alerts.webhook.is_none() {
                (alert.webhook, alert.message) = (None, None);
                continue;
            }
            match self.attempted.get(&alerts::key(&compiled.uid, alert)) {
                Some(Ok(())) => (alert.webhook, alert.message) = (Some(WebhookDelivery::Delivered), None),
                Some(Err(why)) => alert.message = Some(why.clone()),
                None => {}
            }
        }
        alerts
    }

    /// Raises the Events of what is new, before that is stored as told. What can't be raised is new at the next look,
    /// too.
    async fn raised(&self, mut wanted: Wanted, asked: &Asked<'_>, means: &Means<'_>) -> Option<Wanted> {
        if wanted.news.is_empty() || !self.is_due(&wanted.status, means.now) {
            return Some(wanted);
        }
        let Means { client, identity, .. } = *means;
        for reached in &wanted.news {
            if let Err(error) = write::event(client, asked.object, identity, reached).await {
                tracing::warn!(budget = %ObjectName::of(asked.object), %error, "can't raise an Event; it will be tried again");
                wanted.status.alerts.retain(|alert| *alert != reached.alert);
            } else {
                means.metrics.events.inc();
            }
        }
        let Wanted { status, news, .. } = &mut wanted;
        news.retain(|reached| status.alerts.contains(&reached.alert));
        Some(wanted)
    }

    /// Whether a status differs from what is stored; by when nothing will be left alone not too often.
    fn is_due(&self, status: &BudgetStatus, now: Timestamp) -> bool {
        let Some((_, at)) = self.written else { return *status != self.stored };
        let told = |status: &BudgetStatus| {
            let mut told = status.clone();
            told.limits.iter_mut().for_each(|limit| limit.exhausted_at = None);
            told
        };
        *status != self.stored
            && (now.as_second() >= at.as_second() + PROJECTED || told(status) != told(&self.stored))
    }

    /// Writes it; whether it is stored now.
    async fn write(&mut self, status: &BudgetStatus, object: &Budget, means: &Means<'_>) -> bool {
        let name = ObjectName::of(object);
        // Others write to the object too: as long as the figures are as they were left, that is no reason to wait.
        for _ in 0..3 {
            match write::status(means.client, &name, self.version.as_ref(), status).await {
                Ok(Written::Stored(version)) => {
                    means.metrics.status_writes.inc();
                    self.version = version;
                    self.written = Some((means.begun, means.now));
                    self.stored = status.clone();
                    self.attempted.retain(|_, result| result.is_err());
                    return true;
                }
                Ok(Written::Changed(fresh)) => {
                    let stored = write::own(fresh.status.as_ref());
                    let is_other = fresh.metadata.uid != self.uid || stored != self.stored;
                    (self.version, self.stored) = (fresh.metadata.resource_version, stored);
                    if is_other {
                        self.gone.clear();
                        return false;
                    }
                }
                Ok(Written::Gone) => return false,
                Err(error) => {
                    means.metrics.status_errors.inc();
                    tracing::warn!(budget = %name, %error, "can't write a status; it will be tried again");
                    return false;
                }
            }
        }
        false
    }
}

fn escrow(compiled: &config::Budget, means: &Means<'_>) -> Escrow {
    let strict = compiled.enforcement == Enforcement::Strict;
    let values = (!compiled.per.is_empty()).then(|| u64::from(compiled.max_values));
    Escrow { connection: means.connection.clone(), terms: Terms { strict, values }, now: means.now }
}

fn thresholds(object: &Budget) -> Vec<Threshold> {
    let given = object.spec.alerts.thresholds.iter();
    given
        .filter_map(|text| Some(Threshold { text: text.clone(), ppm: unit_interval_ppm(text).ok()? }))
        .collect()
}

fn reachable(trouble: Option<&Unanswered>, settings_refused: Option<&str>) -> Verdict {
    let (reason, mut message) = match trouble {
        None => (Reason::LedgerAnswers, "the ledger answers the operator".to_owned()),
        Some(why) => {
            let reason =
                if why.refuses_settings() { Reason::LedgerRefuses } else { Reason::LedgerUnreachable };
            (reason, format!("the figures are as they were: {why}"))
        }
    };
    if let Some(why) = settings_refused {
        message +=
            &format!("; it is called by its last good settings, for those of now can't be used: {why}");
    }
    Verdict { condition: ConditionType::LedgerReachable, status: trouble.is_none(), reason, message }
}

fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.as_second()).unwrap_or(0)
}
