//! What is shown of each model of each provider: its breaker, how attempts ended, what it is busy with.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use llm_routing::breaker::State;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet},
    metrics::{MetricType, exemplar::Exemplar},
};

use crate::{
    clock,
    upstream::health::{FAILURES, Health, Healths, Outcome},
};

#[derive(Debug)]
pub struct Providers(pub Arc<Healths>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    provider: Arc<str>,
    model: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    provider: Arc<str>,
    model: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    provider: Arc<str>,
    model: Arc<str>,
    reason: &'static str,
}

type Count = fn(&Health) -> u64;
type NoExemplar<'a> = Option<&'a Exemplar<Labels, u64>>;

impl Collector for Providers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all = self.0.all();
        let mut family = encoder.encode_descriptor(
            "llm_gateway_provider_attempts",
            "Attempts at a provider's model, by how they ended: a call may have several",
            None,
            MetricType::Counter,
        )?;
        for ((provider, model), health, _) in &all {
            for (outcome, count) in Outcome::ALL.into_iter().zip(&health.outcomes) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let (provider, model) = (provider.clone(), model.clone());
                    let labels = AttemptLabels { provider, model, outcome: outcome.as_str() };
                    family.encode_family(&labels)?.encode_counter(&count, NoExemplar::None)?;
                }
            }
        }
        let mut family = encoder.encode_descriptor(
            "llm_gateway_provider_failures",
            "Attempts that the provider failed, by the reason",
            None,
            MetricType::Counter,
        )?;
        for ((provider, model), health, _) in &all {
            for (reason, count) in FAILURES.into_iter().zip(&health.failed_by) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let (provider, model) = (provider.clone(), model.clone());
                    let labels = FailureLabels { provider, model, reason };
                    family.encode_family(&labels)?.encode_counter(&count, NoExemplar::None)?;
                }
            }
        }
        let counters: [(&str, &str, Count); 2] = [
            ("llm_gateway_provider_breaker_opened", "How often its breaker opened", |health| {
                health.opened.load(Relaxed)
            }),
            (
                "llm_gateway_provider_retries_refused",
                "Retries that were not made, so as not to multiply an outage",
                |health| health.unretried.load(Relaxed),
            ),
        ];
        for (name, help, count) in counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for ((provider, model), health, _) in &all {
                let labels = Labels { provider: provider.clone(), model: model.clone() };
                family.encode_family(&labels)?.encode_counter(&count(health), NoExemplar::None)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "llm_gateway_provider_breaker_state",
            "0: closed, takes calls; 1: half open, takes one call to see; 2: open, takes none",
            None,
            MetricType::Gauge,
        )?;
        for ((provider, model), health, settings) in &all {
            let state = match health.breaker.state(clock::now(), settings) {
                State::Closed => 0_u32,
                State::HalfOpen => 1,
                State::Open { .. } => 2,
            };
            let labels = Labels { provider: provider.clone(), model: model.clone() };
            family.encode_family(&labels)?.encode_gauge(&state)?;
        }
        let mut family = encoder.encode_descriptor(
            "llm_gateway_provider_in_flight",
            "Attempts that have not ended",
            None,
            MetricType::Gauge,
        )?;
        for ((provider, model), health, _) in &all {
            let labels = Labels { provider: provider.clone(), model: model.clone() };
            family.encode_family(&labels)?.encode_gauge(&health.in_flight.load(Relaxed))?;
        }
        Ok(())
    }
}
