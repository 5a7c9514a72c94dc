//! Editing the file while it serves.

use crate::gateway::{Gateway, asking, path, route, simulated};
use harness::http::{post_json, post_stream};
use harness::{Scratch, eventually};
use serde_json::json;
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
