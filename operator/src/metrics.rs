//! What the operator counts.

use std::{fmt, sync::atomic::AtomicU64};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// How the review of an object of a kind ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Admitted {
    pub kind: &'static str,
    pub outcome: &'static str,
}

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfKind {
    pub kind: String,
}

/// One limit of a Budget.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct OfLimit {
    /// Its namespace and name.
    pub budget: String,
    /// Its window and unit, such as `daily-usd`.
    pub limit: String,
}

/// A threshold of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfThreshold {
    pub budget: String,
    pub limit: String,
    pub threshold: String,
}

/// An amount of each limit.
pub type BudgetFamily = Family<OfLimit, Gauge<f64, AtomicU64>>;

/// A version of proxies, and where they stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct Attachment {
    pub version: String,
    pub kind: &'static str,
}

/// Seconds that reviews took, from half a millisecond to a second.
#[derive(Debug)]
pub struct AdmissionSeconds(pub Histogram);

impl Default for AdmissionSeconds {
    fn default() -> Self {
        Self(Histogram::new(exponential_buckets(0.0005, 2.0, 12)))
    }
}

/// Every family.
#[derive(Debug, Default)]
pub struct Metrics {
    pub compiles: Counter,
    pub compile_seconds: Counter<f64, AtomicU64>,
    pub watch_errors: Counter,
    pub unreadable_objects: Family<OfKind, Gauge>,
    pub definitions_lost: Gauge,
    pub status_writes: Counter,
    pub status_errors: Counter,
    pub events: Counter,
    pub streams: Gauge,
    pub streams_refused: Counter,
    pub refusals: Counter,
    pub proxies: Family<Attachment, Gauge>,
    pub proxies_of_other_versions: Gauge,
    pub admissions: Family<Admitted, Counter>,
    pub admission_seconds: AdmissionSeconds,
    pub pods_without_sidecar: Gauge,
    /// What is wrong with the gateways' settings.
    pub gateway_problems: Gauge,
    pub budget_limit: BudgetFamily,
    pub budget_spent: BudgetFamily,
    pub budget_reserved: BudgetFamily,
    pub budget_remaining: BudgetFamily,
    pub budget_exceeded: BudgetFamily,
    pub budget_alerts: Family<OfThreshold, Counter>,
    pub budget_webhooks_delivered: Counter,
    pub budget_webhooks_failed: Counter,
    /// Whether the ledger leaves the leader without an answer, and how often it did.
    pub ledger_unreachable: Gauge,
    pub ledger_errors: Counter,
    /// Whether the files of its settings can't be used as they are now.
    pub ledger_settings_refused: Gauge,
    pub leader: Gauge,
    /// Whether the first compile is out.
    pub ready: Gauge,
}

impl Metrics {
    /// Limit, spent, reserved, remaining and whether it is exceeded, in this order.
    pub fn budget_families(&self) -> [&BudgetFamily; 5] {
        let Self { budget_limit, budget_spent, budget_reserved, budget_remaining, budget_exceeded, .. } =
            self;
        [budget_limit, budget_spent, budget_reserved, budget_remaining, budget_exceeded]
    }

    fn register_budgets(&self, registry: &mut Registry) {
        let amounts = [
            (
                "budget_limit",
                "What may be spent of a limit of a Budget in its window of now; with per, of the value that has spent most. In USD, tokens or requests",
            ),
            ("budget_spent", "What is spent of it, as far as the proxies have told"),
            ("budget_reserved", "What proxies hold of it for calls to come"),
            ("budget_remaining", "What is left of it, but for what is reserved"),
            ("budget_exceeded", "Whether nothing is left of it, or too little for any call"),
        ];
        for ((name, help), family) in amounts.into_iter().zip(self.budget_families()) {
            registry.register(name, help, family.clone());
        }
        registry.register(
            "budget_alerts",
            "Thresholds of Budgets that were reached",
            self.budget_alerts.clone(),
        );
        registry.register(
            "budget_webhooks_delivered",
            "Alerts that a Budget's webhook has taken",
            self.budget_webhooks_delivered.clone(),
        );
        registry.register(
            "budget_webhooks_failed",
            "Calls of Budgets' webhooks that failed, to be made again",
            self.budget_webhooks_failed.clone(),
        );
        registry.register(
            "ledger_unreachable",
            "Whether the ledger of Budgets does not answer the leader",
            self.ledger_unreachable.clone(),
        );
        registry.register("ledger_errors", "Operations that it did not answer", self.ledger_errors.clone());
        registry.register(
            "ledger_settings_refused",
            "Whether its settings can't be used as they are now: the last good ones stay, if there are any",
            self.ledger_settings_refused.clone(),
        );
    }

    /// The exposition in OpenMetrics text.
    ///
    /// # Errors
    /// Never in practice: writing to a string can't fail.
    pub fn exposition(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("llm_operator");
        registry.register("compiles", "Compilations of all that there is", self.compiles.clone());
        registry.register("compile_seconds", "Seconds spent on them", self.compile_seconds.clone());
        registry.register(
            "watch_errors",
            "Watches that broke and were opened again",
            self.watch_errors.clone(),
        );
        registry.register(
            "unreadable_objects",
            "Objects that a newer definition admits and this version can't read, by kind",
            self.unreadable_objects.clone(),
        );
        registry.register(
            "definitions_lost",
            "Definitions that were deleted with all of their objects: proxies keep what they hold",
            self.definitions_lost.clone(),
        );
        registry.register("status_writes", "Statuses written", self.status_writes.clone());
        registry.register(
            "status_errors",
            "Statuses that could not be written, to be tried again",
            self.status_errors.clone(),
        );
        registry.register("events", "Events raised", self.events.clone());
        registry.register("config_streams", "Proxies attached to this replica", self.streams.clone());
        registry.register("config_streams_refused", "Proxies turned away", self.streams_refused.clone());
        registry.register("config_refusals", "Updates that a proxy refused", self.refusals.clone());
        registry.register(
            "proxies",
            "Proxies attached to this replica, by version and kind",
            self.proxies.clone(),
        );
        registry.register(
            "proxies_of_other_versions",
            "Those of another version than this replica",
            self.proxies_of_other_versions.clone(),
        );
        registry.register(
            "admissions",
            "Reviews of objects, by kind and outcome; a pod may have several",
            self.admissions.clone(),
        );
        registry.register("admission_seconds", "Seconds that reviews took", self.admission_seconds.0.clone());
        registry.register(
            "pods_without_sidecar",
            "Running pods that asked for a sidecar and have none",
            self.pods_without_sidecar.clone(),
        );
        registry.register(
            "gateway_problems",
            "What is wrong with the gateways' settings: see the log",
            self.gateway_problems.clone(),
        );
        self.register_budgets(&mut registry);
        registry.register("leader", "Whether this replica leads", self.leader.clone());
        registry.register("ready", "Whether the first compilation is published", self.ready.clone());
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}
