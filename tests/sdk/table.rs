//! The tables: for a terminal every cell, for the README a line for each SDK.

use crate::{
    expected::{self, Expect},
    matrix::Verdict,
    subjects::{FEATURES, Feature, Sdk, sdks},
    wishes,
};
use harness::{markdown, workspace};
use llm_dialect::surface::Kind;

const BEGIN: &str = "<!-- compatibility -->\n";
const END: &str = "<!-- /compatibility -->";
const SUPERSCRIPTS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];

/// The section of the README.
pub fn compatibility(verdict: &dyn Fn(Sdk, Kind, Feature) -> Verdict) -> String {
    let mut notes = Vec::new();
    let mut rows = vec![header("SDK")];
    for sdk in sdks() {
        let mut row = vec![sdk.to_string()];
        row.extend(Kind::ALL.map(|kind| summary(sdk, kind, verdict, &mut notes)));
        rows.push(row);
    }
    let notes = notes.iter().enumerate().map(|(i, note)| format!("{}. {note}\n", i + 1));
    format!(
        "{}\n{}\n{}\nWhat each kind of provider can be asked for; the rest is refused with a 400 that names the field:\n\n{}",
        markdown(&rows),
        legend(),
        notes.collect::<String>(),
        markdown(&wishes::rows()),
    )
}

/// How many features work, which do not, and the notes to them.
fn summary(
    sdk: Sdk,
    kind: Kind,
    verdict: &dyn Fn(Sdk, Kind, Feature) -> Verdict,
    notes: &mut Vec<&'static str>,
) -> String {
    let cells = FEATURES.map(|feature| (feature, expected::cell(sdk, kind, feature)));
    let failed: Vec<&str> =
        FEATURES.into_iter().filter(|f| verdict(sdk, kind, *f).is_err()).map(|f| f.name).collect();
    let works = cells.iter().filter(|(_, cell)| cell.expect == Expect::Works).count();
    let mut marks: Vec<String> = Vec::new();
    for note in cells.iter().filter_map(|(_, cell)| cell.note) {
        let mark = number(note, notes);
        if !marks.contains(&mark) {
            marks.push(mark);
        }
    }
    let failed = if failed.is_empty() { String::new() } else { format!(" ✗ {}", failed.join(", ")) };
    format!("{works}/{} {}{failed}", FEATURES.len(), marks.join(" ")).trim_end().to_owned()
}

/// The number of a note, which it gets when it is first needed.
fn number(note: &'static str, notes: &mut Vec<&'static str>) -> String {
    let at = notes.iter().position(|known| *known == note).unwrap_or_else(|| {
        notes.push(note);
        notes.len() - 1
    });
    (at + 1).to_string().bytes().map(|digit| SUPERSCRIPTS[usize::from(digit - b'0')]).collect()
}

fn legend() -> String {
    let mut names = Vec::new();
    let mut lines = format!("The {} features:\n\n", FEATURES.len());
    for Feature { name, meaning } in FEATURES {
        names.push(name);
        if !meaning.is_empty() {
            lines.push_str(&format!("- *{}*: {meaning}\n", std::mem::take(&mut names).join(", ")));
        }
    }
    lines
}

pub fn header(first: &str) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(Kind::ALL.map(|kind| kind.as_str().to_owned())).collect()
}

/// A mark for every cell: it works, it is refused or not there as the vendor has it, it fails.
pub fn every_cell(verdict: &dyn Fn(Sdk, Kind, Feature) -> Verdict) -> String {
    let mut header = vec!["SDK".to_owned(), "Kind".to_owned()];
    header.extend(FEATURES.map(|feature| feature.name.to_owned()));
    let mut rows = vec![header];
    for sdk in sdks() {
        for kind in Kind::ALL {
            let mut row = vec![sdk.to_string(), kind.as_str().to_owned()];
            row.extend(FEATURES.map(|feature| {
                let mark = match (verdict(sdk, kind, feature), expected::cell(sdk, kind, feature).expect) {
                    (Err(_), _) => "✗",
                    (Ok(()), Expect::Works) => "✓",
                    (Ok(()), Expect::Refused(_)) => "refused",
                    (Ok(()), Expect::Absent) => "absent",
                };
                mark.to_owned()
            }));
            rows.push(row);
        }
    }
    markdown(&rows)
}

#[test]
fn the_readme_shows_the_table() {
    let path = workspace().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let begin = readme.find(BEGIN).unwrap() + BEGIN.len();
    let end = readme.find(END).unwrap();
    // That all of it is true is for the run to show.
    let table = compatibility(&|_, _, _| Ok(()));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let updated = [&readme[..begin], &table, &readme[end..]].concat();
        std::fs::write(&path, updated).unwrap();
    } else {
        assert_eq!(readme[begin..end], table, "run with UPDATE_GOLDEN=1 and review the difference");
    }
}
