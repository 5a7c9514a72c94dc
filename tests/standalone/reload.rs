//! Editing the file while it serves.

use crate::gateway::{Gateway, asking, command, path, route, simulated};
use harness::http::{post_json, post_stream};
use harness::{Process, Scratch, eventually};
use serde_json::json;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

async fn answers(gateway: &Gateway, model: &str, status: u16) {
    eventually(&format!("{model} is answered with {status}"), SOON, async || {
        let answer = post_json(&gateway.chat_url(), &asking(model)).await;
        if answer.status == status { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}

#[tokio::test]
async fn an_edit_is_in_force_at_once_and_drops_no_call() {
    let scratch = Scratch::new("reload");
    let slow = simulated(&["demo"]).replace("100000", "40");
    let file = scratch.write("gateway.yaml", slow);
    let gateway = Gateway::start(&[path(&file)], &[]).await;
    let mut streamed = asking("demo");
    streamed["stream"] = json!(true);
    let mut stream = post_stream(&gateway.chat_url(), &streamed).await;
    stream.event().await.unwrap().unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let calling = tokio::spawn({
        let (url, done) = (gateway.chat_url(), done.clone());
        async move {
            let mut calls = 0;
            let mut call = asking("demo");
            call["max_tokens"] = json!(1);
            while !done.load(Ordering::Relaxed) {
                let answer = post_json(&url, &call).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                calls += 1;
            }
            calls
        }
    });
    scratch.write("gateway.yaml", simulated(&["demo", "extra"]));
    answers(&gateway, "extra", 200).await;
    gateway.said("reloaded: 1 route, 2 models: demo, extra").await;
    // As editors do: another file takes its place.
    let new = scratch.write("gateway.yaml.new", simulated(&["demo", "other"]));
    std::fs::rename(new, &file).unwrap();
    answers(&gateway, "other", 200).await;
    answers(&gateway, "extra", 404).await;
    done.store(true, Ordering::Relaxed);
    assert!(calling.await.unwrap() > 0);
    assert_eq!(stream.events().await.unwrap().last().unwrap(), "[DONE]", "begun before the edits");
}

#[tokio::test]
async fn a_bad_edit_is_refused_and_the_last_good_one_goes_on() {
    let scratch = Scratch::new("bad-edit");
    let good = simulated(&["demo"]);
    let file = scratch.write("gateway.yaml", &good);
    let gateway = Gateway::start(&[path(&file)], &[]).await;
    scratch.write("gateway.yaml", format!("{good}---\n{}", route("lost", "nowhere")));
    let said = gateway.said("error: ").await;
    let wanted = format!(
        "error: {}: LLMRoute default/lost: spec.rules[0].backends[0].pool: there is no ProviderPool default/nowhere",
        file.display()
    );
    assert_eq!(said, wanted);
    gateway.said("not reloaded: the last good configuration stays").await;
    answers(&gateway, "demo", 200).await;

    std::fs::remove_file(&file).unwrap();
    gateway.said("No such file").await;
    answers(&gateway, "demo", 200).await;

    scratch.write("gateway.yaml", &good);
    gateway.said("reloaded: 1 route, 1 model: demo").await;
}

#[tokio::test]
async fn a_folder_is_followed_file_by_file() {
    let scratch = Scratch::new("followed");
    scratch.write("a.yaml", simulated(&["demo"]));
    let gateway = Gateway::start(&[path(scratch.path())], &[]).await;
    let (pool, _) =
        simulated(&["more"]).split_once("---\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let pool = pool.replace("name: pool", "name: second");
    scratch.write("b.yaml", format!("{pool}---\n{}", route("second", "second")));
    answers(&gateway, "more", 200).await;
    std::fs::remove_file(scratch.path().join("b.yaml")).unwrap();
    answers(&gateway, "more", 404).await;
    answers(&gateway, "demo", 200).await;
}

/// A call that takes half a second: whoever is busy with something else meanwhile has shown it by then.
async fn a_slow_call(url: &str) {
    let mut streamed = asking("demo");
    streamed["stream"] = json!(true);
    let events = post_stream(url, &streamed).await.events().await.unwrap();
    assert_eq!(events.last().unwrap(), "[DONE]");
}

#[tokio::test]
async fn a_log_beside_the_manifest_is_no_edit_and_a_complaint_is_made_once() {
    let scratch = Scratch::new("log-beside");
    let good = simulated(&["demo"]).replace("100000", "20");
    let file = scratch.write("gateway.yaml", &good);
    let log = scratch.path().join("err.log");
    let run = command(&[path(&file), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], &[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" 2>\"$LOG\"", "sh"]).arg(run.get_program()).args(run.get_args());
    shell.env("LOG", &log).env_remove("OPENAI_API_KEY");
    let _gateway = Process::start(&shell);
    let said = async |words: &str| {
        eventually(&format!("`{words}` is said"), SOON, async || {
            let said = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
            if said.contains(words) { Ok(said) } else { Err(said) }
        })
        .await
    };
    let greeting = said("Ctrl-C drains").await;
    let line = greeting.lines().find_map(|line| line.trim().strip_prefix("applications")).unwrap();
    let url = format!("{}/chat/completions", line.trim());

    let bad = format!("{good}---\n{}", route("lost", "nowhere"));
    scratch.write("gateway.yaml", &bad);
    said("not reloaded").await;
    a_slow_call(&url).await;
    scratch.write("gateway.yaml", &bad);
    a_slow_call(&url).await;
    assert_eq!(said("").await.matches("not reloaded").count(), 1, "{}", said("").await);

    // Another mistake is another complaint, and the first is one again when it comes back.
    scratch.write("gateway.yaml", "a: [");
    said("not valid YAML").await;
    scratch.write("gateway.yaml", &bad);
    eventually("the first complaint is made again", SOON, async || {
        let said = said("").await;
        if said.matches("default/nowhere").count() == 2 { Ok(()) } else { Err(said) }
    })
    .await;
    scratch.write("gateway.yaml", &good);
    said("reloaded: 1 route").await;
}

#[tokio::test]
async fn an_edit_while_the_manifests_are_first_read_is_not_lost() {
    let scratch = Scratch::new("early-edit");
    let file = scratch.write("gateway.yaml", simulated(&["demo"]));
    // Read second, and only as somebody writes it: that is when the first one is edited.
    let elsewhere = Scratch::new("early-edit-pipe");
    let pipe = elsewhere.path().join("second.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::thread::spawn({
        let (file, pipe) = (file.clone(), pipe.clone());
        move || {
            let mut edited = false;
            // Until the folder is gone; each opening waits for a reader.
            while let Ok(mut second) = std::fs::OpenOptions::new().write(true).open(&pipe) {
                if !std::mem::replace(&mut edited, true) {
                    std::fs::write(&file, simulated(&["early"])).unwrap();
                }
                let _gone = second.write_all(b"# nothing\n");
            }
        }
    });
    let gateway = Gateway::start(&[path(&file), path(&pipe)], &[]).await;
    answers(&gateway, "early", 200).await;
}

#[tokio::test]
async fn a_config_map_that_is_mounted_is_followed() {
    let scratch = Scratch::new("mounted");
    let mount = |version: &str, models: &[&str]| {
        std::fs::create_dir(scratch.path().join(version)).unwrap();
        scratch.write(&format!("{version}/gateway.yaml"), simulated(models));
        symlink(version, scratch.path().join("..data_tmp")).unwrap();
        std::fs::rename(scratch.path().join("..data_tmp"), scratch.path().join("..data")).unwrap();
    };
    mount("..1", &["demo"]);
    let file = scratch.path().join("gateway.yaml");
    symlink("..data/gateway.yaml", &file).unwrap();
    let gateway = Gateway::start(&[path(&file)], &[]).await;
    answers(&gateway, "demo", 200).await;
    mount("..2", &["other"]);
    answers(&gateway, "other", 200).await;
}
