//! From figures to the report: the machine, the table, and what to mind when reading it.

use std::fmt::Write as _;

use crate::{
    Results,
    measure::{Measured, Plan, Sample},
    process::Cores,
    table::{Bar, Table, Unit},
    turns::{CALLS, Latency, PARTS, PAUSE},
};

pub const PER_SECOND: Unit = Unit { name: "/s", decimals: 0 };
pub const LATENCY: Unit = Unit { name: "us", decimals: 1 };
pub const CPU: Unit = Unit { name: "us", decimals: 1 };
const MEBIBYTES: Unit = Unit { name: "MiB", decimals: 1 };
const MILLISECONDS: Unit = Unit { name: "ms", decimals: 1 };
const PERCENT: Unit = Unit { name: "%", decimals: 0 };
/// No figure.
pub const NONE: f64 = f64::NAN;
/// Below this the proxy waited for others, and a ratio to it flatters ours.
const BUSY: f64 = 0.95;

pub fn write(results: &Results) -> String {
    let mut report = format!("{}\n\n{}\n", conditions(results), table(results).render());
    for note in notes(results) {
        // Writing to a String can't fail.
        let _written = writeln!(report, "- {note}");
    }
    report
}

fn table(results: &Results) -> Table {
    let Results { throughput, routed, latency, streams, translated, idle, peak, ready, .. } = results;
    let mut table = Table::of(["direct", "bare", "ours"], "ours to bare");
    let ratio = |[_, bare, ours]: [f64; 3]| (Unit::RATIO, ours / bare);
    let rates = throughput.medians(|s| s.per_second);
    table.compare("requests, 32 connections", PER_SECOND, rates, ratio(rates), Bar::AtLeast(0.8));
    let rates = routed.medians(|s| s.per_second);
    table.compare("the same, all of routing on", PER_SECOND, rates, ratio(rates), Bar::AtLeast(0.8));
    let medians = latency.medians;
    let [direct, bare, ours] = medians;
    let added = Unit { name: "us added", ..LATENCY };
    table.compare("median latency, 1 connection", LATENCY, medians, (added, ours - bare), Bar::AtMost(100.0));
    table.compare("the same, against direct", LATENCY, medians, (added, ours - direct), Bar::None);
    let rates = streams.medians(|s| s.per_second);
    table.compare("streams of 64 chunks", PER_SECOND, rates, ratio(rates), Bar::AtLeast(1.0));
    let memory = |[bare, ours]: [f64; 2]| [NONE, bare / 1024.0, ours / 1024.0];
    let [_, _, same] = streams.medians(|s| s.cpu);
    for (caller, sample) in translated {
        table.compare(
            &format!("CPU a stream, {caller} to OpenAI"),
            CPU,
            [NONE, NONE, sample.cpu],
            (Unit { name: "× same dialect", ..Unit::RATIO }, sample.cpu / same),
            Bar::AtMost(3.0),
        );
    }
    table.own("resident memory, idle", MEBIBYTES, memory(*idle), Bar::AtMost(12.0));
    table.own("resident memory, peak under load", MEBIBYTES, memory(*peak), Bar::None);
    table.own("start to ready", MILLISECONDS, [NONE, NONE, *ready], Bar::AtMost(100.0));
    table.own("CPU a request", CPU, throughput.medians(|s| s.cpu), Bar::None);
    table.own("CPU a request, all of routing on", CPU, routed.medians(|s| s.cpu), Bar::None);
    table.own("CPU a stream", CPU, streams.medians(|s| s.cpu), Bar::None);
    table.own("core busy, requests", PERCENT, throughput.medians(|s| s.busy * 100.0), Bar::None);
    table.own("core busy, streams", PERCENT, streams.medians(|s| s.busy * 100.0), Bar::None);
    table
}

fn conditions(results: &Results) -> String {
    let Results { cores, plan, starts, load_before, .. } = results;
    format!("{} Starts are {starts}.", machine(*cores, *plan, load_before))
}

/// What the figures were measured on, and how.
pub fn machine(cores: Cores, plan: Plan, load_before: &str) -> String {
    let (processor, system, _) = llm_bench::machine();
    format!(
        "{processor}, Linux {system}. Proxies on core {}, upstream on core {}, wrk on core {}. Medians of {} rounds of {} s \
         after {} s of load, the targets in turn. At one connection the driver itself calls, so long in all, in {PARTS} parts with other \
         proxies each, which it warms up as long; in turns of {CALLS} calls of a target, with {PAUSE:?} between two where nothing else is said. Load of the machine before: {} (figures are of use near 0 only).",
        cores.proxy,
        cores.upstream,
        cores.wrk,
        plan.rounds,
        plan.seconds,
        plan.warm_up,
        load_before.split(' ').next().unwrap_or_default(),
    )
}

fn notes(results: &Results) -> Vec<String> {
    let Results { throughput, routed, latency, streams, cores, .. } = results;
    let mut notes = vec![
        spread("requests", throughput, PER_SECOND, |s| s.per_second),
        spread("requests with all of routing on", routed, PER_SECOND, |s| s.per_second),
        by_part(latency),
        spread("streams", streams, PER_SECOND, |s| s.per_second),
    ];
    if cores.upstream == cores.wrk {
        notes.push(
            "upstream and wrk share a core: `direct` is not the upstream's own limit, and its latency has none \
             of the wake-ups from core to core that any proxy adds"
                .to_owned(),
        );
    }
    for (name, measured) in [("requests", throughput), ("streams", streams)] {
        let [_, bare, _] = measured.medians(|s| s.busy);
        if bare < BUSY {
            notes.push(format!(
                "{name}: the bare proxy had its core for only {}: the load, or other work on the machine, was the \
                 limit, and the ratio may flatter ours; the CPU for each tells them apart",
                PERCENT.show(bare * 100.0)
            ));
        }
    }
    notes
}

fn by_part(latency: &Latency) -> String {
    let show = |figure: fn(&[f64; 3]) -> f64| {
        let (low, high) = latency.spread(figure);
        format!("{low:.0} to {high:.0} us")
    };
    let (direct, bare, ours) = (show(|m| m[0]), show(|m| m[1]), show(|m| m[2]));
    let added = show(|[_, bare, ours]| ours - bare);
    format!("latency by eighth of the time: direct {direct}, bare {bare}, ours {ours}, which adds {added}")
}

/// The rounds apart from each other, to judge how far a median can be trusted.
fn spread(name: &str, measured: &Measured, unit: Unit, figure: impl Fn(&Sample) -> f64) -> String {
    let [direct, bare, ours] = measured.spread(figure);
    let show = |(low, high)| format!("{low:.0} to {}", unit.show(high));
    format!("{name} by round: direct {}, bare {}, ours {}", show(direct), show(bare), show(ours))
}
