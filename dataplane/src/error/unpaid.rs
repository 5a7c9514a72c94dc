//! Why a call was not sent once more, in words.

use std::sync::Arc;

/// A budget that had no money for one more attempt.
#[derive(Clone, Debug, thiserror::Error)]
#[error("It was not tried again: budget {budget} {}.", self.words())]
pub struct Unpaid {
    /// `namespace/name` of the Budget.
    pub budget: Arc<str>,
    /// Nobody knows how much it had: its ledger did not answer.
    pub is_unanswered: bool,
}

impl Unpaid {
    fn words(&self) -> &'static str {
        if self.is_unanswered {
            "could not be asked for money for another attempt, as its ledger did not answer"
        } else {
            "had too little left for another attempt"
        }
    }
}
