//! Money as it is counted, in whole nano-USD, and as it is shown.

use std::fmt;

/// Nano-USD as a decimal number of USD with nine places, so that no reader rounds it.
#[derive(Clone, Copy, Debug)]
pub struct Usd(pub u64);

/// Eleven digits of USD, a point, and nine places.
const LONGEST: usize = 21;

impl Usd {
    /// Gives its text to `take`, without an allocation: it stands on every reply.
    pub fn with_text<T>(self, take: impl FnOnce(&[u8]) -> T) -> T {
        let mut text = [b'.'; LONGEST];
        let (mut rest, mut start) = (self.0, LONGEST);
        for (place, digit) in text.iter_mut().enumerate().rev() {
            let after_point = LONGEST - place;
            if after_point == 10 {
                continue;
            }
            if rest == 0 && after_point > 11 {
                break;
            }
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            start = place;
        }
        take(text.get(start..).unwrap_or_default())
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(std::str::from_utf8(text).unwrap_or_default()))
    }
}

/// What something is expected to cost.
pub fn expected_usd(nano: f32) -> String {
    format!("{:.6}", nano / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_nine_places_and_as_many_digits_as_it_takes() {
        for (nano, text) in [
            (0, "0.000000000"),
            (1, "0.000000001"),
            (230_000, "0.000230000"),
            (1_000_000_000, "1.000000000"),
            (12_345_678_901_234, "12345.678901234"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(Usd(nano).to_string(), text);
        }
    }
}
