//! What the dialects make of each other. `requests` and `replies` were written by hand after the
//! vendors' documentation; `expected` holds what becomes of them: for each API of callers and each
//! feature what every kind of provider is sent, and what the caller gets of every kind of reply, whole
//! and in pieces. `absent.txt` says which cells there can't be. `UPDATE_GOLDEN=1` rewrites `expected`;
//! read the difference before it is committed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod cases;
mod cuts;
mod embeddings;
mod errors;
mod expected;
mod order;
mod replies;
mod requests;
mod stream;
mod text;

use std::{collections::BTreeSet, fs};

use cases::{CALLERS, FEATURES, PROVIDERS, absent, folder};

#[test]
fn every_call_becomes_what_is_expected_of_it() {
    let mut expected = expected::Expected::default();
    for caller in CALLERS {
        for feature in FEATURES {
            if let Some(request) = caller.request(feature.name) {
                let mut shown = requests::shown(caller, &request);
                shown.push_str(&replies::shown(caller, feature));
                expected.is(&format!("{}/{}.txt", caller.name, feature.name), &shown);
            }
        }
        // What a stream looks like that breaks off.
        expected.is(&format!("{}/error.txt", caller.name), &replies::broken(caller));
    }
    expected.done();
}

#[test]
fn no_cell_is_left_out_without_a_reason() {
    let absent = absent();
    let mut named = BTreeSet::new();
    for (table, apis) in [
        ("requests", CALLERS.map(|api| api.name).to_vec()),
        ("replies", PROVIDERS.map(|api| api.name).to_vec()),
    ] {
        for api in apis {
            for feature in FEATURES.iter().filter(|feature| table == "requests" || feature.reply.is_none()) {
                let file = folder().join(format!("{table}/{api}/{}.json", feature.name));
                let cell = format!("{table} {api} {}", feature.name);
                assert_ne!(file.exists(), absent.contains_key(&cell), "{cell}: either a file or a reason");
                if table == "replies" {
                    assert_eq!(
                        file.exists(),
                        file.with_extension("stream").exists(),
                        "{cell}: whole and in pieces"
                    );
                }
                named.insert(cell);
            }
        }
    }
    for cell in absent.keys() {
        assert!(named.contains(cell), "absent.txt names no such cell: {cell}");
    }
}

#[test]
fn every_file_is_of_a_feature() {
    for table in ["requests", "replies"] {
        for api in CALLERS.map(|api| api.name) {
            let Ok(files) = fs::read_dir(folder().join(table).join(api)) else { continue };
            for file in files {
                let name = file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
                let known = name == "error" || FEATURES.iter().any(|feature| feature.name == name);
                assert!(known, "{table}/{api}/{name} is of no feature");
            }
        }
    }
}
