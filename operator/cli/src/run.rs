//! `run`: the manifests of files, or of the environment, compiled and served in this process; read
//! again when a file changes.

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use llm_operator::{
    compile::Compiled,
    observe::{environment, files::files},
};
use llm_proxy::{Handle, Limits, Proxy, Settings, args::TlsArgs, request_log::Format};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
};

use crate::{
    greeting,
    load::{LoadError, Loaded, load, variable},
    watch::watch,
};

/// An editor writes a file in several steps.
const SETTLE: Duration = Duration::from_millis(50);

/// Run a gateway from manifests, without a cluster.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Files, or folders of .yaml, .yml and .json files, with LLMRoutes, ProviderPools, Budgets and
    /// Secrets.
    /// Without any: pools for the keys in OPENAI_API_KEY, ANTHROPIC_API_KEY and GEMINI_API_KEY, else
    /// a simulated one.
    paths: Vec<PathBuf>,
    /// Where applications call.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A folder in which budgets are kept: what is spent is known again after a restart. Default: in the folder for
    /// state of this user. Only one process may use it.
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArgs,
    /// Where /metrics, /livez, /readyz, /debug/config and /debug/providers are.
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
    // An edit while they are read is noticed; that a file is not there is told by who reads it.
    let watching = watch(&args.paths);
    let loaded = load(&args.paths, &variable)?;
    let (_watcher, changed) = watching?;
    let terminal = std::io::stdout().is_terminal();
    let format = args.request_log.unwrap_or(if terminal { Format::Text } else { Format::Json });
    start_diagnostics();
    let proxy = Proxy::bind(Settings {
        listen: args.tls.plain(args.listen),
        tls: args.tls.settings(),
        admin: args.admin,
        workers: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        request_log: format,
        limits: Limits::default(),
        state: args.state_dir.clone().or_else(state_folder),
        drain_delay: Duration::ZERO,
        drain_timeout: Duration::from_secs(30),
    })
    .map_err(|error| RunError::Refused(refused(&error)))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let within = runtime.enter();
    install(&proxy.handle(), &loaded).map_err(RunError::Refused)?;
    drop(within);
    eprint!("{}", greeting::text(&loaded, &args.paths, &proxy.addresses()?));

    runtime.block_on(async {
        tokio::spawn(reload(args.paths.clone(), proxy.handle(), loaded.compiled, changed));
        let (drain, draining) = oneshot::channel();
        tokio::spawn(end_when_asked(Signals::new()?, drain));
        // The other end is dropped only after it has sent.
        let shutdown = async { draining.await.unwrap_or_default() };
        proxy.run(shutdown, std::future::ready(())).await?;
        Ok(())
    })
}

/// Where programs of this user keep what must outlast them.
fn state_folder() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    state.map(|state| state.join("llm-gateway"))
}

fn refused(error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; --listen, --tls-listen and --admin choose other ports",
        _ => "",
    };
    format!("error: {error}{hint}")
}

/// The first signal drains; who asks again does not want to wait.
async fn end_when_asked(mut signals: Signals, drain: oneshot::Sender<()>) {
    signals.next().await;
    eprintln!("draining: calls in flight are finished; Ctrl-C again ends at once");
    let _ended = drain.send(());
    let code = signals.next().await;
    eprintln!("ended at once: what was in flight is cut off");
    std::process::exit(code);
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for one, and gives the exit code of who dies of it.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}

fn install(handle: &Handle, loaded: &Loaded) -> Result<(), String> {
    handle
        .install(loaded.document())
        .map_err(|problems| problems.iter().map(|p| format!("error: {p}")).collect::<Vec<_>>().join("\n"))
}

/// Loads again at each change; `in_force` is what has been installed last.
async fn reload(
    paths: Vec<PathBuf>,
    handle: Handle,
    mut in_force: Compiled,
    mut changed: mpsc::UnboundedReceiver<()>,
) {
    let mut complaint: Option<String> = None;
    while changed.recv().await.is_some() {
        tokio::time::sleep(SETTLE).await;
        while changed.try_recv().is_ok() {}
        let outcome = match load(&paths, &variable) {
            Ok(loaded) if complaint.is_none() && in_force.documents == loaded.compiled.documents => continue,
            Ok(loaded) => install(&handle, &loaded).map(|()| loaded),
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(loaded) => {
                eprintln!("reloaded: {}", greeting::served(&loaded));
                in_force = loaded.compiled;
                complaint = None;
            }
            Err(error) if complaint.as_ref() == Some(&error) => {}
            Err(error) => {
                eprintln!("{error}\nnot reloaded: the last good configuration stays");
                complaint = Some(error);
            }
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
