//! The command while it serves, and manifests for it.

use harness::{Process, program};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub const WITHIN: Duration = Duration::from_secs(15);

pub struct Gateway {
    pub process: Process,
    pub url: String,
    pub admin: String,
}

/// `kubectl-llm run` with `arguments`, with none of the variables that this machine may have.
pub fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program("kubectl-llm"));
    for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"] {
        command.env_remove(name);
    }
    command.arg("run").args(arguments).envs(variables.iter().copied());
    command
}

impl Gateway {
    pub async fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut all = arguments.to_vec();
        if !arguments.contains(&"--tls-only") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        all.extend(["--admin", "127.0.0.1:0"]);
        let process = Process::start(&command(&all, variables));
        process.await_line(WITHIN, |line| line.starts_with("Ctrl-C")).await;
        let address = |label: &str| {
            let greeting = process.stderr();
            let line = greeting.lines().find_map(|line| line.trim().strip_prefix(label)).unwrap();
            let url = line.split_whitespace().next().unwrap();
            url.trim_end_matches("/v1").trim_end_matches("/metrics").to_owned()
        };
        let (url, admin) = (address("applications"), address("admin"));
        Self { process, url, admin }
    }

    pub fn chat_url(&self) -> String {
        format!("{}/v1/chat/completions", self.url)
    }

    pub async fn said(&self, words: &str) -> String {
        self.process.await_line(WITHIN, |line| line.contains(words)).await
    }
}

/// Runs the command where it must end by itself; gives its exit code and what it says.
pub async fn ends(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let process = Process::start(&command(arguments, variables));
    (process.exited(WITHIN).await.code(), process.output())
}

pub fn asking(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
}

/// A pool and a route for `models`, simulated and fast.
pub fn simulated(models: &[&str]) -> String {
    let models: String = models.iter().map(|model| format!("    - name: {model}\n")).collect();
    format!(
        "apiVersion: llmgateway.dev/v1alpha1\nkind: ProviderPool\nmetadata: {{name: pool}}\nspec:\n  providers:\n  \
         - name: sim\n    kind: Simulated\n    simulated: {{timeToFirstToken: 1ms, tokensPerSecond: 100000}}\n    \
         models:\n{models}---\n{}",
        route("chat", "pool")
    )
}

pub fn route(name: &str, pool: &str) -> String {
    format!(
        "apiVersion: llmgateway.dev/v1alpha1\nkind: LLMRoute\nmetadata: {{name: {name}}}\nspec:\n  rules:\n  \
         - backends: [{{pool: {{name: {pool}}}}}]\n"
    )
}

/// A pool with a key, at `url`.
pub fn hosted(url: &str) -> String {
    format!(
        "apiVersion: llmgateway.dev/v1alpha1\nkind: ProviderPool\nmetadata: {{name: hosted}}\nspec:\n  providers:\n  \
         - name: vendor\n    kind: OpenAI\n    endpoint: {url}/v1\n    credentials: {{secretRef: {{name: keys, key: vendor}}}}\n    \
         models: [{{name: large}}]\n---\n{}",
        route("hosted", "hosted")
    )
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
