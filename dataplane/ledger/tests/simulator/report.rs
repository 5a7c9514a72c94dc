//! What the runs came to, in tables: `tests/run` prints them at its end, for cargo keeps to itself what a passing test says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Each test has one, and they run at the same time.
static TABLES: Mutex<BTreeMap<&str, String>> = Mutex::new(BTreeMap::new());

/// Shows a table, and writes all that there are to `target/simulator.md`.
pub fn add(title: &'static str, rows: &[Vec<String>]) {
    let table = format!("{title}\n\n{}\n", markdown(rows));
    println!("{table}");
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    tables.insert(title, table);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/simulator.md");
    std::fs::write(file, tables.values().map(String::as_str).collect::<String>()).unwrap();
}

/// The first row is the header.
fn markdown(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &[String]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} |"));
        format!("|{}\n", cells.collect::<String>())
    };
    let border: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let (header, rest) = rows.split_first().unwrap();
    [header, &border].into_iter().chain(rest).map(|row| line(row)).collect()
}

pub fn cells<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

/// Such as `99.12 %`.
pub fn percent(part: u64, of: u64) -> String {
    format!("{:.2} %", part as f64 * 100.0 / of.max(1) as f64)
}
