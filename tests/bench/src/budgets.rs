//! What budgets cost: the proxy with three of them that count each call, beside the same without and the bare one; and
//! how often eight such proxies ask Redis while they are loaded.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use llm_ledger::{
    Epoch,
    account::{Beginning, Checkpoint},
    place::{LimitId, Place},
};
use llm_ledger_connection::Connection;

use crate::{
    Args, MANY, Ours, Outcome, READY_WITHIN, config, free_address,
    measure::{Measured, Plan, Target, measure},
    process::{Cores, Running, pinned},
    report::{self, CPU, LATENCY, NONE, PER_SECOND},
    request, start_bare, start_ours,
    table::{Bar, Table, Unit},
    turns::{Latency, PARTS, PAUSE, Turns},
    wrk::Load,
};

const PROXIES: usize = 8;
/// Of each of them.
const CONNECTIONS: u32 = 4;
/// So long the proxies are loaded before it counts what they ask: their leases have found their pace then.
const WARM_UP: u32 = 5;
const KEPT: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(5);

/// Measures, and gives the report.
pub fn bench(args: &Args, programs: &Path, target: &Path) -> Outcome<String> {
    let plan = args.plan();
    let cores = Cores::new()?;
    cores.move_driver()?;
    let load_before = fs::read_to_string("/proc/loadavg")?;
    let scene = Scene::start(args, programs, target, cores)?;
    let bars = scene.compare(programs, plan)?;
    let asked = scene.ask(plan.seconds.max(1) * plan.rounds)?;
    let conditions = report::machine(cores, plan, &load_before);
    let by_part = [("", &bars.latency), (" without a pause", &bars.pressed)].map(|(how, latency)| {
        let (least, most) = latency.spread(|[_, none, three]| three - none);
        format!("latency that is added{how}, by eighth of the time: {least:.1} to {}", LATENCY.show(most))
    });
    let notes = by_part.join("\n- ");
    Ok(format!("{conditions}\n\n{}\n- {notes}\n- {}\n", table(&bars, &asked).render(), asked.told()))
}

/// Redis, the upstream, and what both kinds of proxies run on.
struct Scene {
    cores: Cores,
    proxy: PathBuf,
    /// Held for as long as it is asked.
    _redis: Running,
    ledger: SocketAddr,
    _upstream: Running,
    upstream_url: String,
    chat: PathBuf,
    without: PathBuf,
    with: PathBuf,
}

/// What is compared.
struct Proxies {
    bare: Running,
    bare_at: SocketAddr,
    without: Ours,
    with: Ours,
}

/// What came of it.
struct Compared {
    throughput: Measured,
    latency: Latency,
    /// With no pause between two calls.
    pressed: Latency,
}

/// What eight proxies ask of Redis.
struct Asked {
    operations: f64,
    requests: f64,
    seconds: f64,
}

impl Scene {
    fn start(args: &Args, programs: &Path, target: &Path, cores: Cores) -> Outcome<Self> {
        let scratch = target.join("bench");
        fs::create_dir_all(&scratch)?;
        let (redis, ledger) = start_redis(&target.join("tools/bin/redis-server"), cores)?;
        begin_accounts(ledger)?;
        let upstream = pinned(cores.upstream, programs.join("bench-upstream"));
        let (upstream, at) = Running::start_ready({ upstream }.arg("127.0.0.1:0"))?;
        let upstream_url = format!("http://{at}");
        let file = |name: &str, content: String| -> Outcome<PathBuf> {
            let path = scratch.join(name);
            fs::write(&path, content)?;
            Ok(path)
        };
        Ok(Self {
            cores,
            proxy: args.proxy(programs),
            _redis: redis,
            ledger,
            _upstream: upstream,
            chat: file("chat.json", request::chat(false).to_string())?,
            without: file("config.json", config::proxy_config(&upstream_url).to_string())?,
            with: file("budgets.json", config::with_budgets(&upstream_url, ledger).to_string())?,
            upstream_url,
        })
    }

    fn proxies(&self, programs: &Path) -> Outcome<Proxies> {
        let (bare, bare_at) = start_bare(programs, &self.upstream_url, self.cores)?;
        let without = start_ours(&self.proxy, &self.without, self.cores)?;
        let with = start_ours(&self.proxy, &self.with, self.cores)?;
        let proxies = Proxies { bare, bare_at, without, with };
        for target in proxies.targets() {
            request::check(target.address).map_err(|error| format!("{}: {error}", target.name))?;
        }
        Ok(proxies)
    }

    fn compare(&self, programs: &Path, plan: Plan) -> Outcome<Compared> {
        let load = Load {
            core: self.cores.wrk,
            connections: MANY,
            path: request::CHAT,
            body: &self.chat,
            headers: &[],
        };
        let before = operations(self.ledger)?;
        let throughput = measure("requests", load, &self.proxies(programs)?.targets(), plan)?;
        let (mut paused, mut pressed) = (Turns::with(PAUSE), Turns::with(Duration::ZERO));
        for _ in 0..PARTS {
            // Other processes, as for the latency of proxies without budgets.
            let proxies = self.proxies(programs)?;
            paused.take_part(&proxies.targets(), plan)?;
            pressed.take_part(&proxies.targets(), plan)?;
        }
        // A budget that counts nothing costs nothing.
        if operations(self.ledger)? == before {
            return Err("the proxy with budgets has asked Redis for nothing".into());
        }
        Ok(Compared { throughput, latency: paused.latency(), pressed: pressed.latency() })
    }

