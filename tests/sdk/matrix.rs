//! The run: every SDK over every kind of provider with every feature, and the verdict on each cell.

use crate::{
    expected::{self, Expect},
    scene::{STATUSES, Scene, cut_model, failing_model},
    subjects::{CUT, FEATURES, FORCED_TOOL, Feature, Language, REFUSED_KEY, Sdk, UNKNOWN_MODEL, model, sdks},
    table,
};
use harness::{Ran, node, python, workspace};
use llm_dialect::surface::Kind;
use serde_json::{Value, json};
use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

/// A picture whose base64 holds both letters in which the two alphabets of base64 differ.
const IMAGE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAD0lEQVR4nGM4wRPCyMQMAAZNAS+qrB/pAAAAAElFTkSuQmCC";
/// What one script may take for all of its cells, on a machine that does other things too.
const WITHIN: Duration = Duration::from_secs(180);

/// What one script said of its cells: the refusal where one came, or why the cell fails.
type Said = HashMap<(String, String), Result<String, String>>;

/// The verdict on a cell: nothing, or why it fails.
pub type Verdict = Result<(), String>;

#[tokio::test]
async fn every_sdk_does_with_every_kind_what_the_vendors_allow() {
    let scene = Arc::new(Scene::start().await);
    // A script spends most of its time on a processor.
    let turns = Arc::new(Semaphore::new(2));
    let mut running = JoinSet::new();
    for sdk in sdks() {
        let (scene, turns) = (Arc::clone(&scene), Arc::clone(&turns));
        running.spawn(async move {
            let _turn = turns.acquire().await;
            (sdk, run(sdk, scene.proxy.url()).await)
        });
    }
    let said: Vec<(Sdk, Said)> = running.join_all().await;
    let verdict = |sdk: Sdk, kind: Kind, feature: Feature| {
        let (_, said) = said.iter().find(|(of, _)| *of == sdk).unwrap();
        judge(&scene, said, sdk, kind, feature)
    };
    let report = format!("{}\n\n{}", table::every_cell(&verdict), table::compatibility(&verdict));
    println!("{report}");
    std::fs::write(workspace().join("target/compatibility.md"), &report).unwrap();

    let mut failures = Vec::new();
    for sdk in sdks() {
        for kind in Kind::ALL {
            let failed = FEATURES.map(|feature| (feature.name, verdict(sdk, kind, feature).err()));
            let failed = failed.into_iter().filter_map(|(name, why)| Some((name, why?)));
            failures.extend(failed.map(|(name, why)| format!("{sdk} over {}, {name}: {why}", kind.as_str())));
        }
    }
    assert!(failures.is_empty(), "{} cells fail:\n{}", failures.len(), failures.join("\n"));
}

async fn run(sdk: Sdk, url: &str) -> Said {
    let scripts = workspace().join("tests/sdk/scripts");
    let plan = plan(sdk, url).to_string();
    let script = script(sdk, scripts, &plan);
    let Ok(ran) = timeout(WITHIN, script).await else {
        panic!("{sdk}: its script runs for more than {WITHIN:?}");
    };
    assert!(ran.ok, "{sdk}: its script fails:\n{}\n{}", ran.stdout, ran.stderr);
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = |field: &str| line[field].as_str().map(str::to_owned).unwrap_or_default();
        let outcome = if line["ok"] == true { Ok(text("refusal")) } else { Err(text("why")) };
        Some(((text("kind"), text("feature")), outcome))
    };
    // SDKs print warnings of their own.
    ran.stdout.lines().filter_map(line).collect()
}

async fn script(sdk: Sdk, scripts: PathBuf, plan: &str) -> Ran {
    match sdk.language {
        Language::JavaScript => node(&scripts, &sdk.script(), &[plan]).await,
        Language::Python => {
            let source = std::fs::read_to_string(scripts.join(sdk.script())).unwrap();
            let folder = scripts.to_str().unwrap();
            python(&source, &[plan], &[("PYTHONPATH", folder), ("PYTHONDONTWRITEBYTECODE", "1")]).await
        }
    }
}

/// What a script is told to do.
fn plan(sdk: Sdk, url: &str) -> Value {
    let cells = Kind::ALL.into_iter().flat_map(|kind| {
        FEATURES.map(|feature| {
            json!({
                "kind": kind.as_str(),
                "feature": feature.name,
                "expect": expected::cell(sdk, kind, feature).expect.as_str(),
                "model": asked_model(kind, feature),
                "tag": tag(sdk, kind),
                "exact": kind != Kind::Simulated,
                "counted": kind != Kind::Ollama,
            })
        })
    });
    json!({"url": url, "image": IMAGE, "cells": cells.collect::<Vec<_>>()})
}

fn asked_model(kind: Kind, feature: Feature) -> String {
    match feature.name {
        UNKNOWN_MODEL => format!("{}x", model(kind)),
        CUT => cut_model(kind),
        REFUSED_KEY => failing_model(kind, "401"),
        status if STATUSES.iter().any(|known| known.to_string() == status) => failing_model(kind, status),
        _ => model(kind),
    }
}

/// What stands in every question, so that the witness can tell whose it is.
fn tag(sdk: Sdk, kind: Kind) -> String {
    format!("asked through {sdk} of {}", kind.as_str())
}

fn judge(scene: &Scene, said: &Said, sdk: Sdk, kind: Kind, feature: Feature) -> Verdict {
    let outcome = said.get(&(kind.as_str().to_owned(), feature.name.to_owned()));
    let refusal = outcome.ok_or("the script said nothing of it")?.as_ref().map_err(Clone::clone)?;
    match expected::cell(sdk, kind, feature).expect {
        Expect::Refused(words) if !refusal.contains(words) => Err(format!("refused with: {refusal}")),
        Expect::Works => reached(scene, sdk, kind, feature),
        Expect::Refused(_) | Expect::Absent => Ok(()),
    }
}

/// Whether the provider got what the feature is about: the mock answers without it, too.
fn reached(scene: &Scene, sdk: Sdk, kind: Kind, feature: Feature) -> Verdict {
    let needles: &[&str] = match (feature.name, kind) {
        (_, Kind::Simulated) => &[],
        ("image", _) => &[IMAGE],
        ("tools", _) => &["get_weather", "\"city\"", "18 degrees"],
        ("structured", _) => &["\"population\""],
        (FORCED_TOOL, Kind::Gemini) => &["\"functionCallingConfig\"", "\"ANY\""],
        (FORCED_TOOL, _) => &["\"tool_choice\""],
        _ => &[],
    };
    let bodies = scene.witness.bodies(kind, &tag(sdk, kind));
    // Google's SDK for Python writes the other alphabet of base64, which its vendor reads.
    let plain = |body: &String| {
        if kind == Kind::Gemini { body.replace('-', "+").replace('_', "/") } else { body.clone() }
    };
    let bodies: Vec<String> =
        if feature.name == "image" { bodies.iter().map(plain).collect() } else { bodies };
    match needles.iter().find(|needle| !bodies.iter().any(|body| body.contains(**needle))) {
        Some(missing) => Err(format!("{missing} never reached the provider")),
        None => Ok(()),
    }
}
