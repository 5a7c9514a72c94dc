//! What is done to the control plane, in order, and what is measured of each step.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, TryStreamExt as _};
use llm_bench::Outcome;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio_rustls::TlsConnector;

use crate::{
    Args,
    fleet::{Fleet, Mark, quantile},
    held::Steps,
    installation::{Installation, Operator},
    proxy::Shared,
    report::Report,
    shown::Shown,
};

/// What it must stay below, in milliseconds and MiB.
const CHANGE_BAR: f64 = 1e3;
const RECONNECT_BAR: f64 = 10e3;
const MEMORY_BAR: f64 = 256.0;
/// How long a step may take before the run is given up.
const WITHIN: Duration = Duration::from_secs(180);
/// Between two steps, so that what is measured is one of them.
const QUIET: Duration = Duration::from_secs(5);
/// Routes that are changed in one go.
const CHURN: usize = 400;
const AT_ONCE: usize = 8;

struct Bench<'a> {
    args: &'a Args,
    installation: Installation,
    /// The route of the gateway that is changed again and again.
    followed: usize,
    fleet: Fleet,
    shown: Shown,
    report: Report,
}

/// The requests of the API server, and the operator's CPU time, at one moment.
struct Spent {
    requests: [f64; 2],
    cpu: Duration,
}

pub async fn run(args: &Args) -> Outcome<Report> {
    let mut report = Report::default();
    let installation = Installation::start(args).await?;
    let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    let identities = installation.proxies(number(args.proxies), number(args.sidecars)).await?;
    let begun = Instant::now();
    let operator = installation.operator().await;
    operator.ready().await;
    report.figure("operator: start to ready", millis(begun.elapsed()));
    report.figure("operator: memory without proxies", memory(&operator)?);

    let followed = installation.scale.teams - 1;
    let (namespace, name) = installation.scale.route_name(followed);
    let shared = Shared {
        operator: installation.operator_address,
        tls: connector(&installation.bundle().await)?,
        steps: Steps::new(format!("route/{namespace}/{name}")),
    };
    let fleet = Fleet::new(identities, shared);
    let shown = Shown::follow(installation.routes(&namespace), &name);
    let mut bench = Bench { args, installation, followed, fleet, shown, report };

    if args.restart_only {
        bench.attach_holding().await?;
        bench.restart(operator, "restart", |_| {}).await?;
        return Ok(bench.report);
    }
    bench.first_attach(&operator).await?;
    bench.changes(&operator).await?;
    bench.churn(&operator).await?;
    let operator = bench.restart(operator, "restart", |_| {}).await?;
    bench.restart(operator, "restart, proxies new", Fleet::forget).await?;
    Ok(bench.report)
}

