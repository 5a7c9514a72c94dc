//! Money as it is counted, in whole nano-USD, and as it is shown.

use std::fmt;

/// Nano-USD as a decimal number of USD with nine places, so that no reader rounds it.
#[derive(Clone, Copy, Debug)]
pub struct Usd(pub u64);

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// What something is expected to cost.
pub fn expected_usd(nano: f32) -> String {
    format!("{:.6}", nano / 1e9)
}
