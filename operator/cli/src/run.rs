//! `run`: the manifests of files, or of the environment, compiled and served in this process; read
//! again when a file changes.

use std::{
    io::IsTerminal as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use llm_operator::{
    compile::Compiled,
    observe::{environment, files::files},
};
use llm_proxy::{Handle, Limits, Proxy, Settings, request_log::Format};
use notify::{RecursiveMode, Watcher as _};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::{
    greeting,
    load::{LoadError, Loaded, load, variable},
};

/// An editor writes a file in several steps.
const SETTLE: Duration = Duration::from_millis(50);

/// Run a gateway from manifests, without a cluster.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Files, or folders of .yaml, .yml and .json files, with LLMRoutes, ProviderPools and Secrets.
    /// Without any: pools for the keys in OPENAI_API_KEY, ANTHROPIC_API_KEY and GEMINI_API_KEY, else
    /// a simulated one.
    paths: Vec<PathBuf>,
    /// Where applications call.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where /metrics, /livez, /readyz and /debug/config are.
    #[arg(long, default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
    /// Print the manifests that would be used, ready for kubectl apply, and end.
    #[arg(long)]
    print: bool,
    /// The form of the line for each request. Default: text on a terminal, else json.
    #[arg(long, value_enum)]
    request_log: Option<Format>,
}

/// Why it ends other than by a signal; what a person reads.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("{0}")]
    Refused(String),
    #[error("error: {0}")]
    Io(#[from] std::io::Error),
    #[error("error: can't watch the files: {0}")]
    Watch(#[from] notify::Error),
}

pub fn run(args: &RunArgs) -> Result<(), RunError> {
    if args.print {
        return print(&args.paths);
    }
    let loaded = load(&args.paths, &variable)?;
    let terminal = std::io::stdout().is_terminal();
    let format = args.request_log.unwrap_or(if terminal { Format::Text } else { Format::Json });
    start_diagnostics();
    let proxy = Proxy::bind(Settings {
        listen: args.listen,
        admin: args.admin,
        workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        request_log: format,
        limits: Limits::default(),
        drain_timeout: Duration::from_secs(30),
    })
    .map_err(|error| RunError::Refused(format!("error: {error}; --listen and --admin choose other ports")))?;
    install(&proxy.handle(), &loaded).map_err(RunError::Refused)?;
    let (listen, admin) = proxy.addresses()?;
    eprint!("{}", greeting::text(&loaded, &args.paths, listen, admin));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (changes, changed) = mpsc::unbounded_channel();
        let _watcher = watch(&args.paths, changes)?;
        tokio::spawn(reload(args.paths.clone(), proxy.handle(), loaded.compiled, changed));
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            eprintln!("draining: calls in flight are finished");
        };
        proxy.run(shutdown).await?;
        Ok(())
    })
}

fn install(handle: &Handle, loaded: &Loaded) -> Result<(), String> {
    handle
        .install(loaded.document())
        .map_err(|problems| problems.iter().map(|p| format!("error: {p}")).collect::<Vec<_>>().join("\n"))
}

/// Watches the folders that the files are in: an editor that replaces a file would take a watch of
/// the file itself along.
fn watch(paths: &[PathBuf], changes: mpsc::UnboundedSender<()>) -> Result<impl Sized, notify::Error> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // Nobody listens any more only when the process ends.
            let _unheard = changes.send(());
        }
    })?;
    for path in paths {
        let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(Path::new("")) };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Loads again at each change; `in_force` is what has been installed last.
async fn reload(
    paths: Vec<PathBuf>,
    handle: Handle,
    mut in_force: Compiled,
    mut changed: mpsc::UnboundedReceiver<()>,
) {
    let mut refused = false;
    while changed.recv().await.is_some() {
        tokio::time::sleep(SETTLE).await;
        while changed.try_recv().is_ok() {}
        let outcome = match load(&paths, &variable) {
            Ok(loaded) if !refused && in_force.documents == loaded.compiled.documents => continue,
            Ok(loaded) => install(&handle, &loaded).map(|()| loaded),
            Err(error) => Err(error.to_string()),
        };
        refused = outcome.is_err();
        match outcome {
            Ok(loaded) => {
                eprintln!("reloaded: {}", greeting::served(&loaded));
                in_force = loaded.compiled;
            }
            Err(error) => eprintln!("{error}\nnot reloaded: the last good configuration stays"),
        }
    }
}

fn print(paths: &[PathBuf]) -> Result<(), RunError> {
    if paths.is_empty() {
        print!("{}", environment::manifests(&variable));
        return Ok(());
    }
    // What would be refused is not worth printing.
    load(paths, &variable)?;
    let mut texts = Vec::new();
    for path in files(paths, &mut Vec::new()) {
        texts.push(std::fs::read_to_string(path)?.trim_end().to_owned());
    }
    println!("{}", texts.join("\n---\n"));
    Ok(())
}

/// What the libraries say of themselves; a person on a terminal sees warnings only.
fn start_diagnostics() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}
