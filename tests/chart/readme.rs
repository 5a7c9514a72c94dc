//! README's way onto a cluster, followed word for word on a whole node: each of its blocks is a script, and where it
//! shows what a command says, the command says that.

use crate::life::vendor;
use crate::release::Release;
use harness::{Scratch, eventually, program, tool, workspace};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// For one block.
const WITHIN: Duration = Duration::from_secs(180);

/// Who reads the README, in a shell on the node.
struct Reader {
    release: Release,
    /// The checkout, with what the README's commands write into it.
    checkout: Scratch,
    substitutions: Vec<(&'static str, String)>,
}

#[tokio::test]
async fn the_readme_followed_word_for_word_ends_in_calls_that_are_answered() {
    let release = Release::bare().await;
    let vendor = vendor(&release.machine.host()).await;
    let programs = program("llm-proxy").parent().unwrap().to_str().unwrap().to_owned();
    let reader = Reader {
        release,
        checkout: Scratch::new("checkout"),
        substitutions: vec![
            // The node has the image by that name, and there is no registry to push it to.
            ("docker build -f charts/Dockerfile -t llm-gateway:0.1.0 .\n", String::new()),
            // No key of a vendor, and no way to it.
            (
                "secrets.openaiApiKey=sk-…",
                format!("secrets.openaiApiKey=sk-test --set providers.openai.endpoint={}/v1", vendor.url()),
            ),
            // The programs that are tested.
            ("cargo build --release --workspace --bins\n", String::new()),
            ("target/release/", format!("{programs}/")),
        ],
    };
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    for (word, _) in &reader.substitutions {
        assert!(readme.contains(word), "the README does not say {word:?} any more");
    }
    for entry in fs::read_dir(workspace()).unwrap() {
        let path = entry.unwrap().path();
        symlink(&path, reader.checkout.path().join(path.file_name().unwrap())).unwrap();
    }

    let said = reader.follow("## Install on a cluster").await;
    assert!(said.contains("vendor says hello"), "{said}");
    let said = reader.follow("## Sidecars").await;
    assert!(said.contains("\"finish_reason\":\"stop\""), "{said}");

    // The other way begins where nothing is.
    let leave = "helm uninstall llm-gateway -n llm-gateway --wait; kubectl delete namespace llm-gateway shop";
    reader.run(leave).await;
    reader.follow("### Beside a kubeconfig").await;
    reader.follow("### What status says").await;
}

impl Reader {
    /// Does what a section says, up to the next heading, and answers all that was said.
    async fn follow(&self, heading: &str) -> String {
        let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
        let (_, section) = readme.split_once(&format!("\n{heading}\n")).unwrap();
        let section = section.split("\n#").next().unwrap();
        let mut all = String::new();
        for block in section.split("```\n").skip(1).step_by(2) {
            all += &match block.strip_prefix("$ ") {
                None => self.run(block).await,
                Some(shown) => self.shown(shown).await,
            };
        }
        assert!(!all.is_empty(), "{heading} has nothing to follow");
        all
    }

    /// Runs a command until it says what is shown below it: what it tells of may take a moment.
    async fn shown(&self, shown: &str) -> String {
        let (command, wanted) = shown.split_once('\n').unwrap();
        eventually(command, WITHIN, async || {
            let said = self.run(command).await;
            if is_like(&said, wanted) { Ok(said) } else { Err(format!("it says\n{said}and not\n{wanted}")) }
        })
        .await
    }

    /// Runs a script, each of whose commands has to succeed; programs that it leaves in the background go on.
    async fn run(&self, script: &str) -> String {
        let mut script = script.to_owned();
        for (word, substitute) in &self.substitutions {
            script = script.replace(word, substitute);
        }
        println!("{script}");
        // Entering the node leaves the folder.
        let checkout = self.checkout.path().display();
        let script = format!("cd {checkout}\n{script}");
        let said = self.checkout.path().join("said");
        let output = File::create(&said).unwrap();
        let path = format!(
            "{}:{}:{}",
            tool("bin").display(),
            program("kubectl-llm").parent().unwrap().display(),
            std::env::var("PATH").unwrap()
        );
        let mut command = Command::from(self.release.machine.enter("bash"));
        command
            .args(["-euo", "pipefail", "-c", &script])
            .env("PATH", path)
            .env("HOME", self.checkout.path())
            .env("KUBECONFIG", self.release.machine.cluster().admin_kubeconfig())
            .stdin(Stdio::null())
            .stderr(output.try_clone().unwrap())
            .stdout(output)
            .kill_on_drop(true);
        let status = timeout(WITHIN, command.status()).await;
        let said = fs::read_to_string(&said).unwrap();
        assert!(matches!(&status, Ok(Ok(status)) if status.success()), "{status:?}: {script}\n{said}");
        println!("{said}");
        said
    }
}

/// Whether the same words stand in the same lines: `…` is any end of a word, and an age any age.
fn is_like(said: &str, wanted: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.lines().flat_map(|line| line.split_whitespace().chain(["\n"])).map(str::to_owned).collect()
    };
    let (said, wanted) = (words(said), words(wanted));
    said.len() == wanted.len() && said.iter().zip(&wanted).all(|(said, wanted)| is_word_like(said, wanted))
}

fn is_word_like(said: &str, wanted: &str) -> bool {
    let is_age =
        |word: &str| word.ends_with(['s', 'm']) && word.starts_with(|first: char| first.is_ascii_digit());
    match wanted.strip_suffix('…') {
        Some(begin) => said.starts_with(begin),
        None => said == wanted || is_age(said) && is_age(wanted),
    }
}
