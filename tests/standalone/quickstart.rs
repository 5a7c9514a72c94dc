//! The first minute: the README's command, what the terminal says, the end by Ctrl-C.

use crate::gateway::{Gateway, WITHIN, asking, command, ends, path, simulated};
use harness::http::{get, json_request, post_json, post_stream};
use harness::https::Connection;
use harness::{Process, Scratch, ServingPair, tool, workspace};
use serde_json::{Value, json};
use std::process::Command;

#[tokio::test]
async fn the_quickstart_answers_streams_and_says_what_it_does() {
    let file = workspace().join("crds/examples/quickstart.yaml");
    let gateway = Gateway::start(&[path(&file)], &[]).await;
    let greeting = gateway.process.stderr();
    for wanted in [
        format!("applications  {}/v1", gateway.url),
        format!("admin         {}/metrics", gateway.admin),
        "LLMRoute default/quickstart: demo from default/simulated".to_owned(),
        format!("curl {}", gateway.chat_url()),
        r#"{"model":"demo","messages":[{"role":"user","content":"Hello"}]}"#.to_owned(),
    ] {
        assert!(greeting.contains(&wanted), "{wanted}\n{greeting}");
    }

    let answer = post_json(&gateway.chat_url(), &asking("demo")).await.json();
    assert!(!answer["choices"][0]["message"]["content"].as_str().unwrap().is_empty());
    let mut streamed = asking("demo");
    streamed["stream"] = json!(true);
    let events = post_stream(&gateway.chat_url(), &streamed).await.events().await.unwrap();
    assert!(events.len() > 3 && events.last().unwrap() == "[DONE]", "{events:?}");

    let line = gateway.said(r#""status":200"#).await;
    let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("piped, it is JSON: {line}"));
    assert_eq!((&line["route"], &line["model"]), (&json!("default/quickstart"), &json!("demo")));
    assert_eq!(line["output_tokens"], answer["usage"]["completion_tokens"]);
    assert_eq!(get(&format!("{}/readyz", gateway.admin)).await.status, 200);

    gateway.process.interrupt();
    assert_eq!(gateway.process.exited(WITHIN).await.code(), Some(0));
}

#[tokio::test]
async fn with_tls_only_the_terminal_says_https_and_no_port_takes_less() {
    let file = workspace().join("crds/examples/quickstart.yaml");
    let pair = ServingPair::new();
    let arguments = pair.arguments(&["--tls-only", path(&file)]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let gateway = Gateway::start(&arguments, &[]).await;
    let greeting = gateway.process.stderr();
    let address = gateway.url.strip_prefix("https://").unwrap();
    assert!(greeting.contains(&format!("curl https://{address}/v1/chat/completions")), "{greeting}");
    assert!(!greeting.contains("applications  http://"), "{greeting}");
    let mut connection =
        Connection::open(address.parse().unwrap(), &pair.authority, None, http::Version::HTTP_2)
            .await
            .unwrap();
    let answer = connection.send(json_request("/v1/chat/completions", &asking("demo"))).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn on_a_terminal_the_log_is_columns() {
    let scratch = Scratch::new("terminal");
    let file = scratch.write("gateway.yaml", simulated(&["demo"]));
    let run = command(&[path(&file), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], &[]);
    let mut terminal = Command::new(tool("venv/bin/python"));
    terminal.args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])"]);
    terminal.arg(run.get_program()).args(run.get_args());
    let process = Process::start(&terminal);
    let line = process.await_line(WITHIN, |line| line.contains("applications")).await;
    let url = format!("{}/chat/completions", line.split_whitespace().last().unwrap());
    assert!(post_json(&url, &asking("demo")).await.status.is_success());
    assert_eq!(post_json(&url, &asking("dmo")).await.status, 404);
    process.await_line(WITHIN, |line| line.contains(" 404 ") && line.contains("model_not_found")).await;
    let shown = process.output();
    let row = |words: &str| shown.lines().find(|line| line.contains(words)).unwrap().trim_end().to_owned();
    let (header, ok) = (row("CALLER"), row(" 200 "));
    assert_eq!(header.find("STATUS").unwrap() + 3, ok.find("200").unwrap(), "{header}\n{ok}");
    for wanted in ["127.0.0.1", "default/chat", "demo", "default/pool/sim", "$0.000000"] {
        assert!(ok.contains(wanted), "{wanted}: {ok}");
    }
}

#[tokio::test]
async fn ctrl_c_lets_the_stream_in_flight_finish() {
    let scratch = Scratch::new("drain");
    let slow = simulated(&["demo"]).replace("100000", "40");
    let gateway = Gateway::start(&[path(&scratch.write("gateway.yaml", slow))], &[]).await;
    let mut streamed = asking("demo");
    streamed["stream"] = json!(true);
    let mut stream = post_stream(&gateway.chat_url(), &streamed).await;
    stream.event().await.unwrap().unwrap();
    gateway.process.interrupt();
    gateway.said("draining").await;
    assert_eq!(stream.events().await.unwrap().last().unwrap(), "[DONE]");
    drop(stream);
    assert_eq!(gateway.process.exited(WITHIN).await.code(), Some(0));
}

#[tokio::test]
async fn who_asks_again_while_it_drains_does_not_wait() {
    for (code, signal) in [(130, Process::interrupt as fn(&Process)), (143, Process::terminate)] {
        let scratch = Scratch::new("impatient");
        let slow = simulated(&["demo"]).replace("100000", "1");
        let gateway = Gateway::start(&[path(&scratch.write("gateway.yaml", slow))], &[]).await;
        let mut streamed = asking("demo");
        streamed["stream"] = json!(true);
        let mut stream = post_stream(&gateway.chat_url(), &streamed).await;
        stream.event().await.unwrap().unwrap();
        gateway.process.interrupt();
        gateway.said("draining: calls in flight are finished; Ctrl-C again ends at once").await;
        signal(&gateway.process);
        assert_eq!(gateway.process.exited(WITHIN).await.code(), Some(code));
        assert!(gateway.process.stderr().contains("ended at once: what was in flight is cut off"));
        drop(stream);
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = ends(&["--listen", &address, "--admin", "127.0.0.1:0"], &[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("can't listen on {address}")) && said.contains("--listen"), "{said}");
}