impl Bench<'_> {
    async fn first_attach(&mut self, operator: &Operator) -> Outcome<()> {
        let (before, mark, begun) = (self.fleet.attached(), self.fleet.mark(), Instant::now());
        self.fleet.start();
        self.attached("first attach", &before, &mark, begun).await?;
        self.programmed(None).await?;
        self.report.figure("first attach: to PROGRAMMED n/n", millis(begun.elapsed()));
        tokio::time::sleep(QUIET).await;
        self.report.figure("operator: memory loaded", memory(operator)?);
        Ok(())
    }

    /// All are attached and run on what is in force, at the cost of one.
    async fn attach_holding(&mut self) -> Outcome<()> {
        let (before, mark, begun) = (self.fleet.attached(), self.fleet.mark(), Instant::now());
        self.fleet.start_holding(WITHIN).await?;
        self.attached("attach, documents held", &before, &mark, begun).await?;
        self.programmed(None).await?;
        tokio::time::sleep(QUIET).await;
        Ok(())
    }

    /// One route is changed, and each time all proxies of its gateway have to say that they run it.
    async fn changes(&mut self, operator: &Operator) -> Outcome<()> {
        let (mut each, mut all, mut shown) = (Vec::new(), Vec::new(), Vec::new());
        let (spent, mark) = (self.spent(operator).await?, self.fleet.mark());
        for revision in 1..=self.args.changes {
            let begun = Instant::now();
            let generation = self.installation.revise(self.followed, revision).await?;
            let reached = self.fleet.revised(60_000 + revision, WITHIN).await?;
            each.extend(reached.iter().map(|at| at.duration_since(begun).as_secs_f64() * 1e3));
            all.push(latest(&reached, begun).as_secs_f64() * 1e3);
            self.programmed(Some(generation)).await?;
            shown.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let moved = self.fleet.moved_since(&mark);
        for (what, figures) in [
            ("each proxy's answer", &mut each),
            ("the last answer", &mut all),
            ("PROGRAMMED n/n", &mut shown),
        ] {
            let [half, most, max] = [0.5, 0.99, 1.0].map(|share| quantile(figures, share));
            let figure = format!("p50 {half:.0}, p99 {most:.0}, max {max:.0} ms");
            self.report.figure(&format!("change: to {what}"), figure);
        }
        self.report.bar("change: to the last answer, p99", quantile(&mut all, 0.99), CHANGE_BAR, "ms");
        let changes = self.args.changes;
        let figure = format!("{} down, {} up", moved.received / changes, moved.sent / changes);
        self.report.figure("change: bytes on the wire of a proxy", figure);
        self.spent_since(operator, &spent, "change", u32::try_from(changes)?).await
    }

    /// Many routes change as fast as the API server takes it.
    async fn churn(&mut self, operator: &Operator) -> Outcome<()> {
        let (spent, begun) = (self.spent(operator).await?, Instant::now());
        let gateway =
            (0..self.args.scale().routes).filter(|number| self.installation.scale.of_gateway(*number));
        let revised = futures::stream::iter(gateway.take(CHURN))
            .map(|number| self.installation.revise(number, 1))
            .buffer_unordered(AT_ONCE);
        revised.try_for_each(|_| async { Ok(()) }).await?;
        let last = self.args.changes + 1;
        let generation = self.installation.revise(self.followed, last).await?;
        self.fleet.revised(60_000 + last, WITHIN).await?;
        self.report.figure(&format!("{CHURN} changes at once: to the last answer"), millis(begun.elapsed()));
        self.programmed(Some(generation)).await?;
        tokio::time::sleep(QUIET).await;
        self.spent_since(operator, &spent, &format!("{CHURN} changes at once"), 1).await?;
        self.report.figure("operator: memory after them", memory(operator)?);
        self.report.bar("operator: peak memory until here", operator.memory()?[1], MEMORY_BAR, "MiB");
        Ok(())
    }

    /// The operator is killed and started again; what the proxies hold may be changed in between.
    async fn restart(
        &mut self,
        operator: Operator,
        what: &str,
        meanwhile: impl FnOnce(&Fleet),
    ) -> Outcome<Operator> {
        let (before, attempts) = (self.fleet.attached(), self.fleet.attempts());
        let requests = self.installation.requests().await?;
        let begun = Instant::now();
        operator.process.kill();
        operator.process.exited(WITHIN).await;
        meanwhile(&self.fleet);
        let mark = self.fleet.mark();
        let operator = self.installation.operator().await;
        let took = self.attached(what, &before, &mark, begun).await?;
        self.report.bar(&format!("{what}: from the kill"), took.as_secs_f64() * 1e3, RECONNECT_BAR, "ms");
        let proxies = u32::try_from(self.fleet.proxies.len())?;
        let attempts = f64::from(u32::try_from(self.fleet.attempts() - attempts)?) / f64::from(proxies);
        self.report.figure(&format!("{what}: connections tried by a proxy"), format!("{attempts:.1}"));
        self.programmed(None).await?;
        self.report.figure(&format!("{what}: to PROGRAMMED n/n"), millis(begun.elapsed()));
        tokio::time::sleep(QUIET).await;
        let [reviews, statuses] = self.installation.requests().await?;
        self.report.figure(
            &format!("{what}: requests to the API server"),
            format!("{} of tokens, {} of statuses", reviews - requests[0], statuses - requests[1]),
        );
        let cpu = operator.cpu()?.as_secs_f64();
        self.report.figure(&format!("{what}: CPU of the operator"), format!("{cpu:.1} s"));
        self.report.bar(&format!("{what}: peak memory"), operator.memory()?[1], MEMORY_BAR, "MiB");
        Ok(operator)
    }

    /// Waits until all are attached anew.
    async fn attached(
        &mut self,
        what: &str,
        before: &[u64],
        mark: &Mark,
        begun: Instant,
    ) -> Outcome<Duration> {
        let attached = self.fleet.attached_after(before, WITHIN).await?;
        let moved = self.fleet.moved_since(mark);
        let took = latest(&attached, begun);
        self.report.figure(&format!("{what}: to the last answer"), millis(took));
        let figure = format!("{} down, {} up", moved.received, moved.sent);
        self.report.figure(&format!("{what}: bytes on the wire of a proxy"), figure);
        Ok(took)
    }

    /// Waits until the status says that all proxies of the gateway run the route as it is.
    async fn programmed(&mut self, generation: Option<i64>) -> Outcome<()> {
        self.shown.programmed(generation, self.args.proxies, WITHIN).await
    }

    async fn spent(&self, operator: &Operator) -> Outcome<Spent> {
        Ok(Spent { requests: self.installation.requests().await?, cpu: operator.cpu()? })
    }

    async fn spent_since(
        &mut self,
        operator: &Operator,
        before: &Spent,
        what: &str,
        times: u32,
    ) -> Outcome<()> {
        let now = self.spent(operator).await?;
        let cpu = (now.cpu - before.cpu).as_secs_f64() * 1e3 / f64::from(times);
        let statuses = (now.requests[1] - before.requests[1]) / f64::from(times);
        let figure = format!("{cpu:.0} ms of CPU, {statuses:.1} status writes");
        self.report.figure(&format!("{what}: what it takes of the operator"), figure);
        Ok(())
    }
}

fn latest(reached: &[Instant], begun: Instant) -> Duration {
    reached.iter().max().map_or(Duration::ZERO, |at| at.duration_since(begun))
}

fn millis(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1e3)
}

fn memory(operator: &Operator) -> Outcome<String> {
    let [now, peak] = operator.memory()?;
    Ok(format!("{now:.0} MiB, at most {peak:.0} MiB"))
}

/// TLS as a proxy does it: it trusts the operator's authority alone, and makes each connection anew.
fn connector(bundle: &str) -> Outcome<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.map_err(|error| format!("the bundle: {error:?}"))?)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
