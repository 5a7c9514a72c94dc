//! Where a call goes, and whether it is tried again. Pure: clocks and chance are passed in, and
//! nothing here waits, locks or allocates on the path of a request but where it says so.
//!
//! In the order in which a call meets them:
//!
//! - [`pattern`]: whether a rule is for its model.
//! - [`complexity`]: how hard it is, for rules that choose models by that.
//! - [`rank`]: candidates to an order, with the scores that made it.
//! - [`breaker`]: whether a provider's model takes calls.
//! - [`bucket`]: the quota per minute of a provider.
//! - [`attempts`]: who is asked next after a failure, and after which pause.
//! - [`retry_budget`], [`backoff`]: whether the same one is asked again, and how long to wait.
//! - [`average`], [`quantiles`]: what was seen of it, for the next call.
//!
//! What workers share is a word of 64 bits each, and a change of it is a pure function of the word.

pub mod pattern;
pub mod complexity;
pub mod rank;
pub mod breaker;
pub mod bucket;
pub mod attempts;
pub mod retry_budget;
pub mod backoff;
pub mod average;
pub mod quantiles;

mod word;
