//! The files that `cargo run -p llm-crds` writes are those that the types give now.

use harness::workspace;
use std::collections::BTreeMap;
use std::fs;

#[test]
fn the_generated_definitions_have_not_drifted() {
    let now: BTreeMap<String, String> = llm_crds::files().unwrap().into_iter().collect();
    for folder in ["crds/generated", "charts/llm-gateway/crds"] {
        let files = fs::read_dir(workspace().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let committed: BTreeMap<String, String> = files
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(&path).unwrap())
            })
            .collect();
        assert_eq!(
            committed.keys().collect::<Vec<_>>(),
            now.keys().collect::<Vec<_>>(),
            "run `cargo run -p llm-crds`, and remove what it no longer writes into {folder}"
        );
        for (file, text) in &now {
            assert!(committed[file] == *text, "{folder}/{file} has drifted: run `cargo run -p llm-crds`");
        }
    }
}
