//! A line for each request, on standard output. Workers hand over a record and go on; a thread of
//! its own formats and writes. When the reader of the output is too slow, lines are dropped and
//! counted: a log never holds up a call.

use std::{
    io::{self, Write as _},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use clap::ValueEnum;
use llm_dialect::reply::Usage;
use serde::Serialize;
use tokio::time::Instant;

use crate::{metrics::Metrics, money::Usd, snapshot::callers::Identity, stage::report::hex};

/// Records that may wait to be written. They are counted beside a channel without a bound: the ring of one with this bound
/// would have left the processor's cache each time that it comes round.
const WAITING: usize = 8192;
/// Of records that are written, so many are told at once.
const TOLD: usize = 64;
/// How long the writer lets records gather behind the first. A worker that finds it asleep pays for
/// waking it; at thousands of calls a second that cost more than all else about the log.
const GATHER: Duration = Duration::from_millis(10);

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
    pub began: Instant,
    pub caller: IpAddr,
    pub identity: Option<Arc<Identity>>,
    pub route: Option<Arc<str>>,
    /// The model by the name that was asked for.
    pub model: Option<Arc<str>>,
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
    pub user: Option<Arc<str>>,
    pub project: Option<Arc<str>>,
    pub feature: Option<Arc<str>>,
}

/// Where workers hand over.
#[derive(Clone, Debug)]
pub struct RequestLog {
    sender: Option<Sender<Option<Record>>>,
    waiting: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer(Option<(Sender<Option<Record>>, JoinHandle<()>)>);

impl RequestLog {
    /// Starts the writer.
    pub fn start(format: Format, metrics: Arc<Metrics>) -> (Self, Writer) {
        let waiting = Arc::new(AtomicUsize::new(0));
        if format == Format::Off {
            return (Self { sender: None, waiting, metrics }, Writer(None));
        }
        let (sender, receiver) = channel();
        let records = Records { receiver, waiting: waiting.clone(), written: 0 };
        let thread = std::thread::Builder::new().name("request-log".to_owned()).spawn(move || {
            // Standard output is gone: there is nobody left to tell.
            let _closed = write(records, format);
        });
        let writer = Writer(thread.ok().map(|thread| (sender.clone(), thread)));
        (Self { sender: Some(sender), waiting, metrics }, writer)
    }

    /// Whether a record would be written.
    pub fn is_on(&self) -> bool {
        self.sender.is_some()
    }

    /// Hands over a record, or drops it when too many wait.
    pub fn write(&self, record: Record) {
        let Some(sender) = &self.sender else { return };
        let is_room = self.waiting.fetch_add(1, Relaxed) < WAITING;
        if !is_room {
            self.waiting.fetch_sub(1, Relaxed);
        }
        if !is_room || sender.send(Some(record)).is_err() {
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

/// What the writer is handed.
struct Records {
    receiver: Receiver<Option<Record>>,
    waiting: Arc<AtomicUsize>,
    /// Records that do not wait any more, and are still counted.
    written: usize,
}

impl Records {
    fn tell(&mut self) {
        self.waiting.fetch_sub(std::mem::take(&mut self.written), Relaxed);
    }
}

fn write(mut records: Records, format: Format) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(64 * 1024, io::stdout());
    if format == Format::Text {
        out.write_all(header().as_bytes())?;
        out.flush()?;
    }
    let (mut line, mut stamp, mut wall) = (Vec::new(), Stamp::default(), Wall::now());
    while let Ok(Some(first)) = records.receiver.recv() {
        std::thread::sleep(GATHER);
        let mut next = Some(first);
        // Lines that wait together are written together.
        while let Some(record) = next {
            line.clear();
            let at = wall.at(record.began);
            match format {
                Format::Json => json(&record, at, &mut stamp, &mut line),
                Format::Text | Format::Off => text(&record, at, &mut line),
            }
            line.push(b'\n');
            out.write_all(&line)?;
            records.written += 1;
            if records.written == TOLD {
                records.tell();
            }
            next = match records.receiver.try_recv() {
                Ok(Some(record)) => Some(record),
                Ok(None) => return out.flush(),
                Err(_) => None,
            };
        }
        records.tell();
        out.flush()?;
    }
    Ok(())
}

/// A moment by both clocks. Workers look at one only, for each of their calls; where the other is set while a call lasts,
/// the call began at what that says now.
#[derive(Clone, Copy)]
struct Wall {
    wall: SystemTime,
    moment: Instant,
}

impl Wall {
    /// So much later the one clock may have been set.
    const GOOD_FOR: Duration = Duration::from_secs(1);

    fn now() -> Self {
        Self { wall: SystemTime::now(), moment: Instant::now() }
    }

    /// The time of day of another moment.
    fn at(&mut self, moment: Instant) -> SystemTime {
        if moment.saturating_duration_since(self.moment) > Self::GOOD_FOR {
            *self = Self::now();
        }
        let later = moment.saturating_duration_since(self.moment);
        let earlier = self.moment.saturating_duration_since(moment);
        (self.wall + later).checked_sub(earlier).unwrap_or(self.wall)
    }
}

/// Writes an object, field by field: to have serde do it for a struct costs a call as much as to route it.
struct Object<'a>(&'a mut Vec<u8>);

impl Object<'_> {
    /// `name` is one of ours, and needs no escapes.
    fn field(&mut self, name: &'static str, value: impl Serialize) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        // Strings and numbers only, into memory: it can't fail.
        let _infallible = serde_json::to_writer(&mut *self.0, &value);
    }

