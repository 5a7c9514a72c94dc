//! What the estimate gets right, counted and printed. Apart from the floors that are asserted.

use std::fmt;

use llm_routing::complexity::{Class, Thresholds, estimate};

use crate::labelled::Call;

/// Rows are the labels, columns the classes that were told.
#[derive(Debug, Default)]
pub struct Confusion([[usize; 3]; 3]);

impl Confusion {
    pub fn of<'a>(calls: impl Iterator<Item = &'a Call>) -> Self {
        let mut confusion = Self::default();
        for call in calls {
            confusion.0[call.label as usize][told(call) as usize] += 1;
        }
        confusion
    }

    pub fn right(&self) -> usize {
        Class::ALL.into_iter().map(|class| self.right_of(class)).sum()
    }

    pub fn right_of(&self, label: Class) -> usize {
        self.0[label as usize][label as usize]
    }

    /// Simple calls told complex, and the reverse: what costs most.
    pub fn far_off(&self) -> usize {
        self.0[0][2] + self.0[2][0]
    }
}

impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>10} | {:>7} {:>7} {:>7} | {:>5}", "label", "simple", "medium", "complex", "right")?;
        for (label, row) in Class::ALL.into_iter().zip(self.0) {
            let [simple, medium, complex] = row;
            let of = format!("{}/{}", self.right_of(label), row.iter().sum::<usize>());
            writeln!(f, "{:>10} | {simple:>7} {medium:>7} {complex:>7} | {of:>5}", label.as_str())?;
        }
        let all = self.0.iter().flatten().sum::<usize>();
        write!(f, "right: {} of {all}, far off: {}", self.right(), self.far_off())
    }
}

pub fn told(call: &Call) -> Class {
    Thresholds::default().classify(estimate(&call.request).score())
}

/// A line for a call that was told wrong: the label, and how the score came about.
pub fn explain(call: &Call) -> String {
    format!("{:>8} {:<24} {}", call.label.as_str(), call.id, estimate(&call.request))
}
