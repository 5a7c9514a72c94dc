//! Money as it is counted, in whole nano-USD, and as it is shown.

use std::fmt;

use llm_config::Price;
use llm_dialect::reply::Usage;

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

/// What a call cost, in nano-USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub input: u64,
    pub output: u64,
    /// Rounded up once, not twice.
    pub total: u64,
}

/// Nano-USD, rounded up: never less than what is owed.
pub fn cost(price: Price, usage: Usage) -> Cost {
    let fresh = usage.input.saturating_sub(usage.cached_input).saturating_sub(usage.cache_write);
    let part = |tokens: u64, per_million: u64| u128::from(tokens) * u128::from(per_million);
    // Nearly all fit one word, which is divided by a multiplication.
    let nano = |millionths: u128| match u64::try_from(millionths) {
        Ok(millionths) => millionths.div_ceil(1_000_000),
        Err(_) => u64::try_from(millionths.div_ceil(1_000_000)).unwrap_or(u64::MAX),
    };
    let input = part(fresh, price.input)
        + part(usage.cached_input, price.cached_input)
        + part(usage.cache_write, price.cache_write);
    let output = part(usage.output, price.output);
    Cost { input: nano(input), output: nano(output), total: nano(input + output) }
}

/// The most that so many tokens cost, in nano-USD: whichever price of input is the highest.
pub fn most(price: Price, input: u64, output: u64) -> u64 {
    let dearest = price.input.max(price.cached_input).max(price.cache_write);
    let price = Price { input: dearest, ..price };
    cost(price, Usage { input, output, ..Usage::default() }).total
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

    #[test]
    fn cost_is_exact_and_rounds_up() {
        let price = Price {
            input: 2_500_000_000,
            cached_input: 1_250_000_000,
            cache_write: 3_000_000_000,
            output: 10_000_000_000,
        };
        let usage = Usage { input: 1_000, cached_input: 400, cache_write: 100, output: 10, reasoning: 4 };
        assert_eq!(cost(price, usage).total, 500 * 2_500 + 400 * 1_250 + 100 * 3_000 + 10 * 10_000);
        let odd = Price { input: 1, ..Price::default() };
        assert_eq!(cost(odd, Usage { input: 1, ..Usage::default() }).total, 1);
        let most = Usage { input: u64::MAX, output: u64::MAX, ..Usage::default() };
        assert_eq!(cost(price, most).total, u64::MAX);
    }
}
