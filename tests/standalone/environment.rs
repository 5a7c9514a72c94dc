//! Keys from the environment, Secrets in files, and manifests made from nothing.

use crate::gateway::{Gateway, WITHIN, asking, command, ends, hosted, path, simulated};
use harness::http::post_json;
use harness::{Process, RawUpstream, Scratch, Step, answer, workspace};
use serde_json::{Value, json};

async fn vendor() -> RawUpstream {
    let completion = json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "x",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000, "total_tokens": 2_000_000},
    });
    RawUpstream::start([vec![Step::Send(answer(200, &completion))]]).await
}

#[tokio::test]
async fn the_openai_example_serves_a_compatible_server_with_the_usual_variable() {
    let vendor = vendor().await;
    let scratch = Scratch::new("openai");
    let example = std::fs::read_to_string(workspace().join("crds/examples/openai.yaml")).unwrap();
    let endpoint = format!("{}/v1", vendor.url());
    let file = scratch.write("openai.yaml", example.replace("https://api.openai.com/v1", &endpoint));
    let gateway = Gateway::start(&[path(&file)], &[("OPENAI_API_KEY", "sk-from-env")]).await;
    gateway.said("default/openai/openai uses OPENAI_API_KEY").await;
    assert!(post_json(&gateway.chat_url(), &asking("fast")).await.status.is_success());
    let sent = &vendor.requests()[0];
    assert!(sent.to_ascii_lowercase().contains("authorization: bearer sk-from-env"), "{sent}");
    assert!(sent.contains(r#""model":"gpt-6-luna""#), "{sent}");
    let line: Value = serde_json::from_str(&gateway.said("\"status\":200").await).unwrap();
    assert_eq!(
        (&line["model"], &line["cost_usd"]),
        (&json!("fast"), &json!("0.600000000")),
        "0.10 in and 0.50 out"
    );
    assert!(!gateway.process.output().contains("sk-from-env"));
}

#[tokio::test]
async fn a_secret_in_a_file_comes_before_the_environment() {
    let vendor = vendor().await;
    let folder = Scratch::new("folder");
    folder.write("10-pool.yaml", hosted(vendor.url()));
    folder.write(
        "20-secret.yml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {vendor: sk-from-file}\n",
    );
    folder.write("notes.txt", "not: [a manifest");
    let other = Scratch::new("other");
    let other = other.write("sim.json", {
        let object = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
        let text = simulated(&["demo"]);
        let (pool, route) = text.split_once("---\n").unwrap();
        json!({"apiVersion": "v1", "kind": "List", "items": [object(pool), object(route)]}).to_string()
    });
    let gateway =
        Gateway::start(&[path(folder.path()), path(&other)], &[("OPENAI_API_KEY", "sk-from-env")]).await;
    assert!(post_json(&gateway.chat_url(), &asking("large")).await.status.is_success());
    assert!(vendor.requests()[0].contains("Bearer sk-from-file"));
    assert!(post_json(&gateway.chat_url(), &asking("demo")).await.status.is_success());
}

#[tokio::test]
async fn without_files_the_keys_that_are_there_make_the_pools() {
    let vendor = vendor().await;
    let base = format!("{}/v1", vendor.url());
    let variables = [("OPENAI_API_KEY", "sk-from-env"), ("OPENAI_BASE_URL", base.as_str())];
    let gateway = Gateway::start(&[], &variables).await;
    assert!(post_json(&gateway.chat_url(), &asking("gpt-6-luna")).await.status.is_success());
    assert!(vendor.requests()[0].contains("Bearer sk-from-env"));

    let all = [("OPENAI_API_KEY", "sk-o"), ("ANTHROPIC_API_KEY", "sk-a"), ("GEMINI_API_KEY", "sk-g")];
    let gateway = Gateway::start(&[], &all).await;
    let greeting = gateway.process.stderr();
    for wanted in ["gpt-6-luna", "claude-sonnet-5-5", "gemini-3.8-flash"] {
        assert!(greeting.contains(wanted), "{wanted}\n{greeting}");
    }
}

#[tokio::test]
async fn without_files_and_keys_there_is_a_simulated_provider() {
    let gateway = Gateway::start(&[], &[]).await;
    assert!(post_json(&gateway.chat_url(), &asking("demo")).await.status.is_success());
    gateway.said("run --print").await;
}

#[tokio::test]
async fn what_is_printed_can_be_run_and_holds_no_key() {
    for variables in [&[][..], &[("OPENAI_API_KEY", "secret-1"), ("GEMINI_API_KEY", "secret-2")]] {
        let process = Process::start(&command(&["--print"], variables));
        assert_eq!(process.exited(WITHIN).await.code(), Some(0));
        let printed = process.stdout();
        assert!(printed.contains("kind: LLMRoute") && !printed.contains("secret-"), "{printed}");
        let scratch = Scratch::new("printed");
        let file = scratch.write("printed.yaml", &printed);
        let gateway = Gateway::start(&[path(&file)], variables).await;
        assert!(gateway.process.is_running());

        let (code, again) = ends(&["--print", path(&file)], variables).await;
        assert_eq!((code, again.trim_end()), (Some(0), printed.trim_end()), "files are printed as they are");
    }
}
