//! aimock: a provider mock that others wrote, so that our idea of a provider is checked against somebody else's.

use crate::{Process, Scratch, eventually, free_port, http, tool};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

/// A running aimock.
pub struct Aimock {
    url: String,
    process: Process,
    _scratch: Scratch,
}

impl Aimock {
    /// Starts one that answers by `fixtures`, a list: the first whose `match` fits a request answers it.
    pub async fn start(fixtures: Value) -> Self {
        let scratch = Scratch::new("aimock");
        let file = scratch.write("fixtures.json", json!({ "fixtures": fixtures }).to_string());
        let port = free_port().to_string();
        let mut command = Command::new(tool("node/node_modules/.bin/llmock"));
        // A fixture with a mistake would otherwise just never match.
        command.args(["--validate-on-load", "-p", &port, "-f"]).arg(file);
        let process = Process::start(&command);
        process.await_line(Duration::from_secs(20), |line| line.contains("listening on")).await;
        Self { url: format!("http://127.0.0.1:{port}"), process, _scratch: scratch }
    }

    /// Its root; the OpenAI API is below `/v1`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on these faults strike the requests that carry `x-test-id: SCOPE`.
    pub async fn chaos(&self, scope: &str, faults: &Value) {
        let mut request = http::json_request(&format!("{}/__aimock/chaos", self.url), faults);
        request.headers_mut().insert("x-test-id", scope.parse().unwrap());
        let answer = http::send(request).await.unwrap();
        assert!(answer.status.is_success(), "{answer:?}");
    }

    /// The requests that it received, oldest first. It redacts their credentials: use `RawUpstream` to see those.
    pub async fn journal(&self) -> Vec<Value> {
        let answer = http::get(&format!("{}/__aimock/journal", self.url)).await;
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Waits until it has received `count` requests, and answers them.
    pub async fn await_requests(&self, count: usize, within: Duration) -> Vec<Value> {
        eventually(&format!("{count} requests at aimock"), within, async || {
            let journal = self.journal().await;
            if journal.len() >= count { Ok(journal) } else { Err(format!("{} so far", journal.len())) }
        })
        .await
    }

    /// To stop, pause or kill it: a provider that is down or hangs.
    pub fn process(&self) -> &Process {
        &self.process
    }
}
