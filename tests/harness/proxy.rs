//! `llm-proxy` as a test sees it: where it listens, what it logs, what it counts.

use crate::{Process, Scratch, eventually, http, program};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(10);

pub struct Proxy {
    url: String,
    tls: Option<SocketAddr>,
    admin: String,
    pub process: Process,
    _scratch: Option<Scratch>,
}

impl Proxy {
    /// Starts one on a compiled document, without an operator, and waits until it is ready.
    pub async fn start(document: &Value, arguments: &[&str]) -> Self {
        let scratch = Scratch::new("proxy");
        let file = scratch.write("config.json", document.to_string());
        let mut all = vec!["--config", file.to_str().unwrap()];
        all.extend(arguments);
        let mut proxy = Self::spawn(&all).await;
        proxy._scratch = Some(scratch);
        eventually("the proxy is ready", WITHIN, async || proxy.readiness().await).await;
        proxy
    }

    /// Starts one, and waits until it listens.
    pub async fn spawn(arguments: &[&str]) -> Self {
        Self::spawn_with(arguments, &[]).await
    }

    /// The same with variables of its environment.
    pub async fn spawn_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program("llm-proxy"));
        if !arguments.contains(&"--tls-only") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(["--admin", "127.0.0.1:0"]).args(arguments);
        command.envs(variables.iter().copied());
        let process = Process::start(&command);
        let line = process.await_line(WITHIN, |line| line.contains("\"listening\"")).await;
        let line: Value = serde_json::from_str(&line).unwrap();
        let url = |field: &str| format!("http://{}", line[field].as_str().unwrap_or("nowhere"));
        let tls = line["tls"].as_str().map(|address| address.parse().unwrap());
        Self { url: url("listen"), tls, admin: url("admin"), process, _scratch: None }
    }

    /// Where applications call by TLS.
    pub fn tls(&self) -> SocketAddr {
        self.tls.expect("a proxy with --tls-listen")
    }

    /// Where applications call, without a path.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn chat_url(&self) -> String {
        format!("{}/v1/chat/completions", self.url)
    }

    /// A path of the admin port.
    pub async fn admin(&self, path: &str) -> http::Answer {
        http::get(&format!("{}{path}", self.admin)).await
    }

    /// Whether `/readyz` says so; else what it says.
    pub async fn readiness(&self) -> Result<(), String> {
        let answer = self.admin("/readyz").await;
        if answer.status.is_success() { Ok(()) } else { Err(answer.text().to_owned()) }
    }

    /// The lines of the request log so far.
    pub fn requests(&self) -> Vec<Value> {
        self.process.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for so many lines of the request log, and answers them.
    pub async fn await_requests(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} lines of the request log"), WITHIN, async || {
            let lines = self.requests();
            if lines.len() >= count { Ok(lines) } else { Err(format!("{lines:?}")) }
        })
        .await
    }

    /// The value of a sample of `/metrics`, by its name and some of its labels; 0 where there is none.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let exposition = self.admin("/metrics").await;
        let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let samples = exposition.text().lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && wanted.iter().all(|label| line.contains(label.as_str()))
        });
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Resident memory, in MiB.
    pub fn resident_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}
