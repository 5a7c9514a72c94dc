//! A limit with too little left, in words and figures for the caller.

use std::{fmt, sync::Arc, time::Duration};

use llm_ledger::{
    Millis,
    place::{LimitId, Unit},
};

use super::seconds;
use crate::money::Usd;

/// A limit, and what a call wants of it.
#[derive(Debug)]
pub struct Figures {
    /// `namespace/name` of the Budget.
    pub budget: Arc<str>,
    /// Whose limit it is, where each value has its own.
    pub value: Option<Arc<str>>,
    pub limit: LimitId,
    /// All of it, and what is spent.
    pub whole: u64,
    pub spent: u64,
    /// What the call may take.
    pub needs: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { budget, value, limit, whole, spent, needs } = self;
        let amount = |amount| Quantity { amount, unit: limit.unit };
        write!(f, "Budget {budget}")?;
        if let Some(value) = value {
            write!(f, " has too little left for '{value}'")?;
        } else {
            f.write_str(" has too little left")?;
        }
        let (whole, spent, needs) = (amount(*whole), amount(*spent), amount(*needs));
        match limit.period.rolling() {
            Some(rolling) => write!(f, ": {spent} of {whole} in any {} are spent", span(rolling.length()))?,
            None => write!(f, ": {spent} of {whole} ({}) are spent", limit.period)?,
        }
        write!(f, ", and this call may take {needs}.")
    }
}

impl Figures {
    /// When something of the limit is there again.
    pub fn comes_back(&self, comes_back_in: Option<Duration>) -> String {
        match (self.limit.period.rolling(), comes_back_in) {
            (Some(rolling), Some(part)) => format!(
                "What is spent comes back {} later, bit by bit: try again in {} s.",
                span(rolling.length()),
                seconds(part)
            ),
            _ => anew(comes_back_in),
        }
    }
}

/// Whole units of it, such as `24 h`.
fn span(millis: Millis) -> String {
    match millis / 1_000 {
        seconds if seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

/// An amount with its unit.
struct Quantity {
    amount: u64,
    unit: Unit,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            Unit::Usd => {
                let text = Usd(self.amount).to_string();
                let (whole, places) = text.split_once('.').unwrap_or((&text, "00"));
                // Cents at least, and no more places than there are.
                let places = &places[..places.trim_end_matches('0').len().max(2)];
                write!(f, "{whole}.{places} USD")
            }
            Unit::Tokens => write!(f, "{} tokens", self.amount),
            Unit::Requests => write!(f, "{} requests", self.amount),
        }
    }
}

/// When a limit begins anew.
fn anew(resets_in: Option<Duration>) -> String {
    let Some(left) = resets_in else {
        return "It does not begin anew: it must be raised.".to_owned();
    };
    let minutes = left.as_secs().div_ceil(60);
    let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    match (days, hours) {
        (0, 0) => format!("It begins anew in {minutes} min."),
        (0, _) => format!("It begins anew in {hours} h {minutes} min."),
        _ => format!("It begins anew in {days} d {hours} h."),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn amounts_are_written_as_a_person_would() {
        let text = |amount, unit| Quantity { amount, unit }.to_string();
        assert_eq!(text(100_000_000_000, Unit::Usd), "100.00 USD");
        assert_eq!(text(1_234_500_000, Unit::Usd), "1.2345 USD");
        assert_eq!(text(1, Unit::Usd), "0.000000001 USD");
        assert_eq!(text(7, Unit::Tokens), "7 tokens");
        assert_eq!(anew(Some(Duration::from_secs(59))), "It begins anew in 1 min.");
        assert_eq!(anew(Some(Duration::from_secs(7_260))), "It begins anew in 2 h 1 min.");
        assert_eq!(anew(Some(Duration::from_secs(90_000))), "It begins anew in 1 d 1 h.");
        assert_eq!(anew(None), "It does not begin anew: it must be raised.");
    }

    #[test]
    fn a_rolling_limit_says_that_what_is_spent_comes_back_bit_by_bit() {
        let told = |limit: &str, part| {
            let (budget, limit) = ("ai/team".into(), limit.parse().unwrap());
            let figures = Figures { budget, value: None, limit, whole: 9, spent: 7, needs: 3 };
            format!("{figures} {}", figures.comes_back(Some(Duration::from_millis(part))))
        };
        assert_eq!(
            told("rolling18000-tokens", 750_000),
            "Budget ai/team has too little left: 7 tokens of 9 tokens in any 5 h are spent, and this call may take 3 tokens. What is spent comes back 5 h later, bit by bit: try again in 750 s."
        );
        let minute = told("rolling60-requests", 2_500);
        assert!(minute.contains("of 9 requests in any 1 min are spent"), "{minute}");
        assert!(minute.ends_with("comes back 1 min later, bit by bit: try again in 3 s."), "{minute}");
        assert!(told("rolling90-requests", 3_750).contains("in any 90 s"));
        let daily = told("daily-requests", 60_000);
        assert!(
            daily.ends_with("(daily) are spent, and this call may take 3 requests. It begins anew in 1 min."),
            "{daily}"
        );
    }
}