    /// Loads eight proxies at once, each with three budgets.
    fn ask(&self, seconds: u32) -> Outcome<Asked> {
        let proxies = (0..PROXIES)
            .map(|_| start_ours(&self.proxy, &self.with, self.cores))
            .collect::<Outcome<Vec<_>>>()?;
        let load = |seconds| -> Outcome<f64> {
            let runs = |address| {
                let load = Load {
                    core: self.cores.wrk,
                    connections: CONNECTIONS,
                    path: request::CHAT,
                    body: &self.chat,
                    headers: &[],
                };
                load.run(address, seconds).map(|figures| figures.requests).map_err(|error| error.to_string())
            };
            thread::scope(|scope| {
                let loads: Vec<_> =
                    proxies.iter().map(|ours| scope.spawn(move || runs(ours.address))).collect();
                loads.into_iter().map(|load| Ok(load.join().map_err(|_| "a load has panicked")??)).sum()
            })
        };
        load(WARM_UP)?;
        let (before, start) = (operations(self.ledger)?, Instant::now());
        let requests = load(seconds)?;
        Ok(Asked {
            operations: operations(self.ledger)? - before,
            requests,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

impl Proxies {
    fn targets(&self) -> [Target<'_>; 3] {
        let Self { bare, bare_at, without, with } = self;
        [
            Target { name: "bare", address: *bare_at, process: bare },
            Target { name: "none", address: without.address, process: &without.process },
            Target { name: "three", address: with.address, process: &with.process },
        ]
    }
}

impl Asked {
    fn told(&self) -> String {
        let Self { operations, requests, seconds } = self;
        format!(
            "eight proxies, {requests:.0} requests and {operations:.0} operations of Redis in {seconds:.1} s: what they ask \
             is for each limit and second, and not for each request"
        )
    }
}

fn table(Compared { throughput, latency, pressed }: &Compared, asked: &Asked) -> Table {
    let mut table = Table::of(["bare", "no budget", "three budgets"], "three to the other");
    let rates = throughput.medians(|s| s.per_second);
    let [bare, none, three] = rates;
    table.compare(
        "requests, 32 connections, against bare",
        PER_SECOND,
        rates,
        (Unit::RATIO, three / bare),
        Bar::AtLeast(0.8),
    );
    table.compare("the same, against none", PER_SECOND, rates, (Unit::RATIO, three / none), Bar::None);
    let added = |unit: Unit| Unit { name: "us added", ..unit };
    for (name, latency, bar) in [
        ("median latency, 1 connection", latency, Bar::AtMost(5.0)),
        ("the same, calls without a pause", pressed, Bar::None),
    ] {
        let [_, none, three] = latency.medians;
        table.compare(name, LATENCY, latency.medians, (added(LATENCY), three - none), bar);
    }
    let cpu = throughput.medians(|s| s.cpu);
    let [_, none, three] = cpu;
    table.compare("CPU a request", CPU, cpu, (added(CPU), three - none), Bar::None);
    let fifty = Unit { name: "", decimals: 2 };
    let each = asked.operations * 50.0 / asked.requests;
    table.compare(
        "operations of Redis for 50 requests, 8 proxies",
        fifty,
        [NONE, NONE, each],
        (fifty, each),
        Bar::AtMost(1.0),
    );
    table
}

fn start_redis(program: &Path, cores: Cores) -> Outcome<(Running, SocketAddr)> {
    let address = free_address()?;
    let mut command = pinned(cores.upstream, program);
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""]);
    let mut redis = Running::start(command.current_dir(std::env::temp_dir()).stdout(Stdio::null()))?;
    let start = Instant::now();
    while operations(address).is_err() {
        if let Some(status) = redis.ended()? {
            return Err(format!("{} ended: {status}", program.display()).into());
        }
        if start.elapsed() > READY_WITHIN {
            return Err(format!("{} is not ready after {READY_WITHIN:?}", program.display()).into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok((redis, address))
}

/// As the operator does it.
fn begin_accounts(ledger: SocketAddr) -> Outcome<()> {
    let settings = llm_config::budget::Redis { endpoints: vec![ledger.to_string()], ..Default::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let ledger = Connection::redis(&settings)?.with_timeout(PATIENCE);
        for (uid, unit) in config::BUDGETS {
            let limit: LimitId = format!("total-{unit}").parse()?;
            let place = Place { budget: uid.into(), limit, start: 0, value: None };
            let (epoch, limit, strict) = (Epoch(1), config::PLENTY, true);
            let opened_at = ledger.open(&place, epoch, KEPT).await?.ok_or("the account is there already")?;
            let beginning = Beginning { epoch, opened_at, limit, revision: 1, strict, gone: 0, values: None };
            ledger.begin(&place, &beginning, KEPT).await?;
            let checkpoint = Checkpoint { epoch, revision: 2, limit, strict, ceiling: limit, values: None };
            ledger.secure(&place, &checkpoint).await?.ok_or("the account is not begun")?;
        }
        Ok(())
    })
}

/// How often this Redis has run the script, by its own count.
fn operations(redis: SocketAddr) -> Outcome<f64> {
    let mut connection = TcpStream::connect(redis)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(b"INFO commandstats\r\nQUIT\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let calls = |line: &str| -> Option<f64> {
        let (_, figures) = line.strip_prefix("cmdstat_eval")?.split_once(":calls=")?;
        figures.split(',').next()?.parse().ok()
    };
    if !answer.starts_with('$') {
        return Err(format!("Redis answers {answer:?}").into());
    }
    Ok(answer.lines().filter_map(calls).sum())
}
