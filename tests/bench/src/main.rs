//! `llm-bench`: measures `llm-proxy` against a bare hyper reverse proxy, in one run, before the same
//! upstream. One table goes to standard output and to `target/bench.md`. Bars are reported, not
//! asserted: on a busy machine a missed bar is a figure, not a failure. Start it by `tests/bench/run`.
//!
//! - [`process`]: children, on cores of their own.
//! - [`request`]: the two requests, and the check of their answers.
//! - [`config`]: what the proxy under test runs on.
//! - [`wrk`], [`measure`]: one run of wrk; rounds of them.
//! - [`turns`]: the latency of one connection.
//! - [`report`], [`table`]: what is said at the end.
//! - [`budgets`]: `llm-bench budgets`, what budgets cost.

mod process;
mod request;
mod config;
mod wrk;
mod measure;
mod turns;
mod table;
mod report;
mod budgets;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use llm_bench::Outcome;

use measure::{Measured, Plan, Sample, Target, measure, measure_one, median};
use process::{Cores, Running, pinned};
use turns::{Latency, PARTS, PAUSE, Turns};
use wrk::Load;

const MANY: u32 = 32;
const READY_WITHIN: Duration = Duration::from_secs(10);
/// After it is ready, a program may still give memory back.
const SETTLE: Duration = Duration::from_secs(1);

/// Measures llm-proxy against a bare hyper reverse proxy.
#[derive(Debug, Parser)]
#[command(name = "llm-bench")]
struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Seconds of each run of wrk.
    #[arg(long, global = true, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Seconds of load before each run, not measured.
    #[arg(long, global = true, default_value_t = 1)]
    warm_up: u32,
    /// Rounds; medians are over them.
    #[arg(long, global = true, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Starts of the proxy that are timed.
    #[arg(long, default_value_t = 10)]
    starts: u32,
    /// The proxy under test. Default: llm-proxy beside this program.
    #[arg(long, global = true)]
    proxy: Option<PathBuf>,
}

/// What is measured, if not the plain proxy.
#[derive(Clone, Copy, Debug, Subcommand)]
enum What {
    /// What three budgets cost that count each call, and what eight proxies ask of Redis.
    Budgets,
}

impl Args {
    fn plan(&self) -> Plan {
        Plan { rounds: self.rounds, seconds: self.seconds, warm_up: self.warm_up }
    }

    fn proxy(&self, programs: &Path) -> PathBuf {
        self.proxy.clone().unwrap_or_else(|| programs.join("llm-proxy"))
    }
}

