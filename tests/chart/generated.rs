//! What the chart holds copies of, for it reads no file outside of itself: the examples. `UPDATE_GOLDEN=1` writes the
//! copies. The definitions of the kinds are written, and compared, with those of `crds/generated`.

use crate::rendered::CHART;
use harness::workspace;
use std::fs;

/// The chart's file and the example that it is.
const PROVIDERS: [(&str, &str); 4] =
    [("openai", "openai"), ("anthropic", "anthropic"), ("gemini", "gemini"), ("simulated", "quickstart")];

#[test]
fn the_providers_are_the_examples() {
    let folder = workspace().join(CHART).join("providers");
    for (copy, example) in PROVIDERS {
        let example = fs::read_to_string(workspace().join(format!("crds/examples/{example}.yaml"))).unwrap();
        let file = folder.join(format!("{copy}.yaml"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &example).unwrap();
        }
        let copied = fs::read_to_string(&file).unwrap_or_default();
        assert!(copied == example, "{} has drifted: UPDATE_GOLDEN=1 writes it", file.display());
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), PROVIDERS.len());
}
