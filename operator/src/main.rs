//! `llm-operator`: arguments, wiring, signals.

use std::{error::Error, io::IsTerminal as _, process::ExitCode, sync::Arc, time::Duration};

use clap::Parser as _;
use futures::future::join_all;
use kube::{Api, Client};
use llm_operator::{
    admin,
    args::Args,
    budgets::Keeper,
    certificates, controller, definitions, lease, listen,
    metrics::Metrics,
    observe::cluster::{self, Cluster},
    publish::{
        Publisher,
        admit::Admission,
        attached::Attached,
        server::{self, ServingCertificate},
        stream::Streams,
    },
    replicas::{self, Replicas},
    report::{Outcome, Reporter},
    shares,
    sidecars::Sidecars,
    webhook::{self, Admitter, Objects},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
    task::JoinHandle,
};

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let args = Args::parse();
    start_diagnostics();
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "llm-operator ends");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let lifetimes = args.lifetimes()?;
    let client = client().await?;
    if args.apply_definitions {
        return Ok(definitions::apply(&client).await?);
    }
    let namespace = args.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let identity = args.identity();
    let gateways = args.gateways(&namespace)?;
    let ledger_files = args.ledger()?;
    let ledger = ledger_files.subscribe();
    let observing = cluster::Settings {
        gateways: gateways.clone(),
        ledger: ledger.clone(),
        namespace: namespace.clone(),
    };
    let metrics = Arc::new(Metrics::default());
    let certificate = Arc::new(ServingCertificate::default());
    let (serve, admin) = (listen::take(args.serve).await?, listen::take(args.admin).await?);
    tracing::info!(serve = %serve.local_addr()?, admin = %admin.local_addr()?, identity, namespace, "listening");
    let publisher = Arc::new(Publisher::default());
    let attached = Arc::new(Attached::new(metrics.clone()));
    let told = admin::Told {
        identity: identity.clone(),
        metrics: metrics.clone(),
        certificate: certificate.clone(),
        attached: attached.clone(),
        targets: publisher.subscribe(),
        ledger: ledger.clone(),
    };
    tokio::spawn(admin::serve(admin, told));

    let (stop, stopped) = watch::channel(false);
    let (leading, led) = watch::channel(false);
    let lease = args.lease(&namespace);
    let campaign = tokio::spawn(lease::campaign(client.clone(), lease, leading, stopped.clone()));
    let (trusted, bundle) = watch::channel(None);
    let names = certificates::serving_names(&args.serving_names, &namespace);
    tokio::spawn(certificates::keep(
        client.clone(),
        namespace.clone(),
        names,
        lifetimes,
        certificate.clone(),
        trusted,
        led.clone(),
    ));
    let (outcomes, reported) = watch::channel(None);
    let injection = args.injection(&namespace)?;
    let sidecars = Sidecars::watch(&client, injection.is_some(), &namespace, &identity, metrics.clone());
    tokio::spawn(sidecars.keep(bundle.clone(), publisher.subscribe(), led.clone()));
    let admissions = match args.webhook {
        Some(address) => {
            tokio::spawn(webhook::registration::keep(client.clone(), bundle, led.clone()));
            let objects = Objects::new(client.clone(), reported.clone());
            let admitter = Admitter { injection, objects, metrics: metrics.clone() };
            Some(webhook::start(address, certificate.clone(), admitter, stopped.clone()).await?)
        }
        None => None,
    };

    let streams = Arc::new(Streams {
        admission: Admission::new(client.clone(), gateways),
        attached: attached.clone(),
        targets: publisher.subscribe(),
        lifetime: args.stream_lifetime,
        metrics: metrics.clone(),
    });
    let serving = tokio::spawn(server::serve(serve, certificate, streams));

    let telling = Replica {
        client: client.clone(),
        namespace,
        identity: identity.clone(),
        publisher: publisher.clone(),
        attached,
        metrics: metrics.clone(),
        grace: args.share_grace,
        led: led.clone(),
        stopped,
    };
    let telling = telling.begin(reported.clone());
    let keeper = Keeper::new(client.clone(), ledger, &identity, metrics.clone());
    tokio::spawn(keeper.run(reported, led.clone()));
    tokio::spawn(show_leadership(led, metrics.clone()));

    let changed = Arc::new(Notify::new());
    tokio::spawn(ledger_files.keep(changed.clone(), metrics.clone()));
    let control = async {
        let cluster = Cluster::watch(&client, observing, &changed, &metrics).await;
        controller::run(cluster, publisher, outcomes, changed.clone(), metrics.clone()).await;
    };
    tokio::select! {
        () = control => {}
        served = serving => { served??; }
        () = asked_to_stop() => {}
    }
    tracing::info!("stopping");
    stop.send_replace(true);
    let all = join_all([Some(campaign), Some(telling), admissions].into_iter().flatten());
    let _all = tokio::time::timeout(Duration::from_secs(3), all).await;
    Ok(())
}

/// What a replica of the operator tells the others of its proxies, and learns of theirs.
struct Replica {
    client: Client,
    namespace: String,
    identity: String,
    publisher: Arc<Publisher>,
    attached: Arc<Attached>,
    metrics: Arc<Metrics>,
    /// How long a proxy that is away keeps its share of limits.
    grace: Duration,
    led: watch::Receiver<bool>,
    stopped: watch::Receiver<bool>,
}

impl Replica {
    /// Begins to tell, to divide limits and to report; who tells has to be waited for at the end.
    fn begin(self, reported: watch::Receiver<Option<Arc<Outcome>>>) -> JoinHandle<()> {
        let Self { client, namespace, identity, publisher, attached, metrics, grace, led, stopped } = self;
        let [for_report, for_shares] = [(); 2].map(|()| Arc::new(Notify::new()));
        let bells = [for_report.clone(), for_shares.clone()];
        let replicas = Arc::new(Replicas::watch(&client, &namespace, &identity, bells, &metrics));

        let api = Api::namespaced(client.clone(), &namespace);
        let written = shares::Written::watch(api.clone(), &metrics);
        tokio::spawn(written.clone().follow(publisher.clone(), for_shares.clone()));
        let targets = publisher.subscribe();
        let keeper =
            shares::Keeper::new(api, written, attached.clone(), replicas.clone(), targets.clone(), grace);
        tokio::spawn(keeper.run(led.clone(), for_shares));

        let (shares, told) = (targets.clone(), attached.clone());
        let reporter = Reporter::new(client.clone(), told, replicas, shares, &identity, metrics);
        tokio::spawn(reporter.run(reported, led.clone(), for_report));
        tokio::spawn(replicas::tell(client, namespace, identity, attached, targets, led, stopped))
    }
}

async fn client() -> Result<Client, Box<dyn Error>> {
    // Two providers may be linked in by features of others; say which is meant.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let mut config = kube::Config::infer().await?;
    // All who call try again by themselves. Retries within the client, minutes apart in the end, would
    // keep from them for as long that the API server has too much to do, and then that it is back.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

async fn show_leadership(mut led: watch::Receiver<bool>, metrics: Arc<Metrics>) {
    loop {
        metrics.leader.set(i64::from(*led.borrow_and_update()));
        if led.changed().await.is_err() {
            return;
        }
    }
}

async fn asked_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Standard error: columns on a terminal, JSON lines elsewhere.
fn start_diagnostics() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    if std::io::stderr().is_terminal() { log.init() } else { log.json().flatten_event(true).init() }
}
