//! The operator's admin port when the system is out of file descriptors.

use crate::installation::WITHIN;
use harness::{Process, Scratch, eventually, http, program};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

#[tokio::test]
async fn without_file_descriptors_the_admin_port_waits_and_comes_back() {
    let scratch = Scratch::new("descriptors");
    // Nobody is there: the admin port needs no API server.
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "users": [{"name": "test", "user": {}}],
    });
    let kubeconfig = scratch.write("kubeconfig", kubeconfig.to_string());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 40; exec \"$@\"", "sh"]).arg(program("llm-operator"));
    command.args(["--serve", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).env("KUBECONFIG", kubeconfig);
    let operator = Process::start(&command);
    let line = operator.await_line(WITHIN, |line| line.contains("\"listening\"")).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    let admin = line["admin"].as_str().unwrap();

    let begun = Instant::now();
    let mut open = Vec::new();
    for _ in 0..60 {
        open.push(TcpStream::connect(admin).await.unwrap());
    }
    let complaints = || operator.output().matches("can't accept connections to the admin port").count();
    eventually("ten complaints", WITHIN, async || {
        let count = complaints();
        if count >= 10 { Ok(()) } else { Err(count.to_string()) }
    })
    .await;
    // What spins has made ten of them within a millisecond.
    assert!(begun.elapsed() >= Duration::from_millis(9 * 50), "{:?}", begun.elapsed());

    drop(open);
    eventually("it answers again", WITHIN, async || {
        let request = hyper::Request::get(format!("http://{admin}/livez")).body(Default::default()).unwrap();
        http::send(request).await.map(drop)
    })
    .await;
}
