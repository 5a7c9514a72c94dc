//! What the system says of a process: its memory and its CPU time. A library, because both benchmarks ask.

use std::{error::Error, fs, time::Duration};

/// What a benchmark's step comes to.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Linux counts the CPU time of a process in hundredths of a second, on every architecture that it shows
/// to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory now, in KiB.
///
/// # Errors
/// When there is no such process.
pub fn resident(process: u32) -> Outcome<f64> {
    kibibytes(&status(&process.to_string(), "VmRSS")?)
}

/// The most resident memory since its start, in KiB.
///
/// # Errors
/// When there is no such process.
pub fn peak(process: u32) -> Outcome<f64> {
    kibibytes(&status(&process.to_string(), "VmHWM")?)
}

/// CPU time of all its threads since its start.
///
/// # Errors
/// When there is no such process.
pub fn cpu(process: u32) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold spaces; user and system time are the 12th and 13th after it.
    let fields = stat.rsplit_once(") ").ok_or("/proc: no name in stat")?.1;
    let ticks: u32 = fields.split(' ').skip(11).take(2).map(str::parse::<u32>).sum::<Result<_, _>>()?;
    Ok(Duration::from_secs_f64(f64::from(ticks) / TICKS_PER_SECOND))
}

/// A field of the status of a process, or of `self`.
///
/// # Errors
/// When there is none.
pub fn status(process: &str, field: &str) -> Outcome<String> {
    let file = format!("/proc/{process}/status");
    let text = fs::read_to_string(&file)?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(value.ok_or_else(|| format!("{file}: no {field}"))?.trim().to_owned())
}

/// The model of the processor, the system's release, and its load now.
pub fn machine() -> (String, String, String) {
    let first = |file: &str, field: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(field)).unwrap_or("unknown").to_owned();
        line.rsplit(": ").next().unwrap_or_default().to_owned()
    };
    let load = first("/proc/loadavg", "");
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    (first("/proc/cpuinfo", "model name"), first("/proc/sys/kernel/osrelease", ""), load)
}

fn kibibytes(text: &str) -> Outcome<f64> {
    Ok(text.trim_end_matches(" kB").parse()?)
}
