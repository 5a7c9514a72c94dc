//! What each caller takes. Callers come and go with tokens, so that their number is not the configuration's:
//! beyond a bound they are counted together.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use http::StatusCode;
use llm_dialect::reply::Usage;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet},
    metrics::MetricType,
};

use super::{CLASSES, by_class, class, counter, usd};

/// Callers that are told apart, at most.
const TOLD_APART: usize = 1000;

/// Who calls. All that is not known is empty; `other` stands for those who came when there were very many.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct CallerLabels {
    pub caller_namespace: String,
    pub caller_service_account: String,
    pub caller_key: String,
    pub caller_certificate: String,
}

impl CallerLabels {
    /// A ServiceAccount.
    pub fn account(namespace: &str, name: &str) -> Self {
        Self {
            caller_namespace: namespace.to_owned(),
            caller_service_account: name.to_owned(),
            ..Self::default()
        }
    }
}

/// The counters of one caller.
#[derive(Debug, Default)]
pub struct CallerSeries {
    requests: [AtomicU64; CLASSES.len()],
    input_tokens: AtomicU64,
    output_tokens: AtomicU64,
    cost_nano_usd: AtomicU64,
}

impl CallerSeries {
    /// Counts a call that is over.
    pub fn call(&self, status: StatusCode, usage: Usage, cost_nano_usd: u64) {
        self.requests[class(status)].fetch_add(1, Relaxed);
        self.input_tokens.fetch_add(usage.input, Relaxed);
        self.output_tokens.fetch_add(usage.output, Relaxed);
        self.cost_nano_usd.fetch_add(cost_nano_usd, Relaxed);
    }
}

/// All callers.
#[derive(Clone, Debug, Default)]
pub struct Callers(Arc<Mutex<BTreeMap<CallerLabels, Arc<CallerSeries>>>>);

impl Callers {
    pub fn series(&self, labels: CallerLabels) -> Arc<CallerSeries> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = if all.len() < TOLD_APART || all.contains_key(&labels) {
            labels
        } else {
            CallerLabels::account("other", "other")
        };
        all.entry(labels).or_default().clone()
    }
}

impl Collector for Callers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all: Vec<(CallerLabels, Arc<CallerSeries>)> = {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().map(|(labels, series)| (labels.clone(), series.clone())).collect()
        };
        let mut family = encoder.encode_descriptor(
            "llm_gateway_caller_requests",
            "Calls of a known caller, by the class of the status that it got",
            None,
            MetricType::Counter,
        )?;
        for (labels, series) in &all {
            by_class(&mut family, labels, &series.requests)?;
        }
        let tokens: [(&str, &str, Count); 2] = [
            ("llm_gateway_caller_input_tokens", "Input tokens of a known caller", |s| &s.input_tokens),
            ("llm_gateway_caller_output_tokens", "Output tokens of a known caller", |s| &s.output_tokens),
        ];
        for (name, help, tokens) in tokens {
            counter(&mut encoder, &all, name, help, |series: &CallerSeries| tokens(series).load(Relaxed))?;
        }
        counter(
            &mut encoder,
            &all,
            "llm_gateway_caller_cost_usd",
            "What the calls of a known caller cost by the prices of their pools",
            |series: &CallerSeries| usd(&series.cost_nano_usd),
        )
    }
}

type Count = fn(&CallerSeries) -> &AtomicU64;
