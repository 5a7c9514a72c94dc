//! A limit with too little left, in words and figures for the caller.

use std::{fmt, sync::Arc, time::Duration};

use llm_ledger::place::{LimitId, Unit};

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
        write!(f, ": {spent} of {whole} ({}) are spent, and this call may take {needs}.", limit.period)
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
pub fn anew(resets_in: Option<Duration>) -> String {
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
}
