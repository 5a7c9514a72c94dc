//! The loop: twice a second the leader asks the ledger how the budgets stand, keeps their checkpoints, and writes what has
//! changed. It never grants: where it is away, proxies go on below the ceilings that are stored.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt as _;
use jiff::Timestamp;
use kube::Client;
use llm_config::Ledger;
use llm_crds::{AlertWebhook, WebhookDelivery};
use llm_ledger::{account::Totals, place::Place};
use llm_ledger_connection::{Connection, Unanswered};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    accounts::{self, Account},
    alerts,
    kept::{Asked, Kept, Means},
    shown::Shown,
    webhook::{Attempted, Call, Target, Webhooks},
};
use crate::{
    compile::secret::Secrets,
    metrics::Metrics,
    observe::{LedgerSettings, ObjectName, Observed, ledger::reread::InForce},
    report::Outcome,
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// No proxy waits for the keeper: it can wait longer for the ledger than a call.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Budgets that are looked after at once.
const AT_ONCE: usize = 16;

/// Looks after all budgets.
pub struct Keeper {
    client: Client,
    ledger: watch::Receiver<InForce>,
    /// To the ledger of these settings, where there is one that proxies share.
    connection: Option<Connection>,
    settings: LedgerSettings,
    identity: String,
    metrics: Arc<Metrics>,
    kept: HashMap<ObjectName, Kept>,
    webhooks: Webhooks,
    shown: Shown,
}

impl Keeper {
    #[must_use]
    pub fn new(
        client: Client,
        ledger: watch::Receiver<InForce>,
        identity: &str,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            client,
            ledger,
            connection: None,
            settings: LedgerSettings::Absent,
            identity: identity.to_owned(),
            shown: Shown::new(metrics.clone()),
            metrics,
            kept: HashMap::new(),
            webhooks: Webhooks::new(),
        }
    }

    /// Keeps for as long as the operator runs and leads.
    pub async fn run(
        mut self,
        mut outcomes: watch::Receiver<Option<Arc<Outcome>>>,
        mut leading: watch::Receiver<bool>,
    ) {
        loop {
            let begun = Instant::now();
            let next = begun + PAUSE;
            let outcome = outcomes.borrow_and_update().clone();
            self.connect();
            match outcome.filter(|_| *leading.borrow_and_update()).zip(self.connection.clone()) {
                Some((outcome, connection)) => self.look(&outcome, &connection, begun).await,
                None => self.rest(),
            }
            loop {
                tokio::select! {
                    changed = outcomes.changed() => if changed.is_err() { return } else { break },
                    _ = leading.changed() => break,
                    attempted = self.webhooks.next() => self.attempted(attempted),
                    () = sleep_until(next) => break,
                }
            }
        }
    }

    /// Goes to the ledger of the settings in force. What is kept of Budgets is as true for another one: it is one that
    /// has lost its memory.
    fn connect(&mut self) {
        let InForce { settings, .. } = &*self.ledger.borrow();
        if *settings == self.settings {
            return;
        }
        let connection = match settings {
            // They were tried before they came into force.
            LedgerSettings::Shared(Ledger::Redis(redis)) => Connection::redis(redis).ok(),
            LedgerSettings::Absent | LedgerSettings::Embedded => None,
        };
        self.connection = connection.map(|connection| connection.with_timeout(TIMEOUT));
        self.settings = settings.clone();
    }

    /// Whoever leads meanwhile stores what this one then has to read again.
    fn rest(&mut self) {
        self.kept.clear();
        self.webhooks.forget_all();
        self.shown.all(&self.kept);
        self.metrics.ledger_unreachable.set(0);
    }

    /// One look at all of them.
    async fn look(&mut self, outcome: &Outcome, connection: &Connection, begun: Instant) {
        let Outcome { observed, compiled, .. } = outcome;
        let now = Timestamp::now();
        let names: BTreeSet<ObjectName> =
            observed.budgets.iter().map(|budget| ObjectName::of(budget.as_ref())).collect();
        self.kept.retain(|name, _| names.contains(name));
        let mut asked = Vec::new();
        for object in &observed.budgets {
            let name = ObjectName::of(object.as_ref());
            let kept = self.kept.entry(name.clone()).or_insert_with(|| Kept::of(object));
            // One of the same name that takes its place has spent nothing.
            if kept.uid != object.metadata.uid {
                *kept = Kept::of(object);
            }
            if kept.rests(begun) {
                continue;
            }
            let compiled = compiled.budgets.get(&name).and_then(|outcome| outcome.accepted.as_ref());
            let accounts = compiled.map_or_else(Vec::new, |budget| accounts::of(budget, now));
            asked.push((name, Asked { object, compiled, accounts }));
        }
        let mut told =
            self.told(connection, asked.iter().flat_map(|(_, asked)| &asked.accounts)).await.into_iter();
        let means = Means {
            client: &self.client,
            connection,
            settings_refused: self.ledger.borrow().kept_for(),
            identity: &self.identity,
            metrics: &self.metrics,
            now,
            begun,
        };
        let mut kept: HashMap<&ObjectName, &mut Kept> = self.kept.iter_mut().collect();
        let tended = asked.iter().filter_map(|(name, asked)| {
            let told = told.by_ref().take(asked.accounts.len()).collect();
            let kept = kept.remove(name)?;
            Some(async { kept.tend(asked, told, &means).await })
        });
        let tended: Vec<_> = tended.collect();
        futures::stream::iter(tended).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        self.call_webhooks(observed);
        self.shown.all(&self.kept);
    }

    /// What the ledger says of all accounts, asked at once.
    async fn told<'a>(
        &self,
        connection: &Connection,
        accounts: impl Iterator<Item = &'a Account>,
    ) -> Vec<Result<Option<Totals>, Unanswered>> {
        let places: Vec<Place> = accounts.map(|account| account.place.clone()).collect();
        let told = if places.is_empty() { vec![] } else { connection.totals(&places).await };
        self.metrics.ledger_unreachable.set(i64::from(told.iter().any(Result::is_err)));
        told
    }

    /// Calls the webhooks that have not taken what is stored as told.
    fn call_webhooks(&mut self, observed: &Observed) {
        let mut wanted = BTreeSet::new();
        for object in &observed.budgets {
            let name = ObjectName::of(object.as_ref());
            let (Some(kept), Some(webhook)) = (self.kept.get_mut(&name), &object.spec.alerts.webhook) else {
                continue;
            };
            let uid = kept.uid.clone().unwrap_or_default();
            let pending =
                kept.stored.alerts.iter().filter(|alert| alert.webhook == Some(WebhookDelivery::Pending));
            for alert in pending {
                let key = alerts::key(&uid, alert);
                wanted.insert(key.clone());
                // It was taken, and that is not stored yet.
                if matches!(kept.attempted.get(&key), Some(Ok(()))) || !self.webhooks.is_due(&key) {
                    continue;
                }
                let called = target(webhook, &name.namespace, observed).and_then(|target| {
                    let body = alerts::body(&name, &uid, alert).to_string();
                    self.webhooks.call(Call { target, key: key.clone(), body })
                });
                if let Err(why) = called {
                    kept.attempted.insert(key, Err(why));
                }
            }
        }
        self.webhooks.forget(|key| wanted.contains(key));
    }

    fn attempted(&mut self, attempted: Attempted) {
        let Attempted { key, result } = attempted;
        match &result {
            Ok(()) => self.metrics.budget_webhooks_delivered.inc(),
            Err(why) => {
                tracing::warn!(
                    alert = key,
                    why,
                    "a budget's webhook has not taken an alert; it will be called again"
                );
                self.metrics.budget_webhooks_failed.inc()
            }
        };
        let uid = key.split(':').next().unwrap_or_default();
        let kept = self.kept.values_mut().find(|kept| kept.uid.as_deref() == Some(uid));
        if let Some(kept) = kept {
            kept.attempted.insert(key, result);
        }
    }
}

fn target(webhook: &AlertWebhook, namespace: &str, observed: &Observed) -> Result<Target, String> {
    let secrets = Secrets { namespace, observed };
    let text = |field: &str, reference| {
        let text = secrets.text(&format!("spec.alerts.webhook.{field}"), reference);
        text.map_err(|(_, problem)| problem)
    };
    let url = text("urlSecretRef", &webhook.url_secret_ref)?;
    let secret = text("signingSecretRef", &webhook.signing_secret_ref)?;
    Target::new(&url, &secret)
}
