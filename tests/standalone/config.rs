//! `config`: what a running gateway runs on, without a secret.

use crate::gateway::{Gateway, WITHIN, path, route};
use harness::{Process, Scratch, free_port, program};
use serde_json::{Value, json};
use std::process::Command;

/// Runs `kubectl-llm config`; gives its exit code, its standard output and what it complains of.
async fn config(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program("kubectl-llm"));
    command.arg("config").args(arguments);
    let process = Process::start(&command);
    (process.exited(WITHIN).await.code(), process.stdout(), process.stderr())
}

#[tokio::test]
async fn what_is_in_force_is_shown_as_yaml_or_json_and_no_secret_is() {
    let scratch = Scratch::new("config");
    let pool = "apiVersion: llmgateway.dev/v1alpha1\nkind: ProviderPool\nmetadata: {name: pool}\nspec:\n  providers:\n  \
                - name: vendor\n    kind: OpenAI\n    endpoint: http://127.0.0.1:1/v1\n    \
                credentials: {secretRef: {name: keys, key: k}}\n    \
                headers: [{name: x-tenant-key, value: sk-header}]\n    models: [{name: demo}]\n---\n\
                apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {k: sk-secret}\n---\n";
    let file = scratch.write("gateway.yaml", format!("{pool}{}", route("chat", "pool")));
    let gateway = Gateway::start(&[path(&file)], &[]).await;

    let (code, shown, said) = config(&["--admin", &gateway.admin]).await;
    assert_eq!((code, said.as_str()), (Some(0), ""), "{said}");
    let yaml: Value = serde_saphyr::from_str(&shown).unwrap();
    let upstream = &yaml["pools"]["default/pool"]["providers"][0]["upstream"];
    assert_eq!(
        (&upstream["apiKey"], &upstream["headers"]["x-tenant-key"]),
        (&json!("[redacted]"), &json!("[redacted]"))
    );
    assert_eq!(upstream["endpoint"], "http://127.0.0.1:1/v1");
    assert!(!shown.contains("sk-"), "{shown}");
    let (_, shown, _) = config(&["--admin", &gateway.admin, "-o", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), yaml);

    let away = format!("http://127.0.0.1:{}", free_port());
    let (code, shown, said) = config(&["--admin", &away]).await;
    assert_eq!((code, shown.as_str()), (Some(1), ""));
    assert_eq!(said.trim(), format!("error: {away} can't be asked: Connection refused (os error 111)"));
    let (code, _, said) = config(&[]).await;
    assert!(code == Some(2) && said.contains("<PROXY>"), "{said}");
}
