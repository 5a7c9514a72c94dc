//! Every metric family and its labels. Label values come from the configuration, never from a
//! request, so that their number is bounded; each combination is one [`Series`], found once when a
//! snapshot is built and then counted on with atomics alone.

mod budgets;
mod callers;
mod providers;
mod tls;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;
use llm_dialect::reply::Usage;
use llm_routing::average::Decaying;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeLabelSet, LabelSetEncoder, MetricEncoder},
    metrics::{MetricType, counter::Counter, exemplar::Exemplar, family::Family},
    registry::Registry,
};

use crate::{budget::Purses, upstream::health::Healths};

use budgets::Budgets;
use callers::Callers;
pub use callers::{CallerLabels, CallerSeries};
use providers::Providers;
pub use tls::{HandshakeFailure, Tls};

/// Upper bounds of the duration buckets, in milliseconds.
const BUCKETS_MS: [f64; 15] =
    [1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5];

/// No reply is longer, whatever its provider counts.
const LONGEST_OUTPUT: u64 = 10_000_000;
/// After so long, the length of a reply counts half in what is expected of the next.
const OUTPUT_HALF_LIFE: Duration = Duration::from_secs(3600);

/// What a series is about. All are empty for calls that were refused before they had a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct Labels {
    /// `namespace/name` of the LLMRoute.
    pub route: Arc<str>,
    /// `namespace/pool/provider`.
    pub provider: Arc<str>,
    /// The model that answered, by the pool's name.
    pub model: Arc<str>,
}

/// The counters of one route, provider and model.
#[derive(Debug, Default)]
pub struct Series {
    /// By status class, 1xx to 5xx.
    requests: [AtomicU64; 5],
    /// By bucket, the last one without bound.
    durations: [AtomicU64; BUCKETS_MS.len() + 1],
    duration_sum_us: AtomicU64,
    input_tokens: AtomicU64,
    cached_input_tokens: AtomicU64,
    cache_write_tokens: AtomicU64,
    output_tokens: AtomicU64,
    reasoning_tokens: AtomicU64,
    cost_nano_usd: AtomicU64,
    output_overruns: AtomicU64,
    usage_doubted: AtomicU64,
    output_of_a_call: Output,
}

/// The mean of the output tokens of a call, lately.
#[derive(Debug)]
struct Output(Decaying);

impl Default for Output {
    fn default() -> Self {
        Self(Decaying::new(OUTPUT_HALF_LIFE))
    }
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The place among [`CLASSES`].
fn class(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1
}

impl Series {
    /// Counts a call that is over.
    pub fn call(&self, status: StatusCode, took: Duration) {
        self.requests[class(status)].fetch_add(1, Relaxed);
        let ms = took.as_secs_f64() * 1e3;
        let bucket = BUCKETS_MS.iter().position(|bound| ms <= *bound).unwrap_or(BUCKETS_MS.len());
        self.durations[bucket].fetch_add(1, Relaxed);
        self.duration_sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Counts what it took.
    pub fn usage(&self, usage: Usage, cost_nano_usd: u64, now: Duration) {
        self.input_tokens.fetch_add(usage.input, Relaxed);
        self.output_tokens.fetch_add(usage.output, Relaxed);
        // Most calls have none of these: an addition of nothing is still a write.
        for (counter, tokens) in [
            (&self.cached_input_tokens, usage.cached_input),
            (&self.cache_write_tokens, usage.cache_write),
            (&self.reasoning_tokens, usage.reasoning),
        ] {
            if tokens > 0 {
                counter.fetch_add(tokens, Relaxed);
            }
        }
        self.cost_nano_usd.fetch_add(cost_nano_usd, Relaxed);
        if usage.output > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a mean, not a bill")]
            self.output_of_a_call.0.observe(usage.output.min(LONGEST_OUTPUT) as f32, now);
        }
    }

    /// Counts a call whose provider gave more output than it was told to.
    pub fn overran(&self) {
        self.output_overruns.fetch_add(1, Relaxed);
    }

    /// Counts a call whose provider named more tokens than there can be.
    pub fn doubted(&self) {
        self.usage_doubted.fetch_add(1, Relaxed);
    }

    /// How many tokens a reply has, from those before; `None` before the first.
    pub fn expected_output(&self) -> Option<f32> {
        self.output_of_a_call.0.get()
    }
}

/// All that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    healths: Arc<Healths>,
    purses: Arc<Purses>,
    series: Mutex<BTreeMap<Labels, Arc<Series>>>,
    callers: Callers,
    pub config_updates: Counter,
    pub config_refused: Counter,
    pub log_dropped: Counter,
    pub tls: Tls,
    errors: Family<ErrorLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    code: &'static str,
}

impl Metrics {
    pub fn new(healths: Arc<Healths>, purses: Arc<Purses>) -> Self {
        Self { healths, purses, ..Self::default() }
    }

    /// Counts a call that ended in an error; its code is one of a fixed set.
    pub fn error(&self, code: &'static str) {
        self.errors.get_or_create(&ErrorLabels { code }).inc();
    }

    /// The series of these labels, the same each time.
    pub fn series(&self, labels: &Labels) -> Arc<Series> {
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(labels.clone()).or_default().clone()
    }

    /// The series of a caller, the same each time; those who come when there are very many share one.
    pub fn caller(&self, labels: CallerLabels) -> Arc<CallerSeries> {
        self.callers.series(labels)
    }

