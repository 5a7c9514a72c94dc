//! What is shown of budgets: what this process holds of each limit, what the ledger said last of all who share it, and
//! which calls it refused.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use llm_ledger::place::Unit;
use llm_ledger_connection::Operations;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet},
    metrics::{MetricType, exemplar::Exemplar},
};

use crate::budget::{Purses, line::Line, slot::Slot, unix_now};

#[derive(Debug)]
pub struct Budgets(pub Arc<Purses>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    budget: Arc<str>,
    /// Window and unit, such as `daily-usd`.
    limit: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    budget: Arc<str>,
    limit: String,
    reason: &'static str,
}

/// Of one limit: in USD, tokens or requests.
type Gauge = fn(&[Arc<Line>]) -> Option<u64>;
type NoExemplar<'a> = Option<&'a Exemplar<Labels, u64>>;

const GAUGES: [(&str, &str, Gauge); 4] = [
    ("llm_gateway_budget_limit", "The limit, in USD, tokens or requests, as the ledger said last", |lines| {
        lines.first()?.left().map(|left| left.limit)
    }),
    (
        "llm_gateway_budget_spent",
        "What all proxies have spent in this window, as the ledger said last; of limits of each value their sum here",
        |lines| {
            let spent = lines.iter().filter_map(|line| line.left()).map(|left| left.spent);
            Some(spent.sum())
        },
    ),
    ("llm_gateway_budget_held", "What this proxy holds and has not spent", |lines| {
        Some(lines.iter().map(|line| line.held()).sum())
    }),
    ("llm_gateway_budget_reserved", "The part of that which calls in flight have reserved", |lines| {
        Some(lines.iter().map(|line| line.held().saturating_sub(line.purse().available())).sum())
    }),
];

impl Collector for Budgets {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (slots, now) = (self.0.slots(), unix_now());
        for (name, help, gauge) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for slot in &slots {
                let lines: Vec<_> = slot.lines().into_iter().filter(|line| line.is_current(now)).collect();
                if let Some(amount) = gauge(&lines) {
                    family.encode_family(&labels(slot))?.encode_gauge(&shown(slot, amount))?;
                }
            }
        }
        let mut family = encoder.encode_descriptor(
            "llm_gateway_budget_refusals",
            "Calls that found no money, by the reason; of further attempts of calls each",
            None,
            MetricType::Counter,
        )?;
        for slot in &slots {
            let counts = &slot.counts;
            for (reason, count) in [
                ("spent", &counts.spent),
                ("held", &counts.held),
                ("ledger_unavailable", &counts.unavailable),
                ("further_attempt", &counts.another),
            ] {
                let Labels { budget, limit } = labels(slot);
                let labels = RefusalLabels { budget, limit, reason };
                family.encode_family(&labels)?.encode_counter(&count.load(Relaxed), NoExemplar::None)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "llm_gateway_budget_unreserved",
            "Calls that were let pass without money, and are counted all the same",
            None,
            MetricType::Counter,
        )?;
        for slot in &slots {
            let count = slot.counts.unreserved.load(Relaxed);
            family.encode_family(&labels(slot))?.encode_counter(&count, NoExemplar::None)?;
        }
        match self.0.operations() {
            Some(operations) => ledger(&mut encoder, &operations),
            None => Ok(()),
        }
    }
}

/// What was asked of the ledger, and what became of it.
fn ledger(encoder: &mut DescriptorEncoder<'_>, operations: &Operations) -> fmt::Result {
    let Operations { state, open, begin, secure, totals, values, timeout, disconnected, refused } =
        *operations;
    let mut family = encoder.encode_descriptor(
        "llm_gateway_budget_ledger_operations",
        "What this proxy has asked of the ledger",
        None,
        MetricType::Counter,
    )?;
    let verbs = [("state", state), ("open", open), ("begin", begin), ("secure", secure)];
    for (operation, count) in verbs.into_iter().chain([("totals", totals), ("values", values)]) {
        let labels = [("operation", operation)];
        family.encode_family(&labels)?.encode_counter(&count, NoExemplar::None)?;
    }
    let mut family = encoder.encode_descriptor(
        "llm_gateway_budget_ledger_errors",
        "Of these, those that had no answer, by the reason",
        None,
        MetricType::Counter,
    )?;
    for (reason, count) in [("timeout", timeout), ("disconnected", disconnected), ("refused", refused)] {
        let labels = [("reason", reason)];
        family.encode_family(&labels)?.encode_counter(&count, NoExemplar::None)?;
    }
    Ok(())
}

fn labels(slot: &Slot) -> Labels {
    Labels { budget: slot.name.clone(), limit: slot.limit.to_string() }
}

/// Money in USD, as Prometheus wants it.
fn shown(slot: &Slot, amount: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a gauge, not a bill")]
    let amount = amount as f64;
    if slot.limit.unit == Unit::Usd { amount / 1e9 } else { amount }
}
