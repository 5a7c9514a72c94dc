//! A line for each request, on standard output. Workers hand over a record and go on; a thread of
//! its own formats and writes. When the reader of the output is too slow, lines are dropped and
//! counted: a log never holds up a call.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::IpAddr,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use clap::ValueEnum;
use llm_dialect::reply::Usage;
use serde::Serialize;

use crate::{metrics::Metrics, money::Usd, snapshot::callers::Identity};

/// Records that may wait to be written.
const WAITING: usize = 8192;
/// How long the writer lets records gather behind the first. A worker that finds it asleep pays for
/// waking it; at thousands of calls a second that cost more than all else about the log.
const GATHER: Duration = Duration::from_millis(2);

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for a person.
    Text,
    /// A JSON object a line, for a program.
    Json,
    /// No lines.
    Off,
}

/// One request that is over.
#[derive(Debug)]
pub struct Record {
    /// `x-llm-request-id` of the reply.
    pub id: u64,
    pub at: SystemTime,
    pub caller: IpAddr,
    pub identity: Option<Arc<Identity>>,
    pub route: Option<Arc<str>>,
    /// The model by the name that was asked for.
    pub model: Option<Box<str>>,
    pub labels: Labels,
    pub provider: Option<Arc<str>>,
    pub status: u16,
    pub usage: Usage,
    /// The tokens are counted from what was seen: the provider named none.
    pub estimated: bool,
    pub cost_nano_usd: u64,
    pub first_byte: Option<Duration>,
    pub total: Duration,
    pub attempts: u8,
    pub error: Option<&'static str>,
    /// What a person should know of it besides.
    pub reason: Option<String>,
}

/// Who called and what for, as the request said.
#[derive(Debug, Default)]
pub struct Labels {
    pub user: Option<Box<str>>,
    pub project: Option<Box<str>>,
    pub feature: Option<Box<str>>,
}

/// Where workers hand over.
#[derive(Clone, Debug)]
pub struct RequestLog {
    sender: Option<SyncSender<Option<Record>>>,
    metrics: Arc<Metrics>,
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer(Option<(SyncSender<Option<Record>>, JoinHandle<()>)>);

impl RequestLog {
    /// Starts the writer.
    pub fn start(format: Format, metrics: Arc<Metrics>) -> (Self, Writer) {
        if format == Format::Off {
            return (Self { sender: None, metrics }, Writer(None));
        }
        let (sender, receiver) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("request-log".to_owned()).spawn(move || {
            // Standard output is gone: there is nobody left to tell.
            let _closed = write(&receiver, format);
        });
        let writer = Writer(thread.ok().map(|thread| (sender.clone(), thread)));
        (Self { sender: Some(sender), metrics }, writer)
    }

    /// Whether a record would be written.
    pub fn is_on(&self) -> bool {
        self.sender.is_some()
    }

