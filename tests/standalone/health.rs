//! `health`: what a running gateway knows of its providers, as its table and as JSON.

use crate::gateway::{Gateway, WITHIN, asking, path, route};
use harness::http::{get, post_json};
use harness::{Process, Scratch, eventually, free_port, program};
use serde_json::{Value, json};
use std::process::Command;

/// Runs `kubectl-llm health`; gives its exit code, its standard output and what it complains of.
async fn health(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program("kubectl-llm"));
    command.arg("health").args(arguments);
    let process = Process::start(&command);
    (process.exited(WITHIN).await.code(), process.stdout(), process.stderr())
}

/// One that always fails goes first, one that answers takes over.
fn failing() -> String {
    format!(
        "apiVersion: llmgateway.dev/v1alpha1\nkind: ProviderPool\nmetadata: {{name: pool}}\nspec:\n  \
         circuitBreaker: {{failureThreshold: 2, recoveryTime: 1h}}\n  providers:\n  \
         - name: broken\n    kind: Simulated\n    simulated: {{errorRate: \"1\", errorStatus: 500}}\n    models: [{{name: demo}}]\n  \
         - name: sound\n    kind: Simulated\n    priority: 1\n    \
         simulated: {{timeToFirstToken: 1ms, tokensPerSecond: 100000}}\n    models: [{{name: demo}}]\n---\n{}",
        route("chat", "pool")
    )
}

/// The cells of a row of the table; columns are two spaces apart.
fn cells<'a>(shown: &'a str, provider: &str) -> Vec<&'a str> {
    let row = shown.lines().find(|line| line.starts_with(provider)).unwrap();
    row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[tokio::test]
async fn a_breaker_that_opened_and_its_last_error_are_shown() {
    let scratch = Scratch::new("health");
    let gateway = Gateway::start(&[path(&scratch.write("gateway.yaml", failing()))], &[]).await;
    let (code, shown, said) = health(&["--admin", &gateway.admin]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(cells(&shown, "default/pool/broken")[1..], ["demo", "closed", "-", "-", "-", "0", "-"]);

    for _ in 0..3 {
        assert!(post_json(&gateway.chat_url(), &asking("demo")).await.status.is_success());
    }
    let told = eventually("all attempts are counted", WITHIN, async || {
        let told = get(&format!("{}/debug/providers", gateway.admin)).await.json();
        if told[1]["attempts"]["answered"] == 3 { Ok(told) } else { Err(told.to_string()) }
    })
    .await;
    assert_eq!((&told[0]["provider"], &told[0]["model"]), (&json!("default/pool/broken"), &json!("demo")));
    assert_eq!((&told[0]["state"], &told[0]["opened"]), (&json!("open"), &json!(1)), "{told}");
    assert!((3500..=3600).contains(&told[0]["secondsUntilProbe"].as_u64().unwrap()), "{told}");
    assert_eq!((&told[0]["successShare"], &told[1]["successShare"]), (&json!(0.0), &json!(1.0)));
    assert!(told[1]["perTokenMs"].as_f64().unwrap() >= 0.0 && told[1]["lastError"].is_null(), "{told}");

    let (code, shown, said) = health(&["--admin", &gateway.admin]).await;
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let broken = cells(&shown, "default/pool/broken");
    assert!(broken[2].starts_with("open, probe in 3"), "{shown}");
    assert_eq!(broken[5], "100.0", "{shown}");
    assert!(broken[7].contains("s ago: ") && broken[7].contains("answered with status 500"), "{shown}");
    let sound = cells(&shown, "default/pool/sound");
    assert_eq!((sound[2], sound[5], sound[7]), ("closed", "0.0", "-"), "{shown}");
    assert!(sound[4].parse::<u32>().is_ok(), "tokens per second: {shown}");
}

#[tokio::test]
async fn several_proxies_are_one_table_and_one_that_is_away_is_named() {
    let scratch = Scratch::new("fleet");
    let file = scratch.write("gateway.yaml", failing());
    let gateways = [Gateway::start(&[path(&file)], &[]).await, Gateway::start(&[path(&file)], &[]).await];
    for _ in 0..2 {
        assert!(post_json(&gateways[0].chat_url(), &asking("demo")).await.status.is_success());
    }
    let away = format!("http://127.0.0.1:{}", free_port());
    let all = ["--admin", &gateways[0].admin, &gateways[1].admin, "--admin", &away];
    let (code, shown, said) = health(&all).await;
    assert_eq!(code, Some(0), "some could be asked: {said}");
    assert!(said.contains(&format!("error: {away} can't be asked: Connection refused")), "{said}");
    assert!(cells(&shown, "default/pool/broken")[2].starts_with("open on 1 of 2, probe in "), "{shown}");

    let (code, shown, _) = health(&[&all[..], &["-o", "json"]].concat()).await;
    let fleet: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((code, &fleet["unreachable"][0]["admin"]), (Some(0), &json!(away)));
    assert_eq!(fleet["providers"][0]["states"], json!({"closed": 1, "halfOpen": 0, "open": 1}));

    let (code, shown, said) = health(&["--admin", &away]).await;
    assert_eq!((code, shown.as_str()), (Some(1), ""));
    assert!(said.contains("no proxy could be asked"), "{said}");
    // What answers there may be something else.
    let (code, _, said) = health(&["--admin", &gateways[0].url]).await;
    assert!(code == Some(1) && said.contains("answered 404"), "{said}");
}
