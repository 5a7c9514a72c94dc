//! The figures against their bars, as Markdown that reads well in a terminal too.

const HEADER: [&str; 4] = ["measure", "figure", "bar", "reached"];

/// Rows in the order in which they were added.
#[derive(Default)]
pub struct Report {
    rows: Vec<[String; 4]>,
    missed: usize,
}

impl Report {
    /// A figure for information.
    pub fn figure(&mut self, measure: &str, figure: String) {
        eprintln!("{measure}: {figure}");
        self.rows.push([measure.to_owned(), figure, String::new(), String::new()]);
    }

    /// A figure that must be under its bar.
    pub fn bar(&mut self, measure: &str, value: f64, bar: f64, unit: &str) {
        self.figure(measure, format!("{value:.1} {unit}"));
        let reached = value < bar;
        self.missed += usize::from(!reached);
        if let Some(row) = self.rows.last_mut() {
            row[2] = format!("< {bar:.0} {unit}");
            row[3] = if reached { "yes" } else { "**no**" }.to_owned();
        }
    }

    /// Bars that were missed.
    pub fn missed(&self) -> usize {
        self.missed
    }

    pub fn render(&self) -> String {
        let header = HEADER.map(str::to_owned);
        let rows = || std::iter::once(&header).chain(&self.rows);
        let widths: [usize; 4] =
            std::array::from_fn(|i| rows().map(|row| row[i].chars().count()).max().unwrap_or_default());
        let line = |cells: &[String; 4]| {
            let padded = (0..4).map(|i| match i {
                0 | 3 => format!(" {:<1$} |", cells[i], widths[i]),
                _ => format!(" {:>1$} |", cells[i], widths[i]),
            });
            format!("|{}\n", padded.collect::<String>())
        };
        let rule = (0..4).map(|i| match i {
            0 | 3 => format!("{}|", "-".repeat(widths[i] + 2)),
            _ => format!("{}:|", "-".repeat(widths[i] + 1)),
        });
        let rule = format!("|{}\n", rule.collect::<String>());
        line(&header) + &rule + &self.rows.iter().map(line).collect::<String>()
    }
}
