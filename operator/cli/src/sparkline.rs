//! A window as a line of bars.

use llm_operator::budgets::history::Part;

/// The lowest is for nothing: whatever was spent, be it little, stands above it.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const UNKNOWN: char = '·';

/// A character for each part; the highest is that in which most was spent.
pub fn sparkline(parts: &[Part]) -> String {
    let most = parts.iter().map(|part| if let Part::Spent(amount) = part { *amount } else { 0 }).max();
    let most = u128::from(most.unwrap_or(0).max(1));
    let highest = BARS.len() - 1;
    let bar = |part: &Part| match part {
        Part::Spent(amount) => {
            let height = (u128::from(*amount) * highest as u128).div_ceil(most);
            BARS.get(usize::try_from(height).unwrap_or(highest)).copied().unwrap_or('█')
        }
        Part::Unknown => UNKNOWN,
        Part::ToCome => ' ',
    };
    parts.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_above_nothing_and_what_is_to_come_is_blank() {
        let spent = |amounts: &[u64]| amounts.iter().map(|amount| Part::Spent(*amount)).collect::<Vec<_>>();
        assert_eq!(sparkline(&spent(&[0, 1, 500, 1_000])), "▁▂▅█");
        assert_eq!(sparkline(&spent(&[0, 0])), "▁▁");
        assert_eq!(sparkline(&spent(&[u64::MAX, 1])), "█▂");
        assert_eq!(sparkline(&[Part::Unknown, Part::Spent(3), Part::ToCome]), "·█ ");
        assert_eq!(sparkline(&[]), "");
    }
}
