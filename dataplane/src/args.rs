//! The command line of `llm-proxy`, to settings.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;

use crate::{
    request_log::Format,
    serve::{Settings, TlsSettings},
    shared::Limits,
    snapshot::stream::StreamSettings,
};

/// Routes, meters and relays LLM traffic, on configuration from an operator or from one file.
#[derive(Debug, Parser)]
#[command(name = "llm-proxy", version)]
pub struct Args {
    /// Where applications call.
    #[arg(long, default_value = "[::]:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    tls: TlsArgs,
    /// Where /metrics, /livez, /readyz, /debug/config and /debug/providers are.
    #[arg(long, default_value = "[::]:9090")]
    admin: SocketAddr,
    /// The operator's config stream, such as https://llm-operator.llm-gateway.svc:8443.
    #[arg(long, required_unless_present = "config", conflicts_with = "config")]
    operator: Option<http::Uri>,
    /// PEM certificates of the operator's authority; read again at each connect.
    #[arg(long, default_value = "/var/run/llm-gateway/ca/ca.crt")]
    operator_ca: PathBuf,
    /// The ServiceAccount token to show; read again at each connect.
    #[arg(long, default_value = "/var/run/llm-gateway/token/token")]
    token_file: PathBuf,
    /// The gateway that this proxy is part of.
    #[arg(long, default_value = "default")]
    gateway: String,
    /// This proxy stands in an application's pod, and every call that it takes is that pod's: it serves the
    /// routes that select the pod. Let it listen on 127.0.0.1 only.
    #[arg(long, conflicts_with = "gateway", requires = "operator")]
    sidecar: bool,
    /// The name of this proxy in status and logs. Default: the host's name.
    #[arg(long)]
    name: Option<String>,
    /// A compiled document (JSON) to run on, without an operator.
    #[arg(long)]
    config: Option<PathBuf>,
    /// A folder in which budgets are kept where the configuration names no ledger for them: what is spent is known
    /// again after a restart. Without it they are kept in memory.
    #[arg(long, value_name = "FOLDER", conflicts_with = "operator")]
    state_dir: Option<PathBuf>,
    /// Threads that serve. Default: the CPUs that this process may use.
    #[arg(long)]
    workers: Option<usize>,
    /// The form of the line for each request.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    request_log: Format,
    /// The largest request body, in bytes.
    #[arg(long, default_value_t = Limits::default().max_body_bytes)]
    max_body_bytes: usize,
    /// What all bodies that are held whole may take together, in bytes; more are told 503.
    #[arg(long, default_value_t = Limits::default().max_buffered_bytes)]
    max_buffered_bytes: usize,
    /// Seconds from a connection, or from the call before, to the end of a request's head.
    #[arg(long, default_value_t = Limits::default().header_timeout.as_secs(), value_parser = seconds())]
    header_timeout_seconds: u64,
    /// Seconds from the end of the head to the end of the body.
    #[arg(long, default_value_t = Limits::default().body_timeout.as_secs(), value_parser = seconds())]
    body_timeout_seconds: u64,
    /// Seconds that a client may take nothing of its reply; of what is written together, up to 8 KiB, it takes all or
    /// nothing.
    #[arg(long, default_value_t = Limits::default().write_timeout.as_secs(), value_parser = seconds())]
    write_timeout_seconds: u64,
    /// Client connections at once; more wait.
    #[arg(long, default_value_t = Limits::default().max_connections)]
    max_connections: usize,
    /// The largest update of the configuration, in bytes.
    #[arg(long, default_value_t = 64 * 1024 * 1024)]
    max_config_bytes: usize,
    /// Seconds at the end in which calls are still taken, and every reply tells its client to connect anew: until a
    /// load balancer has heard that this proxy is not ready any more.
    #[arg(long, default_value_t = 0, value_parser = seconds())]
    drain_delay_seconds: u64,
    /// Seconds that calls in flight may take to finish behind that.
    #[arg(long, default_value_t = 30, value_parser = seconds())]
    drain_timeout_seconds: u64,
}

/// No longer than a year: clocks must be able to count to the end of it.
fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(..=365 * 24 * 60 * 60)
}

/// TLS towards applications.
#[derive(Clone, Debug, clap::Args)]
pub struct TlsArgs {
    /// Where applications call by TLS, with HTTP/2 or HTTP/1.1.
    #[arg(long, requires_all = ["tls_certificate", "tls_key"])]
    tls_listen: Option<SocketAddr>,
    /// PEM certificate to serve by, and behind it those between it and its authority; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_listen")]
    tls_certificate: Option<PathBuf>,
    /// PEM key of that certificate; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_listen")]
    tls_key: Option<PathBuf>,
    /// Listen with TLS only: no port takes calls without.
    #[arg(long, requires = "tls_listen", conflicts_with = "listen")]
    tls_only: bool,
}

impl TlsArgs {
    /// The plain port `listen`, unless none is wanted.
    #[must_use]
    pub fn plain(&self, listen: SocketAddr) -> Option<SocketAddr> {
        (!self.tls_only).then_some(listen)
    }

    /// The port, where one is wanted.
    #[must_use]
    pub fn settings(&self) -> Option<TlsSettings> {
        Some(TlsSettings {
            listen: self.tls_listen?,
            certificate: self.tls_certificate.clone()?,
            key: self.tls_key.clone()?,
        })
    }
}

/// Where configuration comes from.
#[derive(Debug)]
pub enum Source {
    Operator(StreamSettings),
    File(PathBuf),
}

/// Settings that can't be.
#[derive(Debug)]
pub struct Invalid(String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

impl Args {
    /// The settings, and where configuration comes from.
    ///
    /// # Errors
    /// When an argument makes no sense; the error names it.
    pub fn settings(self) -> Result<(Settings, Source), Invalid> {
        let workers = self
            .workers
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        if workers == 0 || self.max_connections == 0 {
            return Err(Invalid("--workers and --max-connections must be above 0".to_owned()));
        }
        let settings = Settings {
            listen: self.tls.plain(self.listen),
            tls: self.tls.settings(),
            admin: self.admin,
            workers,
            request_log: self.request_log,
            limits: Limits {
                max_body_bytes: self.max_body_bytes,
                max_buffered_bytes: self.max_buffered_bytes,
                max_connections: self.max_connections,
                header_timeout: Duration::from_secs(self.header_timeout_seconds),
                body_timeout: Duration::from_secs(self.body_timeout_seconds),
                write_timeout: Duration::from_secs(self.write_timeout_seconds),
            },
            state: self.state_dir,
            drain_delay: Duration::from_secs(self.drain_delay_seconds),
            drain_timeout: Duration::from_secs(self.drain_timeout_seconds),
        };
        let source = match (self.operator, self.config) {
            (Some(operator), _) => Source::Operator(StreamSettings {
                operator,
                ca: self.operator_ca,
                token_file: self.token_file,
                gateway: (!self.sidecar).then_some(self.gateway),
                proxy: self.name.map_or_else(host_name, Ok)?,
                max_config_bytes: self.max_config_bytes,
            }),
            (None, Some(file)) => Source::File(file),
            (None, None) => return Err(Invalid("one of --operator and --config is needed".to_owned())),
        };
        Ok((settings, source))
    }
}

/// The pod's name in a pod.
fn host_name() -> Result<String, Invalid> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    if name.is_empty() {
        Err(Invalid("this host has no name: give one by --name".to_owned()))
    } else {
        Ok(name)
    }
}
