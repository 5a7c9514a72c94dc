//! Budgets as metrics: those of the leader, and of no budget that is gone.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use llm_config::budget::{self as config, Unit};
use llm_ledger::Amount;

use super::{figures::Reading, kept::Kept};
use crate::{
    metrics::{Metrics, OfLimit},
    observe::ObjectName,
};

/// What is shown now.
pub struct Shown {
    metrics: Arc<Metrics>,
    limits: BTreeSet<OfLimit>,
}

impl Shown {
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, limits: BTreeSet::new() }
    }

    /// Shows these, and no others.
    pub fn all(&mut self, kept: &HashMap<ObjectName, Kept>) {
        let mut limits = BTreeSet::new();
        for (name, kept) in kept {
            for reading in &kept.readings {
                let limit = OfLimit { budget: name.to_string(), limit: reading.name.clone() };
                self.show(&limit, reading);
                limits.insert(limit);
            }
        }
        for gone in self.limits.difference(&limits) {
            for family in self.metrics.budget_families() {
                family.remove(gone);
            }
        }
        self.limits = limits;
    }

    fn show(&self, limit: &OfLimit, reading: &Reading) {
        let amount = |amount: Amount| {
            let nano = if reading.limit.unit == Unit::Usd { 1e9 } else { 1.0 };
            amount as f64 / nano
        };
        let Reading { limit: config::Limit { amount: whole, .. }, spent, reserved, .. } = *reading;
        let [whole, spent, reserved, remaining] = [whole, spent, reserved, reading.remaining()].map(amount);
        let is_exceeded = f64::from(u8::from(reading.is_exceeded()));
        let shown = [whole, spent, reserved, remaining, is_exceeded];
        for (family, amount) in self.metrics.budget_families().into_iter().zip(shown) {
            family.get_or_create(limit).set(amount);
        }
    }
}
