//! Every target holds for what is in the corpus: cases made from the vendors' documentation, and what
//! fuzzing has found since.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{collections::BTreeSet, fs, path::Path};

use llm_fuzz::TARGETS;

#[test]
fn every_target_holds_for_its_corpus() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        files.sort();
        for file in files {
            // What a failure needs to be found again.
            println!("{}", file.display());
            let data = fs::read(&file).unwrap();
            target(&data);
            // Half of it, too: most of what a network does wrong.
            target(&data[..data.len() / 2]);
        }
    }
}

#[test]
fn every_target_is_fuzzed() {
    let named: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let stems = |below: &str| -> BTreeSet<String> {
        let files = fs::read_dir(folder.join(below)).unwrap();
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(stems("fuzz/fuzz_targets"), named);
    assert_eq!(stems("corpus"), named);
    let manifest = fs::read_to_string(folder.join("fuzz/Cargo.toml")).unwrap();
    for name in named {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is no binary of fuzz/Cargo.toml");
    }
}
