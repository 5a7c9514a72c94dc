//! `inject`: manifests in, the same with sidecars out. `UPDATE_GOLDEN=1` rewrites what is expected.

use crate::gateway::{WITHIN, path};
use harness::{Process, Scratch, program, workspace};
use std::fs;
use std::process::Command;

/// Runs `kubectl-llm inject`; gives its exit code, its standard output and what it complains of.
async fn inject(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program("kubectl-llm"));
    command.arg("inject").args(arguments);
    ran(&command).await
}

async fn ran(command: &Command) -> (Option<i32>, String, String) {
    let process = Process::start(command);
    (process.exited(WITHIN).await.code(), process.stdout(), process.stderr())
}

fn case(name: &str) -> String {
    path(&workspace().join("tests/standalone/inject").join(name)).to_owned()
}

#[tokio::test]
async fn pods_and_pod_templates_get_a_sidecar_and_all_else_passes_through() {
    let (code, shown, said) =
        inject(&["-f", &case("manifests.yaml"), "--injection", &case("injection.yaml")]).await;
    assert_eq!(code, Some(0), "{said}");
    let file = case("expected.yaml");
    // The version of the day is no news.
    let blotted = shown.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, &blotted).unwrap();
    }
    assert_eq!(blotted, fs::read_to_string(&file).unwrap(), "UPDATE_GOLDEN=1 rewrites what is expected");
    assert!(
        said.contains("manifests.yaml: Deployment shop: container `worker`: it takes variables by envFrom"),
        "{said}"
    );

    // What it prints it takes as it is, also from standard input.
    let scratch = Scratch::new("inject");
    let shown_file = scratch.write("shown.yaml", &shown);
    let mut piped = Command::new("sh");
    piped.args(["-c", "exec \"$0\" inject -f - --injection \"$2\" < \"$1\""]);
    piped.arg(program("kubectl-llm")).arg(shown_file).arg(case("injection.yaml"));
    let (code, again, said) = ran(&piped).await;
    assert_eq!((code, again), (Some(0), shown), "{said}");
}

#[tokio::test]
async fn what_the_webhook_would_refuse_is_refused_in_its_words() {
    let scratch = Scratch::new("refused");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: app, annotations: {llmgateway.dev/prot: \"1\"}}\nspec: {containers: [{name: app}]}\n";
    let bad = scratch.write("pod.yaml", pod);
    let on_node = scratch.write(
        "node.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: node, labels: {llmgateway.dev/inject: \"true\"}}\nspec: {hostNetwork: true, containers: []}\n",
    );
    let (code, shown, said) = inject(&["-f", path(&bad), path(&on_node), "/nowhere.yaml"]).await;
    assert_eq!((code, shown.as_str()), (Some(1), ""));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    for (line, wanted) in lines.iter().zip([
        "pod.yaml: Pod app: annotation `llmgateway.dev/prot`: there is none of this name",
        "node.yaml: Pod node: this pod can't have a sidecar",
        "/nowhere.yaml: ",
    ]) {
        assert!(line.starts_with("error: ") && line.contains(wanted), "{wanted}\n{line}");
    }
    let settings = scratch.write("injection.yaml", "imgae: x\n");
    let (code, _, said) = inject(&["-f", path(&bad), "--injection", path(&settings)]).await;
    assert!(code == Some(1) && said.contains("injection.yaml: ") && said.contains("imgae"), "{said}");
}