    fn some(&mut self, name: &'static str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    fn count(&mut self, name: &'static str, count: u64) {
        self.some(name, (count > 0).then_some(count));
    }
}

/// Seconds since 1970, and how a line that ends in them begins.
#[derive(Default)]
struct Stamp {
    second: u64,
    text: String,
}

impl Stamp {
    /// The beginning of a line: many are of the same second.
    fn begin(&mut self, at: SystemTime, line: &mut Vec<u8>) {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() || self.text.is_empty() {
            self.second = since.as_secs();
            let whole = jiff::Timestamp::from_second(i64::try_from(self.second).unwrap_or_default());
            let whole = whole.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S");
            self.text = format!("{{\"time\":\"{whole}");
        }
        line.extend_from_slice(self.text.as_bytes());
        let millis = since.subsec_millis();
        let digit = |tens: u32| b'0' + (millis / tens % 10) as u8;
        line.extend_from_slice(&[b'.', digit(100), digit(10), digit(1), b'Z', b'"']);
    }
}

fn json(record: &Record, at: SystemTime, stamp: &mut Stamp, line: &mut Vec<u8>) {
    stamp.begin(at, line);
    let Record { identity, labels, usage, .. } = record;
    let identity = identity.as_deref();
    let mut object = Object(line);
    object.field("request_id", std::str::from_utf8(&hex(record.id)).unwrap_or_default());
    object.field("caller", record.caller);
    object.some("caller_namespace", identity.and_then(|caller| caller.namespace.as_deref()));
    object.some("caller_service_account", identity.and_then(|caller| caller.service_account.as_deref()));
    object.some("caller_pod", identity.and_then(|caller| caller.pod.as_deref()));
    object.some("caller_key", identity.and_then(|caller| caller.key.as_deref()));
    object.some("caller_certificate", identity.and_then(|caller| caller.certificate.as_deref()));
    object.some("route", record.route.as_deref());
    object.some("model", record.model.as_deref());
    object.some("user", labels.user.as_deref());
    object.some("project", labels.project.as_deref());
    object.some("feature", labels.feature.as_deref());
    object.some("provider", record.provider.as_deref());
    object.field("status", record.status);
    object.field("input_tokens", usage.input);
    object.count("cached_input_tokens", usage.cached_input);
    object.count("cache_write_tokens", usage.cache_write);
    object.field("output_tokens", usage.output);
    object.count("reasoning_tokens", usage.reasoning);
    object.some("estimated", record.estimated.then_some(true));
    Usd(record.cost_nano_usd)
        .with_text(|text| object.field("cost_usd", std::str::from_utf8(text).unwrap_or_default()));
    object.some("first_byte_ms", record.first_byte.map(millis));
    object.field("duration_ms", millis(record.total));
    object.field("attempts", record.attempts);
    object.some("error", record.error);
    object.some("reason", record.reason.as_deref());
    line.push(b'}');
}

fn header() -> String {
    format!(
        "{:<8} {:<15} {:<20} {:<20} {:<28} {:>6} {:>7} {:>7} {:>12} {:>9} {:>9}\n",
        "TIME", "CALLER", "ROUTE", "MODEL", "PROVIDER", "STATUS", "IN", "OUT", "COST", "FIRST ms", "ALL ms"
    )
}

fn text(record: &Record, at: SystemTime, line: &mut Vec<u8>) {
    let time = jiff::Timestamp::try_from(at).unwrap_or_default().strftime("%H:%M:%S");
    let first = record.first_byte.map_or_else(|| "-".to_owned(), |first| format!("{:.1}", millis(first)));
    let mark = if record.estimated { "~" } else { "" };
    let cost = format!(
        "${}.{:06}",
        record.cost_nano_usd / 1_000_000_000,
        record.cost_nano_usd % 1_000_000_000 / 1_000
    );
    // Writing to memory can't fail.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            id: 1,
            began: Instant::now(),
            caller: std::net::Ipv4Addr::LOCALHOST.into(),
            identity: None,
            route: None,
            model: None,
            labels: Labels::default(),
            provider: None,
            status: 200,
            usage: Usage::default(),
            estimated: false,
            cost_nano_usd: 0,
            first_byte: None,
            total: Duration::ZERO,
            attempts: 1,
            error: None,
            reason: None,
        }
    }

    #[test]
    fn what_nobody_takes_is_dropped_from_a_bound_on_and_counted() {
        let (sender, receiver) = channel();
        let (waiting, metrics) = (Arc::new(AtomicUsize::new(0)), Arc::new(Metrics::default()));
        let log = RequestLog { sender: Some(sender), waiting: waiting.clone(), metrics: metrics.clone() };
        (0..WAITING + 5).for_each(|_| log.write(record()));
        assert_eq!(metrics.log_dropped.get(), 5);
        let taken = receiver.try_iter().count();
        assert_eq!(taken, WAITING);
        // There is room again as soon as that is told.
        let mut records = Records { receiver, waiting, written: 10 };
        records.tell();
        (0..12).for_each(|_| log.write(record()));
        assert_eq!(metrics.log_dropped.get(), 5 + 2);
        drop(records);
        log.write(record());
        assert_eq!(metrics.log_dropped.get(), 5 + 2 + 1, "nobody is left to take it");
    }

    #[test]
    fn a_moment_has_its_time_of_day() {
        let mut wall = Wall::now();
        let Wall { wall: at, moment } = wall;
        let (hour, instant) = (Duration::from_secs(3600), Duration::from_millis(10));
        assert_eq!(wall.at(moment), at);
        assert_eq!(Some(wall.at(moment - hour)), at.checked_sub(hour));
        assert_eq!(wall.at(moment + instant), at + instant);
        // The clocks are looked at again: the one may have been set.
        let later = wall.at(moment + hour);
        assert!(wall.moment >= moment && later >= at + hour - Duration::from_secs(60), "{later:?}");
    }
}
