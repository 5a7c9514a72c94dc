//! `llm-proxy`: arguments, configuration, signals.

use std::{error::Error, io::IsTerminal as _, path::Path, process::ExitCode};

use clap::Parser as _;
use llm_proxy::{
    Handle, Proxy,
    args::{Args, Source},
    serve::Addresses,
    snapshot::stream::Following,
};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let args = Args::parse();
    start_diagnostics();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "llm-proxy ends");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let (settings, source) = args.settings()?;
    let proxy = Proxy::bind(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let following = match source {
            Source::File(file) => {
                install(&proxy.handle(), &file)?;
                None
            }
            Source::Operator(settings) => Some(Following::start(settings, proxy.handle())),
        };
        let Addresses { plain, tls, admin } = proxy.addresses()?;
        tracing::info!(listen = plain.map(display), tls = tls.map(display), %admin, "listening");
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("draining");
        };
        let farewell = async {
            if let Some(following) = following {
                following.leave().await;
            }
        };
        proxy.run(shutdown, farewell).await?;
        Ok(())
    })
}

fn install(handle: &Handle, file: &Path) -> Result<(), Box<dyn Error>> {
    let text = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let document = serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    handle.install(document).map_err(|problems| format!("{}: {}", file.display(), problems.join("; ")).into())
}

/// What the program says of itself goes to standard error; requests go to standard output.
fn start_diagnostics() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    if std::io::stderr().is_terminal() { log.init() } else { log.json().flatten_event(true).init() }
}
