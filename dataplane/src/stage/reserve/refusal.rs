//! Why a call gets no money, in words and figures.

use std::{sync::Arc, time::Duration};

use llm_dialect::bound::Unbounded;
use llm_ledger::{Amount, place::Unit};

use crate::{
    budget::{
        line::{Line, Shortage},
        slot::Slot,
        unix_now,
    },
    error::{Error, Figures, Unpaid},
    snapshot::{Target, budgets::Budget},
};

/// Why there is none.
#[derive(Debug)]
pub enum Refusal {
    /// A limit has too little.
    Short(Box<Short>),
    /// Nobody can say how much the call may cost.
    Unbounded { budget: Arc<str>, unbounded: Unbounded, model: Arc<str> },
}

/// A limit with too little.
#[derive(Debug)]
pub struct Short {
    budget: Arc<str>,
    value: Option<Arc<str>>,
    slot: Arc<Slot>,
    shortage: Shortage,
    needs: Amount,
    /// The limit, and what is spent of it.
    of: Option<(Amount, Amount)>,
    comes_back_in: Option<Duration>,
}

impl Refusal {
    pub fn unbounded(budget: &Budget, unbounded: Unbounded, target: &Target) -> Self {
        Self::Unbounded { budget: budget.name.clone(), unbounded, model: target.labels.model.clone() }
    }

    pub fn short(budget: &Budget, slot: &Arc<Slot>, line: &Line, needs: Amount, shortage: Shortage) -> Self {
        Self::Short(Box::new(Short {
            budget: budget.name.clone(),
            value: line.place.value.clone(),
            slot: slot.clone(),
            shortage,
            needs,
            of: line.left().map(|left| (left.limit, left.spent)),
            comes_back_in: line.comes_back_in(unix_now()),
        }))
    }

    /// Whether others hold what is left.
    pub fn is_of_held(&self) -> bool {
        matches!(self, Self::Short(short) if short.shortage == Shortage::Held)
    }

    /// Whether a shorter answer could do.
    pub fn is_of_output(&self) -> bool {
        matches!(self, Self::Short(short) if short.shortage != Shortage::Unavailable && short.slot.limit.unit != Unit::Requests)
    }

    /// Of one more attempt; counted as that. How much such a call may cost was known before the first.
    pub fn of_another(self) -> Unpaid {
        match self {
            Self::Short(short) => {
                short.slot.counts.refused_another();
                let Short { budget, shortage, .. } = *short;
                Unpaid { budget, is_unanswered: shortage == Shortage::Unavailable }
            }
            Self::Unbounded { budget, .. } => Unpaid { budget, is_unanswered: false },
        }
    }

    /// What the caller is told; counted as that.
    pub fn error(self) -> Error {
        let short = match self {
            Self::Short(short) => short,
            Self::Unbounded { budget, unbounded, model } => {
                let (budget, model) = (budget.to_string(), model.to_string());
                return Error::Unbounded { budget, model, unbounded };
            }
        };
        let Short { budget, value, slot, shortage, needs, of, comes_back_in } = *short;
        slot.counts.refused(shortage);
        let (Some((whole, spent)), true) = (of, shortage != Shortage::Unavailable) else {
            return Error::LedgerUnavailable { budget: budget.to_string() };
        };
        let figures = Figures { budget, value, limit: slot.limit, whole, spent, needs };
        match shortage {
            Shortage::Held => Error::BudgetHeld { figures: Box::new(figures) },
            _ => Error::BudgetExceeded { figures: Box::new(figures), comes_back_in },
        }
    }
}
