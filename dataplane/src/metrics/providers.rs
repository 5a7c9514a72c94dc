//! What is shown of each model of each provider: its breaker, how attempts ended, what it is busy with.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use llm_config::Limits;
use llm_routing::breaker::{Settings, State};
use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{MetricType, exemplar::Exemplar},
};

use crate::{
    clock,
    upstream::{
        gate::Gate,
        health::{FAILURES, Health, Healths, Key, Outcome},
    },
};

#[derive(Debug)]
pub struct Providers(pub Arc<Healths>);

/// A name, a help text and a type.
type Family = (&'static str, &'static str, MetricType);
type All = [(Key, Arc<Health>, Settings)];
type NoExemplar<'a> = Option<&'a Exemplar<[(&'static str, &'static str); 0], u64>>;

impl Collector for Providers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        use MetricType::{Counter, Gauge};
        let (encoder, all) = (&mut encoder, self.0.all());
        let attempts = "Attempts at a provider's model, by how they ended: a call may have several";
        split(encoder, &all, ("llm_gateway_provider_attempts", attempts, Counter), "outcome", |health| {
            Outcome::ALL.map(Outcome::as_str).into_iter().zip(&health.outcomes)
        })?;
        let failures = "Attempts that the provider failed, by the reason";
        split(encoder, &all, ("llm_gateway_provider_failures", failures, Counter), "reason", |health| {
            FAILURES.into_iter().zip(&health.failed_by)
        })?;
        let opened = "How often its breaker opened";
        each(encoder, &all, ("llm_gateway_provider_breaker_opened", opened, Counter), |health, _| {
            health.opened.load(Relaxed)
        })?;
        let refused = "Retries that were not made, so as not to multiply an outage";
        each(encoder, &all, ("llm_gateway_provider_retries_refused", refused, Counter), |health, _| {
            health.unretried.load(Relaxed)
        })?;
        let state = "0: closed, takes calls; 1: half open, takes one call to see; 2: open, takes none";
        each(encoder, &all, ("llm_gateway_provider_breaker_state", state, Gauge), |health, settings| {
            match health.breaker.state(clock::now(), settings) {
                State::Closed => 0,
                State::HalfOpen => 1,
                State::Open { .. } => 2,
            }
        })?;
        let in_flight = "Attempts that have not ended";
        each(encoder, &all, ("llm_gateway_provider_in_flight", in_flight, Gauge), |health, _| {
            health.in_flight.load(Relaxed).into()
        })?;
        room(encoder, &self.0.gates())
    }
}

/// What limits leave at each provider.
fn room(encoder: &mut DescriptorEncoder<'_>, gates: &[(Arc<str>, Arc<Gate>)]) -> fmt::Result {
    let waiting = "Calls that wait for room within the limits of the provider";
    let gauge = MetricType::Gauge;
    let mut family = encoder.encode_descriptor("llm_gateway_provider_waiting", waiting, None, gauge)?;
    for (provider, gate) in gates {
        family.encode_family(&[("provider", &**provider)])?.encode_gauge(&gate.waiting())?;
    }
    let most = "What this proxy asks of the provider at most: its own part, where all proxies share a limit";
    let mut family = encoder.encode_descriptor("llm_gateway_provider_limit", most, None, gauge)?;
    for (provider, gate) in gates {
        let Limits { concurrent, requests_per_minute, tokens_per_minute, .. } = gate.limits();
        let limits = [
            ("concurrent_requests", concurrent.map(u64::from)),
            ("requests_per_minute", requests_per_minute),
            ("tokens_per_minute", tokens_per_minute),
        ];
        for (limit, most) in limits.into_iter().filter_map(|(limit, most)| Some((limit, most?))) {
            family.encode_family(&[("provider", &**provider), ("limit", limit)])?.encode_gauge(&most)?;
        }
    }
    Ok(())
}

/// A sample for each model.
fn each(
    encoder: &mut DescriptorEncoder<'_>,
    all: &All,
    (name, help, kind): Family,
    value: impl Fn(&Health, &Settings) -> u64,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for ((provider, model), health, settings) in all {
        let labels = [("provider", &**provider), ("model", &**model)];
        let mut sample = family.encode_family(&labels)?;
        match kind {
            MetricType::Counter => sample.encode_counter(&value(health, settings), NoExemplar::None)?,
            _ => sample.encode_gauge(&value(health, settings))?,
        }
    }
    Ok(())
}

/// Of each model a sample for each count that is not zero, told apart by a label.
fn split<'h, C>(
    encoder: &mut DescriptorEncoder<'_>,
    all: &'h All,
    (name, help, kind): Family,
    by: &'static str,
    counts: impl Fn(&'h Health) -> C,
) -> fmt::Result
where
    C: Iterator<Item = (&'static str, &'h AtomicU64)>,
{
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for ((provider, model), health, _) in all {
        for (of, count) in counts(health) {
            let count = count.load(Relaxed);
            if count > 0 {
                let labels = [("provider", &**provider), ("model", &**model), (by, of)];
                family.encode_family(&labels)?.encode_counter(&count, NoExemplar::None)?;
            }
        }
    }
    Ok(())
}