    /// Hands over a record, or drops it when too many wait.
    pub fn write(&self, record: Record) {
        if let Some(sender) = &self.sender
            && sender.try_send(Some(record)).is_err()
        {
            self.metrics.log_dropped.inc();
        }
    }
}

impl Writer {
    /// Ends the log: waits until the last line is out.
    pub fn finish(self) {
        if let Some((sender, thread)) = self.0
            && sender.send(None).is_ok()
        {
            // A writer that panicked has already said so.
            let _panicked = thread.join();
        }
    }
}

fn write(records: &Receiver<Option<Record>>, format: Format) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(64 * 1024, io::stdout());
    if format == Format::Text {
        out.write_all(header().as_bytes())?;
        out.flush()?;
    }
    let mut line = String::new();
    while let Ok(Some(first)) = records.recv() {
        std::thread::sleep(GATHER);
        let mut next = Some(first);
        // Lines that wait together are written together.
        while let Some(record) = next {
            line.clear();
            match format {
                Format::Json => json(&record, &mut line),
                Format::Text | Format::Off => text(&record, &mut line),
            }
            line.push('\n');
            out.write_all(line.as_bytes())?;
            next = match records.try_recv() {
                Ok(Some(record)) => Some(record),
                Ok(None) => return out.flush(),
                Err(_) => None,
            };
        }
        out.flush()?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: String,
    caller: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_service_account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_pod: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_certificate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feature: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    status: u16,
    input_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cached_input_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cache_write_tokens: u64,
    output_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    reasoning_tokens: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    estimated: bool,
    #[serde(serialize_with = "as_text")]
    cost_usd: Usd,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<f64>,
    duration_ms: f64,
    attempts: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn as_text<S: serde::Serializer>(usd: &Usd, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(usd)
}

fn json(record: &Record, line: &mut String) {
    let identity = record.identity.as_deref();
    let shown = Line {
        time: format!("{:.3}", jiff::Timestamp::try_from(record.at).unwrap_or_default()),
        request_id: format!("{:016x}", record.id),
        caller: record.caller,
        caller_namespace: identity.and_then(|caller| caller.namespace.as_deref()),
        caller_service_account: identity.and_then(|caller| caller.service_account.as_deref()),
        caller_pod: identity.and_then(|caller| caller.pod.as_deref()),
        caller_key: identity.and_then(|caller| caller.key.as_deref()),
        caller_certificate: identity.and_then(|caller| caller.certificate.as_deref()),
        route: record.route.as_deref(),
        model: record.model.as_deref(),
        user: record.labels.user.as_deref(),
        project: record.labels.project.as_deref(),
        feature: record.labels.feature.as_deref(),
        provider: record.provider.as_deref(),
        status: record.status,
        input_tokens: record.usage.input,
        cached_input_tokens: record.usage.cached_input,
        cache_write_tokens: record.usage.cache_write,
        output_tokens: record.usage.output,
        reasoning_tokens: record.usage.reasoning,
        estimated: record.estimated,
        cost_usd: Usd(record.cost_nano_usd),
        first_byte_ms: record.first_byte.map(millis),
        duration_ms: millis(record.total),
        attempts: record.attempts,
        error: record.error,
        reason: record.reason.as_deref(),
    };
    // Strings and numbers only: it can't fail.
    line.push_str(&serde_json::to_string(&shown).unwrap_or_default());
}

fn header() -> String {
    format!(
        "{:<8} {:<15} {:<20} {:<20} {:<28} {:>6} {:>7} {:>7} {:>12} {:>9} {:>9}\n",
        "TIME", "CALLER", "ROUTE", "MODEL", "PROVIDER", "STATUS", "IN", "OUT", "COST", "FIRST ms", "ALL ms"
    )
}

fn text(record: &Record, line: &mut String) {
    let time = jiff::Timestamp::try_from(record.at).unwrap_or_default().strftime("%H:%M:%S");
    let first = record.first_byte.map_or_else(|| "-".to_owned(), |first| format!("{:.1}", millis(first)));
    let mark = if record.estimated { "~" } else { "" };
    let cost = format!(
        "${}.{:06}",
        record.cost_nano_usd / 1_000_000_000,
        record.cost_nano_usd % 1_000_000_000 / 1_000
    );
    // Writing to a string can't fail.
    let _infallible = write!(
        line,
        "{time:<8} {:<15} {:<20} {:<20} {:<28} {:>6} {:>7} {:>7} {cost:>12} {first:>9} {:>9.1}",
        record.identity.as_ref().map_or_else(|| record.caller.to_string(), |caller| caller.to_string()),
        record.route.as_deref().unwrap_or("-"),
        record.model.as_deref().unwrap_or("-"),
        record.provider.as_deref().unwrap_or("-"),
        record.status,
        format!("{mark}{}", record.usage.input),
        format!("{mark}{}", record.usage.output),
        millis(record.total),
    );
    if let Some(error) = record.error {
        let _infallible = write!(line, "  {error}");
    }
    if let Some(reason) = &record.reason {
        let _infallible = write!(line, "  {reason}");
    }
    if record.attempts > 1 {
        let _infallible = write!(line, "  {} attempts", record.attempts);
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