/// Everything that was measured.
struct Results {
    cores: Cores,
    plan: Plan,
    /// Load average before the first program was started.
    load_before: String,
    throughput: Measured,
    /// With all of routing on.
    routed: Measured,
    latency: Latency,
    streams: Measured,
    /// By the caller's dialect: streams that are translated.
    translated: Vec<(&'static str, Sample)>,
    /// KiB, of the bare proxy and ours.
    idle: [f64; 2],
    peak: [f64; 2],
    /// Milliseconds.
    ready: f64,
    starts: u32,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("llm-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Outcome<()> {
    let programs = std::env::current_exe()?.parent().ok_or("no folder of programs")?.to_owned();
    let target = programs.parent().ok_or("no target folder")?.to_owned();
    let (report, file) = match args.what {
        None => {
            let results = bench(args, &programs, &args.proxy(&programs), &target.join("bench"))?;
            (report::write(&results), "bench.md")
        }
        Some(What::Budgets) => (budgets::bench(args, &programs, &target)?, "bench-budgets.md"),
    };
    print!("{report}");
    let file = target.join(file);
    fs::write(&file, report)?;
    eprintln!("written to {}", file.display());
    Ok(())
}

fn bench(args: &Args, programs: &Path, proxy: &Path, scratch: &Path) -> Outcome<Results> {
    let plan = args.plan();
    let cores = Cores::new()?;
    cores.move_driver()?;
    let load_before = fs::read_to_string("/proc/loadavg")?;
    let (upstream, upstream_at) =
        Running::start_ready(pinned(cores.upstream, programs.join("bench-upstream")).arg("127.0.0.1:0"))?;
    let upstream_url = format!("http://{upstream_at}");
    let (bare, bare_at) = start_bare(programs, &upstream_url, cores)?;

    fs::create_dir_all(scratch)?;
    let file = |name: &str| scratch.join(name);
    let (config, routing, chat, stream) =
        (file("config.json"), file("routing.json"), file("chat.json"), file("stream.json"));
    fs::write(&config, config::proxy_config(&upstream_url).to_string())?;
    fs::write(&routing, config::with_routing(&upstream_url).to_string())?;
    fs::write(&chat, request::chat(false).to_string())?;
    fs::write(&stream, request::chat(true).to_string())?;
    let ready = (0..args.starts)
        .map(|_| Ok(start_ours(proxy, &config, cores)?.ready.as_secs_f64() * 1e3))
        .collect::<Outcome<Vec<f64>>>()?;
    let ours = start_ours(proxy, &config, cores)?;
    let routed = start_ours(proxy, &routing, cores)?;

    std::thread::sleep(SETTLE);
    let idle = [bare.resident()?, ours.process.resident()?];
    let targets = [
        Target { name: "direct", address: upstream_at, process: &upstream },
        Target { name: "bare", address: bare_at, process: &bare },
        Target { name: "ours", address: ours.address, process: &ours.process },
    ];
    for target in &targets {
        request::check(target.address).map_err(|error| format!("{}: {error}", target.name))?;
    }
    let load =
        |connections, body| Load { core: cores.wrk, connections, path: request::CHAT, body, headers: &[] };
    let throughput = measure("requests", load(MANY, &chat), &targets, plan)?;
    let all_on = Target { name: "routed", address: routed.address, process: &routed.process };
    request::check_routed(all_on.address)?;
    let [direct, bare_too, _] = targets.each_ref();
    let routed = measure(
        "all on",
        Load { headers: &request::WISHES, ..load(MANY, &chat) },
        &[*direct, *bare_too, all_on],
        plan,
    )?;
    let mut turns = Turns::with(PAUSE);
    for _ in 0..PARTS {
        // Where the pages of a process happen to lie is worth some 2 us: each part has others.
        let (bare, bare_at) = start_bare(programs, &upstream_url, cores)?;
        let ours = start_ours(proxy, &config, cores)?;
        let bare = Target { name: "bare", address: bare_at, process: &bare };
        let ours = Target { name: "ours", address: ours.address, process: &ours.process };
        turns.take_part(&[targets[0], bare, ours], plan)?;
    }
    let latency = turns.latency();
    let streams = measure("streams", load(MANY, &stream), &targets, plan)?;
    let translated = request::translated()
        .iter()
        .map(|asked| {
            request::check_translated(ours.address, asked)?;
            let body = scratch.join("translated.json");
            fs::write(&body, asked.body.to_string())?;
            let load =
                Load { core: cores.wrk, connections: MANY, path: asked.path, body: &body, headers: &[] };
            Ok((asked.caller, measure_one(asked.caller, load, &targets[2], plan)?))
        })
        .collect::<Outcome<Vec<_>>>()?;
    let peak = [bare.peak()?, ours.process.peak()?];
    let (ready, starts) = (median(ready), args.starts);
    Ok(Results {
        cores,
        plan,
        load_before,
        throughput,
        routed,
        latency,
        streams,
        translated,
        idle,
        peak,
        ready,
        starts,
    })
}

/// What only passes bytes on, and where it is.
fn start_bare(programs: &Path, upstream_url: &str, cores: Cores) -> Outcome<(Running, SocketAddr)> {
    let bare = pinned(cores.proxy, programs.join("bench-bare-proxy"));
    Running::start_ready({ bare }.args(["127.0.0.1:0", upstream_url]))
}

/// The proxy under test, once it is ready.
struct Ours {
    process: Running,
    address: SocketAddr,
    /// From just before exec to the first 200 of `/readyz`.
    ready: Duration,
}

fn start_ours(proxy: &Path, config: &Path, cores: Cores) -> Outcome<Ours> {
    let (address, admin) = (free_address()?, free_address()?);
    let mut command = pinned(cores.proxy, proxy);
    command.arg("--config").arg(config);
    command.args(["--listen", &address.to_string(), "--admin", &admin.to_string(), "--workers", "1"]);
    // The line for each request is made and written, as in service; nobody reads it.
    command.env("RUST_LOG", "warn").stdout(Stdio::null());
    let start = Instant::now();
    let mut process = Running::start(&mut command)?;
    loop {
        if request::get(admin, "/readyz").is_ok_and(|status| status == 200) {
            return Ok(Ours { process, address, ready: start.elapsed() });
        }
        if let Some(status) = process.ended()? {
            return Err(format!("{} ended: {status}", proxy.display()).into());
        }
        if start.elapsed() > READY_WITHIN {
            return Err(format!("{} is not ready after {READY_WITHIN:?}", proxy.display()).into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A port of loopback that nobody has; somebody could take it before the proxy does, which then fails.
fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
