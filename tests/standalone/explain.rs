//! `explain`: a plan from files alone, without a key, as a person and as a program reads it.
//! `UPDATE_GOLDEN=1` rewrites what is expected.

use crate::gateway::{WITHIN, hosted, path, simulated};
use harness::{Process, Scratch, program, workspace};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// Runs `kubectl-llm explain`; gives its exit code, its standard output and what it complains of.
async fn explain(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program("kubectl-llm"));
    command.arg("explain").args(arguments);
    let process = Process::start(&command);
    (process.exited(WITHIN).await.code(), process.stdout(), process.stderr())
}

fn case(name: &str) -> String {
    path(&workspace().join("tests/standalone/explain").join(name)).to_owned()
}

#[tokio::test]
async fn the_plan_names_the_rule_the_order_the_scores_and_why_others_are_left_out() {
    let (manifests, request) = (case("manifests.yaml"), case("request.json"));
    let given = ["-f", &manifests, "--request", &request, "--header", "X-Team: research"];
    let (code, shown, said) = explain(&given).await;
    assert_eq!(code, Some(0), "{said}");
    let file = case("expected.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(&file).unwrap(), "UPDATE_GOLDEN=1 rewrites what is expected");
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    assert!(readme.contains(&shown), "README.md shows another plan than\n{shown}");

    let (code, shown, said) = explain(&[&given[..], &["-o", "json"]].concat()).await;
    assert_eq!(code, Some(0), "{said}");
    let decision: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&decision["route"], &decision["strategy"]), (&"default/assist".into(), &"Balanced".into()));
    let last = decision["candidates"].as_array().unwrap().last().unwrap();
    assert_eq!(last["excluded"], "it lacks the capability Coding");
}

#[tokio::test]
async fn several_files_and_a_path_that_names_the_model_are_taken_too() {
    let scratch = Scratch::new("explain");
    let folder = scratch.path().join("pools");
    fs::create_dir(&folder).unwrap();
    let text = simulated(&["demo"]);
    let (pool, route) = text.split_once("---\n").unwrap();
    fs::write(folder.join("pool.yaml"), pool).unwrap();
    let route = scratch.write("route.yaml", route);
    let body = scratch.write("body.json", r#"{"contents": [{"parts": [{"text": "Hello"}]}]}"#);
    let (code, shown, said) = explain(&[
        "-f",
        path(&folder),
        path(&route),
        "--path",
        "/v1beta/models/demo:generateContent",
        "--request",
        path(&body),
    ])
    .await;
    assert_eq!(code, Some(0), "{said}");
    assert!(shown.contains("default/chat") && shown.contains("default/pool/sim"), "{shown}");
}

#[tokio::test]
async fn what_would_be_refused_is_told_in_the_words_of_the_refusal() {
    let (manifests, scratch) = (case("manifests.yaml"), Scratch::new("refused"));
    for (body, header, wanted) in [
        (
            r#"{"model": "lama", "messages": [{"role": "user", "content": "Hi"}]}"#,
            "x: y",
            "refused with 404 model_not_found: The model 'lama' is not served here. Did you mean llama",
        ),
        (
            r#"{"model": "smart", "messages": [{"role": "user", "content": "Hi"}]}"#,
            "x: y",
            "is served here, but not for a call like this: see the matches of LLMRoute default/assist",
        ),
        (
            r#"{"model": "any", "messages": [{"role": "user", "content": "Hi"}]}"#,
            "x-llm-strategy: Balanced",
            "refused with 403 wish_not_allowed: LLMRoute default/assist does not let callers choose by 'x-llm-strategy': its rule's clientOverrides must list Strategy.",
        ),
        (r#"{"model": "any", "#, "x: y", "refused with 400 invalid_json: "),
        (r#"{"model": "any"}"#, "x-llm-stategy: Balanced", "refused with 400 invalid_wish: "),
    ] {
        let request = scratch.write("request.json", body);
        let (code, shown, said) =
            explain(&["-f", &manifests, "--request", path(&request), "--header", header]).await;
        assert_eq!((code, shown.as_str()), (Some(1), ""), "{said}");
        assert!(said.starts_with("error: ") && said.contains(wanted), "{wanted}\n{said}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_files_is_told_as_run_tells_it() {
    let scratch = Scratch::new("wrong");
    let request = case("request.json");
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData: {other: sk-1}\n";
    let file = scratch.write("gateway.yaml", hosted("http://127.0.0.1:1") + secret);
    let (code, _, said) = explain(&["-f", path(&file), "--request", &request]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("ProviderPool default/hosted") && said.contains("has no key `vendor`"), "{said}");
    let (code, _, said) = explain(&["-f", &case("manifests.yaml"), "--request", "/nowhere.json"]).await;
    assert!(code == Some(1) && said.starts_with("error: /nowhere.json: "), "{said}");
}
