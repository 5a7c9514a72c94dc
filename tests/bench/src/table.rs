//! The one table, as Markdown that reads well in a terminal too.

/// Rows in the order in which they were added.
pub struct Table {
    header: [String; 7],
    rows: Vec<[String; 7]>,
}

/// What a comparison must be.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    AtLeast(f64),
    AtMost(f64),
    /// Only for information.
    None,
}

impl Bar {
    fn reached(self, value: f64) -> &'static str {
        let reached = match self {
            Self::AtLeast(bar) => value >= bar,
            Self::AtMost(bar) => value <= bar,
            Self::None => return "",
        };
        if reached { "yes" } else { "**no**" }
    }
}

/// How a figure is written.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    pub name: &'static str,
    pub decimals: usize,
}

impl Unit {
    pub const RATIO: Self = Self { name: "×", decimals: 2 };

    pub fn show(self, value: f64) -> String {
        let Self { name, decimals } = self;
        if value.is_nan() {
            "–".to_owned()
        } else {
            format!("{value:.decimals$} {name}").trim_end().to_owned()
        }
    }
}

impl Table {
    /// Of three that are measured, and of how they compare.
    pub fn of(targets: [&str; 3], comparison: &str) -> Self {
        let [first, second, third] = targets;
        let header = ["measure", first, second, third, comparison, "bar", "reached"].map(str::to_owned);
        Self { header, rows: Vec::new() }
    }

    /// A row whose bar is on a comparison (a ratio, or what is added); NaN stands for no figure.
    pub fn compare(
        &mut self,
        name: &str,
        unit: Unit,
        figures: [f64; 3],
        (how, value): (Unit, f64),
        bar: Bar,
    ) {
        let [direct, bare, ours] = figures.map(|figure| unit.show(figure));
        let limit = match bar {
            Bar::AtLeast(limit) => format!("≥ {}", how.show(limit)),
            Bar::AtMost(limit) => format!("≤ {}", how.show(limit)),
            Bar::None => String::new(),
        };
        let reached = bar.reached(value).to_owned();
        self.rows.push([name.to_owned(), direct, bare, ours, how.show(value), limit, reached]);
    }

    /// A row whose bar, if any, is on our own figure.
    pub fn own(&mut self, name: &str, unit: Unit, [direct, bare, ours]: [f64; 3], bar: Bar) {
        self.compare(name, unit, [direct, bare, ours], (unit, ours), bar);
        if let Some(row) = self.rows.last_mut() {
            row[4] = Unit::RATIO.show(ours / bare);
        }
    }

    pub fn render(&self) -> String {
        let rows = || std::iter::once(&self.header).chain(&self.rows);
        let widths: [usize; 7] =
            std::array::from_fn(|i| rows().map(|row| row[i].chars().count()).max().unwrap_or_default());
        let line = |cells: &[String; 7]| {
            let padded = (0..7).map(|i| match i {
                0 | 6 => format!(" {:<1$} |", cells[i], widths[i]),
                _ => format!(" {:>1$} |", cells[i], widths[i]),
            });
            format!("|{}\n", padded.collect::<String>())
        };
        let rule = (0..7).map(|i| match i {
            0 | 6 => format!("{}|", "-".repeat(widths[i] + 2)),
            _ => format!("{}:|", "-".repeat(widths[i] + 1)),
        });
        let rule = format!("|{}\n", rule.collect::<String>());
        line(&self.header) + &rule + &self.rows.iter().map(line).collect::<String>()
    }
}
