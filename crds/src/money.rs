//! Decimal strings of manifests as exact integers: floats never touch money.

/// Why a decimal string was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalError {
    /// Not digits with at most one point between them.
    NotDecimal,
    /// More places after the point than the integer can hold.
    TooPrecise,
    /// Larger than the integer can hold, or than the field allows.
    TooLarge,
}

impl std::fmt::Display for DecimalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotDecimal => "must be a decimal such as \"2.50\"",
            Self::TooPrecise => "has more decimal places than are kept",
            Self::TooLarge => "is too large",
        })
    }
}

impl std::error::Error for DecimalError {}

/// A price such as `"2.50"` USD as nano-USD (10⁻⁹ USD).
///
/// # Errors
/// When the text is no plain decimal, has over nine places, or passes `u64`.
pub fn nano_usd(text: &str) -> Result<u64, DecimalError> {
    scaled(text, 9)
}

/// A share such as `"0.05"` as parts per million, 0 to 1,000,000.
///
/// # Errors
/// When the text is no plain decimal, has over six places, or passes one.
pub fn unit_interval_ppm(text: &str) -> Result<u32, DecimalError> {
    let ppm = scaled(text, 6)?;
    if ppm > 1_000_000 {
        return Err(DecimalError::TooLarge);
    }
    u32::try_from(ppm).map_err(|_| DecimalError::TooLarge)
}

fn scaled(text: &str, places: usize) -> Result<u64, DecimalError> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || (text.contains('.') && fraction.is_empty())
    {
        return Err(DecimalError::NotDecimal);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places {
        return Err(DecimalError::TooPrecise);
    }
    format!("{whole}{fraction:0<places$}").parse().map_err(|_| DecimalError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_exact_to_the_nano_dollar() {
        assert_eq!(nano_usd("2.50"), Ok(2_500_000_000));
        assert_eq!(nano_usd("0"), Ok(0));
        assert_eq!(nano_usd("0.000000001"), Ok(1));
        assert_eq!(nano_usd("0.1000000000"), Ok(100_000_000));
    }

    #[test]
    fn what_is_no_price_is_refused_with_the_reason() {
        for text in ["", ".5", "5.", "-1", "1e3", "1,5", " 1"] {
            assert_eq!(nano_usd(text), Err(DecimalError::NotDecimal), "{text:?}");
        }
        assert_eq!(nano_usd("0.0000000001"), Err(DecimalError::TooPrecise));
        assert_eq!(nano_usd("99999999999999"), Err(DecimalError::TooLarge));
    }

    #[test]
    fn a_share_stays_within_one() {
        assert_eq!(unit_interval_ppm("0.05"), Ok(50_000));
        assert_eq!(unit_interval_ppm("1"), Ok(1_000_000));
        assert_eq!(unit_interval_ppm("1.01"), Err(DecimalError::TooLarge));
    }
}