    /// Forgets the series that nothing holds: those of objects that are gone.
    pub fn forget_unused(&self) {
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|labels, series| labels.route.is_empty() || Arc::strong_count(series) > 1);
    }

    /// The exposition in OpenMetrics text.
    ///
    /// # Errors
    /// Never in practice: writing to a string can't fail.
    pub fn exposition(self: &Arc<Self>) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(SeriesCollector(self.clone())));
        registry.register_collector(Box::new(self.callers.clone()));
        registry.register_collector(Box::new(Providers(self.healths.clone())));
        registry.register_collector(Box::new(Budgets(self.purses.clone())));
        registry.register(
            "llm_gateway_config_updates",
            "Configuration updates put in force",
            self.config_updates.clone(),
        );
        registry.register(
            "llm_gateway_config_refused",
            "Configuration updates refused, the last good one kept",
            self.config_refused.clone(),
        );
        registry.register(
            "llm_gateway_request_log_dropped",
            "Request log lines dropped because their reader was too slow",
            self.log_dropped.clone(),
        );
        registry.register(
            "llm_gateway_request_errors",
            "Calls that ended in an error of the gateway, by its code, or were hung up on",
            self.errors.clone(),
        );
        self.tls.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct SeriesCollector(Arc<Metrics>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusClass {
    status_class: &'static str,
}

type NoExemplar<'a> = Option<&'a Exemplar<Labels, u64>>;

impl Collector for SeriesCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let all: Vec<(Labels, Arc<Series>)> = {
            let all = self.0.series.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().map(|(labels, series)| (labels.clone(), series.clone())).collect()
        };
        let mut family = encoder.encode_descriptor(
            "llm_gateway_requests",
            "Calls, by the class of the status that the client got (499, hung up, among 4xx)",
            None,
            MetricType::Counter,
        )?;
        for (labels, series) in &all {
            by_class(&mut family, labels, &series.requests)?;
        }
        let mut family = encoder.encode_descriptor(
            "llm_gateway_request_duration_ms",
            "From the arrival of a call to its last byte, in milliseconds",
            None,
            MetricType::Histogram,
        )?;
        for (labels, series) in &all {
            series.encode_durations(family.encode_family(labels)?)?;
        }
        let tokens: [(&str, &str, Count); 5] = [
            ("llm_gateway_input_tokens", "Input tokens", |s| &s.input_tokens),
            (
                "llm_gateway_cached_input_tokens",
                "Input tokens that the provider had cached, among the input tokens",
                |s| &s.cached_input_tokens,
            ),
            (
                "llm_gateway_cache_write_tokens",
                "Input tokens that the provider has cached for later calls, among the input tokens",
                |s| &s.cache_write_tokens,
            ),
            ("llm_gateway_output_tokens", "Output tokens", |s| &s.output_tokens),
            (
                "llm_gateway_reasoning_tokens",
                "Output tokens that were reasoning, among the output tokens",
                |s| &s.reasoning_tokens,
            ),
        ];
        let routed: Vec<_> = all.into_iter().filter(|(labels, _)| !labels.route.is_empty()).collect();
        for (name, help, tokens) in tokens {
            counter(&mut encoder, &routed, name, help, |series: &Series| tokens(series).load(Relaxed))?;
        }
        counter(
            &mut encoder,
            &routed,
            "llm_gateway_cost_usd",
            "What calls cost by the prices of their pools",
            |series: &Series| usd(&series.cost_nano_usd),
        )?;
        counter(
            &mut encoder,
            &routed,
            "llm_gateway_output_overruns",
            "Calls whose provider gave more output than a strict budget had reserved: streams were ended, whole replies counted",
            |series: &Series| series.output_overruns.load(Relaxed),
        )?;
        counter(
            &mut encoder,
            &routed,
            "llm_gateway_usage_doubted",
            "Calls whose provider named more tokens than its model can take: charged what they had reserved",
            |series: &Series| series.usage_doubted.load(Relaxed),
        )
    }
}

type Count = fn(&Series) -> &AtomicU64;

/// Nano-USD are counted and USD shown: a whole number of them up to 9 million USD is exact.
fn usd(nano: &AtomicU64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a display of the integer that is counted")]
    let nano = nano.load(Relaxed) as f64;
    nano / 1e9
}

/// A family of one counter for each of `all`.
fn counter<L: EncodeLabelSet, S, V: EncodeCounterValue>(
    encoder: &mut DescriptorEncoder<'_>,
    all: &[(L, Arc<S>)],
    name: &str,
    help: &str,
    value: impl Fn(&S) -> V,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, series) in all {
        family.encode_family(labels)?.encode_counter(&value(series), NoExemplar::None)?;
    }
    Ok(())
}

impl Series {
    fn encode_durations(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let counts = self.durations.iter().map(|count| count.load(Relaxed));
        let bounds = BUCKETS_MS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        #[expect(clippy::cast_precision_loss, reason = "Prometheus keeps sums as floats")]
        let sum = self.duration_sum_us.load(Relaxed) as f64 / 1e3;
        encoder.encode_histogram::<Labels>(sum, count, &buckets, None)
    }
}

/// A counter for each class of status that there was.
fn by_class<L: EncodeLabelSet + Clone + fmt::Debug>(
    family: &mut MetricEncoder<'_>,
    labels: &L,
    counts: &[AtomicU64; CLASSES.len()],
) -> fmt::Result {
    for (status_class, count) in CLASSES.into_iter().zip(counts) {
        let count = count.load(Relaxed);
        if count > 0 {
            let labels = WithClass(labels.clone(), StatusClass { status_class });
            family.encode_family(&labels)?.encode_counter(&count, NoExemplar::None)?;
        }
    }
    Ok(())
}

/// Two label sets as one.
#[derive(Clone, Debug)]
struct WithClass<L>(L, StatusClass);

impl<L: EncodeLabelSet + fmt::Debug> EncodeLabelSet for WithClass<L> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)?;
        self.1.encode(encoder)
    }
}
