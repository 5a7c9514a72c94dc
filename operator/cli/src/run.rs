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
    compile::{Compiled, compile},
    observe::{
        ObjectName,
        environment::{self, Variables},
        files::{Manifests, Problem},
    },
};
use llm_proxy::{Handle, Limits, Proxy, Settings, request_log::Format};
use notify::{RecursiveMode, Watcher as _};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::greeting;

/// The gateway that a process on its own is.
const GATEWAY: &str = "default";
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
    #[error("{}", listed(.0))]
    Manifests(Vec<Problem>),
    #[error("{0}")]
    Refused(String),
    #[error("error: {0}")]
    Io(#[from] std::io::Error),
    #[error("error: can't watch the files: {0}")]
    Watch(#[from] notify::Error),
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("error: {problem}")).collect();
    lines.join("\n")
}

/// What is served.
pub struct Loaded {
    pub compiled: Compiled,
    /// What was taken from the environment, and what was passed over.
    pub notes: Vec<String>,
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

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads and compiles; one problem refuses all, since there is a person who can mend it now.
fn load(paths: &[PathBuf], variables: Variables<'_>) -> Result<Loaded, RunError> {
    let mut manifests = if paths.is_empty() {
        let mut made = Manifests::default();
        let mut problems = Vec::new();
        made.add(Path::new("environment"), &environment::manifests(variables), &mut problems);
        if !problems.is_empty() {
            return Err(RunError::Manifests(problems));
        }
        made
    } else {
        Manifests::read(paths).map_err(RunError::Manifests)?
    };
    let mut notes = environment::fill_secrets(&mut manifests.observed, variables);
    notes.extend(manifests.passed_over.iter().map(|object| format!("passed over: {object}")));
    manifests.observed.gateways.insert(GATEWAY.to_owned());
    let compiled = compile(&manifests.observed);
    let problems = problems(&manifests, &compiled);
    if !problems.is_empty() {
        return Err(RunError::Manifests(problems));
    }
    if compiled.routes.is_empty() {
        return Err(RunError::Refused(
            "error: there is no LLMRoute in what was given: nothing to serve".to_owned(),
        ));
    }
    Ok(Loaded { compiled, notes })
}

/// What an operator would write into status, as problems of files.
fn problems(manifests: &Manifests, compiled: &Compiled) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, outcome) in &compiled.pools {
        for verdict in outcome.verdicts.iter().filter(|verdict| !verdict.status) {
            let message = format!("{}{}", verdict.message, variable_hint(manifests, name, &verdict.message));
            problems.push(manifests.problem("ProviderPool", name, message));
        }
    }
    // A route that lacks a provider says only what its pool has said already.
    let told = !problems.is_empty();
    for (name, outcome) in &compiled.routes {
        for verdict in &outcome.verdicts {
            let partial = verdict.condition == llm_crds::ConditionType::PartiallyInvalid;
            let follows = told && verdict.reason == llm_crds::Reason::NoUsableProvider;
            if (!verdict.status || partial) && !follows {
                problems.push(manifests.problem("LLMRoute", name, verdict.message.clone()));
            }
        }
    }
    problems
}

/// Where a Secret is missing, the variable that would do.
fn variable_hint(manifests: &Manifests, pool: &ObjectName, message: &str) -> String {
    let found = manifests.observed.pools.iter().find(|found| ObjectName::of(found.as_ref()) == *pool);
    let missing = message.contains("there is no Secret");
    let variables: Vec<&str> = found
        .iter()
        .flat_map(|pool| &pool.spec.providers)
        .filter(|provider| missing && provider.credentials.is_some())
        .map(environment::usual_variable)
        .collect();
    if variables.is_empty() { String::new() } else { format!("; or set {}", variables.join(", ")) }
}

fn install(handle: &Handle, loaded: &Loaded) -> Result<(), String> {
    let document = loaded.compiled.documents.get(GATEWAY).cloned().unwrap_or_default();
    handle
        .install(document)
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
    for path in llm_operator::observe::files::files(paths, &mut Vec::new()) {
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
