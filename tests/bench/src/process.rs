//! Child processes: pinned to a core, gone when the driver is gone.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use llm_bench::{self as usage, Outcome};

/// Who runs where. Upstream and wrk share a core where there are only two.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    pub proxy: usize,
    pub upstream: usize,
    pub wrk: usize,
}

impl Cores {
    /// From what this process may use.
    pub fn new() -> Outcome<Self> {
        let allowed = usage::status("self", "Cpus_allowed_list")?;
        let mut cores = Vec::new();
        for range in allowed.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            cores.extend(first.parse::<usize>()?..=last.parse::<usize>()?);
        }
        match cores[..] {
            [proxy, upstream] => Ok(Self { proxy, upstream, wrk: upstream }),
            [proxy, upstream, wrk, ..] => Ok(Self { proxy, upstream, wrk }),
            _ => Err("at least two cores are needed".into()),
        }
    }

    /// Moves this process away from the proxy's core.
    pub fn move_driver(self) -> Outcome<()> {
        let moved = Command::new("taskset")
            .args(["-cp", &self.wrk.to_string(), &std::process::id().to_string()])
            .stdout(Stdio::null())
            .status()?;
        if moved.success() { Ok(()) } else { Err("taskset can't move the driver".into()) }
    }
}

/// The program on that core; the kernel kills it when the driver dies, by whatever cause.
pub fn pinned(core: usize, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "taskset", "-c", &core.to_string()])
        .arg(program)
        .stdin(Stdio::null());
    command
}

/// A running program, killed on drop.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> Outcome<Self> {
        Ok(Self(command.spawn().map_err(|error| format!("{command:?}: {error}"))?))
    }

    /// Starts a program of the harness and reads its line `ready ADDRESS`.
    pub fn start_ready(command: &mut Command) -> Outcome<(Self, SocketAddr)> {
        let mut running = Self::start(command.stdout(Stdio::piped()))?;
        let mut line = String::new();
        if let Some(output) = running.0.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address =
            line.trim().strip_prefix("ready ").ok_or_else(|| format!("{command:?} did not start"))?;
        Ok((running, address.parse()?))
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Outcome<Option<String>> {
        Ok(self.0.try_wait()?.map(|status| status.to_string()))
    }

    /// Resident memory now, in KiB.
    pub fn resident(&self) -> Outcome<f64> {
        usage::resident(self.0.id())
    }

    /// The most resident memory since its start, in KiB.
    pub fn peak(&self) -> Outcome<f64> {
        usage::peak(self.0.id())
    }

    /// CPU time of all its threads since its start.
    pub fn cpu(&self) -> Outcome<Duration> {
        usage::cpu(self.0.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ended = self.0.kill();
        let _gone = self.0.wait();
    }
}
