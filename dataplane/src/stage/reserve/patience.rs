//! How long a call waits for money, whichever limits and targets it asks for.

use std::time::Duration;

use llm_ledger::Millis;
use tokio::time::Instant;

/// A call waits no longer than this for money that is in the hands of others: whoever is refused is told to come again
/// in a second at the earliest.
pub const RETURNS: Duration = Duration::from_secs(1);

/// What is left of it.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For what others hold.
    pub until: Instant,
    /// Since when for an answer that has not come: what is asked next is given no time of its own.
    pub unanswered_since: Option<Millis>,
}

impl Patience {
    pub fn begin() -> Self {
        Self { until: Instant::now() + RETURNS, unanswered_since: None }
    }
}
