//! The files that `cargo run -p llm-crds` writes are those that the types give now.

use harness::workspace;
use std::collections::BTreeMap;
use std::fs;

#[test]
fn the_generated_definitions_have_not_drifted() {
    let folder = workspace().join("crds/generated");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let committed: BTreeMap<String, String> = files
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    let now: BTreeMap<String, String> = llm_crds::definitions().unwrap().into_iter().collect();
    assert_eq!(
        committed.keys().collect::<Vec<_>>(),
        now.keys().collect::<Vec<_>>(),
        "run `cargo run -p llm-crds`, and remove what it no longer writes"
    );
    for (file, text) in now {
        assert!(committed[&file] == text, "crds/generated/{file} has drifted: run `cargo run -p llm-crds`");
    }
}
